"""The plan: a pure function of facts, whose requests are ones that AWS takes."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits, plan
from pipeline.errors import ModelDoesNotFit

if TYPE_CHECKING:
    from tests.unit.conftest import FactsMaker

SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")


def name_of(facts: plan.Facts) -> str:
    """Return the endpoint's name in the plan of these facts."""
    return plan.plan(facts)["names"]["endpoint"]


def test_the_same_facts_give_the_same_plan(facts_with: FactsMaker) -> None:
    """Nothing random, no clock: a retry sends what the first try sent."""
    assert plan.plan(facts_with()) == plan.plan(facts_with())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"archive": {"version_id": "v2"}}, id="another version of the archive"),
        pytest.param({"archive": {"key": "models/harbour/other.tar.gz"}}, id="another key"),
        pytest.param({"memory_mb": 3072}, id="another memory size"),
        pytest.param({"max_concurrency": 2}, id="another concurrency"),
        pytest.param({"inference": {"n_ctx": 1024}}, id="another setting of the container"),
        pytest.param({"execution_role_arn": "arn:aws:iam::123456789012:role/other"}, id="another role"),
        pytest.param({"image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"}, id="another image"),
        pytest.param({"service": "pier"}, id="another service"),
    ],
)
def test_what_makes_another_endpoint_makes_another_name(
    facts_with: FactsMaker, change: dict[str, Any]
) -> None:
    """A name stands for the archive and for everything that the requests ask for."""
    assert name_of(facts_with(**change)) != name_of(facts_with())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"smoke_test": {"prompts": ["Why?"]}}, id="another smoke test"),
        pytest.param({"consumer": {"function_name": "other"}}, id="another consumer"),
        pytest.param({"deadline_s": 60}, id="another deadline"),
        pytest.param({"timeout_s": 300}, id="another time-out"),
    ],
)
def test_what_does_not_change_the_endpoint_keeps_its_name(
    facts_with: FactsMaker, change: dict[str, Any]
) -> None:
    """Asking for the same endpoint again finds the one that is there."""
    assert name_of(facts_with(**change)) == name_of(facts_with())


def test_without_versions_the_etag_tells_archives_apart(facts_with: FactsMaker) -> None:
    """An unversioned bucket gives no version, and an upload over the old one is another archive."""
    first, second = (
        facts_with(archive={"version_id": None, "etag": etag}) for etag in ("9b2cf535f277", "0cc175b9c0f1")
    )

    assert name_of(first) != name_of(second)


@pytest.mark.parametrize(
    ("request_name", "operation"),
    [
        pytest.param("create_model", "CreateModel", id="CreateModel"),
        pytest.param("create_endpoint_config", "CreateEndpointConfig", id="CreateEndpointConfig"),
        pytest.param("create_endpoint", "CreateEndpoint", id="CreateEndpoint"),
    ],
)
def test_a_request_is_one_that_the_service_model_takes(
    facts_with: FactsMaker, request_name: str, operation: str
) -> None:
    """The SDK's own validation finds nothing: no unknown field, no wrong type, no figure out of range."""
    request = plan.plan(facts_with())["requests"][request_name]  # type: ignore[literal-required]
    report = ParamValidator().validate(request, SAGEMAKER.operation_model(operation).input_shape)

    assert report.generate_report() == ""


def test_the_requests_refer_to_each_other(facts_with: FactsMaker) -> None:
    """The endpoint is of the configuration, which is of the model, which is of the archive."""
    made = plan.plan(facts_with())
    model, config, endpoint = (
        made["requests"]["create_model"],
        made["requests"]["create_endpoint_config"],
        made["requests"]["create_endpoint"],
    )

    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://artifacts/archives/0a1b/model.tar.gz"
    assert config["ProductionVariants"][0]["ModelName"] == model["ModelName"] == made["names"]["model"]
    assert endpoint["EndpointConfigName"] == config["EndpointConfigName"] == made["names"]["endpoint_config"]
    assert endpoint["EndpointName"] == made["names"]["endpoint"]
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {
        "MemorySizeInMB": 2048,
        "MaxConcurrency": 10,
    }


