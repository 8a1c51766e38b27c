"""The inference component of an endpoint that is paused, as a tag keeps it: what AWS says of it, and what restores it.

Owns the tag's form. Refuses to make a call (`component_api` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.planning import kept_scaling, scale_to_zero
from pipeline.state_data.request_types import Scaling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.state_data.plan_types import Names

REQUIRED: Final = {
    "cpus": "NumberOfCpuCoresRequired",
    "gpus": "NumberOfAcceleratorDevicesRequired",
    "memory": "MinMemoryRequiredInMb",
}
"""What a copy reserves."""
STARTS: Final = {
    "download": "ModelDataDownloadTimeoutInSeconds",
    "startup": "ContainerStartupHealthCheckTimeoutInSeconds",
}
"""Seconds."""
INTEGERS: Final = frozenset({"memory", *STARTS})


@dataclass(frozen=True, slots=True)
class KeptComponent:
    """Between none and how many copies, by which measure, and what each reserves."""

    most: int
    target: float
    """Requests that each copy has at the same time."""
    members: tuple[tuple[str, float], ...]
    """By the keys of `REQUIRED` and `STARTS`."""

    @property
    def tag(self) -> str:
        """As a tag's value."""
        words = [f"most={self.most}", f"target={self.target:g}"]
        return " ".join([*words, *(f"{key}={value:g}" for key, value in self.members)])

    @property
    def scaling(self) -> Scaling:
        """How it scales."""
        return Scaling(0, self.most, concurrent_requests_per_instance=self.target)

    def request(self, names: Names, tags: list[dict[str, str]]) -> dict[str, Any]:
        """Return CreateInferenceComponent's parameters, with as many copies as it had at first."""
        given = {key: int(value) if key in INTEGERS else value for key, value in self.members}
        return scale_to_zero.request(
            names,
            copies=self.most,
            required={name: given[key] for key, name in REQUIRED.items() if key in given},
            starts={name: int(given[key]) for key, name in STARTS.items() if key in given},
            tags=tags,
        )


def of(
    component: Mapping[str, Any] | None,
    targets: Iterable[Mapping[str, Any]],
    policies: Iterable[Mapping[str, Any]],
) -> KeptComponent | None:
    """Return what of a component is kept; None where it is gone, or does not scale.

    Args:
        component: of DescribeInferenceComponent.
        targets: of DescribeScalableTargets.
        policies: of DescribeScalingPolicies.
    """
    target = next(iter(targets), None)
    followed = next((one for one in policies if "TargetTrackingScalingPolicyConfiguration" in one), None)
    if component is None or target is None or followed is None:
        return None
    asked = component["Specification"]
    said = {**asked["ComputeResourceRequirements"], **asked.get("StartupParameters", {})}
    members = tuple((key, float(said[name])) for key, name in (REQUIRED | STARTS).items() if name in said)
    measure = float(followed["TargetTrackingScalingPolicyConfiguration"]["TargetValue"])
    return KeptComponent(int(target["MaxCapacity"]), measure, members)


def read(tag: str | None) -> KeptComponent | None:
    """Return the component that a tag tells of; None for none, and for a tag that nobody of ours wrote."""
    said = kept_scaling.words(tag)
    try:
        members = tuple((key, float(said[key])) for key in (REQUIRED | STARTS) if key in said)
        return KeptComponent(int(said["most"]), float(said["target"]), members)
    except (KeyError, ValueError):
        return None
