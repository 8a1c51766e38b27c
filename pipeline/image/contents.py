"""What our image holds beyond its base: the tree below /opt/sealift, in layers by how often they change.

Owns which file lies where, the same as `inference/Dockerfile` lays out (a test compares), and what is told of the
packages. Wheels are unpacked as they are: no pip writes into the tree, since what it writes differs by its version.
Bytecode is left out, since it differs by the Python that compiles it: docs/adr/0074 has what that costs. Refuses parts
that were not built, or for another machine.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from pipeline import package_files, wheels
from pipeline.errors import InvalidInput, Problem
from pipeline.image.layers import READABLE, RUNNABLE, Opened, TreeFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import BinaryIO

HOME: Final = "opt/sealift"
PYTHON: Final = "3.11"
"""Of the base: compiled libraries are for one minor version."""
PROGRAM: Final = "llama-server"

_MACHINES: Final = {"x86_64": 62, "arm64": 183}
"""ELF's e_machine."""
_MACHINE_NAMES: Final = {number: name for name, number in _MACHINES.items()}
_MAKE: Final = {"x86_64": "x86_64", "arm64": "aarch64"}
_OF_PIP: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""What of a wheel's metadata is about where it was installed."""
_VERSION: Final = re.compile(r'__version__ = "([^"]+)"')


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A layer to be, with what the image's history says of it."""

    title: str
    files: Mapping[str, TreeFile]
    """By path below the root."""


@dataclass(frozen=True, slots=True)
class ImageContents:
    """All that is laid on a base."""

    architecture: str
    """``x86_64`` or ``arm64``"""
    parts: tuple[ImagePart, ...]
    """From the one that changes least."""
    packages: Mapping[str, str]
    """Name and version of what others made, for the label `sealift.sbom`."""


def gather(
    architecture: str,
    cache: Path,
    *,
    run: wheels.Run | None = None,
    built_for: Callable[[str, str], Path] = package_files.built_for,
    lock: Path | None = None,
) -> ImageContents:
    """Return what an image for a machine holds; wheels are fetched where the cache has them not.

    Args:
        architecture: ``x86_64`` or ``arm64``.
        cache: the folder in which wheels are kept.
        run: runs a command and returns how it ended.
        built_for: returns where a part is built for a machine.
        lock: what is beside the runtime; requirements/image.lock unless given.

    Raises:
        InvalidInput: the runtime or llama-server was not built for that machine, or a wheel is not as locked.
        ServiceUnavailable: pip could not fetch the wheels.
    """
    # First what costs nothing to find missing.
    runtime_folder = built_for("runtime", architecture)
    runtime = runtime_files(runtime_folder, architecture)
    server = server_files(built_for(PROGRAM, architecture), architecture)
    code = {f"{HOME}/{name}": TreeFile(path) for name, path in package_files.image_code().items()}
    fetched = wheels.fetch(
        lock or package_files.image_lock(), wheels.Platform(PYTHON, architecture), cache, run=run
    )
    libraries: dict[str, TreeFile] = {}
    for wheel in fetched.values():
        libraries |= wheel_files(wheel)
    packages = {name: path.name.split("-")[1] for name, path in sorted(fetched.items())}
    parts = (
        ImagePart("libraries and the runtime", libraries | runtime),
        ImagePart(PROGRAM, server),
        ImagePart("inference code", code),
    )
    return ImageContents(
        architecture,
        tuple(part for part in parts if part.files),
        packages | {"llama-cpp-python": _version(runtime_folder)},
    )


def wheel_files(wheel: Path) -> dict[str, TreeFile]:
    """Return a wheel's files by where they lie in the image; programs and headers, which nothing calls, stay out."""
    # Open for as long as somebody may ask for a file of it: to read its directory a thousand times takes seconds.
    archive = zipfile.ZipFile(wheel)
    found = {}
    for info in archive.infolist():
        if not info.is_dir() and (place := _place(info.filename)):
            mode = RUNNABLE if info.external_attr >> 16 & 0o111 else READABLE
            # The lock has the wheel's digest already, so two of the same name hold the same.
            identity = f"{wheel.name} {info.filename} {info.file_size} {info.CRC:08x}"
            content = Opened(info.file_size, partial(_open_member, archive, info.filename), identity)
            found[f"{HOME}/lib/{place}"] = TreeFile(content, mode)
    return found


def runtime_files(folder: Path, architecture: str) -> dict[str, TreeFile]:
    """Return the files of the portable llama-cpp-python.

    Raises:
        InvalidInput: it was not built, or for another machine.
    """
    package_files.require_runtime(folder)
    _require_machine(folder, architecture, "runtime", sorted((folder / "llama_cpp" / "lib").glob("*.so")))
    return {
        f"{HOME}/lib/{name}": TreeFile(path) for name, path in package_files.runtime_files(folder).items()
    }


def server_files(folder: Path, architecture: str) -> dict[str, TreeFile]:
    """Return the files of llama.cpp's own server: all of them programs but the license.

    Raises:
        InvalidInput: it was not built, or for another machine.
    """
    programs = sorted(folder.glob(f"{PROGRAM}*"))
    if not (folder / PROGRAM).is_file():
        seen = f"no llama-server in {str(folder)!r}"
        fix = (
            _how(PROGRAM, architecture)
            if architecture != "x86_64"
            else "run `make llama-server` in a checkout"
        )
        raise InvalidInput("image", [Problem("LlamaServerMissing", seen, f"the one for {architecture}", fix)])
    _require_machine(folder, architecture, PROGRAM, programs)
    return {
        f"{HOME}/{PROGRAM}/{path.name}": TreeFile(path, RUNNABLE if path in programs else READABLE)
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }


def _place(name: str) -> str | None:
    """Return where a file of a wheel lies below the libraries; None for one that stays out."""
    top, *rest = PurePosixPath(name).parts
    if top.endswith(".dist-info") and rest and rest[-1] in _OF_PIP:
        return None
    if not top.endswith(".data"):
        return name
    return "/".join(rest[1:]) if rest and rest[0] in {"purelib", "platlib"} else None


def _open_member(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    return archive.open(name)  # type: ignore[return-value]


def _require_machine(folder: Path, architecture: str, name: str, programs: list[Path]) -> None:
    for machine in filter(None, map(_machine, programs)):
        if machine != _MACHINES[architecture]:
            seen = f"{str(folder)!r}, which is for {_MACHINE_NAMES.get(machine, 'another machine')}"
            problem = Problem("WrongMachine", seen, f"one for {architecture}", _how(name, architecture))
            raise InvalidInput("image", [problem])


def _machine(program: Path) -> int | None:
    """Return what machine a program is for, as ELF has it; None for a script."""
    with program.open("rb") as file:
        head = file.read(20)
    return int.from_bytes(head[18:20], "little") if head[:4] == b"\x7fELF" else None


def _how(name: str, architecture: str) -> str:
    if architecture == "x86_64":
        return f"run `make {name}` in a checkout, on such a machine"
    build = "tools/runtime build" if name == "runtime" else "tools/runtime/server.py"
    own = f"python {build} --machine {_MAKE[architecture]} --output .build/{name}-{architecture}"
    return f"run `make {name}` in a checkout on such a machine, or `.venv/bin/{own}` on any"


def _version(runtime: Path) -> str:
    """Return the version of the llama-cpp-python in a folder."""
    said = _VERSION.search((runtime / "llama_cpp" / "__init__.py").read_text(encoding="utf-8"))
    return said[1] if said else "unknown"
