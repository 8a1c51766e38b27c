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
from dataclasses import dataclass
from functools import lru_cache
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
"""In the order of preference. Podman and others want more of a machine than one of these."""
_PATIENCE_S: Final = 20.0
_MESSAGE: Final = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
_MOUNTS: Final = Path("/proc/self/mounts")
_TRIAL_BYTES: Final = 64 * MiB
_OF_THIS_MACHINE: Final = ("usr", "bin", "lib", "lib64")


Mode = Literal["auto", "process", "runc"]
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

    def counter(self, cgroup: str) -> Path:
        """Return the file with the count `oom_kill` of a group, whose path begins at the top."""
        name = "memory.events" if self.unified else "memory.oom_control"
        return self.path / cgroup.lstrip("/") / name

    def limits_swap(self) -> bool:
        """Return whether the kernel counts swap by group."""
        return self.unified or (self.path / "memory.memsw.limit_in_bytes").exists()


@dataclass(frozen=True, slots=True)
class OciRuntime:
    """A program that runs containers here."""

    program: str
    version: str
    hierarchy: Hierarchy
    swap: bool
    """Whether swap can be limited."""

    def command(self, state: Path, *arguments: str) -> list[str]:
        """Return a call of it that keeps its notes in `state`."""
        return [self.program, "--root", str(state), *arguments]

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


def choose(mode: Mode, find: Callable[[], RuntimeFindings] | None = None) -> Choice:
    """Return how endpoints run, and why.

    Args:
        mode: `auto` takes true containers where they work, `runc` insists on them, `process` looks for none.
        find: looks; this machine when None.

    Raises:
        RuntimeUnavailableError: with `runc`, where they do not work.
    """
    if mode == "process":
        return Choice(None, "endpoints run in processes of this machine, as requested")
    found = (find or find_runtime)()
    if found.runtime is not None:
        line = f"endpoints whose image is here run in containers of it ({found.reason}), others in processes"
        return Choice(found.runtime, line)
    if mode == "runc":
        raise RuntimeUnavailableError(found.reason)
    return Choice(None, f"endpoints run in processes of this machine: {found.reason}")


def cgroup_of(identity: str) -> str:
    """Return the path of a container's control group."""
    return f"/sealift-{identity}"


def hierarchy_of(mounts: Iterable[str]) -> Hierarchy | None:
    """Return the control groups that limit memory, from the lines of /proc/mounts; None where there are none.

    Where both versions are mounted, version 1 has the memory when any of its hierarchies does.
    """
    unified: Hierarchy | None = None
    for line in mounts:
        _, path, kind, options, *_ = [*line.split(), "", "", "", ""]
        if kind == "cgroup" and "memory" in options.split(","):
            return Hierarchy(Path(path), unified=False)
        if kind == "cgroup2" and unified is None:
            unified = Hierarchy(Path(path), unified=True)
    return unified


@lru_cache(maxsize=1)
def find_runtime() -> RuntimeFindings:
    """Return the runtime of this machine, after a try; looked for once."""
    if sys.platform != "linux":
        return RuntimeFindings(None, "containers need Linux")
    if os.geteuid() != 0:
        return RuntimeFindings(None, "containers need root")
    programs = [found for found in map(shutil.which, PROGRAMS) if found]
    if not programs:
        return RuntimeFindings(None, f"neither {' nor '.join(PROGRAMS)} is installed")
    hierarchy = hierarchy_of(_MOUNTS.read_text().splitlines())
    if hierarchy is None:
        return RuntimeFindings(None, "no control groups that limit memory are mounted")
    refusals = []
    for program in programs:
        runtime = OciRuntime(program, _version(program), hierarchy, hierarchy.limits_swap())
        refused = _attempt(runtime)
        if refused is None:
            return RuntimeFindings(runtime, f"{runtime.version} works here")
        refusals.append(f"{Path(program).name} failed: {refused}")
    return RuntimeFindings(None, "; ".join(refusals))


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
