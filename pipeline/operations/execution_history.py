"""An execution, read back: its states with times and retries, its results, its end; and how to follow one.

`read` is pure and takes AWS's documents; `follow` asks for them until the execution ends, and takes the
clock's `sleep` as an argument. It asks for what is new in the history and no more, so that an hour of following
costs little.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline import error_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_stepfunctions import SFNClient

StateStatus = Literal["running", "succeeded", "failed"]

FAILURES = frozenset(
    {
        "TaskFailed",
        "TaskTimedOut",
        "TaskSubmitFailed",
        "TaskStartFailed",
        "LambdaFunctionFailed",
        "LambdaFunctionTimedOut",
    }
)
_ATTEMPTS = frozenset({"TaskScheduled", "LambdaFunctionScheduled"})
_ENDS = frozenset({"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"})

PAGE: Final = 1000
"""Events in a page at most (service model)."""
NEWEST: Final = 50
"""Events that one look at a running execution asks for; more only where more have happened."""
_QUIET_LOOKS: Final = 12
"""Looks without anything new after which the execution is asked itself whether it has ended."""
_SLOWER: Final = 1.5
"""What a pause is lengthened by when a look has seen nothing new."""


@dataclass(frozen=True, slots=True)
class State:
    """One state of an execution, all its visits together."""

    name: str
    status: StateStatus
    entered: datetime
    seconds: float = 0.0
    """Over all visits; up to now for a state that is running."""
    visits: int = 1
    attempts: int = 0
    errors: tuple[str, ...] = ()
    """The error names of the attempts that failed, in order."""
    began: datetime | None = None
    """When it was entered for the first time; `entered` is the last time."""
    refused: tuple[str, ...] = ()
    """The error names of the attempts of the last visit."""
    refused_at: datetime | None = None
    """When the last attempt failed, where nothing has been tried since: what comes next is a pause."""
    waiting: str = ""
    """What the last attempt that failed said is waited for; empty where its error's name has to do."""

    @property
    def retries(self) -> int:
        """How many attempts were repetitions of a failed one."""
        return max(0, self.attempts - self.visits)


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as it stands."""

    arn: str
    status: str
    """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED."""
    states: tuple[State, ...]
    """In the order of their first visit."""
    results: Mapping[str, Any] = field(default_factory=dict)
    """The execution's data as far as it got: input and results, by result path."""
    error: str | None = None
    cause: str | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def running(self) -> bool:
        """Whether the execution has not ended yet."""
        return self.status == "RUNNING"

    @property
    def seconds(self) -> float | None:
        """How long the execution took; None while it runs."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None

    def state(self, name: str) -> State | None:
        """Return a state that was visited, else None."""
        return next((state for state in self.states if state.name == name), None)


def read(description: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Execution:
    """Return the execution that a DescribeExecution response and its history tell of.

    Args:
        description: of the execution.
        events: the whole history, oldest first.
    """
    states: dict[str, State] = {}
    current: str | None = None
    data: Mapping[str, Any] = json.loads(description.get("input") or "{}")
    failed = False
    for event in events:
        kind = event["type"]
        if kind.endswith("StateEntered"):
            details = event["stateEnteredEventDetails"]
            current, failed = details["name"], False
            before = states.get(current)
            visits = before.visits + 1 if before else 1
            entered = event["timestamp"]
            states[current] = (
                replace(before, status="running", visits=visits, entered=entered, refused=(), refused_at=None)
                if before
                else State(current, "running", entered, began=entered)
            )
            data = _document(details.get("input"), data)
        elif current is not None and kind.endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            state = states[details["name"]]
            took = (event["timestamp"] - state.entered).total_seconds()
            status: StateStatus = "failed" if failed else "succeeded"
            states[state.name] = replace(state, status=status, seconds=state.seconds + took, refused_at=None)
            data = _document(details.get("output"), data)
        elif current is not None and kind in _ATTEMPTS:
            failed = False
            states[current] = replace(states[current], attempts=states[current].attempts + 1, refused_at=None)
        elif current is not None and kind in FAILURES:
            failed = True
            event_details: Mapping[str, Any] = next(
                (value for name, value in event.items() if name.endswith("EventDetails")), {}
            )
            state, name = states[current], event_details.get("error") or kind
            states[current] = replace(
                state,
                errors=(*state.errors, name),
                refused=(*state.refused, name),
                refused_at=event["timestamp"],
                waiting=error_codec.read(str(event_details.get("cause") or ""), name).waiting,
            )
    whole = str(description["status"])
    if whole != "RUNNING" and current is not None and states[current].status == "running":
        # A Fail state, and whatever ran when the execution was stopped, is never exited.
        states[current] = replace(states[current], status="failed")
    return Execution(
        arn=description["executionArn"],
        status=whole,
        states=tuple(states.values()),
        results=_document(description.get("output"), data),
        error=description.get("error"),
        cause=error_codec.readable(description["cause"]) if description.get("cause") else None,
        started=description.get("startDate"),
        ended=description.get("stopDate"),
    )


def fetch(client: SFNClient, arn: str) -> Execution:
    """Return the execution as it stands now."""
    return read(client.describe_execution(executionArn=arn), history(client, arn))


def history(client: SFNClient, arn: str) -> list[Mapping[str, Any]]:
    """Return the whole history of an execution, oldest event first."""
    pages = client.get_paginator("get_execution_history").paginate(
        executionArn=arn, PaginationConfig={"PageSize": PAGE}
    )
    return [event for page in pages for event in page["events"]]


class Reader:
    """An execution that is looked at again and again: each look asks only for what it has not seen."""

    def __init__(self, client: SFNClient, arn: str) -> None:
        self._client = client
        self._arn = arn
        self._description: Mapping[str, Any] | None = None
        self._events: list[Mapping[str, Any]] = []
        self._quiet = 0

    def poll(self) -> tuple[Execution, bool]:
        """Return the execution as it stands, and whether anything has happened since the last look."""
        before = len(self._events)
        if self._description is None:
            self._description = self._client.describe_execution(executionArn=self._arn)
            self._events = history(self._client, self._arn)
        else:
            self._events += self._new()
        news = len(self._events) > before
        self._quiet = 0 if news else self._quiet + 1
        # The history may know the end before the description does, and the other way round.
        ended = any(event["type"] in _ENDS for event in self._events[-1:])
        if self._description["status"] == "RUNNING" and (ended or self._quiet >= _QUIET_LOOKS):
            self._quiet = 0
            self._description = self._client.describe_execution(executionArn=self._arn)
            if self._description["status"] != "RUNNING":
                self._events += self._new()
        return read(self._description, self._events), news

    def _new(self) -> list[Mapping[str, Any]]:
        """Return the events that came since, oldest first."""
        last = self._events[-1]["id"] if self._events else 0
        pages = self._client.get_paginator("get_execution_history").paginate(
            executionArn=self._arn, reverseOrder=True, PaginationConfig={"PageSize": NEWEST}
        )
        new: dict[int, Mapping[str, Any]] = {}
        for page in pages:
            new.update({event["id"]: event for event in page["events"] if event["id"] > last})
            if any(event["id"] <= last for event in page["events"]):
                break
        return [new[number] for number in sorted(new)]


def follow(
    client: SFNClient,
    arn: str,
    *,
    sleep: Callable[[float], None],
    interval_s: float = 1.0,
    slowest_s: float | None = None,
    passes: Callable[[Exception], bool] = lambda _error: False,
) -> Iterator[Execution]:
    """Yield the execution as it stands, again and again, until it has ended; the last one is the ended one.

    Args:
        client: of Step Functions.
        arn: of the execution.
        sleep: waits for so many seconds.
        interval_s: between two looks, while something happens.
        slowest_s: what that grows to while nothing does; not at all when None.
        passes: tells whether an error may pass, so that the next look is worth while.
    """
    reader, pause = Reader(client, arn), interval_s
    while True:
        try:
            execution, news = reader.poll()
        except Exception as error:
            if not passes(error):
                raise
            pause = min(pause * _SLOWER, max(slowest_s or 0.0, interval_s))
            sleep(pause)
            continue
        yield execution
        if not execution.running:
            return
        pause = interval_s if news else min(pause * _SLOWER, max(slowest_s or 0.0, interval_s))
        sleep(pause)


def summary(execution: Execution) -> dict[str, Any]:
    """Return what machines want to know of an execution, as a JSON object."""
    results = execution.results
    plan = results.get("plan_deployment") or {}
    return {
        "status": execution.status,
        "execution_arn": execution.arn,
        "endpoint_name": (plan.get("names") or {}).get("endpoint"),
        "states": [
            {
                "name": state.name,
                "status": state.status,
                "seconds": round(state.seconds, 3),
                "retries": state.retries,
                "visits": state.visits,
                "errors": list(state.errors),
            }
            for state in execution.states
        ],
        "steps": [*plan.get("steps", ())],
        "smoke_test": results.get("smoke_test"),
        "consumers": (results.get("update_consumer") or {}).get("consumers", []),
        "retired": results.get("retire_previous"),
        "error": execution.error,
        "cause": execution.cause,
        "seconds": execution.seconds,
    }


def _document(text: str | None, otherwise: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a JSON object from the history, or what was known before (AWS leaves out truncated data)."""
    if not text:
        return otherwise
    try:
        document = json.loads(text)
    except ValueError:
        return otherwise
    return document if isinstance(document, dict) else otherwise
