"""The codec: deflate streams, their checksum, and the gzip wrapping around them.

Owns the choice of the deflate library: ISA-L decodes and sums, because it is the fastest; zlib encodes, and decodes
where a decoder has to be copied. It refuses to read or write files.

ISA-L takes Huffman codes that are incomplete, zlib and gzip do not. No encoder writes such codes, and no damage makes
them and keeps the CRC-32: only a forged stream can tell the two apart, and it fails where it is unpacked.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self, cast

from isal import igzip_lib, isal_zlib

if TYPE_CHECKING:
    from collections.abc import Iterator

Buffer = bytes | bytearray | memoryview

STEP_BYTES: Final = 256 << 10
"""To be decoded at a time: it counts as used up before it is, which must not hide how much it expands."""
GZIP_MAGIC: Final = b"\x1f\x8b"
DEFLATED: Final = 8
"""RFC 1952: the only compression method of gzip."""
TRAILER_BYTES: Final = 8
STORED_MAX: Final = 0xFFFF
"""RFC 1951 section 3.2.4: the longest stored block."""
STORED_HEADER_BYTES: Final = 5
DEFLATE_MAX_RATIO: Final = 1032
"""258 bytes from two bits: deflate cannot expand further (zlib's technical notes)."""
UNKNOWN_SYSTEM: Final = 255
_ISAL_ERROR: Final = cast("type[Exception]", isal_zlib.error)  # its stubs call the class an instance


class CodecError(Exception):
    """The bytes are not a deflate stream."""


class Inflater(Protocol):
    """One raw deflate stream being decoded."""

    @property
    def eof(self) -> bool:
        """Tell whether the final block has ended."""

    @property
    def unused_data(self) -> bytes:
        """Return what followed the final block in the last piece."""

    @property
    def unconsumed_tail(self) -> bytes:
        """Return what was not decoded yet because the output was full."""

    def decompress(self, data: Buffer, max_length: int = 0, /) -> bytes:
        """Return at most `max_length` plain bytes (0: all); when so many came, more may be held back."""


class CopyableInflater(Inflater, Protocol):
    """One raw deflate stream being decoded, whose state can be tried out."""

    def copy(self) -> Self:
        """Return a decoder in the same state."""


class _Igzip:
    """ISA-L's decoder, which keeps what it has not decoded yet."""

    unconsumed_tail = b""

    def __init__(self) -> None:
        self._decoder = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: Buffer, max_length: int = 0, /) -> bytes:
        return self._decoder.decompress(data, max_length or -1)


class Deflater(Protocol):
    """One raw deflate stream being written."""

    def compress(self, data: Buffer, /) -> bytes:
        """Return what is ready after `data`."""

    def flush(self, mode: int = zlib.Z_FINISH, /) -> bytes:
        """Return the rest, by default with the final block."""


FULL_FLUSH: Final = zlib.Z_FULL_FLUSH
"""End at a byte boundary, with no block open, and forget the window: another stream may follow."""


def inflater() -> Inflater:
    """Return the fastest decoder for one raw deflate stream."""
    return _Igzip()


def copyable_inflater() -> CopyableInflater:
    """Return a decoder that can say where it stands (see `between_blocks`)."""
    return zlib.decompressobj(-zlib.MAX_WBITS)


def deflater(level: int) -> Deflater:
    """Return an encoder for one raw deflate stream."""
    return zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)


def inflate(decoder: Inflater, data: Buffer, max_length: int) -> bytes:
    """Return at most `max_length` plain bytes; raise CodecError where the stream is damaged."""
    try:
        return decoder.decompress(data, max_length)
    except (_ISAL_ERROR, zlib.error) as error:
        raise CodecError(str(error)) from error


def steps(data: Buffer) -> Iterator[memoryview]:
    """Yield the data in pieces that are good to decode."""
    view = memoryview(data)
    for start in range(0, len(view), STEP_BYTES):
        yield view[start : start + STEP_BYTES]


def between_blocks(decoder: CopyableInflater) -> bool:
    """Tell whether a decoder stands between two blocks, at the end of a byte.

    Only there do final stored blocks mean what they say: anywhere else their bytes decode to something else, do
    not decode, or are not used up.
    """
    for content in (b"", b"seam"):
        probe = decoder.copy()
        try:
            plain = probe.decompress(stored_header(len(content), final=True) + content)
        except zlib.error:
            return False
        if plain != content or not probe.eof or probe.unused_data:
            return False
    return True


