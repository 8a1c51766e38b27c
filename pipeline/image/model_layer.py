"""A model's files as one layer of an image, while they stream by: a tar in stored blocks of gzip, and both its names.

Owns the layer's bytes and the parts in which a registry takes them. Quantised weights do not deflate, so they are
stored; its length is known before its first byte, and equal files give equal bytes. Pure: files' bytes in, parts and
digests out, a few MiB held. A layer that is begun again after a break is hashed from its beginning, since half a digest
cannot be written down, but what the registry has received is not given out again. Refuses files that are longer or
shorter than was announced, and to send anything.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.archive.build.parts import END_OF_TAR, padding, tar_header
from pipeline.archive.formats import deflate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from pipeline.archive.formats.deflate import Buffer

FOLDER: Final = "opt/sealift/model"
"""Where the model lies in an image, without the slash that a tar's names have not."""
DIRECTORY: Final = f"/{FOLDER}"
"""The same, as the container's server is told."""
_HASHED_BESIDE: Final = 2
"""Pieces of each digest that are held for it alone, at most."""


@dataclass(frozen=True, slots=True)
class LayerFile:
    """One file of the layer."""

    name: str
    """Below `FOLDER`."""
    size: int
    """Bytes."""

    @property
    def header(self) -> bytes:
        """Return what stands before it in the tar."""
        return tar_header(f"{FOLDER}/{self.name}", self.size)

    @property
    def plain_length(self) -> int:
        """Return the bytes that it takes in the tar."""
        return len(self.header) + self.size + len(padding(self.size))


def plain_length(files: Sequence[LayerFile]) -> int:
    """Return the bytes of the tar: what the layer takes in an image that is unpacked, and a little more."""
    return len(_folder()) + sum(one.plain_length for one in files) + len(END_OF_TAR)


def length(files: Sequence[LayerFile]) -> int:
    """Return the bytes of the layer as it is stored and sent."""
    return len(deflate.gzip_header()) + deflate.stored_length(plain_length(files)) + deflate.TRAILER_BYTES


def _folder() -> bytes:
    return tar_header(FOLDER, 0, directory=True)


@dataclass(frozen=True, slots=True)
class LayerPart:
    """Consecutive bytes of the layer, as a registry takes them."""

    first: int
    """Where they begin."""
    data: bytes | bytearray
    """Nobody writes to them any more."""

    @property
    def end(self) -> int:
        """Return where the next part begins."""
        return self.first + len(self.data)


