"""The images of a repository: what is known of one, which of them hold a model, and taking one away.

Owns these calls. Refuses to know who uses one (`pipeline.operations` does), and to touch the plain image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.errors import Problem, RegistryRefused
from pipeline.image.manifest import is_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipeline.aws.clients import ECRClient

PREFIX: Final = "model-"
"""Of the tags of images that hold a model."""
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class ModelImage:
    """One image."""

    tag: str
    digest: str
    pushed: datetime


def _where(repository: str) -> dict[str, Any]:
    host, _, name = repository.partition("/")
    return {"registryId": host.partition(".")[0], "repositoryName": name}


def _named(which: str) -> dict[str, str]:
    return {"imageDigest": which} if is_digest(which) else {"imageTag": which}


def describe(client: ECRClient, repository: str, which: str) -> dict[str, Any] | None:
    """Return an image as DescribeImages has it, by its digest or by a tag; None where it is not there.

    Raises:
        ClientError: ECR refuses to tell.
    """
    try:
        answer = client.describe_images(**_where(repository), imageIds=[_named(which)])
        found: dict[str, Any] = answer["imageDetails"][0]
    except ClientError as error:
        if service_errors.is_no_such_image(error):
            return None
        raise
    return found


def listed(client: ECRClient, repository: str, *, most: int) -> Iterator[ModelImage]:
    """Yield the images of a repository that hold a model, so many at the most; none where the repository is gone.

    Args:
        client: of ECR.
        repository: its URI, without a tag.
        most: images to yield.
    """
    asked: dict[str, Any] = {**_where(repository), "filter": {"tagStatus": "TAGGED"}, "maxResults": _PAGE}
    while True:
        try:
            page = client.describe_images(**asked)
        except ClientError as error:
            if service_errors.is_no_such_image(error):
                return
            raise
        for one in page["imageDetails"]:
            for tag in one.get("imageTags", ()):
                if tag.startswith(PREFIX):
                    if most <= 0:
                        return
                    most -= 1
                    yield ModelImage(tag, one["imageDigest"], one["imagePushedAt"])
        if not page.get("nextToken"):
            return
        asked["nextToken"] = page["nextToken"]


def delete(client: ECRClient, repository: str, which: str) -> bool:
    """Delete an image by its digest, or by its one tag; return whether it was there.

    Layers that no image has are ECR's to remove.

    Raises:
        RegistryRefused: ECR names another reason.
    """
    answer = client.batch_delete_image(**_where(repository), imageIds=[_named(which)])
    for failure in answer.get("failures", ()):
        if failure.get("failureCode") != "ImageNotFound":
            said = f"{failure.get('failureCode')}: {failure.get('failureReason')}"
            fix = "delete what refers to it first"
            raise RegistryRefused(
                f"{repository}: image {which}", [Problem("ImageKept", said, "that it can be deleted", fix)]
            )
    return not answer.get("failures")
