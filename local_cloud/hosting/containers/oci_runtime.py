"""Whether this machine can run true containers, by which program, and what its control groups are called.

Owns the facts and the one real try: a container with every limit that an endpoint's has, of this machine's own
programs, that ends at once. Refuses to guess from versions: a runtime may be there and be refused by the kernel, or by
whatever this machine itself runs in.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from local_cloud.hosting.containers.oci_bundle import (
    FILES,
    POINTS,
    Accounts,
    Allotment,
    Placement,
    bundle_config,
)
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROGRAMS: Final = ("runc", "crun")
"""In the order of preference. Podman and others run one of these, and want more of a machine."""
_PATIENCE_S: Final = 20.0
_MESSAGE: Final = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
_MOUNTS: Final = Path("/proc/self/mounts")
_WITHOUT: Final = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'umount "$0" && exec "$@"')
"""Runs a command that does not see what is mounted at the first argument; nobody else notices."""
_TRIAL_BYTES: Final = 64 * MiB
_OF_THIS_MACHINE: Final = ("usr", "bin", "lib", "lib64")


Mode = Literal["auto", "process", "runc", "crun"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)


class RuntimeUnavailableError(Exception):
    """True containers were asked for, and there are none; the message says why."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The control groups that limit memory."""

    path: Path
    """Where they are mounted."""
    unified: bool
    """Whether they are of version 2."""
    beside: Path | None = None
    """Where those of version 2 are mounted beside these of version 1, without the memory."""

    def limits_memory(self) -> bool:
        """Return whether memory can be limited by them: version 2 may be mounted and have no say in it."""
        if not self.unified:
            return True
        try:
            return "memory" in (self.path / "cgroup.controllers").read_text().split()
        except OSError:
            return False

    def limit(self, cgroup: str) -> Path:
        """Return the file with the most bytes that a group may have, whose path begins at the top."""
        return self._file(cgroup, "memory.max" if self.unified else "memory.limit_in_bytes")

    def counter(self, cgroup: str) -> Path:
        """Return the file with the count `oom_kill` of a group, whose path begins at the top."""
        return self._file(cgroup, "memory.events" if self.unified else "memory.oom_control")

    def limits_swap(self) -> bool:
        """Return whether the kernel counts swap by group."""
        if not self.unified:
            return (self.path / "memory.memsw.limit_in_bytes").exists()
        # The top of version 2 has no limits: any group below that has one for memory tells.
        limited = list(self.path.glob("*/memory.max"))
        return not limited or any(one.with_name("memory.swap.max").exists() for one in limited)

    def _file(self, cgroup: str, name: str) -> Path:
        return self.path / cgroup.lstrip("/") / name


@dataclass(frozen=True, slots=True)
class OciRuntime:
    """A program that runs containers here."""

    program: str
    version: str
    hierarchy: Hierarchy
    swap: bool
    """Whether swap can be limited."""
    hides: Path | None = None
    """What is mounted there and must not be seen by it: crun runs nothing where both versions are mounted."""

    def command(self, state: Path, *arguments: str) -> list[str]:
        """Return a call of it that keeps its notes in `state`."""
        hidden = () if self.hides is None else (*_WITHOUT, str(self.hides))
        return [*hidden, self.program, "--root", str(state), *arguments]

    def run(self, state: Path, bundle: Path, identity: str, pid_file: Path) -> list[str]:
        """Return the call that starts a container and leaves it running, with the caller's output as its own."""
        return self.command(
            state,
            "--log",
            str(bundle / "runtime.log"),
            "run",
            "--detach",
            "--bundle",
            str(bundle),
            "--pid-file",
            str(pid_file),
            identity,
        )

    def delete(self, state: Path, identity: str) -> list[str]:
        """Return the call that kills a container, forgets it and removes its control group; it may be gone."""
        return self.command(state, "delete", "--force", identity)

    def placement(self, *, root: Path, folder: Path, model: Path | None, identity: str) -> Placement:
        """Return where a container of this runtime is."""
        return Placement(
            root=root,
            folder=folder,
            model=model,
            cgroup=cgroup_of(identity),
            limits_swap=self.swap,
            unified=self.hierarchy.unified,
        )


@dataclass(frozen=True, slots=True)
class RuntimeFindings:
    """What came of looking."""

    runtime: OciRuntime | None
    reason: str
    """Why there is none; how it was found otherwise."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How endpoints run."""

    runtime: OciRuntime | None
    """None for processes."""
    line: str
    """What to tell about it."""


def choose(mode: Mode, find: Callable[[tuple[str, ...]], RuntimeFindings] | None = None) -> Choice:
    """Return how endpoints run, and why.

    Args:
        mode: `auto` takes true containers where they work, a program's name insists on them and on it, `process` looks
            for none.
        find: looks for the first of these programs that works; this machine when None.

    Raises:
        RuntimeUnavailableError: with a program's name, where it does not work.
    """
    if mode == "process":
        return Choice(None, "endpoints run in processes of this machine, as requested")
    found = (find or find_runtime)(PROGRAMS if mode == "auto" else (mode,))
    if found.runtime is not None:
        line = f"endpoints whose image is here run in containers of it ({found.reason}), others in processes"
        return Choice(found.runtime, line)
    if mode != "auto":
        raise RuntimeUnavailableError(found.reason)
    return Choice(None, f"endpoints run in processes of this machine: {found.reason}")


