"""The manifest of an image: which configuration and which layers it is made of, by digest.

Owns Docker's schema 2, which is what is written: every registry, every engine and every AWS service takes it, while
some of them refuse an OCI index. OCI's manifests and the indexes of both are read, since a base may come as one.
Refuses to fetch and to store: `registry` does.

Source: distribution.github.io/distribution/spec/manifest-v2-2, github.com/opencontainers/image-spec.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

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


def digest_of(content: bytes) -> str:
    """Return how registries call these bytes: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


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

    def render(self) -> bytes:
        """Return its bytes: the same for the same image, so that its digest tells whether anything changed."""
        document = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.document(),
            "layers": [layer.document() for layer in self.layers],
        }
        return json.dumps(document, indent=2).encode()
