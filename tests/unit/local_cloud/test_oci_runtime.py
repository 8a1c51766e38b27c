"""How endpoints run, and what the machine's control groups are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_cloud.hosting.containers.oci_runtime import (
    Hierarchy,
    OciRuntime,
    RuntimeFindings,
    RuntimeUnavailableError,
    choose,
    hierarchy_of,
    refusal,
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

    assert hierarchy_of([tmpfs, hybrid, cpu, memory]) == V1
    assert hierarchy_of([unified]) == V2
    assert hierarchy_of([tmpfs, cpu]) is None
    assert hierarchy_of(["", "disk /memory ext4 rw,memory 0 0"]) is None


def test_each_version_counts_kills_in_a_file_of_its_own() -> None:
    """Both have a line `oom_kill`."""
    assert V1.counter("/sealift-one") == Path("/sys/fs/cgroup/memory/sealift-one/memory.oom_control")
    assert V2.counter("/sealift-one") == Path("/sys/fs/cgroup/sealift-one/memory.events")


def test_swap_is_limited_where_the_kernel_counts_it(tmp_path: Path) -> None:
    """Version 1 has a file for it, if the kernel was told to."""
    assert V2.limits_swap()
    assert not Hierarchy(tmp_path, unified=False).limits_swap()
    (tmp_path / "memory.memsw.limit_in_bytes").touch()
    assert Hierarchy(tmp_path, unified=False).limits_swap()


def test_containers_are_taken_where_they_work_and_processes_elsewhere() -> None:
    """With the reason in one line."""
    works = choose("auto", lambda: RuntimeFindings(RUNTIME, "runc 1.1.5 works here"))
    fails = choose("auto", lambda: RuntimeFindings(None, "containers need root"))

    assert works.runtime == RUNTIME
    assert works.line == (
        "endpoints whose image is here run in containers of it (runc 1.1.5 works here), others in processes"
    )
    assert fails.runtime is None
    assert fails.line == "endpoints run in processes of this machine: containers need root"


def test_processes_as_requested_look_for_no_runtime() -> None:
    """Nothing is tried."""

    def find() -> RuntimeFindings:
        raise AssertionError("looked")

    assert choose("process", find).runtime is None


def test_who_insists_on_containers_gets_no_processes() -> None:
    """But the reason."""
    assert choose("runc", lambda: RuntimeFindings(RUNTIME, "it works")).runtime == RUNTIME
    with pytest.raises(RuntimeUnavailableError, match="containers need root"):
        choose("runc", lambda: RuntimeFindings(None, "containers need root"))


def test_what_a_runtime_says_is_told_without_its_time_and_level() -> None:
    """Runc's lines are logfmt; crun's are plain."""
    runc = 'time="2026-01-01T00:00:00Z" level=error msg="runc run failed: exec: \\"/bin/true\\": permission denied"'

    assert refusal(f"a warning\n{runc}\n") == 'runc run failed: exec: "/bin/true": permission denied'
    assert (
        refusal("cannot set rlimit: Operation not permitted") == "cannot set rlimit: Operation not permitted"
    )
    assert refusal("") == ""
