"""CreateEndpointConfig: how much memory and how many concurrent invocations the endpoint gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from pipeline import instance_pools
from pipeline.aws import lambda_handler, sdk_models
from pipeline.aws.permissions import ENDPOINT_CONFIGS, ENDPOINT_ROLE, PASSED_TO_SAGEMAKER, allow
from pipeline.aws.task_log import LOG
from pipeline.errors import NotYetVisible, QuotaTooSmall, ResourceLimitExceeded
from pipeline.rollout import idempotent_create

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """What the plan says of the configuration."""

    request: dict[str, Any]
    """CreateEndpointConfig's parameters."""


Result: TypeAlias = idempotent_create.Created


def run(event: Event, clients: Clients) -> Result:
    """Create the endpoint configuration, or find that it is there already, just as requested."""
    request = _known(event["request"], clients)
    found, created = idempotent_create.create(
        clients.sagemaker.create_endpoint_config,
        clients.sagemaker.describe_endpoint_config,
        request,
        name_field="EndpointConfigName",
        compared=("ProductionVariants",),
    )
    return {"name": request["EndpointConfigName"], "arn": found["EndpointConfigArn"], "created": created}


def _known(request: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return the request without what the SDK is too old for: the endpoint works without, on a pool's first type."""
    return _with_known_types(_with_known_metrics(request, clients), clients)


def _with_known_types(request: dict[str, Any], clients: Clients) -> dict[str, Any]:
    variants = request["ProductionVariants"]
    pooled = any("InstancePools" in one for one in variants)
    path = ("ProductionVariants", sdk_models.ANY, "InstancePools", sdk_models.ANY, "ModelNameOverride")
    known = sdk_models.takes(clients.sagemaker, "CreateEndpointConfig", *path)
    if not pooled or known:
        return request
    single = [instance_pools.single(one) for one in variants]
    LOG.warning(
        "InstancePools are left out: this SDK does not know them, and %s alone is asked for",
        single[0]["InstanceType"],
    )
    return {**request, "ProductionVariants": single}


def _with_known_metrics(request: dict[str, Any], clients: Clients) -> dict[str, Any]:
    wanted = request.get("MetricsConfig", {})
    if all(
        sdk_models.takes(clients.sagemaker, "CreateEndpointConfig", "MetricsConfig", name) for name in wanted
    ):
        return request
    LOG.warning("MetricsConfig %s is left out: this SDK does not know it, and AWS's default holds", wanted)
    return {name: value for name, value in request.items() if name != "MetricsConfig"}


handler = lambda_handler.Task(
    run,
    errors=(ResourceLimitExceeded, NotYetVisible, QuotaTooSmall),
    may=(
        allow(
            "sagemaker:CreateEndpointConfig",
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:AddTags",
            on=ENDPOINT_CONFIGS,
        ),
        allow(
            "iam:PassRole",
            on=ENDPOINT_ROLE,
            when=PASSED_TO_SAGEMAKER,
            why="Where the configuration names no model, it names the role that the model would.",
        ),
    ),
)
