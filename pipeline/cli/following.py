"""Following a deployment: the checklist while it is being ticked, on a terminal, in a pipe, or as JSON lines.

`checklist` decides how each line stands and why it waits; here it is drawn, at the times that are due. A
person who leaves with Ctrl-C is told how to come back: the deployment continues.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from rich.text import Text

from pipeline.aws import service_errors
from pipeline.cli import frame
from pipeline.errors import TransientError
from pipeline.operations import checklist, execution_history
from pipeline.operations.checklist import Mark
from pipeline.operations.waits import Clock, span
from pipeline.plain import lines, one_line
from pipeline.planning import consumer
from pipeline.rollout import answer_speed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from mypy_boto3_stepfunctions import SFNClient

    from pipeline.cli.screen import Screen
    from pipeline.operations.checklist import ChecklistLine
    from pipeline.operations.execution_history import Execution

sleep = time.sleep  # noqa: TID251 handed to `follow`; the command line is where time passes

LOOK_S: Final = 1.0
SLOWEST_S: Final = 5.0
"""Between two looks at an execution in which nothing happens: 720 calls in an hour."""
PATIENCE: Final = 60
"""Looks in vain, one after the other, before following is given up: five minutes and what the SDK tries."""
TICK_S: Final = 0.5
"""Between two drawings, which call nothing."""
PROGRESS: Final = frozenset({"line", "upload"})
"""The events that tell how far it is, and not what came of it."""
SAID_S: Final = (15, 60)
"""When a pipe is told for the first time that a line still runs, and how often from then on."""


def _now() -> datetime:
    return datetime.now(UTC)


class View(Protocol):
    """Where the checklist is shown."""

    def show(self, followed: Execution) -> None:
        """Show the execution as it stands."""

    def rest(self, seconds: float) -> None:
        """Let time pass until the next look."""


def follow(
    client: SFNClient, arn: str, view: View, *, interval_s: float = LOOK_S, slowest_s: float = SLOWEST_S
) -> Execution:
    """Show an execution until it has ended; return it.

    A line that is down for a while is no reason to leave: after `PATIENCE` looks in vain it is.
    """
    in_vain = 0

    def passes(error: Exception) -> bool:
        nonlocal in_vain
        in_vain += 1
        return in_vain < PATIENCE and isinstance(service_errors.translation(error), TransientError)

    looks = execution_history.follow(
        client, arn, sleep=view.rest, interval_s=interval_s, slowest_s=slowest_s, passes=passes
    )
    for followed in looks:
        in_vain = 0
        view.show(followed)
    return followed


def lines_of(followed: Execution, clock: Clock) -> list[ChecklistLine]:
    """Return the checklist, and the undoing of a deployment that failed."""
    undoing = checklist.undoing(followed, clock)
    return [*checklist.lines(followed, clock), *([undoing] if undoing else [])]


class Live:
    """On a terminal: the whole list, redrawn in place, with what runs counting up."""

    def __init__(
        self,
        screen: Screen,
        *,
        scale: float = 1.0,
        leaving: str = "",
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._screen = screen
        self._now = now
        self._scale = scale
        self._leaving = leaving
        """What Ctrl-C does."""
        self._followed: Execution | None = None

    def show(self, followed: Execution) -> None:
        """Draw the list; when the execution has ended, in full, to stay."""
        self._followed = followed
        if followed.running:
            self._draw()
            return
        width, _ = self._screen.size
        drawn = lines_of(followed, Clock(self._now(), self._scale))
        self._screen.redraw(list(frame.whole(drawn, width=width, unicode=self._screen.unicode)))
        self._screen.keep()

    def rest(self, seconds: float) -> None:
        """Go on drawing while time passes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            sleep(min(left, TICK_S))
            self._draw()

    def _draw(self) -> None:
        if self._followed is None:
            return
        clock = Clock(self._now(), self._scale)
        width, height = self._screen.size
        unicode = self._screen.unicode
        rows = frame.fitted(
            lines_of(self._followed, clock), width=width, height=max(height - 1, 3), unicode=unicode
        )
        so_far = f"{span(clock.since(self._followed.started))} so far"
        footer = f"{so_far}; {self._leaving}" if self._leaving else so_far
        clipped = frame.clipped(footer, width, frame.more(unicode=unicode))
        self._screen.redraw([*rows, Text(clipped, frame.DIM)])


class Plain:
    """In a pipe: each line once, in order, as it settles; and now and then one that takes long."""

    def __init__(self, screen: Screen, *, scale: float = 1.0, now: Callable[[], datetime] = _now) -> None:
        self._screen = screen
        self._now = now
        self._scale = scale
        self._shown = 0
        self._group = ""
        self._said: dict[str, float] = {}
        """The seconds after which a line that runs is told of again."""

    def show(self, followed: Execution) -> None:
        """Write what has settled since the last call."""
        drawn = lines_of(followed, Clock(self._now(), self._scale))
        explained = not followed.running or followed.results.get("diagnose") is not None
        while self._shown < len(drawn):
            line = drawn[self._shown]
            if not line.settled or (line.mark is Mark.FAILED and not explained):
                self._still(line)
                return
            self._say(line)
            self._shown += 1

    def rest(self, seconds: float) -> None:
        """Let time pass."""
        sleep(seconds)

    def _still(self, line: ChecklistLine) -> None:
        due = self._said.get(line.text, SAID_S[0])
        if line.mark is Mark.RUNNING and line.seconds is not None and line.seconds >= due:
            self._said[line.text] = line.seconds + SAID_S[1]
            self._say(line)

    def _say(self, line: ChecklistLine) -> None:
        width, _ = self._screen.size
        for row in frame.whole([line], width=width, unicode=self._screen.unicode, group=self._group):
            self._screen.say(row)
        self._group = line.group


