"""The documents as tests read them: fenced blocks, command lines, links and anchors.

Owns Markdown as far as that goes, which is GitHub's. Refuses to judge: the tests do.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[1]
RUN: Final = "<!-- run -->"
"""Stands on the line before a block that the tests run."""
RUN_WITH_CLIENTS: Final = "<!-- run with sam and aws -->"
"""Stands before one that `make clients` runs."""
PROGRAMS: Final = ("sealift", ".venv/bin/sealift")

_FENCE: Final = re.compile(
    rf"(?P<run>^{RUN}\n)?(?P<clients>^{RUN_WITH_CLIENTS}\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    body: str
    run: bool
    """Whether the tests run it."""
    with_clients: bool = False
    """Whether those run it that have AWS's own commands."""


def pages() -> list[Path]:
    """Return every document for people, but the history."""
    return sorted(
        [
            TOP / "README.md",
            TOP / "DESIGN.md",
            TOP / "CONTRIBUTING.md",
            TOP / "SECURITY.md",
            TOP / "local_cloud" / "README.md",
            *(TOP / "docs").glob("*.md"),
            *(TOP / "docs" / "adr").glob("*.md"),
        ]
    )


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a document."""
    for found in _FENCE.finditer(text):
        yield Block(
            found["language"],
            found["body"],
            run=found["run"] is not None,
            with_clients=found["clients"] is not None,
        )


def command_lines(text: str) -> Iterator[str]:
    """Yield each line of a block that calls `sealift`; a line that is continued is one.

    In a block of the language `console` these are the lines with a prompt, since the others are output.
    """
    for block in blocks(text):
        for line in block.body.replace("\\\n", " ").splitlines():
            typed = line.strip()
            if block.language == "console" and not typed.startswith("$ "):
                continue
            typed = typed.removeprefix("$ ")
            if typed.startswith(tuple(f"{program} " for program in PROGRAMS)):
                yield typed


def words(line: str) -> list[str]:
    """Return what a shell passes to the program: up to a comment, a pipe, a redirection or another command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>"):
            break
        found.append(word)
    return found[1:]


def is_synopsis(line: str) -> bool:
    """Tell whether a line shows what a command takes, and is none that a person types."""
    return bool(re.search(r"\[[A-Z-]|\.\.\.|[A-Z]\|[A-Z]", line.partition(" # ")[0]))


def links(text: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the anchor of each link to a file here; either may be empty."""
    for target in _LINK.findall(_FENCE.sub("", text)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(text: str) -> set[str]:
    """Return what a link may point to in a document, as GitHub makes it of the headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        number = 0
        while (name := f"{plain}-{number}" if number else plain) in found:
            number += 1
        found.add(name)
    return found
