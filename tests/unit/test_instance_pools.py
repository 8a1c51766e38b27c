"""The form of a pool, in a request and in answers."""

from __future__ import annotations

from typing import Any

import pytest

from local_cloud.hosting.control_plane.requests import service
from pipeline import instance_pools

POOL: dict[str, Any] = {
    "VariantName": "AllTraffic",
    "InitialInstanceCount": 2,
    **instance_pools.members(["ml.g6.xlarge", "ml.g5.xlarge"], 600),
}


def test_one_type_is_no_pool() -> None:
    """AWS takes one of both; several have their place in the list as their priority."""
    assert instance_pools.members(["ml.g6.xlarge"], 600) == {"InstanceType": "ml.g6.xlarge"}
    assert POOL["InstancePools"] == [
        {"InstanceType": "ml.g6.xlarge", "Priority": 1},
        {"InstanceType": "ml.g5.xlarge", "Priority": 2},
    ]
    assert POOL["VariantInstanceProvisionTimeoutInSeconds"] == 600


def test_the_bounds_are_the_service_models() -> None:
    """As botocore has them."""
    assert service().shape_for("InstancePoolList").metadata["max"] == instance_pools.MOST_TYPES
    assert service().shape_for("InstancePoolPriority").metadata["max"] == instance_pools.MOST_TYPES


def test_a_pool_becomes_its_first_type() -> None:
    """By priority; all else of the variant stays."""
    turned = {**POOL, "InstancePools": POOL["InstancePools"][::-1]}

    for variant in (POOL, turned):
        assert instance_pools.single(variant) == {
            "VariantName": "AllTraffic",
            "InitialInstanceCount": 2,
            "InstanceType": "ml.g6.xlarge",
        }
    assert instance_pools.single({"InstanceType": "ml.g6.xlarge"}) == {"InstanceType": "ml.g6.xlarge"}


@pytest.mark.parametrize(
    ("variant", "types"),
    [
        pytest.param(POOL, ("ml.g6.xlarge", "ml.g5.xlarge"), id="a pool"),
        pytest.param({"InstanceType": "ml.g6.xlarge"}, ("ml.g6.xlarge",), id="a type"),
        pytest.param({"ServerlessConfig": {}}, (), id="serverless"),
    ],
)
def test_the_types_of_a_variant(variant: dict[str, Any], types: tuple[str, ...]) -> None:
    """The first to take first."""
    assert instance_pools.types(variant) == types


def test_what_runs_is_told_in_words() -> None:
    """Of what has instances alone."""
    pools = [
        {"InstanceType": name, "CurrentInstanceCount": count}
        for name, count in (("ml.g6.xlarge", 1), ("ml.g5.xlarge", 0), ("ml.g6e.xlarge", 2))
    ]
    found = instance_pools.running({"InstancePools": pools})

    assert found == {"ml.g6.xlarge": 1, "ml.g6e.xlarge": 2}
    assert instance_pools.describe(found) == "1 x ml.g6.xlarge + 2 x ml.g6e.xlarge"
    assert instance_pools.running({"CurrentInstanceCount": 2}) == {}
