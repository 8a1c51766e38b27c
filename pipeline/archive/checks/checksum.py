"""Accepting an archive of ours by S3's own checksum, without reading all of it.

Owns the evidence. `pack` computes the CRC-32 of the file as it writes it, and `upload_arguments` makes S3 compare
that with what arrives and keep it; an object that still has both is what `pack` has judged. It refuses anything
less: no checksum of the full object, another one, or no record of the packing means a whole pass.

The record guards against damage, not against malice: who may write to the bucket may write a record as well. The
first sight is taken either way, and the smoke test has the last word.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pipeline.archive.build.parts import END_OF_TAR, padding, tar_header
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3.sources import S3Source
from pipeline.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

    from pipeline.archive.build.pack import PackResult
    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.archive.checks.rules import Rules
    from pipeline.archive.s3.sources import Source

PACKED: Final = "sealift-packed-crc32"
"""The object's metadata: the CRC-32 of the file as `pack` wrote it, in base64 as S3 spells it."""


def upload_arguments(result: PackResult) -> dict[str, object]:
    """Return boto3's ExtraArgs for uploading a packed file: S3 then refuses one that was damaged on its way."""
    checksum = base64.b64encode(result.file_crc32.to_bytes(4, "big")).decode()
    # A given checksum of the full object makes s3transfer ask for FULL_OBJECT in multipart uploads too.
    return {"ChecksumCRC32": checksum, "Metadata": {PACKED: checksum}}


def check(
    source: Source,
    *,
    rules: Rules,
    progress: Callable[[int, int], None] | None = None,
) -> ArchiveReport:
    """Return the report of the cheapest check that decides; its `method` says which one that was.

    Only S3 keeps a checksum of what it holds: a file is read whole.

    Raises:
        ArchiveNotFound, AccessDenied, InvalidArchive: the object went away or changed meanwhile.
    """
    report = misnamed(inspect(source, rules=rules))
    if report.problems:
        return report
    if isinstance(source, S3Source) and (complete := as_packed(report)) and verified_by_s3(source.head()):
        return complete
    return verify(source, rules=rules, progress=progress)


def misnamed(report: ArchiveReport) -> ArchiveReport:
    """Return the report, refused when the archive is not what its name says: one of the two was a mistake."""
    if report.problems or report.name.endswith(f".{report.format}"):
        return report
    problem = Problem(
        "WrongSuffix",
        f"a {report.format} with another name",
        f"a name that ends in .{report.format}, or another archive",
        f"name it model.{report.format}, or make a tar.gz with `sealift pack`",
    )
    return replace(report, problems=(problem,))


def as_packed(report: ArchiveReport) -> ArchiveReport | None:
    """Return the report as it is if the unread rest is what `pack` writes; None when it need not be.

    Where the code lies behind the model, every member was seen when the first look was complete. Where it lies before
    it, the seam announces how long the rest of the tar is: when the members seen fill it, no other can follow.
    """
    seam, model = report.seam, report.model
    if seam is None or model is None or not model.complete or report.gzip_members != 1:
        return None
    whole = seam.plain_length + seam.rest_length
    if seam.code_last:
        return replace(report, method="checksum", plain_bytes=whole) if report.complete else None
    rest = [member for member in report.members if (member.at or 0) > seam.plain_length]
    filled = sum(len(tar_header(m.path, m.size)) + m.size + len(padding(m.size)) for m in rest)
    if filled + len(END_OF_TAR) != seam.rest_length:
        return None
    return replace(report, method="checksum", complete=True, plain_bytes=whole)


def verified_by_s3(head: HeadObjectOutputTypeDef) -> bool:
    """Tell whether S3's checksum of the full object is the one that `pack` recorded."""
    recorded = head["Metadata"].get(PACKED)
    return (
        bool(recorded) and head.get("ChecksumType") == "FULL_OBJECT" and head.get("ChecksumCRC32") == recorded
    )
