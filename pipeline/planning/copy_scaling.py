"""Auto scaling of an inference component's copies, down to none and back: the very requests that set it up.

Target tracking takes copies away and cannot leave zero; an alarm on the calls that found no copy starts a policy of
steps, which adds the first (https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html).
Pure. Apart from `scale_to_zero`, so that who takes an endpoint away ships none of what plans one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline import inference_component
from pipeline.planning import alarms, autoscaling

if TYPE_CHECKING:
    from pipeline.state_data.request_types import Scaling

ALARM_S: Final = 60
"""The period of the alarm that wakes the endpoint: the shortest of a metric of SageMaker's."""
WAKING_POLICY: Final = "sealift-wake"


def target(endpoint: str) -> dict[str, str]:
    """Return what names the scalable target: all that DeregisterScalableTarget takes."""
    return {
        "ServiceNamespace": autoscaling.NAMESPACE,
        "ResourceId": f"inference-component/{inference_component.name_of(endpoint)}",
        "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
    }


def registration(endpoint: str, wanted: Scaling) -> dict[str, Any]:
    """Return RegisterScalableTarget's parameters."""
    return {**target(endpoint), "MinCapacity": wanted.min, "MaxCapacity": wanted.max}


def following(endpoint: str, wanted: Scaling) -> dict[str, Any]:
    """Return PutScalingPolicy's parameters of the policy that adds copies and takes them away, down to none."""
    metric = "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
    return autoscaling.tracking(target(endpoint), metric, float(wanted.concurrent_requests_per_instance or 1))


def waking(endpoint: str) -> dict[str, Any]:
    """Return PutScalingPolicy's parameters of the policy that adds the first copy, when an alarm starts it."""
    return {
        "PolicyName": WAKING_POLICY,
        **target(endpoint),
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Maximum",
            "Cooldown": ALARM_S,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        },
    }


def alarm(endpoint: str, policy_arn: str, tags: list[dict[str, str]]) -> dict[str, Any]:
    """Return PutMetricAlarm's parameters of the alarm that starts the policy: a call found no copy."""
    return {
        "AlarmName": alarms.waking(endpoint),
        "AlarmDescription": f"a call found no copy of {endpoint}: the first one is started",
        "Namespace": "AWS/SageMaker",
        "MetricName": "NoCapacityInvocationFailures",
        "Dimensions": [
            {"Name": inference_component.PARAMETER, "Value": inference_component.name_of(endpoint)}
        ],
        "Statistic": "Sum",
        "Period": ALARM_S,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [policy_arn],
        "Tags": tags,
    }
