"""The plan: a pure function of facts, whose requests are ones that AWS takes."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from pipeline import instance_pools, json_codec, limits, model_source, quota_usage
from pipeline.aws import resource_tags
from pipeline.errors import InvalidInput, ModelDoesNotFit, QuotaUsedUp
from pipeline.gguf import questions
from pipeline.planning import alarms as alarm_rules
from pipeline.planning import plan, quotas, sizes
from pipeline.sizing import instance_types
from pipeline.state_data import plan_types
from pipeline.state_data.request_types import Scaling

if TYPE_CHECKING:
    from tests.unit.conftest import FactsMaker

IMAGE_URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift-inference:1"
SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")


def name_of(facts: plan.PlanFacts) -> str:
    """Return the endpoint's name in the plan of these facts."""
    return plan.plan(facts).names.endpoint


def test_the_same_facts_give_the_same_plan(facts_with: FactsMaker) -> None:
    """Nothing random, no clock: a retry sends what the first try sent."""
    assert plan.plan(facts_with()) == plan.plan(facts_with())


@pytest.mark.parametrize(
    ("consumer", "switch", "callers"),
    [
        pytest.param([], "none", "no consumer", id="none"),
        pytest.param({"function_name": "f"}, "at_once", "ENDPOINT_NAME of f", id="one"),
        pytest.param(
            [{"function_name": "f"}, {"function_name": "g", "alias": "live", "canary": {}}],
            "in_steps",
            "ENDPOINT_NAME of f, ENDPOINT_NAME of g:live",
            id="one of two in steps",
        ),
    ],
)
def test_the_switch_is_planned(facts_with: FactsMaker, consumer: Any, switch: str, callers: str) -> None:
    """One canary is enough for two steps; the notification names every consumer."""
    made = plan.plan(facts_with(consumer=consumer))

    assert (made.switch, made.callers) == (switch, callers)


def test_all_that_is_made_names_every_consumer(facts_with: FactsMaker) -> None:
    """From the beginning, since a deployment that fails may leave what one of them still calls."""
    both = [{"function_name": "f"}, {"function_name": "g", "alias": "live"}]
    requests = plan.plan(facts_with(consumer=both)).requests
    for request in (
        requests.create_model,
        requests.create_endpoint_config,
        requests.create_endpoint,
    ):
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}

        assert tags["sealift:consumer"] == "f ENDPOINT_NAME"
        assert tags["sealift:consumer-2"] == "g ENDPOINT_NAME live"
        assert tags["sealift:consumers"] == "2"


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
        pytest.param("update_endpoint", "UpdateEndpoint", id="UpdateEndpoint"),
    ],
)
def test_a_request_is_one_that_the_service_model_takes(
    facts_with: FactsMaker, request_name: str, operation: str
) -> None:
    """The SDK's own validation finds nothing: no unknown field, no wrong type, no figure out of range."""
    request = getattr(plan.plan(facts_with()).requests, request_name)
    report = ParamValidator().validate(request, SAGEMAKER.operation_model(operation).input_shape)

    assert report.generate_report() == ""


def test_the_requests_refer_to_each_other(facts_with: FactsMaker) -> None:
    """The endpoint is of the configuration, which is of the model, which is of the archive."""
    made = plan.plan(facts_with())
    model, config, endpoint = (
        made.requests.create_model,
        made.requests.create_endpoint_config,
        made.requests.create_endpoint,
    )

    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://artifacts/archives/0a1b/model.tar.gz"
    assert config["ProductionVariants"][0]["ModelName"] == model["ModelName"] == made.names.model
    assert endpoint["EndpointConfigName"] == config["EndpointConfigName"] == made.names.endpoint_config
    assert endpoint["EndpointName"] == made.names.endpoint
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {
        "MemorySizeInMB": 2048,
        "MaxConcurrency": 10,
    }


def test_a_plan_is_json(facts_with: FactsMaker) -> None:
    """It travels between states, with room to spare for what else does."""
    text = json.dumps(json_codec.encode(plan.plan(facts_with(consumer={"function_name": "f"}))))

    assert len(text) < limits.STATE_PAYLOAD.value / 10
    assert set(json.loads(text)) == set(json_codec.keys(plan_types.Plan))


def test_everything_made_is_tagged(facts_with: FactsMaker) -> None:
    """Who made it, for which service, from which archive: all three creates carry the same tags."""
    facts = facts_with()
    requests = plan.plan(facts).requests
    tags = {tag["Key"]: tag["Value"] for tag in requests.create_model["Tags"]}

    assert tags == {
        resource_tags.TAG_SERVICE: "harbour",
        resource_tags.TAG_EXECUTION: facts.execution,
        resource_tags.TAG_ARCHIVE: "uploads/models/harbour/model.tar.gz",
        resource_tags.TAG_VERSION: "v1",
        resource_tags.TAG_UPLOADED: "2026-01-02T03:04:05Z",
    }
    assert requests.create_model["Tags"] == requests.create_endpoint["Tags"]
    assert requests.create_model["Tags"] == requests.create_endpoint_config["Tags"]


@given(key=st.text(min_size=1, max_size=1024))
def test_a_tag_is_one_that_sagemaker_takes(key: str) -> None:
    """Whatever the key holds, its tag keeps to 256 letters, digits, separators and `_.:/=+-@`."""
    value = resource_tags.tag_value(key)

    assert len(value) <= 256
    assert all(unicodedata.category(one)[0] in "LNZ" or one in "_.:/=+-@" for one in value)


def test_a_plain_tag_stays_as_it_is() -> None:
    """ARNs, versions and times need no change."""
    plain = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour_1.2 =+@"

    assert resource_tags.tag_value(plain) == plain
    assert re.fullmatch("a_+b", resource_tags.tag_value("a*?b"))


def test_the_context_is_not_longer_than_the_model_was_trained_for(facts_with: FactsMaker) -> None:
    """The cap is in the container's environment, in the arithmetic, and in a note."""
    made = plan.plan(facts_with(model={"context_length": 512}, inference={"n_ctx": 4096}))

    assert made.requests.create_model["PrimaryContainer"]["Environment"]["SEALIFT_N_CTX"] == "512"
    assert "x 512 tokens" in made.fit["lines"][1]["how"]
    assert made.notes == ("n_ctx 4096 was requested; the model was trained for 512",)


@pytest.mark.parametrize(
    "trained",
    [pytest.param(None, id="not said"), pytest.param(131_072, id="longer"), pytest.param(2048, id="same")],
)
def test_a_context_that_the_model_can_do_is_kept(facts_with: FactsMaker, trained: int | None) -> None:
    """No cap, no note."""
    made = plan.plan(facts_with(model={"context_length": trained}))

    assert made.requests.create_model["PrimaryContainer"]["Environment"]["SEALIFT_N_CTX"] == "2048"
    assert made.notes == ()


@pytest.mark.parametrize(
    ("model", "request_", "form", "prompts", "size"),
    [
        pytest.param({}, {}, "messages", ["Hello."], None, id="an older report"),
        pytest.param({"purpose": "chat"}, {}, "messages", ["Hello."], None, id="chat"),
        pytest.param({"purpose": "completion"}, {}, "prompt", [questions.BEGINNING], None, id="base"),
        pytest.param(
            {"purpose": "completion"},
            {"smoke_test": {"prompts": ["The crane"]}},
            "prompt",
            ["The crane"],
            None,
            id="base, with a beginning",
        ),
        pytest.param(
            {"purpose": "completion"},
            {"smoke_test": {"ask_with": "messages"}},
            "messages",
            ["Hello."],
            None,
            id="base, to be asked otherwise",
        ),
        pytest.param(
            {"purpose": "completion"},
            {"container": "llama-cpp"},
            "messages",
            ["Hello."],
            None,
            id="base, AWS's",
        ),
        pytest.param(
            {"purpose": "embedding", "evaluated_whole": False, "embedding_size": 384},
            {},
            "input",
            ["Hello."],
            384,
            id="embedding",
        ),
        pytest.param(
            {"purpose": "rerank", "evaluated_whole": False}, {}, "query", ["Hello."], None, id="reranker"
        ),
    ],
)
def test_the_smoke_test_suits_the_model(
    *,
    facts_with: FactsMaker,
    model: dict[str, Any],
    request_: dict[str, Any],
    form: str,
    prompts: list[str],
    size: int | None,
) -> None:
    """As far as the container takes it, and unless the request says otherwise."""
    test = plan.plan(facts_with(model=model, **request_)).smoke_test

    assert (test.ask_with, list(test.prompts), test.embedding_size) == (form, prompts, size)


@pytest.mark.parametrize(
    ("purpose", "own", "wanted"),
    [
        ("chat", None, None),
        ("completion", None, {"prompt": questions.BEGINNING, "complete": True}),
        ("completion", {"q": 1}, {"q": 1}),
        ("embedding", None, {"input": "Hello."}),
        ("embedding", {"q": 1}, {"q": 1}),
        ("rerank", None, {"query": "Hello.", "documents": ["Hello.", questions.OTHER]}),
        ("chat", {"q": 1}, {"q": 1}),
    ],
)
def test_a_consumer_is_tried_with_what_the_model_takes(
    facts_with: FactsMaker, purpose: str, own: dict[str, Any] | None, wanted: dict[str, Any] | None
) -> None:
    """A prompt would be refused by a model for embeddings; an event of its own goes before."""
    facts = facts_with(
        model={"purpose": purpose, "evaluated_whole": False},
        consumer=[{"function_name": "harbour-api", "test_event": own}],
    )

    (one,) = plan.plan(facts).consumers

    assert one.test_event == wanted


