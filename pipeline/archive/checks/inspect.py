"""A verdict from the first megabytes: format, layout and the model's header.

Owns the quick check. It reads `Rules.inspect_bytes` of an archive of any size, and more only as far as a model's header
goes (`read_budget`), and the code that an archive of ours has behind its weights. So it cannot see what else comes
after them, nor compare the checksum at the end: `verify` does. What it refuses, `verify` refuses too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.archive.checks.report import ArchiveReport, Unreadable
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.survey import Survey
from pipeline.archive.formats import deflate, zips
from pipeline.archive.formats.deflate import DEFLATE_MAX_RATIO
from pipeline.archive.formats.gzips import PIECE_BYTES, GzipDecoder
from pipeline.archive.formats.tars import TarReader
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.archive.build.seams import Seam
    from pipeline.archive.checks.members import Sink
    from pipeline.archive.s3.sources import Source

_FAR: Final = 64 * MiB
"""Plain bytes of one member's data that are not worth passing in the hope of another member."""
_BEHIND: Final = 32 * MiB
"""Of an archive behind its seam: our code and its runtime have 9."""
_BEHIND_PLAIN: Final = 256 * MiB
"""Of the tar behind it, for the same: a hostile one must not cost more."""


def inspect(source: Source, *, rules: Rules | None = None, seek: bool = False) -> ArchiveReport:
    """Return what the first megabytes of an archive tell, and what follows them as far as a header goes.

    Args:
        source: the archive.
        rules: what it is judged by, and how much is read of it.
        seek: whether to read on for a model that is not among the first megabytes; else one is that has begun there.
    """
    survey = Survey(source, rules or Rules(), "inspect")
    head = survey.begin()
    if survey.format == "tar.gz":
        survey.attempt(partial(_read_tar, survey, head, seek=seek))
    elif survey.format == "zip":
        survey.attempt(partial(_read_zip, survey))
    elif survey.format == "gguf":
        survey.attempt(partial(survey.read_gguf, head))
    return survey.report()


def _read_tar(survey: Survey, head: bytes, *, seek: bool) -> None:
    source, rules = survey.source, survey.rules
    decoder = GzipDecoder(rules)
    reader = TarReader(survey.census, rules)
    piece = head
    at = 0
    wanted = seek
    while piece:
        at += len(piece)
        for plain in decoder.feed(piece):
            survey.gzip_members = decoder.members
            survey.header_bytes = decoder.header_bytes
            survey.seam = decoder.seam if decoder.seam_checked else None
            reader.feed(plain)
            wanted = survey.census.reading() or (seek and survey.seeking)
            if reader.data_left > _FAR and not wanted:
                _check_left(reader.data_left, source.size - at)
                _read_code_behind(survey, decoder, reader)
                return
        piece = source.read(at, survey.budget.next(wanted=wanted)) if at < source.size else b""
    if at >= source.size:
        decoder.finish()
        reader.finish()
        survey.complete = True
        survey.plain_bytes = decoder.plain_bytes
        survey.padding = decoder.padding
    else:
        _check_left(reader.data_left, source.size - at)
        _read_code_behind(survey, decoder, reader)


def _read_code_behind(survey: Survey, decoder: GzipDecoder, reader: TarReader) -> None:
    """Read the code that lies behind the weights, by the archive's own note of where it is.

    Only what fits the note in each of its numbers is looked at; what does not is a whole pass's to tell.
    """
    seam, source = decoder.seam, survey.source
    if seam is None or not seam.code_last or decoder.seam_checked or survey.census.reading():
        return
    length = source.size - seam.offset
    if (
        not 0 < length <= _BEHIND
        or seam.rest_length > _BEHIND_PLAIN
        or not reader.pass_over(seam.plain_length)
    ):
        return
    data = source.read(seam.offset, length)
    if not _fits(data, seam):
        return
    for plain in _inflated(data, seam):
        reader.feed(plain)
    reader.finish()
    survey.complete = True
    survey.seam = seam


def _fits(data: bytes, seam: Seam) -> bool:
    """Tell whether these bytes end an archive with this seam: the second part by itself, and the trailer."""
    crc = length = 0
    try:
        for plain in _inflated(data, seam):
            crc, length = deflate.crc32(plain, crc), length + len(plain)
    except deflate.CodecError:
        return False
    plain_length = int.from_bytes(data[-4:], "little")
    return (crc, length) == (seam.crc, seam.rest_length) and plain_length == (
        seam.plain_length + length
    ) & 0xFFFFFFFF


def _inflated(data: bytes, seam: Seam) -> Iterator[bytes]:
    """Yield the plain bytes of a deflate stream that a trailer follows, no more than a seam announces.

    Raises:
        CodecError: it is none, does not end there, or is longer.
    """
    inflater = deflate.inflater()
    left, rest = seam.rest_length, memoryview(data)
    while not inflater.eof:
        plain = deflate.inflate(inflater, rest[: deflate.STEP_BYTES], PIECE_BYTES)
        rest = rest[deflate.STEP_BYTES :]
        left -= len(plain)
        if left < 0 or not (plain or rest or inflater.eof):
            raise deflate.CodecError("another length")
        yield plain
    if len(inflater.unused_data) + len(rest) != deflate.TRAILER_BYTES:
        raise deflate.CodecError("another end")


def _check_left(plain: int, compressed: int) -> None:
    if plain > compressed * DEFLATE_MAX_RATIO + MiB * DEFLATE_MAX_RATIO:
        raise Unreadable(
            "TarCutShort",
            f"a member needs {plain} more bytes, and only {compressed} compressed ones follow",
            "a complete archive",
            "the archive was cut short: compare its checksum with the original's, and upload it again",
        )


def _read_zip(survey: Survey) -> None:
    _, sinks = survey.open_zip()
    for entry, sink in sinks.items():
        if sink is not None and survey.census.awaits(sink):
            survey.attempt(partial(_read_entry, survey, entry, sink))


def _read_entry(survey: Survey, entry: zips.ZipEntry, sink: Sink) -> None:
    source, rules = survey.source, survey.rules
    at = zips.data_start(source.read(entry.offset, zips.local_bytes(entry)), entry)
    end = at + entry.compressed
    decoder = zips.EntryDecoder(entry, rules)
    while at < end and survey.census.awaits(sink):
        piece = source.read(at, min(survey.budget.next(wanted=True), end - at))
        if not piece:
            return
        at += len(piece)
        for plain in decoder.feed(piece):
            sink.write(plain)
    if at >= end:
        decoder.finish()
        sink.close()
