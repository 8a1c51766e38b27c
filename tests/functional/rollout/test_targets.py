"""Scalable targets against moto, which keeps them: registered, registered again, and gone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws

from pipeline.aws.clients import Clients
from pipeline.planning import autoscaling
from pipeline.rollout import autoscaling_api
from pipeline.state_data.request_types import Scaling

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = Scaling(min=1, max=4, invocations_per_instance=70)
HARBOUR = autoscaling.target("harbour-1", "AllTraffic")


@pytest.fixture
def client() -> Iterator[Any]:
    """Application Auto Scaling."""
    with mock_aws():
        yield Clients(region="us-east-1").autoscaling


def bounds(client: Any) -> list[tuple[str, int, int]]:
    """Return the targets that there are."""
    found = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    return [(one["ResourceId"], one["MinCapacity"], one["MaxCapacity"]) for one in found]


def test_what_is_registered_twice_is_there_once(client: Any) -> None:
    """The second time brings the bounds and the measure to what is wanted then."""
    autoscaling_api.register(client, "harbour-1", WANTED)
    autoscaling_api.register(client, "harbour-1", replace(WANTED, max=6, invocations_per_instance=20))

    assert bounds(client) == [(HARBOUR["ResourceId"], 1, 6)]
    (policy,) = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 20


def test_one_that_is_gone_is_as_good(client: Any) -> None:
    """Only the endpoint's own goes, and it may be gone already."""
    autoscaling_api.register(client, "harbour-1", WANTED)
    autoscaling_api.register(client, "harbour-2", WANTED)

    autoscaling_api.deregister(client, "harbour-1")
    autoscaling_api.deregister(client, "harbour-1")

    assert [name for name, _, _ in bounds(client)] == ["endpoint/harbour-2/variant/AllTraffic"]


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        pytest.param("ObjectNotFoundException", True, id="gone, by its name"),
        pytest.param("AccessDeniedException", False, id="denied"),
        pytest.param("ConcurrentUpdateException", False, id="being changed"),
    ],
)
def test_only_one_that_is_gone_is_as_good(code: str, *, passes: bool) -> None:
    """AWS has an error of its own for it; anything else is told."""
    client: Any = Clients(region="us-east-1").autoscaling
    with Stubber(client) as stubber:
        stubber.add_client_error("deregister_scalable_target", code, "because", expected_params=dict(HARBOUR))
        if passes:
            autoscaling_api.deregister(client, "harbour-1")
        else:
            with pytest.raises(ClientError, match=code):
                autoscaling_api.deregister(client, "harbour-1")
        stubber.assert_no_pending_responses()
