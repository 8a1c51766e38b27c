"""Application Auto Scaling of inference components: what moto does not know of it, and what its state says of one.

moto keeps targets, policies and alarms, and lets none of them do anything; that is `hosting.components`'.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from moto.applicationautoscaling import models, responses
from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends

from local_cloud.hosting.components import CopyScaling

DIMENSION: Final = "sagemaker:inference-component:DesiredCopyCount"
FAILURES: Final = "NoCapacityInvocationFailures"
"""The metric of calls that found no copy."""


def install() -> None:
    """Let components be scaled."""
    known = [(one.name, one.value) for one in models.ScalableDimensionValueSet]
    enum: Any = Enum
    extended = enum("ScalableDimensionValueSet", dict([*known, ("SAGEMAKER_COMPONENT_COPIES", DIMENSION)]))
    for module in (models, responses):
        module.ScalableDimensionValueSet = extended


def of_component(account_id: str, region: str, name: str) -> CopyScaling | None:
    """Return how a component is scaled; None where it is not."""
    backend = applicationautoscaling_backends[account_id][region]
    resource = f"inference-component/{name}"
    found = backend.describe_scalable_targets("sagemaker", [resource], DIMENSION)
    if not found:
        return None
    policies = [
        one
        for one in backend.policies.values()
        if one.resource_id == resource and one.scalable_dimension == DIMENSION
    ]
    steps = {one.policy_arn for one in policies if one.policy_type == "StepScaling"}
    return CopyScaling(
        least=int(found[0].min_capacity),
        most=int(found[0].max_capacity),
        follows=any(one.policy_type == "TargetTrackingScaling" for one in policies),
        wakes=any(
            alarm.metric_name == FAILURES
            and {"InferenceComponentName": name}
            == {dimension.name: dimension.value for dimension in alarm.dimensions}
            and steps & {*alarm.alarm_actions}
            for alarm in cloudwatch_backends[account_id][region].alarms.values()
        ),
    )