@pytest.mark.parametrize(("purpose", "offered"), [("chat", True), ("embedding", False), ("rerank", False)])
def test_no_container_is_proposed_that_does_not_serve_the_model(
    facts_with: FactsMaker, purpose: str, *, offered: bool
) -> None:
    """The prebuilt image's support has ended; AWS's other image has no embeddings."""
    facts = replace(facts_with(model={"purpose": purpose, "evaluated_whole": False}), today=date(2026, 1, 1))

    notes = " ".join(plan.plan(facts).notes)

    assert "ended on 2024-03-15" in notes
    assert ("'llama-cpp' is supported" in notes) == offered


@pytest.mark.parametrize("purpose", ["completion", "embedding", "rerank"])
def test_an_archives_own_code_is_asked_with_messages(facts_with: FactsMaker, purpose: str) -> None:
    """What else it takes nobody knows; the request may say it."""
    facts = facts_with(model={"purpose": purpose, "evaluated_whole": False})

    own = replace(facts, request=replace(facts.request, code="archive"))

    assert plan.plan(own).smoke_test.ask_with == "messages"


@pytest.mark.parametrize(
    ("model", "request_", "words", "not_words"),
    [
        pytest.param({"purpose": "completion"}, {}, "it completes, it does not chat", "ChatML", id="base"),
        pytest.param(
            {"purpose": "completion"}, {"container": "llama-cpp"}, "ChatML", '"prompt"', id="base, AWS's"
        ),
        pytest.param(
            {"purpose": "embedding", "evaluated_whole": False, "embedding_size": 384},
            {},
            "with 384 numbers",
            "base",
            id="embedding",
        ),
        pytest.param(
            {"purpose": "rerank", "evaluated_whole": False}, {}, "a reranker", "base", id="reranker"
        ),
        pytest.param({"architecture": "dream"}, {}, "diffusion language model", "base", id="diffusion"),
        pytest.param({"architecture": "newer"}, {}, "'newer' is not known to", "base", id="unknown"),
    ],
)
def test_what_is_not_asked_as_a_chat_has_a_note(
    facts_with: FactsMaker,
    model: dict[str, Any],
    request_: dict[str, Any],
    words: str,
    not_words: str,
) -> None:
    """In the plan, before anything is made."""
    notes = " ".join(plan.plan(facts_with(model=model, **request_)).notes)

    assert words in notes
    assert not_words not in notes


@pytest.mark.parametrize(
    ("asked", "used", "notes"),
    [
        pytest.param(300, 60, 1, id="above"),
        pytest.param(60, 60, 0, id="at"),
        pytest.param(59, 59, 0, id="below"),
    ],
)
def test_a_timeout_above_the_platforms_is_noted(
    facts_with: FactsMaker, asked: int, used: int, notes: int
) -> None:
    """SageMaker ends every serverless call at 60 s; the plan says so instead of promising more."""
    made = plan.plan(facts_with(timeout_s=asked))

    assert made.smoke_test.timeout_s == used
    assert len(made.notes) == notes
    assert all("60 s" in note for note in made.notes)


def test_a_model_that_fits_nowhere_has_no_plan(facts_with: FactsMaker) -> None:
    """The refusal names the file and shows the sum."""
    with pytest.raises(ModelDoesNotFit, match=r"llama-3\.2-1b-q4_k_m\.gguf \(weights"):
        plan.plan(facts_with(model={"tensor_bytes": 7 * limits.GB}))


# ------------------------------------------------------------------- other sizes


def down(memory_mb: int, concurrency: int, *room: quota_usage.Lowered) -> quotas.Down:
    """Return a step of the ladder."""
    step = plan_types.CapacityStep(asked="much", said="no", did="less")
    return quotas.Down(quotas.Rung.ROOM, memory_mb, concurrency, room, step)


def holder(name: str, config: str, concurrency: int = 10, **more: Any) -> quota_usage.Holder:
    """Return an endpoint of the service."""
    return quota_usage.Holder(name, more.pop("status", "InService"), config, concurrency, ours=True, **more)


def among(facts: plan.PlanFacts, *holders: quota_usage.Holder, serving: str | None = None) -> plan.PlanFacts:
    """Return the facts of an account with these endpoints."""
    situation = quota_usage.Situation(holders, 10, read=True)
    return replace(facts, situation=situation, serving=serving)


def serverless_of(made: plan_types.Plan) -> dict[str, int]:
    """Return the ServerlessConfig that a plan asks for."""
    config: dict[str, int] = made.requests.create_endpoint_config["ProductionVariants"][0]["ServerlessConfig"]
    return config


def test_what_is_provisioned_goes_no_further_than_the_concurrency(facts_with: FactsMaker) -> None:
    """A quota that lowers one lowers the other; the request is remembered, so that both are given back."""
    first = plan.plan(facts_with(max_concurrency=10, provisioned_concurrency=4))
    crowded = plan.plan(
        among(facts_with(max_concurrency=10, provisioned_concurrency=4), holder("harbour-1", "c", 7))
    )
    made = sizes.lower(first, down(2048, 2))

    assert serverless_of(first) == {"MemorySizeInMB": 2048, "MaxConcurrency": 10, "ProvisionedConcurrency": 4}
    assert serverless_of(made) == {"MemorySizeInMB": 2048, "MaxConcurrency": 2, "ProvisionedConcurrency": 2}
    assert serverless_of(crowded)["MaxConcurrency"] == 3 + 2
    for one in (first, made, crowded):
        assert one.asked is not None
        assert one.asked.provisioned == 4
    plain = plan.plan(facts_with(max_concurrency=10))
    assert "ProvisionedConcurrency" not in serverless_of(plain)
    assert plain.names != first.names
    assert (plain.keep_previous, first.keep_previous) == (1, 0)
    assert any(note.startswith("4 containers are kept started, which costs money") for note in first.notes)
    kept = plan.plan(facts_with(max_concurrency=10, provisioned_concurrency=4, keep_previous=2))
    assert kept.keep_previous == 2


def test_on_instances_nothing_is_provisioned(facts_with: FactsMaker) -> None:
    """With `auto` nobody knew where it would run."""
    made = plan.plan(
        instance_facts(facts_with, hosting="auto", allow_instances=True, provisioned_concurrency=2)
    )

    assert made.hosting == "instance"
    assert "provisioned_concurrency was requested; an instance is always started, and has none" in made.notes


def test_a_step_down_is_another_configuration_and_nothing_else(facts_with: FactsMaker) -> None:
    """Model and endpoint keep their names, since nothing else has changed; the requests fit together."""
    first = plan.plan(facts_with())
    lowered = quota_usage.Lowered(endpoint="harbour-1", before=10, to=5)
    made = sizes.lower(first, down(1024, 5, lowered))
    name = first.names.model

    assert made.names == plan_types.Names(name, f"{name}-1024-5", name)
    config = made.requests.create_endpoint_config
    assert config["EndpointConfigName"] == f"{name}-1024-5"
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {
        "MemorySizeInMB": 1024,
        "MaxConcurrency": 5,
    }
    assert made.requests.create_endpoint == {
        **first.requests.create_endpoint,
        "EndpointConfigName": f"{name}-1024-5",
    }
    assert made.requests.create_model == first.requests.create_model
    assert (made.room, made.rungs, len(made.steps)) == ((lowered,), ("room",), 1)
    assert sizes.ask(made).taken == ("room",)
    assert sizes.lower(made, down(2048, 10)).names == first.names


@given(
    memory_mb=st.sampled_from(limits.MEMORY_SIZES_MB),
    concurrency=st.integers(1, 200),
    asked=st.tuples(st.sampled_from(limits.MEMORY_SIZES_MB), st.integers(1, 200)),
)
def test_a_configurations_name_tells_its_sizes(
    memory_mb: int, concurrency: int, asked: tuple[int, int]
) -> None:
    """Whatever was requested, and the longest name is one that SageMaker takes."""
    name = f"{'s' * 40}-{'0' * 12}"
    wanted = plan_types.Asked(memory_mb=asked[0], max_concurrency=asked[1])
    config = sizes.config_name(name, wanted, memory_mb, concurrency)

    assert len(config) <= limits.NAME_LENGTH.value
    assert sizes.sizes_of(config, name, wanted) == (memory_mb, concurrency)
    assert sizes.sizes_of(config, "other-0", wanted) is None


def test_the_name_does_not_depend_on_what_is_in_use(facts_with: FactsMaker) -> None:
    """A repetition on a fuller account finds the endpoint that it made."""
    first = plan.plan(facts_with())
    second = plan.plan(among(facts_with(), holder("harbour-1", "harbour-1")))

    assert second.names.endpoint == first.names.endpoint
    assert second.names.endpoint_config == f"{first.names.endpoint}-2048-5"
    assert second.room == (quota_usage.Lowered("harbour-1", 10, 5),)


def test_what_was_lowered_for_a_plan_that_is_made_anew_is_still_to_be_given_back(
    facts_with: FactsMaker,
) -> None:
    """As much as it had before the first lowering, though the second plan only saw the last; its steps are told too."""
    first = plan.plan(
        among(facts_with(), holder("harbour-1", "harbour-1"), holder("harbour-2", "harbour-2", 0))
    )
    lowered = among(facts_with(), holder("harbour-1", "harbour-1", 5), holder("other", "other", 5))
    made = plan.plan(replace(lowered, earlier=first))

    assert first.room == (quota_usage.Lowered("harbour-1", 10, 5),)
    assert plan.plan(lowered).room == (quota_usage.Lowered("harbour-1", 5, 1),)
    assert made.room == (quota_usage.Lowered("harbour-1", 10, 1),)
    assert made.steps == (*first.steps, *plan.plan(lowered).steps)


