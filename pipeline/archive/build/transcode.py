"""An archive written anew on its way through: a zip, foreign ``code/``, several gzip members.

Owns the rewriting of what cannot be spliced, with a bounded amount of it in memory. Every checksum of the old
archive is compared before the new one is completed. It refuses what the rules refuse, and mends nothing
unasked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.archive.build.parts import ArchiveEnd, CodePart, archive_end, code_part, padding, tar_header
from pipeline.archive.build.seams import EXTRA_BYTES, Seam
from pipeline.archive.build.splice import Written
from pipeline.archive.checks.members import is_junk, is_relocatable, placed
from pipeline.archive.checks.report import ArchiveReport, Kind, Unreadable
from pipeline.archive.checks.rules import Rules
from pipeline.archive.formats import deflate, zips
from pipeline.archive.formats.gzips import GzipDecoder
from pipeline.archive.formats.tars import TarReader
from pipeline.archive.s3.multipart import MIN_PART, MultipartUpload
from pipeline.archive.s3.readahead import read_ahead
from pipeline.errors import InvalidArchive, Problem
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client

    from pipeline.archive.checks.members import Register
    from pipeline.archive.formats.deflate import Buffer
    from pipeline.archive.s3.multipart import Target
    from pipeline.archive.s3.sources import S3Source

    Progress = Callable[[int, int], None]

PART_BYTES: Final = 16 * MiB
"""Ten thousand of them make 160 GB."""
_UNDER_WAY: Final = 3
"""Parts being uploaded while the next one is filled: 64 MiB in all."""


def kept(report: ArchiveReport, *, relocate_model: bool = False, code: bool = False) -> dict[str, str]:
    """Return which files the new archive takes over: path in the old one to path in the new one.

    Directories need no entries, what a desktop left is left out, ``code/`` only stays when `code` says so; with
    `relocate_model` a model in a directory moves to the root.

    Raises:
        InvalidArchive: two files would come to lie in one place.
    """
    paths: dict[str, str] = {}
    taken: set[str] = set()
    for member in report.members:
        in_code = member.path.split("/")[0] == "code"
        if member.kind != "file" or (in_code and not code) or is_junk(member.path):
            continue
        path = (
            member.path.rsplit("/", 1)[-1] if relocate_model and is_relocatable(member.path) else member.path
        )
        if path in taken:
            raise InvalidArchive(report.name, [_collision(path)])
        taken.add(path)
        paths[member.path] = path
    return paths


def transcode(
    client: S3Client,
    source: S3Source,
    report: ArchiveReport,
    code: CodePart | None,
    target: Target,
    *,
    rules: Rules | None = None,
    relocate_model: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Write a new archive of an old one's files and this code, or its own; do nothing when it is there already.

    Raises:
        InvalidArchive: the old archive turned out to be damaged; the new one is not there.
    """
    paths = kept(report, relocate_model=relocate_model, code=code is None)
    code = code or code_part({})
    sizes = {member.path: member.size for member in report.members if member.path in paths}
    rest = archive_end(code)
    seam = _seam(rest, paths, sizes)
    size = seam.offset + len(rest.deflated) + deflate.TRAILER_BYTES
    if target.holds(client, size):
        return Written(target, size, seam, 0, 0)
    before = source.bytes_read
    with MultipartUpload(client, target) as upload:
        writer = _Writer(upload, seam, rest)
        relay = _Relay(writer, paths, rules or Rules())
        try:
            pass_by(source, report, relay, rules or Rules(), progress)
        except Unreadable as stop:
            raise InvalidArchive(source.name, [stop.problem]) from stop
        written = writer.end()
        upload.complete(written)
    return Written(target, written, seam, source.bytes_read - before + written, writer.parts)


def _collision(path: str) -> Problem:
    return Problem(
        "MendAmbiguous",
        f"two models that would both become {path!r}",
        "one model",
        "keep the one that is to be served, at the root of the archive",
    )


def _seam(code: ArchiveEnd, paths: Mapping[str, str], sizes: Mapping[str, int]) -> Seam:
    header_bytes = len(deflate.gzip_header(bytes(EXTRA_BYTES)))
    before = sum(
        len(tar_header(new, sizes[old])) + sizes[old] + len(padding(sizes[old])) for old, new in paths.items()
    )
    offset = header_bytes + deflate.stored_length(before)
    return Seam(offset, before, code.crc, code.plain_length, code_last=True)


