"""Layers as they are read, whoever made them: what a layer lays into the tree, and what it takes out of it.

Owns OCI's whiteouts, and the refusal of what would leave the tree that it is unpacked into: paths and hard links that
lead out of it, ways through a symbolic link, more of anything than an image may hold. Refuses to write a file: whoever
unpacks does that, from what is yielded here.

Source: github.com/opencontainers/image-spec, layer.md.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.errors import InvalidInput, Problem, WrongDigest
from pipeline.limits import IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    Kind = Literal["file", "directory", "symlink", "hardlink", "device", "whiteout", "opaque"]

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
ENTRIES_MAX: Final = 1_000_000
"""Of one layer; the largest images that are in use have some hundred thousand files."""
_READ_BYTES: Final = 1 << 20
_RECORD_BYTES: Final = 1 << 20
"""Of a long name or of pax records; Linux's longest path has 4096."""
_ABOUT_THE_NEXT: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_ENCODING: Final[dict[str, Any]] = {"encoding": "utf-8", "errors": "surrogateescape"}
_FIX: Final = "name another image, or let whoever made it make it again"


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """What a layer says of one path."""

    path: str
    """Below the root, in its simplest form; of a whiteout what it removes, or the folder that it empties."""
    kind: Kind
    mode: int
    """Permission bits, the set-user bits among them."""
    user: int
    group: int
    size: int
    target: str
    """Where a symbolic link leads, as it stands there; of a hard link the path below the root."""
    content: Callable[[], BinaryIO] | None = None
    """Opens a file's bytes; good until the next entry is asked for."""


def walk(
    layer: BinaryIO, name: str, *, diff_id: str | None = None, limit: int = IMAGE_BYTES.value
) -> Iterator[LayerEntry]:
    """Yield what a layer says, in its own order.

    Args:
        layer: its compressed bytes.
        name: what a refusal calls it: its digest.
        diff_id: what its tar must be, when all was read; None where nobody knows.
        limit: bytes that its tar may have at most.

    Raises:
        InvalidInput: it is no tar in gzip, ends early, or holds what leads out of the tree, or more than an image may.
        WrongDigest: it is another tar than `diff_id` says.
    """
    plain = _Plain(layer, name, limit)
    try:
        with tarfile.open(fileobj=plain, mode="r|", bufsize=_READ_BYTES, tarinfo=_Header, **_ENCODING) as tar:
            for count, member in enumerate(tar):
                if count >= ENTRIES_MAX:
                    raise _refused(name, f"more than {ENTRIES_MAX} entries", "fewer")
                if (entry := _entry(member, name)) is not None:
                    yield replace(entry, content=_opener(tar, member)) if entry.kind == "file" else entry
            end = tar.offset
        plain.drain()
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        # Not ours: what the standard library says of bytes that are neither.
        raise _refused(name, f"bytes that are no tar in gzip ({error})", "a layer") from error
    if plain.last_byte >= end:
        # Python takes what is no header for the end, GNU tar does not: one of them would see half of it.
        raise _refused(name, f"bytes behind its end, at {end}", "a tar that ends with its last file")
    if diff_id is not None and plain.digest != diff_id:
        raise WrongDigest(
            f"{name}: its tar has the digest {plain.digest}; wanted {diff_id}, as the configuration says; {_FIX}",
            fix=_FIX,
        )


def merge(layers: Iterable[Iterable[LayerEntry]]) -> dict[str, LayerEntry]:
    """Return the tree that layers make, from the lowest to the highest, by path; contents are not kept.

    Raises:
        InvalidInput: an entry's way leads through something that is no folder.
    """
    made: dict[str, LayerEntry] = {}
    for layer in layers:
        below = dict(made)
        for entry in layer:
            _lay(made, below, replace(entry, content=None))
    return made


def _lay(made: dict[str, LayerEntry], below: dict[str, LayerEntry], entry: LayerEntry) -> None:
    """Change a tree by one entry of a layer; a whiteout removes only what the layers below had."""
    for above in PurePosixPath(entry.path).parents:
        standing = made.get(above.as_posix())
        if standing is not None and standing.kind != "directory":
            raise _refused(entry.path, f"a way through the {standing.kind} {standing.path!r}", "folders only")
    if entry.kind == "opaque":
        _remove(made, below, f"{entry.path}/" if entry.path != "." else "")
        return
    if entry.kind == "whiteout":
        _remove(made, below, f"{entry.path}/")
        if made.get(entry.path) is below.get(entry.path):
            made.pop(entry.path, None)
        return
    standing = made.get(entry.path)
    if standing is not None and standing.kind == "directory" and entry.kind != "directory":
        for path in [one for one in made if one.startswith(f"{entry.path}/")]:
            del made[path]
    made[entry.path] = entry


