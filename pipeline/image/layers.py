"""Layers as they are written: a tar in gzip, of which the same files make the same bytes wherever that happens.

Owns how a file stands in a layer: sorted by path, root's, of no time, readable by all and writable by nobody. Data is
stored, not deflated: what deflates differs by library, version and processor, and so would the digests. Both digests,
of the tar and of its gzip, come of one pass, in constant memory. Refuses paths that are not below the root.

`entries` reads layers, whoever made them; `model_layer` writes the one of a model, while it comes from S3.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from pipeline.archive.formats import deflate
from pipeline.archive.formats.deflate import STORED_HEADER_BYTES, STORED_MAX, Buffer
from pipeline.errors import InvalidInput, Problem
from pipeline.image.manifest import DOCKER_LAYER, Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from pipeline.image.registry import Content

READABLE: Final = 0o444
RUNNABLE: Final = 0o555
"""Of programs, and of folders: writable by nobody."""
OPEN_FOLDER: Final = 0o755
SHARED: Final = frozenset({"opt"})
"""Folders that a base has as well: they keep the mode that every Debian gives them."""

_SETTLED_S: Final = 2.0
"""Since a file's last change: the coarsest clocks of file systems count so."""
_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
"""POSIX: two blocks of zeros end a tar. No more, which GNU tar would add up to its record."""
_READ_BYTES: Final = 1 << 20
_BATCH_BLOCKS: Final = 16
"""Of 64 KiB: what is stored must still be in the processor's cache when it is hashed and sent."""
_BATCHES: Final = 4
_SLOT: Final = STORED_HEADER_BYTES + STORED_MAX
_HEAD: Final = deflate.gzip_header()


@dataclass(frozen=True, slots=True)
class Opened:
    """A file's bytes, opened when their turn comes."""

    size: int
    open: Content
    identity: str = ""
    """Another one whenever the bytes are others; empty where nobody knows without reading them."""


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file or a symbolic link as it is to stand in a layer."""

    content: Path | Opened | bytes | str
    """Where a file's bytes lie, how they are opened, or they themselves; a text is where a link leads."""
    mode: int = READABLE


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """A layer that was written, all of it."""

    descriptor: Descriptor
    diff_id: str
    """The digest of the tar."""
    plain_size: int
    """Bytes of the tar, which is nearly what it takes unpacked."""


# -- the tar


def tree(files: Mapping[str, TreeFile]) -> Iterator[Buffer]:
    """Yield the tar of files by their paths below the root, with each folder on the way to them.

    Args:
        files: by path, without a slash at its beginning.

    Raises:
        InvalidInput: a path leads elsewhere, or a file is not what it was when the layer was begun.
    """
    folders = {above.as_posix() for path in files for above in PurePosixPath(checked(path)).parents} - {"."}
    if both := sorted(folders & set(files)):
        problem = Problem("WrongPath", f"{both[0]!r} as a file and as a folder", "one of both", "rename it")
        raise InvalidInput("layer", [problem])
    for path in sorted(folders | set(files)):
        if path in files:
            yield from _file(path, files[path])
        else:
            mode = OPEN_FOLDER if path in SHARED else RUNNABLE
            yield header(path, kind=tarfile.DIRTYPE, mode=mode)
    yield _END


def fingerprint(files: Mapping[str, TreeFile], now: float) -> str | None:
    """Return a text that is another one whenever `tree` would yield other bytes, without reading a file.

    Args:
        files: as `tree` takes them.
        now: seconds since 1970.

    Returns:
        None where that cannot be known: a file has no identity, or was changed so lately that another change would
        have the same time.
    """
    known = hashlib.sha256()
    # Who writes them otherwise makes other layers of the same files.
    own = [Path(__file__), Path(deflate.__file__)]
    for place, file in [*((f"\0{path.name}", TreeFile(path)) for path in own), *sorted(files.items())]:
        identity = _identity(file.content, now)
        if identity is None:
            return None
        known.update(json.dumps([place, file.mode, identity]).encode("utf-8", "surrogateescape"))
    return known.hexdigest()


def _identity(content: Path | Opened | bytes | str, now: float) -> str | None:
    if isinstance(content, str):
        return f"link {content}"
    if isinstance(content, bytes):
        return f"bytes {hashlib.sha256(content).hexdigest()}"
    if isinstance(content, Opened):
        return content.identity or None
    return stamp(content, now)


def stamp(path: Path, now: float) -> str | None:
    """Return what the file system says of a file, which a change of its bytes changes; None just after one."""
    status = path.stat()
    if now - max(status.st_mtime, status.st_ctime) < _SETTLED_S:
        return None
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def header(
    path: str, *, kind: bytes = tarfile.REGTYPE, mode: int = READABLE, size: int = 0, link: str = ""
) -> bytes:
    """Return the header of a member: root's, of no time; in pax where ustar has no room for its name or size."""
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.size, member.linkname = kind, mode, size, link
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def checked(path: str) -> str:
    """Return a path, relative to the root of an image.

    Raises:
        InvalidInput: it is not: absolute, not in its simplest form, above the root, or one that removes a file.
    """
    pure = PurePosixPath(path)
    odd = pure.is_absolute() or ".." in pure.parts or pure.as_posix() != path or path == "."
    if odd or "\0" in path or any(part.startswith(".wh.") for part in pure.parts):
        fix = "name it by its way from the root, without a slash before it"
        raise InvalidInput("layer", [Problem("WrongPath", repr(path), "a path below the root", fix)])
    return path


