"""The timeline of an execution: visits, attempts, waits, and loops folded."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pipeline import error_codec, errors
from pipeline.report import timeline
from pipeline.report.timeline import Loop, Visit

if TYPE_CHECKING:
    from pipeline.report.document import ReportFacts

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def visit(facts: ReportFacts, state: str) -> Visit:
    """Return the first visit to a state."""
    line = timeline.read(facts.events, ended=True)
    return next(one for one in line.visits if one.state == state)


def test_every_attempt_and_the_wait_before_the_next_is_there(succeeded: ReportFacts) -> None:
    """Two attempts failed with a second between: what was work and what was waiting can be told apart."""
    created = visit(succeeded, "CreateEndpoint")

    assert [(one.error, one.outcome) for one in created.attempts] == [
        ("Throttled", "failed"),
        ("Throttled", "failed"),
        ("", "succeeded"),
    ]
    assert created.retries == 2
    assert created.outcome == "succeeded"
    assert [round(end - begin, 3) for begin, end in created.waits] == [1.0, 1.0]
    assert created.seconds == pytest.approx(3.5)


def test_a_functions_cause_is_its_message(succeeded: ReportFacts) -> None:
    """Not the JSON document with the stack that Lambda makes of it."""
    assert visit(succeeded, "CreateEndpoint").attempts[0].cause == "CreateEndpoint: Throttled: not now"


def test_a_functions_cause_is_its_sentence_alone() -> None:
    """What it tells programs is not for a page."""
    text = error_codec.encode(errors.EndpointBusy("it is Updating", waiting="for it", fix="wait"))
    cause = json.dumps({"errorMessage": text, "errorType": "EndpointBusy", "stackTrace": []})
    entered = {"name": "MakeRoom", "input": "{}"}
    failed = {"error": "EndpointBusy", "cause": cause}
    events = [
        {"type": "TaskStateEntered", "timestamp": START, "stateEnteredEventDetails": entered},
        {"type": "TaskScheduled", "timestamp": START, "taskScheduledEventDetails": {}},
        {"type": "TaskFailed", "timestamp": START, "taskFailedEventDetails": failed},
    ]

    assert timeline.read(events, ended=False).visits[0].attempts[0].cause == "it is Updating"


def test_a_loop_is_folded_with_its_rounds(succeeded: ReportFacts) -> None:
    """Five looks at the endpoint are one row; each visit is still in it."""
    line = timeline.read(succeeded.events, ended=True)
    (loop,) = [row for row in line.rows if isinstance(row, Loop)]

    assert loop.states == ("WaitForEndpoint", "PollEndpoint", "EndpointReady")
    assert loop.rounds == 5
    assert loop.seconds == pytest.approx(5 * 15.5)
    unfolded = [one for row in line.rows for one in (row.visits if isinstance(row, Loop) else (row,))]
    assert tuple(unfolded) == line.visits


def test_transitions_are_visits_and_retries(succeeded: ReportFacts) -> None:
    """As AWS counts them for the bill: entering a state is one, and so is trying it again."""
    line = timeline.read(succeeded.events, ended=True)

    assert line.transitions == len(line.visits) + 2


def test_what_an_end_cut_short_has_failed(stopped: ReportFacts) -> None:
    """The state that an execution was stopped in is never left; in the report it is the one that failed."""
    line = timeline.read(stopped.events, ended=True)

    assert line.visits[-1].state == "WaitForEndpoint"
    assert line.visits[-1].outcome == "failed"
    assert line.visits[-1].ended == line.seconds


def test_a_running_state_is_running(stopped: ReportFacts) -> None:
    """A report of an execution that still runs calls nothing failed."""
    line = timeline.read(stopped.events[:-1], ended=False)

    assert line.visits[-1].outcome == "running"


def test_a_history_of_nothing_is_no_error() -> None:
    """An execution that was throttled before its first event has none."""
    assert timeline.read([], ended=True).rows == ()
