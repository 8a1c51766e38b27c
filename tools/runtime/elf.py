"""What a shared library asks of the machine it is loaded on: other libraries, and versions of their symbols.

Owns as much of the ELF format as that takes (64-bit, little-endian: System V ABI, chapters 4 and 5; the version needs
are GNU's extension, LSB core specification 10.7). Refuses every other file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

MACHINES = {62: "x86_64", 183: "aarch64"}
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _RPATH, _RUNPATH, _VERNEED, _VERNEEDNUM = 1, 5, 15, 29, 0x6FFFFFFE, 0x6FFFFFFF


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
        return _parse(data)
    except (struct.error, ValueError) as error:
        raise NotElf(f"{name!r} is cut short or damaged: {error}") from error


def _parse(data: bytes) -> Library:
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, table + n * size) for n in range(count)]
    loads = [(where, at, length) for kind, _, at, where, _, length in headers if kind == _LOAD]

    def offset(address: int) -> int:
        for where, at, length in loads:
            if where <= address < where + length:
                return address - where + at
        raise ValueError(f"address {address:#x} is in no segment")

    entries: list[tuple[int, int]] = []
    for kind, _, at, _, _, length in headers:
        if kind == _DYNAMIC:
            entries = [struct.unpack_from("<qQ", data, at + n) for n in range(0, length, 16)]
    # After the null entry there is room for others, which mean nothing.
    end = next((n for n, (tag, _) in enumerate(entries) if tag == 0), len(entries))
    single = dict(entries[:end])
    strings = offset(single[_STRTAB]) if _STRTAB in single else 0

    def text(at: int) -> str:
        return data[strings + at : data.index(b"\0", strings + at)].decode()

    versions = []
    if _VERNEED in single:
        at = offset(single[_VERNEED])
        for _ in range(single[_VERNEEDNUM]):
            _, auxiliaries, file, first, following = struct.unpack_from("<HHIII", data, at)
            inner = at + first
            for _ in range(auxiliaries):
                _, _, _, version, more = struct.unpack_from("<IHHII", data, inner)
                versions.append((text(file), text(version)))
                inner += more
            at += following
    path = single.get(_RUNPATH, single.get(_RPATH))
    return Library(
        machine=MACHINES.get(machine, f"machine {machine}"),
        needed=tuple(text(value) for tag, value in entries[:end] if tag == _NEEDED),
        runpath="" if path is None else text(path),
        versions=tuple(sorted(versions)),
    )
