"""The auto scaling of an endpoint that is paused, as a tag keeps it: what AWS says of it, and what restores it.

Owns the tag's form. What a tag cannot hold, a policy with a metric of somebody's own, is not kept. Refuses to make a
call (`autoscaling_api` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.planning import autoscaling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NONE: Final = "none"
"""The tag of an endpoint that did not scale."""
COOLDOWNS: Final = {"in": "ScaleInCooldown", "out": "ScaleOutCooldown"}
"""Seconds, where a policy says them."""


@dataclass(frozen=True, slots=True)
class KeptScaling:
    """Between how many instances, and by which measure."""

    min: int
    max: int
    metric: str = ""
    """One that AWS has defined; empty where no policy could be kept."""
    target: float = 0.0
    """Of the metric, for each instance."""
    cooldowns: tuple[tuple[str, int], ...] = ()
    """Seconds, by the keys of `COOLDOWNS`."""

    @property
    def tag(self) -> str:
        """As a tag's value."""
        more = [f"metric={self.metric}", f"target={self.target:g}"] if self.metric else []
        more += [f"{key}={seconds}" for key, seconds in self.cooldowns]
        return " ".join([f"min={self.min}", f"max={self.max}", *more])

    def registration(self, endpoint: str, variant: str) -> dict[str, Any]:
        """Return RegisterScalableTarget's parameters."""
        target = autoscaling.target(endpoint, variant)
        return {**target, "MinCapacity": self.min, "MaxCapacity": self.max}

    def policy(self, endpoint: str, variant: str) -> dict[str, Any] | None:
        """Return PutScalingPolicy's parameters; None where no policy was kept."""
        if not self.metric:
            return None
        cooldowns = {COOLDOWNS[key]: seconds for key, seconds in self.cooldowns}
        return autoscaling.tracking(
            autoscaling.target(endpoint, variant), self.metric, self.target, cooldowns
        )


def of(targets: Iterable[Mapping[str, Any]], policies: Iterable[Mapping[str, Any]]) -> KeptScaling | None:
    """Return what of an endpoint's scaling is kept; None where it does not scale.

    Args:
        targets: of DescribeScalableTargets.
        policies: of DescribeScalingPolicies.
    """
    target = next(iter(targets), None)
    if target is None:
        return None
    kept = KeptScaling(int(target["MinCapacity"]), int(target["MaxCapacity"]))
    ours = next((one for one in policies if one["PolicyName"] == autoscaling.POLICY), None)
    said = (ours or {}).get("TargetTrackingScalingPolicyConfiguration", {})
    metric = said.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    if not metric:
        return kept
    cooldowns = tuple((key, int(said[name])) for key, name in COOLDOWNS.items() if name in said)
    return KeptScaling(kept.min, kept.max, str(metric), float(said["TargetValue"]), cooldowns)


def words(tag: str | None) -> dict[str, str]:
    """Return what a tag of `key=value` words says."""
    return dict(word.split("=", 1) for word in (tag or "").split(" ") if "=" in word)


def read(tag: str | None) -> KeptScaling | None:
    """Return the scaling that a tag tells of; None for none, and for a tag that nobody of ours wrote."""
    said = words(tag)
    try:
        cooldowns = tuple((key, int(said[key])) for key in COOLDOWNS if key in said)
        target = float(said.get("target", 0))
        return KeptScaling(int(said["min"]), int(said["max"]), said.get("metric", ""), target, cooldowns)
    except (KeyError, ValueError):
        return None
