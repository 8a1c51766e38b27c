"""A model that is no archive: one GGUF, or the shards of a split one, and what lies beside it, an object each.

Owns how they are found, judged and placed. Only headers are read: S3 compares a checksum when an object is uploaded,
and a GGUF has none of its own. What is deployed lies below a prefix made of the content, as an archive does, and holds
what an extracted archive would: the model's files at its root and the inference code in `code/`. S3 copies the weights
itself. Refuses to look into anything but a GGUF.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.archive.build import assembly
from pipeline.archive.build.parts import code_identity
from pipeline.archive.build.splice import Written
from pipeline.archive.checks.lookalikes import HEAD_BYTES, recognize
from pipeline.archive.checks.members import Census
from pipeline.archive.checks.read_budget import ReadBudget
from pipeline.archive.checks.report import ArchiveReport, Findings, Unreadable
from pipeline.archive.s3 import split_models
from pipeline.archive.s3.multipart import Target, target_for
from pipeline.archive.s3.sources import S3Source
from pipeline.errors import ArchiveNotFound, InvalidArchive, Problem
from pipeline.gguf.header import MAGIC

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_s3 import S3Client

    from pipeline.archive.checks.rules import Rules
    from pipeline.archive.s3.sources import Source
    from pipeline.state_data.checked_types import PinnedPart, PlacedFacts, UploadedArchive


def sources(client: S3Client, first: S3Source) -> tuple[S3Source, ...]:
    """Return the objects of a model by its first one, and those of what lies beside it.

    Raises:
        ArchiveNotFound: with every shard that is not there.
    """
    found = [first]
    problems: list[Problem] = []
    shards = split_models.shard_names(first.key)
    beside = set(split_models.uploaded(client, first.bucket, first.key).there).difference(shards)
    for key in (*shards[1:], *sorted(beside)):
        try:
            found.append(S3Source(client, first.bucket, key))
        except ArchiveNotFound as error:
            problems.extend(error.problems)
    if problems:
        raise ArchiveNotFound(first.name, problems)
    return tuple(found)


def unpacked(files: Sequence[Source], *, rules: Rules) -> ArchiveReport:
    """Return the report of a split model where an archive is wanted: what is wrong with it, or that it is none yet.

    Args:
        files: those of its shards that are there.
        rules: what the archive will be judged by.
    """
    report = check(files, rules=replace(rules, code_required=False))
    if report.problems:
        return report
    beside = report.model is not None and report.model.companions
    first = shlex.quote(report.model.path if report.model else _name(report.name))
    problem = Problem(
        "BareGGUF",
        f"a bare GGUF in {len(files)} files, not packed into an archive",
        "a tar.gz that holds the model",
        f"pack it, which takes all shards: sealift pack {first} --output model.tar.gz"
        + (", with --mmproj, --lora and --draft for what lies beside it" if beside else ""),
    )
    return replace(report, problems=(problem,))


def check(files: Sequence[Source], *, rules: Rules) -> ArchiveReport:
    """Return what the headers of a model's files tell."""
    findings = Findings()
    census = Census(rules, findings)
    for source in files:
        try:
            _read_headers(source, census, findings, rules)
        except Unreadable as stop:
            findings.add(stop.problem)
    # What is there and no GGUF is not missing as well.
    model = census.settle(complete=not findings.has("NotGGUF"))
    size = sum(source.size for source in files)
    if size > rules.max_archive_bytes:
        findings.add(
            Problem(
                "ArchiveTooLarge",
                f"{size} bytes",
                f"at most {rules.max_archive_bytes} bytes",
                "use a smaller model or a stronger quantisation",
            )
        )
    return ArchiveReport(
        name=files[0].name,
        size=size,
        format="gguf",
        method="inspect",
        members=tuple(census.members),
        model=model,
        code=False,
        extracted_bytes=size,
        complete=True,
        problems=findings.all(),
        bytes_read=sum(source.bytes_read for source in files),
        notes=census.notes(),
        identity={_name(source.name): source.identity.get("etag", "") for source in files},
    )


