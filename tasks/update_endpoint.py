"""UpdateEndpoint: brings the service's one endpoint to a new configuration, for the strategy `in_place`.

AWS keeps the old configuration in service until the new one has come up; PollEndpoint compares which one it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from botocore.exceptions import ClientError

from pipeline import time_format
from pipeline.aws import lambda_handler, resource_tags, service_errors
from pipeline.aws.permissions import ALARMS, ENDPOINT_CONFIGS, ENDPOINTS, EXECUTIONS, MADE_BY_SEALIFT, allow
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
from pipeline.rollout import alarms_api, release_store
from pipeline.state_data.plan_types import Asked, Previous, adapts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """What the plan says of the service's one endpoint, and how old the upload is."""

    request: dict[str, Any]
    """UpdateEndpoint's parameters."""
    asked: Asked | None
    updates: Previous
    service: str
    execution: str
    uploaded_at: str
    """ISO 8601."""
    deadline_s: int


class Result(TypedDict):
    """The endpoint; EndpointUpdated puts it where CreateEndpoint's is, so it has the same keys."""

    name: str
    arn: str
    created: bool
    """Always False."""
    deadline_at: str
    """ISO 8601; EndpointReady compares it with the clock."""


def run(event: Event, clients: Clients) -> Result:
    """Update the endpoint, or find that it was updated already.

    Raises:
        EndpointBusy: while another update is in progress, or another deployment is being tried.
        Superseded: when it has a newer upload in service.
        EndpointMoved: when it is gone since this deployment's plan, or has another configuration than it had then.
        QuotaUsedUp: when a quota refuses what asks for no concurrency of its own.
        NameConflict: when Sealift did not make the endpoint for this service.
    """
    name = event["request"]["EndpointName"]
    try:
        return _updated(event, clients)
    except ClientError as error:
        service_errors.raise_over_quota(error, adapts=adapts(event["asked"]))
        if not service_errors.is_missing_endpoint(error):
            raise
        raise EndpointMoved(
            f"endpoint {name!r} is gone; wanted it to be updated; it is planned anew"
        ) from error


def _updated(event: Event, clients: Clients) -> Result:
    request, service = event["request"], event["service"]
    name, wanted = request["EndpointName"], request["EndpointConfigName"]
    found: Mapping[str, Any] = clients.sagemaker.describe_endpoint(EndpointName=name)
    if not resource_tags.is_of_service(clients.sagemaker, found["EndpointArn"], service):
        seen = f"endpoint {name!r} does not bear Sealift's tags of service {service!r}"
        fix = "deploy without strategy in_place, or give the service another name"
        raise NameConflict(name, [Problem("NotOurs", seen, "an endpoint of the service", fix)])
    # A retry after a lost answer finds its own update in progress, or done.
    if deployment_of(wanted) not in {deployment_of(one) for one in _configs(found)}:
        _check_settled(name, found)
        wait = release_store.upload_precedence(
            clients, name, service=service, uploaded_at=event["uploaded_at"], execution=event["execution"]
        )
        if wait:
            raise EndpointBusy(f"{wait}; wanted it to be settled", waiting=wait)
        # What was waited for may have put another configuration back, and have deleted the one that was planned on.
        found = clients.sagemaker.describe_endpoint(EndpointName=name)
        _check_settled(name, found)
        _check_unmoved(name, found, event["updates"].endpoint_config)
        clients.sagemaker.update_endpoint(**_guarded(request, clients))
        found = clients.sagemaker.describe_endpoint(EndpointName=name)
    return {
        "name": name,
        "arn": found["EndpointArn"],
        "created": False,
        "deadline_at": time_format.later(found["LastModifiedTime"], event["deadline_s"]),
    }


def _check_settled(name: str, found: Mapping[str, Any]) -> None:
    if found["EndpointStatus"] != "InService":
        reason = f"endpoint {name!r} is {found['EndpointStatus']}"
        raise EndpointBusy(f"{reason}; wanted it InService", waiting=reason)


def _check_unmoved(name: str, found: Mapping[str, Any], planned_on: str) -> None:
    """Raise EndpointMoved unless the endpoint has the configuration that this deployment would put back."""
    config = found["EndpointConfigName"]
    if config != planned_on:
        raise EndpointMoved(
            f"endpoint {name!r} is on configuration {config!r}; wanted {planned_on!r}, as when this deployment "
            "was planned; it is planned anew"
        )


def _guarded(request: Mapping[str, Any], clients: Clients) -> dict[str, Any]:
    """Return the request with those alarms alone that exist: the deployment before made them, or was too old to."""
    config = request.get("DeploymentConfig")
    if config is None:
        return dict(request)
    names = [one["AlarmName"] for one in config["AutoRollbackConfiguration"]["Alarms"]]
    there = {str(alarm["AlarmName"]) for alarm in alarms_api.found(clients.cloudwatch, names)}
    kept = {name: value for name, value in config.items() if name != "AutoRollbackConfiguration"}
    if there:
        kept["AutoRollbackConfiguration"] = {
            "Alarms": [{"AlarmName": name} for name in names if name in there]
        }
    return {**request, "DeploymentConfig": kept}


def _configs(found: Mapping[str, Any]) -> set[str]:
    """Return the configuration in service and the one that is being brought up."""
    pending = (found.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
    return {found["EndpointConfigName"], *([pending] if pending else [])}


handler = lambda_handler.Task(
    run,
    errors=(ResourceLimitExceeded, NotYetVisible, EndpointBusy, QuotaTooSmall, QuotaUsedUp, EndpointMoved),
    may=(
        allow("sagemaker:DescribeEndpoint", "sagemaker:ListTags", on=ENDPOINTS),
        allow(
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:ListTags",
            on=ENDPOINT_CONFIGS,
            why="Which upload it serves now, and whether that one is still being tried.",
        ),
        allow("states:DescribeExecution", on=EXECUTIONS),
        allow(
            "cloudwatch:DescribeAlarms",
            on=ALARMS,
            why="Which of the alarms there are that may take an update of instances back; the "
            "answer is a list.",
        ),
        allow(
            "sagemaker:UpdateEndpoint",
            on=(ENDPOINTS, ENDPOINT_CONFIGS),
            when=MADE_BY_SEALIFT,
            why="UpdateEndpoint is checked against the endpoint and its configuration.",
        ),
    ),
)
