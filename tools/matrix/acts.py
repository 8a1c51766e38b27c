"""What is done to a service that is deployed, and what must hold after it, whatever failed in it: pure.

Owns the acts and their rules, which have the names of `invariants`. Refuses to carry one out: `world` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline.rollout import releases
from tools.matrix.invariants import Broken, named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.matrix.invariants import Outcome, Snapshot

INTERRUPTED: Final = "INTERRUPTED"
"""The status of a command that was ended in its middle, as by Ctrl-C."""
NEXT: Final = ("TIP ", "try again", "Service Quotas")
"""What tells the next step where a command failed: words of ours, or AWS's own of a quota."""


class Act(StrEnum):
    """What is done to a service."""

    PAUSE = "pause"
    RESUME = "resume"
    """Of a service that was paused before."""
    EXPIRY = "expiry"
    """Looks of the schedule: one that tells of the end beforehand, then those that take it all away."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The one deployment of the service, as it was before anything was done to it."""

    service: str
    endpoint: str
    scaling: str
    """How its instances scale, as a tag keeps it."""


def broken(
    act: Act, subject: Subject, before: Snapshot, outcome: Outcome, after: Snapshot, *, killed: bool
) -> list[Broken]:
    """Return the rules that did not hold after an act.

    Args:
        act: what was done.
        subject: to what.
        before: the act.
        outcome: of the act; its cause is what the command wrote, or what the looks returned.
        after: the act, when everything has settled.
        killed: whether a fault was to end the command in its middle.
    """
    looked = act is Act.EXPIRY
    found = [Broken("ended", seen) for seen in ([] if looked else _ended(outcome, killed=killed))]
    found += [Broken("consumer", seen) for seen in _consumer(before, after)]
    found += [Broken("parameter", seen) for seen in _parameter(before, after, kept=not looked)]
    if not looked:
        found += [Broken("tidy", seen) for seen in _told(subject, before, outcome, after)]
        found += [Broken("earlier", f"{name} is gone") for name in _missing(before, after)]
    if outcome.good:
        found += [Broken("ended", f"done, and {seen}") for seen in unfinished(act, subject, after)]
    return found


def unfinished(act: Act, subject: Subject, after: Snapshot) -> Iterator[str]:
    """Yield what is not as it is to be once an act is done."""
    name = subject.endpoint
    there = after.endpoints.get(name)
    if act is Act.RESUME:
        if there is None or there.status != "InService":
            yield f"endpoint {name} is {there}"
        elif after.answered_by != name:
            yield f"the consumer is answered by {after.answered_by}"
        if after.scaled.get(name, "") != subject.scaling:
            yield f"it scales by {after.scaled.get(name)}, not by {subject.scaling}"
        marks = after.records.get(name, {})
        if marks.get(releases.TAG_RESUMED, "") <= marks.get(releases.TAG_PAUSED, ""):
            yield f"its record does not say that it was resumed: {dict(marks)}"
        return
    if there is not None:
        yield f"endpoint {name} is {there.status}"
    if after.scaled:
        yield f"something scales: {dict(after.scaled)}"
    if act is Act.EXPIRY:
        yield from (f"{one} is left" for one in sorted(after.names) if name in one)
        yield from (f"{one} names it" for one, row in after.parameters.items() if row.endpoint == name)
    elif releases.TAG_PAUSED not in after.records.get(name, {}):
        yield "its record does not say that it is paused"


def untold(subject: Subject, outcome: Outcome) -> list[Broken]:
    """Return what is wrong with what the topic was told where nothing failed; after a fault it may be told twice."""
    told = {
        words: outcome.notified.count(f"endpoint {subject.endpoint} {words}")
        for words in ("is taken down in", "was taken down")
    }
    return [
        Broken("ended", f"the topic was told {count} times that it {words}")
        for words, count in told.items()
        if count != 1
    ]


def _ended(outcome: Outcome, *, killed: bool) -> Iterator[str]:
    if outcome.good or (outcome.status == INTERRUPTED and killed):
        return
    if outcome.status != "FAILED":
        yield f"the command is {outcome.status}: {outcome.cause[-600:]}"
    elif not any(words in outcome.cause for words in NEXT):
        yield f"it failed, and says nothing to do: {outcome.cause[-600:]}"


def _consumer(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Nobody's variables are touched: who calls an endpoint that goes is told, and left alone."""
    was, now = ((one.variables, one.alias_version) for one in (before, after))
    if was != now:
        yield f"the consumer was {dict(was[0])}, and is {dict(now[0])}"


def _parameter(before: Snapshot, after: Snapshot, *, kept: bool) -> Iterator[str]:
    for name, was in before.parameters.items():
        now = after.parameters.get(name)
        if kept and now != was:
            yield f"parameter {name} was {was}, and is {now}"
        elif now is not None and not kept and now.endpoint not in after.endpoints:
            yield f"parameter {name} names what is gone: {now}"


def _told(subject: Subject, before: Snapshot, outcome: Outcome, after: Snapshot) -> Iterator[str]:
    """What was begun and not finished is named, with the command that goes on: an endpoint costs money meanwhile."""
    same = (before.endpoints, before.scaled, before.records) == (after.endpoints, after.scaled, after.records)
    if outcome.good or same:
        return
    if not named(subject.endpoint, outcome):
        yield f"endpoint {subject.endpoint} was changed, and is not named: {outcome.cause[-600:]}"
    commands = [f"sealift {act} {subject.service}" for act in (Act.PAUSE, Act.RESUME)]
    if not any(command in outcome.cause for command in commands):
        yield f"what was begun is not told how to go on with: {outcome.cause[-600:]}"


def _missing(before: Snapshot, after: Snapshot) -> list[str]:
    """Return what brings a service back, or is made for its endpoint, and is not there any more."""
    return sorted(name for name in before.names - after.names if not name.startswith("endpoint "))
