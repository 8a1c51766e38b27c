"""What `inference/Dockerfile` makes, without Docker: its lines are read and carried out in a folder.

Owns the few instructions that file uses: COPY copies, with `.dockerignore` and owned by root as Docker does; RUN runs
in the folder as its root; ENV and the like make the configuration. Refuses an instruction that it does not know, so
that none is passed over. The base has no pip, so `RUN pip install` runs outside, for the base's Python.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.image_test import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = "3.11"
"""Of the base."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One of a Dockerfile, with its arguments as one line."""

    name: str
    arguments: str


def parse(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile: continued lines joined, comments left out."""
    joined = ""
    found = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        joined += line.removesuffix("\\") if line.endswith("\\") else line
        if line.endswith("\\"):
            continue
        if joined.strip():
            name, _, arguments = joined.strip().partition(" ")
            found.append(Instruction(name.upper(), " ".join(arguments.split())))
        joined = ""
    return found


@dataclass
class Stage:
    """An image on its way: its root, and what its configuration will say."""

    root: Path
    configuration: dict[str, Any] = field(default_factory=dict)
    """By the names of an image's `config`, what the Dockerfile says alone."""


class Unknown(Exception):
    """The Dockerfile has an instruction that is not carried out here."""


def build(text: str, unpack: Callable[[], Path], context: Path = ROOT) -> Stage:
    """Carry a Dockerfile out, and return its last stage.

    Args:
        text: the Dockerfile.
        unpack: gives the root of a fresh base, whatever FROM names.
        context: the folder that COPY copies from.

    Raises:
        Unknown: it has what is not known here.
        subprocess.CalledProcessError: a RUN failed.
    """
    stages: list[tuple[str, Stage]] = []
    ignored = _Ignored((context / ".dockerignore").read_text(encoding="utf-8")).of(context)
    for instruction in parse(text):
        words = shlex.split(instruction.arguments)
        match instruction.name:
            case "FROM":
                name = words[2] if len(words) == 3 and words[1].upper() == "AS" else ""
                stages.append((name, Stage(unpack())))
            case "COPY" if words[0].startswith("--from="):
                source = dict(stages)[words[0].removeprefix("--from=")].root
                for path in words[1:-1]:
                    _copy(
                        source / path.lstrip("/"), stages[-1][1].root / words[-1].lstrip("/"), lambda _: False
                    )
            case "COPY" if not words[0].startswith("--"):
                _copy_context(words, stages[-1][1].root, context, ignored)
            case "RUN":
                _run(instruction.arguments, stages[-1][1].root)
            case _:
                _configure(instruction, words, stages[-1][1].configuration)
    return stages[-1][1]


def _copy_context(words: list[str], root: Path, context: Path, leaves_out: Callable[[Path], bool]) -> None:
    for path in words[:-1]:
        target = root / words[-1].lstrip("/")
        if words[-1].endswith("/") and (context / path).is_file():
            target /= Path(path).name
        _copy(context / path, target, leaves_out)


def _configure(instruction: Instruction, words: list[str], configuration: dict[str, Any]) -> None:
    match instruction.name:
        case "ENV":
            configuration.setdefault("Env", {}).update(word.split("=", 1) for word in words)
        case "LABEL":
            configuration.setdefault("Labels", {}).update(word.split("=", 1) for word in words)
        case "USER":
            configuration["User"] = instruction.arguments
        case "WORKDIR":
            configuration["WorkingDir"] = instruction.arguments
        case "EXPOSE":
            configuration["ExposedPorts"] = {f"{port}/tcp": {} for port in words}
        case "ENTRYPOINT":
            configuration["Entrypoint"] = json.loads(instruction.arguments)
        case "CMD":
            configuration["Cmd"] = json.loads(instruction.arguments)
        case name:
            raise Unknown(
                f"{name} {instruction.arguments!r}; wanted what tools/image_test/dockerfile.py knows"
            )


class _Ignored:
    """What `.dockerignore` keeps out of the context."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        self.rules = [line for line in lines if line and not line.startswith("#")]

    def of(self, context: Path) -> Callable[[Path], bool]:
        """Return whether a path below the context is left out: the last rule that fits it decides."""

        def leaves_out(path: Path) -> bool:
            name = path.relative_to(context).as_posix()
            parts = [name, *(parent.as_posix() for parent in Path(name).parents)]
            out = False
            for rule in self.rules:
                pattern = rule.removeprefix("!")
                if any(_fits(part, pattern) for part in parts):
                    out = not rule.startswith("!")
            return out

        return leaves_out


def _fits(name: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatch(Path(name).name, pattern[3:])
    return name.count("/") == pattern.count("/") and fnmatch.fnmatch(name, pattern)


def _copy(source: Path, target: Path, leaves_out: Callable[[Path], bool]) -> None:
    for path in (source, *_below(source)):
        if path.is_file() and leaves_out(path):
            continue
        copied = target / path.relative_to(source) if path != source else target
        if path.is_symlink():
            copied.symlink_to(path.readlink())
        elif path.is_dir():
            # A folder that has nothing but what is left out is not sent to Docker at all.
            if path == source or any(one.is_file() and not leaves_out(one) for one in _below(path)):
                copied.mkdir(parents=True, exist_ok=True)
                shutil.copymode(path, copied)
        else:
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)
            shutil.copymode(path, copied)
        # Whoever is not root has no owner to give; then the paths are what can be compared.
        if os.geteuid() == 0 and os.path.lexists(copied):
            os.chown(copied, 0, 0, follow_symlinks=False)


def _below(folder: Path) -> Iterator[Path]:
    if folder.is_dir() and not folder.is_symlink():
        yield from sorted(folder.rglob("*"))


def _pip(arguments: list[str], root: Path) -> None:
    paths = {"/tmp/image.lock", "/opt/sealift/lib"}  # noqa: S108 a path in the image
    inside = [str(root / one.lstrip("/")) if one in paths else one for one in arguments]
    machine = os.uname().machine
    platforms = [f"--platform={kind}_{machine}" for kind in ("manylinux2014", "manylinux_2_28")]
    versions = ["--implementation=cp", f"--python-version={PYTHON}"]
    # --platform wants --only-binary, which the Dockerfile says; the newer platform is glibc 2.36's as well.
    command = [sys.executable, "-m", "pip", "install", "--quiet", *versions, *platforms, *inside]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _run(command: str, root: Path) -> None:
    if command.startswith("pip install "):
        installing, _, command = command.partition(" && ")
        _pip(shlex.split(installing)[2:], root)
    if command:
        _run_inside(command, root)


def _run_inside(command: str, root: Path) -> None:
    # In namespaces of its own, so that what is mounted goes with it.
    script = (
        'mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" '
        '&& exec chroot "$1" /usr/bin/env --ignore-environment PATH=/usr/local/bin:/usr/bin:/bin /bin/sh -c "$2"'
    )
    unshared = [str(tools.find("unshare")), "--mount", "--pid", "--fork", "--propagation", "private"]
    subprocess.run(
        [*unshared, "sh", "-c", script, "sh", str(root), command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
