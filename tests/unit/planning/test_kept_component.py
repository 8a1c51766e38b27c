"""The inference component of a paused endpoint: what AWS says goes into a tag, and out of it comes what restores it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.aws.resource_tags import tag_value
from pipeline.planning import copy_scaling, kept_component
from pipeline.state_data.plan_types import Names
from pipeline.state_data.request_types import Scaling

REQUIRED = {"NumberOfCpuCoresRequired": 2.25, "MinMemoryRequiredInMb": 1024}
STARTS = {"ModelDataDownloadTimeoutInSeconds": 600, "ContainerStartupHealthCheckTimeoutInSeconds": 900}
COMPONENT = {"Specification": {"ComputeResourceRequirements": REQUIRED, "StartupParameters": STARTS}}
TARGET = {"MinCapacity": 0, "MaxCapacity": 2}
POLICIES = [copy_scaling.waking("e"), copy_scaling.following("e", Scaling(0, 2, None, 1.5))]


def test_it_comes_back_as_it_was() -> None:
    """By a tag that AWS takes, of whatever copies reserve."""
    kept = kept_component.of(COMPONENT, [TARGET], POLICIES)

    assert kept is not None
    assert kept.tag == "most=2 target=1.5 cpus=2.25 memory=1024 download=600 startup=900"
    assert tag_value(kept.tag) == kept.tag
    assert kept_component.read(kept.tag) == kept
    assert kept.scaling == Scaling(0, 2, concurrent_requests_per_instance=1.5)
    assert kept.request(Names("m", "c", "e"), []) == {
        "InferenceComponentName": "e",
        "EndpointName": "e",
        "VariantName": "AllTraffic",
        "Specification": {
            "ModelName": "m",
            "StartupParameters": STARTS,
            "ComputeResourceRequirements": REQUIRED,
        },
        "RuntimeConfig": {"CopyCount": 2},
        "Tags": [],
    }


@pytest.mark.parametrize(
    ("component", "targets", "policies"),
    [
        pytest.param(None, [TARGET], POLICIES, id="no component"),
        pytest.param(COMPONENT, [], POLICIES, id="no target"),
        pytest.param(COMPONENT, [TARGET], POLICIES[:1], id="no policy that follows"),
    ],
)
def test_what_is_gone_is_not_kept(
    component: dict[str, Any] | None, targets: list[Any], policies: list[Any]
) -> None:
    """A run that was cut short has written it down already."""
    assert kept_component.of(component, targets, policies) is None


@pytest.mark.parametrize("tag", [None, "", "none", "most=2", "most=x target=1", "min=1 max=2"])
def test_a_tag_of_somebody_elses_tells_nothing(tag: str | None) -> None:
    """Nor does that of a scaling of instances."""
    assert kept_component.read(tag) is None
