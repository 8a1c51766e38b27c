"""What one call came to, and the calls of one round.

A round is written by many threads at once, and read when it has ended. Refuses to judge: `figures` does.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.client.replies import Reply


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer."""

    seconds: float
    """From the call to the answer's end, as the caller saw it."""
    first_s: float | None = None
    """To the first word; None of one that came whole."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    evaluated_tokens: int | None = None
    """Tokens of the prompt that the server had to read; what its cache held is not among them."""
    prompt_s: float | None = None
    """That the prompt took, by the server's own clock."""
    server_s: float | None = None
    """That prompt and answer took, by the same."""
    server_rate: float | None = None
    """Tokens of the answer per second, by the same."""


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call without an answer."""

    kind: str
    """The error's name."""
    text: str


def sample(reply: Reply, seconds: float, first_s: float | None = None) -> Sample:
    """Return what a reply came to."""
    told = reply.timings
    prompt_ms, answer_ms = told.get("prompt_ms"), told.get("predicted_ms")
    evaluated = told.get("prompt_n")
    return Sample(
        seconds,
        first_s,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        evaluated_tokens=None if evaluated is None else int(evaluated),
        prompt_s=None if prompt_ms is None else prompt_ms / 1000,
        server_s=None if prompt_ms is None or answer_ms is None else (prompt_ms + answer_ms) / 1000,
        server_rate=reply.tokens_per_second,
    )


@dataclass(slots=True)
class Round:
    """Calls of several callers to one endpoint, one after the other of each."""

    samples: list[Sample] = field(default_factory=list)
    failures: list[FailedCall] = field(default_factory=list)
    seconds: float = 0.0
    """From the first call to the end of the last."""
    whole: bool = False
    """Whether it came to its end, and was not interrupted."""
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _closed: bool = field(default=False, repr=False, compare=False)

    @property
    def done(self) -> int:
        """How many calls have ended."""
        return len(self.samples) + len(self.failures)

    def add(self, one: Sample | FailedCall) -> None:
        """Take what a call came to, unless the round is over."""
        with self._writing:
            if self._closed:
                return
            if isinstance(one, Sample):
                self.samples.append(one)
            else:
                self.failures.append(one)

    def close(self, seconds: float, *, whole: bool) -> None:
        """End it; calls that are still under way count no more."""
        with self._writing:
            self._closed = True
            self.seconds, self.whole = seconds, whole
