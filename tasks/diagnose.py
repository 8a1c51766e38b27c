"""Diagnose: gathers what AWS knows of a failure and says what happened, why, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from botocore.exceptions import ClientError

from pipeline import inference_component, payload
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.permissions import ENDPOINT_LOGS, ENDPOINTS, allow
from pipeline.operations import diagnosis

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients

LOG_LINES = 50
"""Of a log that go into the evidence, which has to fit into a state's output."""
LOOKED_AT = 2000
"""Lines that these are chosen from."""


class Event(TypedDict):
    """A failed execution."""

    results: dict[str, Any]
    """Its data: each state's result by its place, and the `failure`; whatever state it failed in."""


Result: TypeAlias = diagnosis.Diagnosed


def run(event: Event, clients: Clients) -> Result:
    """Return the diagnosis of the failure in the execution's data."""
    results = event["results"]
    plan = results.get("plan_deployment")
    evidence: tuple[str, ...] = ()
    if plan and results.get("create_endpoint"):
        endpoint = plan["names"]["endpoint"]
        evidence = (
            *_failure_reason(clients, endpoint),
            *_container_log(
                clients, inference_component.log_group(endpoint, component=inference_component.of_plan(plan))
            ),
        )
    return diagnosis.diagnose(results["failure"], results, evidence).to_json()


def _failure_reason(clients: Clients, endpoint: str) -> tuple[str, ...]:
    try:
        reason = clients.sagemaker.describe_endpoint(EndpointName=endpoint).get("FailureReason")
    except ClientError as error:
        return (f"the endpoint could not be described: {service_errors.text(error)}",)
    return (payload.cut(reason),) if reason else ()


def _container_log(clients: Clients, group: str) -> tuple[str, ...]:
    """Return the newest lines of the endpoint's log group, which does not exist when no container ever started."""
    try:
        streams = clients.logs.describe_log_streams(
            logGroupName=group, orderBy="LastEventTime", descending=True, limit=1
        )["logStreams"]
        if not streams:
            return ()
        events = clients.logs.get_log_events(
            logGroupName=group,
            logStreamName=streams[0]["logStreamName"],
            limit=LOOKED_AT,
            startFromHead=False,
        )["events"]
    except ClientError as error:
        if service_errors.is_missing(error):
            return ()
        return (f"the container's log could not be read: {service_errors.text(error)}",)
    return payload.newest(diagnosis.pick_evidence([event["message"] for event in events], LOG_LINES))


handler = lambda_handler.Task(
    run,
    may=(
        allow("sagemaker:DescribeEndpoint", on=ENDPOINTS),
        allow("logs:DescribeLogStreams", "logs:GetLogEvents", on=ENDPOINT_LOGS),
    ),
)
