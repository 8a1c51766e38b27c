"""What a running execution waits for: between two attempts of a state, between two looks at an endpoint or at alarms.

Pure: takes an execution as `execution_history` reads it and the workflow's definition, returns the reason in words
that stay while the wait does, and its measure, which changes with the clock. It refuses to guess: a pause with
jitter has a longest time and no end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipeline.operations.execution_history import Execution, State

POLLING = ("WaitForEndpoint", "PollEndpoint", "EndpointReady")
BAKING = ("BakeConsumer", "WatchConsumer", "ConsumerBaked")


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a look, and how fast the execution's waits pass."""

    now: datetime
    scale: float = 1.0
    """How long waits last against AWS; less than 1 on the local cloud alone."""

    def since(self, moment: datetime | None) -> float:
        """Return the seconds since a moment of AWS's clock, which may be a little ahead of this one."""
        return max(0.0, (self.now - moment).total_seconds()) if moment is not None else 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """The wait before the next attempt."""

    attempt: int
    """Which one comes next; the first one of a visit is 1."""
    attempts: int
    """How many there may be."""
    seconds: float
    exact: bool
    """Whether it lasts as long as that, or any time up to it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why nothing seems to happen."""

    reason: str
    """Stays as long as the wait does."""
    measure: str = ""
    """Changes with the clock."""

    def __str__(self) -> str:
        return ", ".join(part for part in (self.reason, self.measure) if part)


def pause(state: Mapping[str, Any], refused: Sequence[str]) -> Pause | None:
    """Return the pause after these errors of one visit, by the Retry rules of a state; None when there is none.

    Args:
        state: the state's definition.
        refused: the error names of the visit's attempts, in order.
    """
    if not refused:
        return None
    rules: Sequence[Mapping[str, Any]] = state.get("Retry", ())
    found = _rule(rules, refused[-1])
    if found is None:
        return None
    number, rule = found
    # Each rule counts its own.
    count = sum(1 for error in refused if (one := _rule(rules, error)) is not None and one[0] == number)
    most = int(rule.get("MaxAttempts", 3))
    if count > most:
        return None
    seconds = rule.get("IntervalSeconds", 1) * rule.get("BackoffRate", 2.0) ** (count - 1)
    longest = rule.get("MaxDelaySeconds")
    return Pause(
        attempt=len(refused) + 1,
        attempts=len(refused) + 1 + most - count,
        seconds=min(seconds, longest) if longest else seconds,
        exact=rule.get("JitterStrategy", "NONE") == "NONE",
    )


def waiting(
    state: State, execution: Execution, definition: Mapping[str, Any], clock: Clock | None
) -> Wait | None:
    """Return what a state is waiting for; None when it is at work.

    Args:
        state: the last state of a line of the checklist that is not finished.
        execution: that it belongs to.
        definition: the workflow's.
        clock: None when nobody looks at it while it runs: then nothing is measured.
    """
    if state.refused and state.status == "running":
        return _between_attempts(state, definition, clock)
    polled = execution.results.get("poll_endpoint")
    if polled and state.name in POLLING:
        waited = next((one for one in execution.states if one.name in POLLING), None)
        measure = f"for {span(clock.since(waited.began))}" if clock and waited else ""
        return Wait(str(polled["status"]), measure)
    if state.name == "WaitForEndpoint" and state.status == "running":
        interval = ((execution.results.get("plan_deployment") or {}).get("poll") or {}).get("interval_s")
        left = float(interval) * clock.scale - clock.since(state.entered) if clock and interval else 0.0
        return Wait("asked for", f"first look in {span(left)}" if left >= 1 else "")
    return None


def baked(execution: Execution, clock: Clock | None) -> str:
    """Return how much of a canary's time is over; empty when that cannot be told."""
    shifted = execution.results.get("shift_consumer")
    baking = execution.state("BakeConsumer")
    if clock is None or shifted is None or baking is None:
        return ""
    looks, interval = int(shifted["looks"]), int(shifted["interval_s"])
    left = int((execution.results.get("watch_consumer") or {}).get("left", looks))
    part = clock.since(baking.entered) / (clock.scale or 1.0) if baking.status == "running" else 0.0
    over = min((looks - left) * interval + min(part, interval), looks * interval)
    return f"{span(over)} of {span(looks * interval)}"


def span(seconds: float) -> str:
    """Return a length of time for people: ``42 s``, ``5 min``, ``5 min 30 s``, ``2 h 5 min``."""
    whole = int(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _between_attempts(state: State, definition: Mapping[str, Any], clock: Clock | None) -> Wait:
    error = state.refused[-1]
    kind = errors.by_name(error)
    waiting = state.waiting or (kind.waiting if kind else "")
    why = f"{waiting} ({error})" if waiting else f"{error}, trying again"
    coming = pause(definition.get("States", {}).get(state.name, {}), state.refused)
    which = len(state.refused) + 1
    reason = f"{why}: attempt {which} of {coming.attempts}" if coming else f"{why}: attempt {which}"
    if clock is None or coming is None or state.refused_at is None:
        return Wait(reason)
    left = coming.seconds * clock.scale - clock.since(state.refused_at)
    if left < 1:
        return Wait(reason)
    return Wait(reason, f"next {'in' if coming.exact else 'within'} {span(left)}")


def _rule(rules: Sequence[Mapping[str, Any]], error: str) -> tuple[int, Mapping[str, Any]] | None:
    """Return the first rule that an error falls under, with its place."""
    for number, rule in enumerate(rules):
        names = rule["ErrorEquals"]
        if error in names or "States.ALL" in names:
            return number, rule
        if "States.TaskFailed" in names and error != "States.Timeout":
            return number, rule
    return None
