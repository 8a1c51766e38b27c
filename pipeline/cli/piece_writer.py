"""A text from outside that is written as it comes, piece by piece: moving nothing, hiding nothing.

Owns that cutting it anywhere changes nothing of what is shown (`pipeline.plain` judges a character by its neighbors).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.plain import lines

if TYPE_CHECKING:
    from typing import TextIO

_JOINERS: Final = "\u200c\u200d"
"""Are seen or not by what stands on both sides of them."""


class PieceWriter:
    """Writes the pieces of one text."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""
        self._held = ""

    def __call__(self, piece: str) -> None:
        """Write the next piece at once, but for what cannot be judged yet."""
        text = self._held + piece
        ready = text.rstrip(_JOINERS + "\r")
        self._held = text[len(ready) :]
        if ready:
            self._write(ready)
            self._last = ready[-1]

    def end(self) -> None:
        """Write what was held back."""
        if self._held:
            self._write(self._held)
        self._held = self._last = ""

    def _write(self, text: str) -> None:
        # The character before tells what a joiner at the beginning is; it has been written already.
        before = shown(self._last)
        self._stream.write(shown(self._last + text)[len(before) :])
        self._stream.flush()


def shown(text: str) -> str:
    """Return a text as a terminal gets it."""
    return "\n".join(lines(text))