@pytest.mark.parametrize("status", ["InService", "Creating", "Updating"])
def test_an_endpoint_that_is_there_is_taken_over_as_it_is(facts_with: FactsMaker, status: str) -> None:
    """An earlier run of the same deployment: its configuration is the plan's, and nobody is lowered for it."""
    name = name_of(facts_with())
    there = holder(name, f"{name}-2048-4", 9, status=status)
    made = plan.plan(among(facts_with(), holder("harbour-1", "harbour-1", 1), there))

    assert made.names.endpoint_config == f"{name}-2048-4"
    assert (made.max_concurrency, made.asked.max_concurrency) == (4, 10)
    assert (made.room, made.steps) == ((), ())


@pytest.mark.parametrize(
    ("holders", "serving", "endpoint", "updates"),
    [
        pytest.param((), None, "harbour", None, id="the first creates"),
        pytest.param(
            (holder("harbour", "harbour-0", 9),),
            None,
            "harbour",
            {"endpoint_config": "harbour-0", "max_concurrency": 9},
            id="the next updates",
        ),
        pytest.param(
            (
                holder("harbour-1", "harbour-1", 4, created="1"),
                holder("harbour-2", "harbour-2", 5, created="2"),
            ),
            "harbour-1",
            "harbour-1",
            {"endpoint_config": "harbour-1", "max_concurrency": 4},
            id="what the consumer calls",
        ),
        pytest.param(
            (
                holder("harbour-1", "harbour-1", 4, created="1"),
                holder("harbour-2", "harbour-2", 5, created="2"),
            ),
            "elsewhere",
            "harbour-2",
            {"endpoint_config": "harbour-2", "max_concurrency": 5},
            id="the newest",
        ),
        pytest.param(
            (
                holder("harbour-1", "harbour-1", 4, created="1"),
                holder("harbour", "harbour-2", 5, created="0"),
            ),
            "harbour-1",
            "harbour",
            {"endpoint_config": "harbour-2", "max_concurrency": 5},
            id="the bare name first",
        ),
        pytest.param((holder("harbour", "x", status="Failed"),), None, "harbour", None, id="a failed one"),
    ],
)
def test_in_place_has_one_endpoint(
    *,
    facts_with: FactsMaker,
    holders: tuple[quota_usage.Holder, ...],
    serving: str | None,
    endpoint: str,
    updates: dict[str, Any] | None,
) -> None:
    """Its name stays; how it was is in the plan, so that it can be put back."""
    made = plan.plan(among(facts_with(strategy="in_place"), *holders, serving=serving))

    assert (made.names.endpoint, made.updates) == (endpoint, updates and plan_types.Previous(**updates))
    assert made.requests.update_endpoint == {
        "EndpointName": endpoint,
        "EndpointConfigName": made.names.endpoint_config,
    }
    assert made.requests.create_endpoint["EndpointName"] == endpoint


def environment_of(made: plan_types.Plan) -> dict[str, str]:
    """Return the variables of a plan's container."""
    return dict(made.requests.create_model["PrimaryContainer"]["Environment"])


@pytest.mark.parametrize("strategy", ["new_endpoint", "in_place"])
def test_a_container_is_told_where_it_runs(facts_with: FactsMaker, strategy: str) -> None:
    """Its lines have the dimensions of its endpoint's metrics."""
    made = plan.plan(facts_with(strategy=strategy))

    told = environment_of(made)
    assert (told["SEALIFT_ENDPOINT"], told["SEALIFT_VARIANT"]) == (made.names.endpoint, "AllTraffic")
    assert made.log_form == "columns"


def test_a_container_whose_lines_are_not_ours_is_told_nothing(facts_with: FactsMaker) -> None:
    """AWS's llama.cpp image would have nobody to read it."""
    made = plan.plan(facts_with(container="llama-cpp"))

    assert made.log_form is None
    assert not {"SEALIFT_ENDPOINT", "SEALIFT_VARIANT"} & set(environment_of(made))


def test_a_model_that_runs_in_two_endpoints_has_two_names(facts_with: FactsMaker) -> None:
    """SageMaker changes no model, and one that says where it runs would differ from what has the name already."""
    own = plan.plan(facts_with(strategy="new_endpoint"))
    bare = plan.plan(facts_with(strategy="in_place"))
    other = plan.plan(among(facts_with(strategy="in_place"), holder("harbour-1", "harbour-1")))

    assert len({one.names.model for one in (own, bare, other)}) == 3
    assert [environment_of(one)["SEALIFT_ENDPOINT"] for one in (own, bare, other)] == [
        own.names.model,
        "harbour",
        "harbour-1",
    ]


def test_in_place_a_model_keeps_its_name_whatever_becomes_of_the_endpoint(facts_with: FactsMaker) -> None:
    """An execution that plans again has made it: the endpoint that it updates may be gone, or another one be newer."""
    facts = facts_with(strategy="in_place")
    first = plan.plan(among(facts, holder("harbour-1", "harbour-1")))
    again = replace(facts, earlier=first)

    for later in (among(again), among(again, holder("harbour-2", "harbour-2"))):
        made = plan.plan(later)
        assert made.names.model == first.names.model
        assert environment_of(made) == environment_of(first)


def test_where_a_container_is_told_nothing_its_model_keeps_its_name(facts_with: FactsMaker) -> None:
    """It is the same in any endpoint."""
    names = {
        plan.plan(facts_with(container="llama-cpp", strategy=one)).names.model
        for one in ("new_endpoint", "in_place")
    }

    assert len(names) == 1


def test_in_place_a_repetition_updates_nothing(facts_with: FactsMaker) -> None:
    """The endpoint is on the very configuration already."""
    facts = facts_with(strategy="in_place")
    config = plan.plan(facts).names.endpoint_config
    made = plan.plan(among(facts, holder("harbour", config)))

    assert (made.updates, made.names.endpoint_config) == (None, config)


# ------------------------------------------------------------------- on instances

GIANT = {"tensor_bytes": 16_500_000_000, "size": 16_546_000_000, "block_count": 62, "embedding_length": 5376}
"""Weights of a 27B model in Q4_K_M, which fit no serverless endpoint."""
BARE = {
    "size": 16_546_000_000,
    "extracted_bytes": 16_546_000_000,
    "parts": [{"key": "models/harbour/gemma.gguf", "version_id": "v1", "etag": "e", "size": 16_546_000_000}],
}


def instance_facts(facts_with: FactsMaker, **fields: Any) -> plan.PlanFacts:
    """Return facts of a bare GGUF that goes to an instance."""
    made = facts_with(
        archive=BARE, model=GIANT, **{"hosting": "instance", "container": "llama-cpp", **fields}
    )
    return replace(
        made,
        assembly={"bucket": "artifacts", "key": "archives/0a1b/gemma.gguf", "form": model_source.OBJECT_FORM},
    )


def test_an_instance_plan_asks_for_instances(facts_with: FactsMaker) -> None:
    """The cheapest type, a volume, raised time-outs, and the file as it is; nothing of serverless."""
    made = plan.plan(instance_facts(facts_with, **OURS))
    name = made.names.endpoint

    assert made.hosting == "instance"
    assert (made.memory_mb, made.max_concurrency, made.asked) == (None, None, None)
    assert made.requests.create_endpoint_config["ProductionVariants"] == [
        {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InstancePools": pools("ml.c7i.8xlarge", "ml.c5.9xlarge"),
            "VariantInstanceProvisionTimeoutInSeconds": 600,
            "InitialInstanceCount": 1,
            "VolumeSizeInGB": 19,
            "ModelDataDownloadTimeoutInSeconds": 621,
            "ContainerStartupHealthCheckTimeoutInSeconds": 600,
        }
    ]
    assert made.requests.create_model["PrimaryContainer"]["ModelDataSource"] == {
        "S3DataSource": {
            "S3Uri": "s3://artifacts/archives/0a1b/gemma.gguf",
            "S3DataType": "S3Object",
            "CompressionType": "None",
        }
    }
    assert made.instances is not None
    assert made.instances.usd_per_hour == 1.714
    assert [one.name for one in made.instances.offers] == ["ml.c7i.8xlarge", "ml.c5.9xlarge"]
    assert made.keep_previous == 0
    assert any("$1.714 an hour" in note for note in made.notes)
    assert not any("ends unfinished" in note for note in made.notes)
    slow = plan.plan(instance_facts(facts_with, instance_type="ml.r5.xlarge"))
    assert any("ends unfinished" in note for note in slow.notes)


@pytest.mark.parametrize(
    ("fields", "streams"),
    [
        pytest.param({"container": "llama-cpp"}, True, id="llama-cpp"),
        pytest.param({"container": "custom", "image_uri": IMAGE_URI}, True, id="custom"),
        pytest.param(
            {"container": "custom", "image_uri": IMAGE_URI, "smoke_test": {"ask_with": "prompt"}},
            True,
            id="a text to go on with",
        ),
        pytest.param(
            {"container": "custom", "image_uri": IMAGE_URI, "smoke_test": {"ask_with": "input"}},
            False,
            id="embeddings",
        ),
        pytest.param({"container": "pytorch"}, False, id="pytorch"),
    ],
)
def test_the_smoke_test_streams_where_the_endpoint_does(
    facts_with: FactsMaker, fields: dict[str, Any], streams: bool
) -> None:
    """A text, from instances, by a container that hands on what it makes."""
    made = plan.plan(instance_facts(facts_with, **fields))

    assert made.smoke_test.streams is streams
    assert ("streams" in json_codec.encode(made.smoke_test)) is streams