class LayerStream:
    """Files in, the layer's parts out: `begin` each file in the announced order, `write` its bytes, then `end`.

    Args:
        files: all of the layer, in their order.
        part_bytes: of each part but the last.
        received: how many bytes of the layer the registry has: they are hashed, and not given out.
    """

    def __init__(self, files: Sequence[LayerFile], part_bytes: int, *, received: int = 0) -> None:
        self.files = tuple(files)
        self.length = length(files)
        self._part_bytes = part_bytes
        self._waiting = list(self.files)
        self._current: LayerFile | None = None
        self._file_left = 0
        self._plain_left = self._plain_length = plain_length(files)
        self._block_left = 0
        self._crc = 0
        self._part = bytearray(min(part_bytes, self.length))
        self._filled = 0
        self._ready: deque[LayerPart] = deque()
        self._begun = 0
        self._received = received
        # Two hashes of every byte are most of the work, and neither knows of the other: each has a thread.
        self._digest = _Digest("layer")
        self._diff = _Digest("tar")
        self._put(deflate.gzip_header())
        self._add(_folder())

    @property
    def position(self) -> int:
        """Return how many bytes of the layer have been made, whether they were given out or are still to be."""
        return self._begun + self._filled

    @property
    def digest(self) -> str:
        """Return the layer's name; right after `finish`."""
        return self._digest.name()

    @property
    def diff_id(self) -> str:
        """Return the name of the tar in it; likewise."""
        return self._diff.name()

    def begin(self, name: str) -> None:
        """Begin the next file.

        Raises:
            ValueError: another one is next, or the one before lacks bytes.
        """
        self._close_file()
        if not self._waiting or self._waiting[0].name != name:
            wanted = repr(self._waiting[0].name) if self._waiting else "no more"
            raise ValueError(f"file {name!r} begins; wanted {wanted}; give the files in the announced order")
        self._current = self._waiting.pop(0)
        self._file_left = self._current.size
        self._add(self._current.header)

    def write(self, data: Buffer) -> None:
        """Append bytes of the file that was begun.

        Raises:
            ValueError: they are more than it was said to have.
        """
        if len(data) > self._file_left:
            name = self._current.name if self._current else "no file"
            more = len(data) - self._file_left
            raise ValueError(f"{name!r} has {more} bytes more than was announced; read it again")
        self._file_left -= len(data)
        self._add(data)

    def finish(self) -> None:
        """Close the layer; what is left of it comes with the last `take`.

        Raises:
            ValueError: a file is missing, or lacks bytes.
        """
        self._close_file()
        if self._waiting:
            raise ValueError(f"file {self._waiting[0].name!r} never came; give every announced file")
        self._add(END_OF_TAR)
        self._put(deflate.gzip_trailer(self._crc, self._plain_length))

    def take(self) -> Iterator[LayerPart]:
        """Yield the parts that are complete and that the registry has not; the last one after `finish`."""
        while self._ready:
            part = self._ready.popleft()
            if part.end > self._received:
                known = max(self._received - part.first, 0)
                yield LayerPart(part.first + known, part.data[known:]) if known else part

    def _close_file(self) -> None:
        if self._current is None:
            return
        if self._file_left:
            raise ValueError(
                f"{self._current.name!r} lacks {self._file_left} bytes of {self._current.size}; read it again"
            )
        self._add(padding(self._current.size))
        self._current = None

    def _add(self, data: Buffer) -> None:
        """Append plain bytes of the tar."""
        view = memoryview(data)
        self._diff.add(view)
        self._crc = deflate.crc32(view, self._crc)
        while view:
            if not self._block_left:
                # How much is still to come is known, and so is a block's length before its first byte.
                self._block_left = min(deflate.STORED_MAX, self._plain_left)
                final = self._block_left == self._plain_left
                self._put(deflate.stored_header(self._block_left, final=final))
            taken = view[: self._block_left]
            self._put(taken)
            self._block_left -= len(taken)
            self._plain_left -= len(taken)
            view = view[len(taken) :]
        if not isinstance(memoryview(data).obj, bytes):
            # Whoever gave it may write to it again.
            self._diff.settle(0)

    def _put(self, data: Buffer) -> None:
        """Append bytes of the layer."""
        view = memoryview(data)
        while view:
            taken = view[: len(self._part) - self._filled]
            self._part[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            view = view[len(taken) :]
            if self._filled == len(self._part):
                self._close_part()

    def _close_part(self) -> None:
        part = LayerPart(self._begun, self._part)
        self._ready.append(part)
        self._digest.add(part.data)
        self._begun, self._filled = part.end, 0
        self._part = bytearray(min(self._part_bytes, self.length - part.end))


class _Digest:
    """The SHA-256 of what is added, computed by a thread of its own, in order."""

    def __init__(self, name: str) -> None:
        self._sum = hashlib.sha256()
        self._worker = ThreadPoolExecutor(1, name)
        self._pending: deque[Future[None]] = deque()

    def add(self, data: Buffer) -> None:
        """Append bytes, which nobody may change until they are hashed; wait where too many are to be."""
        self.settle(_HASHED_BESIDE - 1)
        self._pending.append(self._worker.submit(self._sum.update, data))

    def settle(self, left: int) -> None:
        """Wait until no more pieces than that are still to be hashed."""
        while len(self._pending) > left:
            self._pending.popleft().result()

    def name(self) -> str:
        """Return how registries call all that was added."""
        self.settle(0)
        return f"sha256:{self._sum.hexdigest()}"
