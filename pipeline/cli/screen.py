"""Drawing: ticks, colours, progress, wrapped to the terminal; plain lines where there is no terminal.

Writes to the stream it is given and asks the environment nothing but whether colour is wanted.
"""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from pipeline import settings
from pipeline.checklist import ITEMS, Mark
from pipeline.limits import MiB

if TYPE_CHECKING:
    from pipeline.checklist import Line

TICKS = {Mark.DONE: "✓", Mark.FAILED: "✗", Mark.SKIPPED: "-", Mark.RUNNING: "…", Mark.PENDING: " "}
PLAIN_TICKS = {
    Mark.DONE: "ok",
    Mark.FAILED: "FAILED",
    Mark.SKIPPED: "-",
    Mark.RUNNING: "...",
    Mark.PENDING: " ",
}
COLOURS = {Mark.DONE: "32", Mark.FAILED: "31", Mark.SKIPPED: "2", Mark.RUNNING: "33", Mark.PENDING: "2"}
TEXT_WIDTH = max(len(item.text) for item in ITEMS)


@dataclass(slots=True)
class Screen:
    """Where lines are drawn."""

    stream: TextIO
    _shown: int = 0
    _group: str = ""
    _transient: bool = field(default=False)

    @property
    def live(self) -> bool:
        """Whether a line may be drawn and taken back."""
        return self.stream.isatty()

    @property
    def coloured(self) -> bool:
        """Whether colour is wanted: as the setting says, which is where there is a terminal by default."""
        wanted = settings.colour()
        return wanted == "always" or (wanted == "auto" and self.live)

    def say(self, text: str = "") -> None:
        """Write one line that stays."""
        self._clear()
        print(text, file=self.stream, flush=True)

    def hint(self, text: str) -> None:
        """Write a line that the next one replaces; nothing where there is no terminal."""
        if self.live:
            self._clear()
            width = shutil.get_terminal_size().columns
            self.stream.write(text[: width - 1])
            self.stream.flush()
            self._transient = True

    def checklist(self, lines: list[Line], *, ended: bool) -> None:
        """Write the lines that are settled since the last call, and hint at the one that is running.

        Lines are settled in order: each is written once, so this works in a pipe as well as in a terminal.
        """
        while self._shown < len(lines):
            line = lines[self._shown]
            if not ended and line.mark in (Mark.PENDING, Mark.RUNNING):
                if line.mark is Mark.RUNNING:
                    self.hint(f"  {TICKS[Mark.RUNNING]} {line.text}  {line.evidence}")
                return
            self._settled(line)
            self._shown += 1

    def _settled(self, line: Line) -> None:
        if line.group != self._group:
            self._group = line.group
            self.say(f"{line.group}")
        seconds = f"{line.seconds:7.1f} s" if line.seconds is not None else " " * 9
        head = f"  {self.tick(line.mark)} {line.text:<{TEXT_WIDTH}}{seconds}  "
        indent = 4 + TEXT_WIDTH + 11
        width = max(shutil.get_terminal_size((100, 24)).columns, 60)
        if width - indent < 30:
            indent = 6
        pieces = textwrap.wrap(line.evidence, width - indent, break_long_words=True, break_on_hyphens=False)
        if indent == 6:
            self.say(head.rstrip())
            for piece in pieces:
                self.say(" " * indent + piece)
            return
        self.say((head + (pieces[0] if pieces else "")).rstrip())
        for piece in pieces[1:]:
            self.say(" " * indent + piece)

    def tick(self, mark: Mark) -> str:
        """Return the sign of a mark, as far as the stream can show it."""
        encoding = (self.stream.encoding or "ascii").lower()
        tick = TICKS[mark] if encoding.startswith("utf") else PLAIN_TICKS[mark]
        return f"\033[{COLOURS[mark]}m{tick}\033[0m" if self.coloured else tick

    def _clear(self) -> None:
        if self._transient:
            self.stream.write("\r\033[K")
            self._transient = False


class Progress:
    """Bytes done of a total, with rate and time left, drawn at most a few times a second."""

    def __init__(self, screen: Screen, verb: str) -> None:
        self._screen = screen
        self._verb = verb
        self._begun = monotonic()
        self._drawn = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Draw how far it is."""
        now = monotonic()
        if now - self._drawn < 0.2 and done < total:
            return
        self._drawn = now
        rate = done / max(now - self._begun, 1e-6)
        left = (total - done) / rate if rate else 0.0
        share = 100 * done / total if total else 100.0
        self._screen.hint(
            f"{self._verb}: {share:3.0f} %, {done / MiB:,.0f} of {total / MiB:,.0f} MiB, "
            f"{rate / MiB:,.0f} MiB/s, {left:.0f} s left"
        )