def crc32(data: Buffer, value: int = 0) -> int:
    """Return the CRC-32 of what `value` stands for, followed by `data`."""
    return isal_zlib.crc32(data, value)


def crc32_combine(first: int, second: int, second_length: int) -> int:
    """Return the CRC-32 of A followed by B from the CRC-32 of each and the length of B."""
    return isal_zlib.crc32_combine(first, second, second_length)


def crc32_rest(whole: int, first: int, rest_length: int) -> int:
    """Return the CRC-32 of B from that of A followed by B, that of A, and the length of B."""
    # The combination is an exclusive or, so it undoes itself.
    return crc32_combine(first, whole, rest_length)


def crc32_first(whole: int, rest: int, rest_length: int) -> int:
    """Return the CRC-32 of A from that of A followed by B, that of B, and the length of B."""
    # To append n zeros is to multiply by a power of x, whose order is 2^32 - 1 (the polynomial is primitive): as many
    # zeros as lack to a multiple of that take the multiplication back.
    return crc32_combine(whole ^ rest, 0, -rest_length % 0xFFFFFFFF)


def stored_header(length: int, *, final: bool = False) -> bytes:
    """Return the five bytes before a stored block that begins at a byte boundary."""
    return struct.pack("<BHH", final, length, length ^ STORED_MAX)


def stored_length(plain: int) -> int:
    """Return the bytes that `plain` bytes take as stored blocks."""
    blocks = max(1, -(-plain // STORED_MAX))
    return plain + blocks * STORED_HEADER_BYTES


def stored(data: Buffer, *, final: bool = False) -> Iterator[bytes | memoryview]:
    """Yield stored blocks that hold `data`; the last one closes the stream when `final`."""
    view = memoryview(data)
    starts = range(0, len(view), STORED_MAX) or range(1)
    for start in starts:
        block = view[start : start + STORED_MAX]
        yield stored_header(len(block), final=final and start == starts[-1])
        yield block


def gzip_header(extra: bytes = b"") -> bytes:
    """Return a gzip header without name and time, so that equal content gives equal bytes."""
    flags = 4 if extra else 0
    fixed = GZIP_MAGIC + struct.pack("<BBIBB", DEFLATED, flags, 0, 0, UNKNOWN_SYSTEM)
    return fixed + (struct.pack("<H", len(extra)) + extra if extra else b"")


def gzip_trailer(crc: int, length: int) -> bytes:
    """Return a gzip trailer: the checksum and the length modulo 2^32 of the plain bytes."""
    return struct.pack("<II", crc, length & 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class GzipHeader:
    """A gzip header as read: how many bytes it takes, and its extra field."""

    length: int
    extra: bytes


class _Short(Exception):
    """The header is not complete yet."""


def read_gzip_header(data: bytes) -> GzipHeader | None:
    """Return the gzip header at the start of `data`; None when more bytes are needed.

    Raises:
        CodecError: the bytes are not a gzip header.
    """
    magic = GZIP_MAGIC + bytes([DEFLATED])
    if not data.startswith(magic[: len(data)]):
        raise CodecError(f"the bytes {data[:3].hex(' ')!r} do not begin a gzip member")
    try:
        return _gzip_header(data)
    except _Short:
        return None


def _gzip_header(data: bytes) -> GzipHeader:
    # RFC 1952 section 2.3: ten fixed bytes, then what the flags announce, in the order of the flags below.
    _need(data, 10)
    flags = data[3]
    if flags & 0xE0:
        raise CodecError(f"the gzip header has reserved flags set ({flags:#04x})")
    at = 10
    extra = b""
    if flags & 4:
        _need(data, at + 2)
        length = int.from_bytes(data[at : at + 2], "little")
        at += 2 + length
        _need(data, at)
        extra = data[at - length : at]
    for flag in (8, 16):  # the original file's name, and a comment: each ends with a NUL
        if flags & flag:
            at = data.find(0, at) + 1
            if not at:
                raise _Short
    if flags & 2:
        at += 2
        _need(data, at)
        if int.from_bytes(data[at - 2 : at], "little") != crc32(data[: at - 2]) & 0xFFFF:
            raise CodecError("the gzip header's own checksum is wrong")
    return GzipHeader(at, extra)


def _need(data: bytes, length: int) -> None:
    if len(data) < length:
        raise _Short
