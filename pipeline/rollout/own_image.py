"""Sealift's own image in the repository that a stack has for it: whether this version's is there, and which it is.

Owns the one look into ECR that a deployment takes. Refuses to decide what comes of it:
`pipeline.planning.container_choice` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import __version__, naming
from pipeline.image import stored_images
from pipeline.planning.container_choice import OwnImage
from pipeline.sizing import instance_types

if TYPE_CHECKING:
    from pipeline.aws.clients import ECRClient


def wanted(repository: str, instance_type: str | None = None) -> OwnImage:
    """Return the image of this version that an endpoint would take, not looked for.

    Args:
        repository: the URI of the stack's repository, without a tag; empty where there is none.
        instance_type: what the endpoint runs on; None for serverless, or where it is planned yet.
    """
    architecture = instance_types.image_architecture(instance_type)
    return OwnImage(repository, naming.image_tag(__version__, architecture))


def find(client: ECRClient, image: OwnImage) -> OwnImage:
    """Return an image as it is in its repository; without a digest where it is not there.

    Args:
        client: of ECR, in the account and region of the repository.
        image: as `wanted` returns it.

    Raises:
        ClientError: ECR refuses to tell.
    """
    if not image.repository:
        return image
    found = stored_images.describe(client, image.repository, image.tag)
    if found is None:
        return image
    return OwnImage(image.repository, image.tag, found["imageDigest"], found.get("imageSizeInBytes", 0))
