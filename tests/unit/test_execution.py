"""Reading an execution back from its description and its history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import execution
from pipeline.execution import Execution, State

if TYPE_CHECKING:
    from collections.abc import Mapping

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour"


class History:
    """A history as GetExecutionHistory gives it, written down event by event; a second passes between two."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.happened("ExecutionStarted")

    def happened(self, kind: str, **details: Any) -> History:
        """Add one event."""
        count = len(self.events)
        self.events.append(
            {"id": count + 1, "type": kind, "timestamp": START + timedelta(seconds=count), **details}
        )
        return self

    def entered(self, name: str, data: Mapping[str, Any] | None = None, *, kind: str = "Task") -> History:
        """Enter a state with the execution's data."""
        return self.happened(
            f"{kind}StateEntered", stateEnteredEventDetails={"name": name, "input": json.dumps(data or {})}
        )

    def tried(
        self, error: str | None = None, *, kind: str = "TaskFailed", details: str | None = None
    ) -> History:
        """Make one attempt of a task, which fails with `error` if there is one."""
        self.happened("TaskScheduled", taskScheduledEventDetails={"resource": "invoke"})
        self.happened("TaskStarted", taskStartedEventDetails={"resource": "invoke"})
        if error is None:
            return self.happened("TaskSucceeded", taskSucceededEventDetails={"output": "{}"})
        where = details or kind[0].lower() + kind[1:] + "EventDetails"
        return self.happened(kind, **{where: {"error": error, "cause": "because"}})

    def left(self, name: str, data: Mapping[str, Any] | None = None, *, kind: str = "Task") -> History:
        """Leave a state with the execution's data."""
        return self.happened(
            f"{kind}StateExited", stateExitedEventDetails={"name": name, "output": json.dumps(data or {})}
        )

    def read(self, status: str = "RUNNING", **description: Any) -> Execution:
        """Return the execution that this history tells of."""
        ended = {} if status == "RUNNING" else {"stopDate": self.events[-1]["timestamp"]}
        return execution.read(
            {
                "executionArn": ARN,
                "status": status,
                "startDate": START,
                "input": '{"archive": {}}',
                **ended,
                **description,
            },
            self.events,
        )


def state(found: Execution, name: str) -> State:
    """Return a state that must be there."""
    one = found.state(name)
    assert one is not None
    return one


def test_an_execution_that_has_not_begun_has_its_input() -> None:
    """Nothing is invented before the first event."""
    found = execution.read(
        {"executionArn": ARN, "status": "RUNNING", "input": '{"archive": {"key": "k"}}'}, []
    )

    assert (found.running, found.states, found.seconds) == (True, (), None)
    assert found.results == {"archive": {"key": "k"}}


def test_a_success_has_every_state_its_time_and_its_data() -> None:
    """In the order of the first visit, with what the last state left."""
    history = History().entered("CheckArchive").tried().left("CheckArchive", {"check_archive": 1})
    history.entered("PlanDeployment", {"check_archive": 1}).tried()
    history.left("PlanDeployment", {"check_archive": 1, "plan_deployment": 2})
    found = history.read("SUCCEEDED", output='{"check_archive": 1, "plan_deployment": 2, "end": 3}')

    assert [(one.name, one.status, one.seconds, one.retries) for one in found.states] == [
        ("CheckArchive", "succeeded", 4.0, 0),
        ("PlanDeployment", "succeeded", 4.0, 0),
    ]
    assert found.results == {"check_archive": 1, "plan_deployment": 2, "end": 3}
    assert found.seconds == 10.0
    assert not found.running


def test_retries_are_attempts_after_failed_ones() -> None:
    """Two failures and a success are two retries, and the errors are remembered in order."""
    history = History().entered("CreateEndpoint")
    history.tried("ResourceLimitExceeded").tried("Throttled").tried().left("CreateEndpoint")

    found = state(history.read(), "CreateEndpoint")

    assert (found.status, found.attempts, found.retries, found.visits) == ("succeeded", 3, 2, 1)
    assert found.errors == ("ResourceLimitExceeded", "Throttled")


def test_visits_are_not_retries() -> None:
    """A poll loop comes back to the same state without any failure; its times add up."""
    history = History()
    for _ in range(3):
        history.entered("WaitForEndpoint", kind="Wait").left("WaitForEndpoint", kind="Wait")
        history.entered("PollEndpoint").tried().left("PollEndpoint")
    found = history.read()

    poll, wait = state(found, "PollEndpoint"), state(found, "WaitForEndpoint")
    assert (poll.visits, poll.attempts, poll.retries, poll.seconds) == (3, 3, 0, 12.0)
    assert (wait.visits, wait.attempts, wait.retries) == (3, 0, 0)


def test_a_failure_that_was_caught_is_a_failed_state() -> None:
    """A Catch leaves a state like success does; what tells them apart is the last attempt."""
    history = History().entered("CreateModel").tried("AccessDenied").left("CreateModel", {"failure": {}})
    history.entered("Diagnose", {"failure": {}}).tried().left("Diagnose")
    found = history.read()

    assert state(found, "CreateModel").status == "failed"
    assert state(found, "CreateModel").errors == ("AccessDenied",)
    assert state(found, "Diagnose").status == "succeeded"
    assert found.running


