"""The form of a pool, in a request and in answers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from local_cloud.hosting.control_plane.requests import service
from pipeline import instance_pools, naming

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


def test_a_type_may_have_a_model_of_its_own() -> None:
    """In the place of the variant's; AWS has it for a type of a pool alone, and a model that two types share is one."""
    own = {"ml.g5.xlarge": "other", "ml.g6e.xlarge": "other"}
    variant = {"ModelName": "m", **instance_pools.members(["ml.g6.xlarge", *own], 600, own)}

    assert variant["InstancePools"] == [
        {"InstanceType": "ml.g6.xlarge", "Priority": 1},
        {"InstanceType": "ml.g5.xlarge", "Priority": 2, "ModelNameOverride": "other"},
        {"InstanceType": "ml.g6e.xlarge", "Priority": 3, "ModelNameOverride": "other"},
    ]
    assert instance_pools.own_models(variant) == own
    assert instance_pools.models([variant]) == ("m", "other")
    assert instance_pools.models([{"ModelName": "m", "ServerlessConfig": {}}, {"ModelName": "n"}]) == (
        "m",
        "n",
    )
    assert instance_pools.members(["ml.g6.xlarge"], 600, own) == {"InstanceType": "ml.g6.xlarge"}


def test_a_models_name_is_what_the_service_model_takes() -> None:
    """As long as a service's may be, and in its letters."""
    shape = service().shape_for("InstancePool").members["ModelNameOverride"]
    name = naming.model_name(naming.resource_name("s" * 40, "0" * 12), {"Image": "i"})

    assert len(name) <= shape.metadata["max"]
    assert re.fullmatch(shape.metadata["pattern"], name)
    assert naming.model_name("a", {"Image": "i"}) == naming.model_name("a", {"Image": "i"})
    assert naming.model_name("a", {"Image": "i"}) != naming.model_name("a", {"Image": "j"})
    assert naming.may_be_ours(name)


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