def test_no_smoke_test_streams_from_serverless_or_from_code_of_an_archives_own(
    facts_with: FactsMaker,
) -> None:
    """SageMaker streams nothing there; such code answers whole."""
    fields = {"container": "custom", "image_uri": IMAGE_URI}
    assert not plan.plan(facts_with(**fields)).smoke_test.streams
    facts = instance_facts(facts_with, **fields)
    own = replace(facts, request=replace(facts.request, code="archive"))

    assert not plan.plan(own).smoke_test.streams


OURS: dict[str, Any] = {"container": "custom", "image_uri": IMAGE_URI}
"""An image for x86-64 CPUs alone."""


def test_a_model_too_slow_for_cpus_goes_to_a_gpu(facts_with: FactsMaker) -> None:
    """With the CUDA image, its driver, all layers there and the model by name; no volume beside an NVMe disk."""
    made = plan.plan(instance_facts(facts_with))
    on = made.instances
    container = made.requests.create_model["PrimaryContainer"]
    (variant,) = made.requests.create_endpoint_config["ProductionVariants"]

    assert on is not None
    assert [one.name for one in on.offers] == ["ml.g6.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge"]
    assert on.usd_per_hour == 1.1267
    assert container["Image"].endswith("/llama-cpp:server-sagemaker-cuda-v1")
    assert variant["InferenceAmiVersion"] == "al2023-ami-sagemaker-inference-gpu-4-1"
    assert "VolumeSizeInGB" not in variant
    gpu = {"MODEL": "/opt/ml/model/llama-3.2-1b-q4_k_m.gguf", "FLASH_ATTN": "on", "METRICS": "true"}
    layers = str(on.offers[0].gpu_layers)
    assert {
        f"SM_LLAMA_CPP_{name}": value for name, value in {**gpu, "N_GPU_LAYERS": layers}.items()
    }.items() <= (told(made).items())
    assert "layers on 1 x L4; the fullest: weights" in made.arithmetic
    assert made.arithmetic.endswith("(computed, not measured)")


CUDA: dict[str, Any] = {"container": "custom", "image_uri": f"{IMAGE_URI}-cuda"}
"""The same for GPUs, which its name says."""


def test_an_image_of_our_own_for_gpus_goes_to_one(facts_with: FactsMaker) -> None:
    """With the driver that it wants and the layers by llama-server's own variable, whether a type is named or not."""
    for fields in (
        CUDA,
        {**CUDA, "instance_type": "ml.g6.xlarge"},
        {**CUDA, "hosting": "auto", "allow_instances": True},
    ):
        made = plan.plan(instance_facts(facts_with, **fields))
        on = made.instances
        (variant,) = made.requests.create_endpoint_config["ProductionVariants"]

        assert on is not None
        assert on.offers[0].name == "ml.g6.xlarge"
        assert {one.platform for one in on.offers} == {"cuda"}
        assert made.image_uri == CUDA["image_uri"]
        assert variant["InferenceAmiVersion"] == "al2023-ami-sagemaker-inference-gpu-4-1"
        layers = {"LLAMA_ARG_N_GPU_LAYERS": str(on.offers[0].gpu_layers), "LLAMA_ARG_FLASH_ATTN": "on"}
        assert layers.items() <= told(made).items()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param(
            {"container": "pytorch", "instance_type": "ml.g5.xlarge"}, "NoImageForType", id="TorchServe"
        ),
        pytest.param({**OURS, "instance_type": "ml.g5.xlarge"}, "NoImageForType", id="ours"),
        pytest.param({"instance_type": "ml.c8g.4xlarge"}, "PriceUnknown", id="no price"),
        pytest.param({**OURS, "min_tokens_per_s": 10}, "TooSlow", id="too slow on CPUs"),
    ],
)
def test_a_type_that_cannot_be_taken_says_why(
    facts_with: FactsMaker, fields: dict[str, Any], error: str
) -> None:
    """It has no image, or no price, or is too slow."""
    with pytest.raises(ModelDoesNotFit) as refusal:
        plan.plan(instance_facts(facts_with, **fields))

    assert [one.error for one in refusal.value.problems] == [error]


def test_graviton_has_an_image_of_its_own(facts_with: FactsMaker) -> None:
    """AWS's for arm64, where a price is known; with the volume that such types have."""
    read = {"ml.m8g.4xlarge": instance_types.ListedPrice(0.5, "AWS said so")}
    made = plan.plan(replace(instance_facts(facts_with), prices=read))

    assert made.instances is not None
    assert made.instances.offers[0].platform == "arm64"
    assert made.image_uri.endswith("/llama-cpp-arm64:server-sagemaker-cpu-v1")
    assert "N_GPU_LAYERS" not in str(told(made))
    assert _volume(made) == 19


def test_a_container_that_nobody_named_is_awss_llama_cpp_image_on_instances(facts_with: FactsMaker) -> None:
    """Which was chosen for serverless, and is another one there: the note says so, and the first one is gone."""
    facts = instance_facts(
        facts_with, container="pytorch", hosting="auto", allow_instances=True, instance_type="ml.g5.2xlarge"
    )
    facts = replace(facts, container_note="container 'pytorch' is chosen: why")
    named = plan.plan(replace(facts, request=replace(facts.request, instance_type=None)))
    chosen = plan.plan(replace(facts, request=replace(facts.request, container_chosen=True)))

    assert "/pytorch-inference:" in named.image_uri
    assert named.notes[0] == "container 'pytorch' is chosen: why"
    assert "/llama-cpp:server-sagemaker-cuda" in chosen.image_uri
    assert chosen.notes[0].startswith("container 'llama-cpp' is chosen: on instances")
    assert not any("'pytorch'" in note for note in chosen.notes)


SEEING = {"companions": [{"kind": "mmproj", "path": "mmproj-tower.gguf", "tensor_bytes": 1_000_000}]}


@pytest.mark.parametrize(
    ("fields", "hosting"),
    [
        pytest.param({"container": "custom", **OURS}, "serverless", id="our image loads it"),
        pytest.param({"container": "pytorch"}, "instance", id="the prebuilt one does not"),
        pytest.param(
            {"container": "pytorch", "hosting": "serverless"}, "serverless", id="the check has refused it"
        ),
    ],
)
def test_with_hosting_auto_a_model_goes_where_its_projector_is_loaded(
    facts_with: FactsMaker, fields: dict[str, Any], hosting: str
) -> None:
    """A small model, which would fit serverless; where it does not go there the plan says why."""
    facts = facts_with(**{"hosting": "auto", "allow_instances": True, **fields})
    model = {**facts.model, **SEEING}
    request = replace(facts.request, container_chosen=True)
    made = plan.plan(replace(facts, model=model, request=request))
    notes = [one for one in made.notes if one.startswith("on an instance, since serverless will not do: ")]

    assert made.hosting == hosting
    assert [note.split("'")[1] for note in notes] == ["mmproj-tower.gguf"] * (hosting == "instance")
    if hosting == "instance":
        assert "/llama-cpp:" in made.image_uri
        assert told(made)["SM_LLAMA_CPP_MMPROJ"].endswith("/mmproj-tower.gguf")


@pytest.mark.parametrize("hosting", ["auto", "instance"])
def test_what_would_be_left_aside_is_refused(facts_with: FactsMaker, hosting: str) -> None:
    """AWS's image answers messages alone, so another question keeps the container that loads no projector."""
    fields = {"smoke_test": {"ask_with": "prompt"}, "hosting": hosting, "allow_instances": True}
    facts = facts_with(container="pytorch", **fields)
    request = replace(facts.request, container_chosen=True)

    with pytest.raises(ModelDoesNotFit) as refusal:
        plan.plan(replace(facts, model={**facts.model, **SEEING}, request=request))

    (problem,) = refusal.value.problems
    assert problem.error == "CompanionNotServed"
    assert problem.seen.startswith("'mmproj-tower.gguf': a projector")
    assert problem.fix.startswith('set "container" to "custom"')


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        pytest.param({"purpose": "embedding"}, {}, id="it embeds"),
        pytest.param({"purpose": "rerank"}, {}, id="it ranks"),
        pytest.param({}, {"smoke_test": {"ask_with": "prompt"}}, id="it is asked otherwise"),
    ],
)
def test_what_is_not_asked_with_messages_stays_where_it_was(
    facts_with: FactsMaker, changed: dict[str, Any], fields: dict[str, Any]
) -> None:
    """AWS's image hands every call to its chat completions."""
    facts = instance_facts(facts_with, container="pytorch", **fields)
    facts = replace(
        facts, request=replace(facts.request, container_chosen=True), model={**facts.model, **changed}
    )

    assert "/pytorch-inference:" in plan.plan(facts).image_uri


