"""The state machines of an endpoint and of a container."""

from __future__ import annotations

import itertools

import pytest

from local_cloud.hosting import AwsError
from local_cloud.hosting.control_plane.requests import service
from local_cloud.hosting.platform.lifecycle import (
    CONTAINER,
    ENDPOINT,
    SERVING,
    ContainerCondition,
    EndpointChange,
    Occurrence,
    Status,
    Step,
    Verdict,
    Warmth,
    judge,
    next_status,
)

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e"
REQUESTS = (EndpointChange.UPDATE, EndpointChange.RESCALE, EndpointChange.DELETE)


def test_statuses_are_those_of_the_service_model() -> None:
    """No status is shown that a client of AWS would not know."""
    known = service().shape_for("EndpointStatus").metadata["enum"]

    assert {status.value for status in Status} <= set(known)


@pytest.mark.parametrize(("status", "request_"), itertools.product(Status, REQUESTS))
def test_every_request_has_an_outcome_in_every_status(status: Status, request_: EndpointChange) -> None:
    """Clients may ask anything at any time: the table answers, or refuses, but never breaks."""
    assert (status, request_) in ENDPOINT


@pytest.mark.parametrize("status", [Status.CREATING, Status.UPDATING])
def test_a_passing_status_has_both_ends(status: Status) -> None:
    """A launch that ended, well or badly, leads somewhere."""
    assert {(status, EndpointChange.READY), (status, EndpointChange.UNFIT)} <= ENDPOINT.keys()


@pytest.mark.parametrize(
    ("status", "request_", "message"),
    [
        *(
            pytest.param(
                status,
                request_,
                f'Cannot update in-progress endpoint "{ARN}".',
                id=f"{request_.name} in {status.value}",
            )
            for status in (Status.CREATING, Status.UPDATING, Status.DELETING)
            for request_ in REQUESTS
        ),
        pytest.param(
            Status.FAILED,
            EndpointChange.UPDATE,
            f'Cannot update endpoint "{ARN}" in status Failed: it can only be deleted.',
            id="UPDATE in Failed",
        ),
    ],
)
def test_refusals_say_what_aws_says(status: Status, request_: EndpointChange, message: str) -> None:
    """An endpoint in progress refuses everything; a failed one everything but its deletion."""
    with pytest.raises(AwsError) as caught:
        next_status(status, request_, ARN)

    assert (caught.value.code, caught.value.message) == ("ValidationException", message)


def test_a_failed_endpoint_can_be_deleted() -> None:
    """Deleting is the one way out of Failed."""
    assert next_status(Status.FAILED, EndpointChange.DELETE, ARN) is Status.DELETING


def test_a_failed_update_leaves_the_endpoint_in_service() -> None:
    """Only a failed creation ends in Failed."""
    assert next_status(Status.UPDATING, EndpointChange.UNFIT, ARN) is Status.IN_SERVICE
    assert next_status(Status.CREATING, EndpointChange.UNFIT, ARN) is Status.FAILED


def test_an_endpoint_answers_while_it_is_updated() -> None:
    """The old container serves until the new one has taken over."""
    assert {Status.IN_SERVICE, Status.UPDATING} == SERVING


@pytest.mark.parametrize("warmth", Warmth)
def test_a_container_can_be_called_in_every_state(warmth: Warmth) -> None:
    """A call is always forwarded, answered with a reason, or asked to come back."""
    _, step = CONTAINER[warmth, Occurrence.CALLED]

    assert step is not Step.NOTHING


def test_only_a_warm_container_gets_calls() -> None:
    """No call is forwarded to a process that is starting or gone."""
    forwarding = {warmth for warmth in Warmth if CONTAINER[warmth, Occurrence.CALLED][1] is Step.FORWARD}

    assert forwarding == {Warmth.WARM}


def test_a_lost_container_is_started_by_the_next_call() -> None:
    """WARM, lost, called: STARTING, and then WARM again."""
    warmth, _ = CONTAINER[Warmth.WARM, Occurrence.LOST]
    warmth, step = CONTAINER[warmth, Occurrence.CALLED]

    assert (warmth, step) == (Warmth.STARTING, Step.LAUNCH)
    assert CONTAINER[warmth, Occurrence.STARTED] == (Warmth.WARM, Step.NOTHING)


@pytest.mark.parametrize(
    ("condition", "pinged", "elapsed_s", "verdict"),
    [
        pytest.param(ContainerCondition.RUNNING, False, 0.0, Verdict.WAIT, id="still loading"),
        pytest.param(ContainerCondition.RUNNING, True, 179.9, Verdict.READY, id="in time"),
        pytest.param(ContainerCondition.RUNNING, True, 180.0, Verdict.READY, id="at the deadline"),
        pytest.param(
            ContainerCondition.RUNNING, True, 180.1, Verdict.TOO_LATE, id="a ping after the deadline"
        ),
        pytest.param(
            ContainerCondition.RUNNING, False, 180.1, Verdict.TOO_LATE, id="no ping before the deadline"
        ),
        pytest.param(ContainerCondition.EXITED, False, 1.0, Verdict.EXITED, id="exited"),
        pytest.param(ContainerCondition.EXITED, True, 1.0, Verdict.EXITED, id="answered and exited"),
        pytest.param(ContainerCondition.OUT_OF_MEMORY, False, 1.0, Verdict.OUT_OF_MEMORY, id="over memory"),
        pytest.param(ContainerCondition.EXITED, False, 999.0, Verdict.EXITED, id="exited, noticed late"),
    ],
)
def test_a_starting_container_is_judged(
    condition: ContainerCondition, pinged: bool, elapsed_s: float, verdict: Verdict
) -> None:
    """A dead process outweighs the clock, and the clock outweighs a ping."""
    assert judge(condition, pinged=pinged, elapsed_s=elapsed_s, deadline_s=180.0) is verdict
