"""PollEndpoint: one look at the endpoint; waiting is the state machine's."""

from __future__ import annotations

from collections import ChainMap
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from botocore.exceptions import ClientError

from pipeline import inference_component, instance_pools
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.permissions import ENDPOINTS, LOOKS_AT_COMPONENTS, allow
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
    component: NotRequired[dict[str, Any] | None]
    """The request for the inference component that it is to host; None where it has a model of its own."""


class Result(TypedDict):
    """How the endpoint is."""

    status: str
    """SageMaker's word."""
    verdict: str
    """What it means: ready, wait, or hollow, which lacks its inference component."""
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
    status: str = found["EndpointStatus"]
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
    if meaning is EndpointVerdict.READY and event.get("component"):
        status, meaning = _component(name, clients)
    running = [instance_pools.running(one) for one in found.get("ProductionVariants", ())]
    return {"status": status, "verdict": meaning.value, "running": dict(ChainMap(*running))}


def _component(endpoint: str, clients: Clients) -> tuple[str, EndpointVerdict]:
    """Return how the component of an endpoint in service is, and what that means.

    Raises:
        EndpointFailed: with SageMaker's FailureReason.
    """
    name = inference_component.name_of(endpoint)
    found = service_errors.or_none(
        clients.sagemaker.describe_inference_component, InferenceComponentName=name
    )
    if found is None:
        return "InService, without its inference component", EndpointVerdict.HOLLOW
    status = found["InferenceComponentStatus"]
    if status in {"Failed", "Deleting"}:
        raise EndpointFailed(
            f"inference component of endpoint {endpoint!r} is {status}, wanted InService: "
            f"{found.get('FailureReason', 'SageMaker gave no reason')}"
        )
    ready = status == "InService"
    return (
        "InService" if ready else f"InService, its inference component {status}",
        EndpointVerdict.READY if ready else EndpointVerdict.WAIT,
    )


handler = lambda_handler.Task(
    run,
    errors=(NotYetVisible, EndpointMoved),
    may=(allow("sagemaker:DescribeEndpoint", on=ENDPOINTS), LOOKS_AT_COMPONENTS),
)