def test_a_fail_state_ends_the_execution_failed() -> None:
    """A Fail state is entered and never left; error and cause are the execution's."""
    history = History().entered("DeploymentFailed", {"failure": {"Error": "E"}}, kind="Fail")
    history.happened("ExecutionFailed", executionFailedEventDetails={"error": "E", "cause": "C"})
    found = history.read("FAILED", error="E", cause="C")

    assert state(found, "DeploymentFailed").status == "failed"
    assert (found.error, found.cause, found.running) == ("E", "C", False)
    assert found.results == {"failure": {"Error": "E"}}


@pytest.mark.parametrize(
    ("status", "event"),
    [
        pytest.param("TIMED_OUT", "ExecutionTimedOut", id="timed out"),
        pytest.param("ABORTED", "ExecutionAborted", id="aborted"),
    ],
)
def test_what_ran_when_the_execution_was_ended_has_failed(status: str, event: str) -> None:
    """A state that nobody will finish is not shown as running."""
    history = History().entered("CheckArchive").tried().left("CheckArchive").entered("SmokeTest")
    history.happened("TaskScheduled", taskScheduledEventDetails={}).happened(event)
    found = history.read(status)

    assert [one.status for one in found.states] == ["succeeded", "failed"]
    assert found.status == status


def test_a_state_in_progress_is_running() -> None:
    """Entered and not left, in an execution that runs; between two attempts too."""
    history = History().entered("CreateEndpoint").tried("ResourceLimitExceeded")

    assert state(history.read(), "CreateEndpoint").status == "running"
    assert state(history.read(), "CreateEndpoint").errors == ("ResourceLimitExceeded",)


@pytest.mark.parametrize(
    ("kind", "details", "error"),
    [
        pytest.param("TaskFailed", None, "EndpointFailed", id="task"),
        pytest.param("TaskTimedOut", None, "States.Timeout", id="task timed out"),
        pytest.param("TaskSubmitFailed", None, "SNS.SdkClientException", id="task not submitted"),
        pytest.param("LambdaFunctionFailed", None, "Lambda.Unknown", id="function"),
        pytest.param("LambdaFunctionTimedOut", None, "States.Timeout", id="function timed out"),
    ],
)
def test_every_form_of_failure_is_seen(kind: str, details: str | None, error: str) -> None:
    """Each has a details field of its own name."""
    history = History().entered("NotifySuccess").tried(error, kind=kind, details=details)

    assert state(history.read(), "NotifySuccess").errors == (error,)


def test_a_failure_without_a_name_has_its_events() -> None:
    """Histories without execution data leave the details out."""
    history = History().entered("SmokeTest").happened("TaskScheduled").happened("TaskTimedOut")

    assert state(history.read(), "SmokeTest").errors == ("TaskTimedOut",)


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param('{"cut": ', id="cut short"),
        pytest.param("[1]", id="no object"),
    ],
)
def test_data_that_is_not_there_leaves_what_was_known(output: str | None) -> None:
    """AWS may leave data out; what an earlier state left still holds."""
    history = History().entered("CheckArchive").tried().left("CheckArchive", {"check_archive": 1})
    history.happened("TaskStateEntered", stateEnteredEventDetails={"name": "PlanDeployment", "input": output})

    assert history.read().results == {"check_archive": 1}


def test_a_summary_has_what_machines_ask_for() -> None:
    """One JSON document, whose fields the command line promises."""
    data = {"plan_deployment": {"names": {"endpoint": "harbour-0"}}, "smoke_test": {"transcript": []}}
    history = History().entered("SmokeTest").tried("ModelNotReady").tried().left("SmokeTest", data)
    summary = execution.summary(history.read("SUCCEEDED"))

    assert json.loads(json.dumps(summary)) == summary
    assert summary["states"] == [
        {
            "name": "SmokeTest",
            "status": "succeeded",
            "seconds": 7.0,
            "retries": 1,
            "visits": 1,
            "errors": ["ModelNotReady"],
        }
    ]
    assert (summary["status"], summary["endpoint_name"], summary["consumers"]) == (
        "SUCCEEDED",
        "harbour-0",
        [],
    )
    assert (summary["smoke_test"], summary["seconds"]) == ({"transcript": []}, 8.0)


def test_a_summary_of_a_failure_needs_no_plan() -> None:
    """A refused input ends before there is any result."""
    summary = execution.summary(History().read("FAILED", error="InvalidInput", cause="C", output=None))

    assert (summary["endpoint_name"], summary["error"], summary["cause"]) == (None, "InvalidInput", "C")


class Ended:
    """Stands for Step Functions: an execution that runs for some looks and then ends."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def describe_execution(self, **request: str) -> dict[str, Any]:
        """Return its status."""
        assert request == {"executionArn": ARN}
        self.left -= 1
        return {"executionArn": ARN, "status": "RUNNING" if self.left > 0 else "SUCCEEDED"}

    def get_paginator(self, name: str) -> Ended:
        """Return the pages of the history."""
        assert name == "get_execution_history"
        return self

    def paginate(self, **request: str) -> list[dict[str, Any]]:
        """Return two pages."""
        assert request == {"executionArn": ARN}
        events = History().entered("CheckArchive").tried().events
        return [{"events": events[:2]}, {"events": events[2:]}]


def test_following_ends_with_the_execution() -> None:
    """Every look is handed out, the last one is the ended one, and the waits between them are the caller's."""
    waits: list[float] = []
    seen = list(execution.follow(Ended(3), ARN, sleep=waits.append, interval_s=0.5))  # type: ignore[arg-type]

    assert [one.status for one in seen] == ["RUNNING", "RUNNING", "SUCCEEDED"]
    assert waits == [0.5, 0.5]
    assert state(seen[0], "CheckArchive").attempts == 1
