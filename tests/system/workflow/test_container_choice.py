"""Container `auto` on the local cloud: what the stack's repository holds decides, and a later push changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline import __version__, naming
from tests import pushed
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Deployments

TAG = naming.image_tag(__version__, "x86_64")
FIELDS: dict[str, Any] = {"inference": {"n_threads": 1}}


@pytest.fixture
def push(deployments: Deployments) -> Iterator[Callable[[pushed.Image], str]]:
    """Push an image into the stack's repository under this version's tag; what was pushed goes again."""
    ecr = deployments.cloud.clients.ecr
    name = deployments.cloud.outputs["ImageRepository"].partition("/")[2]
    digests = []

    def pushed_one(image: pushed.Image) -> str:
        digests.append(pushed.push(ecr, name, TAG, image))  # type: ignore[arg-type]
        return digests[-1]

    yield pushed_one
    ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageDigest": one} for one in digests])


def planned(results: dict[str, Any]) -> tuple[str, str, str]:
    """Return the container, the image and the note on them of a deployment."""
    plan = results["plan_deployment"]
    (note,) = [one for one in plan["notes"] if "is chosen" in one]
    return results["check_archive"]["request"]["container"], plan["image_uri"], note


def test_without_an_image_it_is_the_prebuilt_one(deployments: Deployments, archive: Path) -> None:
    """As it was before there was a repository; the plan says what to run."""
    ended = deployments.upload(archive, "harbour", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    container, image, note = planned(ended.results)
    assert (container, image.partition("/")[2].partition(":")[0]) == ("pytorch", "pytorch-inference")
    assert f"no image {TAG}, which `sealift image push` puts there" in note
    assert deployments.calls("ecr") == ["DescribeImages"]


def test_an_image_of_this_version_is_taken_by_its_digest(
    deployments: Deployments, archive: Path, push: Callable[[pushed.Image], str]
) -> None:
    """The archive goes without code, and the tag may name another image the next moment."""
    digest = push(pushed.image(pushed.layer(serve=b"1")))

    ended = deployments.upload(archive, "harbour", settings(**FIELDS))
    push(pushed.image(pushed.layer(serve=b"2")))

    assert ended.status == "SUCCEEDED", ended.cause
    container, image, note = planned(ended.results)
    assert (container, image) == ("custom", f"{deployments.cloud.outputs['ImageRepository']}@{digest}")
    assert f"{TAG}, is in the stack's repository; it takes 72 MiB beside the model in place of 464" in note
    made = deployments.cloud.clients.sagemaker.describe_model(
        ModelName=ended.results["plan_deployment"]["names"]["model"]
    )
    assert made["PrimaryContainer"]["Image"] == image


def test_a_container_that_is_named_is_taken_whatever_is_there(
    deployments: Deployments, archive: Path, push: Callable[[pushed.Image], str]
) -> None:
    """Nobody looks into the repository then."""
    push(pushed.image())
    before = len(deployments.calls("ecr"))

    ended = deployments.upload(archive, "harbour", settings(container="pytorch"))

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["check_archive"]["request"]["container"] == "pytorch"
    assert deployments.calls("ecr")[before:] == []


def test_an_own_container_without_an_image_is_refused_with_the_command(
    deployments: Deployments, archive: Path
) -> None:
    """Before anything is made; nobody has pushed one."""
    ended = deployments.upload(archive, "harbour", settings(container="custom"))

    assert ended.status == "FAILED"
    assert f"no {TAG} in the stack's repository" in str(ended.cause)
    assert "`sealift image push` puts it there" in str(ended.cause)
