"""Callers that ask at once, each again as soon as it was answered: a closed loop, in threads.

Threads, since the SDK blocks and waiting is all that a caller does. A call that was refused is followed by a pause, as
clients do; else a full endpoint would be asked thousands of times in the place of a hundred. Refuses to know what is
asked, and what an answer is worth.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from pipeline.aws import service_errors
from pipeline.bench.samples import FailedCall
from pipeline.errors import NotYetVisible, PermanentError, RequestRejected, SealiftError
from pipeline.rollout.answers import NotAnAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.bench.samples import Round, Sample

PAUSE_S: Final = 1.0
"""Of a caller whose call was refused."""
_LOOK_S: Final = 0.1
_SHOWN: Final = 300
"""Characters of an error's words."""


def run(
    ask: Callable[[str], Sample],
    prompts: Iterator[str],
    into: Round,
    *,
    callers: int,
    seconds: float,
    now: Callable[[], float],
    look: Callable[[int], None],
    pause_s: float = PAUSE_S,
) -> None:
    """Ask until the prompts or the time have run out.

    Args:
        ask: makes one call; called from many threads.
        prompts: one for each call.
        into: what the calls come to; when this is interrupted, as far as they have come.
        callers: how many ask at once.
        seconds: after which no call begins; those under way are waited for.
        now: tells the time, in seconds.
        look: hears again and again how many calls have ended.
        pause_s: between a call that was refused and the caller's next.

    Raises:
        SealiftError: no call can be answered: access is denied, the endpoint is gone.
        KeyboardInterrupt: as it came.
    """
    begun = now()
    crew = _Crew(ask, prompts, into, begun + seconds, now=now, pause_s=pause_s)
    threads = [threading.Thread(target=crew.call, daemon=True) for _ in range(callers)]
    whole = False
    try:
        for one in threads:
            one.start()
        while waiting := [one for one in threads if one.is_alive()]:
            waiting[0].join(_LOOK_S)
            look(into.done)
        whole = crew.fatal is None
    finally:
        crew.halt.set()
        into.close(now() - begun, whole=whole)
    if crew.fatal is not None:
        raise crew.fatal


class _Crew:
    """What the callers of a round share."""

    def __init__(
        self,
        ask: Callable[[str], Sample],
        prompts: Iterator[str],
        into: Round,
        deadline: float,
        *,
        now: Callable[[], float],
        pause_s: float,
    ) -> None:
        self._ask = ask
        self._prompts = prompts
        self._into = into
        self._deadline = deadline
        self._now = now
        self._pause_s = pause_s
        self._taking = threading.Lock()
        self.halt = threading.Event()
        self.fatal: BaseException | None = None

    def call(self) -> None:
        """Ask again and again: what one caller does."""
        while (prompt := self._next()) is not None:
            try:
                self._into.add(self._ask(prompt))
            except Exception as error:  # noqa: BLE001 a thread has nobody above it
                if (failure := failed(error)) is None:
                    self.fatal = service_errors.translation(error)
                    self.halt.set()
                    return
                self._into.add(failure)
                self.halt.wait(self._pause_s)

    def _next(self) -> str | None:
        with self._taking:
            if self.halt.is_set() or self._now() >= self._deadline:
                return None
            return next(self._prompts, None)


def failed(error: Exception) -> FailedCall | None:
    """Return what a call came to that had no answer; None where no other call will have one either."""
    known = service_errors.translation(error)
    if isinstance(known, RequestRejected | NotAnAnswer):
        return FailedCall(type(known).__name__, str(known)[:_SHOWN])
    if isinstance(known, PermanentError | NotYetVisible) or not isinstance(known, SealiftError):
        return None
    return FailedCall(type(known).__name__, str(known)[:_SHOWN])
