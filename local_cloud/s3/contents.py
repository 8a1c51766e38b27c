"""What the objects of the local cloud's S3 hold: on disk, in pieces that several objects may share.

Owns where bytes lie and how they are read, a little at a time; an object that is copied, or put together of parts, is
made of the same pieces, and no byte is moved. Files have no name: they go with the last object that needs them, and
with the process, however that ends. Refuses to know what an object is called, and who may read it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from pipeline.archive.formats import deflate
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

STEP: Final = MiB
"""Bytes that are in memory at a time, of each request."""
_VOLUME: Final = 256 * MiB
"""Bytes after which the next file is begun: few enough files to keep open, and none that one object keeps for long."""
_EXTENT: Final = 16 * MiB
"""Bytes that are reserved at a time for what does not say how long it is."""
_LEFT: Final = 256 * MiB
"""Bytes of the disk that stay free: whatever else is written there needs some."""


class DiskFull(OSError):
    """There is no room for an object; the message says where, how much there is and how much is needed."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Volume:
    """A file of many pieces; it goes when nothing refers to it any more."""

    descriptor: int
    end: int = 0

    def __post_init__(self) -> None:
        weakref.finalize(self, os.close, self.descriptor)


@dataclass(frozen=True, slots=True)
class _Region:
    """A piece of a volume. Nobody else writes there."""

    volume: _Volume
    start: int
    size: int

    def cut(self, start: int, end: int) -> _Region:
        return _Region(self.volume, self.start + start, end - start)

    def read(self, start: int, size: int) -> bytes:
        return os.pread(self.volume.descriptor, size, self.start + start)


@dataclass(frozen=True, slots=True)
class _Memory:
    """A few bytes."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def cut(self, start: int, end: int) -> _Memory:
        return _Memory(self.data[start:end])

    def read(self, start: int, size: int) -> bytes:
        return self.data[start : start + size]


_Piece = _Region | _Memory


class ObjectContent:
    """The bytes of an object or of a part. They never change, so its sums are made once."""

    __slots__ = ("__weakref__", "_md5", "known_crc", "pieces", "size")

    def __init__(self, pieces: Iterable[_Piece], *, md5: str | None = None, crc: int | None = None) -> None:
        self.pieces = tuple(piece for piece in pieces if piece.size)
        self.size = sum(piece.size for piece in self.pieces)
        self._md5 = md5
        self.known_crc = crc

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the content that a few bytes are."""
        return cls([_Memory(data)])

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Return the content of a file that is there already, and stays as it is."""
        descriptor = os.open(path, os.O_RDONLY)
        size = os.fstat(descriptor).st_size
        return cls([_Region(_Volume(descriptor, size), 0, size)])

    @classmethod
    def joined(cls, contents: Iterable[ObjectContent]) -> Self:
        """Return contents one after the other; nothing is copied."""
        pieces: list[_Piece] = []
        crc: int | None = 0
        for one in contents:
            pieces += one.pieces
            # Only a sum that is known already: nobody may ever ask for the whole one.
            crc = (
                None
                if crc is None or one.known_crc is None
                else deflate.crc32_combine(crc, one.known_crc, one.size)
            )
        return cls(pieces, crc=crc)

    def __deepcopy__(self, _memo: object) -> ObjectContent:
        return self

    def part(self, start: int, end: int) -> ObjectContent:
        """Return the bytes from `start` to before `end`; nothing is copied."""
        found: list[_Piece] = []
        at = 0
        for piece in self.pieces:
            first, last = max(start - at, 0), min(end - at, piece.size)
            if first < last:
                found.append(piece.cut(first, last))
            at += piece.size
        return ObjectContent(found)

    def stream(self) -> Iterator[bytes]:
        """Yield the bytes, a little at a time."""
        for piece in self.pieces:
            for at in range(0, piece.size, STEP):
                yield piece.read(at, min(STEP, piece.size - at))

    def read(self) -> bytes:
        """Return all bytes, which then are in memory."""
        return b"".join(self.stream())

    def md5(self) -> str:
        """Return the MD5 in hexadecimal."""
        if self._md5 is None:
            self._md5 = self.digest("md5").hex()
        return self._md5

    def crc32(self) -> int:
        """Return the CRC-32."""
        if self.known_crc is None:
            crc = 0
            for piece in self.stream():
                crc = deflate.crc32(piece, crc)
            self.known_crc = crc
        return self.known_crc

    def digest(self, algorithm: str) -> bytes:
        """Return a digest by hashlib's name of it."""
        made = hashlib.new(algorithm, usedforsecurity=False)
        for piece in self.stream():
            made.update(piece)
        return made.digest()


@dataclass(slots=True)
class Disk:
    """Where contents lie: files without a name in the temporary folder (TMPDIR)."""

    folder: str = field(default_factory=tempfile.gettempdir)
    free: Callable[[str], int] = lambda folder: shutil.disk_usage(folder).free
    """Returns how many bytes are free where a folder lies."""
    _volume: _Volume | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, pieces: Iterable[bytes], size: int | None = None) -> ObjectContent:
        """Write pieces as they come; return their content.

        Args:
            pieces: the bytes.
            size: how many they are, when that is known.

        Raises:
            DiskFull: when there is no room for them.
        """
        regions: list[_Region] = []
        md5, crc, room = hashlib.md5(usedforsecurity=False), 0, 0
        for piece in pieces:
            view = memoryview(piece)
            md5.update(view)
            crc = deflate.crc32(view, crc)
            while view:
                if not room:
                    regions.append(self._reserve(size or _EXTENT))
                    room = regions[-1].size
                last = regions[-1]
                try:
                    done = os.pwrite(last.volume.descriptor, view[:room], last.start + last.size - room)
                except OSError as error:
                    raise self._full(len(view)) from error
                view, room = view[done:], room - done
        if room:
            regions[-1] = regions[-1].cut(0, regions[-1].size - room)
        return ObjectContent(regions, md5=md5.hexdigest(), crc=crc)

    def _reserve(self, size: int) -> _Region:
        if self.free(self.folder) < size + _LEFT:
            raise self._full(size)
        with self._lock:
            if self._volume is None or self._volume.end >= _VOLUME:
                with tempfile.TemporaryFile(buffering=0, dir=self.folder) as file:
                    self._volume = _Volume(os.dup(file.fileno()))
            volume = self._volume
            region = _Region(volume, volume.end, size)
            volume.end += size
        return region

    def _full(self, size: int) -> DiskFull:
        free = self.free(self.folder)
        return DiskFull(
            f"the local cloud keeps objects in {self.folder}, where {free // MiB} MiB are free; wanted {size // MiB} "
            f"MiB and {_LEFT // MiB} MiB to spare; free some, or set TMPDIR to a folder on a larger disk"
        )
