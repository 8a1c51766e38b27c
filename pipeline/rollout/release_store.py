"""A look at a service's deployments, by what AWS has of them: the facts for `pipeline.rollout.releases`.

Bounded: `LISTED` rows of each list, one call per endpoint up to `MOST`, one per configuration of the service. Refuses
to change anything but the tags of one configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import inference_component
from pipeline.aws import paging, resource_tags, service_errors
from pipeline.aws.resource_tags import TAG_EXECUTION, TAG_SERVICE, tag_value
from pipeline.errors import Problem, Superseded
from pipeline.naming import deployment_of, is_named_after, may_be_in_a_name
from pipeline.rollout import releases
from pipeline.rollout.releases import Precedence, Release

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_stepfunctions import SFNClient

    from pipeline.aws.clients import Clients
    from pipeline.aws.paging import Rows

LISTED: Final = 300
"""Rows of each list."""
MOST: Final = 100
"""Endpoints that are looked into, those of the service first."""


_NAME: Final = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
"""SageMaker's EndpointName (service model); a variable may hold anything."""


@dataclass(frozen=True, slots=True)
class AccountReleases:
    """What the account's endpoints have in use, and the service's releases."""

    endpoints: Mapping[str, tuple[str, str]]
    """Status and configuration, by name."""
    releases: tuple[Release, ...]
    complete: bool = True
    """Whether every endpoint was looked at."""


def read_releases(client: SageMakerClient, service: str) -> AccountReleases:
    """Return the endpoints of the account and the releases of a service."""
    rows, complete = paging.read(client, "list_endpoints", "Endpoints", most=LISTED)
    names = sorted((row["EndpointName"] for row in rows), key=lambda name: not is_named_after(name, service))
    endpoints = {}
    for name in names[:MOST]:
        found = service_errors.or_none(client.describe_endpoint, EndpointName=name)
        if found is not None:
            endpoints[name] = (found["EndpointStatus"], found["EndpointConfigName"])
    configs, all_configs = _configs(client, service)
    found_releases = (
        _release(client, row["EndpointConfigName"], row, service, endpoints)
        for row in configs
        if is_named_after(row["EndpointConfigName"], service)
    )
    return AccountReleases(
        endpoints,
        releases.together(one for one in found_releases if one is not None),
        complete and all_configs and len(names) <= MOST,
    )


def release_at(client: SageMakerClient, endpoint: str, service: str) -> Release | None:
    """Return the release that an endpoint serves; None when the endpoint is gone, or is not the service's."""
    if not is_named_after(endpoint, service) or not re.fullmatch(_NAME, endpoint):
        return None
    found = service_errors.or_none(client.describe_endpoint, EndpointName=endpoint)
    if found is None:
        return None
    config = found["EndpointConfigName"]
    row = service_errors.or_none(client.describe_endpoint_config, EndpointConfigName=config)
    if row is None:
        return None
    return _release(client, config, row, service, {endpoint: (found["EndpointStatus"], config)})


def owner(client: SageMakerClient, endpoint: str) -> str | None:
    """Return the service of Sealift that an endpoint is of, by its tags; None when it is nobody's that is known.

    Of an endpoint that is gone the configuration may be left, which has its name and the same tags.
    """
    if not re.fullmatch(_NAME, endpoint):
        return None
    found = service_errors.or_none(client.describe_endpoint, EndpointName=endpoint)
    record = found or service_errors.or_none(client.describe_endpoint_config, EndpointConfigName=endpoint)
    if record is None:
        return None
    try:
        tags = resource_tags.read(client, record["EndpointArn" if found else "EndpointConfigArn"])
    except ClientError as error:
        if service_errors.is_missing(error):
            return None
        raise
    return tags.get(TAG_SERVICE) if TAG_EXECUTION in tags else None


def being_tried(clients: Clients, endpoint: str, service: str) -> str:
    """Return the execution that tries what an endpoint of a service has; empty when that is settled."""
    there = release_at(clients.sagemaker, endpoint, service)
    return there.execution if there is not None and _being_tried(clients, there) else ""