def test_a_smaller_cache_leaves_room_for_slots(facts_with: FactsMaker) -> None:
    """Of keys and values alike, with flash attention, where the container has such a setting."""
    asked = {"inference": {"cache_type": "q8_0", "n_ctx": 32768}}
    plain, small = (
        plan.plan(instance_facts(facts_with, instance_type="ml.g5.xlarge", inference=one))
        for one in ({"n_ctx": 32768}, asked["inference"])
    )

    assert plain.instances is not None
    assert small.instances is not None
    assert small.instances.slots > plain.instances.slots
    assert {told(small)[f"SM_LLAMA_CPP_CACHE_TYPE_{which}"] for which in "KV"} == {"q8_0"}
    assert "SM_LLAMA_CPP_CACHE_TYPE_K" not in told(plain)
    ours = told(plan.plan(instance_facts(facts_with, **OURS, **asked)))
    assert (ours["LLAMA_ARG_CACHE_TYPE_V"], ours["LLAMA_ARG_FLASH_ATTN"]) == ("q8_0", "on")
    with pytest.raises(InvalidInput, match="cache_type 'q8_0', and container is 'pytorch'"):
        plan.plan(instance_facts(facts_with, container="pytorch", **asked))
    with pytest.raises(InvalidInput, match="n_gpu_layers 3, and container is 'pytorch'"):
        plan.plan(instance_facts(facts_with, container="pytorch", inference={"n_gpu_layers": 3}))


def pools(*types: str) -> list[dict[str, Any]]:
    """Return a pool as a configuration has it."""
    return [{"InstanceType": one, "Priority": priority} for priority, one in enumerate(types, start=1)]


def variant_of(made: plan_types.Plan) -> dict[str, Any]:
    """Return the variant that a plan's configuration asks for."""
    variant: dict[str, Any] = made.requests.create_endpoint_config["ProductionVariants"][0]
    return variant


STEP = plan_types.CapacityStep(asked="1 x", said="no", did="another")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"instance_type": "ml.g6.xlarge"}, id="a type is named"),
        pytest.param({"instance_pool": False}, id="none is wanted"),
    ],
)
def test_without_a_pool_one_type_is_asked_for(facts_with: FactsMaker, fields: dict[str, Any]) -> None:
    """A configuration takes one of both; neither a time-out of a pool nor a note on one is left."""
    made = plan.plan(instance_facts(facts_with, **fields))

    assert variant_of(made)["InstanceType"] == "ml.g6.xlarge"
    assert not {"InstancePools", "VariantInstanceProvisionTimeoutInSeconds"} & variant_of(made).keys()
    assert made.instances is not None
    assert made.instances.asked == plan_types.AskedInstances(type="ml.g6.xlarge", count=1)
    assert not any("has no capacity of" in note for note in made.notes)


def test_without_a_pool_a_quota_leads_to_the_next_type_alone(facts_with: FactsMaker) -> None:
    """As before there were any: the offers are there for the ladder."""
    made = plan.plan(instance_facts(facts_with, instance_pool=False))
    stepped = sizes.step_instances(made, quotas.InstancesDown("ml.g5.xlarge", 1, STEP))

    assert variant_of(stepped)["InstanceType"] == "ml.g5.xlarge"


def test_a_pool_is_told_with_what_each_type_costs(facts_with: FactsMaker) -> None:
    """Whoever reads the plan knows what may run."""
    made = plan.plan(instance_facts(facts_with))

    assert (
        "where SageMaker has no capacity of ml.g6.xlarge it takes ml.g5.xlarge at $1.408 an hour, then "
        "ml.g6e.xlarge at $2.6054 an hour; what runs is what costs"
    ) in made.notes
    assert made.instances is not None
    assert made.instances.asked.pool == ("ml.g6.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge")


GRAVITON = {"ml.m8g.4xlarge": instance_types.ListedPrice(0.5, "AWS said so")}


def validated(request: dict[str, Any], operation: str) -> dict[str, Any]:
    """Return a request that the SDK's own validation takes."""
    shape = SAGEMAKER.operation_model(operation).input_shape
    assert ParamValidator().validate(request, shape).generate_report() == ""
    return request


def test_a_type_of_another_platform_has_a_model_of_its_own(facts_with: FactsMaker) -> None:
    """Its image differs and nothing else; the types of one platform share a model, and the plan says which differ."""
    made = plan.plan(replace(instance_facts(facts_with), prices=GRAVITON))
    assert made.instances is not None
    first, *others = made.instances.offers
    (second,) = {one.model for one in others}
    variant = variant_of(made)
    models = [validated(one, "CreateModel") for one in made.requests.create_models]

    assert {one.platform for one in others} == {"x86_64"}
    assert first.model == variant["ModelName"] == made.names.model == models[0]["ModelName"]
    assert [one.get("ModelNameOverride") for one in variant["InstancePools"]] == [
        None,
        *[second] * len(others),
    ]
    validated(made.requests.create_endpoint_config, "CreateEndpointConfig")
    assert [one["ModelName"] for one in models] == [first.model, second]
    assert second is not None
    assert second.startswith(f"{made.names.model}-")
    # A rollback that fails itself names what is left by these.
    assert made.names.other_models == (second,)
    mine, theirs = (one["PrimaryContainer"] for one in models)
    assert theirs["Image"].endswith("/llama-cpp:server-sagemaker-cpu-v1")
    assert {**theirs, "Image": mine["Image"]} == mine
    assert models[1] == {**models[0], "ModelName": second, "PrimaryContainer": theirs}
    (note,) = [one for one in made.notes if one.startswith("where SageMaker has no capacity")]
    assert note.count("(with a model of its own: the image for x86_64)") == len(others)


def test_a_step_takes_the_model_of_the_first_type_that_is_left(facts_with: FactsMaker) -> None:
    """And names another for those that need it; what was made already stays the plan's."""
    made = plan.plan(replace(instance_facts(facts_with), prices=GRAVITON))
    assert made.instances is not None
    second, third = (one.name for one in made.instances.offers[1:])
    own = made.requests.create_models[1]
    stepped = sizes.step_instances(made, quotas.InstancesDown(second, 1, STEP))
    fewer = sizes.step_instances(made, quotas.InstancesDown(made.instances.type, 1, STEP, without=second))
    one = sizes.step_instances(fewer, quotas.InstancesDown(made.instances.type, 1, STEP, without=third))

    assert variant_of(stepped)["ModelName"] == own["ModelName"]
    assert variant_of(stepped)["InstancePools"] == pools(second, third)
    assert stepped.requests.create_models == (own, made.requests.create_models[0])
    assert stepped.image_uri == own["PrimaryContainer"]["Image"]
    assert stepped.names.model == made.names.model
    assert fewer.requests.create_models == made.requests.create_models
    assert variant_of(fewer)["ModelName"] == made.names.model
    assert one.requests.create_models == made.requests.create_models
    assert (variant_of(one)["ModelName"], variant_of(one)["InstanceType"]) == (
        made.names.model,
        made.instances.type,
    )


def test_a_gpu_with_less_memory_has_a_model_with_fewer_slots(facts_with: FactsMaker) -> None:
    """The largest is taken first, and is not held to what the smaller ones hold; scaling is, since any may run."""
    sized = {"vcpus": 4, "memory_gib": 64, "memory_bandwidth_gb_s": 13, "local_disk_gb": 250}
    types = [
        {"name": "ml.g6e.xlarge", "usd_per_hour": 0.01, **sized},
        {"name": "ml.g5.xlarge", "usd_per_hour": 0.02, **sized},
        {"name": "ml.g6.xlarge", "usd_per_hour": 0.03, **sized},
    ]
    made = plan.plan(
        instance_facts(
            facts_with,
            prefer="tokens-per-dollar",
            instance_types=types,
            inference={"n_ctx": 8192},
            auto_scaling={"max": 3},
        )
    )
    assert made.instances is not None
    slots = [one.slots or 0 for one in made.instances.offers]
    models = [one["PrimaryContainer"]["Environment"] for one in made.requests.create_models]

    assert [one.name for one in made.instances.offers] == [one["name"] for one in types]
    assert slots[0] > slots[1] == slots[2]
    assert made.instances.slots == slots[0]
    assert made.instances.auto_scaling is not None
    assert made.instances.auto_scaling.concurrent_requests_per_instance == max(1, 0.75 * slots[1])
    # Two types that are alike have one model.
    assert [one["SM_LLAMA_CPP_PARALLEL"] for one in models] == [str(slots[0]), str(slots[1])]
    assert [one["SM_LLAMA_CPP_CTX_SIZE"] for one in models] == [str(8192 * slots[0]), str(8192 * slots[1])]
    assert any(
        f"ml.g5.xlarge at $0.02 an hour (with a model of its own: {slots[1]} slots in place of {slots[0]})"
        in one
        for one in made.notes
    )
    stepped = sizes.step_instances(made, quotas.InstancesDown("ml.g5.xlarge", 1, STEP))
    assert stepped.instances is not None
    assert stepped.instances.slots == slots[1]


def test_models_that_differ_make_another_deployment(facts_with: FactsMaker) -> None:
    """A name is made of all that is deployed, and a repetition finds the models that its types need."""
    facts = replace(instance_facts(facts_with), prices=GRAVITON)
    made = plan.plan(facts)
    assert made.instances is not None
    every = made.instances.asked.pool
    config = sizes.instances_config_name(made.names.model, made.instances.asked, every[1:], 1)
    again = plan.plan(replace(facts, situation=instances_in_use(made.names.endpoint, config)))

    assert again.requests.create_models == made.requests.create_models[1:]
    assert variant_of(again)["ModelName"] == made.requests.create_models[1]["ModelName"]
    assert again.image_uri == made.requests.create_models[1]["PrimaryContainer"]["Image"]