def _remove(made: dict[str, LayerEntry], below: dict[str, LayerEntry], prefix: str) -> None:
    gone = [path for path in made if path.startswith(prefix) and made[path] is below.get(path)]
    for path in gone:
        del made[path]


class _Header(tarfile.TarInfo):
    """A header that is read: of one that is about the next one, tarfile holds all that it announces."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> _Header:
        """Return what a block says; refuse a name or record that is longer than any can be."""
        member = super().frombuf(buf, encoding or "utf-8", errors)
        if member.type in _ABOUT_THE_NEXT and member.size > _RECORD_BYTES:
            raise ValueError(f"a header of {member.size} bytes for the next one")
        return member


class _Plain(io.RawIOBase):
    """The tar in a layer's gzip, hashed as it is read."""

    def __init__(self, layer: BinaryIO, name: str, limit: int) -> None:
        super().__init__()
        self._stream = gzip.GzipFile(fileobj=layer, mode="rb")
        self._hash = hashlib.sha256()
        self._name, self._limit = name, limit
        self._size = 0
        self.last_byte = -1
        """Where the last byte stands that is no zero."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(_READ_BYTES if size < 0 else min(size, _READ_BYTES))
        self._hash.update(piece)
        if solid := len(piece.rstrip(b"\0")):
            self.last_byte = self._size + solid - 1
        self._size += len(piece)
        if self._size > self._limit:
            raise _refused(
                self._name, f"a tar of more than {self._limit} bytes", "one that an image may have"
            )
        return piece

    def drain(self) -> None:
        """Read what stands behind the tar's end: zeros, which its digest counts."""
        while self.read():
            pass

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _entry(member: tarfile.TarInfo, name: str) -> LayerEntry | None:
    """Return what a member of the tar means; None for the root itself."""
    path = _path(member.name, name)
    if path == ".":
        return None
    pure = PurePosixPath(path)
    kind = _kind(member, name)
    target = member.linkname if kind == "symlink" else ""
    if kind == "hardlink":
        target = _path(member.linkname, name)
    if pure.name.startswith(WHITEOUT):
        parent = pure.parent.as_posix()
        if pure.name == OPAQUE:
            return LayerEntry(parent, "opaque", 0, 0, 0, 0, "")
        removed = pure.name.removeprefix(WHITEOUT)
        if removed in {"", ".", ".."} or removed.startswith(WHITEOUT):
            raise _refused(name, f"the whiteout {member.name!r}", "one that names a file")
        return LayerEntry((pure.parent / removed).as_posix(), "whiteout", 0, 0, 0, 0, "")
    size = member.size if kind == "file" else 0
    return LayerEntry(path, kind, member.mode & 0o7777, member.uid, member.gid, size, target)


def _kind(member: tarfile.TarInfo, name: str) -> Kind:
    if member.issparse() or member.size < 0:
        # A few bytes of it could be more than any disk.
        raise _refused(name, f"{member.name!r}, which is sparse", "files that are there")
    if member.isfile():
        return "file"
    if member.isdir():
        return "directory"
    if member.issym():
        return "symlink"
    if member.islnk():
        return "hardlink"
    if member.isdev():
        return "device"
    raise _refused(
        name, f"{member.name!r} of the type {member.type!r}", "a file, a folder, a link or a device"
    )


def _path(written: str, name: str) -> str:
    """Return a path below the root in its simplest form, `.` for the root itself."""
    pure = PurePosixPath(written)
    if pure.is_absolute():
        # Docker's own layers have none; what else unpacks them would write there.
        raise _refused(name, f"the absolute path {written!r}", "paths below the root")
    if ".." in pure.parts or "\0" in written:
        raise _refused(name, f"the path {written!r}", "paths that stay below the root")
    return pure.as_posix()


def _opener(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        return tar.extractfile(member) or io.BytesIO()  # type: ignore[return-value]

    return opened


def _refused(name: str, seen: str, wanted: str) -> InvalidInput:
    return InvalidInput(name, [Problem("WrongLayer", seen, wanted, _FIX)])
