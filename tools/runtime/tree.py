"""The built runtime as a folder of files: its manifest, and what must hold before it travels in an archive.

Owns the judgement, as a list of sentences; it refuses to mend anything.
"""

from __future__ import annotations

import ast
import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

import elf
import recipe

SYSTEM_LIBRARIES = frozenset(
    {
        "libc.so.6",
        "libm.so.6",
        "libdl.so.2",
        "libpthread.so.0",
        "librt.so.1",
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
    }
)
"""glibc's own: all that an image surely has."""
PYTHON = (3, 10)
"""Of the prebuilt image."""


def files(folder: Path) -> list[Path]:
    """Return the files below a folder in the order of their names, without what Python keeps beside them."""
    found = [path for path in folder.rglob("*") if "__pycache__" not in path.parts and not path.is_dir()]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def listing(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files(folder)
    }


def problems(folder: Path, machine: str) -> list[str]:
    """Return what is wrong with a tree."""
    return [*_modes(folder), *_libraries(folder, machine), *syntax(files(folder))]


def _modes(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield f"{path}: a symbolic link; wanted a file: archives with links are refused"
            continue
        wanted = 0o555 if stat.S_ISDIR(mode) else 0o444
        if mode & wanted != wanted:
            yield f"{path}: mode {stat.S_IMODE(mode):o}; wanted readable by all: an endpoint's user is not root"


def _libraries(folder: Path, machine: str) -> Iterator[str]:
    libraries = [path for path in files(folder) if path.suffix == ".so"]
    own = {path.name for path in libraries}
    wanted = {"libllama.so", "libggml.so", "libggml-base.so", f"lib{recipe.CHAT}.so"}
    wanted |= {f"libggml-cpu-{variant.name}.so" for variant in recipe.VARIANTS[machine]}
    if own != wanted:
        yield f"{folder}: libraries {sorted(own)}; wanted {sorted(wanted)}"
    for path in libraries:
        try:
            library = elf.read(path)
        except elf.NotElf as error:
            yield str(error)
            continue
        newest = library.newest_glibc()
        if newest > recipe.NEWEST_GLIBC:
            yield f"{path}: needs glibc {newest}; wanted at most {recipe.NEWEST_GLIBC}"
        strangers = sorted(set(library.needed) - SYSTEM_LIBRARIES - own)
        if strangers:
            yield f"{path}: needs {', '.join(strangers)}; wanted only glibc's libraries and its own"
        if library.machine != machine:
            yield f"{path}: built for {library.machine}; wanted {machine}: run this on such a machine"
        if library.runpath != "$ORIGIN":
            yield f"{path}: run path {library.runpath!r}; wanted '$ORIGIN'"


def syntax(paths: list[Path]) -> Iterator[str]:
    """Yield which Python files the image's Python cannot read."""
    for path in paths:
        if path.suffix == ".py":
            try:
                ast.parse(path.read_bytes(), feature_version=PYTHON)
            except SyntaxError as error:
                yield f"{path}:{error.lineno}: {error.msg}; wanted Python {PYTHON[0]}.{PYTHON[1]}"


def best_variant(machine: str, cpu_flags: frozenset[str]) -> recipe.Variant | None:
    """Return the variant that a CPU with these flags should get."""
    fitting = [variant for variant in recipe.VARIANTS[machine] if variant.flags <= cpu_flags]
    return fitting[-1] if fitting else None
