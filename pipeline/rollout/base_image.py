"""The image below a model's layer, as it is in the stack's repository: which one an endpoint's image URI names.

Owns the one look into ECR that it takes. Refuses to decide what comes of it (`planning.artifact_choice` does), and to
look into any other repository: layers are shared within one alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.planning.artifact_choice import BaseImage

if TYPE_CHECKING:
    from pipeline.aws.clients import ECRClient


def find(client: ECRClient, image_uri: str | None, repository: str) -> BaseImage | None:
    """Return an image of the stack's repository; None where it is not there, or is one of another repository.

    Args:
        client: of ECR, in the account and region of the repository.
        image_uri: with a tag or a digest; None where none was chosen.
        repository: the URI of the stack's repository, without a tag; empty where there is none.
    """
    if not image_uri or not repository or not image_uri.startswith(repository):
        return None
    mark, which = image_uri[len(repository) : len(repository) + 1], image_uri[len(repository) + 1 :]
    if mark not in {":", "@"} or not which:
        return None
    registry, _, name = repository.partition("/")
    try:
        found = client.describe_images(
            registryId=registry.partition(".")[0],
            repositoryName=name,
            imageIds=[{"imageDigest" if mark == "@" else "imageTag": which}],
        )["imageDetails"][0]
    except ClientError as error:
        if service_errors.is_no_such_image(error):
            return None
        raise
    return BaseImage(repository, found["imageDigest"], found.get("imageSizeInBytes", 0))
