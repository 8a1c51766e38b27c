"""Whose a consumer is: what is refused, what is left, and what may be taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline import json_codec
from pipeline.errors import ConsumerTaken
from pipeline.planning import consumer_claims
from pipeline.planning.consumer_claims import Claim
from pipeline.state_data.request_types import RequestedConsumer
from tests.plans import a_consumer

OWNERS = {"alpha-1": "alpha", "beta-1": "beta"}
THEIRS = Claim("assistant", "ENDPOINT_NAME", "alpha", "alpha-1")


def who(name: str = "assistant", **more: Any) -> RequestedConsumer:
    """Return a consumer as a request has it."""
    return json_codec.decode(RequestedConsumer, a_consumer(function_name=name, **more))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param("alpha-1", [THEIRS], id="another service's"),
        pytest.param("beta-1", [], id="its own"),
        pytest.param("my-endpoint", [], id="a person's"),
        pytest.param("", [], id="empty"),
        pytest.param(None, [], id="not set"),
    ],
)
def test_what_another_service_has_is_told_by_the_endpoint(value: str | None, found: list[Claim]) -> None:
    """The variable's value now, and whose that endpoint is: nothing else counts."""
    assert consumer_claims.of_others([who()], [value], OWNERS, "beta") == found


def test_a_named_consumer_of_another_service_is_refused_with_every_way_out() -> None:
    """Whose it is, by which endpoint, and the ways to go on."""
    with pytest.raises(ConsumerTaken) as refusal:
        consumer_claims.left([THEIRS], [who()], default=False)

    (problem,) = refusal.value.problems
    assert problem.seen == ("ENDPOINT_NAME of 'assistant' names endpoint 'alpha-1' of the service 'alpha'")
    for way in ('"take_over": true', "another function or variable", '"consumer": null'):
        assert way in problem.fix


def test_every_consumer_that_is_taken_is_named() -> None:
    """All at once, and only those that nobody said to take over."""
    reports = Claim("reports", "ENDPOINT_NAME", "alpha", "alpha-1")
    with pytest.raises(ConsumerTaken) as refusal:
        consumer_claims.left([THEIRS, reports], [who(take_over=True), who("reports")], default=False)

    assert ["'reports'" in one.seen for one in refusal.value.problems] == [True]


def test_one_variable_is_taken_over_and_not_the_other() -> None:
    """A function may have two, each with an entry of its own."""
    second = Claim("assistant", "FALLBACK", "alpha", "alpha-1")

    with pytest.raises(ConsumerTaken, match="FALLBACK of 'assistant'"):
        consumer_claims.left([THEIRS, second], [who(take_over=True), who(variable="FALLBACK")], default=False)


@pytest.mark.parametrize("default", [True, False])
def test_take_over_takes_it(*, default: bool) -> None:
    """Whether the request names the function or only says so of the stack's own."""
    assert consumer_claims.left([THEIRS], [who(take_over=True)], default=default) == []


def test_the_stacks_consumer_is_left_to_who_had_it_first() -> None:
    """Nobody named it, so nobody is refused."""
    assert consumer_claims.left([THEIRS], [who()], default=True) == [THEIRS]
    assert consumer_claims.left([], [who()], default=True) == []


def test_a_deployment_without_it_says_whose_it_is_and_how_to_take_it() -> None:
    """What a person reads in the plan, the checklist and the notification."""
    instead = consumer_claims.without([THEIRS], ["a note"])

    assert (instead.consumers, instead.switch) == ((), "none")
    assert instead.callers == "no consumer (ENDPOINT_NAME of assistant stays with service 'alpha')"
    note, other = instead.notes
    assert other == "a note"
    assert "(endpoint 'alpha-1')" in note
    assert note.endswith(consumer_claims.entry("assistant", "ENDPOINT_NAME"))


@pytest.mark.parametrize("variable", ["ENDPOINT_NAME", "MODEL"])
def test_the_entry_that_takes_over_is_json(variable: str) -> None:
    """It can be copied into a request."""
    found = json.loads("{" + consumer_claims.entry("assistant", variable) + "}")["consumer"]

    assert {"variable": "ENDPOINT_NAME", **found} == {
        "function_name": "assistant",
        "variable": variable,
        "take_over": True,
    }
