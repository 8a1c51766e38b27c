"""An image in memory and a registry that holds it, for the tests of this folder."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.image import layers, manifest
from pipeline.image.layers import TreeFile
from pipeline.image.manifest import Descriptor, Manifest, digest_of


def layer_bytes(files: Mapping[str, bytes]) -> tuple[bytes, layers.WrittenLayer]:
    """Return a layer of files and what it is."""
    out = io.BytesIO()
    made = layers.write(layers.tree({path: TreeFile(content) for path, content in files.items()}), out.write)
    return out.getvalue(), made


def config_of(diff_ids: list[str], architecture: str = "amd64", **container: Any) -> bytes:
    """Return a configuration."""
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": "2025-06-11T00:00:00Z",
        "config": {"Env": ["PATH=/usr/bin", "PYTHON_VERSION=3.11.13"], "Cmd": ["python3"], **container},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "debian"} for _ in diff_ids],
    }
    return json.dumps(document).encode()


@dataclass
class MemoryRegistry:
    """A repository that holds what it was given, and counts what was read."""

    name: str = "registry.test/python"
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    read_digests: list[str] = field(default_factory=list)

    def manifest(self, reference: str) -> tuple[str, bytes] | None:
        """Return what is behind a name."""
        return self.manifests.get(reference)

    def read(self, blob: Descriptor) -> Iterator[bytes]:
        """Give a blob."""
        self.read_digests.append(blob.digest)
        content = self.blobs[blob.digest]
        for at in range(0, len(content), 1000):
            yield content[at : at + 1000]

    def put(self, content: bytes) -> str:
        """Hold a blob."""
        self.blobs[digest_of(content)] = content
        return digest_of(content)

    def name_it(self, content: bytes, media_type: str, *names: str) -> Descriptor:
        """Hold a manifest under its digest and these names."""
        for one in (digest_of(content), *names):
            self.manifests[one] = (media_type, content)
        return Descriptor(media_type, digest_of(content), len(content))

    def put_image(
        self, *names: str, architecture: str = "amd64", oci: bool = True, **container: Any
    ) -> Descriptor:
        """Hold an image of one layer, as OCI's or Docker's."""
        content, layer = layer_bytes({"usr/bin/python3": architecture.encode() * 1000})
        self.put(content)
        config = config_of([layer.diff_id], architecture, **container)
        self.put(config)
        made = Manifest(
            Descriptor(manifest.DOCKER_CONFIG, digest_of(config), len(config)), (layer.descriptor,)
        )
        made = made.as_oci() if oci else made.as_docker()
        return self.name_it(made.render(), made.media_type, *names)

    def put_index(self, entries: Mapping[str, Descriptor], *names: str, oci: bool = True) -> Descriptor:
        """Hold an index by `system/architecture`, as Docker's official images come."""
        media_type = manifest.OCI_INDEX if oci else manifest.DOCKER_INDEX
        listed = []
        for machine, entry in entries.items():
            system, _, architecture = machine.partition("/")
            listed.append({**entry.document(), "platform": {"os": system, "architecture": architecture}})
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": listed}
        return self.name_it(json.dumps(document).encode(), media_type, *names)
