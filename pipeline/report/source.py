"""What AWS tells of an execution, for its report; the one part of this package that asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.operations import execution_history
from pipeline.report.document import ReportFacts

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


def fetch(client: SFNClient, arn: str) -> ReportFacts:
    """Return the facts of an execution: its description, its history, and the definition that it ran by."""
    description: Any = client.describe_execution(executionArn=arn)
    return ReportFacts(description, execution_history.history(client, arn), _definition(client, arn))


def _definition(client: SFNClient, arn: str) -> dict[str, Any] | None:
    """Return the definition; None when the state machine is gone, which is no reason to have no report."""
    try:
        text = client.describe_state_machine_for_execution(executionArn=arn)["definition"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("StateMachineDoesNotExist", "ExecutionDoesNotExist"):
            raise
        return None
    found: dict[str, Any] = json.loads(text)
    return found