def upload_precedence(
    clients: Clients,
    endpoint: str,
    *,
    service: str,
    uploaded_at: str,
    execution: str,
    holding: bool = False,
    seen: Release | None = None,
) -> str:
    """Return what is to be waited for before the place of `endpoint` may be taken; empty when it may be taken now.

    Args:
        clients: of SageMaker and Step Functions.
        endpoint: what a consumer calls.
        service: the service's name.
        uploaded_at: when the archive of the deployment was uploaded.
        execution: the one that asks.
        holding: whether it has switched another consumer already.
        seen: what the endpoint serves, where that was looked at a moment ago.

    Raises:
        Superseded: when a newer upload of the service is served there.
    """
    there = seen or release_at(clients.sagemaker, endpoint, service)
    running = _being_tried(clients, there)
    if there is not None and there.deployed_at is None and not running:
        # Its execution may have ended between the two looks, and have undone what the first one saw.
        there = release_at(clients.sagemaker, endpoint, service)
        running = _being_tried(clients, there)
    whose = releases.precedence(uploaded_at, execution, there, running=running, holding=holding)
    if there is None or whose is Precedence.GO:
        return ""
    if whose is Precedence.WAIT:
        return f"endpoint {endpoint!r} is being tried by execution {there.execution!r}"
    serves = (
        f"endpoint {endpoint!r} serves the upload of {there.uploaded_at} (version {there.version}), "
        f"which is newer than this one of {uploaded_at}"
    )
    fix = "nothing need be done; to deploy this archive all the same, upload it again"
    raise Superseded(f"service {service}", [Problem("Superseded", serves, "the newest upload to serve", fix)])


def _being_tried(clients: Clients, there: Release | None) -> bool:
    return (
        there is not None and there.deployed_at is None and is_running(clients.stepfunctions, there.execution)
    )


def is_running(client: SFNClient, execution: str) -> bool:
    """Return whether an execution is running; one that is not known any more is not."""
    try:
        return client.describe_execution(executionArn=execution)["status"] == "RUNNING"
    except ClientError as error:
        if service_errors.code(error) in {"ExecutionDoesNotExist", "InvalidArn"}:
            return False
        raise


def configs_in_use(account: AccountReleases, of: Iterable[Release]) -> dict[str, str]:
    """Return why configurations are needed though nobody serves them as their own: another endpoint has them."""
    mine = {config: one.endpoint for one in of for config in one.configs}
    if not account.complete:
        return dict.fromkeys(mine, "there are endpoints that were not looked at, and one may have it")
    return {
        config: f"endpoint {name} has it"
        for name, (_, config) in account.endpoints.items()
        if config in mine and mine[config] != name
    }


def models_in_use(client: SageMakerClient, account: AccountReleases, *, without: Release) -> set[str]:
    """Return the models that endpoints and the service's configurations name, those of one release left out."""
    configs = {config for _, config in account.endpoints.values()}
    configs |= {config for one in account.releases for config in one.configs}
    found = (
        service_errors.or_none(client.describe_endpoint_config, EndpointConfigName=name)
        for name in configs - set(without.configs)
    )
    return {name for one in found if one for name in inference_component.models(one)}


def configs_of(client: SageMakerClient, deployment: str) -> list[str]:
    """Return the configurations of a deployment, whatever their sizes."""
    names = (str(row["EndpointConfigName"]) for row in _configs(client, deployment).rows)
    return sorted(name for name in names if deployment_of(name) == deployment)


def mark(client: SageMakerClient, arn: str, tags: Mapping[str, str]) -> None:
    """Add tags to a configuration; those of AWS itself nobody else may give."""
    given = {key: value for key, value in tags.items() if not key.startswith("aws:")}
    client.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": value} for key, value in given.items()])


def _release(
    client: SageMakerClient,
    config: str,
    row: Mapping[str, Any],
    service: str,
    endpoints: Mapping[str, tuple[str, str]],
) -> Release | None:
    arn, created = row["EndpointConfigArn"], row["CreationTime"].isoformat()
    try:
        tags = resource_tags.read(client, arn)
    except ClientError as error:
        if service_errors.is_missing(error):
            return None
        raise
    if tags.get(TAG_SERVICE) != tag_value(service):
        return None
    return releases.read(config, arn, created, tags, endpoints)


def _configs(client: SageMakerClient, named: str) -> Rows:
    if not may_be_in_a_name(named):
        return paging.Rows([], complete=True)
    return paging.read(client, "list_endpoint_configs", "EndpointConfigs", most=LISTED, NameContains=named)
