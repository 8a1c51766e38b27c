"""Time and threads as arguments.

Owns the two ways in which hosting meets the clock and the background, so that tests can bring their own.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Timing:
    """What hosting asks of time."""

    clock: Callable[[], float]
    """Seconds since 1970, for timestamps."""
    monotonic: Callable[[], float]
    """Seconds that never run backwards, for deadlines."""
    pause: Callable[[float], bool]
    """Wait that long, or shorter when everything is being closed: then True."""

    @classmethod
    def real(cls, closing: threading.Event) -> Timing:
        """Return the machine's time; `closing` ends every pause."""
        return cls(clock=time.time, monotonic=time.monotonic, pause=closing.wait)


class Background(Protocol):
    """Runs jobs beside the caller."""

    def run(self, name: str, job: Callable[[], None]) -> None:
        """Start `job` and return."""

    def join(self, seconds: float) -> None:
        """Wait for the jobs that were started, together at most that long."""


@dataclass(slots=True)
class Threads:
    """A thread per job; a daemon, so that an abandoned one does not keep the program alive."""

    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, name: str, job: Callable[[], None]) -> None:
        """Start `job` and return."""
        thread = threading.Thread(target=job, name=name, daemon=True)
        with self._lock:
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)
            # Inside the lock: a thread that is listed and not started yet would look finished.
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the jobs that were started, together at most that long."""
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
