"""Auto scaling of instances: the requests, whole, and what they are made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.validate import ParamValidator

from local_cloud.calls import service_model
from pipeline.planning import autoscaling
from pipeline.state_data.request_types import Scaling

WANTED = Scaling(min=2, max=4, invocations_per_instance=70)
BUSY = Scaling(min=2, max=4, concurrent_requests_per_instance=3)
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/harbour-0a1b/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


def test_the_requests_are_whole() -> None:
    """A target with its bounds, and one policy that keeps the calls of each instance at what was requested."""
    assert autoscaling.target("harbour-0a1b", "AllTraffic") == TARGET
    assert autoscaling.registration("harbour-0a1b", "AllTraffic", WANTED) == {
        **TARGET,
        "MinCapacity": 2,
        "MaxCapacity": 4,
    }
    assert autoscaling.policy("harbour-0a1b", "AllTraffic", WANTED) == {
        **TARGET,
        "PolicyName": "sealift",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 70.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
        },
    }


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        pytest.param(
            "RegisterScalableTarget", autoscaling.registration("e", "AllTraffic", WANTED), id="target"
        ),
        pytest.param("PutScalingPolicy", autoscaling.policy("e", "AllTraffic", WANTED), id="policy"),
        pytest.param("PutScalingPolicy", autoscaling.policy("e", "AllTraffic", BUSY), id="by concurrency"),
        pytest.param("DeregisterScalableTarget", autoscaling.target("e", "AllTraffic"), id="its end"),
    ],
)
def test_a_request_is_one_that_the_service_model_takes(operation: str, request_: dict[str, object]) -> None:
    """Names and types, the closed sets of words too."""
    model = service_model("application-autoscaling")
    shape = model.operation_model(operation).input_shape

    assert not ParamValidator().validate(request_, shape).generate_report()
    assert autoscaling.NAMESPACE in model.shape_for("ServiceNamespace").metadata["enum"]
    assert autoscaling.DIMENSION in model.shape_for("ScalableDimension").metadata["enum"]
    known = model.shape_for("MetricType").metadata["enum"]
    assert {autoscaling.INVOCATIONS, autoscaling.CONCURRENCY} <= {*known}


@pytest.mark.parametrize(("count", "least"), [(1, 1), (2, 2), (3, 2)])
def test_the_least_is_never_more_than_a_quota_gave(count: int, least: int) -> None:
    """Else the first thing that is asked for is what was refused."""
    assert autoscaling.within(WANTED, count) == replace(WANTED, min=least)


@pytest.mark.parametrize(
    ("answer_s", "warned"), [pytest.param(0.5, False, id="in time"), pytest.param(2.0, True, id="too slow")]
)
def test_a_measure_that_an_instance_cannot_reach_is_noted(answer_s: float, *, warned: bool) -> None:
    """The bounds have their price; 30 answers a minute are fewer than the 70 calls at which an instance is added."""
    first, *more = autoscaling.notes(WANTED, usd_per_hour=0.302, answer_s=answer_s, tokens=150, slots=1)

    assert first == (
        "scales between 2 and 4 instances, for 70 calls a minute of each: $0.604 to $1.208 an hour; never to none"
    )
    assert bool(more) is warned
    if warned:
        assert "about 30 a minute" in more[0]
        assert more[0].endswith("set it to 30 or less")


def test_requests_at_the_same_time_are_another_measure() -> None:
    """The metric that AWS publishes every ten seconds, which inference components do not need."""
    tracked = autoscaling.policy("harbour-0a1b", "AllTraffic", BUSY)[
        "TargetTrackingScalingPolicyConfiguration"
    ]

    assert tracked == {
        "TargetValue": 3.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
        },
    }
    assert (
        autoscaling.describe(BUSY)
        == "scales between 2 and 4 instances, for 3 requests at the same time in each"
    )


def test_one_request_is_told_as_one() -> None:
    """As people say it."""
    one = Scaling(min=1, max=2, concurrent_requests_per_instance=1)

    assert autoscaling.describe(one) == (
        "scales between 1 and 2 instances, for 1 request at the same time in each"
    )


@pytest.mark.parametrize(
    ("wanted", "slots", "measured"),
    [
        pytest.param(WANTED, 8, WANTED, id="calls a minute"),
        pytest.param(BUSY, 8, BUSY, id="at the same time"),
        pytest.param(Scaling(1, 2), 8, Scaling(1, 2, None, 6.0), id="three quarters of the slots"),
        pytest.param(Scaling(1, 2), 1, Scaling(1, 2, None, 1.0), id="one at least"),
    ],
)
def test_without_a_measure_the_slots_give_one(wanted: Scaling, slots: int, measured: Scaling) -> None:
    """An instance is to come before all slots are taken."""
    assert autoscaling.measured(wanted, slots) == measured


@pytest.mark.parametrize(("slots", "warned"), [(2, True), (3, False), (4, False)])
def test_more_at_the_same_time_than_slots_is_noted(slots: int, *, warned: bool) -> None:
    """Whoever is beyond them waits."""
    _, *more = autoscaling.notes(BUSY, usd_per_hour=0.302, answer_s=60, tokens=150, slots=slots)

    assert bool(more) is warned
    if warned:
        assert more[0].endswith("set it to 2 or less")
