"""Put an image's layers on top of each other in a folder, trusting none of them.

Owns the rules of layers: a later one replaces what an earlier one has, `.wh.NAME` takes NAME away, `.wh..wh..opq` all
that lay below a folder, hard links are made within the root alone, and what a layer unpacks to must be what the image's
configuration says (its diff ID). Links are followed as a container would, from the root and never out of it. Refuses
absolute names, `..`, and what is cut off or not gzip or tar. Device files and pipes are left out: a container has a
/dev of its own.

Source: github.com/opencontainers/image-spec, layer.md.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, cast

from isal import igzip, igzip_lib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_HOPS: Final = 40
"""Links in links, as many as Linux follows."""
_CHUNK: Final = 1024 * 1024
_MODES: Final = 0o7777
_ISAL_ERROR: Final = cast("type[Exception]", igzip_lib.IsalError)  # its stubs call the class an instance


class BadLayerError(Exception):
    """A layer is damaged, or does what no layer may; the message says which and what."""


class LayersCancelledError(Exception):
    """The caller no longer wants the result."""


class ImageFiles(Protocol):
    """An image whose files are on this machine."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return its configuration, parsed."""

    @property
    def layers(self) -> Sequence[Path]:
        """Return its layers' files, lowest first, as the registry has them."""

    @property
    def digest(self) -> str:
        """Return its manifest's digest."""


