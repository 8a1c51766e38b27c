"""Changing how many concurrent invocations an endpoint of the service may have; done twice, it is done once.

Refuses to touch an endpoint that Sealift's tags do not name as the service's own.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline import aws, occupancy
from pipeline.errors import NameConflict, Problem
from pipeline.plan import VARIANT

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sagemaker import SageMakerClient


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far an endpoint has come."""

    concurrency: int | None
    """What it has now; None for an endpoint that is gone, or can only be deleted."""
    waiting: str = ""
    """What is still to be waited for; empty when it is settled."""


def bring(
    client: SageMakerClient,
    service: str,
    endpoint: str,
    *,
    to: int,
    unless: Callable[[int, int], bool] = operator.eq,
) -> Outcome:
    """Bring one endpoint to a concurrency; return how far it has come.

    Args:
        client: of SageMaker.
        service: whose endpoint it must be.
        endpoint: its name; one that is gone is settled.
        to: its new MaxConcurrency.
        unless: of the present and the new concurrency, whether nothing is to be done.

    Raises:
        NameConflict: when the endpoint is not the service's own.
        ClientError: ResourceLimitExceeded among others.
    """
    now = occupancy.holder(client, endpoint, service)
    if now is None or now.status in {"Failed", "Deleting"}:
        return Outcome(None)
    if not now.ours:
        seen = f"endpoint {endpoint!r} does not bear Sealift's tags of service {service!r}"
        raise NameConflict(
            endpoint, [Problem("NotOurs", seen, "an endpoint of the service", "start the execution again")]
        )
    if now.status != "InService":
        told = f"endpoint {endpoint!r} is {now.status}; wanted it InService with a concurrency of {to}"
        return Outcome(now.concurrency, told)
    if unless(now.concurrency, to):
        return Outcome(now.concurrency)
    try:
        client.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[
                {"VariantName": VARIANT, "ServerlessUpdateConfig": {"MaxConcurrency": to}}
            ],
        )
    except ClientError as error:
        if not aws.is_in_progress(error):
            raise
    told = f"endpoint {endpoint!r} goes from a concurrency of {now.concurrency} to {to}"
    return Outcome(now.concurrency, told)
