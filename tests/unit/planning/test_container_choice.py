"""Which container `auto` comes to, and that what somebody names is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import InvalidInput
from pipeline.planning import container_choice, deployment_request
from pipeline.planning.container_choice import OwnImage
from tests.stack_defaults import DEFAULTS

if TYPE_CHECKING:
    from pipeline.state_data.request_types import Request

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift-imagerepository-1"
TAG = "sealift-1.0-x86_64"
DIGEST = f"sha256:{'a' * 64}"
THEIRS = "123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1"
ABSENT, PRESENT = OwnImage(REPOSITORY, TAG), OwnImage(REPOSITORY, TAG, DIGEST, 46_000_000)
BY_DIGEST = f"{REPOSITORY}@{DIGEST}"


def asked(**fields: Any) -> Request:
    """Return a request of a stack that chooses by itself, and lets archives bring code."""
    defaults = {**DEFAULTS, "container": "auto", "allow_archive_code": "true"}
    document = {"archive": {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}, **fields}
    return deployment_request.request(document, None, defaults)  # type: ignore[arg-type]


def test_auto_is_what_nobody_says_otherwise() -> None:
    """Of the stack's parameter, and where an older stack's definition is asked by a request."""
    assert asked().container == "auto"
    named = deployment_request.request(
        {"archive": {"bucket": "b1b", "key": "models/a/m.tar.gz"}, "container": "auto"}, None, DEFAULTS
    )
    assert named.container == "auto"


@pytest.mark.parametrize("hosting", ["serverless", "instance", "auto"])
@pytest.mark.parametrize(
    ("own", "fields", "container", "image"),
    [
        pytest.param(PRESENT, {}, "custom", BY_DIGEST, id="ours is there"),
        pytest.param(ABSENT, {}, "pytorch", None, id="ours is not there"),
        pytest.param(OwnImage("", TAG), {}, "pytorch", None, id="no repository is known"),
        pytest.param(PRESENT, {"code": "archive"}, "pytorch", None, id="an archive's code"),
        pytest.param(PRESENT, {"image_uri": THEIRS}, "pytorch", THEIRS, id="another image"),
        pytest.param(
            ABSENT, {"image_uri": f"{REPOSITORY}:own"}, "custom", f"{REPOSITORY}:own", id="a tag of ours"
        ),
        pytest.param(ABSENT, {"image_uri": BY_DIGEST}, "custom", BY_DIGEST, id="a digest of ours"),
        pytest.param(
            PRESENT,
            {"image_uri": f"{REPOSITORY}-2:own"},
            "pytorch",
            f"{REPOSITORY}-2:own",
            id="a repository that is called almost the same",
        ),
        pytest.param(PRESENT, {"container": "pytorch"}, "pytorch", None, id="the prebuilt one is named"),
        pytest.param(PRESENT, {"container": "llama-cpp"}, "llama-cpp", None, id="AWS's own is named"),
        pytest.param(PRESENT, {"container": "custom"}, "custom", BY_DIGEST, id="ours is named"),
        pytest.param(
            PRESENT, {"container": "custom", "image_uri": THEIRS}, "custom", THEIRS, id="ours, and its image"
        ),
    ],
)
def test_what_is_there_decides_where_nobody_does(
    own: OwnImage, fields: dict[str, Any], container: str, image: str | None, hosting: str
) -> None:
    """On every hosting alike; our image by its digest, so that a later push changes nothing."""
    chosen = container_choice.choose(asked(hosting=hosting, **fields), own).request

    assert (chosen.container, chosen.image_uri) == (container, image)


@pytest.mark.parametrize(
    ("fields", "asks", "settled"),
    [
        pytest.param({}, True, False, id="auto"),
        pytest.param({"code": "archive"}, False, False, id="an archive's code"),
        pytest.param({"image_uri": THEIRS}, False, False, id="an image is named"),
        pytest.param({"container": "custom"}, True, False, id="ours, without its image"),
        pytest.param({"container": "custom", "image_uri": THEIRS}, False, True, id="ours, with its image"),
        pytest.param({"container": "pytorch"}, False, True, id="the prebuilt one"),
        pytest.param({"container": "llama-cpp"}, False, True, id="AWS's own"),
    ],
)
def test_the_repository_is_looked_into_only_where_it_decides(
    fields: dict[str, Any], asks: bool, settled: bool
) -> None:
    """Nothing is asked of ECR for a container that is named, so nothing can fail there."""
    request = asked(**fields)

    assert container_choice.asks_repository(request) is asks
    assert container_choice.is_settled(request) is settled


@pytest.mark.parametrize(
    ("own", "fields", "note"),
    [
        pytest.param(
            PRESENT,
            {},
            f"container 'custom' is chosen: Sealift's own image, {TAG}, is in the stack's repository; it takes 72 MiB "
            "beside the model in place of 464, and 0.046 GB in ECR, $0.0046 a month for all deployments",
            id="there",
        ),
        pytest.param(ABSENT, {}, f"no image {TAG}, which `sealift image push` puts there", id="not there"),
        pytest.param(OwnImage("", TAG), {}, "no stack's repository was looked into", id="not known"),
        pytest.param(PRESENT, {"code": "archive"}, "own code may need", id="an archive's code"),
        pytest.param(
            ABSENT, {"image_uri": BY_DIGEST}, "of the stack's own repository", id="an image of ours"
        ),
        pytest.param(
            PRESENT,
            {"container": "custom"},
            f"so it is {TAG} of the stack's repository, and 0.046 GB in ECR, $0.0046 a month for all deployments",
            id="ours is named",
        ),
    ],
)
def test_a_choice_says_why(own: OwnImage, fields: dict[str, Any], note: str) -> None:
    """It is in the plan's notes, and so in the report."""
    assert note in container_choice.choose(asked(**fields), own).note