def cgroup_of(identity: str) -> str:
    """Return the path of a container's control group."""
    return f"/sealift-{identity}"


def hierarchy_of(mounts: Iterable[str]) -> Hierarchy | None:
    """Return the control groups that limit memory, from the lines of /proc/mounts; None where there are none.

    Where both versions are mounted, version 1 has the memory when any of its hierarchies does.
    """
    first: Path | None = None
    second: Path | None = None
    for line in mounts:
        _, path, kind, options, *_ = [*line.split(), "", "", "", ""]
        if kind == "cgroup" and "memory" in options.split(","):
            first = first or Path(path)
        if kind == "cgroup2":
            second = second or Path(path)
    if first is not None:
        return Hierarchy(first, unified=False, beside=second)
    return None if second is None else Hierarchy(second, unified=True)


@cache
def find_runtime(among: tuple[str, ...] = PROGRAMS) -> RuntimeFindings:
    """Return the first of these runtimes that works on this machine, after a try; looked for once."""
    if sys.platform != "linux":
        return RuntimeFindings(None, "containers need Linux")
    if os.geteuid() != 0:
        return RuntimeFindings(None, "containers need root")
    programs = [found for found in map(shutil.which, among) if found]
    if not programs:
        missing = (
            f"{among[0]} is not installed"
            if len(among) == 1
            else f"neither {' nor '.join(among)} is installed"
        )
        return RuntimeFindings(None, missing)
    hierarchy = hierarchy_of(_MOUNTS.read_text().splitlines())
    if hierarchy is None or not hierarchy.limits_memory():
        return RuntimeFindings(None, "no control groups that limit memory are mounted")
    refusals = []
    for program in programs:
        runtime = OciRuntime(program, _version(program), hierarchy, hierarchy.limits_swap())
        for tried in ways_of(runtime):
            refused = _attempt(tried)
            if refused is None:
                return RuntimeFindings(tried, f"{tried.version} works here")
            refusals.append(f"{Path(program).name} failed: {refused}")
    return RuntimeFindings(None, "; ".join(dict.fromkeys(refusals)))


def ways_of(runtime: OciRuntime) -> tuple[OciRuntime, ...]:
    """Return how a runtime may be tried: as it is, then without the control groups that are mounted beside."""
    beside = runtime.hierarchy.beside
    return (runtime,) if beside is None else (runtime, replace(runtime, hides=beside))


def refusal(said: str) -> str:
    """Return the last line of what a runtime wrote, without the time and the level that runc puts before it."""
    line = said.strip().rpartition("\n")[2]
    found = _MESSAGE.search(line)
    return found[1].replace('\\"', '"') if found else line


def _version(program: str) -> str:
    told = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )
    words = told.stdout.split("\n", 1)[0].split()
    return f"{Path(program).name} {words[-1]}" if words else Path(program).name


def _attempt(runtime: OciRuntime) -> str | None:
    """Run a container that ends at once; return why it did not."""
    with tempfile.TemporaryDirectory(prefix="sealift-trial-") as made:
        folder, identity = Path(made), f"trial-{secrets.token_hex(8)}"
        root = folder / "root"
        sources = [name for name in _OF_THIS_MACHINE if Path("/", name).is_dir()]
        for name in (*POINTS, *sources, "etc"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (root / name).touch()
        write_files(folder)
        document = bundle_config(
            {"config": {"Entrypoint": ["/bin/true"]}},
            {},
            accounts=Accounts(),
            placement=runtime.placement(root=root, folder=folder, model=None, identity=identity),
            allotment=Allotment(_TRIAL_BYTES, serverless=True),
        )
        document["mounts"] += [
            {"destination": f"/{name}", "type": "bind", "source": f"/{name}", "options": ["rbind", "ro"]}
            for name in sources
        ]
        (folder / "config.json").write_text(json.dumps(document))
        state = folder / "state"
        run = runtime.command(state, "run", "--bundle", str(folder), identity)
        try:
            ended = subprocess.run(
                run, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired:
            return f"a trial container did not end within {_PATIENCE_S:g} s"
        finally:
            subprocess.run(runtime.delete(state, identity), capture_output=True, check=False)
        if ended.returncode == 0:
            return None
        return refusal(ended.stderr.decode("utf-8", "replace")) or f"status {ended.returncode}"


def write_files(folder: Path) -> None:
    """Write what an engine writes for each container: its name, and who is who on its network, which is nobody else."""
    for name, text in (
        ("hosts", "127.0.0.1\tlocalhost container\n::1\tlocalhost\n"),
        ("hostname", "container\n"),
        ("resolv.conf", ""),
    ):
        path = folder / "etc" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
