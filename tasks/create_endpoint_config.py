"""CreateEndpointConfig: how much memory and how many concurrent invocations the endpoint gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.aws import lambda_handler
from pipeline.rollout import idempotent_create

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Create the endpoint configuration; return `name`, `arn` and whether it was `created` now."""
    request = event["request"]
    found, created = idempotent_create.create(
        clients.sagemaker.create_endpoint_config,
        clients.sagemaker.describe_endpoint_config,
        request,
        name_field="EndpointConfigName",
        compared=("ProductionVariants",),
    )
    return {"name": request["EndpointConfigName"], "arn": found["EndpointConfigArn"], "created": created}


handler = lambda_handler.task(run)
