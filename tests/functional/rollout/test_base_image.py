"""The image below a model's layer, as it is in the stack's repository."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.planning.artifact_choice import BaseImage
from pipeline.rollout import base_image

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift-images"
DIGEST = f"sha256:{'0a' * 32}"


class Registry:
    """ECR with one image, or a refusal."""

    def __init__(self, refuses: str = "") -> None:
        self.asked: list[dict[str, Any]] = []
        self._refuses = refuses

    def describe_images(self, **request: Any) -> dict[str, Any]:
        """Return the image."""
        self.asked.append(request)
        if self._refuses:
            raise ClientError({"Error": {"Code": self._refuses, "Message": "no"}}, "DescribeImages")
        return {"imageDetails": [{"imageDigest": DIGEST, "imageSizeInBytes": 7}]}


@pytest.mark.parametrize(
    ("uri", "which"),
    [
        pytest.param(f"{REPOSITORY}@{DIGEST}", {"imageDigest": DIGEST}, id="by digest"),
        pytest.param(f"{REPOSITORY}:mine", {"imageTag": "mine"}, id="by tag"),
    ],
)
def test_an_image_of_the_stacks_repository_is_found(uri: str, which: dict[str, str]) -> None:
    """Whatever names it, its digest is what counts."""
    registry = Registry()

    assert base_image.find(registry, uri, REPOSITORY) == BaseImage(REPOSITORY, DIGEST, 7)
    assert registry.asked == [
        {"registryId": "123456789012", "repositoryName": "sealift-images", "imageIds": [which]}
    ]


@pytest.mark.parametrize(
    ("uri", "repository"),
    [
        pytest.param(None, REPOSITORY, id="none was chosen"),
        pytest.param(f"{REPOSITORY}:1", "", id="no repository"),
        pytest.param(f"{REPOSITORY}-other:1", REPOSITORY, id="a repository whose name goes on"),
        pytest.param(REPOSITORY, REPOSITORY, id="neither tag nor digest"),
        pytest.param(f"{REPOSITORY}:", REPOSITORY, id="an empty tag"),
    ],
)
def test_any_other_image_is_none_to_lay_a_model_on(uri: str | None, repository: str) -> None:
    """Layers are shared within one repository: ECR is not even asked."""
    registry = Registry()

    assert base_image.find(registry, uri, repository) is None
    assert registry.asked == []


@pytest.mark.parametrize("code", ["ImageNotFoundException", "RepositoryNotFoundException"])
def test_an_image_that_is_gone_is_none(code: str) -> None:
    """The plan says what to do then."""
    assert base_image.find(Registry(code), f"{REPOSITORY}:1", REPOSITORY) is None


def test_a_refusal_is_no_absence() -> None:
    """Else an artifact would change for want of a permission."""
    with pytest.raises(ClientError):
        base_image.find(Registry("AccessDeniedException"), f"{REPOSITORY}:1", REPOSITORY)
