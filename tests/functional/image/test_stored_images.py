"""The images of a repository that hold a model, and who takes one away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import RegistryRefused
from pipeline.image import stored_images
from pipeline.operations import removal
from pipeline.operations.account import Made, MadeKind

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift-images"
NOW = datetime(2026, 1, 10, 12, 0, 0, tzinfo=UTC)


class Registry:
    """ECR with two pages of images."""

    def __init__(self, *, gone: bool = False, failure: str = "") -> None:
        self.asked: list[dict[str, Any]] = []
        self._gone, self._failure = gone, failure

    def describe_images(self, **request: Any) -> dict[str, Any]:
        """Return a page."""
        self.asked.append(request)
        if self._gone:
            raise ClientError({"Error": {"Code": "RepositoryNotFoundException"}}, "DescribeImages")
        if "nextToken" not in request:
            plain = {"imageDigest": "sha256:0p", "imageTags": ["sealift-1-x86_64"], "imagePushedAt": NOW}
            held = {"imageDigest": "sha256:0a", "imageTags": ["model-a", "model-b"], "imagePushedAt": NOW}
            return {"imageDetails": [plain, held], "nextToken": "more"}
        return {
            "imageDetails": [{"imageDigest": "sha256:0c", "imageTags": ["model-c"], "imagePushedAt": NOW}]
        }

    def batch_delete_image(self, **request: Any) -> dict[str, Any]:
        """Delete."""
        self.asked.append(request)
        failed = {"failureCode": self._failure, "failureReason": "so it is"}
        return {"failures": [failed] if self._failure else []}


def test_every_tag_of_a_model_is_listed_and_no_other() -> None:
    """Over all pages; the plain image is none of them."""
    registry = Registry()

    assert [one.tag for one in stored_images.listed(registry, REPOSITORY, most=10)] == [
        "model-a",
        "model-b",
        "model-c",
    ]
    assert {one["repositoryName"] for one in registry.asked} == {"sealift-images"}
    assert {one["registryId"] for one in registry.asked} == {"123456789012"}


def test_the_list_has_a_bound() -> None:
    """A scan takes a bounded time."""
    assert [one.tag for one in stored_images.listed(Registry(), REPOSITORY, most=2)] == ["model-a", "model-b"]


def test_a_repository_that_is_gone_has_none() -> None:
    """A stack of an older release has no repository."""
    assert list(stored_images.listed(Registry(gone=True), REPOSITORY, most=2)) == []


@pytest.mark.parametrize(
    ("which", "named"),
    [("sha256:" + "0a" * 32, "imageDigest"), ("model-a", "imageTag")],
)
def test_an_image_is_deleted_by_its_digest_or_its_tag(which: str, named: str) -> None:
    """Whichever was given."""
    registry = Registry()

    assert stored_images.delete(registry, REPOSITORY, which)
    assert registry.asked[0]["imageIds"] == [{named: which}]
    assert not stored_images.delete(Registry(failure="ImageNotFound"), REPOSITORY, which)


def test_an_image_that_ecr_keeps_says_why() -> None:
    """Something refers to it."""
    with pytest.raises(RegistryRefused, match="ImageReferencedByManifestList: so it is"):
        stored_images.delete(Registry(failure="ImageReferencedByManifestList"), REPOSITORY, "model-a")


@pytest.mark.parametrize(
    ("claimed", "deleted"),
    [
        pytest.param(None, True, id="no record"),
        pytest.param(NOW, True, id="as it was looked at"),
        pytest.param(NOW + timedelta(seconds=1), False, id="claimed since"),
    ],
)
def test_the_claim_is_read_again_right_before_an_image_goes(claimed: datetime | None, deleted: bool) -> None:
    """A deployment that has claimed it meanwhile is about to make a model of it."""

    def head_object(**_request: Any) -> dict[str, Any]:
        if claimed is None:
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")
        return {"LastModified": claimed}

    registry = Registry()
    clients: Any = SimpleNamespace(
        registry=registry, s3=SimpleNamespace(head_object=head_object), sagemaker=None
    )
    uses = (f"{REPOSITORY}@sha256:0a", f"{REPOSITORY}:model-a")
    made = Made(MadeKind.IMAGE, "model-a", NOW, uses=uses, version="sha256:0a", bucket="artifacts")
    if deleted:
        assert removal.delete(clients, made)
    else:
        with pytest.raises(RegistryRefused, match="claimed it since"):
            removal.delete(clients, made)
    assert [one["imageIds"] for one in registry.asked] == ([[{"imageTag": "model-a"}]] if deleted else [])
