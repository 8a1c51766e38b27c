"""Whether our image is in a stack's repository, by ECR's answers; and what a deployment of the stack makes of that."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from pipeline import __version__
from pipeline.aws.clients import Clients
from pipeline.cli import preflight, stack_image
from pipeline.errors import ImageNotFound, InvalidInput, Problem
from pipeline.planning import container_choice, deployment_request
from pipeline.rollout import own_image
from tests.stack_defaults import DEFAULTS

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift-imagerepository-1"
DIGEST = f"sha256:{'b' * 64}"
TAG = f"sealift-{__version__}-x86_64"
ASKED = {
    "registryId": "123456789012",
    "repositoryName": "sealift-imagerepository-1",
    "imageIds": [{"imageTag": TAG}],
}
FOUND = {"imageDetails": [{"imageDigest": DIGEST, "imageTags": [TAG], "imageSizeInBytes": 44 << 20}]}


class Registry:
    """ECR with one answer to DescribeImages: images, or an error's code."""

    def __init__(self, answer: dict[str, Any] | str) -> None:
        self.client: Any = Clients(region="us-east-1").ecr
        self._answer = answer
        self._stubber = Stubber(self.client)

    def __enter__(self) -> Any:
        if isinstance(self._answer, str):
            self._stubber.add_client_error("describe_images", self._answer, "because", expected_params=ASKED)
        else:
            self._stubber.add_response("describe_images", self._answer, ASKED)
        self._stubber.activate()
        return SimpleNamespace(ecr=self.client)

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._stubber.deactivate()
        if kind is None:
            self._stubber.assert_no_pending_responses()


def request(**fields: Any) -> Any:
    """Return a request that leaves its container open."""
    document = {"archive": {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}, "container": "auto"}
    return deployment_request.request({**document, **fields}, None, DEFAULTS)


def test_an_image_is_found_by_its_tag_and_known_by_its_digest() -> None:
    """With the bytes that it is stored in."""
    with Registry(FOUND) as clients:
        found = own_image.find(clients.ecr, own_image.wanted(REPOSITORY))

    assert (found.digest, found.bytes, found.uri) == (DIGEST, 44 << 20, f"{REPOSITORY}@{DIGEST}")


@pytest.mark.parametrize("code", ["ImageNotFoundException", "RepositoryNotFoundException"])
def test_what_is_not_there_has_no_digest(code: str) -> None:
    """Nobody has pushed it, or a person has deleted the repository."""
    with Registry(code) as clients:
        assert own_image.find(clients.ecr, own_image.wanted(REPOSITORY)).digest is None


def test_a_refusal_is_none_of_absence() -> None:
    """Else a deployment would take another container for want of a permission."""
    with Registry("AccessDeniedException") as clients, pytest.raises(ClientError):
        own_image.find(clients.ecr, own_image.wanted(REPOSITORY))


def test_no_repository_is_no_call() -> None:
    """A stack of an older release has none."""
    assert own_image.find(SimpleNamespace(), own_image.wanted("")).digest is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("instance_type", "architecture"),
    [(None, "x86_64"), ("ml.m5.large", "x86_64"), ("ml.m7g.large", "arm64")],
)
def test_the_tag_names_the_cpus_that_the_endpoint_has(instance_type: str | None, architecture: str) -> None:
    """One repository has images for both."""
    assert own_image.wanted(REPOSITORY, instance_type).tag == f"sealift-{__version__}-{architecture}"


# ---------------------------------------------------------------- before a push


def test_a_push_is_planned_with_what_the_workflow_will_take() -> None:
    """The same look, the same rule."""
    with Registry(FOUND) as clients:
        chosen = preflight.served(clients, request(), {"ImageRepository": REPOSITORY})

    assert (chosen.request.container, chosen.request.image_uri) == ("custom", f"{REPOSITORY}@{DIGEST}")


def test_who_may_not_look_is_refused_nothing_that_the_workflow_may_grant() -> None:
    """Our image is taken to be there, and that is said."""
    with Registry("AccessDeniedException") as clients:
        chosen = preflight.served(clients, request(), {"ImageRepository": REPOSITORY})

    assert chosen.request.container == "custom"
    assert chosen.note.startswith(
        f"{REPOSITORY} could not be looked into (ecr:DescribeImages is not allowed)"
    )


def test_an_older_stack_is_asked_nothing_and_says_nothing() -> None:
    """It has no repository."""
    nobody: Any = SimpleNamespace(ecr=None)

    assert preflight.served(nobody, request(), {}) == container_choice.ContainerChoice(
        replace(request(container="pytorch"), container_chosen=True), ""
    )
    with pytest.raises(InvalidInput, match="no 'image_uri', and no sealift-"):
        preflight.served(nobody, request(container="custom"), {})


# ------------------------------------------------------- after a deployment of the stack


def never() -> Any:
    """Fail: nothing is to be built."""
    raise AssertionError("built although it is there")


def test_nothing_is_built_where_the_tag_is_there() -> None:
    """A deployment of the stack alone is as quick as ever."""
    with Registry(FOUND) as clients:
        seen = stack_image.see_to(clients, REPOSITORY, never, "sealift image push")

    assert (seen.status, seen.there, seen.digest) == ("there", True, DIGEST)
    assert seen.text == f"image {TAG} is in the repository: 44.0 MiB"


def test_what_is_not_there_is_pushed() -> None:
    """With what was sent."""
    plan = SimpleNamespace(digest=DIGEST, size=3 << 20, present=1 << 20)
    with Registry("ImageNotFoundException") as clients:
        seen = stack_image.see_to(clients, REPOSITORY, lambda: SimpleNamespace(plan=plan), "x")  # type: ignore[arg-type, return-value]

    assert (seen.status, seen.there, seen.digest) == ("pushed", True, DIGEST)
    assert "3.0 MiB sent, 1.0 MiB were there" in seen.text


@pytest.mark.parametrize(
    "failure",
    [
        ImageNotFound("base", [Problem("NoBase", "no such base", "one", "name another")]),
        OSError(28, "No space left on device"),
    ],
)
def test_a_failure_leaves_the_stack_and_says_what_to_run(failure: Exception) -> None:
    """Whatever is in the way of the image, the stack stands."""

    def failing() -> Any:
        raise failure

    with Registry("ImageNotFoundException") as clients:
        seen = stack_image.see_to(clients, REPOSITORY, failing, "sealift image push --stack two")

    assert (seen.status, seen.there, seen.digest) == ("failed", False, None)
    assert str(failure) in seen.text
    assert "`sealift image push --stack two`" in seen.text
    assert seen.to_json()["reason"] == seen.text


def test_who_may_not_look_into_the_repository_is_told() -> None:
    """As of any other failure: the stack stands."""
    with Registry("AccessDeniedException") as clients:
        seen = stack_image.see_to(clients, REPOSITORY, never, "sealift image push")

    assert not seen.there
    assert "ecr:DescribeImages" in seen.text or "DescribeImages" in seen.text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({"Container": "auto", "ImageUri": ""}, "", id="auto"),
        pytest.param({"Container": "custom"}, "", id="ours by name"),
        pytest.param(
            {"Container": "pytorch"}, "`sealift deploy --parameter Container=auto`", id="as it was before"
        ),
        pytest.param(
            {"Container": "custom", "ImageUri": "mine:1"}, "deployments take mine:1", id="another image"
        ),
    ],
)
def test_a_stack_that_takes_another_image_is_told_so(values: dict[str, str], said: str) -> None:
    """A stack that was made before keeps its container; whoever pushes ours should know."""
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]

    idle = stack_image.idle(parameters)

    assert (said in idle) if said else idle == ""
