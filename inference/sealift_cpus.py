"""How many CPUs the container really has: what the scheduler allows, bounded by the cgroup's quota.

Owns the reading of /proc and /sys, of both versions of cgroups. Refuses to fail: what cannot be read sets no bound.
"""

from __future__ import annotations

import os
from pathlib import Path


def threads_for(most: int) -> int:
    """Return how many threads llama.cpp gets in this process: at most so many, and never more than there are CPUs."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(most, usable_cpus(allowed, Path("/")))


def usable_cpus(allowed: int, root: Path) -> int:
    """Return how many CPUs this container really has: what it may run on, bounded by its cgroup's quota.

    With more threads than that llama.cpp is a hundred times slower: its threads wait for each other in loops.

    Args:
        allowed: the number of CPUs that the scheduler may use for this process.
        root: where /proc and /sys are.
    """
    quota = _cpu_quota(root)
    return max(1, min(allowed, int(quota))) if quota is not None else max(1, allowed)


def _cpu_quota(root: Path) -> float | None:
    """Return the least quota, in CPUs, of this process's cgroup and all above it; None when there is none."""
    quotas = []
    # Without /proc/self/cgroup, what is mounted at the top is all that can be known.
    for line in (_text(root / "proc/self/cgroup") or "0::/\n1:cpu:/").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            base, quota_of = root / "sys/fs/cgroup", _quota_v2
        elif "cpu" in controllers.split(","):
            base, quota_of = root / "sys/fs/cgroup/cpu", _quota_v1
        else:
            continue
        # Inside a container the path is often the host's, and only the top of it is there.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        quotas += [quota_of(base.joinpath(*parts[:depth])) for depth in range(len(parts) + 1)]
    return min((quota for quota in quotas if quota), default=None)


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    """Return quota over period; None for "max", -1 and whatever else is not a quota."""
    if not quota.isdecimal() or not period.isdecimal() or not int(period):
        return None
    return int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