def _file(path: str, file: TreeFile) -> Iterator[Buffer]:
    content = file.content
    if isinstance(content, str):
        yield header(path, kind=tarfile.SYMTYPE, mode=0o777, link=content)
        return
    if isinstance(content, bytes):
        yield header(path, mode=file.mode, size=len(content))
        yield content
        yield bytes(-len(content) % _BLOCK)
        return
    with content.open() if isinstance(content, Opened) else content.open("rb") as opened:
        size = content.size if isinstance(content, Opened) else opened.seek(0, 2)
        opened.seek(0)
        yield header(path, mode=file.mode, size=size)
        left = size
        while left and (piece := opened.read(min(left, _READ_BYTES))):
            yield piece
            left -= len(piece)
        if left:
            raise _changed(path, size - left, size)
    yield bytes(-size % _BLOCK)


def _changed(path: str, came: int, size: int) -> InvalidInput:
    seen = f"{came} bytes of {path!r}"
    fix = "try again when nobody writes to it"
    return InvalidInput("layer", [Problem("FileChanged", seen, f"{size}, as it was begun", fix)])


# -- the gzip


def compressed_size(plain: int) -> int:
    """Return how many bytes a tar of `plain` bytes takes as a layer: known before one of them was read."""
    return len(_HEAD) + deflate.stored_length(plain) + deflate.TRAILER_BYTES


class LayerOutput:
    """A layer on its way: iterate once over its compressed bytes, then `layer` says what they were.

    Each piece is good until the next one is asked for. Two threads hash beside whoever sends.
    """

    def __init__(self, plain: Iterable[Buffer]) -> None:
        self._plain = plain
        self._layer: WrittenLayer | None = None
        self._tar_hash, self._gzip_hash = hashlib.sha256(), hashlib.sha256()
        self._crc = 0
        self._plain_size = self._size = 0

    @property
    def layer(self) -> WrittenLayer:
        """Return what was written; a mistake of the caller's before all of it was."""
        if self._layer is None:
            raise RuntimeError("the layer has not been read to its end")
        return self._layer

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the compressed bytes."""
        with ThreadPoolExecutor(1, "tar") as tar, ThreadPoolExecutor(1, "gzip") as gzip:
            hashing: deque[tuple[Future[None], Future[None]]] = deque()
            buffers = deque(bytearray(_SLOT * _BATCH_BLOCKS) for _ in range(_BATCHES))
            for length, is_last in _filled(self._plain, buffers):
                view = memoryview(buffers[0])[: _framed(buffers[0], length, is_last=is_last)]
                self._count(view, length)
                piece = self._joined(view, is_last=is_last)
                hashing.append(
                    (tar.submit(self._hash_tar, view, length), gzip.submit(self._gzip_hash.update, piece))
                )
                self._size += len(piece)
                yield piece
                buffers.rotate(-1)
                while len(hashing) >= (1 if is_last else _BATCHES):
                    for one in hashing.popleft():
                        one.result()
        digest = f"sha256:{self._gzip_hash.hexdigest()}"
        self._layer = WrittenLayer(
            Descriptor(DOCKER_LAYER, digest, self._size),
            f"sha256:{self._tar_hash.hexdigest()}",
            self._plain_size,
        )

    def _count(self, view: memoryview, length: int) -> None:
        for block in _blocks(view, length):
            self._crc = deflate.crc32(block, self._crc)
        self._plain_size += length

    def _hash_tar(self, view: memoryview, length: int) -> None:
        for block in _blocks(view, length):
            self._tar_hash.update(block)

    def _joined(self, view: memoryview, *, is_last: bool) -> memoryview:
        """Return a batch with what stands before the first and behind the last."""
        head = b"" if self._size else _HEAD
        tail = deflate.gzip_trailer(self._crc, self._plain_size) if is_last else b""
        return memoryview(b"".join((head, view, tail))) if head or tail else view


def _filled(plain: Iterable[Buffer], buffers: deque[bytearray]) -> Iterator[tuple[int, bool]]:
    """Fill the first of the buffers with plain bytes, in the places of blocks' data, as often as there are some.

    Yields how many are in it, and whether they are the last. Whoever gets that rotates the buffers before the next.
    """
    most = _BATCH_BLOCKS * STORED_MAX
    have = 0
    for chunk in plain:
        left = memoryview(chunk).cast("B")
        while left:
            if have == most:
                # Only now is it known that more comes: the last block says that it is.
                yield have, False
                have = 0
            block, within = divmod(have, STORED_MAX)
            taken = left[: STORED_MAX - within]
            at = block * _SLOT + STORED_HEADER_BYTES + within
            buffers[0][at : at + len(taken)] = taken
            have += len(taken)
            left = left[len(taken) :]
    yield have, True


def _framed(buffer: bytearray, length: int, *, is_last: bool) -> int:
    """Write the blocks' headers around their data; return how long it all is."""
    blocks = max(1, -(-length // STORED_MAX))
    for block in range(blocks):
        size = min(STORED_MAX, length - block * STORED_MAX)
        final = is_last and block == blocks - 1
        at = block * _SLOT
        buffer[at : at + STORED_HEADER_BYTES] = deflate.stored_header(size, final=final)
    return length + blocks * STORED_HEADER_BYTES


def _blocks(view: memoryview, length: int) -> Iterator[memoryview]:
    """Yield the plain bytes of a batch, block by block."""
    for start in range(0, length, STORED_MAX):
        at = start // STORED_MAX * _SLOT + STORED_HEADER_BYTES
        yield view[at : at + min(STORED_MAX, length - start)]


def write(plain: Iterable[Buffer], sink: Callable[[memoryview], object]) -> WrittenLayer:
    """Give a layer's compressed bytes to a sink, in order, and return what they were."""
    stream = LayerOutput(plain)
    for piece in stream:
        sink(piece)
    return stream.layer
