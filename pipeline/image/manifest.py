"""The manifest of an image: which configuration and which layers it is made of, by digest.

Owns Docker's schema 2, which is what is written: every registry, every engine and every AWS service takes it, while
some of them refuse an OCI index. OCI's manifests and the indexes of both are read, since a base may come as one.
Refuses to fetch and to store: `registry` does.

Source: distribution.github.io/distribution/spec/manifest-v2-2, github.com/opencontainers/image-spec.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final, NotRequired, TypedDict

from pipeline import json_codec
from pipeline.errors import InvalidInput, Problem

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"

MANIFESTS: Final = (DOCKER_MANIFEST, OCI_MANIFEST)
INDEXES: Final = (DOCKER_INDEX, OCI_INDEX)
ACCEPTED: Final = (*MANIFESTS, *INDEXES)
"""What may be asked of a registry: all that `read` can read."""
LAYERS: Final = (DOCKER_LAYER, OCI_LAYER)
CONFIGS: Final = (DOCKER_CONFIG, OCI_CONFIG)

ARCHITECTURES: Final = {"x86_64": "amd64", "arm64": "arm64"}
"""How images call a machine, by how Lambda and SageMaker call it, and so we do."""
MANIFEST_BYTES_MAX: Final = 4 << 20
"""Of a manifest, an index or a configuration: what registries take at most as a manifest."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(content: bytes) -> str:
    """Return how registries call these bytes: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_digest(text: str) -> bool:
    """Return whether a text is a digest of the one kind that is taken: SHA-256."""
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob, as a manifest names it."""

    media_type: str
    digest: str
    size: int
    """Bytes, as they are stored and sent: of a layer compressed."""

    def document(self) -> dict[str, Any]:
        """Return it as it stands in a manifest."""
        return {"mediaType": self.media_type, "size": self.size, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image of one architecture."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = DOCKER_MANIFEST

    @property
    def size(self) -> int:
        """Return the bytes of all that is stored for it, the manifest left out."""
        return self.config.size + sum(layer.size for layer in self.layers)

    @property
    def digest(self) -> str:
        """Return what it is called by where it is stored as it is rendered."""
        return digest_of(self.render())

    def as_docker(self) -> Manifest:
        """Return the same image by Docker's media types: the blobs are the same bytes in both."""
        return self._typed(DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER)

    def as_oci(self) -> Manifest:
        """Return the same image by OCI's media types, as an OCI layout wants it."""
        return self._typed(OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)

    def _typed(self, manifest: str, config: str, layer: str) -> Manifest:
        return Manifest(
            replace(self.config, media_type=config),
            tuple(replace(one, media_type=layer) for one in self.layers),
            manifest,
        )

    def render(self) -> bytes:
        """Return its bytes: the same for the same image, so that its digest tells whether anything changed."""
        document = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.document(),
            "layers": [layer.document() for layer in self.layers],
        }
        return json.dumps(document, indent=2).encode()


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An image of an index: one machine's."""

    descriptor: Descriptor
    system: str
    """``linux``"""
    architecture: str
    """``amd64``, ``arm64``"""


@dataclass(frozen=True, slots=True)
class Index:
    """Images of one content for several machines."""

    entries: tuple[IndexEntry, ...]
    name: str
    """What a refusal calls it."""

    def image_for(self, architecture: str) -> Descriptor:
        """Return which manifest is for a machine (`ARCHITECTURES`) under Linux.

        Raises:
            InvalidInput: none is.
        """
        wanted = ARCHITECTURES[architecture]
        for entry in self.entries:
            if (entry.system, entry.architecture) == ("linux", wanted):
                return entry.descriptor
        has = ", ".join(sorted({f"{one.system}/{one.architecture}" for one in self.entries})) or "no image"
        problem = Problem(
            "NoSuchArchitecture",
            f"an index of {has}",
            f"linux/{wanted}",
            "name a base that has an image for it",
        )
        raise InvalidInput(self.name, [problem])


class _PlatformDocument(TypedDict):
    os: str
    architecture: str


class _DescriptorDocument(TypedDict):
    mediaType: str
    digest: str
    size: int
    platform: NotRequired[_PlatformDocument]


class _ManifestDocument(TypedDict):
    config: _DescriptorDocument
    layers: list[_DescriptorDocument]


class _IndexDocument(TypedDict):
    manifests: list[_DescriptorDocument]


def read(content: bytes, media_type: str, name: str) -> Manifest | Index:
    """Return what a registry or a layout gave, as a manifest or an index.

    Args:
        content: the bytes, as they were stored.
        media_type: what the registry says that they are.
        name: what a refusal calls it: the reference by which it was asked for.

    Raises:
        InvalidInput: it is neither, names a digest or a size that cannot be, or has layers that are no gzip.
    """
    if len(content) > MANIFEST_BYTES_MAX:
        raise _refused(name, f"a manifest of {len(content)} bytes", f"at most {MANIFEST_BYTES_MAX}")
    if media_type not in ACCEPTED:
        raise _refused(name, f"the media type {media_type!r}", "a manifest or an index of Docker or of OCI")
    document = load_document(content, name)
    try:
        if media_type in INDEXES:
            listed = json_codec.decode(_IndexDocument, document)["manifests"]
            return Index(tuple(_entry(one, name) for one in listed), name)
        decoded = json_codec.decode(_ManifestDocument, document)
    except json_codec.Mismatch as error:
        raise _refused(name, str(error), f"what {media_type} must have") from error
    config = _descriptor(decoded["config"], name)
    layers = tuple(_descriptor(one, name) for one in decoded["layers"])
    for layer in layers:
        if layer.media_type not in LAYERS:
            raise _refused(name, f"a layer of the type {layer.media_type!r}", "layers that are tar and gzip")
    if config.media_type not in CONFIGS:
        raise _refused(name, f"a configuration of the type {config.media_type!r}", "an image's")
    return Manifest(config, layers, media_type)


def load_document(content: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object that bytes are.

    Raises:
        InvalidInput: they are none.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _refused(name, f"bytes that are no JSON ({error})", "a JSON object") from error
    if not isinstance(document, dict):
        raise _refused(name, f"JSON that is a {type(document).__name__}", "a JSON object")
    return document


def _descriptor(document: _DescriptorDocument, name: str) -> Descriptor:
    if not is_digest(document["digest"]):
        raise _refused(name, f"the digest {document['digest']!r}", "sha256: and 64 hexadecimal digits")
    if document["size"] < 0:
        raise _refused(name, f"the size {document['size']}", "a number of bytes")
    return Descriptor(document["mediaType"], document["digest"], document["size"])


def _entry(document: _DescriptorDocument, name: str) -> IndexEntry:
    # An attestation has the platform unknown/unknown; an index of artifacts has none at all.
    platform = document.get("platform", {"os": "", "architecture": ""})
    return IndexEntry(_descriptor(document, name), platform["os"], platform["architecture"])


def _refused(name: str, seen: str, wanted: str) -> InvalidInput:
    fix = "name another image, or let whoever made it make it again"
    return InvalidInput(name, [Problem("WrongManifest", seen, wanted, fix)])
