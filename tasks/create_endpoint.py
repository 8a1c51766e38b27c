"""CreateEndpoint: asks for the endpoint and returns at once; PollEndpoint sees what becomes of it.

The account's quotas speak here (ResourceLimitExceeded), not when the configuration was created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from botocore.exceptions import ClientError

from pipeline import time_format
from pipeline.aws import lambda_handler, resource_tags, service_errors
from pipeline.aws.permissions import ENDPOINT_CONFIGS, ENDPOINTS, MADE_BY_SEALIFT, allow
from pipeline.aws.resource_tags import TAG_SERVICE
from pipeline.endpoint_status import EndpointVerdict, verdict
from pipeline.errors import (
    EndpointBusy,
    EndpointMoved,
    NameConflict,
    NotYetVisible,
    Problem,
    QuotaTooSmall,
    QuotaUsedUp,
    ResourceLimitExceeded,
)
from pipeline.naming import deployment_of
from pipeline.rollout import idempotent_create
from pipeline.state_data.plan_types import Asked, adapts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """What the plan says of the endpoint."""

    request: dict[str, Any]
    """CreateEndpoint's parameters."""
    asked: Asked | None
    deadline_s: int


class Result(idempotent_create.Created):
    """The endpoint, which is still to come into service."""

    deadline_at: str
    """ISO 8601; EndpointReady compares it with the clock."""


def run(event: Event, clients: Clients) -> Result:
    """Create the endpoint, or find that it is there already, just as requested.

    Raises:
        EndpointBusy: when the name still belongs to an endpoint that failed or is being deleted; a failed one
            of an earlier deployment is deleted first, since nothing else can be done with it.
        EndpointMoved: when it is the service's one endpoint, which another deployment made since this one's plan, even
            if it took it back again.
        QuotaUsedUp: when a quota refuses what asks for no concurrency of its own.
        NameConflict: when it belongs to one that is not as requested, or that Sealift did not make.
    """
    request = event["request"]
    name = request["EndpointName"]
    try:
        found, created = idempotent_create.create(
            clients.sagemaker.create_endpoint,
            clients.sagemaker.describe_endpoint,
            request,
            name_field="EndpointName",
            compared=("EndpointConfigName",),
            # One of another concurrency is what another deployment of the service has lowered it to.
            alike=lambda found, wanted: deployment_of(found) == deployment_of(wanted),
        )
    except NameConflict as conflict:
        _check_owner(clients, request, conflict)
        raise
    except ClientError as error:
        service_errors.raise_over_quota(error, adapts=adapts(event["asked"]))
        raise
    status = found["EndpointStatus"]
    if (
        not created
        and verdict(status, found["EndpointConfigName"], request["EndpointConfigName"])
        is EndpointVerdict.FAILED
    ):
        if status != "Deleting":
            _delete_leftover(clients, name, found)
        raise EndpointBusy(
            f"endpoint {name!r} of an earlier deployment is {status}; wanted none; it is being deleted"
        )
    return {
        "name": name,
        "arn": found["EndpointArn"],
        "created": created,
        # From the endpoint's own beginning: what quotas and leftovers cost before it is not its time.
        "deadline_at": time_format.later(found["CreationTime"], event["deadline_s"]),
    }


def _check_owner(clients: Clients, request: Mapping[str, Any], conflict: NameConflict) -> None:
    """Raise EndpointMoved when the name is that of the service, whose endpoint is updated in place, and it made it."""
    name = request["EndpointName"]
    service = next((tag["Value"] for tag in request["Tags"] if tag["Key"] == TAG_SERVICE), None)
    if name != service:
        return
    try:
        found = clients.sagemaker.describe_endpoint(EndpointName=name)
        ours = resource_tags.is_of_service(clients.sagemaker, found["EndpointArn"], service)
    except ClientError as error:
        if service_errors.is_missing(error):
            raise EndpointMoved(f"{conflict}; it is gone by now") from error
        raise
    if ours:
        raise EndpointMoved(f"{conflict}; another deployment of the service made it meanwhile") from conflict


def _delete_leftover(clients: Clients, name: str, found: Mapping[str, Any]) -> None:
    """Delete a failed endpoint that Sealift made; it may be gone by now, which is success too."""
    try:
        if resource_tags.owner(clients.sagemaker, found["EndpointArn"]) is None:
            seen = f"the existing endpoint {name!r} is {found['EndpointStatus']}, and Sealift did not make it"
            fix = f"delete {name!r} if nobody needs it, or give the service another name"
            raise NameConflict(name, [Problem("NameConflict", seen, "a name that is free", fix)])
        clients.sagemaker.delete_endpoint(EndpointName=name)
    except ClientError as error:
        if not service_errors.is_missing(error):
            raise


handler = lambda_handler.Task(
    run,
    errors=(ResourceLimitExceeded, NotYetVisible, EndpointBusy, QuotaTooSmall, QuotaUsedUp, EndpointMoved),
    may=(
        allow(
            "sagemaker:CreateEndpoint",
            on=(ENDPOINTS, ENDPOINT_CONFIGS),
            why="CreateEndpoint is checked against the endpoint and its configuration.",
        ),
        allow("sagemaker:DescribeEndpoint", "sagemaker:AddTags", "sagemaker:ListTags", on=ENDPOINTS),
        allow(
            "sagemaker:DeleteEndpoint",
            on=ENDPOINTS,
            when=MADE_BY_SEALIFT,
            why="For an endpoint of the same name that an earlier deployment left in Failed.",
        ),
    ),
)
