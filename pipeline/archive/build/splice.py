"""``code/`` put into an archive that lies in S3, without moving the model.

Owns the arithmetic of joining deflate streams (RFC 1951): the model's part of an archive of ours as it is, then our
``code/`` and the end of the tar, then a trailer with the combined checksum. Somebody else's tar ends where it ends, so
there our ``code/`` comes first, ended at a byte boundary with no final block, and the original's stream as it is after
it. The weights are copied by S3 itself. It refuses archives whose stream cannot be taken over whole: `transcode`
rewrites those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.archive.build.parts import archive_end, padding
from pipeline.archive.build.seams import EXTRA_BYTES, Seam
from pipeline.archive.formats import deflate
from pipeline.archive.s3.multipart import MIN_PART, MultipartUpload, copy_ranges
from pipeline.limits import MiB

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from pipeline.archive.build.parts import CodePart
    from pipeline.archive.checks.report import ArchiveReport, Member
    from pipeline.archive.s3.multipart import Target
    from pipeline.archive.s3.sources import S3Source, Source

_SMALL: Final = 2 * MIN_PART + MiB
"""Up to here one PutObject does: the parts of a multipart upload must not be smaller than 5 MiB."""


@dataclass(frozen=True, slots=True)
class Splice:
    """How the new archive is put together: new bytes, a range of the old archive, new bytes."""

    head: bytes
    start: int
    end: int
    tail: bytes
    seam: Seam

    @property
    def size(self) -> int:
        """Return the bytes of the new archive."""
        return len(self.head) + self.end - self.start + len(self.tail)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, or was there already."""

    target: Target
    size: int
    seam: Seam | None
    """None for a copy of an archive that has none."""
    bytes_moved: int
    """Bytes that went through here, both ways; 0 when the object was there already."""
    parts: int


def obstacle(report: ArchiveReport) -> str | None:
    """Return why an archive cannot be spliced; None when it can."""
    if report.format != "tar.gz":
        return f"it is a {report.format}, not a tar.gz"
    if report.gzip_members != 1:
        return f"it has {report.gzip_members} gzip members"
    if report.plain_bytes is None or report.header_bytes is None:
        return "it was not decoded to its end"
    return (
        _of_code_last(report, report.seam)
        if report.seam and report.seam.code_last
        else _of_code_first(report)
    )


def _of_code_first(report: ArchiveReport) -> str | None:
    """Return why what lies behind the seam, or all where there is none, cannot be taken over; None when it can."""
    taken_over = report.seam.plain_length if report.seam else 0
    code = [m.path for m in report.members if _is_code(m) and (m.at or 0) > taken_over]
    if code:
        return f"it holds code of its own: {code[0]!r}"
    dropped = [m.path for m in report.members if not _is_code(m) and (m.at or 0) <= taken_over]
    if dropped:
        return f"{dropped[0]!r} lies before its seam"
    return None


def _of_code_last(report: ArchiveReport, seam: Seam) -> str | None:
    """Return why what lies before the seam cannot be taken over; None when it can."""
    before = [m for m in report.members if (m.at or 0) <= seam.plain_length]
    code = [m.path for m in before if _is_code(m)]
    if code:
        return f"it holds code of its own: {code[0]!r}"
    dropped = [m.path for m in report.members if not _is_code(m) and (m.at or 0) > seam.plain_length]
    if dropped:
        return f"{dropped[0]!r} lies behind its seam"
    # The tar must go on there: no end of it, and no header of which only the member is missing.
    ends = [(m.at or 0) + m.size + len(padding(m.size)) for m in before]
    if not ends or max(ends) != seam.plain_length:
        return "no member ends at its seam"
    return None


def _is_code(member: Member) -> bool:
    return member.path.split("/")[0] == "code"


def plan_splice(report: ArchiveReport, trailer: bytes, code: CodePart) -> Splice:
    """Return how to give a verified archive this code; `trailer` ends its gzip stream.

    Raises:
        ValueError: the archive cannot be spliced (see `obstacle`).
    """
    reason = obstacle(report)
    if reason is not None or report.plain_bytes is None or report.header_bytes is None:
        raise ValueError(f"{report.name} cannot be spliced: {reason}")
    whole = int.from_bytes(trailer[:4], "little")
    header_bytes = len(deflate.gzip_header(bytes(EXTRA_BYTES)))
    old, end = report.seam, report.size - report.padding - deflate.TRAILER_BYTES
    if old and old.code_last:
        rest = archive_end(code)
        kept = old.offset - report.header_bytes
        seam = Seam(header_bytes + kept, old.plain_length, rest.crc, rest.plain_length, code_last=True)
        model_crc = deflate.crc32_first(whole, old.crc, old.rest_length)
        crc = deflate.crc32_combine(model_crc, rest.crc, rest.plain_length)
        return Splice(
            head=deflate.gzip_header(seam.to_extra()),
            start=report.header_bytes,
            end=old.offset,
            tail=rest.deflated + deflate.gzip_trailer(crc, old.plain_length + rest.plain_length),
            seam=seam,
        )
    rest_length = report.plain_bytes - (old.plain_length if old else 0)
    rest_crc = deflate.crc32_rest(whole, old.crc, rest_length) if old else whole
    seam = Seam(header_bytes + len(code.deflated), code.plain_length, code.crc, rest_length)
    crc = deflate.crc32_combine(code.crc, rest_crc, rest_length)
    return Splice(
        head=deflate.gzip_header(seam.to_extra()) + code.deflated,
        start=old.offset if old else report.header_bytes,
        end=end,
        tail=deflate.gzip_trailer(crc, code.plain_length + rest_length),
        seam=seam,
    )


def read_trailer(source: Source, padding: int) -> bytes:
    """Return the last eight bytes of an archive's gzip stream, which `padding` zeros follow."""
    return source.read(source.size - padding - deflate.TRAILER_BYTES, deflate.TRAILER_BYTES)


def splice(client: S3Client, source: S3Source, plan: Splice, target: Target) -> Written:
    """Write the new archive; do nothing when it is there already."""
    if target.holds(client, plan.size):
        return Written(target, plan.size, plan.seam, 0, 0)
    before = source.bytes_read
    if plan.size <= _SMALL:
        body = plan.head + source.read(plan.start, plan.end - plan.start) + plan.tail
        target.put(client, body)
        return Written(target, plan.size, plan.seam, source.bytes_read - before + len(body), 1)
    written, parts = _write_parts(client, source, plan, target)
    return Written(target, plan.size, plan.seam, source.bytes_read - before + written, parts)


def _write_parts(client: S3Client, source: S3Source, plan: Splice, target: Target) -> tuple[int, int]:
    # A part must have 5 MiB: what the head lacks is taken from the model's beginning.
    filler = max(MIN_PART - len(plan.head), 0)
    middle = plan.start + filler
    if plan.end - middle < MIN_PART:
        whole = plan.head + source.read(plan.start, plan.end - plan.start) + plan.tail
        target.put(client, whole)
        return len(whole), 1
    first = plan.head + source.read(plan.start, filler)
    ranges = list(copy_ranges(middle, plan.end))
    with MultipartUpload(client, target) as upload:
        upload.put(first)
        for start, end in ranges:
            upload.copy(source, start, end)
        upload.put(plan.tail)
        upload.complete(plan.size)
    return len(first) + len(plan.tail), len(ranges) + 2
