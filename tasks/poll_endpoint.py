"""PollEndpoint: one look at the endpoint; waiting is the state machine's."""

from __future__ import annotations

from collections import ChainMap
from typing import TYPE_CHECKING, TypedDict

from botocore.exceptions import ClientError

from pipeline import instance_pools
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.permissions import ENDPOINTS, allow
from pipeline.endpoint_status import EndpointVerdict, verdict
from pipeline.errors import EndpointFailed, EndpointMoved, NotYetVisible
from pipeline.naming import deployment_of
from pipeline.state_data.plan_types import Previous

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """What the plan says of the endpoint."""

    endpoint_name: str
    endpoint_config_name: str
    updates: Previous | None


class Result(TypedDict):
    """How the endpoint is."""

    status: str
    """SageMaker's word."""
    verdict: str
    """What it means: ready or wait."""
    running: dict[str, int]
    """Instances by their type, of an endpoint that has a pool of types."""


def run(event: Event, clients: Clients) -> Result:
    """Describe it once.

    Raises:
        EndpointFailed: with SageMaker's FailureReason.
        EndpointMoved: when another deployment has updated the service's one endpoint since.
        NotYetVisible: when the endpoint, created a moment ago, cannot be described yet.
    """
    name, config = event["endpoint_name"], event["endpoint_config_name"]
    try:
        found = clients.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if service_errors.is_missing(error):
            raise NotYetVisible(
                f"endpoint {name!r} cannot be described yet: {service_errors.text(error)}"
            ) from error
        raise
    status = found["EndpointStatus"]
    meaning = verdict(status, found["EndpointConfigName"], config)
    updates = event["updates"]
    # The configuration that it had before is there when SageMaker has taken the update back; no other one can be.
    if (
        updates
        and status == "InService"
        and deployment_of(found["EndpointConfigName"])
        not in {deployment_of(config), deployment_of(updates.endpoint_config)}
    ):
        raise EndpointMoved(
            f"endpoint {name!r} is InService on configuration {found['EndpointConfigName']!r}, which another "
            f"deployment gave it meanwhile; wanted {config!r}; it is planned again"
        )
    if meaning is EndpointVerdict.FAILED:
        reason = found.get("FailureReason", "SageMaker gave no reason")
        raise EndpointFailed(
            f"endpoint {name!r} is {status} on configuration {found['EndpointConfigName']!r}, "
            f"wanted InService on {config!r}: {reason}"
        )
    running = [instance_pools.running(one) for one in found.get("ProductionVariants", ())]
    return {"status": status, "verdict": meaning.value, "running": dict(ChainMap(*running))}


handler = lambda_handler.Task(
    run, errors=(NotYetVisible, EndpointMoved), may=(allow("sagemaker:DescribeEndpoint", on=ENDPOINTS),)
)
