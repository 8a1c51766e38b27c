"""What lies in a folder, path by path, so that two of them can be compared.

Owns what counts: kind, mode, owner, content or target of a link. Times do not, and of Python's bytecode the code
counts, not how it was written down: who compiled it held other objects. Refuses to follow a link.
"""

from __future__ import annotations

import hashlib
import marshal
import stat
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import CodeType

_HEADER: Final = 16
"""Bytes before the code in a .pyc: PEP 552."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One path."""

    kind: str
    mode: str
    """Octal."""
    owner: str
    content: str
    """The SHA-256 of a file, the target of a link; empty for a folder."""


def read(root: Path, below: str = "") -> dict[str, Entry]:
    """Return all that lies in a folder, or in one below it, by path from `root`."""
    folder = root / below
    return {path.relative_to(root).as_posix(): _entry(path) for path in sorted(folder.rglob("*"))}


def _entry(path: Path) -> Entry:
    status = path.lstat()
    owner = f"{status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        # Of a link the mode is the machine's.
        return Entry("link", "", owner, str(path.readlink()))
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    if stat.S_ISDIR(status.st_mode):
        return Entry("folder", mode, owner, "")
    if not stat.S_ISREG(status.st_mode):
        return Entry("device", mode, owner, f"{status.st_rdev}")
    return Entry("file", mode, owner, digest(path))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; of bytecode, that of its header and its code."""
    if path.suffix != ".pyc":
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = path.read_bytes()
    try:
        # It comes from a build of this test, which trusts it as far as to run it.
        code = repr(_plain(marshal.loads(content[_HEADER:])))  # noqa: S302
    except (ValueError, EOFError, TypeError):
        return hashlib.sha256(content).hexdigest()  # another Python's
    return hashlib.sha256(content[:_HEADER] + code.encode()).hexdigest()


def _plain(code: CodeType) -> tuple[object, ...]:
    consts = tuple(_plain(one) if hasattr(one, "co_code") else _ordered(one) for one in code.co_consts)
    return (
        code.co_filename,
        code.co_name,
        code.co_firstlineno,
        code.co_flags,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_code,
        code.co_linetable,
        code.co_exceptiontable,
        consts,
    )


def _ordered(const: object) -> object:
    # A set of texts has another order in each process.
    return ("frozenset", sorted(map(repr, const))) if isinstance(const, frozenset) else const


def differences(left: Mapping[str, Entry], right: Mapping[str, Entry]) -> list[str]:
    """Return one line for each path that is not the same in both; none where the trees are alike."""
    found = [f"{path}: only in the first" for path in left.keys() - right.keys()]
    found += [f"{path}: only in the second" for path in right.keys() - left.keys()]
    for path in left.keys() & right.keys():
        for part in fields(Entry):
            one, other = getattr(left[path], part.name), getattr(right[path], part.name)
            if one != other:
                found.append(f"{path}: {part.name} {one!r} and {other!r}")
    return sorted(found)
