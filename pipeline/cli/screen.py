"""Drawing: lines that stay, hints that go, a block that is redrawn in place; plain lines where there is no terminal.

Writes to the stream it is given and asks the environment nothing but whether color is wanted and what the terminal is.
Whatever it is given to write is a line of its own and plain (`pipeline.plain`): nothing foreign moves the terminal.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

from pipeline import settings
from pipeline.cli import frame
from pipeline.limits import MiB
from pipeline.operations.waits import span
from pipeline.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.cli.options import CommonOptions
    from pipeline.operations.checklist import Mark

_PIPE_COLUMNS = 100
"""Of what is no terminal, unless COLUMNS says otherwise."""
_ITEM_COLUMNS = 60
"""What an item has at least: text in a narrower column cannot be read."""


@dataclass(slots=True)
class Screen:
    """Where lines are drawn."""

    stream: TextIO
    quiet: bool = False
    """Whether progress is not wanted."""
    _transient: bool = field(default=False)
    _block: list[Text] = field(default_factory=list)

    @classmethod
    def of(cls, options: CommonOptions) -> Screen:
        """Return the screen that a command is to have: beside JSON, which has stdout for itself, stderr."""
        return cls(sys.stderr if options.json else sys.stdout, quiet=options.quiet)

    @property
    def live(self) -> bool:
        """Whether a line may be drawn and taken back."""
        return self.stream.isatty() and not settings.dumb_terminal()

    @property
    def colored(self) -> bool:
        """Whether color is wanted: as the setting says, which is where there is a terminal by default."""
        wanted = settings.color()
        return wanted == "always" or (wanted == "auto" and self.live)

    @property
    def unicode(self) -> bool:
        """Whether the stream can show every character."""
        return (self.stream.encoding or "ascii").lower().startswith("utf")

    @property
    def size(self) -> tuple[int, int]:
        """Return columns and rows that may be written on without the terminal's wrapping or scrolling."""
        width, height = shutil.get_terminal_size((_PIPE_COLUMNS, 24))
        return (width - 1, height - 1) if self.live else (width, height)

    def say(self, text: str | Text = "", *, mark: Mark | None = None) -> None:
        """Write one line that stays, behind the sign of a mark where there is one."""
        self.clear()
        row = _row(text)
        if mark is not None:
            row = Text.assemble((frame.tick(mark, unicode=self.unicode), frame.STYLES[mark]), " ", row)
        print(*self._drawn([row]), file=self.stream, flush=True)

    def item(self, head: str, text: str) -> None:
        """Write a text behind what it is of, wrapped below itself; a long name stays whole, to be copied."""
        width = max(self.size[0], _ITEM_COLUMNS) - len(head)
        pieces = textwrap.wrap(plain(text), width, break_long_words=False, break_on_hyphens=False)
        for n, piece in enumerate(pieces or [""]):
            self.say(f"{'' if n else head:{len(head)}}{piece}")

    def step(self, text: str) -> None:
        """Write a line that stays, and tells of progress only."""
        if not self.quiet:
            self.say(text)

    def hint(self, text: str) -> None:
        """Write a line that the next one replaces; nothing where there is no terminal."""
        if self.live and not self.quiet:
            self.clear()
            self.stream.write(frame.clipped(plain(text), self.size[0], frame.more(unicode=self.unicode)))
            self.stream.flush()
            self._transient = True

    def _drawn(self, rows: Iterable[Text]) -> list[str]:
        """Return rows as they are written, with their colors where those are wanted."""
        if not self.colored:
            return [row.plain for row in rows]
        # Nothing is left to what rich would find out of the environment.
        console = Console(
            file=self.stream, force_terminal=True, color_system="standard", legacy_windows=False, _environ={}
        )
        drawn = []
        for row in rows:
            with console.capture() as captured:
                console.print(row, end="", soft_wrap=True)
            drawn.append(captured.get())
        return drawn

    def clear(self) -> None:
        """Take the hint back."""
        if self._transient:
            self.stream.write("\r\033[K")
            self._transient = False

    def redraw(self, rows: Sequence[Text]) -> None:
        """Write a block of rows in the place of the one before; only a terminal can do that."""
        self.clear()
        if self._block == rows:
            return
        # The terminal may have become narrower, and have broken rows in two: rich's Live would not go up that far.
        width = shutil.get_terminal_size().columns
        up = sum(max(1, -(-row.cell_len // width)) for row in self._block)
        there = f"\033[{up}A" if up else ""
        drawn = "".join(f"{row}\033[K\n" for row in self._drawn(rows))
        self.stream.write(f"{there}\r{drawn}\033[J")
        self.stream.flush()
        self._block = list(rows)

    def keep(self) -> None:
        """Let the block stand; what is written next comes below it."""
        self._block = []


def _row(text: str | Text) -> Text:
    """Return a row of a text, made plain unless it is one already."""
    return text if isinstance(text, Text) else Text(plain(text))


class Progress:
    """Bytes done of a total, with rate and time left, drawn at most a few times a second.

    Args:
        screen: where it is drawn.
        verb: what is being done.
        already: bytes that were done before it began, which say nothing of the rate.
    """

    def __init__(self, screen: Screen, verb: str, *, already: int = 0) -> None:
        self._screen = screen
        self._verb = verb
        self._already = already
        self._begun = monotonic()
        self._drawn = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Draw how far it is."""
        now = monotonic()
        if now - self._drawn < 0.2 and done < total:
            return
        self._drawn = now
        self._screen.hint(f"{self._verb}: {progress_text(done, total, self._already, now - self._begun)}")


def progress_text(done: int, total: int, already: int, seconds: float) -> str:
    """Return how far bytes are, how fast they go and how long the rest takes, for people."""
    rate = rate_of(done, already, seconds)
    share = 100 * done / total if total else 100.0
    left = span((total - done) / rate) if rate else "?"
    return (
        f"{share:3.0f} %, {done / MiB:,.0f} of {total / MiB:,.0f} MiB, {rate / MiB:,.1f} MiB/s, {left} left"
    )


def rate_of(done: int, already: int, seconds: float) -> float:
    """Return bytes per second."""
    return max(0, done - already) / max(seconds, 1e-6)