class Silent:
    """Nothing: without progress only the end is shown."""

    def show(self, followed: Execution) -> None:
        """Show nothing."""

    def rest(self, seconds: float) -> None:
        """Let time pass."""
        sleep(seconds)


class Events:
    """For machines: one JSON object per line and change; docs/following.md describes them."""

    def __init__(
        self,
        stream: TextIO,
        *,
        quiet: bool = False,
        scale: float = 1.0,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._stream = stream
        self._quiet = quiet
        self._now = now
        self._scale = scale
        self._known: dict[str, tuple[Mark, str]] = {}
        self._begun = False

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one event; progress only where it is wanted."""
        if self._quiet and kind in PROGRESS:
            return
        now = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.write({"type": kind, "time": now, **fields})

    def write(self, event: dict[str, Any]) -> None:
        """Write one event."""
        print(json.dumps(event), file=self._stream, flush=True)

    def show(self, followed: Execution) -> None:
        """Write what has changed since the last call; after the last, the summary."""
        if not self._begun:
            self._begun = True
            self.emit("execution", execution_arn=followed.arn, status=followed.status)
        for line in lines_of(followed, Clock(self._now(), self._scale)):
            stands = (line.mark, line.evidence)
            if self._known.get(line.text, (Mark.PENDING, "")) != stands:
                self._known[line.text] = stands
                seconds = round(line.seconds, 3) if line.seconds is not None else None
                self.emit(
                    "line",
                    group=line.group,
                    line=line.text,
                    mark=str(line.mark),
                    evidence=line.evidence,
                    measure=line.measure,
                    seconds=seconds,
                )
        if not followed.running:
            self.emit("summary", **execution_history.summary(followed))

    def rest(self, seconds: float) -> None:
        """Let time pass."""
        sleep(seconds)


def view_on(screen: Screen, *, scale: float = 1.0, leaving: str = "") -> View:
    """Return the view that suits a stream."""
    if screen.quiet:
        return Silent()
    if screen.live:
        return Live(screen, scale=scale, leaving=leaving)
    return Plain(screen, scale=scale)


def conclude(ended: Execution, screen: Screen, *, otherwise: str = "no consumer was switched") -> None:
    """Say how it ended: the answers, or what happened, why and what to do.

    Args:
        ended: the execution.
        screen: where to say it.
        otherwise: what to say of a deployment without a consumer.
    """
    screen.say()
    if ended.status != "SUCCEEDED":
        error = f": {ended.error}" if ended.error else ""
        screen.say(f"{ended.status.lower().replace('_', ' ')} after {ended.seconds or 0:.1f} s{error}")
        for line in lines(ended.cause or "no cause was given"):
            for row in _pieces(screen, line, 2):
                screen.say(f"  {row}")
        return
    results = ended.results
    screen.say(
        f"deployed in {ended.seconds or 0:.1f} s: endpoint {results['plan_deployment']['names']['endpoint']}"
    )
    for exchange in results["smoke_test"]["transcript"]:
        _tell(screen, "asked", exchange["prompt"])
        _tell(screen, "endpoint", exchange["answer"])
    if speed := answer_speed.read(results["smoke_test"]):
        _tell(screen, "speed", answer_speed.told(speed, answer_speed.computed(results)))
    consumers = (results.get("update_consumer") or {}).get("consumers", ())
    for one in consumers:
        whose = f"{one['function_name']}: " if len(consumers) > 1 else ""
        _tell(screen, "consumer", f"{whose}{consumer.answer_text(one['answer'])}")
    if not consumers:
        screen.say(f"  {otherwise}")
    plan = results["plan_deployment"]
    if plan.get("costs"):
        _tell(screen, "costs now", plan["costs"])
    if at := (results.get("retire_previous") or {}).get("expires_at"):
        _tell(screen, "goes", f"by itself at {at}")


def _tell(screen: Screen, who: str, said: str) -> None:
    """Write what somebody said: wrapped on a terminal, in one line for whatever reads a pipe."""
    first, *rest = _pieces(screen, said, 12)
    screen.say(f"  {who:<9} {first}")
    for piece in rest:
        screen.say(f"{'':12}{piece}")


def _pieces(screen: Screen, said: str, indent: int) -> list[str]:
    said = one_line(said)
    return (frame.wrapped(said, max(screen.size[0] - indent, 12)) or [""]) if screen.live else [said]
