"""The checklist as rows of text: what stands on a terminal, or goes into a pipe, at any width and height.

Pure: takes lines, returns rows that are no wider than asked for. Columns are counted as terminals count them: an
answer in Chinese is twice as wide as it is long.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.operations.checklist import ITEMS, Mark
from pipeline.operations.waits import span
from pipeline.plain import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.operations.checklist import ChecklistLine

TICKS: Final = {Mark.DONE: "✓", Mark.FAILED: "✗", Mark.SKIPPED: "-", Mark.RUNNING: "…", Mark.PENDING: "·"}
PLAIN_TICKS: Final = {
    Mark.DONE: "ok",
    Mark.FAILED: "FAILED",
    Mark.SKIPPED: "-",
    Mark.RUNNING: "...",
    Mark.PENDING: ".",
}
COLOURS: Final = {
    Mark.DONE: "32",
    Mark.FAILED: "31",
    Mark.SKIPPED: "2",
    Mark.RUNNING: "33",
    Mark.PENDING: "2",
}
DIM: Final = "2"
TEXT_WIDTH: Final = max(len(item.text) for item in ITEMS)
NARROWEST: Final = 24
_TIME_WIDTH: Final = 11
_BESIDE: Final = 30
"""Columns that evidence needs to stand beside its line; with fewer it stands below."""
_BELOW: Final = 6
"""Columns that evidence below its line is indented by."""


class Painted(str):
    """A row for a screen: all that is foreign in it is plain already, and colors are ours."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Style:
    """What the stream can show."""

    coloured: bool = False
    unicode: bool = True

    def paint(self, text: str, colour: str) -> Painted:
        """Return the text, plain, in a colour or without."""
        shown = plain(text)
        return Painted(f"\033[{colour}m{shown}\033[0m" if self.coloured and shown else shown)

    def tick(self, mark: Mark) -> str:
        """Return the mark of a line, without colour."""
        return (TICKS if self.unicode else PLAIN_TICKS)[mark]

    @property
    def more(self) -> str:
        """Return what stands for text that was left out."""
        return "…" if self.unicode else "..."


def rows(line: ChecklistLine, *, width: int, style: Style, most: int | None = None) -> list[Painted]:
    """Return one line of the checklist as rows, at most `most` of them.

    The evidence stands beside the line where there is room, else below it; what does not fit into `most` rows is
    left out at the end.
    """
    width = max(width, NARROWEST)
    tick = style.tick(line.mark)
    seconds = _seconds(line)
    indent = columns(tick) + 3 + TEXT_WIDTH + _TIME_WIDTH
    told = one_line(line.details)
    if width - indent >= _BESIDE:
        pieces = wrapped(told, width - indent)
        head = f"{line.text:<{TEXT_WIDTH}}{seconds:>9}  {pieces[0] if pieces else ''}".rstrip()
        drawn, heads = [(f"  {tick} ", head), *((" " * indent, piece) for piece in pieces[1:])], 0
    else:
        told = ": ".join(part for part in (seconds, told) if part)
        texts = wrapped(line.text, width - 3 - columns(tick))
        heads = len(texts)
        drawn = [(f"  {tick} " if n == 0 else "    ", piece) for n, piece in enumerate(texts)]
        drawn += [(" " * _BELOW, piece) for piece in wrapped(told, width - _BELOW)]
    if most is not None and len(drawn) > most:
        start, text = drawn[most - 1]
        # What stands below a line may be left out as a whole without a word: the line itself is complete.
        more = "" if most == heads else style.more
        drawn = [*drawn[: most - 1], (start, clipped(text + more, width - columns(start), more))]
    return [_coloured(start, text, line.mark, style, first=n == 0) for n, (start, text) in enumerate(drawn)]


def whole(
    lines: Sequence[ChecklistLine], *, width: int, style: Style, group: str = "", most: int | None = None
) -> Iterator[str]:
    """Yield lines as rows, each group under its name; `group` is the one that was named last."""
    for line in lines:
        if line.group != group:
            group = line.group
            yield group
        yield from rows(line, width=width, style=style, most=most)


def fitted(lines: Sequence[ChecklistLine], *, width: int, height: int, style: Style) -> Sequence[str]:
    """Return the whole checklist in at most `height` rows: first evidence is left out, then what is settled or to come.

    A terminal cannot take back what has left it at the top.
    """
    for most in (None, 2, 1):
        drawn = list(whole(lines, width=width, style=style, most=most))
        if len(drawn) <= height:
            return drawn
    return _around(lines, width=width, height=height, style=style)


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(_columns(character) for character in text)


def clipped(text: str, width: int, more: str = "…") -> str:
    """Return a text in at most `width` columns, with `more` for what was left out."""
    if columns(text) <= width:
        return text
    kept, room = "", width - columns(more)
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept += character
    return kept + more


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in pieces of at most `width` columns, broken between words where that can be."""
    pieces: list[str] = []
    piece, taken = "", 0
    for word in text.split():
        for part in _broken(word, width):
            size = columns(part)
            if piece and taken + 1 + size > width:
                pieces.append(piece)
                piece, taken = "", 0
            piece, taken = (f"{piece} {part}", taken + 1 + size) if piece else (part, size)
    return [*pieces, piece] if piece else pieces


def _broken(word: str, width: int) -> Iterator[str]:
    """Yield a word in parts of at most `width` columns."""
    part, taken = "", 0
    for character in word:
        size = _columns(character)
        if part and taken + size > width:
            yield part
            part, taken = "", 0
        part, taken = part + character, taken + size
    yield part


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _seconds(line: ChecklistLine) -> str:
    if line.seconds is None:
        return ""
    # What goes on is told in whole seconds, so that it counts and does not flicker.
    return span(line.seconds) if line.mark is Mark.RUNNING else f"{line.seconds:.1f} s"


def _coloured(start: str, text: str, mark: Mark, style: Style, *, first: bool) -> Painted:
    if mark in {Mark.PENDING, Mark.SKIPPED}:
        return style.paint(f"{start}{text}".rstrip(), DIM)
    if not first:
        return Painted(plain(f"{start}{text}".rstrip()))
    tick = start.strip()
    return Painted(f"  {style.paint(tick, COLOURS[mark])} {plain(text)}".rstrip())


def _around(lines: Sequence[ChecklistLine], *, width: int, height: int, style: Style) -> Sequence[str]:
    """Return the rows around what is happening; how many lines are above and below stands where they would be."""
    now = next((n for n, line in enumerate(lines) if not line.settled), len(lines) - 1)
    room = max(height - 2, 1)
    # One row per line, or two where evidence stands below it; no names of groups.
    drawn = [rows(line, width=width, style=style, most=2 if n == now else 1) for n, line in enumerate(lines)]
    first, last = now, now + 1
    taken = len(drawn[now])
    while True:
        # What comes is worth more than what was.
        if last < len(lines) and taken + len(drawn[last]) <= room and last - now <= 2 * (now - first + 1):
            taken, last = taken + len(drawn[last]), last + 1
        elif first > 0 and taken + len(drawn[first - 1]) <= room:
            taken, first = taken + len(drawn[first - 1]), first - 1
        elif last < len(lines) and taken + len(drawn[last]) <= room:
            taken, last = taken + len(drawn[last]), last + 1
        else:
            break
    above = [style.paint(f"  {style.more} {first} lines above", DIM)] if first else []
    below = [style.paint(f"  {style.more} {len(lines) - last} lines below", DIM)] if last < len(lines) else []
    return [*above, *(row for line in drawn[first:last] for row in line)][: height - len(below)] + below
