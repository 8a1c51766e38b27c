"""Check that this tree may be released; write the release's notes, and say what a person runs to make it.

    python tools/release.py --check   exit with 1 and every reason why it may not, before a wheel is built
    python tools/release.py           the same with the wheel, then write .build/dist/notes-VERSION.md

Owns what a release needs. Refuses to make one: nothing is tagged or pushed here.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from packaging.version import InvalidVersion, Version

from pipeline import __version__

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import pages

TOP: Final = Path(__file__).resolve().parents[1]
DIST: Final = Path(".build/dist")
CHANGELOG: Final = "CHANGELOG.md"
UNRELEASED: Final = "Unreleased"
KINDS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Keep a Changelog 1.1.0, "Types of changes"."""

_HEADING: Final = re.compile(r"\[?(?P<version>[^\]\s]+)\]? - (?P<date>\d{4}-\d{2}-\d{2})")
_LINKS: Final = re.compile(r"(?:^\[[^\]\n]+\]: \S+\n*)+\Z", re.MULTILINE)
"""Where headings lead to, at the end of the file: no part of its last section."""


class ReleaseError(Exception):
    """The tree may not be released; the message has a line for each reason."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the changelog below a heading of the second level."""

    heading: str
    body: str

    @property
    def version(self) -> str | None:
        """The version that the heading names with a date, if it does."""
        found = _HEADING.fullmatch(self.heading)
        return found["version"] if found else None

    @property
    def released(self) -> date | None:
        """The date that the heading names, if it is one."""
        found = _HEADING.fullmatch(self.heading)
        try:
            return date.fromisoformat(found["date"]) if found else None
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Tree:
    """What is known of a work tree."""

    version: str
    changelog: str
    changed: Sequence[str]
    """What git calls changed or new, a line each."""
    tags: Sequence[str]
    today: date


def sections(changelog: str) -> list[Section]:
    """Return the sections of a changelog, from its top."""
    lines = re.sub(r"\r\n?", "\n", _LINKS.sub("", changelog)).split("\n")
    found = [one for one in pages.headings("\n".join(lines)) if one.level == 2]
    ends = [*(one.line for one in found), len(lines)][1:]
    return [
        Section(one.text, "\n".join(lines[one.end : end]).strip())
        for one, end in zip(found, ends, strict=False)  # no heading: one end, and no section
    ]


def tag(version: str) -> str:
    """Return the name of a version's tag."""
    return f"v{version}"


def problems(tree: Tree) -> Iterator[str]:
    """Yield each reason why a tree may not be released, with what to do."""
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", tree.version):
        yield f"version {tree.version!r} is not of the form 1.2.3 or 1.2.3rc1; correct pipeline/__init__.py"
        return
    if tree.changed:
        yield f"the work tree has {len(tree.changed)} changes ({_first(tree.changed)}); commit or remove them"
    if tag(tree.version) in tree.tags:
        yield f"the tag {tag(tree.version)} is taken; raise __version__ in pipeline/__init__.py"
    yield from _changelog_problems(tree)


def _first(lines: Sequence[str]) -> str:
    return ", ".join(line.strip() for line in lines[:3]) + (", ..." if len(lines) > 3 else "")


def _changelog_problems(tree: Tree) -> Iterator[str]:
    found = sections(tree.changelog)
    mine = next((one for one in found if _names(one.heading) == tree.version), None)
    if mine is None:
        yield (
            f"{CHANGELOG} has no section for {tree.version}; give the section {UNRELEASED!r} the heading "
            f"'## {tree.version} - {tree.today}', and put an empty '## {UNRELEASED}' above it"
        )
        return
    if mine.released is None:
        yield (
            f"the heading of {tree.version} in {CHANGELOG} is {mine.heading!r}; it must be "
            f"'{tree.version} - {tree.today}', the day of the release"
        )
    elif mine.released > tree.today:
        yield f"{CHANGELOG} dates {tree.version} to {mine.released}, which is after today, {tree.today}"
    if not mine.body:
        yield f"the section of {tree.version} in {CHANGELOG} is empty; say what changed"
    above, below = found[: found.index(mine)], found[found.index(mine) + 1 :]
    if any(one.body for one in above):
        yield (
            f"{CHANGELOG} has lines above the section of {tree.version}, under {above[0].heading!r}; move them "
            "into it, since they are in what is released"
        )
    if below and not _is_lower(_names(below[0].heading), tree.version):
        yield (
            f"the section below {tree.version} in {CHANGELOG} is {below[0].heading!r}, which is no lower "
            "version; the newest stands at the top"
        )