def test_what_another_types_model_is_told_is_part_of_a_deployment(facts_with: FactsMaker) -> None:
    """The same types and the same first model, and fewer slots on the other: not the same endpoint."""
    sized = {"vcpus": 32, "memory_bandwidth_gb_s": 200}
    first = {"name": "ml.m7i.8xlarge", "usd_per_hour": 0.01, "memory_gib": 128, **sized}

    def named(memory_gib: float) -> tuple[str, set[str]]:
        second = {"name": "ml.c7i.8xlarge", "usd_per_hour": 0.02, "memory_gib": memory_gib, **sized}
        types = [first, {**second, "memory_bandwidth_gb_s": 250}]
        made = plan.plan(
            instance_facts(facts_with, instance_types=types, inference={"n_ctx": 8192}, min_tokens_per_s=8)
        )
        assert made.instances is not None
        assert made.instances.asked.pool == ("ml.m7i.8xlarge", "ml.c7i.8xlarge")
        return made.names.endpoint, {
            one["PrimaryContainer"]["Environment"]["SM_LLAMA_CPP_PARALLEL"]
            for one in made.requests.create_models
        }

    (one, few), (other, fewer) = named(27), named(23)

    assert few != fewer
    assert one != other


def test_a_type_without_quota_leaves_the_pool(facts_with: FactsMaker) -> None:
    """The others stay in their order, in a configuration of another name; what is asked of an account stays small."""
    made = plan.plan(instance_facts(facts_with))
    stepped = sizes.step_instances(
        made, quotas.InstancesDown("ml.g6.xlarge", 1, STEP, without="ml.g5.xlarge")
    )
    last = sizes.step_instances(
        stepped, quotas.InstancesDown("ml.g6.xlarge", 1, STEP, without="ml.g6e.xlarge")
    )

    assert variant_of(stepped)["InstancePools"] == pools("ml.g6.xlarge", "ml.g6e.xlarge")
    assert variant_of(last)["InstanceType"] == "ml.g6.xlarge"
    assert len({one.names.endpoint_config for one in (made, stepped, last)}) == 3
    assert len({one.names.endpoint for one in (made, stepped, last)}) == 1
    for one in (stepped, last):
        assert one.instances is not None
        assert (one.instances.type, one.instances.usd_per_hour) == ("ml.g6.xlarge", 1.1267)


@pytest.mark.parametrize(
    ("threads", "running", "cpus"),
    [
        pytest.param(None, {}, 32, id="as planned"),
        pytest.param(None, {"ml.c5.9xlarge": 1}, 36, id="the next type"),
        pytest.param(None, {"ml.c7i.8xlarge": 1, "ml.c5.9xlarge": 1}, 32, id="the smaller of two"),
        pytest.param(4, {"ml.c5.9xlarge": 1}, 4, id="threads that were requested"),
    ],
)
def test_the_cpus_are_those_of_the_type_that_runs(
    facts_with: FactsMaker, threads: int | None, running: dict[str, int], cpus: int
) -> None:
    """An alarm on all CPUs means another number of them on another type."""
    fields = {"inference": {"n_threads": threads}} if threads else {}
    made = plan.plan(instance_facts(facts_with, **OURS, **fields))

    assert made.instances is not None
    assert alarm_rules.busy_cpus(made.instances, running) == cpus


def told(made: plan_types.Plan) -> dict[str, str]:
    """Return the environment of a plan's container."""
    environment: dict[str, str] = made.requests.create_model["PrimaryContainer"]["Environment"]
    return environment


def test_a_wish_chooses_the_type(facts_with: FactsMaker) -> None:
    """By speed, or as fast as is required; and a price that was read from AWS counts before the listed one."""
    fastest = plan.plan(instance_facts(facts_with, prefer="fastest"))
    quick = plan.plan(instance_facts(facts_with, min_tokens_per_s=20, answer_within_s=30))
    facts = instance_facts(facts_with)
    cheap = {"ml.c5.9xlarge": instance_types.ListedPrice(0.01, "AWS said so")}
    read = plan.plan(replace(facts, prices=cheap))

    chosen = [one.instances.type for one in (fastest, quick, read) if one.instances]
    assert chosen == ["ml.g7e.2xlarge", "ml.g5.xlarge", "ml.c5.9xlarge"]
    assert read.instances is not None
    assert (read.instances.usd_per_hour, read.instances.offers[0].price) == (0.01, "AWS said so")
    with pytest.raises(ModelDoesNotFit, match="100 tokens/s, for min_tokens_per_s 100"):
        plan.plan(instance_facts(facts_with, min_tokens_per_s=100))


def test_slots_are_planned_on_instances_and_told(facts_with: FactsMaker) -> None:
    """In the container's environment, in the sum, in the plan and in a note; a step to another type keeps them."""
    made = plan.plan(instance_facts(facts_with))
    step = plan_types.CapacityStep(asked="1 x", said="no", did="another")
    stepped = sizes.step_instances(made, quotas.InstancesDown("ml.c7i.8xlarge", 1, step))

    assert (told(made)["SM_LLAMA_CPP_PARALLEL"], told(made)["SM_LLAMA_CPP_CTX_SIZE"]) == ("8", "16384")
    assert [one.instances.slots for one in (made, stepped) if one.instances] == [8, 8]
    assert "kv cache" in made.arithmetic
    assert any(line["how"].startswith("8 slots x ") for line in made.fit["lines"])
    assert "8 requests are answered at once, each with a context of 2048 tokens" in made.notes


def test_the_slots_of_a_request_are_taken(facts_with: FactsMaker) -> None:
    """By both containers that have any, each in its own words; an image of ours is told who may wait besides."""
    asked = {"inference": {"n_parallel": 3}}
    theirs = plan.plan(instance_facts(facts_with, **asked))
    ours = plan.plan(instance_facts(facts_with, container="custom", image_uri=IMAGE_URI, **asked))

    assert (told(theirs)["SM_LLAMA_CPP_PARALLEL"], told(theirs)["SM_LLAMA_CPP_CTX_SIZE"]) == ("3", "6144")
    assert (told(ours)["SEALIFT_N_PARALLEL"], told(ours)["SEALIFT_N_CTX"]) == ("3", "2048")
    assert told(ours)["SEALIFT_MAX_WAITING"] == "4"
    assert not [name for name in told(theirs) if "WAITING" in name]


def test_what_cannot_stream_has_the_time_of_any_other_answer(facts_with: FactsMaker) -> None:
    """On serverless a stream comes in one piece; on instances it has the 8 minutes that the image knows."""
    fields = {"container": "custom", "image_uri": IMAGE_URI}
    serverless = plan.plan(facts_with(**fields, timeout_s=30))

    assert told(serverless)["SEALIFT_STREAM_TIMEOUT_S"] == told(serverless)["SEALIFT_TIMEOUT_S"] == "30"
    assert "SEALIFT_STREAM_TIMEOUT_S" not in told(plan.plan(instance_facts(facts_with, **fields)))


def test_slots_that_do_not_fit_are_refused(facts_with: FactsMaker) -> None:
    """A person's number is never lowered in silence."""
    fields = {"inference": {"n_parallel": 64, "n_ctx": 8192}, "instance_type": "ml.r5.xlarge"}
    with pytest.raises(ModelDoesNotFit, match=r"with n_parallel 64; .*or set n_parallel to \d+"):
        plan.plan(instance_facts(facts_with, **fields))


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        pytest.param({}, "on serverless more calls start more containers", id="serverless"),
        pytest.param({"container": "pytorch"}, "container 'pytorch' answers one request at a time", id="TorchServe"),
    ],
)  # fmt: skip
def test_slots_that_come_to_nothing_are_noted(
    facts_with: FactsMaker, fields: dict[str, Any], note: str
) -> None:
    """One is planned: neither the sum nor the container is told of more."""
    container = {"container": "custom", "image_uri": IMAGE_URI, **fields}
    one = plan.plan(facts_with(**container))
    made = plan.plan(facts_with(**container, inference={"n_parallel": 4}))

    assert any("n_parallel 4 was requested" in line and note in line for line in made.notes)
    assert (made.fit, told(made)) == (one.fit, told(one))
    assert not any("n_parallel" in line for line in one.notes)


def test_code_of_an_archives_own_has_no_slots(facts_with: FactsMaker) -> None:
    """The four functions serve it: one request at a time, and without /metrics."""
    facts = instance_facts(facts_with, container="custom", image_uri=IMAGE_URI, inference={"n_parallel": 4})
    made = plan.plan(replace(facts, request=replace(facts.request, code="archive")))

    assert made.instances is not None
    assert (made.instances.slots, told(made)["SEALIFT_N_PARALLEL"], metrics(made)) == (1, "1", None)
    assert any("code of an archive's own answers one request at a time" in note for note in made.notes)


def metrics(made: plan_types.Plan) -> dict[str, Any] | None:
    """Return a plan's MetricsConfig."""
    config: dict[str, Any] | None = made.requests.create_endpoint_config.get("MetricsConfig")
    return config


