"""The root file systems of images, each extracted once and shared, read-only, by all containers of it.

Owns the folder that they lie in and who may extract when. A root is named by its image's digest, and is whole or not
there: it is made under another name. Refuses to know how layers are put together: `image_layers` does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from typing import TYPE_CHECKING

from local_cloud.hosting.containers.image_layers import apply_image, resolve
from local_cloud.hosting.containers.oci_bundle import FILES, POINTS, Accounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_cloud.hosting.containers.image_layers import ImageFiles

_READABLE = 0o755


class RootFilesystems:
    """All that were extracted so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._extracting: dict[str, threading.Lock] = {}

    def get(self, image: ImageFiles, *, cancelled: Callable[[], bool]) -> Path:
        """Return the root of an image; extract it when this is the first time. Takes the rights of root.

        Raises:
            BadLayerError: when its layers are not what they should be.
            LayersCancelledError: when `cancelled` turned true on the way.
        """
        root = self._folder / image.digest.replace(":", "-")
        with self._lock:
            own = self._extracting.setdefault(image.digest, threading.Lock())
        with own:
            if not root.is_dir():
                self._extract(image, root, cancelled)
        return root

    def _extract(self, image: ImageFiles, root: Path, cancelled: Callable[[], bool]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        growing = self._folder / f".{secrets.token_hex(8)}"
        growing.mkdir()
        growing.chmod(_READABLE)
        try:
            apply_image(image, growing, cancelled=cancelled)
            own = image.config.get("config") or {}
            _prepare(growing, (*POINTS, (own.get("WorkingDir") or "/")))
            os.rename(growing, root)  # noqa: PTH104 fails where another process was quicker, which is as good
        except OSError:
            if not root.is_dir():
                raise
        finally:
            shutil.rmtree(growing, ignore_errors=True)


def accounts_of(root: Path) -> Accounts:
    """Return the texts by which a root names its users."""
    return Accounts(_text(root, "etc/passwd"), _text(root, "etc/group"))


def _prepare(root: Path, folders: tuple[str, ...]) -> None:
    """Make what is mounted over, since nothing can be made in a root that is read-only."""
    for name in folders:
        resolve(root, name).mkdir(parents=True, exist_ok=True)
    for name in FILES:
        path = resolve(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=True)


def _text(root: Path, name: str) -> str:
    path = resolve(root, name)
    return path.read_text("utf-8", "replace") if path.is_file() else ""
