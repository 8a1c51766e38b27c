"""StartDeployment: turns an S3 "Object Created" event into one named execution; the only task that is no state.

S3 delivers events at least once. The execution's name is derived from the event's content, so Step Functions
itself refuses the second one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import aws, naming, settings

if TYPE_CHECKING:
    from pipeline.aws import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Start the execution for an uploaded archive; return its `execution_arn`, or that it was a `duplicate`."""
    arn = settings.state_machine_arn()
    detail = event["detail"]
    bucket, item = detail["bucket"]["name"], detail["object"]
    version = item.get("version-id")
    archive = {"bucket": bucket, "key": item["key"], **({"version_id": version} if version else {})}
    name = naming.execution_name(bucket, item["key"], version or "", item.get("sequencer", ""))
    try:
        started = clients.stepfunctions.start_execution(
            stateMachineArn=arn, name=name, input=json.dumps({"archive": archive})
        )
    except ClientError as error:
        if aws.code(error) != "ExecutionAlreadyExists":
            raise
        return {"name": name, "duplicate": True}
    return {"name": name, "execution_arn": started["executionArn"], "duplicate": False}


handler = aws.task(run)
