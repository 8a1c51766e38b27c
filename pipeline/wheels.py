"""Locked libraries as wheels for another Python and another machine than this one's.

Owns how they get here: pip fetches them, once, and each is held against the hashes of its lock file before it is used,
each time. Refuses a wheel that is not in the lock, and to build one. What of a wheel is used, whoever uses it decides.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.errors import InvalidInput, Problem, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    Run = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]

MACHINES: Final = {"x86_64": "manylinux2014_x86_64", "arm64": "manylinux2014_aarch64"}
"""The wheels' tag by Lambda's name of the machine; the C library of all its Pythons that are supported is newer."""
_PROJECT: Final = r"([A-Za-z0-9._-]+)=="
"""How the lines of a project begin in a lock file."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What the tasks run on."""

    python: str
    """``3.13``"""
    machine: str
    """``x86_64`` or ``arm64``"""

    @property
    def tag(self) -> str:
        """Return what the wheels' names say of the Python."""
        return f"cp{self.python.replace('.', '')}"

    def fits(self, name: str) -> bool:
        """Return whether a wheel is for this platform, by its name."""
        machine = MACHINES[self.machine].rpartition("2014_")[2]
        _, _, tags = name.removesuffix(".whl").partition("-")
        linux = f"-{self.tag}-manylinux" in tags and tags.endswith(machine)
        return linux or tags.endswith("-none-any")


def locked(lock: str) -> dict[str, frozenset[str]]:
    """Return the SHA-256 hashes of a lock file by the project that they are for."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in lock.splitlines():
        if match := re.match(_PROJECT, line):
            name = _spelled(match[1])
        if name:
            found.setdefault(name, set()).update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return {project: frozenset(hashes) for project, hashes in found.items()}


def part(lock: str, projects: Collection[str]) -> str:
    """Return the part of a lock file that is for some projects, which are named as wheels spell them."""
    kept, name = [], ""
    for line in lock.splitlines(keepends=True):
        if match := re.match(_PROJECT, line):
            name = _spelled(match[1])
        if name in projects:
            kept.append(line)
    return "".join(kept)


def fetch(lock: Path, target: Platform, cache: Path, *, run: Run | None = None) -> dict[str, Path]:
    """Return the wheels of a lock file for a platform, by the project, as wheels spell it.

    Args:
        lock: what pip wrote, with hashes.
        target: what they are to run on.
        cache: the folder in which wheels are kept.
        run: runs a command and returns how it ended.

    Raises:
        InvalidInput: there is no pip, or what it fetched is not in the lock.
        ServiceUnavailable: pip could not fetch them.
    """
    text = lock.read_text(encoding="utf-8")
    wanted = locked(text)
    found = _kept(wanted, target, cache, text)
    if set(wanted) - set(found):
        _fetch(lock, target, cache, run or _run)
        found = _kept(wanted, target, cache, text)
        if missing := sorted(set(wanted) - set(found)):
            seen = f"no wheel of {', '.join(missing)} in {cache} with a hash that the lock has"
            fix = f"delete {cache} and try again"
            raise InvalidInput(str(lock), [Problem("WrongWheel", seen, "one that is as locked", fix)])
    return found


def _spelled(project: str) -> str:
    return re.sub(r"[-_.]+", "_", project).lower()


def _kept(wanted: Mapping[str, frozenset[str]], target: Platform, cache: Path, lock: str) -> dict[str, Path]:
    """Return the wheels that are there, for the platform, and as they were locked."""
    found = {}
    for wheel in sorted(cache.glob("*.whl")):
        name, _, rest = wheel.name.partition("-")
        project, version = name.lower(), rest.partition("-")[0]
        if project in wanted and target.fits(wheel.name) and version in _versions(lock, project):
            if hashlib.sha256(wheel.read_bytes()).hexdigest() in wanted[project]:
                found[project] = wheel
            else:
                # A download that was cut short, or other content of that name: pip would keep it. A wheel of another
                # version is another lock's.
                wheel.unlink()
    return found


def _versions(lock: str, project: str) -> set[str]:
    """Return the versions that a lock has of a project."""
    lines = [match for line in lock.splitlines() if (match := re.match(rf"{_PROJECT}([^ ;\\\\]+)", line))]
    return {match[2] for match in lines if _spelled(match[1]) == project}


def _fetch(lock: Path, target: Platform, cache: Path, run: Run) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    command = [
        *pip(),
        *("download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"),
        *("--only-binary", ":all:", "--implementation", "cp"),
        *("--platform", MACHINES[target.machine], "--python-version", target.python),
        *("--requirement", str(lock), "--dest", str(cache)),
    ]
    done = run(command)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            done.stderr.strip()
        ]
        fix = f"check the network (PIP_INDEX_URL names another index), or lay the wheels into {cache}"
        raise ServiceUnavailable(
            f"pip could not fetch the libraries of {lock.name} for Python {target.python} on {target.machine}: "
            f"{said[-1].removeprefix('ERROR: ')}; wanted a package index that has them; {fix}",
            fix=fix,
        )


def pip(
    has: Callable[[str], object] = importlib.util.find_spec, which: Callable[[str], str | None] = shutil.which
) -> list[str]:
    """Return the command that runs a pip: this Python's, uv's, or the first on the path.

    Raises:
        InvalidInput: there is none.
    """
    if has("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := which("uv"):
        return [uv, "tool", "run", "pip"]
    if other := which("pip3") or which("pip"):
        return [other]
    fix = "install pip or uv, whichever you like"
    seen = "neither pip nor uv"
    wanted = "one of them, to fetch the libraries that travel with the Lambdas or the image"
    raise InvalidInput("deploy", [Problem("NoPip", seen, wanted, fix)])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(command), capture_output=True, text=True, check=False)
