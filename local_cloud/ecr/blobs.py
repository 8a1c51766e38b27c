"""The bytes of layers and configurations: a file for each, however many repositories have it, and uploads in progress.

Owns the folder and what is in it: a part is written as it comes, its sum goes along, and no layer is ever in memory.
A file goes with the last thing that refers to its blob, and the folder with the local cloud. Refuses to know which
repository a blob is of, and ECR's rules for parts (`repositories`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import tempfile
import threading
import uuid
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from isal import igzip, igzip_lib, isal_zlib

from pipeline.archive.formats import deflate
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable

_LEFT: Final = 256 * MiB
"""Bytes of the disk that stay free: whatever else is written there needs some."""
_STEP: Final = MiB
_DAMAGES = cast(
    "tuple[type[Exception], ...]", (igzip_lib.error, isal_zlib.error)
)  # its stubs call them instances
_open_gzip = cast("Callable[[Path], IO[bytes]]", igzip.open)  # its stubs say nothing of it


class NoRoom(OSError):
    """There is no room for a part; the message says where, how much there is and how much is needed."""


class Blob:
    """A layer or a configuration, as it was uploaded; its file is there as long as this is."""

    def __init__(self, digest: str, size: int, path: Path) -> None:
        self.digest = digest
        self.size = size
        self.path = path
        weakref.finalize(self, path.unlink, missing_ok=True)

    @cached_property
    def unpacked(self) -> int:
        """Bytes that it has without gzip, read once; its own size when it is not gzip."""
        with self.path.open("rb") as file:
            packed = file.read(len(deflate.GZIP_MAGIC)) == deflate.GZIP_MAGIC
        return _unpacked(self.path) if packed else self.size


@dataclass(slots=True)
class LayerInParts:
    """A layer of which parts are there."""

    path: Path
    began: float
    """Seconds since 1970."""
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))
    size: int = 0
    parts: int = 0
    smallest_before_last: int | None = None
    """Bytes of the smallest part but for the last; None as long as there is none."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    _last: int = 0
    _sum: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        """Return the digest of what is there."""
        return f"sha256:{self._sum.hexdigest()}"

    def append(self, data: bytes) -> None:
        """Write a part behind the last one.

        Raises:
            OSError: it was not written; the upload is as it was before.
        """
        with self.path.open("r+b") as file:
            file.seek(self.size)
            try:
                file.write(data)
            except OSError:
                file.truncate(self.size)
                raise
        self._sum.update(data)
        if self.parts:
            before = self._last if self.smallest_before_last is None else self.smallest_before_last
            self.smallest_before_last = min(before, self._last)
        self.size += len(data)
        self.parts += 1
        self._last = len(data)

    def discard(self) -> None:
        """Take its file away."""
        self.path.unlink(missing_ok=True)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Blobs:
    """All blobs and uploads of the local cloud, in a folder of the temporary one (TMPDIR)."""

    folder: str = field(default_factory=tempfile.gettempdir)
    free: Callable[[str], int] = lambda folder: shutil.disk_usage(folder).free
    """Returns how many bytes are free where a folder lies."""
    _own: Path | None = None
    _known: weakref.WeakValueDictionary[str, Blob] = field(default_factory=weakref.WeakValueDictionary)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def place(self) -> Path | None:
        """Return the folder that all lies in; None as long as there is nothing."""
        return self._own

    def begin(self, now: float) -> LayerInParts:
        """Return a new upload."""
        upload = LayerInParts(self._path(), now)
        upload.path.touch()
        return upload

    def append(self, upload: LayerInParts, data: bytes) -> None:
        """Write a part of an upload.

        Raises:
            NoRoom: the disk is too full for it.
        """
        if self.free(self.folder) < len(data) + _LEFT:
            raise self._full(len(data))
        try:
            upload.append(data)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self._full(len(data)) from error
            raise

    def finish(self, upload: LayerInParts) -> Blob:
        """Return the blob that an upload is; the same one, when it is there already."""
        with self._lock:
            known = self._known.get(upload.digest)
            if known is not None:
                upload.discard()
                return known
            blob = Blob(upload.digest, upload.size, upload.path)
            self._known[blob.digest] = blob
            return blob

    def close(self) -> None:
        """Take the folder away."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)

    def _path(self) -> Path:
        with self._lock:
            if self._own is None:
                self._own = Path(tempfile.mkdtemp(prefix="sealift-ecr-", dir=self.folder))
                # Also when nobody closes it.
                weakref.finalize(self, shutil.rmtree, self._own, ignore_errors=True)
            return self._own / uuid.uuid4().hex

    def _full(self, size: int) -> NoRoom:
        free = self.free(self.folder)
        return NoRoom(
            f"the local cloud keeps layers in {self.folder}, where {free // MiB} MiB are free; wanted {size // MiB} "
            f"MiB and {_LEFT // MiB} MiB to spare; free some, or set TMPDIR to a folder on a larger disk"
        )


def _unpacked(path: Path) -> int:
    """Return how many bytes the members of a gzip file hold."""
    total = 0
    # Of what is damaged, as much as can be read: whoever unpacks it says what is wrong.
    with _open_gzip(path) as file, contextlib.suppress(EOFError, OSError, *_DAMAGES):
        while piece := file.read(_STEP):
            total += len(piece)
    return total
