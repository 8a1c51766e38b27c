"""The switch's decisions: what to do next with a consumer, and a map in which one variable changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import json_codec, settings
from pipeline.errors import ConsumerUnreadable
from pipeline.planning import consumer
from pipeline.planning.consumer import Configuration, SwitchStep
from pipeline.state_data.request_types import Canary, RequestedConsumer
from tests.plans import a_consumer

NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
VARIABLES = st.dictionaries(NAMES, st.text(), max_size=8)


def configured(value: str | None, *, updating: bool = False) -> Configuration:
    """Return a consumer whose variable has a value, or does not exist."""
    variables = {"OTHER": "kept"} | ({} if value is None else {"ENDPOINT_NAME": value})
    return Configuration("harbour-assistant", variables, "r1", updating, "$LATEST")


@pytest.mark.parametrize(
    ("now", "expected", "wanted", "step"),
    [
        pytest.param(configured("old"), "old", "new", SwitchStep.UPDATE, id="as it was read"),
        pytest.param(configured(None), None, "new", SwitchStep.UPDATE, id="not there, as it was read"),
        pytest.param(configured("new"), "old", "new", SwitchStep.DONE, id="switched by an earlier try"),
        pytest.param(configured("new"), "new", "new", SwitchStep.DONE, id="nothing to switch"),
        pytest.param(configured("theirs"), "old", "new", SwitchStep.FOREIGN, id="changed by somebody"),
        pytest.param(configured(None), "old", "new", SwitchStep.FOREIGN, id="removed by somebody"),
        pytest.param(configured("theirs"), None, "new", SwitchStep.FOREIGN, id="set by somebody"),
        pytest.param(
            configured(""), None, "new", SwitchStep.FOREIGN, id="empty is not the same as not there"
        ),
        pytest.param(configured("new"), "new", "old", SwitchStep.UPDATE, id="back"),
        pytest.param(configured("new"), "new", None, SwitchStep.UPDATE, id="back to not there"),
        pytest.param(configured(None), "new", None, SwitchStep.DONE, id="back to not there already"),
        pytest.param(
            configured("old", updating=True), "old", "new", SwitchStep.WAIT, id="somebody is updating"
        ),
        pytest.param(
            configured("new", updating=True), "old", "new", SwitchStep.WAIT, id="our update is under way"
        ),
    ],
)
def test_what_comes_next(
    now: Configuration, expected: str | None, wanted: str | None, step: SwitchStep
) -> None:
    """A retry finds its work done, and what belongs to somebody else is not overwritten."""
    assert consumer.next_step(now, "ENDPOINT_NAME", wanted=wanted, expected=expected) is step


@given(variables=VARIABLES, name=NAMES, value=st.none() | st.text())
def test_all_other_variables_stay(variables: dict[str, str], name: str, value: str | None) -> None:
    """Exactly one variable changes, whatever else the consumer has."""
    before = dict(variables)
    after = consumer.merged(variables, name, value)

    assert {key: kept for key, kept in after.items() if key != name} == {
        key: kept for key, kept in before.items() if key != name
    }
    assert after.get(name) == value
    assert (name in after) == (value is not None)
    assert variables == before


@given(variables=VARIABLES, name=NAMES, value=st.text())
def test_there_and_back_is_where_it_was(variables: dict[str, str], name: str, value: str) -> None:
    """Undoing the merge with the value that was read gives the map that was read."""
    there = consumer.merged(variables, name, value)

    assert consumer.merged(there, name, variables.get(name)) == variables


@pytest.mark.parametrize(
    ("response", "updating", "variables"),
    [
        pytest.param({}, False, {}, id="no environment"),
        pytest.param({"Environment": {}}, False, {}, id="no variables"),
        pytest.param({"Environment": {"Variables": {"A": "1"}}}, False, {"A": "1"}, id="variables"),
        pytest.param({"LastUpdateStatus": "InProgress"}, True, {}, id="being updated"),
        pytest.param({"LastUpdateStatus": "Successful", "State": "Active"}, False, {}, id="settled"),
        pytest.param({"State": "Pending"}, True, {}, id="being made"),
    ],
)
def test_a_configuration_is_read(
    response: dict[str, Any], updating: object, variables: dict[str, str]
) -> None:
    """Only the fields that the switch needs, each of which may be absent."""
    read = Configuration.from_response({"FunctionName": "f", **response})

    assert (read.function_name, read.updating, read.variables) == ("f", updating, variables)
    assert (read.revision_id, read.version) == (None, "$LATEST")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param("plain", "plain", id="text"),
        pytest.param({"answer": "by name", "body": "not this"}, "by name", id="answer"),
        pytest.param({"statusCode": 200, "body": "over HTTP"}, "over HTTP", id="body"),
        pytest.param({"answer": 5}, '{"answer": 5}', id="answer that is no text"),
        pytest.param([1], "[1]", id="list"),
        pytest.param(None, "null", id="nothing"),
    ],
)
def test_what_a_consumer_said(answer: object, text: str) -> None:
    """The text to judge, wherever a consumer of ordinary habits puts it."""
    assert consumer.answer_text(answer) == text


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        pytest.param({"statusCode": 500, "body": "oops"}, True, id="500"),
        pytest.param({"statusCode": 400}, True, id="400"),
        pytest.param({"statusCode": 200}, False, id="200"),
        pytest.param({"statusCode": "none"}, False, id="not a number"),
        pytest.param({"answer": "good"}, False, id="no status"),
        pytest.param("text", False, id="text"),
    ],
)
def test_a_status_of_400_or_more_is_a_refusal(answer: object, *, refused: bool) -> None:
    """A function that catches its own errors says so in the status alone."""
    assert bool(consumer.refusal(answer)) is refused


def test_a_refusal_names_its_status() -> None:
    """The reason is part of the failure's message."""
    assert consumer.refusal({"statusCode": 502}) == "its statusCode is 502"


