"""Registering and deregistering the scalable target of an endpoint: the calls behind `pipeline.planning.autoscaling`.

Each may be called again after any failure. Whoever deletes an endpoint whose tags tell of auto scaling deregisters it
first: SageMaker's own deregistration at DeleteEndpoint says nothing when it does not come about
(https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-delete-with-scaling.html), and a target that stays would
change the number of instances while the endpoint is to be deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.naming import VARIANT
from pipeline.planning import autoscaling, kept_scaling

if TYPE_CHECKING:
    from pipeline.aws.clients import AutoScalingClient
    from pipeline.planning.kept_scaling import KeptScaling
    from pipeline.state_data.request_types import Scaling


def register(client: AutoScalingClient, endpoint: str, wanted: Scaling) -> None:
    """Let an endpoint be scaled; one that is registered already is brought to what is wanted."""
    client.register_scalable_target(**autoscaling.registration(endpoint, VARIANT, wanted))
    client.put_scaling_policy(**autoscaling.policy(endpoint, VARIANT, wanted))


def read(client: AutoScalingClient, endpoint: str) -> KeptScaling | None:
    """Return the scaling of an endpoint as far as it can be kept; None when it does not scale."""
    named = autoscaling.target(endpoint, VARIANT)
    found = client.describe_scalable_targets(
        ServiceNamespace=autoscaling.NAMESPACE,
        ResourceIds=[named["ResourceId"]],
        ScalableDimension=autoscaling.DIMENSION,
    )
    policies = client.describe_scaling_policies(
        ServiceNamespace=autoscaling.NAMESPACE,
        ResourceId=named["ResourceId"],
        ScalableDimension=autoscaling.DIMENSION,
    )
    return kept_scaling.of(found["ScalableTargets"], policies["ScalingPolicies"])


def restore(client: AutoScalingClient, endpoint: str, kept: KeptScaling) -> None:
    """Let an endpoint be scaled as it was before it was paused."""
    client.register_scalable_target(**kept.registration(endpoint, VARIANT))
    if policy := kept.policy(endpoint, VARIANT):
        client.put_scaling_policy(**policy)


def deregister(client: AutoScalingClient, endpoint: str) -> None:
    """Stop scaling an endpoint: its policy and the policy's alarms are deleted too. No-op when it does not scale."""
    try:
        client.deregister_scalable_target(**autoscaling.target(endpoint, VARIANT))
    except ClientError as error:
        if not service_errors.is_missing_target(error):
            raise
