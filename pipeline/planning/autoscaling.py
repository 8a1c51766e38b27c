"""Auto scaling of an endpoint on instances: what is requested, the API calls for it, and the words.

Owns the parameters of Application Auto Scaling's calls. Refuses to make one (`autoscaling_api` does), and to scale to
zero: "An endpoint can scale to and from zero instances only if it hosts inference components"
(https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html), and an endpoint here has a
model of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.state_data.request_types import Scaling

NAMESPACE: Final = "sagemaker"
DIMENSION: Final = "sagemaker:variant:DesiredInstanceCount"
INVOCATIONS: Final = "SageMakerVariantInvocationsPerInstance"
CONCURRENCY: Final = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
"""Of all requests that are being answered or wait, every ten seconds; without inference components a variant has one
model, so it is those of an instance (https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-policy.html)."""
BUSY_SLOTS: Final = 0.75
"""Of an instance's slots, on average, when one more instance is to come: before callers wait."""
POLICY: Final = "sealift"
"""The policy's name: a target has this one, so that putting it again changes it."""


def target(endpoint: str, variant: str) -> dict[str, str]:
    """Return what names a scalable target: all that DeregisterScalableTarget takes."""
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": f"endpoint/{endpoint}/variant/{variant}",
        "ScalableDimension": DIMENSION,
    }


def registration(endpoint: str, variant: str, wanted: Scaling) -> dict[str, Any]:
    """Return RegisterScalableTarget's parameters."""
    return {
        **target(endpoint, variant),
        "MinCapacity": wanted.min,
        "MaxCapacity": wanted.max,
    }


def policy(endpoint: str, variant: str, wanted: Scaling) -> dict[str, Any]:
    """Return PutScalingPolicy's parameters; its cooldowns are AWS's own, 300 s each way."""
    metric, value = _measure(wanted)
    return tracking(target(endpoint, variant), metric, float(value))


def tracking(
    named: Mapping[str, str], metric: str, value: float, cooldowns: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return PutScalingPolicy's parameters of a policy that keeps a metric at a value.

    Args:
        named: what names the target.
        metric: one that AWS has defined.
        value: of the metric, for each instance or copy.
        cooldowns: seconds, by their members; AWS's own, 300 s each way, where none are given.
    """
    return {
        "PolicyName": POLICY,
        **named,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": value,
            "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
            **(cooldowns or {}),
        },
    }


def measured(wanted: Scaling, slots: int) -> Scaling:
    """Return the scaling with its measure: where none was requested, requests at the same time, by the slots.

    Args:
        wanted: as requested.
        slots: requests that one instance answers at once.
    """
    if wanted.invocations_per_instance or wanted.concurrent_requests_per_instance:
        return wanted
    return replace(wanted, concurrent_requests_per_instance=max(1.0, BUSY_SLOTS * slots))


def _measure(wanted: Scaling) -> tuple[str, float]:
    """Return the metric that is followed, and the value that it is to have."""
    if wanted.concurrent_requests_per_instance:
        return CONCURRENCY, wanted.concurrent_requests_per_instance
    if wanted.invocations_per_instance:
        return INVOCATIONS, wanted.invocations_per_instance
    raise AssertionError("auto scaling without a measure: `measured` gives it one")


def within(wanted: Scaling, count: int) -> Scaling:
    """Return the scaling of an endpoint that runs on `count` instances, which may be fewer than the requested minimum.

    A quota gave no more: to insist on the least would ask for what was just refused, over and over.
    """
    return replace(wanted, min=min(wanted.min, count))


def tag(wanted: Scaling) -> str:
    """Return the value of the tag that tells whoever deletes an endpoint of its scalable target."""
    return f"{wanted.min}-{wanted.max}"


def describe(wanted: Scaling) -> str:
    """Return the scaling in words."""
    metric, value = _measure(wanted)
    requests = "request" if value == 1 else "requests"
    what = "calls a minute of each" if metric == INVOCATIONS else f"{requests} at the same time in each"
    return f"scales between {wanted.min} and {wanted.max} instances, for {value:g} {what}"


def notes(
    wanted: Scaling, *, usd_per_hour: float, answer_s: float, tokens: int, slots: int
) -> tuple[str, ...]:
    """Return what a person should know of it.

    Args:
        wanted: as requested.
        usd_per_hour: of one instance.
        answer_s: seconds that an answer of `tokens` takes there.
        tokens: max_tokens of a request that says nothing else.
        slots: requests that one instance answers at once.
    """
    low, high = wanted.min * usd_per_hour, wanted.max * usd_per_hour
    said = [f"{describe(wanted)}: ${low:g} to ${high:g} an hour; never to none"]
    most = 60 / answer_s
    if (wanted.invocations_per_instance or 0) > most:
        said.append(
            f"auto_scaling.invocations_per_instance is {wanted.invocations_per_instance:g}; answers of max_tokens "
            f"{tokens}, one after the other, are about {most:.2g} a minute there: callers wait before an instance is "
            f"added; set it to {most:.2g} or less"
        )
    concurrent = wanted.concurrent_requests_per_instance or 0
    if concurrent > slots:
        said.append(
            f"auto_scaling.concurrent_requests_per_instance is {concurrent:g}, and an instance answers {slots} at "
            f"once: callers wait before an instance is added; set it to {slots} or less"
        )
    return tuple(said)


def contradiction(wanted: Scaling, count: int) -> str:
    """Return how the counts contradict each other; empty when they do not."""
    if wanted.max < wanted.min:
        return f"auto_scaling.min is {wanted.min} and auto_scaling.max {wanted.max}"
    if not wanted.min <= count <= wanted.max:
        return f"instance_count is {count}, auto_scaling.min {wanted.min} and auto_scaling.max {wanted.max}"
    return ""