# ------------------------------------------------------------------------ canary


@given(bake_s=st.integers(1, 3600))
def test_a_canary_bakes_no_shorter_than_asked_for(bake_s: int) -> None:
    """In looks of at most half a minute, and hardly longer."""
    looks, interval_s = consumer.bake(bake_s)

    assert bake_s <= looks * interval_s < bake_s + looks
    assert 1 <= interval_s <= consumer.LOOK_S


def test_several_canaries_bake_as_long_as_the_longest() -> None:
    """Those without one do not count."""
    canaries = [None, Canary(0.1, 60, ()), Canary(0.1, 600, ())]
    plain = json_codec.decode(RequestedConsumer, a_consumer())
    consumers = [replace(plain, canary=one) for one in canaries]

    assert consumer.longest_bake(consumers) == 600
    assert consumer.in_steps(consumers) == list(zip(consumers[1:], canaries[1:], strict=True))


def version(number: str, endpoint: str, description: str) -> dict[str, Any]:
    """Return a version as ListVersionsByFunction has it."""
    return {
        "FunctionName": "assistant",
        "Version": number,
        "Description": description,
        "Environment": {"Variables": {"ENDPOINT_NAME": endpoint}},
    }


def test_only_our_own_versions_that_nobody_refers_to_are_deletable() -> None:
    """Not the function itself, not another endpoint's, not one that somebody published, not one with a weight."""
    ours = "Sealift: new-0"
    versions = [
        version("$LATEST", "new-0", ours),
        version("1", "old-0", "Sealift: old-0"),
        version("2", "new-0", "by hand"),
        version("3", "new-0", ours),
        version("4", "new-0", ours),
        version("5", "old-0", ours),
        version("6", "new-0", ours),
    ]
    aliases = [
        {"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"4": 0.1}}},
        {"FunctionVersion": "6"},
    ]

    assert consumer.deletable(versions, aliases, "ENDPOINT_NAME", "new-0") == ["3"]


DENIED: dict[str, Any] = {
    "FunctionName": "assistant",
    "KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1234abcd",
    "Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "the KMS access was denied"}},
}


def test_variables_that_could_not_be_decrypted_are_no_empty_map() -> None:
    """Lambda leaves them out; a switch would write away all of them. Who needs which permission is said."""
    with pytest.raises(ConsumerUnreadable) as refusal:
        Configuration.from_response(DENIED)

    told = str(refusal.value)
    assert (
        "'assistant' cannot be read with the KMS key arn:aws:kms:us-east-1:123456789012:key/1234abcd" in told
    )
    assert "AccessDeniedException: the KMS access was denied" in told
    assert (
        "`sealift deploy --parameter "
        "ConsumerKmsKeyArns=arn:aws:kms:us-east-1:123456789012:key/1234abcd`" in told
    )
    assert all(task in told for task in consumer.READERS)
    assert all(action in told for action in ("kms:Decrypt", "kms:Encrypt", "kms:CreateGrant"))


def test_variables_that_cannot_be_read_for_another_reason_name_no_parameter() -> None:
    """Without a key of the account's own there is none to give."""
    with pytest.raises(ConsumerUnreadable, match="look at the function's configuration") as refusal:
        Configuration.from_response({**DENIED, "KMSKeyArn": None})

    assert settings.KMS_KEYS not in str(refusal.value)


def test_versions_of_others_need_not_be_readable() -> None:
    """Only what was published for the endpoint is looked into, and that must be."""
    theirs = {**DENIED, "Version": "1", "Description": "theirs"}
    ours = {**DENIED, "Version": "2", "Description": consumer.mark("harbour-0")}

    assert consumer.deletable([theirs], [], "ENDPOINT_NAME", "harbour-0") == []
    with pytest.raises(ConsumerUnreadable):
        consumer.deletable([theirs, ours], [], "ENDPOINT_NAME", "harbour-0")


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        pytest.param(None, False, id="not set"),
        pytest.param("", False, id="empty"),
        pytest.param("h" * 63, False, id="an endpoint's name"),
        pytest.param("h" * (consumer.MOST_VALUE - 2), False, id="as much as is put back"),
        pytest.param("h" * (consumer.MOST_VALUE - 1), True, id="one more"),
        pytest.param("\x01" * 50, True, id="escapes"),
    ],
)
def test_a_value_that_is_no_endpoints_name_is_refused(value: str | None, refused: bool) -> None:
    """It would be written down, to be put back."""
    problem = consumer.unfit("ENDPOINT_NAME", "assistant", value)

    assert (problem is not None) is refused
    if problem is not None:
        assert f"{len(value or ''):,} characters" in problem.seen
