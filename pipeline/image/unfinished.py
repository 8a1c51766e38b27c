"""Uploads that were begun and not finished, remembered so that the next command goes on with them.

Owns the files in which they stand. No registry tells which uploads it has: whoever began one must remember it. Refuses
to know what a registry needs of it: a text.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pathlib import Path

KEPT_S: Final = 7 * 24 * 3600
"""Seconds for which an upload is remembered; Debian's registry purges its own after as many, others earlier."""
_MOST: Final = 64 * 1024


class Unfinished(Protocol):
    """Where uploads are remembered."""

    keeps: bool
    """Whether what was begun is worth keeping: else it is given up at once when it fails."""

    def recall(self, registry: str, digest: str) -> str | None:
        """Return what was written of a blob's upload."""

    def write(self, registry: str, digest: str, text: str) -> None:
        """Remember a blob's upload."""

    def forget(self, registry: str, digest: str) -> None:
        """Forget it."""


class Forgetful:
    """Nothing is remembered: for a task, whose uploads stand in the execution's data, and for tests."""

    keeps = False

    def recall(self, registry: str, digest: str) -> str | None:
        """Return None."""

    def write(self, registry: str, digest: str, text: str) -> None:
        """Do nothing."""

    def forget(self, registry: str, digest: str) -> None:
        """Do nothing."""


class UploadFiles:
    """A file for each upload in a folder; what cannot be written or read there is as good as forgotten."""

    keeps = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, registry: str, digest: str) -> str | None:
        """Return what was written of a blob's upload; None when nothing was."""
        path = self._path(registry, digest)
        with suppress(OSError, UnicodeDecodeError):
            if path.stat().st_size <= _MOST:
                return path.read_text(encoding="utf-8") or None
        return None

    def write(self, registry: str, digest: str, text: str) -> None:
        """Remember a blob's upload, readable for its owner alone: an upload's address is the right to write to it."""
        path = self._path(registry, digest)
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")

    def forget(self, registry: str, digest: str) -> None:
        """Forget it."""
        with suppress(OSError):
            self._path(registry, digest).unlink()

    def prune(self, now: float) -> None:
        """Remove what nobody came back for: registries have forgotten it as well.

        Args:
            now: seconds since 1970.
        """
        for path in self._folder.glob("*"):
            with suppress(OSError):
                if now - path.stat().st_mtime > KEPT_S:
                    path.unlink()

    def _path(self, registry: str, digest: str) -> Path:
        return self._folder / hashlib.sha256(f"{registry} {digest}".encode()).hexdigest()
