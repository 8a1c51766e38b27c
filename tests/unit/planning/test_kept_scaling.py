"""The scaling of a paused endpoint: what AWS says goes into a tag, and out of it comes what restores it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.aws.resource_tags import tag_value
from pipeline.planning import autoscaling, kept_scaling
from pipeline.planning.kept_scaling import KeptScaling
from pipeline.state_data.request_types import Scaling

TARGET = {"MinCapacity": 1, "MaxCapacity": 4}


def policy(**configured: Any) -> dict[str, Any]:
    """Return a policy as DescribeScalingPolicies has it."""
    return {"PolicyName": autoscaling.POLICY, "TargetTrackingScalingPolicyConfiguration": configured}


def predefined(name: str) -> dict[str, Any]:
    """Return a metric of AWS's own."""
    return {"PredefinedMetricSpecification": {"PredefinedMetricType": name}}


@pytest.mark.parametrize(
    ("policies", "kept"),
    [
        pytest.param([], KeptScaling(1, 4), id="no policy"),
        pytest.param(
            [policy(TargetValue=20.0, **predefined(autoscaling.CONCURRENCY))],
            KeptScaling(1, 4, autoscaling.CONCURRENCY, 20.0),
            id="ours",
        ),
        pytest.param(
            [policy(TargetValue=2.5, ScaleInCooldown=600, ScaleOutCooldown=0, **predefined("Other"))],
            KeptScaling(1, 4, "Other", 2.5, (("in", 600), ("out", 0))),
            id="another metric, with cooldowns",
        ),
        pytest.param(
            [policy(TargetValue=2.5, CustomizedMetricSpecification={})],
            KeptScaling(1, 4),
            id="a metric of one's own",
        ),
        pytest.param(
            [{**policy(TargetValue=2.5, **predefined("Other")), "PolicyName": "mine"}],
            KeptScaling(1, 4),
            id="somebody's",
        ),
    ],
)
def test_what_aws_says_comes_back_from_the_tag(policies: list[dict[str, Any]], kept: KeptScaling) -> None:
    """Whatever it was; and the tag is one that SageMaker takes."""
    found = kept_scaling.of([TARGET], policies)

    assert found == kept
    assert tag_value(found.tag) == found.tag
    assert kept_scaling.read(found.tag) == kept


@pytest.mark.parametrize(
    "wanted",
    [
        Scaling(min=1, max=4, invocations_per_instance=20),
        Scaling(min=1, max=4, concurrent_requests_per_instance=2.25),
    ],
    ids=["calls a minute", "requests at once"],
)
def test_what_was_requested_is_restored_as_it_was(wanted: Scaling) -> None:
    """The same calls as the deployment's own, by either measure."""
    configured = autoscaling.policy("tug-1", "AllTraffic", wanted)["TargetTrackingScalingPolicyConfiguration"]
    kept = kept_scaling.of([TARGET], [policy(**configured)])

    assert kept is not None
    assert kept.registration("tug-1", "AllTraffic") == autoscaling.registration("tug-1", "AllTraffic", wanted)
    assert kept.policy("tug-1", "AllTraffic") == autoscaling.policy("tug-1", "AllTraffic", wanted)
    assert KeptScaling(1, 4).policy("tug-1", "AllTraffic") is None


@pytest.mark.parametrize("tag", [None, "", kept_scaling.NONE, "min=1", "min=a max=b", "what is this"])
def test_what_did_not_scale_does_not_after_it(tag: str | None) -> None:
    """Nor what a tag says that nobody of ours wrote."""
    assert kept_scaling.of([], []) is None
    assert kept_scaling.read(tag) is None
