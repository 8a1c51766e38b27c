"""WriteReport: leaves the report of an execution that has ended in the artifact bucket; no state, but an event's.

Step Functions tells EventBridge of every end, of time-outs and of executions that somebody stopped too, which no
state could tell. Writing twice is harmless: the same execution gives the same bytes. AWS delivers these events with
best effort; `sealift report` makes a report that is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from pipeline.aws import lambda_handler
from pipeline.aws.permissions import EXECUTIONS, RECORDS, REPORTS, allow
from pipeline.report import document, page, source
from pipeline.sizing import pricing

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """What the template's rule makes of the execution's end."""

    execution: str
    """An ARN."""
    artifact_bucket: str


class Result(TypedDict):
    """Where the report is."""

    bucket: str
    key: str
    bytes: int


def run(event: Event, clients: Clients) -> Result:
    """Write the report of the execution."""
    made = document.assemble(source.fetch(clients, event["execution"]), pricing.LISTED)
    body, key = page.render(made), document.key(made.name, made.service)
    clients.s3.put_object(
        Bucket=event["artifact_bucket"], Key=key, Body=body, ContentType="text/html; charset=utf-8"
    )
    return {"bucket": event["artifact_bucket"], "key": key, "bytes": len(body)}


handler = lambda_handler.Task(
    run,
    may=(
        allow(
            "states:DescribeExecution",
            "states:GetExecutionHistory",
            "states:DescribeStateMachineForExecution",
            on=EXECUTIONS,
        ),
        allow(
            "s3:GetObject", on=RECORDS, why="What both deployments answered to the suite of a quality gate."
        ),
        allow("s3:PutObject", on=REPORTS),
    ),
)
