"""Sweep: takes down what has expired; finds what nothing refers to any more, and deletes it if requested.

A schedule's, not a state's: every few minutes for the first, once a day for both. One run is one scan of each and at
most one call for each thing that goes. Nothing is waited for: an endpoint takes a while to go, and its configuration
and its model go with the next run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NotRequired, TypedDict

from pipeline.aws import lambda_handler
from pipeline.aws.permissions import (
    ALARMS,
    ARCHIVES,
    ARTIFACT_BUCKET,
    COMPONENTS,
    CONSUMER_VERSIONS,
    CONSUMERS,
    DELETES_CONSUMER_VERSIONS,
    DELETES_METRIC_FILTERS,
    DELETES_SCALING_ALARMS,
    ENDPOINT_CONFIGS,
    ENDPOINTS,
    EVERYTHING,
    EXECUTIONS,
    FINDS_IMAGE,
    IMAGE_REPOSITORY,
    LOOKS_AT_COMPONENTS,
    MADE_BY_THIS_STACK,
    MODELS,
    OWN_ALARMS,
    PARAMETERS,
    PARAMETERS_PATH,
    READS_WHAT_WAS_MADE,
    RECORDS,
    STATE_MACHINE,
    STOPS_SCALING,
    TOPIC,
    allow,
)
from pipeline.operations import expiry, sweeping
from pipeline.operations.account import moment
from pipeline.plain import one_line

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.aws.clients import Clients
    from pipeline.operations.expiry import ExpiredDeployment
    from pipeline.operations.sweeping import SweptThing

MOST_TOLD = 100
"""Lines of a notification, which may have 256 KB."""


class Event(TypedDict):
    """What the template's schedules say; the frequent one nothing of leftovers."""

    now: str
    """ISO 8601."""
    stack: str
    artifact_bucket: NotRequired[str]
    image_repository: NotRequired[str]
    """Its URI, without a tag; the schedule of an older release does not tell."""
    grace_hours: NotRequired[float | str]
    delete: NotRequired[bool | str]
    """A flag that CloudFormation writes is a word."""
    topic: NotRequired[str]
    """Whom to tell, by its ARN."""
    only: NotRequired[str]
    """`expired`: leftovers are not looked for."""


class Result(sweeping.Swept):
    """What one run did; nothing is found where leftovers were not looked for."""

    expired: list[ExpiredDeployment]


def run(event: Event, clients: Clients) -> Result:
    """Take down what has expired and tell of what soon does; then scan, decide, and delete where `delete` says so."""
    now, topic = moment(event["now"]), event.get("topic")
    expired, unseen = expiry.once(clients, now=now, stack=event["stack"])
    if topic:
        for message in expiry.messages(expired, now):
            clients.sns.publish(TopicArn=topic, Subject=message.subject, Message=message.text)
        # Afterwards: who is told twice after an accident is better off than who is told nothing.
        unseen = [*unseen, *expiry.mark_told(clients, expired)]
    if event.get("only") == "expired":
        return {"delete": False, "found": [], "counts": {}, "unseen": unseen, "expired": expired}
    return {**_sweep(event, now, clients), "expired": expired}


def _sweep(event: Event, now: datetime, clients: Clients) -> sweeping.Swept:
    result = sweeping.once(
        clients,
        now=now,
        grace=timedelta(hours=float(event["grace_hours"])),
        delete=str(event["delete"]).lower() == "true",
        stack=event["stack"],
        bucket=event["artifact_bucket"],
        repository=event.get("image_repository"),
    )
    if event.get("topic") and (message := _notification(result["found"], act=result["delete"])):
        subject = f"Sealift: {'swept' if result['delete'] else 'found'} what nobody uses"
        clients.sns.publish(TopicArn=event["topic"], Subject=subject, Message=message)
    return result


def _notification(found: list[SweptThing], *, act: bool) -> str:
    """Return the notification; empty when there is nothing to report."""
    lines = [
        one_line(f"{one['outcome']}: {one['kind']} {one['name']}: {one['reason']}")
        for one in found
        if one["outcome"] != "kept"
    ]
    if not lines:
        return ""
    rest = len(lines) - MOST_TOLD
    shown = [*lines[:MOST_TOLD], *([f"and {rest} more"] if rest > 0 else [])]
    how = (
        ""
        if act
        else "\nNothing was deleted: set the stack's SweepDelete to true, or run `sealift sweep --delete`."
    )
    return "\n".join(shown) + how


handler = lambda_handler.Task(
    run,
    may=(
        allow(
            "sagemaker:ListEndpoints",
            "sagemaker:ListEndpointConfigs",
            "sagemaker:ListModels",
            on=EVERYTHING,
            why="What there is; the actions know no resource.",
        ),
        READS_WHAT_WAS_MADE,
        allow(
            "sagemaker:AddTags",
            on=ENDPOINT_CONFIGS,
            when=MADE_BY_THIS_STACK,
            why="The record of a deployment says what the topic was told of its end.",
        ),
        allow(
            "sagemaker:DeleteEndpoint",
            "sagemaker:DeleteEndpointConfig",
            "sagemaker:DeleteModel",
            "sagemaker:DeleteInferenceComponent",
            on=(ENDPOINTS, ENDPOINT_CONFIGS, MODELS, COMPONENTS),
            when=MADE_BY_THIS_STACK,
            why="Only what an execution of this stack made.",
        ),
        allow(
            "cloudwatch:DescribeAlarms",
            on=ALARMS,
            why="Which alarms there are; the answer is a list, so any alarm may be looked at.",
        ),
        allow("cloudwatch:ListTagsForResource", "cloudwatch:DeleteAlarms", on=OWN_ALARMS),
        DELETES_METRIC_FILTERS,
        LOOKS_AT_COMPONENTS,
        STOPS_SCALING,
        DELETES_SCALING_ALARMS,
        allow(
            "lambda:GetFunctionConfiguration",
            "lambda:ListAliases",
            "lambda:ListVersionsByFunction",
            on=(CONSUMERS, CONSUMER_VERSIONS),
            why="Who still names an endpoint, and which versions were published for one that is gone.",
        ),
        DELETES_CONSUMER_VERSIONS,
        allow("ssm:GetParametersByPath", on=PARAMETERS_PATH),
        allow("ssm:GetParameter", "ssm:DeleteParameter", on=PARAMETERS),
        allow("states:ListExecutions", on=STATE_MACHINE),
        allow("states:DescribeExecution", on=EXECUTIONS),
        allow("s3:ListBucketVersions", on=ARTIFACT_BUCKET, when=("StringEquals", "s3:prefix", "archives/")),
        allow(
            "s3:GetObjectVersionTagging", "s3:PutObjectVersionTagging", "s3:DeleteObjectVersion", on=ARCHIVES
        ),
        allow("s3:GetObject", on=RECORDS),
        allow(
            "s3:ListBucket",
            on=ARTIFACT_BUCKET,
            why='Without ListBucket, the record of an image that has none reads as "access denied".',
        ),
        FINDS_IMAGE,
        allow("ecr:BatchDeleteImage", on=IMAGE_REPOSITORY),
        allow("sns:Publish", on=TOPIC),
    ),
    timeout_s=890,
)