def apply_image(
    image: ImageFiles,
    root: Path,
    *,
    below: str | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Put an image's files into the folder `root`; return the bytes that were written.

    Args:
        image: what to take.
        root: an empty folder.
        below: take only what lies in this folder of the image (`opt/model`), as files of whoever runs this; None for
            all of it, with owners and modes, which takes root.
        cancelled: ends it, looked at all the while.

    Raises:
        BadLayerError: a layer is damaged, dangerous, or another than the configuration says.
        LayersCancelledError: `cancelled` turned true on the way.
    """
    diff_ids = (image.config.get("rootfs") or {}).get("diff_ids") or []
    if len(diff_ids) != len(image.layers):
        raise BadLayerError(
            f"image {image.digest} has {len(image.layers)} layers and {len(diff_ids)} diff IDs"
        )
    return sum(
        apply_layer(layer, root, diff_id=diff_id, below=below, cancelled=cancelled)
        for layer, diff_id in zip(image.layers, diff_ids, strict=True)
    )


def apply_layer(
    layer: Path,
    root: Path,
    *,
    diff_id: str | None = None,
    below: str | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Put one layer on top of what is in `root`; return the bytes that were written. As `apply_image`."""
    with layer.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        plain: IO[bytes] = igzip.IGzipFile(fileobj=file) if packed else file  # type: ignore[assignment, no-untyped-call]
        summed = _Summed(plain, cancelled)
        try:
            with tarfile.open(fileobj=summed, mode="r|", errorlevel=2) as tar:
                written = _Layer(tar, root, below).apply()
            # tar ends before its stream does, whose end alone says that nothing is cut off.
            while summed.read(_CHUNK):
                pass
        except (tarfile.TarError, EOFError, zlib.error, _ISAL_ERROR, OSError, ValueError) as error:
            raise BadLayerError(f"layer {layer.name}: {type(error).__name__}: {error}") from error
    if diff_id is not None and summed.digest != diff_id:
        raise BadLayerError(f"layer {layer.name} unpacks to {summed.digest}; its image says {diff_id}")
    return written


def resolve(root: Path, name: str) -> Path:
    """Return where a container would find a path, on this machine: links are followed and stay below `root`.

    Raises:
        BadLayerError: links that lead in circles.
    """
    waiting = [part for part in name.split("/") if part not in ("", ".")][::-1]
    found: list[str] = []
    hops = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            # As at the top of any file system: there is nothing above it.
            del found[-1:]
            continue
        path = root.joinpath(*found, part)
        if not path.is_symlink():
            found.append(part)
            continue
        hops += 1
        if hops > _HOPS:
            raise BadLayerError(f"{name!r} leads through more than {_HOPS} links")
        target = str(path.readlink())
        if target.startswith("/"):
            found.clear()
        waiting += [one for one in target.split("/") if one not in ("", ".")][::-1]
    return root.joinpath(*found)


class _Summed(io.RawIOBase):
    """A stream that knows the digest of what was read."""

    def __init__(self, stream: IO[bytes], cancelled: Callable[[], bool]) -> None:
        self._stream = stream
        self._cancelled = cancelled
        self._sum = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._cancelled():
            raise LayersCancelledError
        chunk = self._stream.read(size)
        self._sum.update(chunk)
        return chunk

    @property
    def digest(self) -> str:
        return f"sha256:{self._sum.hexdigest()}"


class _Layer:
    """One layer on its way into a root."""

    def __init__(self, tar: tarfile.TarFile, root: Path, below: str | None) -> None:
        self._tar = tar
        self._root = root
        self._below = None if below is None else _parts(below)
        self._whole = below is None
        self._made: set[Path] = set()
        """What this layer brought: its own whiteouts are for those below."""
        self._written = 0

    def apply(self) -> int:
        """Take all members; return the bytes that were written."""
        for member in self._tar:
            parts = _parts(member.name)
            if not parts:
                self._folder(self._root, member)
            elif self._wanted(parts):
                self._take(member, parts)
        return self._written

    def _wanted(self, parts: list[str]) -> bool:
        if self._below is None:
            return True
        # A whiteout of the folder, or of one above it, takes away what lies in it.
        last = parts[-1].removeprefix(_WHITEOUT)
        named = [*parts[:-1], last] if parts[-1] != _OPAQUE else parts[:-1]
        return named[: len(self._below)] == self._below or (
            parts[-1].startswith(_WHITEOUT) and self._below[: len(named)] == named
        )

    def _take(self, member: tarfile.TarInfo, parts: list[str]) -> None:
        name = parts[-1]
        parent = resolve(self._root, "/".join(parts[:-1]))
        if name.startswith(_WHITEOUT):
            self._white_out(parent, name)
            return
        if parent.exists() and not parent.is_dir():
            raise BadLayerError(f"member {member.name!r} lies in what is no folder")
        parent.mkdir(parents=True, exist_ok=True)
        path = parent / name
        if member.isdir():
            self._folder(path, member)
        elif member.isreg():
            self._file(path, member)
        elif member.issym():
            _remove(path)
            path.symlink_to(member.linkname)
            self._own(path, member)
        elif member.islnk():
            self._hard_link(path, member)
        self._made.add(path)

    def _white_out(self, parent: Path, name: str) -> None:
        if name == _OPAQUE:
            hidden = list(parent.iterdir()) if parent.is_dir() else []
        elif name.startswith(_WHITEOUT * 2):
            return  # an engine's own notes
        else:
            hidden = [parent / _plain(name.removeprefix(_WHITEOUT))]
        for path in hidden:
            self._hide(path)

    def _hide(self, path: Path) -> None:
        """Take away what lower layers have there, and leave what this one brought."""
        kept = [one for one in self._made if one == path or path in one.parents]
        if not kept:
            _remove(path)
        elif path.is_dir() and not path.is_symlink():
            for inner in list(path.iterdir()):
                self._hide(inner)

    def _folder(self, path: Path, member: tarfile.TarInfo) -> None:
        if path != self._root and (path.is_symlink() or not path.is_dir()):
            _remove(path)
            path.mkdir()
        self._own(path, member)

    def _file(self, path: Path, member: tarfile.TarInfo) -> None:
        content = self._tar.extractfile(member)
        if content is None:
            raise BadLayerError(f"member {member.name!r} has no content")
        # Never written in place: its old content may have other names, and be a link.
        _remove(path)
        with path.open("xb") as sink:
            shutil.copyfileobj(content, sink, _CHUNK)
            if sink.tell() != member.size:
                raise BadLayerError(f"member {member.name!r} ends after {sink.tell()} of {member.size} bytes")
        self._written += member.size
        self._own(path, member)

    def _hard_link(self, path: Path, member: tarfile.TarInfo) -> None:
        parts = _parts(member.linkname)
        if self._below is not None and parts[: len(self._below)] != self._below:
            raise BadLayerError(f"member {member.name!r} links to {member.linkname!r}, which is not taken")
        source = resolve(self._root, "/".join(parts[:-1])) / parts[-1] if parts else self._root
        if source == path:
            return
        mode = source.lstat().st_mode if os.path.lexists(source) else 0
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise BadLayerError(f"member {member.name!r} links to {member.linkname!r}, which is no file")
        _remove(path)
        os.link(source, path, follow_symlinks=False)

    def _own(self, path: Path, member: tarfile.TarInfo) -> None:
        """Give it its owner, mode and time; in a part of an image the reader's own, which all may read."""
        if self._whole:
            os.chown(path, member.uid, member.gid, follow_symlinks=False)
        if member.issym():
            return
        path.chmod(member.mode & _MODES if self._whole else 0o755 if member.isdir() else 0o644)
        if member.isreg():
            # Python knows by it whether what it compiled is still good.
            os.utime(path, (member.mtime, member.mtime))


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise BadLayerError(f"member {name!r} points outside the image")
    return parts


def _plain(name: str) -> str:
    if name in ("", ".", ".."):
        raise BadLayerError(f"whiteout of {name!r}; wanted one of a name")
    return name


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