@pytest.mark.parametrize(
    ("container", "asked", "published"),
    [
        pytest.param("llama-cpp", None, True, id="llama-server's"),
        pytest.param("custom", None, True, id="the adapter's"),
        pytest.param("pytorch", None, None, id="TorchServe has its elsewhere"),
        pytest.param("llama-cpp", False, False, id="not wanted"),
        pytest.param("pytorch", True, True, id="the host's are wanted"),
    ],
)
def test_sagemaker_is_told_to_publish_what_a_container_tells(
    facts_with: FactsMaker, container: str, asked: bool | None, published: bool | None
) -> None:
    """On instances, where there is a /metrics; also of what a quota led to."""
    image = {"image_uri": IMAGE_URI} if container == "custom" else {}
    fields = {} if asked is None else {"detailed_observability": asked}
    made = plan.plan(instance_facts(facts_with, container=container, **image, **fields))
    step = plan_types.CapacityStep(asked="1 x", said="no", did="another")
    stepped = sizes.step_instances(made, quotas.InstancesDown("ml.c7i.8xlarge", 1, step))
    wanted = None if published is None else {"EnableDetailedObservability": published}

    assert metrics(made) == metrics(stepped) == wanted


def test_another_wish_for_metrics_is_another_deployment(facts_with: FactsMaker) -> None:
    """A configuration cannot be changed, so it gets another name; who says nothing keeps the one that there is."""
    names = {
        plan.plan(instance_facts(facts_with, **fields)).names.endpoint_config
        for fields in ({}, {"detailed_observability": True}, {"detailed_observability": False})
    }

    assert len(names) == 3


def test_serverless_is_told_nothing_of_metrics(facts_with: FactsMaker) -> None:
    """It publishes a list of its own; who asks is told."""
    made = plan.plan(facts_with(container="llama-cpp", detailed_observability=True))

    assert metrics(made) is None
    assert any("detailed_observability was requested" in note for note in made.notes)


def _volume(made: plan_types.Plan) -> int | None:
    """Return the volume that a plan's configuration asks for."""
    (variant,) = made.requests.create_endpoint_config["ProductionVariants"]
    return variant.get("VolumeSizeInGB")


def test_a_type_with_a_disk_of_its_own_is_asked_for_without_a_volume(facts_with: FactsMaker) -> None:
    """SageMaker refuses one for it; the type that a quota leads to has its volume again, and the other way round."""
    sized = {"vcpus": 8, "memory_gib": 64, "memory_bandwidth_gb_s": 600}
    types = [
        {"name": "ml.g5.xlarge", "usd_per_hour": 0.01, **sized},
        {"name": "ml.r7i.xlarge", "usd_per_hour": 0.02, **sized, "memory_bandwidth_gb_s": 700},
        {"name": "ml.g6.xlarge", "usd_per_hour": 0.03, **sized, "memory_bandwidth_gb_s": 800},
    ]
    made = plan.plan(instance_facts(facts_with, **OURS, instance_types=types))
    step = plan_types.CapacityStep(asked="1 x", said="no", did="another")
    second = sizes.step_instances(made, quotas.InstancesDown("ml.r7i.xlarge", 1, step))
    third = sizes.step_instances(second, quotas.InstancesDown("ml.g6.xlarge", 1, step))

    assert [one.instances.type for one in (made, second, third) if one.instances] == [
        one["name"] for one in types
    ]
    assert [_volume(one) for one in (made, second, third)] == [None, 19, None]
    # A pool is of types whose disks are alike, since one VolumeSizeInGB is for all of them.
    assert [instance_pools.types(variant_of(one)) for one in (made, second, third)] == [
        ("ml.g5.xlarge", "ml.g6.xlarge"),
        ("ml.r7i.xlarge",),
        ("ml.g6.xlarge",),
    ]
    assert any("assumed to fit on its own NVMe disk" in note for note in made.notes)


@pytest.mark.parametrize(
    ("request_name", "operation"),
    [
        pytest.param("create_model", "CreateModel", id="CreateModel"),
        pytest.param("create_endpoint_config", "CreateEndpointConfig", id="CreateEndpointConfig"),
    ],
)
def test_an_instance_request_is_one_that_the_service_model_takes(
    facts_with: FactsMaker, request_name: str, operation: str
) -> None:
    """As on serverless: the SDK's own validation finds nothing."""
    facts = instance_facts(facts_with)
    request = getattr(plan.plan(facts).requests, request_name)
    assembled = {**facts.assembly, "etag": "9b2c"}
    request = model_source.pinned(request, assembled) if request_name == "create_model" else request
    report = ParamValidator().validate(request, SAGEMAKER.operation_model(operation).input_shape)

    assert report.generate_report() == ""


