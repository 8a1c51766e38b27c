"""A clock while something is waited for that tells nothing by itself: a container that starts, an answer that is long.

Draws a hint each second, where there is a terminal, and takes it back at the first word that comes; elsewhere it says
once what a wait that is long is likely for.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

    from pipeline.cli.screen import Screen

TICK_S: Final = 1.0
COLD_S: Final = 5.0
"""Seconds after which a wait is likely a cold start: a warm endpoint has begun by then."""


class WaitingClock:
    """Shows how long the block has waited so far.

    Args:
        screen: where it is drawn.
        what: is waited for.
        cold: what to say beside it once it takes longer than a warm endpoint does.
    """

    def __init__(self, screen: Screen, what: str, cold: str = "") -> None:
        self._screen = screen
        self._what = what
        self._cold = cold
        self._done = threading.Event()
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._drawing = threading.Lock()
        self._told = False

    def __enter__(self) -> Self:
        self._draw()
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the hint back; what is written from now on is nobody else's line."""
        self._done.set()
        with self._drawing:
            self._screen.clear()

    def _tick(self) -> None:
        while not self._done.wait(TICK_S):
            self._draw()

    def _draw(self) -> None:
        with self._drawing:
            if not self._done.is_set():
                self.show(time.monotonic() - self._begun)

    def show(self, seconds: float) -> None:
        """Show what is waited for, after so many seconds."""
        text = said(self._what, seconds, self._cold)
        self._screen.hint(text)
        if self._cold and seconds >= COLD_S and not self._screen.live and not self._told:
            self._told = True
            self._screen.step(text)


def said(what: str, seconds: float, cold: str) -> str:
    """Return what is shown after so many seconds."""
    if seconds < TICK_S:
        return f"{what} ..."
    more = f" ({cold})" if cold and seconds >= COLD_S else ""
    return f"{what} ... {seconds:.0f} s{more}"
