"""Regular expressions that are given up: Python's may take for ever, and stop for a signal alone.

The signal is the one of the process's own processor time, so a busy machine gives nothing up, and a test's time-out,
which has another signal, stays as it is. Python handles signals in its main thread, so only there a search is timed;
Lambda and the command line judge answers there.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

PATIENCE_S: Final = 0.5
"""Seconds of processor time that a search may take: a thousand times what an ordinary one takes."""


class SearchTooLong(Exception):
    """A search was given up; the message says after how long."""


def is_timed() -> bool:
    """Return whether a search is given up here."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


def search(pattern: re.Pattern[str], text: str, patience_s: float = PATIENCE_S) -> re.Match[str] | None:
    """Return the first match in a text; where `is_timed` is false, however long it takes.

    Args:
        pattern: what is looked for.
        text: where.
        patience_s: seconds of the process's processor time.

    Raises:
        SearchTooLong: when it takes more than that.
    """
    if not is_timed():
        return pattern.search(text)
    with _given_up(patience_s, len(text)):
        return pattern.search(text)


@contextlib.contextmanager
def _given_up(patience_s: float, length: int) -> Iterator[None]:
    def give_up(_number: int, _frame: object) -> NoReturn:
        raise SearchTooLong(f"its search in {length:,} characters took more than {patience_s:g} s")

    before = signal.signal(signal.SIGVTALRM, give_up) or signal.SIG_DFL
    try:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, patience_s)
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:  # of its own: the signal may still come with the end of the search
        signal.signal(signal.SIGVTALRM, before)
