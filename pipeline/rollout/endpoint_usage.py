"""A look at what the account's endpoints hold, and at the quota: `pipeline.quota_usage`.

Bounded: one call for the quota, the list as far as `LISTED` rows, one call per endpoint up to `MOST_ENDPOINTS`, and one
more for each whose name begins as the service's do, to read its tags. Refuses to change anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import limits
from pipeline.aws import paging, resource_tags, service_errors
from pipeline.aws.resource_tags import TAG_EXECUTION, TAG_SCALING, TAG_SERVICE
from pipeline.errors import SealiftError
from pipeline.naming import is_named_after
from pipeline.quota_usage import Holder, Situation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sagemaker import SageMakerClient

    from pipeline.aws.clients import Clients

LISTED: Final = 300
"""Endpoints whose names are read."""
MOST_ENDPOINTS: Final = 50
"""Endpoints that are looked into; AWS documents no region with more serverless ones."""


def read_usage(clients: Clients, service: str) -> Situation:
    """Return what is in use and the quota, read where it can be; the service's own endpoints are looked at first."""
    every, complete = listed(clients.sagemaker)
    names = sorted(every, key=lambda name: not is_named_after(name, service))[:MOST_ENDPOINTS]
    complete = complete and len(every) <= MOST_ENDPOINTS
    found = (holder(clients.sagemaker, name, service) for name in names)
    holders = tuple(one for one in found if one is not None)
    quota, read, how = _quota(clients)
    return Situation(holders, quota, read, how, complete, tuple(every))


def name_owners(client: SageMakerClient, situation: Situation) -> Situation:
    """Return the situation with the service of each endpoint that holds some of what all share, as its tags tell.

    Another call for each, so only where somebody is to be told who holds it.
    """
    return replace(situation, holders=tuple(_with_owner(client, one) for one in situation.holders))


def _with_owner(client: SageMakerClient, one: Holder) -> Holder:
    if one.on_instances:
        return one
    try:
        arn = client.describe_endpoint(EndpointName=one.name)["EndpointArn"]
        tags = resource_tags.read(client, arn)
    except ClientError as error:
        if service_errors.is_missing(error) or service_errors.is_access_denied(error):
            return one
        raise
    return replace(one, service=tags.get(TAG_SERVICE, "") if TAG_EXECUTION in tags else "")


def holder(client: SageMakerClient, name: str, service: str) -> Holder | None:
    """Return what an endpoint holds; None when it is gone, or is somebody else's on instances."""
    try:
        described: Mapping[str, Any] = client.describe_endpoint(EndpointName=name)
        configs = _serverless_configs(described)
        on_instances = not configs and _has_instances(described)
        if not configs and not on_instances and described["EndpointStatus"] != "Failed":
            return None
        tags = resource_tags.read(client, described["EndpointArn"]) if is_named_after(name, service) else {}
        ours = resource_tags.are_of_service(tags, service)
    except ClientError as error:
        if service_errors.is_missing(error):
            return None
        raise
    if on_instances and not ours:
        return None
    return Holder(
        name=described["EndpointName"],
        status=described["EndpointStatus"],
        config=described["EndpointConfigName"],
        concurrency=max((config["MaxConcurrency"] for config in configs), default=0),
        ours=ours,
        provisioned=max((config.get("ProvisionedConcurrency") or 0 for config in configs), default=0),
        created=described["CreationTime"].isoformat(),
        on_instances=on_instances,
        scales=ours and TAG_SCALING in tags,
    )


def _variants(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what is in service, and what is being brought up."""
    pending = described.get("PendingDeploymentSummary") or {}
    return [*described.get("ProductionVariants", ()), *pending.get("ProductionVariants", ())]


def _has_instances(described: Mapping[str, Any]) -> bool:
    counts = ("CurrentInstanceCount", "DesiredInstanceCount")
    return any(variant.get(name) for variant in _variants(described) for name in counts)


def _serverless_configs(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what is in force, what is wanted, and what is being brought up."""
    variants = _variants(described)
    both = ("CurrentServerlessConfig", "DesiredServerlessConfig")
    return [variant[name] for variant in variants for name in both if variant.get(name)]


def listed(client: SageMakerClient) -> tuple[list[str], bool]:
    """Return the names of the account's endpoints, and whether that is all of them."""
    rows, complete = paging.read(client, "list_endpoints", "Endpoints", most=LISTED)
    return [row["EndpointName"] for row in rows], complete


def _quota(clients: Clients) -> tuple[int, bool, str]:
    """Return the account's concurrency, whether it could be read, and how it is known.

    A quota that cannot be read is no reason to fail: AWS tells its figures when it refuses.
    """
    try:
        with service_errors.translated():
            answer = clients.service_quotas.get_service_quota(
                ServiceCode="sagemaker", QuotaCode=limits.CONCURRENCY_QUOTA_CODE
            )
    except SealiftError as error:
        how = f"assumed: Service Quotas could not be read, {type(error).__name__}"
        return limits.CONCURRENCY_QUOTA.value, False, how
    return int(answer["Quota"]["Value"]), True, "as Service Quotas says"
