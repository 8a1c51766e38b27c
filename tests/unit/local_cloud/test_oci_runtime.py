"""How endpoints run, and what the machine's control groups are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from local_cloud.hosting.containers import runc_keeper
from local_cloud.hosting.containers.oci_runtime import (
    Hierarchy,
    OciRuntime,
    RuntimeFindings,
    RuntimeUnavailableError,
    choose,
    hierarchy_of,
    refusal,
    ways_of,
)

V1 = Hierarchy(Path("/sys/fs/cgroup/memory"), unified=False)
V2 = Hierarchy(Path("/sys/fs/cgroup"), unified=True)
RUNTIME = OciRuntime("/usr/sbin/runc", "runc 1.1.5", V1, swap=True)


def test_both_versions_of_control_groups_are_found_and_the_first_has_the_memory() -> None:
    """On a machine with both mounted, version 2 has only what version 1 does not take."""
    tmpfs = "tmpfs /sys/fs/cgroup tmpfs rw 0 0"
    cpu = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0"
    memory = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0"
    hybrid = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0"
    unified = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0"

    beside = replace(V1, beside=Path("/sys/fs/cgroup/unified"))
    assert hierarchy_of([tmpfs, hybrid, cpu, memory]) == beside
    assert hierarchy_of([tmpfs, cpu, memory, hybrid]) == beside
    assert hierarchy_of([tmpfs, cpu, memory]) == V1
    assert hierarchy_of([unified]) == V2
    assert hierarchy_of([tmpfs, cpu]) is None
    assert hierarchy_of(["", "disk /memory ext4 rw,memory 0 0"]) is None


def first_version(folder: Path, *, kills: int) -> Hierarchy:
    """Return control groups of version 1 with one group, as the kernel shows them."""
    group = folder / "sealift-one"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("1073741824\n")
    (group / "memory.oom_control").write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n")
    return Hierarchy(folder, unified=False)


def second_version(folder: Path, *, kills: int) -> Hierarchy:
    """Return the same of version 2."""
    group = folder / "sealift-one"
    group.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (group / "memory.max").write_text("1073741824\n")
    told = {"low": 0, "high": 0, "max": 7, "oom": 2, "oom_kill": kills, "oom_group_kill": 0}
    (group / "memory.events").write_text("".join(f"{name} {count}\n" for name, count in told.items()))
    return Hierarchy(folder, unified=True)


@pytest.mark.parametrize("version", [first_version, second_version])
def test_each_version_has_files_of_its_own(version: Callable[..., Hierarchy], tmp_path: Path) -> None:
    """The limit to the byte, and the count of kills, by which a container's end is told from others."""
    for kills in (0, 1):
        hierarchy = version(tmp_path / str(kills), kills=kills)

        assert int(hierarchy.limit("/sealift-one").read_text()) == 1 << 30
        orders = {"counter": str(hierarchy.counter("/sealift-one"))}
        assert runc_keeper._killed_for_memory(orders) == (kills > 0)
        assert hierarchy.limits_memory()


def test_version_2_may_have_no_say_in_memory(tmp_path: Path) -> None:
    """As where version 1 has it, or where whoever runs this machine keeps it."""
    hierarchy = second_version(tmp_path, kills=0)
    (tmp_path / "cgroup.controllers").write_text("hugetlb memory_recursiveprot\n")

    assert not hierarchy.limits_memory()
    (tmp_path / "cgroup.controllers").unlink()
    assert not hierarchy.limits_memory()


def test_swap_is_limited_where_the_kernel_counts_it(tmp_path: Path) -> None:
    """Version 1 has a file for it at the top, version 2 beside any limit, if the kernel was told to."""
    one = first_version(tmp_path / "one", kills=0)
    assert not one.limits_swap()
    (one.path / "memory.memsw.limit_in_bytes").touch()
    assert one.limits_swap()

    two = second_version(tmp_path / "two", kills=0)
    assert not two.limits_swap()
    (two.path / "other").mkdir()
    (two.path / "other" / "memory.max").touch()
    (two.path / "other" / "memory.swap.max").touch()
    assert two.limits_swap()
    assert Hierarchy(tmp_path / "none", unified=True).limits_swap()


def test_a_runtime_is_also_tried_without_the_groups_that_are_mounted_beside() -> None:
    """Crun refuses to run where both versions are mounted; what hides one from it hides it from nobody else."""
    hybrid = replace(RUNTIME, hierarchy=replace(V1, beside=Path("/sys/fs/cgroup/unified")))

    assert ways_of(RUNTIME) == (RUNTIME,)
    plain, hiding = ways_of(hybrid)
    command = plain.command(Path("/state"), "delete", "one")
    assert command == ["/usr/sbin/runc", "--root", "/state", "delete", "one"]
    hidden = hiding.command(Path("/state"), "delete", "one")
    assert hidden[0] == "unshare"
    assert hidden[-len(command) - 1 :] == ["/sys/fs/cgroup/unified", *command]


def test_containers_are_taken_where_they_work_and_processes_elsewhere() -> None:
    """With the reason in one line."""
    works = choose("auto", lambda _programs: RuntimeFindings(RUNTIME, "runc 1.1.5 works here"))
    fails = choose("auto", lambda _programs: RuntimeFindings(None, "containers need root"))

    assert works.runtime == RUNTIME
    assert works.line == (
        "endpoints whose image is here run in containers of it (runc 1.1.5 works here), others in processes"
    )
    assert fails.runtime is None
    assert fails.line == "endpoints run in processes of this machine: containers need root"


def test_processes_as_requested_look_for_no_runtime() -> None:
    """Nothing is tried."""

    def find(_programs: tuple[str, ...]) -> RuntimeFindings:
        raise AssertionError("looked")

    assert choose("process", find).runtime is None


def test_who_insists_on_containers_gets_no_processes() -> None:
    """But the reason."""
    looked: list[tuple[str, ...]] = []

    def find(programs: tuple[str, ...]) -> RuntimeFindings:
        looked.append(programs)
        return RuntimeFindings(RUNTIME, "it works")

    assert (
        choose("runc", find).runtime
        == choose("crun", find).runtime
        == choose("auto", find).runtime
        == RUNTIME
    )
    assert looked == [("runc",), ("crun",), ("runc", "crun")]
    with pytest.raises(RuntimeUnavailableError, match="containers need root"):
        choose("runc", lambda _programs: RuntimeFindings(None, "containers need root"))


def test_what_a_runtime_says_is_told_without_its_time_and_level() -> None:
    """Runc's lines are logfmt; crun's are plain."""
    runc = 'time="2026-01-01T00:00:00Z" level=error msg="runc run failed: exec: \\"/bin/true\\": permission denied"'

    assert refusal(f"a warning\n{runc}\n") == 'runc run failed: exec: "/bin/true": permission denied'
    assert (
        refusal("cannot set rlimit: Operation not permitted") == "cannot set rlimit: Operation not permitted"
    )
    assert refusal("") == ""
