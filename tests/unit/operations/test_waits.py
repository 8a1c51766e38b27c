"""What a running execution waits for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.operations import waits
from pipeline.operations.execution_history import Execution, State
from pipeline.operations.waits import Clock, Pause
from state_machine.definition import build

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEFINITION: dict[str, Any] = {
    "States": {
        "CreateEndpoint": {
            "Retry": [
                {"ErrorEquals": ["Throttled"], "IntervalSeconds": 2, "MaxAttempts": 8},
                {
                    "ErrorEquals": ["ResourceLimitExceeded"],
                    "IntervalSeconds": 15,
                    "MaxAttempts": 6,
                    "BackoffRate": 2.0,
                    "MaxDelaySeconds": 50,
                    "JitterStrategy": "FULL",
                },
            ]
        },
        "NotifySuccess": {"Retry": [{"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 1}]},
        "PollEndpoint": {"Retry": [{"ErrorEquals": ["States.ALL"]}]},
    }
}


@pytest.mark.parametrize(
    ("state", "refused", "expected"),
    [
        pytest.param("CreateEndpoint", [], None, id="nothing failed"),
        pytest.param("CreateEndpoint", ["AccessDenied"], None, id="not retried"),
        pytest.param("CreateEndpoint", ["Throttled"], Pause(2, 9, 2, exact=True), id="first"),
        pytest.param("CreateEndpoint", ["Throttled"] * 3, Pause(4, 9, 8, exact=True), id="doubled twice"),
        pytest.param(
            "CreateEndpoint", ["ResourceLimitExceeded"] * 3, Pause(4, 7, 50, exact=False), id="at the ceiling"
        ),
        pytest.param(
            "CreateEndpoint",
            ["Throttled", "ResourceLimitExceeded"],
            Pause(3, 8, 15, exact=False),
            id="each rule counts its own",
        ),
        pytest.param("CreateEndpoint", ["Throttled"] * 9, None, id="no attempt is left"),
        pytest.param("NotifySuccess", ["SNS.Any"], Pause(2, 2, 1, exact=True), id="any task's failure"),
        pytest.param("NotifySuccess", ["States.Timeout"], None, id="but no time-out"),
        pytest.param("PollEndpoint", ["States.Timeout"], Pause(2, 4, 1, exact=True), id="the language's own"),
    ],
)
def test_a_pause_is_what_the_retry_rules_make_of_the_errors(
    state: str, refused: list[str], expected: Pause | None
) -> None:
    """The first rule that names the error decides; its interval grows with its own errors alone."""
    assert waits.pause(DEFINITION["States"][state], refused) == expected


@pytest.mark.parametrize(
    ("refused", "after", "scale", "told"),
    [
        pytest.param(
            ("ResourceLimitExceeded",),
            5,
            1.0,
            "waiting for quota (ResourceLimitExceeded): attempt 2 of 7, next within 10 s",
            id="jitter",
        ),
        pytest.param(
            ("Throttled", "Throttled", "Throttled"),
            3,
            1.0,
            "AWS asks for fewer requests (Throttled): attempt 4 of 9, next in 5 s",
            id="no jitter",
        ),
        pytest.param(
            ("ResourceLimitExceeded",),
            20,
            1.0,
            "waiting for quota (ResourceLimitExceeded): attempt 2 of 7",
            id="any moment",
        ),
        pytest.param(
            ("ResourceLimitExceeded",),
            0.5,
            0.1,
            "waiting for quota (ResourceLimitExceeded): attempt 2 of 7, next within 1 s",
            id="scaled",
        ),
        pytest.param(("Odd",), 5, 1.0, "Odd, trying again: attempt 2", id="by no rule"),
    ],
)
def test_a_state_that_was_refused_says_what_it_waits_for(
    refused: tuple[str, ...], after: float, scale: float, told: str
) -> None:
    """The reason, which attempt comes, and how long that takes at most."""
    state = State("CreateEndpoint", "running", BEGUN, began=BEGUN, refused=refused, refused_at=BEGUN)
    clock = Clock(BEGUN + timedelta(seconds=after), scale)
    found = waits.waiting(state, Execution("arn", "RUNNING", (state,)), DEFINITION, clock)

    assert str(found) == told


def test_an_attempt_under_way_has_no_countdown() -> None:
    """It says which attempt it is and why there was another one before."""
    state = State("CreateEndpoint", "running", BEGUN, began=BEGUN, refused=("Throttled",))
    found = waits.waiting(state, Execution("arn", "RUNNING", (state,)), DEFINITION, Clock(BEGUN))

    assert found == waits.Wait("AWS asks for fewer requests (Throttled): attempt 2 of 9")


def test_a_state_at_work_waits_for_nothing() -> None:
    """Long work is no wait."""
    state = State("CheckArchive", "running", BEGUN, began=BEGUN)

    assert waits.waiting(state, Execution("arn", "RUNNING", (state,)), DEFINITION, Clock(BEGUN)) is None


@pytest.mark.parametrize(
    ("after", "told"),
    [
        pytest.param(3, "asked for, first look in 12 s", id="a while"),
        pytest.param(15, "asked for", id="any moment"),
    ],
)
def test_an_endpoint_that_nobody_has_looked_at_was_asked_for(after: float, told: str) -> None:
    """Before the first look its status is not known, and not made up."""
    state = State("WaitForEndpoint", "running", BEGUN, began=BEGUN)
    planned = {"plan_deployment": {"poll": {"interval_s": 15}}}
    followed = Execution("arn", "RUNNING", (state,), planned)

    assert str(waits.waiting(state, followed, DEFINITION, Clock(BEGUN + timedelta(seconds=after)))) == told


def test_a_clock_that_is_behind_counts_from_nothing() -> None:
    """This machine's clock and AWS's are not one."""
    assert Clock(BEGUN).since(BEGUN + timedelta(seconds=3)) == 0.0
    assert Clock(BEGUN).since(None) == 0.0


def test_an_error_that_knows_what_it_waits_for_says_so() -> None:
    """More than its name does."""
    state = State(
        "CreateEndpoint",
        "running",
        BEGUN,
        began=BEGUN,
        refused=("ResourceLimitExceeded",),
        waiting="waiting for quota 'Total', 10 of 10 in use",
    )
    found = waits.waiting(state, Execution("arn", "RUNNING", (state,)), DEFINITION, Clock(BEGUN))

    assert found is not None
    assert found.reason.startswith(
        "waiting for quota 'Total', 10 of 10 in use (ResourceLimitExceeded): attempt 2"
    )


def test_the_retry_rules_are_read_as_the_workflow_has_them() -> None:
    """No rule of the real definition uses what is not read here."""
    known = {
        "ErrorEquals",
        "IntervalSeconds",
        "MaxAttempts",
        "BackoffRate",
        "MaxDelaySeconds",
        "JitterStrategy",
    }
    states = build().to_dict()["States"]

    assert {name for state in states.values() for rule in state.get("Retry", ()) for name in rule} <= known


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (42.9, "42 s"),
        (99, "99 s"),
        (100, "1 min 40 s"),
        (300, "5 min"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_span_is_told_in_two_units_at_most(seconds: float, told: str) -> None:
    """Nobody reads seconds of an hour."""
    assert waits.span(seconds) == told
