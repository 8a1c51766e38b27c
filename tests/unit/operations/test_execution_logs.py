"""The log of one execution: which lines are its own, and how each is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.cli.commands import logs
from pipeline.operations import execution_logs

ARN = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0123456789abcdef"


def event(message: str | dict[str, Any], at: int = 0, stream: str = "s") -> dict[str, Any]:
    """Return an event of FilterLogEvents."""
    text = message if isinstance(message, str) else json.dumps(message)
    return {"timestamp": 1_767_225_600_000 + at, "logStreamName": stream, "message": text}


def own(message: str, request: str = "r-1", arn: str = ARN, **more: Any) -> dict[str, Any]:
    """Return a task's own line."""
    return {
        "level": "INFO",
        "message": message,
        "requestId": request,
        "execution": arn,
        "state": "CreateModel",
        **more,
    }


def platform(kind: str, request: str, **record: Any) -> dict[str, Any]:
    """Return a line of Lambda's own."""
    return {"type": f"platform.{kind}", "record": {"requestId": request, **record}}


def test_what_lambda_wrote_beside_a_tasks_lines_belongs_to_it() -> None:
    """By the request: its time-out, and what was printed meanwhile; another execution's in the same stream does not."""
    events = [
        event(platform("start", "r-0")),
        event(own("CreateModel began", "r-0", ARN + "-other")),
        event("printed by another"),
        event(platform("start", "r-1")),
        event(own("CreateModel began")),
        event("printed\n"),
        event(platform("report", "r-1", status="timeout", metrics={"durationMs": 60_000.0})),
    ]

    found = execution_logs.of_tasks(ARN, events)

    assert [(line.source, line.message) for line in found] == [
        ("CreateModel", "CreateModel began"),
        ("CreateModel", "printed"),
        ("CreateModel", "the function ended with timeout after 60.0 s"),
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param("KeyError", ["CreateModel began", "KeyError: 'plan'"], id="not foreseen"),
        pytest.param("Throttled", ["CreateModel began"], id="foreseen: told by the line before"),
    ],
)
def test_an_error_that_nobody_foresaw_is_told_with_where_it_was_raised(error: str, told: list[str]) -> None:
    """As Lambda's runtime writes it."""
    failure = {
        "level": "ERROR",
        "errorType": error,
        "errorMessage": "'plan'",
        "requestId": "r-1",
        "stackTrace": ['  File "x.py", line 1, in run\n    plan["a"]\n'],
    }

    found = execution_logs.of_tasks(ARN, [event(own("CreateModel began")), event(failure)])

    assert [line.message for line in found] == told
    assert all(line.trace for line in found[1:])


def test_a_crash_is_known_from_the_history() -> None:
    """No function could write a line of it; an error of Sealift's own has its line already."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    entered = {"type": "TaskStateEntered", "timestamp": at, "stateEnteredEventDetails": {"name": "SmokeTest"}}
    crashed = {
        "type": "TaskFailed",
        "timestamp": at,
        "taskFailedEventDetails": {"error": "Runtime.ExitError", "cause": "signal:\n killed"},
    }
    foreseen = {
        "type": "TaskFailed",
        "timestamp": at,
        "taskFailedEventDetails": {"error": "Throttled", "cause": "x"},
    }

    found = execution_logs.failures([entered, crashed, foreseen])

    assert [(line.source, line.message) for line in found] == [
        ("SmokeTest", "Runtime.ExitError: signal: killed")
    ]


def test_a_line_is_told_with_time_state_and_message() -> None:
    """The level where it matters, the seconds where there are any, further lines below."""
    (line,) = execution_logs.of_tasks(
        ARN, [event(own("gave up\nfor good", level="ERROR", seconds=1.5), at=123)]
    )

    first, second = logs.readable_lines([line])

    assert first.split("  ")[0].endswith(".123")
    assert first.endswith("CreateModel           ERROR gave up (1.5 s)")
    assert second.strip() == "for good"