def _names(heading: str) -> str:
    """Return what a heading is about: its first word, without brackets."""
    return (heading.split() or [""])[0].strip("[]")


def _is_lower(version: str, than: str) -> bool:
    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return False


def notes(changelog: str, version: str) -> str:
    """Return the notes of a release: its section of the changelog, below a title.

    Raises:
        ReleaseError: There is no such section.
    """
    for section in sections(changelog):
        if section.version == version:
            return f"# Sealift {version}\n\n{section.body}\n"
    raise ReleaseError(f"{CHANGELOG} has no section '## {version} - YYYY-MM-DD'")


def commands(version: str, written: Path) -> list[list[str]]:
    """Return what a person runs to make the release: tag, push."""
    # By default git takes lines that begin with # for comments, and the notes' headings do.
    annotate = ["git", "tag", "--annotate", "--cleanup=whitespace", "--file", str(written), tag(version)]
    return [annotate, ["git", "push", "origin", tag(version)]]


# ------------------------------------------------------------------------------ the shell


def read_tree(top: Path, version: str, today: date) -> Tree:
    """Look at a work tree.

    Raises:
        ReleaseError: It is none of git's, or has no changelog.
    """
    try:
        changelog = (top / CHANGELOG).read_text(encoding="utf-8")
    except OSError as error:
        raise ReleaseError(f"{CHANGELOG} cannot be read: {error.strerror}") from error
    changed = _git(top, "status", "--porcelain", "--untracked-files=all")
    return Tree(version, changelog, changed, _git(top, "tag", "--list"), today)


def _git(top: Path, *arguments: str) -> list[str]:
    program = shutil.which("git")
    if program is None:
        raise ReleaseError("git is not installed, and it alone knows what would be released; install it")
    try:
        done = subprocess.run(
            [program, *arguments], cwd=top, capture_output=True, text=True, check=True, timeout=60
        )
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"git {arguments[0]} failed: {error.stderr.strip()}") from error
    return done.stdout.splitlines()


def check(tree: Tree) -> None:
    """Look at all that can be wrong.

    Raises:
        ReleaseError: Something is; all of it is in the message.
    """
    if wrong := list(problems(tree)):
        raise ReleaseError("\n".join(wrong))


def prepare(top: Path, tree: Tree) -> tuple[Path, Path]:
    """Write the notes of a tree that may be released; return wheel and notes, from its top.

    Raises:
        ReleaseError: There is no wheel of the version.
    """
    wheels = sorted((top / DIST).glob(f"sealift-{tree.version}-*.whl"))
    if not wheels:
        raise ReleaseError(f"no wheel of {tree.version} in {DIST}; run `make release`, which builds it")
    written = DIST / f"notes-{tree.version}.md"
    (top / written).write_text(notes(tree.changelog, tree.version), encoding="utf-8")
    return wheels[-1].relative_to(top), written


def main(arguments: Sequence[str], *, top: Path = TOP, version: str = __version__) -> int:
    """Run one command; say all that is wrong at once."""
    parser = argparse.ArgumentParser(prog="tools/release.py")
    parser.add_argument("--check", action="store_true", help="only look; write nothing, and want no wheel")
    given = parser.parse_args(arguments)
    try:
        tree = read_tree(top, version, datetime.now().astimezone().date())
        check(tree)
        if given.check:
            return 0
        wheel, written = prepare(top, tree)
    except ReleaseError as error:
        for line in str(error).splitlines():
            print(f"ERROR release: {line}", file=sys.stderr)
        return 1
    print(f"{version} may be released: {wheel}, {written}. These two make it a release:")
    for command in commands(version, written):
        print(f"  {shlex.join(command)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
