"""How an uploaded archive becomes the one that is deployed.

Owns the choice between copying it, splicing ``code/`` into it and rewriting it, where the result lies, and the doing
of it. It refuses to judge the archive: that has been done, and the report is the evidence.

Every way ends under a key made of the content. A serverless endpoint downloads its archive again at every cold start,
and the uploader may overwrite his object meanwhile: what was checked must be what the endpoint gets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pipeline.archive.build.parts import code_identity, code_part
from pipeline.archive.build.splice import Written, obstacle, plan_splice, read_trailer, splice
from pipeline.archive.build.transcode import kept, transcode
from pipeline.archive.checks.members import is_junk
from pipeline.archive.s3.multipart import COPY_PART, MultipartUpload, copy_ranges, target_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client

    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.archive.checks.rules import Rules
    from pipeline.archive.s3.multipart import Target
    from pipeline.archive.s3.sources import S3Source
    from pipeline.state_data.checked_types import DecidedFacts

Way = Literal["copy", "splice", "transcode"]

PREFIX: Final = "archives/"
"""Of the keys of deployed archives in the bucket of artifacts."""


@dataclass(frozen=True, slots=True)
class AssemblyChoice:
    """The way that an archive goes, and why."""

    way: Way
    reason: str


def choose(
    report: ArchiveReport, code: Mapping[str, bytes] | None, *, relocate_model: bool = False
) -> AssemblyChoice:
    """Return the cheapest way to an archive with exactly this code; None stands for the code that it brings."""
    moved = [old for old, new in kept(report, relocate_model=relocate_model).items() if old != new]
    if moved:
        return AssemblyChoice("transcode", f"{moved[0]!r} moves to the root")
    if code is None and report.format != "tar.gz":
        return AssemblyChoice("transcode", f"it is a {report.format}, not a tar.gz")
    junk = next((member.path for member in report.members if is_junk(member.path)), None)
    if junk is not None:
        return AssemblyChoice("transcode", f"{junk!r} is left out: a desktop left it")
    if code is None and report.padding:
        return AssemblyChoice("transcode", "zeros follow its gzip stream")
    if code is None:
        return AssemblyChoice("copy", "the code that it brings is to run")
    there = {m.path: m.sha256 for m in report.members if m.kind == "file" and m.path.split("/")[0] == "code"}
    wanted = {path: hashlib.sha256(content).hexdigest() for path, content in code.items()}
    if report.format == "tar.gz" and there == wanted and not report.padding:
        return AssemblyChoice(
            "copy", "it holds this code already" if wanted else "the container needs no code in it"
        )
    reason = obstacle(report)
    if reason is not None:
        return AssemblyChoice("transcode", reason)
    if not wanted:
        return AssemblyChoice("splice", "its code is left out: the container brings its own")
    if there == wanted:
        return AssemblyChoice("splice", "the zeros after its gzip stream are left out")
    return AssemblyChoice("splice", "its older code is replaced" if there else "it holds no code")


@dataclass(frozen=True, slots=True)
class AssemblyDecision:
    """What is made of an archive: how, where, and with whose code. Made once; whoever carries it out is handed it."""

    choice: AssemblyChoice
    target: Target
    code: str
    """The identity of the inference code (`parts.code_identity`) that it was made for."""

    def to_json(self) -> DecidedFacts:
        """Return it as it is handed on."""
        return {
            "way": self.choice.way,
            "reason": self.choice.reason,
            **self.target.to_json(),
            "code_digest": self.code,
        }


def decide(
    report: ArchiveReport,
    code: Mapping[str, bytes] | None,
    *,
    bucket: str,
    prefix: str = PREFIX,
    relocate_model: bool = False,
) -> AssemblyDecision:
    """Return what is to be made of an archive, before anything is done.

    Args:
        report: of a whole pass that accepted it.
        code: what ``code/`` must hold: path in the archive to content; None for what the archive brings.
        bucket: the bucket of artifacts.
        prefix: of the key, which is made of the content.
        relocate_model: whether a model in a directory is moved to the root.
    """
    choice, identity = choose(report, code, relocate_model=relocate_model), code_identity(code)
    origin = report.sha256 or repr(sorted(report.identity.items()))
    if choice.way == "transcode":
        origin = f"{origin} rewritten {relocate_model}"
    return AssemblyDecision(choice, target_for(bucket, prefix, origin, identity), identity)


def assemble(
    client: S3Client,
    source: S3Source,
    report: ArchiveReport,
    code: Mapping[str, bytes] | None,
    decision: AssemblyDecision,
    *,
    rules: Rules | None = None,
    relocate_model: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Carry a decision out; return what was written or was there already.

    Args:
        client: for the bucket of artifacts and the archive's own.
        source: the archive, pinned to what `report` describes.
        report: of a whole pass that accepted it.
        code: what the decision was made for.
        decision: on this report and this code.
        rules: what the archive was judged by.
        relocate_model: whether a model in a directory is moved to the root.
        progress: called with bytes done and in all while rewriting.

    Raises:
        InvalidArchive: the archive turned out to be damaged while it was rewritten.
    """
    target = decision.target
    if decision.choice.way == "copy":
        return copy(client, source, report, target)
    if decision.choice.way == "splice":
        plan = plan_splice(report, read_trailer(source, report.padding), code_part(code or {}))
        return splice(client, source, plan, target)
    part = code_part(code) if code is not None else None
    return transcode(
        client, source, report, part, target, rules=rules, relocate_model=relocate_model, progress=progress
    )


def copy(client: S3Client, source: S3Source, report: ArchiveReport, target: Target) -> Written:
    """Let S3 copy the archive as it is; do nothing when it is there already."""
    return Written(target, source.size, report.seam, 0, copy_object(client, source, target))


def copy_object(client: S3Client, source: S3Source, target: Target) -> int:
    """Let S3 copy an object as it is; return the parts that this took, none when it is there already."""
    if target.holds(client, source.size):
        return 0
    if source.size <= COPY_PART:
        target.copy(client, source)
        return 1
    ranges = list(copy_ranges(0, source.size))
    with MultipartUpload(client, target) as upload:
        for start, end in ranges:
            upload.copy(source, start, end)
        upload.complete(source.size)
    return len(ranges)