def test_a_plan_is_json(facts_with: FactsMaker) -> None:
    """It travels between states, with room to spare for what else does."""
    text = json.dumps(plan.plan(facts_with(consumer={"function_name": "f"})))

    assert len(text) < limits.STATE_PAYLOAD.value / 10
    assert set(json.loads(text)) == set(plan.Plan.__annotations__)


def test_everything_made_is_tagged(facts_with: FactsMaker) -> None:
    """Who made it, for which service, from which archive: all three creates carry the same tags."""
    facts = facts_with()
    requests = plan.plan(facts)["requests"]
    tags = {tag["Key"]: tag["Value"] for tag in requests["create_model"]["Tags"]}

    assert tags == {
        plan.TAG_SERVICE: "harbour",
        plan.TAG_EXECUTION: facts.execution,
        plan.TAG_ARCHIVE: "uploads/models/harbour/model.tar.gz",
        plan.TAG_VERSION: "v1",
        plan.TAG_UPLOADED: "2026-01-02T03:04:05Z",
    }
    assert requests["create_model"]["Tags"] == requests["create_endpoint"]["Tags"]
    assert requests["create_model"]["Tags"] == requests["create_endpoint_config"]["Tags"]


@given(key=st.text(min_size=1, max_size=1024))
def test_a_tag_is_one_that_sagemaker_takes(key: str) -> None:
    """Whatever the key holds, its tag keeps to 256 letters, digits, separators and `_.:/=+-@`."""
    value = plan.tag_value(key)

    assert len(value) <= 256
    assert all(unicodedata.category(one)[0] in "LNZ" or one in "_.:/=+-@" for one in value)


def test_a_plain_tag_stays_as_it_is() -> None:
    """ARNs, versions and times need no change."""
    plain = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour_1.2 =+@"

    assert plan.tag_value(plain) == plain
    assert re.fullmatch("a_+b", plan.tag_value("a*?b"))


def test_the_context_is_not_longer_than_the_model_was_trained_for(facts_with: FactsMaker) -> None:
    """The cap is in the container's environment, in the arithmetic, and in a note."""
    made = plan.plan(facts_with(model={"context_length": 512}, inference={"n_ctx": 4096}))

    assert made["requests"]["create_model"]["PrimaryContainer"]["Environment"]["SEALIFT_N_CTX"] == "512"
    assert "x 512 tokens" in made["fit"]["lines"][1]["how"]
    assert made["notes"] == ["n_ctx 4096 was asked for; the model was trained for 512"]


@pytest.mark.parametrize(
    "trained",
    [pytest.param(None, id="not said"), pytest.param(131_072, id="longer"), pytest.param(2048, id="same")],
)
def test_a_context_that_the_model_can_do_is_kept(facts_with: FactsMaker, trained: int | None) -> None:
    """No cap, no note."""
    made = plan.plan(facts_with(model={"context_length": trained}))

    assert made["requests"]["create_model"]["PrimaryContainer"]["Environment"]["SEALIFT_N_CTX"] == "2048"
    assert made["notes"] == []


@pytest.mark.parametrize(
    ("asked", "used", "notes"),
    [
        pytest.param(300, 60, 1, id="above"),
        pytest.param(60, 60, 0, id="at"),
        pytest.param(5, 5, 0, id="below"),
    ],
)
def test_a_timeout_above_the_platforms_is_noted(
    facts_with: FactsMaker, asked: int, used: int, notes: int
) -> None:
    """SageMaker ends every serverless call at 60 s; the plan says so instead of promising more."""
    made = plan.plan(facts_with(timeout_s=asked))

    assert made["smoke_test"]["timeout_s"] == used
    assert len(made["notes"]) == notes
    assert all("60 s" in note for note in made["notes"])


def test_a_model_that_fits_nowhere_has_no_plan(facts_with: FactsMaker) -> None:
    """The refusal names the file and shows the sum."""
    with pytest.raises(ModelDoesNotFit, match=r"llama-3\.2-1b-q4_k_m\.gguf \(weights"):
        plan.plan(facts_with(model={"tensor_bytes": 7 * limits.GB}))
