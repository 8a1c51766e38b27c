"""StartDeployment: turns an S3 "Object Created" event into one named execution; no state, but an event's.

S3 delivers events at least once. The execution's name is derived from the event's content, so Step Functions
itself refuses the second one. Of a split model, and of one with something beside it, it is derived from all files,
which are looked for at each event: they may be uploaded, and told of, in any order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NotRequired, TypedDict

from botocore.exceptions import ClientError

from pipeline import naming, settings
from pipeline.archive.s3 import split_models
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.permissions import DEPLOYMENT, UPLOAD_BUCKET, allow

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class _Bucket(TypedDict):
    name: str


_Object = TypedDict("_Object", {"key": str, "version-id": NotRequired[str], "sequencer": NotRequired[str]})


class _Detail(TypedDict):
    bucket: _Bucket
    object: _Object


class Event(TypedDict):
    """S3's "Object Created" as EventBridge hands it over, as far as it is read.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """

    detail: _Detail


class Result(TypedDict):
    """What came of an event."""

    duplicate: bool
    """Whether the upload's execution was there already."""
    name: NotRequired[str]
    """Of the execution."""
    execution_arn: NotRequired[str]
    """Of the execution that was started now."""
    waiting_for: NotRequired[list[str]]
    """Keys of a split model's shards that are still missing, or of the model of what lies beside one: nothing was
    started."""


def run(event: Event, clients: Clients) -> Result:
    """Start the execution for an upload; what is no whole model starts nothing until the rest is there."""
    arn = settings.state_machine_arn()
    detail = event["detail"]
    bucket, item = detail["bucket"]["name"], detail["object"]
    key, version = item["key"], item.get("version-id")
    archive = {"bucket": bucket, "key": key, **({"version_id": version} if version else {})}
    name = naming.execution_name(bucket, key, version or "", item.get("sequencer", ""))
    if key.endswith(naming.MODEL_SUFFIX):
        upload = split_models.uploaded(clients.s3, bucket, key)
        # One file that is a model by itself is there: its event says so.
        if upload.missing and not (upload.alone and upload.first == key):
            return {"waiting_for": list(upload.missing), "duplicate": False}
        if not upload.alone:
            # Whichever event comes last: the same set gives the same name.
            archive = {"bucket": bucket, "key": upload.first}
            name = split_models.execution_name(bucket, upload.first, upload.there)
    try:
        started = clients.stepfunctions.start_execution(
            stateMachineArn=arn, name=name, input=json.dumps({"archive": archive})
        )
    except ClientError as error:
        if service_errors.code(error) != "ExecutionAlreadyExists":
            raise
        return {"name": name, "duplicate": True}
    return {"name": name, "execution_arn": started["executionArn"], "duplicate": False}


handler = lambda_handler.Task(
    run,
    may=(
        allow("states:StartExecution", on=DEPLOYMENT),
        allow(
            "s3:ListBucket",
            on=UPLOAD_BUCKET,
            when=("StringLike", "s3:prefix", "models/*"),
            why="Whether all shards of a split model are there, and what lies beside a model.",
        ),
    ),
)
