"""Container profiles: images per region, and the environment of the model server."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import containers, documents, limits
from pipeline.containers import PYTORCH


@pytest.mark.parametrize(
    ("region", "uri"),
    [
        pytest.param(
            "us-east-1",
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/"
            "pytorch-inference:2.0.0-cpu-py310-ubuntu20.04-sagemaker",
            id="us-east-1",
        ),
        pytest.param(
            "cn-north-1",
            "763104351884.dkr.ecr.cn-north-1.amazonaws.com.cn/"
            "pytorch-inference:2.0.0-cpu-py310-ubuntu20.04-sagemaker",
            id="China has a domain of its own",
        ),
    ],
)
def test_an_image_is_pulled_from_the_endpoints_region(region: str, uri: str) -> None:
    """The image that the checklist names, in each region."""
    assert PYTORCH.image_uri(region) == uri


def test_the_image_is_one_that_the_input_would_take() -> None:
    """What the default writes, a person may write too."""
    problems: list[Any] = []
    check = documents.EXECUTION_INPUT.fields["image_uri"].check
    check.parse(PYTORCH.image_uri("ap-southeast-1"), "image_uri", problems)

    assert problems == []


def test_one_worker_and_time_to_load() -> None:
    """Two workers are two copies of the model; 60 s to load starts a slow model over for ever."""
    environment = containers.environment(PYTORCH, {})

    assert environment["SAGEMAKER_MODEL_SERVER_WORKERS"] == "1"
    assert environment["TS_DEFAULT_WORKERS_PER_MODEL"] == "1"
    assert int(environment["SAGEMAKER_MODEL_SERVER_TIMEOUT"]) >= limits.STARTUP_S.value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(2048, "2048", id="integer"),
        pytest.param(0.7, "0.7", id="float"),
        pytest.param(1.0, "1", id="whole float"),
        pytest.param(0, "0", id="zero"),
    ],
)
def test_a_setting_becomes_a_variable(value: float, text: str) -> None:
    """SEALIFT_ and the setting's name; 1 and 1.0 are written alike, so that they give one name."""
    assert containers.environment(PYTORCH, {"top_p": value})["SEALIFT_TOP_P"] == text


def test_the_environment_is_within_sagemakers_bounds() -> None:
    """At most 100 entries, keys and values of at most 1024 characters; keys are identifiers."""
    settings = {name: field.default for name, field in documents.INFERENCE.fields.items()}
    environment = containers.environment(PYTORCH, settings)

    assert len(environment) == len(PYTORCH.environment) + len(settings) <= limits.ENVIRONMENT_ENTRIES.value
    assert all(name.isidentifier() and len(name) + len(value) < 1024 for name, value in environment.items())


def test_the_support_that_ended_is_said() -> None:
    """A profile past its date carries the date and a note."""
    assert PYTORCH.end_of_support is not None
    assert "support" in PYTORCH.note
