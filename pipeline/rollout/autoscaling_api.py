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
from pipeline.planning import autoscaling

if TYPE_CHECKING:
    from pipeline.aws.clients import AutoScalingClient
    from pipeline.state_data.request_types import Scaling


def register(client: AutoScalingClient, endpoint: str, wanted: Scaling) -> None:
    """Let an endpoint be scaled; one that is registered already is brought to what is wanted."""
    client.register_scalable_target(**autoscaling.registration(endpoint, VARIANT, wanted))
    client.put_scaling_policy(**autoscaling.policy(endpoint, VARIANT, wanted))


def deregister(client: AutoScalingClient, endpoint: str) -> None:
    """Stop scaling an endpoint: its policy and the policy's alarms are deleted too. No-op when it does not scale."""
    try:
        client.deregister_scalable_target(**autoscaling.target(endpoint, VARIANT))
    except ClientError as error:
        if not service_errors.is_missing_target(error):
            raise
