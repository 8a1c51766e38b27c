"""Blobs on this machine, by digest: the layers that were built, and a base's that were fetched.

Owns the folder, that a blob is there whole or not at all, that a layer is not made again of files that have not
changed, and how long one is kept that nobody uses. All of it can be made or fetched again. Refuses to know what an
image is.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.errors import WrongDigest
from pipeline.image import layers
from pipeline.image.manifest import Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from pipeline.archive.formats.deflate import Buffer
    from pipeline.image.layers import WrittenLayer
    from pipeline.image.registry import Content, Registry

KEPT_S: Final = 30 * 24 * 3600
"""Seconds for which a blob is kept that no build used."""


@dataclass(frozen=True, slots=True)
class BlobCache:
    """The blobs of a folder, which is made when one comes."""

    folder: Path

    def path(self, digest: str) -> Path:
        """Return where a blob lies, or would."""
        return self.folder / digest.replace(":", "/")

    def add(self, tar: Iterable[Buffer], fingerprint: str | None = None) -> WrittenLayer:
        """Write a layer and return what it is; none of it is read where one of this fingerprint was written before.

        Args:
            tar: its bytes, not compressed.
            fingerprint: `layers.fingerprint` of what the tar is made of; None where nobody knows.
        """
        if fingerprint and (found := self._remembered(fingerprint)):
            return found
        with self._new() as (path, file):
            layer = layers.write(tar, file.write)
            file.close()
            self._keep(path, layer.descriptor.digest)
        if fingerprint:
            note = self._note(fingerprint)
            note.parent.mkdir(exist_ok=True)
            part = note.with_suffix(f".{secrets.token_hex(8)}")
            part.write_text(json.dumps(asdict(layer)), encoding="utf-8")
            part.replace(note)
        return layer

    def _note(self, fingerprint: str) -> Path:
        return self.folder / "written" / fingerprint

    def _remembered(self, fingerprint: str) -> WrittenLayer | None:
        """Return a layer that lies here, by what it was made of."""
        note = self._note(fingerprint)
        try:
            said = json.loads(note.read_bytes())
            layer = layers.WrittenLayer(**{**said, "descriptor": Descriptor(**said["descriptor"])})
            if self.path(layer.descriptor.digest).stat().st_size != layer.descriptor.size:
                return None
            # Both are used again: neither is older than the other.
            os.utime(note)
            os.utime(self.path(layer.descriptor.digest))
        except (OSError, ValueError, TypeError, KeyError):
            # Half a note, or none: it is written again.
            return None
        return layer

    def built(self, layer: WrittenLayer) -> Content:
        """Return how a layer that was added is opened."""
        return partial(_open, self.path(layer.descriptor.digest))

    def fetched(self, registry: Registry, blob: Descriptor) -> Content:
        """Return how a blob of a registry is opened: the first time it is fetched.

        Whoever calls what is returned gets the registry's errors, or WrongDigest for bytes that are not the blob's.
        """
        return partial(self._fetch, registry, blob)

    def prune(self, now: float) -> None:
        """Remove what nobody used for `KEPT_S`, and what a build left that was killed."""
        for path in self.folder.glob("*/*"):
            if path.is_file() and now - path.stat().st_mtime > KEPT_S:
                path.unlink(missing_ok=True)

    def _fetch(self, registry: Registry, blob: Descriptor) -> BinaryIO:
        path = self.path(blob.digest)
        if not (path.is_file() and path.stat().st_size == blob.size):
            with self._new() as (part, file):
                digest, size = hashlib.sha256(), 0
                for piece in registry.read(blob):
                    digest.update(piece)
                    size += len(piece)
                    file.write(piece)
                file.close()
                if (found := f"sha256:{digest.hexdigest()}") != blob.digest or size != blob.size:
                    seen = f"{registry.name} gave {size} bytes with the digest {found}"
                    raise WrongDigest(f"{seen}; wanted {blob.size} with {blob.digest}; {WrongDigest.fix}")
                self._keep(part, blob.digest)
        os.utime(path)
        return _open(path)

    def _keep(self, part: Path, digest: str) -> None:
        part.replace(self.path(digest))

    @contextmanager
    def _new(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Open a new file beside the blobs; it is gone afterwards, unless it was kept."""
        folder = self.folder / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f".{secrets.token_hex(8)}.part"
        try:
            with path.open("xb") as file:
                yield path, file
        finally:
            path.unlink(missing_ok=True)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
