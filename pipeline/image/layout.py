"""An image in a folder, as OCI lays it out: what skopeo, umoci and podman read, and what is read of theirs.

Owns the folder: `oci-layout`, `index.json`, a file for each blob. Blobs come first and the index last, by a rename, so
that a folder names an image whole or not at all. Refuses a folder with something else in it.

Source: github.com/opencontainers/image-spec, image-layout.md.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import ImageNotFound, InvalidInput, Problem, WrongDigest
from pipeline.image import configuration
from pipeline.image import manifest as manifests
from pipeline.image.blobs import Image, LayerBlob
from pipeline.image.manifest import ARCHITECTURES, Descriptor, Index, digest_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from pipeline.image.registry import Progress

MARK: Final = "oci-layout"
_MARK_CONTENT: Final = b'{"imageLayoutVersion": "1.0.0"}'
INDEX: Final = "index.json"
REFERENCE: Final = "org.opencontainers.image.ref.name"
"""The annotation of an index that holds an image's tag."""
_COPY_BYTES: Final = 1 << 20


def write(
    image: Image, folder: Path, tag: str, architecture: str, *, progress: Progress = lambda _: None
) -> str:
    """Lay an image into a folder and return the digest by which the folder names it.

    The manifest is OCI's there, and so its digest is another than in a registry; configuration and layers are the same.

    Args:
        image: whole; a base's layers are fetched.
        folder: a new one, an empty one, or a layout, which keeps what else it holds.
        tag: what the image is called in it; whatever was called so before is called nothing.
        architecture: ``x86_64`` or ``arm64``.
        progress: told how many bytes of layers are there.

    Raises:
        InvalidInput: the folder holds something else.
        WrongDigest: a layer is not what its digest says.
    """
    new = not folder.exists()
    if not new and any(folder.iterdir()) and not (folder / MARK).is_file():
        fix = "name another folder: --output"
        raise InvalidInput(
            str(folder), [Problem("NotALayout", "something else in it", "an image layout", fix)]
        )
    try:
        return _write(image, folder, tag, architecture, progress)
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def read(folder: Path, tag: str | None = None) -> Image:
    """Return an image of a folder.

    Args:
        folder: a layout.
        tag: what the image is called in it; None where the folder has one image.

    Raises:
        ImageNotFound: the folder has no such image, or several where none is named.
        InvalidInput: it is no layout, or a blob is not there whole.
    """
    if not (folder / MARK).is_file():
        problem = Problem("NotALayout", "no oci-layout in it", "an image layout", "name its folder")
        raise InvalidInput(str(folder), [problem])
    descriptor = _named(folder, tag)
    name = f"{folder}@{descriptor.digest}"
    manifest = manifests.read(_blob(folder, descriptor), descriptor.media_type, name)
    if isinstance(manifest, Index):
        raise InvalidInput(
            name, [Problem("WrongManifest", "an index", "an image of one machine", "name another")]
        )
    config = configuration.read(_blob(folder, manifest.config), name)
    if len(config.diff_ids) != len(manifest.layers):
        seen = f"{len(manifest.layers)} layers and {len(config.diff_ids)} diff_ids"
        raise InvalidInput(name, [Problem("WrongManifest", seen, "as many of both", "lay it out again")])
    docker = manifest.as_docker()
    blobs = []
    for layer, diff_id in zip(docker.layers, config.diff_ids, strict=True):
        _require(folder, layer)
        blobs.append(LayerBlob(layer, diff_id, partial(_open, _path(folder, layer.digest))))
    return Image(docker, config.content, tuple(blobs))


def _write(image: Image, folder: Path, tag: str, architecture: str, progress: Progress) -> str:
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    _replace(folder / MARK, _MARK_CONTENT)
    done = 0
    for layer in image.layers:
        path = _path(folder, layer.descriptor.digest)
        if not path.is_file():
            _copy(layer, path)
        done += layer.descriptor.size
        progress(done)
    manifest = image.manifest.as_oci()
    content = manifest.render()
    _replace(_path(folder, manifest.config.digest), image.config)
    _replace(_path(folder, digest_of(content)), content)
    entry = {
        **Descriptor(manifests.OCI_MANIFEST, digest_of(content), len(content)).document(),
        "platform": {"os": "linux", "architecture": ARCHITECTURES[architecture]},
        "annotations": {REFERENCE: tag},
    }
    others = [one for one in _entries(folder) if (one.get("annotations") or {}).get(REFERENCE) != tag]
    index = {"schemaVersion": 2, "mediaType": manifests.OCI_INDEX, "manifests": [*others, entry]}
    _replace(folder / INDEX, json.dumps(index, indent=2).encode())
    return digest_of(content)


def _copy(layer: LayerBlob, path: Path) -> None:
    """Copy a layer's bytes, which may come from elsewhere, and look whether they are its."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    digest = hashlib.sha256()
    try:
        with layer.open() as source, part.open("xb") as file:
            while piece := source.read(_COPY_BYTES):
                digest.update(piece)
                file.write(piece)
        if (found := f"sha256:{digest.hexdigest()}") != layer.descriptor.digest:
            raise WrongDigest(
                f"a layer has the digest {found}; wanted {layer.descriptor.digest}; {WrongDigest.fix}"
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _entries(folder: Path) -> list[dict[str, Any]]:
    path = folder / INDEX
    if not path.is_file():
        return []
    content = path.read_bytes()
    manifests.read(content, manifests.OCI_INDEX, str(path))
    found: list[dict[str, Any]] = manifests.load_document(content, str(path))["manifests"]
    return found


def _named(folder: Path, tag: str | None) -> Descriptor:
    """Return what the index says of a tag."""
    entries = _entries(folder)
    tags = [str((one.get("annotations") or {}).get(REFERENCE, "")) for one in entries]
    found = [one for one, its in zip(entries, tags, strict=True) if tag in {None, its}]
    if len(found) != 1:
        seen = f"the tags {', '.join(map(repr, tags)) or 'of no image'}"
        problem = Problem(
            "NoSuchImage", seen, f"one {tag!r}" if tag else "one image", "name a tag that it has"
        )
        raise ImageNotFound(str(folder), [problem])
    return Descriptor(found[0]["mediaType"], found[0]["digest"], found[0]["size"])


def _path(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")


def _blob(folder: Path, blob: Descriptor) -> bytes:
    """Return a small blob."""
    _require(folder, blob)
    content = _path(folder, blob.digest).read_bytes()
    if digest_of(content) != blob.digest:
        raise InvalidInput(
            str(folder),
            [Problem("WrongBlob", f"other bytes as {blob.digest}", "its own", "lay it out again")],
        )
    return content


def _require(folder: Path, blob: Descriptor) -> None:
    path = _path(folder, blob.digest)
    size = path.stat().st_size if path.is_file() else -1
    if size != blob.size:
        seen = f"{size} bytes of {blob.digest}" if size >= 0 else f"no blob {blob.digest}"
        problem = Problem("WrongBlob", seen, f"its {blob.size} bytes", "lay the image out again")
        raise InvalidInput(str(folder), [problem])


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
