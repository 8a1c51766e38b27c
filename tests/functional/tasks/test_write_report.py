"""WriteReport: from the event of an ended execution to a page in the bucket."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import package_files
from pipeline.aws import service_errors
from pipeline.errors import AccessDenied
from pipeline.report import source
from tasks import write_report

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script

ARN = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVENT = {"execution": ARN, "artifact_bucket": "artifacts"}


def told(script: Script, *, definition: bool = True) -> None:
    """Let Step Functions tell of an execution that failed at once, its history in two pages."""
    script.answers(
        "stepfunctions",
        "describe_execution",
        {
            "executionArn": ARN,
            "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:sealift-deployment",
            "name": "harbour-0",
            "status": "FAILED",
            "startDate": START,
            "stopDate": START + timedelta(seconds=2),
            "input": json.dumps({"archive": {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}}),
            "error": "InvalidInput",
            "cause": "what\nwhy\nfix",
        },
        {"executionArn": ARN},
    )
    entered = {"stateEnteredEventDetails": {"name": "CheckArchive", "input": "{}"}}
    pages: list[dict[str, Any]] = [
        {"events": [{"timestamp": START, "type": "ExecutionStarted", "id": 1}], "nextToken": "more"},
        {"events": [{"timestamp": START, "type": "TaskStateEntered", "id": 2, **entered}]},
    ]
    for page in pages:
        script.answers("stepfunctions", "get_execution_history", page)
    if not definition:
        return
    script.answers(
        "stepfunctions",
        "describe_state_machine_for_execution",
        {
            "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:sealift-deployment",
            "name": "sealift-deployment",
            "definition": package_files.definition().read_text(encoding="utf-8"),
            "roleArn": "arn:aws:iam::123456789012:role/workflow",
            "updateDate": START,
        },
        {"executionArn": ARN},
    )


def test_a_report_is_written_where_its_service_and_its_name_say(script: Script) -> None:
    """The place can be told from the execution alone; the browser is told what it is."""
    told(script)
    script.answers("s3", "put_object", {})

    result = write_report.run(EVENT, script.clients)

    assert (result["bucket"], result["key"]) == ("artifacts", "reports/harbour/harbour-0.html")
    assert result["bytes"] > 10_000


def test_a_state_machine_that_is_gone_is_no_reason_to_have_no_report(script: Script) -> None:
    """The stack may be deleted while Step Functions still knows its executions."""
    told(script, definition=False)
    script.refuses(
        "stepfunctions", "describe_state_machine_for_execution", "StateMachineDoesNotExist", "gone"
    )

    facts = source.fetch(script.clients, ARN)

    assert facts.definition is None
    assert [event["id"] for event in facts.events] == [1, 2]


def test_what_may_not_be_read_is_told(script: Script) -> None:
    """A missing permission is an error with the action's name, not a report without a graph."""
    told(script, definition=False)
    script.refuses(
        "stepfunctions",
        "describe_state_machine_for_execution",
        "AccessDeniedException",
        "User: x is not authorized to perform: states:DescribeStateMachineForExecution",
    )

    with (
        pytest.raises(AccessDenied, match="states:DescribeStateMachineForExecution"),
        service_errors.translated(),
    ):
        write_report.run(EVENT, script.clients)
