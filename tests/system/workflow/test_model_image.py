"""A model in the endpoint's own image, from its upload to the sweeper: on the local cloud, in the real states."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import __version__, naming
from pipeline.operations.execution_history import Execution
from tests import pushed
from tests.system.conftest import NOTHING, WAIT_S, Deployments
from tests.system.operations.test_sweep import WRONG, run_schedule
from tests.system.workflow.test_deployment import settings

TAG = naming.image_tag(__version__, "x86_64")


def repository_of(deployments: Deployments) -> str:
    """Return the name of the stack's repository for images."""
    return deployments.cloud.outputs["ImageRepository"].partition("/")[2]


def images(deployments: Deployments) -> set[str]:
    """Return the tags of the images that hold a model."""
    found = deployments.cloud.clients.ecr.describe_images(repositoryName=repository_of(deployments))
    tags = {tag for one in found["imageDetails"] for tag in one.get("imageTags", ())}
    return {tag for tag in tags if tag.startswith("model-")}


@pytest.fixture
def plain(deployments: Deployments) -> Iterator[str]:
    """Put an image of ours into the stack's repository for one test; return its digest."""
    ecr, name = deployments.cloud.clients.registry, repository_of(deployments)
    yield pushed.push(deployments.cloud.clients.ecr, name, TAG)
    found = ecr.describe_images(repositoryName=name)["imageDetails"]
    ecr.batch_delete_image(
        repositoryName=name, imageIds=[{"imageDigest": one["imageDigest"]} for one in found]
    )


def container_of(deployments: Deployments, execution: Execution) -> dict[str, Any]:
    """Return what SageMaker's model of an execution says of its container."""
    name = execution.results["plan_deployment"]["names"]["model"]
    found = deployments.cloud.clients.sagemaker.describe_model(ModelName=name)
    container: dict[str, Any] = found["PrimaryContainer"]
    return container


def ours(**fields: Any) -> dict[str, Any]:
    """Return settings that let the image hold the model."""
    return settings(artifact="image", container="custom", **fields)


def test_a_bare_gguf_is_served_from_the_image_shared_and_swept(
    deployments: Deployments, plain: str, model: Path
) -> None:
    """One image for two services; it goes when neither of them has it any more."""
    first = deployments.upload(model, "imaged", ours(), name="harbour.gguf")
    parts = deployments.calls("ecr").count("UploadLayerPart")
    second = deployments.upload(model, "shared", ours(consumer=None), name="harbour.gguf")
    made = first.results["assemble_image"]
    planned = first.results["plan_deployment"]["image"]

    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED"), (first.cause, second.cause)
    assert container_of(deployments, first)["Image"] == f"{planned['repository']}@{made['digest']}"
    assert "ModelDataUrl" not in container_of(deployments, first)
    assert planned["base"] == plain
    assert made["written"]
    assert not second.results["assemble_image"]["written"]
    assert deployments.calls("ecr").count("UploadLayerPart") == parts
    assert images(deployments) == {planned["tag"]}

    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    kept = run_schedule(deployments.cloud, now=later, delete="true", grace_hours="1")
    of_image = [one for one in kept["found"] if one["kind"] == "image"]
    sagemaker = deployments.cloud.clients.sagemaker
    for one in (first, second):
        names = one.results["plan_deployment"]["names"]
        sagemaker.delete_endpoint(EndpointName=names["endpoint"])
        sagemaker.delete_endpoint_config(EndpointConfigName=names["endpoint_config"])
        sagemaker.delete_model(ModelName=names["model"])
    deadline = time.monotonic() + WAIT_S
    while deployments.resources()["endpoints"]:
        # One that is being deleted has a configuration that is gone: nobody could tell what it runs.
        assert time.monotonic() < deadline, "endpoints that do not go away"
        time.sleep(0.1)
    swept = run_schedule(deployments.cloud, now=later, delete="true", grace_hours="1")

    assert [(one["name"], one["outcome"]) for one in of_image] == [(planned["tag"], "kept")]
    gone = [(one["name"], one["outcome"]) for one in swept["found"] if one["kind"] == "image"]
    assert gone == [(planned["tag"], "deleted")]
    assert images(deployments) == set()


def test_a_model_in_an_archive_is_served_from_the_image(
    deployments: Deployments, plain: str, archive: Path
) -> None:
    """The archive's code stays behind; the image's own serves."""
    found = deployments.upload(archive, "unpacked", ours())

    assert found.status == "SUCCEEDED", found.cause
    assert found.results["assemble_image"]["digest"]
    assert found.results["plan_deployment"]["image"]["base"] == plain


def test_what_fails_takes_its_image_with_it(deployments: Deployments, plain: str, model: Path) -> None:
    """The rollback removes the image that this execution made."""
    del plain
    failed = deployments.upload(model, "withdrawn", ours(smoke_test=WRONG), name="harbour.gguf")

    assert failed.error == "SmokeTestFailed", failed.cause
    assert deployments.resources() == NOTHING
    assert images(deployments) == set()


def test_without_an_image_to_lay_it_on_a_bare_gguf_is_refused(deployments: Deployments, model: Path) -> None:
    """One clear error with the command that helps, before anything was made."""
    failed = deployments.upload(model, "lonely", settings(artifact="image"), name="harbour.gguf")

    assert failed.error == "ImageNotFound", failed.cause
    assert "sealift image push" in failed.cause
    assert deployments.resources() == NOTHING
