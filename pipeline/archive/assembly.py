"""How an uploaded archive becomes the one that is deployed.

Owns the choice between taking it as it is, splicing ``code/`` into it and rewriting it, and the doing of it. It
refuses to judge the archive: that has been done, and the report is the evidence.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.archive.parts import code_part
from pipeline.archive.splice import Written, obstacle, plan_splice, read_trailer, splice
from pipeline.archive.transcode import kept, transcode
from pipeline.archive.uploads import target_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client

    from pipeline.archive.report import ArchiveReport
    from pipeline.archive.rules import Rules
    from pipeline.archive.sources import S3Source

Way = Literal["as is", "splice", "transcode"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The way that an archive goes, and why."""

    way: Way
    reason: str


def choose(report: ArchiveReport, code: Mapping[str, bytes], *, mend: bool = False) -> Choice:
    """Return the cheapest way to an archive with exactly this code."""
    moved = [old for old, new in kept(report, mend=mend).items() if old != new]
    if moved:
        return Choice("transcode", f"{moved[0]!r} moves to the root")
    there = {m.path: m.sha256 for m in report.members if m.kind == "file" and m.path.split("/")[0] == "code"}
    wanted = {path: hashlib.sha256(content).hexdigest() for path, content in code.items()}
    if report.format == "tar.gz" and there == wanted:
        return Choice("as is", "it holds this code already")
    reason = obstacle(report)
    if reason is not None:
        return Choice("transcode", reason)
    return Choice("splice", "its older code is replaced" if there else "it holds no code")


def assemble(
    client: S3Client,
    source: S3Source,
    report: ArchiveReport,
    code: Mapping[str, bytes],
    *,
    bucket: str,
    prefix: str = "archives/",
    rules: Rules | None = None,
    mend: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Choice, Written | None]:
    """Return the way taken, and what was written; None when the archive is deployed as it is.

    Args:
        client: for the bucket of artifacts and the archive's own.
        source: the archive, pinned to what `report` describes.
        report: of a whole pass that accepted it.
        code: what ``code/`` must hold: path in the archive to content.
        bucket: the bucket of artifacts.
        prefix: of the key, which is made of the content.
        rules: what the archive was judged by.
        mend: whether a model in a directory is moved to the root.
        progress: called with bytes done and in all while rewriting.

    Raises:
        InvalidArchive: the archive turned out to be damaged while it was rewritten.
    """
    choice = choose(report, code, mend=mend)
    if choice.way == "as is":
        return choice, None
    part = code_part(code)
    origin = report.sha256 or repr(sorted(report.identity.items()))
    if choice.way == "splice":
        target = target_for(bucket, prefix, origin, part.sha256)
        return choice, splice(client, source, plan_splice(report, read_trailer(source), part), target)
    target = target_for(bucket, prefix, f"{origin} rewritten {mend}", part.sha256)
    written = transcode(client, source, report, part, target, rules=rules, mend=mend, progress=progress)
    return choice, written
