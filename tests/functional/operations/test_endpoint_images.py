"""Which image an endpoint runs, and whether its repository has a newer one of Sealift's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline import __version__, naming
from pipeline.operations import endpoint_images
from pipeline.operations.endpoint_images import EndpointImage

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
REPOSITORY = f"{HOST}/sealift-images"
TAG = naming.image_tag(__version__, "x86_64")
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
PUSHED = datetime(2026, 11, 1, tzinfo=UTC)
AWS = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.0.0-cpu-py310"


class Registry:
    """ECR with images by tag and digest."""

    def __init__(self, images: dict[str, tuple[str, datetime]], failure: str = "") -> None:
        self.asked: list[str] = []
        self._images, self._failure = images, failure

    def describe_images(self, **request: Any) -> dict[str, Any]:
        """Return the one image that is asked for."""
        (which,) = (value for one in request.pop("imageIds") for value in one.values())
        assert request == {"registryId": "123456789012", "repositoryName": "sealift-images"}
        self.asked.append(which)
        if self._failure or which not in self._images:
            raise ClientError(
                {"Error": {"Code": self._failure or "ImageNotFoundException"}}, "DescribeImages"
            )
        digest, pushed = self._images[which]
        return {"imageDetails": [{"imageDigest": digest, "imagePushedAt": pushed}]}


@pytest.mark.parametrize(
    ("deployed", "found"),
    [
        pytest.param([], None, id="not deployed yet"),
        pytest.param([{"SpecifiedImage": AWS}], EndpointImage(AWS, None, "pytorch"), id="AWS's, by its tag"),
        pytest.param(
            [{"SpecifiedImage": AWS, "ResolvedImage": f"{AWS.rpartition(':')[0]}@{NEW}"}],
            EndpointImage(AWS, NEW, "pytorch"),
            id="AWS's, with what the tag was",
        ),
        pytest.param(
            [{"SpecifiedImage": f"{REPOSITORY}@{OLD}"}],
            EndpointImage(f"{REPOSITORY}@{OLD}", OLD),
            id="the account's, by digest",
        ),
        pytest.param(
            [{"SpecifiedImage": f"{HOST}/pytorch-inference:1"}],
            EndpointImage(f"{HOST}/pytorch-inference:1"),
            id="the account's, that is called like AWS's",
        ),
    ],
)
def test_the_image_is_read_off_the_variant(
    deployed: list[dict[str, str]], found: EndpointImage | None
) -> None:
    """As DescribeEndpoint tells it."""
    assert endpoint_images.of({"DeployedImages": deployed}) == found


@pytest.mark.parametrize(
    ("uri", "repository", "short"),
    [
        (AWS, AWS.rpartition(":")[0], "pytorch-inference:2.0.0-cpu-py310"),
        (f"{REPOSITORY}@{OLD}", REPOSITORY, "sealift-images@sha256:aaaaaaaaaaaa"),
    ],
)
def test_an_image_is_told_in_short(uri: str, repository: str, short: str) -> None:
    """Without the registry, and with as much of a digest as tells two apart."""
    image = EndpointImage(uri)

    assert (image.repository, image.short) == (repository, short)


@pytest.mark.parametrize(
    ("its", "ours", "newer"),
    [
        pytest.param((OLD, PUSHED), (NEW, PUSHED + timedelta(days=1)), TAG, id="pushed later"),
        pytest.param(
            (OLD, PUSHED), (NEW, PUSHED - timedelta(days=1)), "", id="an older version's program asks"
        ),
        pytest.param((OLD, PUSHED), (NEW, PUSHED), "", id="at the same time"),
        pytest.param((OLD, PUSHED), (OLD, PUSHED), "", id="the same"),
        pytest.param(None, (NEW, PUSHED), TAG, id="its own is gone"),
        pytest.param((OLD, PUSHED), None, "", id="none of this version is there"),
    ],
)
def test_an_image_that_was_pushed_later_is_newer(
    its: tuple[str, datetime] | None, ours: tuple[str, datetime] | None, newer: str
) -> None:
    """By time, since an image that holds a model never has the plain one's digest."""
    images = {**({OLD: its} if its else {}), **({TAG: ours} if ours else {})}
    found = endpoint_images.look(Registry(images), EndpointImage(f"{REPOSITORY}@{OLD}", OLD))

    assert found.newer == newer
    assert found.container == ("custom" if ours else None)


def test_an_image_by_its_tag_gets_its_digest() -> None:
    """A person may have named it so."""
    image = EndpointImage(f"{REPOSITORY}:mine")
    registry = Registry({"mine": (OLD, PUSHED), TAG: (OLD, PUSHED)})

    assert endpoint_images.look(registry, image) == EndpointImage(image.uri, OLD, "custom")


def test_the_image_for_other_cpus_is_compared_with_its_own_kind() -> None:
    """A Graviton instance's."""
    registry = Registry({})
    endpoint_images.look(registry, EndpointImage(f"{REPOSITORY}@{OLD}", OLD), "arm64")

    assert registry.asked == [naming.image_tag(__version__, "arm64")]


@pytest.mark.parametrize("uri", [AWS, "public.ecr.aws/somebody/server:1"])
def test_what_lies_elsewhere_is_not_asked_for(uri: str) -> None:
    """AWS's images only AWS renews; of other registries nothing is known."""
    registry = Registry({})
    image = endpoint_images.of({"DeployedImages": [{"SpecifiedImage": uri}]})
    assert image is not None

    assert endpoint_images.look(registry, image) == image
    assert registry.asked == []


def test_a_refusal_is_raised() -> None:
    """`status` says what it was not allowed to see."""
    registry = Registry({}, "AccessDeniedException")

    with pytest.raises(ClientError):
        endpoint_images.look(registry, EndpointImage(f"{REPOSITORY}@{OLD}", OLD))