def test_the_one_file_is_pinned_by_the_etag_of_the_copy(facts_with: FactsMaker) -> None:
    """Known only when it has been copied; an archive and a prefix have none, and nothing else changes."""
    facts = instance_facts(facts_with)
    request = plan.plan(facts).requests.create_model
    pinned = model_source.pinned(request, {**facts.assembly, "etag": "9b2c"})

    source = pinned["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source.pop("ETag") == "9b2c"
    assert pinned == request
    facts = facts_with()
    archive = plan.plan(facts).requests.create_model
    assert model_source.pinned(archive, {**facts.assembly, "etag": None}) == archive


@pytest.mark.parametrize(
    ("fields", "variable"),
    [
        pytest.param(
            {"instance_type": "ml.c5.4xlarge"},
            None,
            id="all that there are, which is llama-server's own default",
        ),
        pytest.param(
            {"instance_type": "ml.c5.4xlarge", "inference": {"n_threads": 2}}, "2", id="as requested"
        ),
    ],
)
def test_all_cpus_of_an_instance_are_used(
    facts_with: FactsMaker, fields: dict[str, Any], variable: str | None
) -> None:
    """Four threads are a serverless figure."""
    made = plan.plan(instance_facts(facts_with, **fields))
    environment = made.requests.create_model["PrimaryContainer"]["Environment"]

    assert environment.get("SM_LLAMA_CPP_THREADS") == variable
    assert made.instances is not None
    assert made.instances.busy_cpus == int(variable or 16)
    on_gpu = plan.plan(instance_facts(facts_with, instance_type="ml.g5.xlarge")).instances
    assert on_gpu is not None
    assert on_gpu.busy_cpus == 1
    own = plan.plan(instance_facts(facts_with, container="pytorch")).requests.create_model
    assert own["PrimaryContainer"]["Environment"]["SEALIFT_N_THREADS"] == "64"


def test_auto_is_serverless_where_the_model_fits(facts_with: FactsMaker) -> None:
    """The very plan that serverless makes, its name too, whether an instance is allowed or not."""
    plain = plan.plan(facts_with())

    for allowed in (False, True):
        assert plan.plan(facts_with(hosting="auto", allow_instances=allowed)) == plain


def test_auto_takes_an_instance_only_when_it_is_allowed(facts_with: FactsMaker) -> None:
    """Never silently: the refusal has the type and its price."""
    with pytest.raises(ModelDoesNotFit) as refusal:
        plan.plan(instance_facts(facts_with, hosting="auto"))

    (problem,) = refusal.value.problems
    assert problem.error == "InstanceNotAllowed"
    assert "1 x ml.g6.xlarge, $1.1267 an hour" in problem.fix
    assert plan.plan(instance_facts(facts_with, hosting="auto", allow_instances=True)).hosting == "instance"


def test_a_model_in_an_archive_that_does_not_fit_says_why(facts_with: FactsMaker) -> None:
    """The reasons of serverless are in the refusal of auto."""
    with pytest.raises(
        ModelDoesNotFit, match=r"at most 6144 MB.*set allow_instances to true for 2 x ml\.c7i\.8xlarge"
    ):
        plan.plan(facts_with(model=GIANT, hosting="auto", instance_count=2))


def instances_in_use(name: str, config: str, *, on_instances: bool = True) -> quota_usage.Situation:
    """Return an account with one endpoint of the service."""
    holder = quota_usage.Holder(
        name, "InService", config, 0 if on_instances else 5, ours=True, on_instances=on_instances
    )
    return quota_usage.Situation((holder,))


def test_an_endpoint_on_instances_is_updated_in_place(facts_with: FactsMaker) -> None:
    """Its name stays, and what it had is written down for the rollback."""
    facts = instance_facts(facts_with, strategy="in_place")
    made = plan.plan(replace(facts, situation=instances_in_use("harbour", "harbour-old")))

    assert made.names.endpoint == "harbour"
    assert made.updates == plan_types.Previous("harbour-old", 0)


SCALES = {"min": 1, "max": 4, "invocations_per_instance": 0.2}


def test_what_scales_says_so(facts_with: FactsMaker) -> None:
    """In the plan, in the tags of all that is made, and with its price; the requests are as without it."""
    made = plan.plan(instance_facts(facts_with, auto_scaling=SCALES))
    plain = plan.plan(instance_facts(facts_with))

    assert made.instances is not None
    assert plain.instances is not None
    assert made.instances == replace(plain.instances, auto_scaling=Scaling(**SCALES))
    for name in ("create_model", "create_endpoint_config", "create_endpoint"):
        tags = {one["Key"]: one["Value"] for one in getattr(made.requests, name)["Tags"]}
        assert tags[resource_tags.TAG_SCALING] == "1-4"
    assert all(one["Key"] != resource_tags.TAG_SCALING for one in plain.requests.create_endpoint["Tags"])
    said = "scales between 1 and 4 instances, for 0.2 calls a minute of each: $1.1267 to $4.5068 an hour; never to none"
    assert said in made.notes
    assert made.names.endpoint != plain.names.endpoint
    assert (
        made.requests.create_endpoint_config["ProductionVariants"][0]["InitialInstanceCount"]
        == plain.requests.create_endpoint_config["ProductionVariants"][0]["InitialInstanceCount"]
    )


def test_what_scales_without_a_measure_follows_its_slots(facts_with: FactsMaker) -> None:
    """The plan says which, so that whoever registers it need not know of slots; a measure of one's own stays."""
    made = plan.plan(instance_facts(facts_with, auto_scaling={"max": 4}))
    own = plan.plan(
        instance_facts(facts_with, auto_scaling={"max": 4, "concurrent_requests_per_instance": 9})
    )

    assert made.instances is not None
    assert own.instances is not None
    assert made.instances.slots == 8
    assert made.instances.auto_scaling == Scaling(1, 4, None, 6.0)
    assert own.instances.auto_scaling == Scaling(1, 4, None, 9)
    assert any("for 6 requests at the same time in each" in note for note in made.notes)
    assert any("an instance answers 8 at once: callers wait" in note for note in own.notes)


def test_on_serverless_auto_scaling_is_noted_and_left_out(facts_with: FactsMaker) -> None:
    """With `auto` nobody knew where it would run."""
    made = plan.plan(facts_with(hosting="auto", auto_scaling=SCALES))

    assert made.hosting == "serverless"
    assert made.names == plan.plan(facts_with()).names
    assert "auto_scaling was requested; a serverless endpoint scales by itself, and has none" in made.notes
    assert all(one["Key"] != resource_tags.TAG_SCALING for one in made.requests.create_endpoint["Tags"])


def test_what_scales_is_not_updated_in_place(facts_with: FactsMaker) -> None:
    """SageMaker would refuse it half-way, when the type changes."""
    facts = instance_facts(facts_with, strategy="in_place")
    (there,) = instances_in_use("harbour", "harbour-old").holders
    situation = quota_usage.Situation((replace(there, scales=True),))

    with pytest.raises(InvalidInput, match="has auto scaling"):
        plan.plan(replace(facts, situation=situation))


@pytest.mark.parametrize("on_instances", [True, False])
def test_an_update_does_not_change_the_hosting(facts_with: FactsMaker, on_instances: bool) -> None:
    """AWS takes one way, and not back: neither is begun."""
    facts = (
        facts_with(strategy="in_place") if on_instances else instance_facts(facts_with, strategy="in_place")
    )
    situation = instances_in_use("harbour", "harbour-old", on_instances=on_instances)

    with pytest.raises(InvalidInput, match="cannot be taken back"):
        plan.plan(replace(facts, situation=situation))


def test_a_step_to_another_type_changes_the_configuration_alone(facts_with: FactsMaker) -> None:
    """The model and the endpoint keep their names; the configuration has one of its own, within AWS's length."""
    made = plan.plan(instance_facts(facts_with, service="a" * 40, **OURS))
    step = plan_types.CapacityStep(asked="1 x ml.c7i.8xlarge", said="no", did="ask for another")
    stepped = sizes.step_instances(made, quotas.InstancesDown("ml.c5.9xlarge", 1, step))

    assert stepped.instances is not None
    assert (stepped.instances.type, stepped.instances.usd_per_hour) == ("ml.c5.9xlarge", 1.836)
    assert stepped.instances.busy_cpus == 36
    assert stepped.steps == (step,)
    assert variant_of(stepped)["InstanceType"] == "ml.c5.9xlarge"
    name = stepped.names.endpoint_config
    assert stepped.names == replace(made.names, endpoint_config=name)
    assert name.startswith(f"{made.names.model}-")
    assert len(name) <= limits.NAME_LENGTH.value


def test_what_an_earlier_run_came_to_is_taken_over(facts_with: FactsMaker) -> None:
    """A repetition finds its own endpoint, on whatever instances it runs by then."""
    facts = instance_facts(facts_with, instance_count=2)
    made = plan.plan(facts)
    assert made.instances is not None
    every = made.instances.asked.pool
    for types, count in (
        (every[1:], 2),
        (every, 1),
        (every, 2),
        ((every[0], every[2]), 2),
        (every[2:], 1),
    ):
        config = sizes.instances_config_name(made.names.model, made.instances.asked, types, count)
        again = plan.plan(replace(facts, situation=instances_in_use(made.names.endpoint, config)))

        assert again.instances is not None
        assert tuple(one.name for one in again.instances.offers) == types
        assert (again.instances.type, again.instances.count) == (types[0], count)
        assert again.names.endpoint_config == config
    single = instance_facts(facts_with, instance_count=2, instance_pool=False)
    made = plan.plan(single)
    assert made.instances is not None
    config = sizes.instances_config_name(made.names.model, made.instances.asked, every[1:2], 1)
    again = plan.plan(replace(single, situation=instances_in_use(made.names.endpoint, config)))
    assert again.instances is not None
    assert tuple(one.name for one in again.instances.offers) == every[1:]


@pytest.mark.parametrize(
    ("count", "routing"),
    [
        pytest.param(1, {"Type": "ALL_AT_ONCE"}, id="one instance"),
        pytest.param(
            2, {"Type": "CANARY", "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}}, id="one of two first"
        ),
    ],
)
def test_an_update_of_instances_has_guardrails(
    facts_with: FactsMaker, count: int, routing: dict[str, Any]
) -> None:
    """SageMaker moves the calls, watches the endpoint's own alarms, and takes the update back; a request it takes."""
    facts = instance_facts(facts_with, strategy="in_place", instance_count=count, bake_s=60)
    made = plan.plan(replace(facts, situation=instances_in_use("harbour", "harbour-old")))
    request = made.requests.update_endpoint

    policy = request["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {**routing, "WaitIntervalInSeconds": 60}
    alarms = [one["AlarmName"] for one in request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]]
    assert alarms == [f"sealift-harbour-{suffix}" for suffix in ("5xx", "latency", "memory", "disk")]
    shape = SAGEMAKER.operation_model("UpdateEndpoint").input_shape
    assert ParamValidator().validate(request, shape).generate_report() == ""
    assert "DeploymentConfig" not in plan.plan(facts_with()).requests.update_endpoint


@pytest.mark.parametrize(
    ("deadline_s", "longest_s"),
    [
        pytest.param(1, 600, id="the least that SageMaker takes"),
        pytest.param(1900, 1900, id="the deadline"),
        pytest.param(7200, 621 + 600 + 2 * 60 + 600, id="what its time-outs and its waits come to"),
    ],
)
def test_sagemaker_takes_an_update_back_itself_at_the_deadline(
    facts_with: FactsMaker, deadline_s: int, longest_s: int
) -> None:
    """A rollback can change nothing before."""
    facts = instance_facts(facts_with, strategy="in_place", bake_s=60, deadline_s=deadline_s)
    made = plan.plan(replace(facts, situation=instances_in_use("harbour", "harbour-old")))

    policy = made.requests.update_endpoint["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["MaximumExecutionTimeoutInSeconds"] == longest_s


# -------------------------------------------------------- no concurrency asked for


def of_others(concurrency: int, **more: Any) -> quota_usage.Holder:
    """Return an endpoint of another service."""
    return quota_usage.Holder("other", "InService", "other", concurrency, **more)


def situated(*holders: quota_usage.Holder, quota: int = 10) -> quota_usage.Situation:
    """Return an account whose quota is known."""
    return quota_usage.Situation(holders, quota, read=True)


def test_without_a_concurrency_the_name_is_the_same_whatever_is_free(facts_with: FactsMaker) -> None:
    """A repetition on a fuller account finds the endpoint; how large it came out is in the configuration's name."""
    facts = facts_with(max_concurrency=None)
    made = [
        plan.plan(replace(facts, situation=situation))
        for situation in (situated(), situated(quota=1000), situated(of_others(9)))
    ]

    assert len({one.names.endpoint for one in made}) == 1
    assert [one.max_concurrency for one in made] == [3, 10, 1]
    name = made[0].names.endpoint
    assert [one.names.endpoint_config for one in made] == [f"{name}-2048-{n}" for n in (3, 10, 1)]
    assert name != name_of(facts_with(max_concurrency=3))
    assert all(quotas.UNASKED in one.notes for one in made)
    assert quotas.UNASKED not in plan.plan(facts_with(max_concurrency=3)).notes


def test_what_exists_is_taken_over_with_the_size_that_it_came_to(facts_with: FactsMaker) -> None:
    """And with its very configuration."""
    facts = facts_with(max_concurrency=None)
    name = name_of(facts)
    there = quota_usage.Holder(name, "InService", f"{name}-2048-1", 1, ours=True)

    made = plan.plan(replace(facts, situation=situated(there, of_others(9))))

    assert (made.max_concurrency, made.names.endpoint_config) == (1, f"{name}-2048-1")


def test_without_any_room_nothing_is_planned(facts_with: FactsMaker) -> None:
    """Nobody will ever free it, so nobody waits; a concurrency that was requested is waited for."""
    full = situated(of_others(10))

    with pytest.raises(QuotaUsedUp, match="other holds 10"):
        plan.plan(replace(facts_with(max_concurrency=None), situation=full))
    assert plan.plan(replace(facts_with(max_concurrency=3), situation=full)).max_concurrency == 3


def test_a_type_that_the_request_describes_is_known_by_its_figures(facts_with: FactsMaker) -> None:
    """Every one of them, and where they come from."""
    own = {
        "name": "ml.r9x.xlarge",
        "vcpus": 4,
        "memory_gib": 32,
        "usd_per_hour": 0.25,
        "memory_bandwidth_gb_s": 30.5,
        "local_disk_gb": 75,
    }
    table = plan.table(facts_with(instance_types=[own]).request)
    said = "as the request says"

    assert instance_types.Instance("ml.r9x.xlarge", 4, 32, 0.25, 30.5, said, 75, said) in table
    assert len(table) == len(instance_types.TABLE) + 1