def pass_by(
    source: S3Source, report: ArchiveReport, taker: Register, rules: Rules, progress: Progress | None = None
) -> None:
    """Read an archive once from its beginning to its end, and hand each member to whoever takes them.

    Args:
        source: the archive.
        report: of a check that accepted it.
        taker: called for each member as it begins.
        rules: what it was judged by.
        progress: called with bytes done and in all.

    Raises:
        Unreadable: it is damaged, or another one than was checked.
    """
    (_stream_zip if report.format == "zip" else _stream_tar)(source, taker, rules, progress)


def _stream_tar(source: S3Source, relay: Register, rules: Rules, progress: Progress | None) -> None:
    decoder = GzipDecoder(rules)
    reader = TarReader(relay, rules)
    done = 0
    for piece in read_ahead(source):
        for plain in decoder.feed(piece):
            reader.feed(plain)
        done += len(piece)
        if progress is not None:
            progress(done, source.size)
    decoder.finish()
    reader.finish()


def _stream_zip(source: S3Source, relay: Register, rules: Rules, progress: Progress | None) -> None:
    for entry in zips.read_directory(source, rules).entries:
        zips.check_entry(entry, rules)
        start = zips.data_start(source.read(entry.offset, zips.local_bytes(entry)), entry)
        decoder = zips.EntryDecoder(entry, rules)
        sink = relay.enter(entry.utf8_name, entry.size, entry.kind)
        for piece in read_ahead(source, start=start, end=start + entry.compressed):
            for plain in decoder.feed(piece):
                if sink is not None:
                    sink.write(plain)
        decoder.finish()
        if sink is not None:
            sink.close()
        if progress is not None:
            progress(entry.limit, source.size)


class _Relay:
    """Hands the wanted members' data to the writer as they pass by."""

    def __init__(self, writer: _Writer, paths: Mapping[str, str], rules: Rules) -> None:
        self._writer = writer
        self._paths = paths
        self._rules = rules

    def enter(
        self, name: bytes, size: int, kind: Kind, at: int | None = None, mode: int | None = None
    ) -> _Copy | None:
        del at, mode  # its place in the old tar means nothing in the new one, where all may read it
        path, _ = placed(name, self._rules)
        if kind != "file" or path not in self._paths:
            return None
        self._writer.add(tar_header(self._paths[path], size))
        return _Copy(self._writer, size)


class _Copy:
    """One member on its way."""

    def __init__(self, writer: _Writer, size: int) -> None:
        self._writer = writer
        self._size = size

    def write(self, data: Buffer) -> None:
        self._writer.add(data)

    def close(self) -> None:
        self._writer.add(padding(self._size))


class _Writer:
    """Plain bytes in, parts of a gzip stream out: them in stored blocks, then ``code/`` as it was deflated."""

    def __init__(self, upload: MultipartUpload, seam: Seam, code: ArchiveEnd) -> None:
        self.parts = 0
        self._upload = upload
        self._code = code
        self._part = bytearray(deflate.gzip_header(seam.to_extra()))
        self._block = bytearray()
        self._crc = 0
        self._plain = 0
        self._left = seam.plain_length
        self._size = 0

    def add(self, data: Buffer) -> None:
        """Append plain bytes."""
        self._crc = deflate.crc32(data, self._crc)
        self._plain += len(data)
        self._left -= len(data)
        view = memoryview(data)
        while view:
            taken = view[: deflate.STORED_MAX - len(self._block)]
            self._block += taken
            view = view[len(taken) :]
            if len(self._block) == deflate.STORED_MAX:
                self._close_block()

    def end(self) -> int:
        """Close the stream and return its length."""
        if self._left:
            raise ValueError(f"{self._left} plain bytes missing from what the seam announces")
        if self._block:
            self._close_block()
        code = self._code
        self._part += code.deflated
        crc = deflate.crc32_combine(self._crc, code.crc, code.plain_length)
        self._part += deflate.gzip_trailer(crc, self._plain + code.plain_length)
        self._send(len(self._part))
        return self._size

    def _close_block(self) -> None:
        self._part += deflate.stored_header(len(self._block))
        self._part += self._block
        self._block.clear()
        # What stays behind must not become a last part that is not the last.
        if len(self._part) >= PART_BYTES + MIN_PART:
            self._send(PART_BYTES)

    def _send(self, length: int) -> None:
        self._upload.put(bytes(self._part[:length]))
        self._upload.settle(_UNDER_WAY)
        del self._part[:length]
        self._size += length
        self.parts += 1
