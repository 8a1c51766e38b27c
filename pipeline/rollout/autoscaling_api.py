"""Registering and deregistering the scalable target of an endpoint: the calls behind `pipeline.planning.autoscaling`.

Each may be called again after any failure. Whoever deletes an endpoint whose tags tell of auto scaling deregisters it
first: SageMaker's own deregistration at DeleteEndpoint says nothing when it does not come about
(https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-delete-with-scaling.html), and a target that stays would
change the number of instances while the endpoint is to be deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.naming import VARIANT
from pipeline.planning import autoscaling, kept_scaling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.aws.clients import AutoScalingClient
    from pipeline.planning.kept_scaling import KeptScaling
    from pipeline.state_data.request_types import Scaling


def register(client: AutoScalingClient, endpoint: str, wanted: Scaling) -> None:
    """Let an endpoint be scaled; one that is registered already is brought to what is wanted."""
    client.register_scalable_target(**autoscaling.registration(endpoint, VARIANT, wanted))
    client.put_scaling_policy(**autoscaling.policy(endpoint, VARIANT, wanted))


def read(client: AutoScalingClient, endpoint: str) -> KeptScaling | None:
    """Return the scaling of an endpoint as far as it can be kept; None when it does not scale."""
    return kept_scaling.of(*described(client, autoscaling.target(endpoint, VARIANT)))


def described(client: AutoScalingClient, named: Mapping[str, str]) -> tuple[list[Any], list[Any]]:
    """Return a scalable target and its policies as AWS has them, by what names it; empty for none."""
    of = {name: named[name] for name in ("ServiceNamespace", "ScalableDimension")}
    targets = client.describe_scalable_targets(**of, ResourceIds=[named["ResourceId"]])
    policies = client.describe_scaling_policies(**of, ResourceId=named["ResourceId"])
    return list(targets["ScalableTargets"]), list(policies["ScalingPolicies"])


def restore(client: AutoScalingClient, endpoint: str, kept: KeptScaling) -> None:
    """Let an endpoint be scaled as it was before it was paused."""
    client.register_scalable_target(**kept.registration(endpoint, VARIANT))
    if policy := kept.policy(endpoint, VARIANT):
        client.put_scaling_policy(**policy)


def deregister(client: AutoScalingClient, endpoint: str) -> None:
    """Stop scaling an endpoint: its policy and the policy's alarms are deleted too. No-op when it does not scale."""
    stop(client, autoscaling.target(endpoint, VARIANT))


def stop(client: AutoScalingClient, named: Mapping[str, str]) -> None:
    """The same of any scalable target, by what names it."""
    try:
        client.deregister_scalable_target(**named)
    except ClientError as error:
        if not service_errors.is_missing_target(error):
            raise