def _read_headers(source: Source, census: Census, findings: Findings, rules: Rules) -> None:
    before = source.bytes_read
    budget = ReadBudget(rules, lambda: source.bytes_read - before)
    piece = source.read(0, budget.next(wanted=True))
    if not piece.startswith(MAGIC):
        content = recognize(piece[:HEAD_BYTES], _name(source.name))
        problem = Problem(
            "NotGGUF",
            f"{_name(source.name)!r} is {content.what}",
            "a GGUF, as its name says",
            content.fix or "upload the model itself, or give what it is its own suffix",
        )
        findings.add(problem)
        return
    sink = census.enter(_name(source.name).encode(), source.size, "file")
    if sink is not None:
        census.read_header(sink, source, piece, budget)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def pinned_sources(client: S3Client, archive: UploadedArchive) -> list[S3Source]:
    """Return the objects of an upload as they were when it was checked: a model's files, or the one archive.

    Raises:
        InvalidArchive: one of them is another object by now.
    """
    pinned = archive.get("parts") or [archive]
    found = [S3Source(client, archive["bucket"], one["key"], one["version_id"]) for one in pinned]
    problems = [
        Problem(
            "ObjectChanged",
            f"object {one['key']!r} is no longer the one with ETag {one['etag']!r}",
            "the object that was checked",
            "start again, when the upload has ended",
        )
        for one, source in zip(pinned, found, strict=True)
        if source.etag.strip('"') != one["etag"]
    ]
    if problems:
        raise InvalidArchive(found[0].name, problems)
    return found


# -- placing it


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where a model's files go."""

    bucket: str
    folder: str
    """A prefix made of the content, with its slash."""
    content: str
    single: str | None
    """The one file's name where nothing else is handed over."""
    code: str
    """The identity of the inference code that it was made for."""

    @property
    def key(self) -> str:
        """Return the key of the one object, or the prefix of all."""
        return f"{self.folder}{self.single or ''}"

    def to_json(self) -> PlacedFacts:
        """Return it as it is handed on."""
        whole = Target(self.bucket, self.key, self.content)
        return {**whole.to_json(), "code_digest": self.code}

    def target(self, name: str) -> Target:
        """Return the target of one file."""
        return Target(self.bucket, f"{self.folder}{name}", self.content)


def place(
    identity: Mapping[str, str],
    code: Mapping[str, bytes] | None,
    *,
    bucket: str,
    prefix: str = assembly.PREFIX,
) -> ModelPlace:
    """Return where a model and its code will lie, before anything is done.

    Args:
        identity: the ETag of each of its files, by name.
        code: what `code/` must hold, by path; empty when the container brings its own.
        bucket: the bucket of artifacts.
        prefix: of the keys.
    """
    origin = hashlib.sha256(repr(sorted(identity.items())).encode()).hexdigest()
    digest = code_identity(code or {})
    made = target_for(bucket, prefix, f"bare {origin}", digest)
    folder = made.key.rpartition("/")[0] + "/"
    single = next(iter(identity)) if len(identity) == 1 and not code else None
    return ModelPlace(bucket, folder, made.content, single, digest)


def put(
    client: S3Client, files: Sequence[S3Source], code: Mapping[str, bytes] | None, where: ModelPlace
) -> tuple[Written, str | None]:
    """Copy a model's files and write its code; return what was done, and the ETag of the one object if it is one.

    What is there already, from an earlier try or another deployment, is not written again.
    """
    parts = moved = 0
    for path, body in sorted((code or {}).items()):
        target = where.target(path)
        if not target.holds(client, len(body)):
            target.put(client, body)
            moved += len(body)
            parts += 1
    for source in files:
        target = where.target(_name(source.key))
        parts += assembly.copy_object(client, source, target)
    etag = None
    if where.single:
        etag = client.head_object(Bucket=where.bucket, Key=where.key)["ETag"].strip('"')
    written = Written(
        where.target(where.single or ""), sum(source.size for source in files), None, moved, parts
    )
    return written, etag


def described_parts(files: Sequence[S3Source]) -> list[PinnedPart]:
    """Return what pins each file, as the check hands it to the assembly."""
    return [
        {
            "key": source.key,
            "version_id": source.version_id,
            "etag": source.etag.strip('"'),
            "size": source.size,
        }
        for source in files
    ]
