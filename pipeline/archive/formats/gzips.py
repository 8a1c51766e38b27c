"""A gzip stream being decoded: members, checksums, lengths, and what must not follow them.

Owns RFC 1952 around the deflate data. It refuses to hold more than one piece of output, and stops at the
first byte that is not what it should be.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from pipeline.archive.build.seams import find_seam
from pipeline.archive.checks.report import Unreadable
from pipeline.archive.formats import deflate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.archive.build.seams import Seam
    from pipeline.archive.checks.rules import Rules

_HEADER_BYTES: Final = 64
_FIRST_STRIDE: Final = 2048
_FREE_MEMBERS: Final = 4096
_MEMBER_BYTES: Final = 512
"""Each member costs a decoder of its own, whatever it holds: more of them than this are there to cost time."""
PIECE_BYTES: Final = 1 << 20
"""Plain bytes handed on at a time: what a hostile stream can make us hold."""

_UPLOAD_AGAIN: Final = "compare its checksum with the original's, and upload it again"


class _GzipPart(Enum):
    HEADER = auto()
    BODY = auto()
    TRAILER = auto()
    END = auto()
    PADDING = auto()


class GzipDecoder:
    """Turns compressed pieces of any size into plain ones; feed it in order, then call `finish`."""

    def __init__(self, rules: Rules) -> None:
        self.members = 0
        """gzip members begun so far."""
        self.plain_bytes = 0
        self.compressed_bytes = 0
        self.padding = 0
        """Zeros after the last member, which gzip and Python pass over."""
        self.header_bytes = 0
        """Bytes of the first member's header: its deflate data begins there."""
        self.seam: Seam | None = None
        """The first member's seam, as noted; borne out once `seam_checked`."""
        self.seam_checked = False
        """Whether it was come by, and the stream stood there as it says."""
        self._rules = rules
        self._expecting = _GzipPart.HEADER
        self._held = b""
        self._inflater: deflate.Inflater = deflate.inflater()
        self._probe: deflate.CopyableInflater | None = None
        """The decoder, as long as the seam lies ahead."""
        self._full = False
        self._stride = _FIRST_STRIDE
        self._crc = 0
        self._crc_before = 0
        """Of the plain bytes before the seam."""
        self._length = 0
        self._consumed = 0

    @property
    def ended(self) -> bool:
        """Tell whether the stream may end here."""
        return self._expecting in {_GzipPart.END, _GzipPart.PADDING} and not self._held

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the plain bytes of the next piece; raise Unreadable where the stream is damaged."""
        self.compressed_bytes += len(piece)
        for step in deflate.steps(piece):
            yield from self._decode(step)

    def _decode(self, data: memoryview) -> Iterator[bytes]:
        # When the output was full, the decoder may hold more of it, and even the stream's end.
        while data or self._full:
            if self._expecting is _GzipPart.BODY:
                plain, data = self._inflate(data)
                if plain:
                    yield plain
            elif self._expecting is _GzipPart.HEADER:
                data = self._read_header(data)
            elif self._expecting is _GzipPart.TRAILER:
                data = self._read_trailer(data)
            elif self._expecting is _GzipPart.PADDING:
                data = self._read_padding(data)
            else:
                data = self._read_next(data)

    def finish(self) -> None:
        """Raise Unreadable when the stream ended too early."""
        if self.ended:
            return
        if self._expecting is _GzipPart.END:
            raise self._garbage()
        what = {
            _GzipPart.HEADER: "its header",
            _GzipPart.BODY: "its compressed data",
            _GzipPart.TRAILER: "its checksum",
        }[self._expecting]
        raise Unreadable(
            "GzipCutShort",
            f"the gzip stream ends after {self.compressed_bytes} bytes, inside {what}",
            "a complete gzip stream",
            f"the archive was cut short: {_UPLOAD_AGAIN}",
        )

    def _read_header(self, data: memoryview) -> memoryview:
        before = len(self._held)
        # As much again as is held: a header of any length is read in linear time, and one that is short copies little.
        taken = data[: max(before, _HEADER_BYTES)]
        self._held += taken
        try:
            header = deflate.read_gzip_header(self._held)
        except deflate.CodecError as error:
            raise Unreadable("NotGzip", str(error), "a gzip stream", "pack it with gzip: tar czf") from error
        if header is None:
            if len(self._held) > self._rules.max_header_bytes:
                raise Unreadable(
                    "GzipHeaderTooLong",
                    f"a gzip header of more than {self._rules.max_header_bytes} bytes",
                    "a name and a comment of ordinary length",
                    "pack it again: gzip --no-name",
                )
            return data[len(taken) :]
        self._held = b""
        self.members += 1
        self._consumed += header.length
        self._check_members()
        self._stride = _FIRST_STRIDE
        if self.members == 1:
            self.header_bytes = header.length
            self.seam = find_seam(header.extra)
        self._probe = deflate.copyable_inflater() if self.seam and not self.seam_checked else None
        self._inflater = self._probe or deflate.inflater()
        self._crc = self._length = 0
        self._expecting = _GzipPart.BODY
        return data[header.length - before :]

    def _inflate(self, data: memoryview) -> tuple[bytes, memoryview]:
        # What a member does not use of a piece is copied: a short member must not be given a long piece.
        window = data[: self._stride]
        self._stride = min(2 * self._stride, deflate.STEP_BYTES)
        if self.seam is not None and self._probe is not None:
            window = window[: max(self.seam.offset - self._consumed, 0)]
        elif self._full:
            window = data[:0]
        inflater = self._inflater
        try:
            plain = deflate.inflate(inflater, window, PIECE_BYTES)
        except deflate.CodecError as error:
            raise Unreadable(
                "GzipDamaged",
                f"the compressed data is damaged after {self.plain_bytes} plain bytes ({error})",
                "an intact deflate stream",
                f"the archive was damaged on its way: {_UPLOAD_AGAIN}",
            ) from error
        self._crc = deflate.crc32(plain, self._crc)
        self._length += len(plain)
        self.plain_bytes += len(plain)
        self._full = len(plain) == PIECE_BYTES and not inflater.eof
        rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        used = len(window) - len(rest)
        self._consumed += used
        # ISA-L keeps what it has not decoded when its output is full; at the stream's end it may give some of it back.
        data = data[used:] if used >= 0 else memoryview(rest + bytes(data))
        self._check_ratio()
        if inflater.eof:
            if self.seam is not None and self._probe is not None:
                raise self._wrong_seam(self.seam)
            self._expecting = _GzipPart.TRAILER
        elif self._probe is not None and self.seam is not None and self._at_seam(data):
            self._cross(self.seam, self._probe)
        return plain, data

    def _at_seam(self, data: memoryview) -> bool:
        return bool(data) and not self._full and self.seam is not None and self._consumed >= self.seam.offset

    def _cross(self, seam: Seam, probe: deflate.CopyableInflater) -> None:
        # From here on a new decoder, which knows nothing of what came before: if the checksum at the end fits,
        # the second part stands by itself, as the note says. The old decoder must be between two blocks at a
        # byte's end, or it would read on otherwise than the new one.
        there = (self._consumed, self._length)
        fits = there == (seam.offset, seam.plain_length) and (seam.code_last or self._crc == seam.crc)
        if not fits or not deflate.between_blocks(probe):
            raise self._wrong_seam(seam)
        self.seam_checked = True
        self._crc_before = self._crc
        self._probe = None
        self._inflater = deflate.inflater()

    def _wrong_seam(self, seam: Seam) -> Unreadable:
        return Unreadable(
            "SeamWrong",
            f"the archive's own note of where its code and its model meet does not fit: {seam}",
            f"a block's end there; seen {self._length} plain bytes with CRC-32 {self._crc:08x} "
            f"in the first {self._consumed}",
            "the archive was changed after it was packed: pack it again",
        )

    def _check_members(self) -> None:
        if self.members <= _FREE_MEMBERS + self._consumed // _MEMBER_BYTES:
            return
        raise Unreadable(
            "GzipTooManyMembers",
            f"{self.members} gzip members in {self._consumed} bytes",
            f"members of {_MEMBER_BYTES} bytes and more, as pigz and bgzip write them",
            "pack it again: gunzip, then gzip",
        )

    def _check_ratio(self) -> None:
        limit = self._rules.max_ratio
        if self.plain_bytes <= max(self._rules.ratio_from, limit * self._consumed):
            return
        raise Unreadable(
            "ExpandsTooMuch",
            f"{self._consumed} compressed bytes became {self.plain_bytes}",
            f"at most {limit} times as many; quantised weights give 1.1",
            "pack a model with real weights",
        )

    def _read_trailer(self, data: memoryview) -> memoryview:
        missing = deflate.TRAILER_BYTES - len(self._held)
        self._held += data[:missing]
        if len(self._held) < deflate.TRAILER_BYTES:
            return data[len(data) :]
        trailer, self._held = self._held, b""
        self._expecting = _GzipPart.END
        crc = int.from_bytes(trailer[:4], "little")
        length = int.from_bytes(trailer[4:], "little")
        if crc != self._crc:
            raise Unreadable(
                "GzipWrongChecksum",
                f"CRC-32 {self._crc:08x} over {self._length} plain bytes, {crc:08x} in the trailer",
                "equal checksums",
                f"the archive was damaged on its way: {_UPLOAD_AGAIN}",
            )
        if length != self._length & 0xFFFFFFFF:
            raise Unreadable(
                "GzipWrongLength",
                f"{self._length & 0xFFFFFFFF} plain bytes modulo 2^32, {length} in the trailer",
                "equal lengths",
                f"the archive was damaged on its way: {_UPLOAD_AGAIN}",
            )
        seam = self.seam if self.members == 1 else None
        if seam is not None:
            fits = self._length == seam.plain_length + seam.rest_length
            if fits and seam.code_last:
                # The length first: one that is a mere claim may be any number.
                fits = deflate.crc32_rest(self._crc, self._crc_before, seam.rest_length) == seam.crc
            if not fits:
                raise self._wrong_seam(seam)
        return data[missing:]

    def _read_padding(self, data: memoryview) -> memoryview:
        # Python would read another member after the zeros, gzip would not: nothing may follow them.
        rest = bytes(data).lstrip(b"\0")
        if rest:
            self._held = rest[:4]
            raise self._garbage()
        self.padding += len(data)
        return data[len(data) :]

    def _read_next(self, data: memoryview) -> memoryview:
        if not self._held and not data[0]:
            self._expecting = _GzipPart.PADDING
            return data
        missing = len(deflate.GZIP_MAGIC) - len(self._held)
        self._held += data[:missing]
        if not deflate.GZIP_MAGIC.startswith(self._held):
            raise self._garbage()
        if len(self._held) == len(deflate.GZIP_MAGIC):
            # The magic stays held: the header begins with it.
            self._expecting = _GzipPart.HEADER
        return data[missing:]

    def _garbage(self) -> Unreadable:
        return Unreadable(
            "TrailingGarbage",
            f"bytes after the end of the gzip stream, beginning with {self._held[:4].hex(' ')!r}",
            "nothing but zeros after the last gzip member",
            f"something was appended: {_UPLOAD_AGAIN}",
        )
