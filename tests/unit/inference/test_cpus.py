"""How many CPUs a container really has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sealift_cpus import usable_cpus

if TYPE_CHECKING:
    from pathlib import Path


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


_V2 = "sys/fs/cgroup"
_V1 = "sys/fs/cgroup/cpu"


@pytest.mark.parametrize(
    ("allowed", "files", "expected"),
    [
        pytest.param(8, {}, 8, id="no-cgroup"),
        pytest.param(8, {f"{_V2}/cpu.max": "200000 100000\n"}, 2, id="v2-top"),
        pytest.param(8, {f"{_V2}/cpu.max": "max 100000\n"}, 8, id="v2-unlimited"),
        pytest.param(1, {f"{_V2}/cpu.max": "400000 100000\n"}, 1, id="affinity-is-less"),
        pytest.param(8, {f"{_V2}/cpu.max": "170000 100000\n"}, 1, id="fractions-round-down"),
        pytest.param(8, {f"{_V2}/cpu.max": "50000 100000\n"}, 1, id="half-a-cpu-is-one"),
        pytest.param(
            8,
            {
                "proc/self/cgroup": "0::/a/b\n",
                f"{_V2}/a/cpu.max": "300000 100000\n",
                f"{_V2}/a/b/cpu.max": "max 1",
            },
            3,
            id="v2-parent-bounds-child",
        ),
        pytest.param(
            8,
            {"proc/self/cgroup": "0::/../../x\n", f"{_V2}/cpu.max": "200000 100000\n"},
            2,
            id="v2-path-outside-the-namespace",
        ),
        pytest.param(
            8,
            {
                "proc/self/cgroup": "12:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n",
                f"{_V1}/cpu.cfs_quota_us": "400000\n",
                f"{_V1}/cpu.cfs_period_us": "100000\n",
            },
            4,
            id="v1-with-the-hosts-path",
        ),
        pytest.param(
            8,
            {
                "proc/self/cgroup": "4:cpu:/\n",
                f"{_V1}/cpu.cfs_quota_us": "-1\n",
                f"{_V1}/cpu.cfs_period_us": "100000\n",
            },
            8,
            id="v1-unlimited",
        ),
        pytest.param(8, {f"{_V2}/cpu.max": "100000 0\n"}, 8, id="period-of-zero"),
        pytest.param(8, {f"{_V2}/cpu.max": "garbage"}, 8, id="garbage"),
    ],
)
def test_cpus_follow_affinity_and_quota(
    tmp_path: Path, allowed: int, files: dict[str, str], expected: int
) -> None:
    """The least of what the scheduler allows and of all quotas above the process counts, and at least one."""
    assert usable_cpus(allowed, _tree(tmp_path, files)) == expected
