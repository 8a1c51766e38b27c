"""An image as whoever runs it gets it: its manifest, its configuration, and its layers as files.

Owns the way from a URI to the files. Refuses to look at permissions (`cloud` asks IAM for the role), and to unpack.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local_cloud.ecr import repositories
from local_cloud.hosting.platform.images import ImageReference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local_cloud.ecr.blobs import Blob


@dataclass(frozen=True, slots=True)
class PulledImage:
    """An image of one architecture. Its files stay as they are for as long as this is referred to."""

    manifest: bytes
    config: Mapping[str, Any]
    """The configuration, parsed; nothing of an image of AWS's own, of which there is no more than the name."""
    layers: tuple[Path, ...]
    """Lowest first, compressed as they were pushed. Several may be the same file."""
    digest: str
    media_type: str
    blobs: tuple[Blob, ...] = field(default=(), repr=False)
    """What keeps the files of the layers there."""

    @property
    def architecture(self) -> str | None:
        """Return `amd64` or `arm64`, as the configuration says; None where it says nothing."""
        found = self.config.get("architecture")
        return found if isinstance(found, str) else None

    def unpacked_bytes(self) -> int:
        """Return how large the layers are without gzip, each as often as it is there."""
        return sum(blob.unpacked for blob in self.blobs)


def pull(account_id: str, region: str, uri: str) -> PulledImage | None:
    """Return the image that a URI names.

    Args:
        account_id: whose hosting asks; an image may be of another account.
        region: in which it is.
        uri: of the image, with a tag or a digest; `latest` without.

    Returns:
        None where there is none: another region, an unknown repository, tag or digest; a list of manifests, which is
        an image of no one architecture; an image of AWS's own, of whose files there are none here.
    """
    del account_id
    reference = ImageReference.parse(uri)
    if reference is None or reference.region != region:
        return None
    found = find(reference)
    return found if found is not None and found.layers else None


def find(reference: ImageReference) -> PulledImage | None:
    """Return what is behind a reference, None where there is nothing; of AWS's images it has no layers."""
    held = repositories.find(reference.account, reference.region, reference.repository)
    if held is None:
        return None
    with held.lock:
        image = held.find(reference.digest, reference.tag)
        if image is None:
            return None
        manifest = image.manifest
        blobs = tuple(held.layers[one.digest].blob for one in manifest.layers)
        config = b"{}" if manifest.config is None else _read(held, manifest.config.digest)
    return PulledImage(
        manifest=manifest.text.encode(),
        config=_parsed(config),
        layers=tuple(blob.path for blob in blobs),
        digest=manifest.digest,
        media_type=manifest.media_type,
        blobs=blobs,
    )


def _read(held: repositories.RepositoryContents, digest: str) -> bytes:
    return held.layers[digest].blob.path.read_bytes()


def _parsed(config: bytes) -> dict[str, Any]:
    try:
        document = json.loads(config)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
