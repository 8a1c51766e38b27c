"""The checklist as rows of text: what stands on a terminal, or goes into a pipe, at any width and height.

Pure: takes lines, returns rows that are no wider than asked for. A row is a text of rich's: what is foreign in it is
plain, its styles are ours. Columns are counted as terminals count them: a character of Chinese has two.
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

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
STYLES: Final = {
    Mark.DONE: "green",
    Mark.FAILED: "red",
    Mark.SKIPPED: "dim",
    Mark.RUNNING: "yellow",
    Mark.PENDING: "dim",
}
DIM: Final = "dim"
TEXT_WIDTH: Final = max(len(item.text) for item in ITEMS)
NARROWEST: Final = 24
_TIME_WIDTH: Final = 11
_BESIDE: Final = 30
"""Columns that evidence needs to stand beside its line; with fewer it stands below."""
_BELOW: Final = 6
"""Columns that evidence below its line is indented by."""
_MEASURE: Final = Console(file=StringIO(), _environ={})
"""What rich wants where a text is wrapped; nothing is written to it."""


def tick(mark: Mark, *, unicode: bool) -> str:
    """Return the mark of a line, as far as a stream can show it."""
    return (TICKS if unicode else PLAIN_TICKS)[mark]


def more(*, unicode: bool) -> str:
    """Return what stands for text that was left out."""
    return "…" if unicode else "..."


def rows(line: ChecklistLine, *, width: int, unicode: bool, most: int | None = None) -> list[Text]:
    """Return one line of the checklist as rows, at most `most` of them.

    The evidence stands beside the line where there is room, else below it; what does not fit into `most` rows is
    left out at the end.
    """
    width = max(width, NARROWEST)
    sign = tick(line.mark, unicode=unicode)
    seconds = _seconds(line)
    # A line that took minutes pushes its own evidence to the right.
    room = max(_TIME_WIDTH - 2, len(seconds) + 1)
    indent = cell_len(sign) + 3 + TEXT_WIDTH + room + 2
    details = one_line(line.details)
    if width - indent >= _BESIDE:
        pieces = wrapped(details, width - indent)
        head = f"{line.text:<{TEXT_WIDTH}}{seconds:>{room}}  {pieces[0] if pieces else ''}".rstrip()
        drawn, heads = [(f"  {sign} ", head), *((" " * indent, piece) for piece in pieces[1:])], 0
    else:
        details = ": ".join(part for part in (seconds, details) if part)
        texts = wrapped(line.text, width - 3 - cell_len(sign))
        heads = len(texts)
        drawn = [(f"  {sign} " if n == 0 else "    ", piece) for n, piece in enumerate(texts)]
        drawn += [(" " * _BELOW, piece) for piece in wrapped(details, width - _BELOW)]
    if most is not None and len(drawn) > most:
        start, text = drawn[most - 1]
        # What stands below a line may be left out as a whole without a word: the line itself is complete.
        left_out = "" if most == heads else more(unicode=unicode)
        drawn = [*drawn[: most - 1], (start, clipped(text + left_out, width - cell_len(start), left_out))]
    return [_styled(start, text, line.mark, first=n == 0) for n, (start, text) in enumerate(drawn)]


def whole(
    lines: Sequence[ChecklistLine], *, width: int, unicode: bool, group: str = "", most: int | None = None
) -> Iterator[Text]:
    """Yield lines as rows, each group under its name; `group` is the one that was named last."""
    for line in lines:
        if line.group != group:
            group = line.group
            yield Text(group)
        yield from rows(line, width=width, unicode=unicode, most=most)


def fitted(lines: Sequence[ChecklistLine], *, width: int, height: int, unicode: bool) -> Sequence[Text]:
    """Return the whole checklist in at most `height` rows: first evidence is left out, then what is settled or to come.

    A terminal cannot take back what has left it at the top.
    """
    for most in (None, 2, 1):
        drawn = list(whole(lines, width=width, unicode=unicode, most=most))
        if len(drawn) <= height:
            return drawn
    return _around(lines, width=width, height=height, unicode=unicode)


def colored(text: str, mark: Mark | None) -> Text:
    """Return a text in the color of a mark; as it is without one."""
    return Text(plain(text), style=STYLES[mark] if mark else "")


def clipped(text: str, width: int, left_out: str = "…") -> str:
    """Return a text in at most `width` columns, with `left_out` for what does not fit."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - cell_len(left_out)).rstrip() + left_out


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in pieces of at most `width` columns, broken between words where that can be."""
    pieces = Text(" ".join(text.split())).wrap(_MEASURE, width, overflow="fold")
    return [piece.plain.rstrip() for piece in pieces if piece.plain]


def _seconds(line: ChecklistLine) -> str:
    if line.seconds is None:
        return ""
    # What goes on is told in whole seconds, so that it counts and does not flicker.
    return span(line.seconds) if line.mark is Mark.RUNNING else f"{line.seconds:.1f} s"


def _styled(start: str, text: str, mark: Mark, *, first: bool) -> Text:
    row = Text(plain(f"{start}{text}".rstrip()))
    if mark in {Mark.PENDING, Mark.SKIPPED}:
        row.stylize(DIM)
    elif first:
        row.stylize(STYLES[mark], 2, 2 + len(start.strip()))
    return row


def _around(lines: Sequence[ChecklistLine], *, width: int, height: int, unicode: bool) -> Sequence[Text]:
    """Return the rows around what is happening; how many lines are above and below stands where they would be."""
    now = next((n for n, line in enumerate(lines) if not line.settled), len(lines) - 1)
    room = max(height - 2, 1)
    # One row per line, or two where evidence stands below it; no names of groups.
    drawn = [
        rows(line, width=width, unicode=unicode, most=2 if n == now else 1) for n, line in enumerate(lines)
    ]
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
    left_out = more(unicode=unicode)
    above = [Text(f"  {left_out} {first} lines above", DIM)] if first else []
    below = [Text(f"  {left_out} {len(lines) - last} lines below", DIM)] if last < len(lines) else []
    return [*above, *(row for line in drawn[first:last] for row in line)][: height - len(below)] + below
