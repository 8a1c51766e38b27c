"""What a shared library asks of the machine it is loaded on: other libraries, and versions of their symbols.

Owns which facts those are; pyelftools reads the format. Refuses what is no 64-bit little-endian ELF file, and one whose
facts are not there to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}


class NotElf(ValueError):
    """The bytes are not a 64-bit little-endian ELF file."""


@dataclass(frozen=True, slots=True)
class Library:
    """The facts of one shared library."""

    machine: str
    needed: tuple[str, ...]
    runpath: str
    versions: tuple[tuple[str, str], ...]
    """Library and version of its symbols, as ("libc.so.6", "GLIBC_2.17")."""

    def newest_glibc(self) -> tuple[int, ...]:
        """Return the newest version of glibc that a symbol needs; () when none does."""
        found = [version for _, version in self.versions if version.startswith("GLIBC_2.")]
        return max((tuple(map(int, version[6:].split("."))) for version in found), default=())


def read(path: Path) -> Library:
    """Return the facts of a file; raise NotElf when it has none."""
    return parse(path.read_bytes(), str(path))


def parse(data: bytes, name: str) -> Library:
    """Return the facts of a file's content; raise NotElf when it has none."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise NotElf(f"{name!r} begins with {data[:6]!r}; wanted a 64-bit little-endian ELF file")
    try:
        return _library(ELFFile(BytesIO(data)))
    # pyelftools follows whatever a damaged header says, and what it meets there is not always its own error.
    except (
        ELFError,
        ConstructError,
        ValueError,
        LookupError,
        ArithmeticError,
        TypeError,
        AttributeError,
    ) as error:
        raise NotElf(f"{name!r} is cut short or damaged: {error}") from error


def _library(file: ELFFile) -> Library:
    sections = list(file.iter_sections())
    dynamic = next((one for one in sections if isinstance(one, DynamicSection)), None)
    needs = next((one for one in sections if isinstance(one, GNUVerNeedSection)), None)
    # A library that needs nothing of glibc is none of ours; one without its sections would pass for such a one.
    if dynamic is None or needs is None:
        raise NotElf("it has no dynamic section, or none with the versions that it needs")
    # Each has its text as an attribute that is called like the tag.
    tags: list[Any] = list(dynamic.iter_tags())
    paths = [one.runpath for one in tags if one.entry.d_tag == "DT_RUNPATH"]
    paths += [one.rpath for one in tags if one.entry.d_tag == "DT_RPATH"]
    machine = file["e_machine"]
    return Library(
        machine=MACHINES.get(machine, f"machine {machine}"),
        needed=tuple(one.needed for one in tags if one.entry.d_tag == "DT_NEEDED"),
        runpath=paths[0] if paths else "",
        versions=tuple(
            sorted((str(need.name), version.name) for need, rows in needs.iter_versions() for version in rows)
        ),
    )
