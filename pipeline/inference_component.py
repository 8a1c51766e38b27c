"""The inference component of an endpoint that scales to none: its name, who has one, and how it is called.

Such an endpoint has no model of its own: "An endpoint can scale to and from zero instances only if it hosts inference
components" (https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html). Each has one
component here, with the endpoint's own name, so that whoever knows the endpoint knows it; and its configuration and its
model have the deployment's name. Refuses to make one (`planning.scale_to_zero` says the request).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline import instance_pools, naming

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETER: Final = "InferenceComponentName"
"""Of the calls of SageMaker's runtime, and of those that make, describe and delete a component."""
HEADER: Final = "X-Amzn-SageMaker-Inference-Component"
"""The same as a header of HTTP."""


def name_of(endpoint: str) -> str:
    """Return the name of an endpoint's component."""
    return endpoint


def parameters(endpoint: str, *, component: bool) -> dict[str, str]:
    """Return whom a call of SageMaker's runtime is for, as the SDK takes it; the one place where that is said.

    Args:
        endpoint: its name.
        component: whether it hosts a component. An endpoint with a model of its own refuses to be told of one.
    """
    return {"EndpointName": endpoint, **({PARAMETER: name_of(endpoint)} if component else {})}


def headers(endpoint: str, *, component: bool) -> dict[str, str]:
    """Return the same as headers of HTTP, beside the endpoint in the URL."""
    return {HEADER: name_of(endpoint)} if component else {}


def is_hosted(config: Mapping[str, Any]) -> bool:
    """Return whether the endpoints of a configuration host a component, by DescribeEndpointConfig's answer."""
    return any("ModelName" not in one for one in config["ProductionVariants"])


def log_group(endpoint: str, *, component: bool) -> str:
    """Return the log group of an endpoint's containers; SageMaker names it after the component where there is one."""
    if component:
        return f"/aws/sagemaker/InferenceComponents/{name_of(endpoint)}"
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def of_plan(plan: Mapping[str, Any]) -> bool:
    """Return whether a deployment's endpoint hosts a component, by its plan as JSON."""
    return bool((plan.get("smoke_test") or {}).get("component"))


def is_there(described: Mapping[str, Any]) -> bool:
    """Return whether an endpoint hosts a component, by DescribeEndpoint's answer.

    AWS refuses ManagedInstanceScaling of any other: it "is only supported for inference component endpoints".
    """
    return any("ManagedInstanceScaling" in one for one in described.get("ProductionVariants", ()))


def models(config: Mapping[str, Any]) -> frozenset[str]:
    """Return the models of a configuration, by DescribeEndpointConfig's answer: its variants', or its component's."""
    named = instance_pools.models(config["ProductionVariants"])
    return frozenset(named or (naming.model_of(config["EndpointConfigName"]),))
