"""The documents as tests read them: fenced blocks, command lines, links and anchors.

Owns what of them is of interest; markdown-it-py reads Markdown. Refuses to judge: the tests do.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

TOP: Final = Path(__file__).resolve().parents[1]
RUN: Final = "<!-- run -->"
"""Stands on the line before a block that the tests run."""
RUN_WITH_CLIENTS: Final = "<!-- run with sam and aws -->"
"""Stands before one that `make clients` runs."""
PROGRAMS: Final = ("sealift", ".venv/bin/sealift")

_MARKDOWN: Final = MarkdownIt("commonmark").enable("table")


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
    notes: list[str] = []
    for token in _MARKDOWN.parse(text):
        if token.type == "html_block":
            notes += token.content.splitlines()
            continue
        if token.type == "fence":
            language = token.info.strip().partition(" ")[0]
            yield Block(language, token.content, run=RUN in notes, with_clients=RUN_WITH_CLIENTS in notes)
        notes = []


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
    for token in _MARKDOWN.parse(text):
        for child in token.children or ():
            target = str(child.attrs.get("href", ""))
            if child.type == "link_open" and not re.match(r"[a-z]+:", target):
                path, _, anchor = target.partition("#")
                yield path, anchor


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading."""

    level: int
    text: str
    """As it is written."""
    line: int
    """Where it begins, the first line of the document being 0."""
    end: int
    """The line after it."""


def headings(text: str) -> Iterator[Heading]:
    """Yield the headings of a document."""
    tokens = _MARKDOWN.parse(text)
    for opened, inline in pairwise(tokens):
        if opened.type == "heading_open" and opened.map:
            yield Heading(int(opened.tag[1:]), inline.content, *opened.map)


def anchors(text: str) -> set[str]:
    """Return what a link may point to in a document, as GitHub makes it of the headings."""
    found: set[str] = set()
    for heading in headings(text):
        plain = re.sub(r"[^\w\- ]", "", heading.text.lower()).replace(" ", "-")
        number = 0
        while (name := f"{plain}-{number}" if number else plain) in found:
            number += 1
        found.add(name)
    return found
