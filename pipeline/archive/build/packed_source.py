"""A model as the archive that `pack` would make of it, read from any place and never written.

Owns the bytes of that archive as a function of the model's files: tar headers and stored blocks are laid between the
weights as they are read, so that an upload needs no second copy on the disk, and a part of it can be read again. It
holds no inference code: what is deployed gets the stack's own (`assembly`), and without any the bytes hang on the model
alone, so that an upload is resumed and recognized across releases. Refuses to judge what is in it.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from inference.sealift_models import companion_kind
from pipeline.archive.build.parts import archive_end, code_part, padding, stored_seam, tar_header
from pipeline.archive.formats import deflate
from pipeline.archive.formats.deflate import STORED_HEADER_BYTES, STORED_MAX
from pipeline.errors import InvalidArchive, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.archive.s3.sources import Source

_SLOT: Final = STORED_HEADER_BYTES + STORED_MAX
_READ: Final = 4 << 20
"""Bytes of a file that are summed at a time where nobody has read them yet."""


def of(files: Sequence[Source]) -> PackedSource:
    """Return the archive of a model's files, which go by their own names: what lies beside the model comes first."""
    named = [(source.name.rpartition("/")[2], source) for source in files]
    beside = sorted((one for one in named if companion_kind(one[0])), key=itemgetter(0))
    model = [one for one in named if not companion_kind(one[0])]
    return PackedSource((model or named)[0][1].name, [*beside, *model])


class PackedSource:
    """The archive of a model's files, as `pack` writes it without code.

    Args:
        name: what messages call it.
        files: the name in the archive and the bytes of each file, in their order.
    """

    def __init__(self, name: str, files: Sequence[tuple[str, Source]]) -> None:
        self.name = name
        self.identity: dict[str, str] = {}
        self.bytes_read = 0
        self._lock = Lock()
        behind = archive_end(code_part({}))
        seam = stored_seam([(path, source.size) for path, source in files], behind)
        pieces: list[_Piece] = [_Bytes(deflate.gzip_header(seam.to_extra()))]
        summed: list[_PlainPart] = []
        for path, source in files:
            content = _StoredFile(source)
            for part in (_Known(tar_header(path, source.size)), content, _Known(padding(source.size))):
                pieces.append(part)
                summed.append(part)
        summed.append(_SummedPart(behind.plain_length, behind.crc))
        pieces += [_Bytes(behind.deflated), _Trailer(summed)]
        self._pieces = pieces
        self._starts = list(accumulate((piece.size for piece in pieces), initial=0))

    @property
    def size(self) -> int:
        """Return its length in bytes."""
        return self._starts[-1]

    def read(self, start: int, length: int) -> bytes:
        """Return the `length` bytes from `start` on; fewer only where the archive ends.

        Raises:
            InvalidArchive: a file has become shorter.
        """
        end = min(start + length, self.size)
        found = []
        at = bisect_right(self._starts, start) - 1
        while start < end:
            begin, piece = self._starts[at], self._pieces[at]
            upto = min(end - begin, piece.size)
            found.append(piece.read(start - begin, upto))
            start, at = begin + upto, at + 1
        content = b"".join(found)
        with self._lock:
            self.bytes_read += len(content)
        return content


class _Piece(Protocol):
    """A part of the archive."""

    @property
    def size(self) -> int:
        """Return its length in bytes."""

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes between two places of it."""


class _PlainPart(Protocol):
    """A part of the tar."""

    @property
    def plain_size(self) -> int:
        """Return its length in bytes."""

    def crc(self) -> int:
        """Return its CRC-32."""


class _Bytes:
    """A part that is held in memory."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self._content = content

    def read(self, start: int, end: int) -> bytes:
        return self._content[start:end]


class _Known(_Bytes):
    """A few plain bytes in stored blocks; none at all where there is nothing to store."""

    def __init__(self, plain: bytes) -> None:
        super().__init__(b"".join(deflate.stored(plain)) if plain else b"")
        self.plain_size = len(plain)
        self._crc = deflate.crc32(plain)

    def crc(self) -> int:
        return self._crc


class _SummedPart:
    """A part of the tar whose checksum is known."""

    def __init__(self, plain_size: int, crc: int) -> None:
        self.plain_size = plain_size
        self._crc = crc

    def crc(self) -> int:
        return self._crc


class _StoredFile:
    """A file in stored blocks; whoever reads it from its beginning to its end has summed it as well."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.plain_size = source.size
        self.size = deflate.stored_length(source.size) if source.size else 0
        self._lock = Lock()
        self._summed = self._crc = 0

    def read(self, start: int, end: int) -> bytes:
        first = self._plain_at(start)
        plain = memoryview(self._plain(first, self._plain_at(end)))
        found: list[bytes | memoryview] = []
        for block in range(start // _SLOT, -(-end // _SLOT)):
            begin = block * _SLOT
            low, high = max(start - begin, 0), min(end - begin, _SLOT)
            header = deflate.stored_header(min(STORED_MAX, self.plain_size - block * STORED_MAX))
            found.append(header[low:high])
            before = block * STORED_MAX - STORED_HEADER_BYTES - first
            body = max(low, STORED_HEADER_BYTES)
            if body < high:
                found.append(plain[before + body : before + high])
        return b"".join(found)

    def crc(self) -> int:
        """Return the CRC-32 of the file; reads what nobody has read in order."""
        while self._summed < self.plain_size:
            at = self._summed
            self._plain(at, min(at + _READ, self.plain_size))
        return self._crc

    def _plain_at(self, place: int) -> int:
        """Return how many of the file's bytes lie before a place among the blocks."""
        block, within = divmod(place, _SLOT)
        return block * STORED_MAX + max(within - STORED_HEADER_BYTES, 0)

    def _plain(self, start: int, end: int) -> bytes:
        content = self._source.read(start, end - start)
        if len(content) < end - start:
            raise InvalidArchive(self._source.name, [_shortened(start + len(content), self.plain_size)])
        with self._lock:
            if start == self._summed:
                self._crc = deflate.crc32(content, self._crc)
                self._summed = end
        return content


class _Trailer:
    """The end of the gzip stream, which has the checksum of the whole tar."""

    size = deflate.TRAILER_BYTES

    def __init__(self, summed: Sequence[_PlainPart]) -> None:
        self._parts = summed

    def read(self, start: int, end: int) -> bytes:
        crc = plain_size = 0
        for part in self._parts:
            crc = deflate.crc32_combine(crc, part.crc(), part.plain_size)
            plain_size += part.plain_size
        return deflate.gzip_trailer(crc, plain_size)[start:end]


def _shortened(there: int, size: int) -> Problem:
    return Problem(
        "ModelChanged",
        f"the file ends after {there} bytes",
        f"{size} bytes, as when it was looked at first",
        "run the same command again when nobody writes to it",
    )
