"""What an execution did, visit by visit: when each state was entered, what was tried, how long it waited between.

Pure: reads a history as GetExecutionHistory tells it. Owns the folding of loops, so that two hours of polling are one
line. Refuses to judge: what a failure means is the diagnosis' business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline import error_codec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

Outcome = Literal["succeeded", "failed", "running"]

MOST_CAUSE: Final = 2000
"""Characters of an attempt's cause."""
LONGEST_LOOP: Final = 5
"""States that a loop may have, to be folded."""
FOLDED_FROM: Final = 3
"""Rounds of a loop from which it is folded."""

_ENDS: Final = {
    "TaskSucceeded": "succeeded",
    "LambdaFunctionSucceeded": "succeeded",
    "TaskFailed": "failed",
    "TaskTimedOut": "failed",
    "TaskSubmitFailed": "failed",
    "TaskStartFailed": "failed",
    "LambdaFunctionFailed": "failed",
    "LambdaFunctionTimedOut": "failed",
    "LambdaFunctionStartFailed": "failed",
}
_ATTEMPTS: Final = frozenset({"TaskScheduled", "LambdaFunctionScheduled"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a task; times in seconds since the execution began."""

    began: float
    ended: float | None
    outcome: Outcome
    error: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay in a state; times in seconds since the execution began."""

    number: int
    """From 1, in the order of time."""
    state: str
    kind: str
    """Task, Choice, Wait, Pass, Succeed, Fail."""
    began: float
    ended: float | None
    """None: it was never left."""
    outcome: Outcome
    attempts: tuple[Attempt, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it lasted; 0 for one that was never left."""
        return 0.0 if self.ended is None else self.ended - self.began

    @property
    def retries(self) -> int:
        """How many attempts were repetitions of a failed one."""
        return max(0, len(self.attempts) - 1)

    @property
    def waits(self) -> tuple[tuple[float, float], ...]:
        """From when to when nothing was done: a Wait state, and the intervals between attempts."""
        if self.kind == "Wait":
            return ((self.began, self.began + self.seconds),)
        pairs = zip(self.attempts, self.attempts[1:], strict=False)
        return tuple((one.ended, two.began) for one, two in pairs if one.ended is not None)


@dataclass(frozen=True, slots=True)
class Loop:
    """The same few states, again and again."""

    states: tuple[str, ...]
    visits: tuple[Visit, ...]

    @property
    def rounds(self) -> int:
        """How often."""
        return len(self.visits) // len(self.states)

    @property
    def began(self) -> float:
        """When the first round began."""
        return self.visits[0].began

    @property
    def seconds(self) -> float:
        """How long all rounds lasted."""
        last = self.visits[-1]
        return last.began + last.seconds - self.began


@dataclass(frozen=True, slots=True)
class Timeline:
    """All of it."""

    visits: tuple[Visit, ...]
    seconds: float
    """From the first event to the last."""

    @property
    def transitions(self) -> int:
        """The state transitions: entering a state is one, and so is trying it again."""
        return len(self.visits) + sum(visit.retries for visit in self.visits)

    @property
    def waited(self) -> float:
        """Seconds of Wait states and of the intervals between attempts."""
        return sum(end - begin for visit in self.visits for begin, end in visit.waits)

    @property
    def rows(self) -> tuple[Visit | Loop, ...]:
        """The visits with loops folded."""
        return tuple(_folded(self.visits))


def read(events: Sequence[Mapping[str, Any]], *, ended: bool) -> Timeline:
    """Return the timeline of a history.

    Args:
        events: the whole history, oldest first.
        ended: whether the execution has ended; what is not left by then has failed.
    """
    if not events:
        return Timeline((), 0.0)
    zero: datetime = events[0]["timestamp"]
    visits: list[Visit] = []
    for event in events:
        kind, at = str(event["type"]), (event["timestamp"] - zero).total_seconds()
        if kind.endswith("StateEntered"):
            name = str(event["stateEnteredEventDetails"]["name"])
            visits.append(
                Visit(len(visits) + 1, name, kind.removesuffix("StateEntered"), at, None, "running")
            )
        elif visits:
            visits[-1] = _after(visits[-1], kind, at, event)
    last = (events[-1]["timestamp"] - zero).total_seconds()
    if visits and visits[-1].ended is None and ended:
        outcome: Outcome = "succeeded" if visits[-1].kind == "Succeed" else "failed"
        visits[-1] = replace(_settled(visits[-1], last), ended=last, outcome=outcome)
    return Timeline(tuple(visits), last)


def _after(visit: Visit, kind: str, at: float, event: Mapping[str, Any]) -> Visit:
    """Return a visit after one more event."""
    if kind.endswith("StateExited"):
        failed = bool(visit.attempts) and visit.attempts[-1].outcome == "failed"
        return replace(visit, ended=at, outcome="failed" if failed else "succeeded")
    if kind in _ATTEMPTS:
        return replace(visit, attempts=(*visit.attempts, Attempt(at, None, "running")))
    if kind in _ENDS and visit.attempts:
        details: Mapping[str, Any] = next(
            (value for name, value in event.items() if name.endswith("EventDetails")), {}
        )
        outcome: Outcome = "failed" if _ENDS[kind] == "failed" else "succeeded"
        error = str(details.get("error") or (kind if outcome == "failed" else ""))
        attempt = replace(
            visit.attempts[-1],
            ended=at,
            outcome=outcome,
            error=error,
            cause=error_codec.read(str(details.get("cause") or ""), error).sentence[:MOST_CAUSE],
        )
        return replace(visit, attempts=(*visit.attempts[:-1], attempt))
    return visit


def _settled(visit: Visit, at: float) -> Visit:
    """Return a visit that the execution's end cut short."""
    if visit.attempts and visit.attempts[-1].ended is None:
        attempt = replace(visit.attempts[-1], ended=at, outcome="failed")
        return replace(visit, attempts=(*visit.attempts[:-1], attempt))
    return visit


def _folded(visits: tuple[Visit, ...]) -> Iterator[Visit | Loop]:
    at = 0
    while at < len(visits):
        length, rounds = max(
            ((length, _rounds(visits, at, length)) for length in range(1, LONGEST_LOOP + 1)),
            key=lambda found: (found[1] >= FOLDED_FROM, found[0] * found[1], -found[0]),
        )
        if rounds < FOLDED_FROM:
            yield visits[at]
            at += 1
            continue
        folded = visits[at : at + length * rounds]
        yield Loop(tuple(visit.state for visit in folded[:length]), folded)
        at += length * rounds


def _rounds(visits: tuple[Visit, ...], at: int, length: int) -> int:
    """Return how often the next `length` states come one after the other, without a retry or a failure among them."""
    names = [visit.state for visit in visits[at : at + length]]
    rounds = 0
    while True:
        piece = visits[at + rounds * length : at + (rounds + 1) * length]
        plain = all(visit.outcome == "succeeded" and not visit.retries for visit in piece)
        if len(piece) < length or not plain or [visit.state for visit in piece] != names:
            return rounds
        rounds += 1