@pytest.mark.parametrize(
    ("own", "fields", "size"),
    [(PRESENT, {}, 46_000_000), (PRESENT, {"container": "custom"}, 46_000_000), (ABSENT, {}, 0)],
)
def test_a_choice_of_ours_says_what_it_is_stored_in(own: OwnImage, fields: dict[str, Any], size: int) -> None:
    """The report has its price of it."""
    assert container_choice.choose(asked(**fields), own).image_bytes == size


@pytest.mark.parametrize("fields", [{"container": "pytorch"}, {"image_uri": THEIRS}])
def test_what_was_named_needs_no_reason(fields: dict[str, Any]) -> None:
    """Nothing was chosen."""
    assert container_choice.choose(asked(**fields), PRESENT).note == ""


def test_a_container_without_an_image_is_refused_with_the_way_to_one() -> None:
    """It was named, and there is none: nothing else is taken in its place."""
    with pytest.raises(InvalidInput) as refusal:
        container_choice.choose(asked(container="custom"), ABSENT)

    (problem,) = refusal.value.problems
    assert problem.error == "NoImage"
    assert TAG in problem.seen
    assert "`sealift image push`" in problem.fix


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        pytest.param({"container": "pytorch"}, "mmproj.gguf", id="nothing loads it"),
        pytest.param({"container": "llama-cpp"}, None, id="AWS's image does"),
        pytest.param({"container": "pytorch", "code": "archive"}, None, id="an archive's own code may"),
    ],
)
def test_what_a_container_leaves_aside_is_known(fields: dict[str, Any], left: str | None) -> None:
    """The first of it; of a model alone nothing."""
    beside = [{"kind": "mmproj", "path": "mmproj.gguf"}, {"kind": "lora", "path": "lora.gguf"}]
    found = container_choice.left_out(asked(**fields), {"companions": beside})

    assert (found or {}).get("path") == left
    assert container_choice.left_out(asked(**fields), {}) is None
