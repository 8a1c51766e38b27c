"""Changing how many concurrent invocations an endpoint of the service may have; done twice, it is done once.

UpdateEndpointWeightsAndCapacities says it can, and that it does for a serverless endpoint was seen nowhere. So an
endpoint whose change AWS refuses gets a configuration that equals its present one but for MaxConcurrency, by
UpdateEndpoint. Refuses to touch an endpoint that Sealift's tags do not name as the service's own, and to copy a
configuration that Sealift did not name.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.aws import resource_tags, service_errors
from pipeline.errors import NameConflict, NotYetVisible, Problem
from pipeline.naming import VARIANT, deployment_of, sized_name
from pipeline.rollout import endpoint_usage, idempotent_create, release_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_sagemaker import SageMakerClient

    from pipeline.quota_usage import Holder


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far an endpoint has come."""

    concurrency: int | None
    """What it has now; None for an endpoint that is gone, or can only be deleted."""
    waiting: str = ""
    """What is still to be waited for; empty when it is settled."""


def set_concurrency(
    client: SageMakerClient,
    service: str,
    endpoint: str,
    *,
    to: int,
    provisioned: int | None = None,
    unless: Callable[[int, int], bool] = operator.eq,
) -> Outcome:
    """Bring one endpoint to a concurrency; return how far it has come.

    Args:
        client: of SageMaker.
        service: whose endpoint it must be.
        endpoint: its name; one that is gone is settled.
        to: its new MaxConcurrency.
        provisioned: ProvisionedConcurrency that it is to have of that; None leaves what it has.
        unless: of the present and the new concurrency, whether nothing is to be done.

    Raises:
        NameConflict: when the endpoint is not the service's own.
        ClientError: ResourceLimitExceeded among others.
    """
    now = endpoint_usage.holder(client, endpoint, service)
    if now is None or now.status in {"Failed", "Deleting"}:
        return Outcome(None)
    if not now.ours:
        seen = f"endpoint {endpoint!r} does not bear Sealift's tags of service {service!r}"
        raise NameConflict(
            endpoint, [Problem("NotOurs", seen, "an endpoint of the service", "start the execution again")]
        )
    if now.status != "InService":
        outcome = f"endpoint {endpoint!r} is {now.status}; wanted it InService with a concurrency of {to}"
        return Outcome(now.concurrency, outcome)
    if unless(now.concurrency, to):
        return Outcome(now.concurrency)
    try:
        _change(client, now, {"MaxConcurrency": to} | _kept(provisioned, to))
    except NotYetVisible:
        # Its new configuration was made a moment ago; the next try finds it.
        pass
    except ClientError as error:
        if not service_errors.is_in_progress(error):
            raise
    outcome = f"endpoint {endpoint!r} goes from a concurrency of {now.concurrency} to {to}"
    return Outcome(now.concurrency, outcome)


def _kept(provisioned: int | None, to: int) -> dict[str, int]:
    return {"ProvisionedConcurrency": min(provisioned, to)} if provisioned else {}


def _change(client: SageMakerClient, now: Holder, to: dict[str, int]) -> None:
    """Ask for another concurrency, the short way or, where AWS refuses that, by another configuration."""
    try:
        client.update_endpoint_weights_and_capacities(
            EndpointName=now.name,
            DesiredWeightsAndCapacities=[
                {"VariantName": VARIANT, "ServerlessUpdateConfig": to}  # type: ignore[typeddict-item]
            ],
        )
    except ClientError as error:
        if not service_errors.is_refused_as_invalid(error):
            raise
        config = _resized(client, now.config, to)
        if config is None:
            raise
        _update(client, now.name, config)


def _update(client: SageMakerClient, endpoint: str, config: str) -> None:
    try:
        client.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    except ClientError as error:
        if service_errors.is_missing_dependency(error) and not service_errors.is_missing_endpoint(error):
            raise NotYetVisible(service_errors.text(error)) from error
        raise


def _resized(client: SageMakerClient, present: str, to: dict[str, int]) -> str | None:
    """Return a configuration that equals the present one but for its concurrency; None when that is not Sealift's.

    The deployment's first one where that has it, else one that is named after its sizes. It is the deployment's record
    from now on, so it gets all tags of the one before, also where it was there already.
    """
    found = client.describe_endpoint_config(EndpointConfigName=present)
    before: dict[str, Any] = dict(found["ProductionVariants"][0])
    name, sizes = str(before["ModelName"]), before.get("ServerlessConfig")
    if deployment_of(present) != name or sizes is None:
        return None
    variants = [{**before, "ServerlessConfig": {**sizes, **to}}]
    tags = resource_tags.read(client, found["EndpointConfigArn"])
    first = (
        found
        if present == name
        else service_errors.or_none(client.describe_endpoint_config, EndpointConfigName=name)
    )
    if first is not None and first["ProductionVariants"] == variants:
        there: Mapping[str, Any] = first
        created = False
    else:
        there, created = idempotent_create.create(
            client.create_endpoint_config,
            client.describe_endpoint_config,
            {
                "EndpointConfigName": sized_name(name, sizes["MemorySizeInMB"], to["MaxConcurrency"]),
                "ProductionVariants": variants,
                # What AWS itself has tagged it with nobody else may give.
                "Tags": [
                    {"Key": key, "Value": value} for key, value in tags.items() if not key.startswith("aws:")
                ],
            },
            name_field="EndpointConfigName",
            compared=("ProductionVariants",),
        )
    if not created:
        release_store.mark(client, there["EndpointConfigArn"], tags)
    return str(there["EndpointConfigName"])
