"""AWS's own container images, so far as a registry tells of them: that they are there, by repository and tag.

Nothing can be pulled from the local cloud: hosting runs the inference code without an image.
"""

from __future__ import annotations

import json
from typing import Final

from moto.ecr.models import ecr_backends

from pipeline.sizing import images

MANIFEST: Final = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}


def publish(account_id: str, region: str) -> None:
    """Put every container profile's image of a region into the registry that a caller of `account_id` sees."""
    backend = ecr_backends[account_id][region]
    for profile in images.PROFILES.values():
        uri = profile.image_uri(region)
        if uri is None:
            continue
        registry, name = uri.split(".", 1)[0], uri.partition("/")[2]
        repository, _, tag = name.partition(":")
        backend.create_repository(
            repository_name=repository,
            registry_id=registry,
            encryption_config={"encryptionType": "AES256"},
            image_scan_config=None,
            image_tag_mutability="MUTABLE",
            tags=[],
        )
        backend.put_image(repository, json.dumps(MANIFEST), tag)
