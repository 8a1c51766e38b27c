"""Other readers of archives, as far as they are installed: which files they take out, of what size and content.

GNU tar and Python read everywhere; bsdtar, unzip and 7-Zip where somebody installed them. What is accepted must be
the same to all of them. `EXCUSED` is what may be read otherwise, each with its reason.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.archive.build import transcode
from pipeline.archive.checks.members import placed
from pipeline.archive.s3.sources import BytesSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.archive.checks.report import Kind
    from pipeline.archive.checks.rules import Rules
    from pipeline.archive.formats.deflate import Buffer

Files = dict[str, tuple[int, str]]
"""Size and SHA-256 by path; what is no regular file has size -1."""

ENVIRONMENT: Final = {**os.environ, "LC_ALL": "C.UTF-8"}
SEVEN_ZIP: Final = next((one for one in ("7zz", "7z") if shutil.which(one)), None)


class Refused(Exception):
    """A referee does not take the archive."""


def _run(command: list[str], data: bytes | None = None) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, check=False, env=ENVIRONMENT, timeout=20)
    if done.returncode:
        raise Refused(f"{done.returncode}: {(done.stderr or done.stdout).decode('utf-8', 'replace')[-300:]}")
    return done.stdout


def _gnu_tar(archive: Path, folder: Path) -> None:
    _run(["tar", "-xzf", str(archive), "-C", str(folder), "--no-same-owner"])


def _bsdtar(archive: Path, folder: Path) -> None:
    _run(["bsdtar", "-xf", str(archive), "-C", str(folder), "--no-same-owner"])


def _unzip(archive: Path, folder: Path) -> None:
    _run(["unzip", "-qq", "-o", str(archive), "-d", str(folder)])


def _zipfile(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)


def _seven_zip(archive: Path, folder: Path) -> None:
    if archive.name.endswith(".zip"):
        _run([str(SEVEN_ZIP), "x", "-y", "-tzip", f"-o{folder}", str(archive)])
        return
    plain = _run([str(SEVEN_ZIP), "x", "-tgzip", "-so", str(archive)])
    _run([str(SEVEN_ZIP), "x", "-y", "-ttar", "-si", f"-o{folder}"], plain)


TARS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "GNU tar": _gnu_tar,
    **({"bsdtar": _bsdtar} if shutil.which("bsdtar") else {}),
    **({"7-Zip": _seven_zip} if SEVEN_ZIP else {}),
}
ZIPS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "Python": _zipfile,
    **({"unzip": _unzip} if shutil.which("unzip") else {}),
    **({"bsdtar": _bsdtar} if shutil.which("bsdtar") else {}),
    **({"7-Zip": _seven_zip} if SEVEN_ZIP else {}),
}


@dataclass(frozen=True)
class Excuse:
    """What a referee may read otherwise."""

    referee: str
    told: str
    """What stands in what it says, or in how its files differ."""
    holds: tuple[bytes, ...]
    """What the archive's bytes have then."""
    reason: str

    def fits(self, referee: str, told: str, data: bytes) -> bool:
        """Tell whether it is this."""
        return self.referee == referee and self.told in told and all(one in data for one in self.holds)


_NAME_FIELD: Final = b"\x75\x70"
"""The tag of Info-ZIP's field for a name in UTF-8."""
EXCUSED: Final = (
    Excuse("Python", "files", (_NAME_FIELD,), "zipfile does not read the field for a name in UTF-8"),
    Excuse(
        "unzip",
        "overlapped components",
        (_NAME_FIELD, b"PK\7\x08"),
        "unzip 6.0's watch for bombs loses count where an entry has a name in that field and a descriptor",
    ),
    Excuse(
        "7-Zip",
        "data after the end of the payload",
        (b"\0" * 4,),
        "it unpacks, and reports zeros behind a gzip stream, which gzip and Python pass over",
    ),
)


def ours(name: str, data: bytes, rules: Rules) -> Files:
    """Return the files of an archive as Sealift takes them out where it writes an archive anew."""
    found: Files = {}
    register = _Register(found, rules)
    stream = transcode._stream_zip if name.endswith(".zip") else transcode._stream_tar
    stream(BytesSource(data, name), register, rules, None)  # type: ignore[arg-type]
    return found


class _Register:
    def __init__(self, found: Files, rules: Rules) -> None:
        self._found, self._rules = found, rules

    def enter(
        self, name: bytes, size: int, kind: Kind, at: int | None = None, mode: int | None = None
    ) -> _Kept | None:
        del size, at, mode
        return _Kept(self._found, placed(name, self._rules)[0]) if kind == "file" else None


class _Kept:
    def __init__(self, found: Files, path: str) -> None:
        self._found, self._path = found, path
        self._size, self._digest = 0, hashlib.sha256()

    def write(self, data: Buffer) -> None:
        self._size += len(data)
        self._digest.update(data)

    def close(self) -> None:
        self._found[self._path] = (self._size, self._digest.hexdigest())


def theirs(name: str, data: bytes, extract: Callable[[Path, Path], None], keep: Path | None = None) -> Files:
    """Return the files that a referee takes out.

    Raises:
        Refused: it takes none, or not all.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder) / name, Path(folder) / "out"
        archive.write_bytes(data)
        out.mkdir()
        extract(archive, out)
        if keep is not None:
            shutil.copytree(out, keep, dirs_exist_ok=True)
        return {
            path.relative_to(out).as_posix(): _file(path) for path in out.rglob("*") if not _is_folder(path)
        }


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _file(path: Path) -> tuple[int, str]:
    if path.is_symlink() or not path.is_file():
        return -1, ""
    return path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()


def disagreements(name: str, data: bytes, rules: Rules) -> Mapping[str, str]:
    """Return what each referee sees otherwise than we do in an accepted archive, the excused left out."""
    mine = ours(name, data, rules)
    found = {}
    for referee, extract in (ZIPS if name.endswith(".zip") else TARS).items():
        try:
            other = theirs(name, data, extract)
            told = "" if other == mine else f"files {difference(other, mine)}"
        except Exception as error:  # noqa: BLE001 whatever it is, it does not read what was accepted
            told = f"{type(error).__name__}: {error}"
        if told and not any(one.fits(referee, told, data) for one in EXCUSED):
            found[referee] = told
    return found


def difference(other: Files, mine: Files) -> str:
    """Return which files differ: a referee's, then ours."""
    names = sorted(path for path in {*other, *mine} if other.get(path) != mine.get(path))
    return "; ".join(
        f"{name!r}: {other.get(name, ('none',))[0]} and {mine.get(name, ('none',))[0]}" for name in names[:4]
    )
