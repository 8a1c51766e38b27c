"""The interpreter keeps to Step Functions' bounds: 256 KiB of data, 25,000 events, and what catches neither."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.calls import AwsCall
from local_cloud.workflow import bounds
from tests.functional.machine import Run, run

MOST = 256 * 1024
LIMIT = "States.DataLimitExceeded"


def task(**fields: Any) -> dict[str, Any]:
    """Return a Task that calls the function `give`, whatever it fails with caught by States.ALL."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "give", "Payload.$": "$"},
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Caught"}],
        "End": True,
        **fields,
    }


def machine(first: dict[str, Any]) -> dict[str, Any]:
    """Return a definition that begins with a state."""
    return {"StartAt": "First", "States": {"First": first, "Caught": {"Type": "Pass", "End": True}}}


def give(first: dict[str, Any], document: Any, answer: Any = None) -> Run:
    """Run a definition of one state, whose function gives an answer."""
    return run(machine(first), document, {"give": lambda _event: answer})


@pytest.mark.parametrize(
    ("first", "document", "answer"),
    [
        pytest.param(task(), {}, "x" * MOST, id="a result"),
        pytest.param(
            task(Parameters={"FunctionName": "give", "Payload": {"a.$": "$", "b.$": "$"}}),
            {"text": "x" * (MOST // 2)},
            None,
            id="an input after Parameters",
        ),
        pytest.param(
            task(ResultSelector={"it.$": "$.Payload"}, ResultPath="$.it"),
            {"text": "x" * (MOST // 2)},
            "x" * (MOST // 2),
            id="an output",
        ),
        pytest.param(
            {"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "OutputPath": "$.none", "End": True},
            {"text": "x" * (MOST // 2), "none": None},
            None,
            id="the parameters of a Pass",
        ),
    ],
)
def test_what_is_too_large_ends_the_execution(first: dict[str, Any], document: Any, answer: Any) -> None:
    """No catcher of States.ALL sees it, as AWS documents."""
    ended = give(first, document, answer)

    assert (ended.status, ended.error) == ("FAILED", LIMIT)
    assert ended.states == ["First"]
    assert "maximum number of bytes service limit" in str(ended.cause)


def test_a_catcher_that_names_it_sees_a_result_that_is_too_large() -> None:
    """What AWS was recorded to do; the state's data are what they were before."""
    first = task(Catch=[{"ErrorEquals": [LIMIT], "ResultPath": "$.failure", "Next": "Caught"}])

    ended = give(first, {"kept": 1}, "x" * MOST)

    assert (ended.status, ended.states) == ("SUCCEEDED", ["First", "Caught"])
    assert (ended.output["kept"], ended.output["failure"]["Error"]) == (1, LIMIT)


def test_a_retrier_of_all_errors_does_not_try_it_again() -> None:
    """Nor one of task failures."""
    for names in (["States.ALL"], ["States.TaskFailed"]):
        ended = give(task(Retry=[{"ErrorEquals": names, "MaxAttempts": 3}]), {}, "x" * MOST)

        assert [event["type"] for event in ended.events].count("TaskScheduled") == 1


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("x" * (MOST - len('{"it":""}')), "SUCCEEDED", id="exactly as much as is allowed"),
        pytest.param("x" * (MOST - len('{"it":""}') + 1), "FAILED", id="one byte more"),
        pytest.param("é" * 120_000, "SUCCEEDED", id="two bytes each, and no escapes"),
        pytest.param("\x01" * 50_000, "FAILED", id="six bytes each: escapes"),
    ],
)
def test_bytes_are_counted_as_utf_8(text: str, status: str) -> None:
    """Of JSON without spaces; 262,144 of them are allowed."""
    first = {"Type": "Pass", "Parameters": {"it.$": "$.it"}, "End": True}

    assert give(first, {"it": text}).status == status


def test_a_path_that_leads_nowhere_is_not_caught_either() -> None:
    """States.Runtime is the other error that States.ALL does not match."""
    ended = give(task(ResultSelector={"it.$": "$.Payload.it"}), {}, {})

    assert (ended.status, ended.error, ended.states) == ("FAILED", "States.Runtime", ["First"])


def test_event_25_000_is_the_end() -> None:
    """A loop without an end fails with AWS's own words, and its history has no event more."""
    again = {"Type": "Choice", "Choices": [{"Variable": "$.no", "IsPresent": True, "Next": "End"}]}
    ended = run(
        {
            "StartAt": "Again",
            "States": {"Again": {**again, "Default": "Again"}, "End": {"Type": "Succeed"}},
        },
        {},
        {},
    )

    assert (ended.status, ended.error) == ("FAILED", "States.Runtime")
    assert ended.cause == "The execution reached the maximum number of history events (25000)."
    assert len(ended.events) == 25_000
    assert [event["type"] for event in ended.events[-2:]] == ["ChoiceStateExited", "ExecutionFailed"]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        pytest.param("x" * (MOST - 2), False, id="as long as is allowed"),
        pytest.param("x" * (MOST - 1), True, id="one more"),
        pytest.param("é" * (MOST // 2), True, id="bytes, not characters"),
    ],
)
def test_an_input_that_is_too_long_starts_nothing(text: str, refused: bool) -> None:
    """StartExecution refuses it by its length, as AWS's model has it."""
    body = json.dumps({"input": json.dumps(text, ensure_ascii=False)}).encode()

    answer = bounds.refusal(AwsCall("stepfunctions", "StartExecution", ""), body)

    assert (answer is not None) is refused
    if answer is not None:
        assert answer.status == 400
        assert json.loads(answer.body)["__type"] == "ValidationException"
        assert "less than or equal to 262144" in json.loads(answer.body)["message"]
