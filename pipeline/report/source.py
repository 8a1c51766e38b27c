"""What AWS tells of an execution, for its report; the one part of this package that asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.operations import execution_history
from pipeline.quality import gate_store
from pipeline.report.document import ReportFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_stepfunctions import SFNClient

    from pipeline.aws.clients import Clients
    from pipeline.state_data.quality_types import QualityRecord


def fetch(clients: Clients, arn: str) -> ReportFacts:
    """Return the facts of an execution: description, history, the definition that it ran by, and its gate's answers."""
    client = clients.stepfunctions
    description: Any = client.describe_execution(executionArn=arn)
    events = execution_history.history(client, arn)
    record = _gate(clients, execution_history.read(description, events).results)
    return ReportFacts(description, events, _definition(client, arn), record)


def _gate(clients: Clients, results: Mapping[str, Any]) -> QualityRecord | None:
    """Return the record of the quality gate; None where there is none, or none that may be read."""
    gate = (results.get("plan_deployment") or {}).get("quality")
    if not isinstance(gate, dict) or not {"bucket", "record_key"} <= gate.keys():
        return None
    try:
        return gate_store.read(clients.s3, str(gate["bucket"]), str(gate["record_key"]))
    except ClientError as error:
        # So is one that is not there called to whoever may not list the bucket.
        if not service_errors.is_access_denied(error):
            raise
        return None


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
