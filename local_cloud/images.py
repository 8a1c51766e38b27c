"""AWS's own container images, so far as a registry tells of them: that they are there, by repository and tag.

Nothing of them can be pulled from the local cloud: hosting runs its replicas of them, or the inference code alone.
"""

from __future__ import annotations

import json
import time
from typing import Final

from moto.ecr.models import ecr_backends

from local_cloud.ecr import repositories
from local_cloud.ecr.manifests import StoredManifest
from local_cloud.ecr.repositories import EcrQuotas
from local_cloud.hosting.platform.images import ImageReference
from pipeline.image.manifest import DOCKER_MANIFEST, digest_of
from pipeline.sizing import images


def publish(region: str) -> None:
    """Put every container profile's image of a region into the registry of the account that it is of."""
    for profile in images.PROFILES.values():
        for platform in profile.of_platforms:
            reference = ImageReference.parse(profile.image_uri(region, platform) or "")
            if reference is not None:
                _publish(reference)


def _publish(reference: ImageReference) -> None:
    backend = ecr_backends[reference.account][reference.region]
    if reference.repository not in backend.repositories:
        backend.create_repository(
            repository_name=reference.repository,
            registry_id=reference.account,
            encryption_config={"encryptionType": "AES256"},
            image_scan_config=None,
            image_tag_mutability="MUTABLE",
            tags=[],
        )
    held = repositories.contents(backend.repositories[reference.repository])
    # The tag makes one of it that no other image is.
    text = json.dumps({**MANIFEST, "annotations": {"tag": str(reference.tag)}})
    manifest = StoredManifest(text, DOCKER_MANIFEST, digest_of(text.encode()), None)
    held.put(manifest, reference.tag, time.time(), EcrQuotas(), fixed=False)


MANIFEST: Final = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST}
