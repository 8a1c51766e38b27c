"""Extract a model archive into a folder, as the platform does and no more trustingly.

Owns the extraction: the whole gzip stream is read, so that a wrong checksum or a cut file is found; only
regular files and folders inside the target are made; the disk budget bounds every byte. Refuses links,
devices, sparse files, absolute paths and `..`: links fail on the platform as well (developer guide,
deploy-model-troubleshoot).
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CHUNK = 1024 * 1024


class UnreadableArchiveError(Exception):
    """The file is not a tar.gz that may be extracted; the message says why."""


class ArchiveTooLargeError(Exception):
    """Archive and contents together exceed the disk."""


class UnpackingCancelledError(Exception):
    """The caller no longer wants the result."""


def unpack(archive: Path, target: Path, *, disk_bytes: int, cancelled: Callable[[], bool]) -> int:
    """Extract `archive` into the existing folder `target`; return the bytes written.

    Raises:
        UnreadableArchiveError: when it is not a valid tar.gz, or has members that are refused.
        ArchiveTooLargeError: when archive and contents exceed `disk_bytes`.
        UnpackingCancelledError: when `cancelled` turned true on the way.
    """
    budget = _Budget(disk_bytes - archive.stat().st_size, cancelled)
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as tar:
                for member in tar:
                    _extract(tar, member, target, budget)
            # tar ends before gzip does: only the rest of the stream says whether the checksum is right.
            while stream.read(_CHUNK):
                budget.keep_going()
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        raise UnreadableArchiveError(f"{type(error).__name__}: {error}") from error
    return budget.spent


class _Budget:
    def __init__(self, available: int, cancelled: Callable[[], bool]) -> None:
        self._available = available
        self._cancelled = cancelled
        self.spent = 0
        self.spend(0)

    def spend(self, count: int) -> None:
        self.keep_going()
        self.spent += count
        if self.spent > self._available:
            raise ArchiveTooLargeError

    def keep_going(self) -> None:
        if self._cancelled():
            raise UnpackingCancelledError


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, budget: _Budget) -> None:
    path = target.joinpath(*_parts(member.name))
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        budget.spend(0)
        return
    if not member.isreg() or member.issparse():
        raise UnreadableArchiveError(f"member {member.name!r} is neither a regular file nor a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    if content is None:
        raise UnreadableArchiveError(f"member {member.name!r} has no content")
    with path.open("wb") as sink:
        written = _copy(content, sink, budget)
    if written != member.size:
        raise UnreadableArchiveError(f"member {member.name!r} ends after {written} of {member.size} bytes")
    path.chmod(0o755 if member.mode & 0o111 else 0o644)


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name:
        raise UnreadableArchiveError(f"member {name!r} points outside the archive")
    return parts


def _copy(content: IO[bytes], sink: IO[bytes], budget: _Budget) -> int:
    total = 0
    while chunk := content.read(_CHUNK):
        budget.spend(len(chunk))
        sink.write(chunk)
        total += len(chunk)
    return total
