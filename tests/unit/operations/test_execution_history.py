"""Reading an execution back from its description and its history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import error_codec
from pipeline.errors import ResourceLimitExceeded
from pipeline.operations import execution_history
from pipeline.operations.execution_history import Execution, State

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
        return execution_history.read(
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
    found = execution_history.read(
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
    summary = execution_history.summary(history.read("SUCCEEDED"))

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
    summary = execution_history.summary(
        History().read("FAILED", error="InvalidInput", cause="C", output=None)
    )

    assert (summary["endpoint_name"], summary["error"], summary["cause"]) == (None, "InvalidInput", "C")


class Recorded:
    """Stands for Step Functions: a history of which each look shows some more, and then an end."""

    def __init__(self, events: list[dict[str, Any]], shown: list[int], *, page: int = 2) -> None:
        self.events = events
        self.shown = shown
        """How many events there are at each look; the last one stays."""
        self.page = page
        self.looks = 0
        self.asked: list[str] = []
        self.read = 0
        """Events that were handed out."""

    def describe_execution(self, **request: str) -> dict[str, Any]:
        """Return its status."""
        assert request == {"executionArn": ARN}
        self.asked.append("describe")
        ended = self._there()[-1]["type"].startswith("ExecutionS") and len(self._there()) > 1
        return {"executionArn": ARN, "status": "SUCCEEDED" if ended else "RUNNING"}

    def get_paginator(self, name: str) -> Recorded:
        """Return the pages of the history."""
        assert name == "get_execution_history"
        return self

    def paginate(self, *, executionArn: str, reverseOrder: bool = False, **_: Any) -> Any:  # noqa: N803 AWS's names
        """Yield the pages that are asked for."""
        assert executionArn == ARN
        self.asked.append("newest" if reverseOrder else "all")
        there = self._there()[::-1] if reverseOrder else self._there()
        for start in range(0, len(there), self.page):
            self.read += len(there[start : start + self.page])
            yield {"events": there[start : start + self.page]}

    def _there(self) -> list[dict[str, Any]]:
        return self.events[: self.shown[min(self.looks, len(self.shown) - 1)]]


def followed(history: Recorded, **pace: float) -> tuple[list[Execution], list[float]]:
    """Return every look at an execution, and the pauses between them."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        history.looks += 1

    looks = execution_history.follow(history, ARN, sleep=sleep, **pace)  # type: ignore[arg-type]
    return list(looks), pauses


def ended() -> list[dict[str, Any]]:
    """Return a short history with its end: twelve events."""
    history = History().entered("CheckArchive").tried().left("CheckArchive")
    history.entered("PlanDeployment").tried().left("PlanDeployment")
    return history.happened("ExecutionSucceeded").events


def test_following_ends_with_the_execution() -> None:
    """Every look is handed out, the last one is the ended one, and the waits between them are the caller's."""
    seen, pauses = followed(Recorded(ended(), [3, 8, 12]), interval_s=0.5)

    assert [one.status for one in seen] == ["RUNNING", "RUNNING", "SUCCEEDED"]
    assert [[one.name for one in look.states] for look in seen] == [
        ["CheckArchive"],
        ["CheckArchive", "PlanDeployment"],
        ["CheckArchive", "PlanDeployment"],
    ]
    assert pauses == [0.5, 0.5]


@pytest.mark.parametrize("page", [pytest.param(1, id="one by one"), pytest.param(50, id="all at once")])
def test_what_is_followed_is_what_a_whole_reading_tells(page: int) -> None:
    """However the new events are cut into pages, none is lost and none is counted twice."""
    history = Recorded(ended(), [1, 2, 7, 7, 12], page=page)
    seen, _ = followed(history)

    assert seen[-1] == execution_history.fetch(history, ARN)  # type: ignore[arg-type]


def test_only_what_is_new_is_asked_for() -> None:
    """The whole history once; then its newest end, and the execution itself only when the history has ended."""
    history = Recorded(ended(), [3, 3, 3, 8, 12], page=4)
    followed(history)

    assert history.asked == ["describe", "all", "newest", "newest", "newest", "newest", "describe", "newest"]
    assert history.read <= 3 + 3 + 3 + 8 + 8 + 4


