"""Diagnose: gathers what there is, survives what there is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.operations.state_order import ORDER

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script, Task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GROUP = "/aws/sagemaker/Endpoints/harbour-0"
FAILED = {"Error": "EndpointFailed", "Cause": '{"errorMessage": "endpoint is Failed: it gave no reason"}'}
BEFORE_ENDPOINT = ORDER[: ORDER.index("create_endpoint")]
UP_TO_ENDPOINT: dict[str, Any] = {
    **{name: {} for name in BEFORE_ENDPOINT},
    "plan_deployment": {"names": {"endpoint": "harbour-0"}},
    "create_endpoint": {"name": "harbour-0"},
    "failure": FAILED,
}


def described(reason: str | None = None) -> dict[str, Any]:
    """Return a DescribeEndpoint response."""
    return {
        "EndpointName": "harbour-0",
        "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/harbour-0",
        "EndpointConfigName": "harbour-0",
        "EndpointStatus": "Failed",
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **({"FailureReason": reason} if reason else {}),
    }


def log(script: Script, *lines: str) -> None:
    """Let the newest stream of the endpoint's log have these lines."""
    script.answers(
        "logs",
        "describe_log_streams",
        {"logStreams": [{"logStreamName": "AllTraffic/abc"}]},
        {"logGroupName": GROUP, "orderBy": "LastEventTime", "descending": True, "limit": 1},
    )
    script.answers(
        "logs",
        "get_log_events",
        {"events": [{"message": line} for line in lines]},
        {"logGroupName": GROUP, "logStreamName": "AllTraffic/abc", "limit": 2000, "startFromHead": False},
    )


def test_the_reason_and_the_log_are_evidence(do: Task, script: Script) -> None:
    """What SageMaker and the container said leads to the cause, and travels with it."""
    script.answers("sagemaker", "describe_endpoint", described("it did not start"))
    log(script, "loading", "ModuleNotFoundError: No module named 'llama_cpp'")

    found = do("Diagnose", script.clients, results=UP_TO_ENDPOINT)

    assert (found["error"], found["state"], found["cause_name"]) == (
        "EndpointFailed",
        "poll_endpoint",
        "NoLlamaCpp",
    )
    assert found["evidence"] == [
        "it did not start",
        "loading",
        "ModuleNotFoundError: No module named 'llama_cpp'",
    ]
    assert len(found["cause"].splitlines()) == 3


@pytest.mark.parametrize(
    ("results", "state"),
    [
        pytest.param({}, "check_archive", id="nothing planned"),
        pytest.param(
            {name: UP_TO_ENDPOINT[name] for name in BEFORE_ENDPOINT}, "create_endpoint", id="no endpoint made"
        ),
    ],
)
def test_without_an_endpoint_nobody_is_asked(
    do: Task, script: Script, results: dict[str, Any], state: str
) -> None:
    """The error alone has to do."""
    found = do("Diagnose", script.clients, results={**results, "failure": FAILED})

    assert (found["state"], found["evidence"]) == (state, [])


def test_an_endpoint_that_never_started_has_no_log(do: Task, script: Script) -> None:
    """No log group means that no container ever wrote a line; that is no error."""
    script.answers(
        "sagemaker", "describe_endpoint", described("Image size 2 is greater than supported size 1")
    )
    script.refuses("logs", "describe_log_streams", "ResourceNotFoundException", "no such group")

    found = do("Diagnose", script.clients, results=UP_TO_ENDPOINT)

    assert found["cause_name"] == "ImageTooLarge"
    assert len(found["evidence"]) == 1


def test_a_log_without_a_stream_is_empty(do: Task, script: Script) -> None:
    """The group was made and nothing was written."""
    script.answers("sagemaker", "describe_endpoint", described())
    script.answers("logs", "describe_log_streams", {"logStreams": []})

    assert do("Diagnose", script.clients, results=UP_TO_ENDPOINT)["evidence"] == []


def test_what_may_not_be_read_is_said(do: Task, script: Script) -> None:
    """A diagnosis with less evidence is better than none."""
    script.refuses("sagemaker", "describe_endpoint", "ValidationException", 'Could not find endpoint "x".')
    script.refuses("logs", "describe_log_streams", "AccessDeniedException", "you may not", status=403)

    found = do("Diagnose", script.clients, results=UP_TO_ENDPOINT)

    assert found["evidence"] == [
        'the endpoint could not be described: Could not find endpoint "x".',
        "the container's log could not be read: you may not",
    ]


def test_health_checks_do_not_hide_why_the_model_did_not_load(do: Task, script: Script) -> None:
    """Each one is two lines in the prebuilt image's log, and they come for as long as the endpoint is there."""
    script.answers("sagemaker", "describe_endpoint", described("it did not start"))
    pings = (
        '2026-11-25T08:38:45,885 [INFO ] W-9000 ACCESS_LOG - /127.0.0.1:39482 "GET /ping HTTP/1.1" 200 1',
        "2026-11-25T08:38:45,885 [INFO ] W-9000 TS_METRICS - Requests2XX.Count:1|#Level:Host",
    )
    log(script, "ModuleNotFoundError: No module named 'llama_cpp'", *pings * 100)

    found = do("Diagnose", script.clients, results=UP_TO_ENDPOINT)

    assert found["cause_name"] == "NoLlamaCpp"
    assert found["evidence"] == ["it did not start", "ModuleNotFoundError: No module named 'llama_cpp'"]


def test_long_lines_are_cut(do: Task, script: Script) -> None:
    """Fifty lines of any length fit into a state's output."""
    script.answers("sagemaker", "describe_endpoint", described())
    log(script, *["x" * 100_000] * 50)

    found = do("Diagnose", script.clients, results=UP_TO_ENDPOINT)

    assert sum(map(len, found["evidence"])) <= 50 * 500