def test_a_quiet_execution_is_looked_at_less_often() -> None:
    """The pause grows while nothing happens, up to a bound, and is short again when something has."""
    _, pauses = followed(Recorded(ended(), [3, 3, 3, 3, 3, 8, 12]), interval_s=1.0, slowest_s=3.0)

    assert pauses == [1.0, 1.5, 2.25, 3.0, 3.0, 1.0]


def test_an_execution_that_ended_without_a_word_is_found_out() -> None:
    """A history may stay silent about the end; the execution is asked itself now and then."""
    history = Recorded(ended(), [3])
    history.describe_execution = lambda **_: {  # type: ignore[method-assign]
        "executionArn": ARN,
        "status": "ABORTED" if history.looks > 20 else "RUNNING",
    }
    seen, pauses = followed(history)

    assert seen[-1].status == "ABORTED"
    assert len(pauses) < 40


def test_a_look_in_vain_is_taken_again_if_it_may_pass() -> None:
    """A line that is down for a while loses nothing; any other error ends the following."""
    history = Recorded(ended(), [3, 3, 8, 12])
    describe, told = history.describe_execution, []

    def broken(**request: str) -> dict[str, Any]:
        if history.looks == 0:
            raise ConnectionError("down")
        return describe(**request)

    history.describe_execution = broken  # type: ignore[method-assign]
    looks = execution_history.follow(
        history,  # type: ignore[arg-type]
        ARN,
        sleep=lambda _seconds: setattr(history, "looks", history.looks + 1),
        passes=lambda error: not told.append(error),  # type: ignore[func-returns-value]
    )

    assert list(looks)[-1].status == "SUCCEEDED"
    assert [str(error) for error in told] == ["down"]
    history.looks = 0
    with pytest.raises(ConnectionError):
        list(execution_history.follow(history, ARN, sleep=lambda _seconds: None))  # type: ignore[arg-type]


def test_a_pause_between_two_attempts_is_seen() -> None:
    """It begins with the failure and ends with the next attempt; a new visit counts its refusals anew."""
    history = History().entered("CreateEndpoint").tried("ResourceLimitExceeded")
    failed_at = history.events[-1]["timestamp"]
    paused = state(history.read(), "CreateEndpoint")
    again = state(history.happened("TaskScheduled").read(), "CreateEndpoint")
    anew = state(history.left("CreateEndpoint").entered("CreateEndpoint").read(), "CreateEndpoint")

    assert (paused.refused, paused.refused_at) == (("ResourceLimitExceeded",), failed_at)
    assert (again.refused, again.refused_at) == (("ResourceLimitExceeded",), None)
    assert (anew.refused, anew.errors) == ((), ("ResourceLimitExceeded",))
    assert anew.began == history.events[1]["timestamp"] != anew.entered


def test_what_a_refused_attempt_waits_for_is_read_off_its_cause() -> None:
    """As the error says it; one that says nothing has its name."""
    history = History().entered("CreateEndpoint")
    text = error_codec.encode(ResourceLimitExceeded("no", waiting="waiting for quota 'Total'"))
    cause = json.dumps({"errorMessage": text, "errorType": "ResourceLimitExceeded"})
    details = {"error": "ResourceLimitExceeded", "cause": cause}

    history.tried("ResourceLimitExceeded").happened("TaskFailed", taskFailedEventDetails=details)
    assert state(history.read(), "CreateEndpoint").waiting == "waiting for quota 'Total'"

    history.tried("Throttled")
    assert state(history.read(), "CreateEndpoint").waiting == ""


def test_an_executions_cause_is_told_without_lambdas_json() -> None:
    """Where a rollback failed, the workflow has put the Cause into it as it is."""
    raw = json.dumps({"errorMessage": "no", "errorType": "ResourceLimitExceeded", "stackTrace": []})

    assert History().read("FAILED", cause=f"what happened: x -- NOT undone: {raw}").cause == (
        "what happened: x -- NOT undone: no"
    )
    assert History().read("FAILED").cause is None
