"""What of all that Sealift made nobody refers to any more: facts in, one decision with its reason for each thing out.

Owns the rules of the sweeper. Refuses to make a call (`account_scan` reads and `removal` deletes), to read a clock, and
to let go what could not be looked at: what is not known to be unused stays, and the reason says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline.endpoint_status import UNDELETABLE
from pipeline.operations.account import ExecutionEnd, MadeKind, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.operations.account import Account, Made
    from pipeline.rollout.releases import Release

SETTLED: Final = timedelta(hours=10)
"""Longer than an execution may last: whoever found an archive unmarked has made its model, or ended, by then."""


_WORD: Final = re.compile(r"[A-Za-z0-9-]+")
"""What SageMaker takes as a name."""


class Action(StrEnum):
    """What to do with it."""

    KEEP = "keep"
    DELETE = "delete"
    MARK = "mark"
    """An archive is marked first, and deleted when it is still unused a good while later."""


@dataclass(frozen=True, slots=True)
class SweepDecision:
    """What to do with one thing, and why."""

    made: Made
    action: Action
    reason: str
    after: tuple[str, ...] = ()
    """Keys of what has to be gone first."""


def decide(
    facts: Account, *, now: datetime, grace: timedelta, service: str | None = None
) -> tuple[SweepDecision, ...]:
    """Return one decision for each thing, in the order in which they are carried out.

    Args:
        facts: what was found.
        now: the time.
        grace: how long a thing stays after it was made or changed, and after its execution ended.
        service: only what was made for this one; archives and images, which belong to none, are left out then.
    """
    judge = _Judge(facts, now, grace)
    chosen = [one for one in facts.made if service is None or one.service == service]
    order = list(MadeKind)
    return tuple(judge(one) for one in sorted(chosen, key=lambda one: (order.index(one.kind), one.name)))


class _Judge:
    """Judges one thing at a time; what refers to it has been judged before."""

    def __init__(self, facts: Account, now: datetime, grace: timedelta) -> None:
        self._facts = facts
        self._now = now
        self._grace = grace
        self._made = {one.key: one for one in facts.made}
        running = {
            one.service: one.execution
            for one in facts.made
            if facts.executions.get(one.execution, ExecutionEnd()).running
        }
        self._busy = {service: execution for service, execution in running.items() if service}
        self._ways = {service: _ways(found) for service, found in facts.releases.items()}
        self._outdone = _outdone(facts)
        self._paused = {
            one.endpoint
            for found in facts.releases.values()
            for one in found
            if one.is_paused and one.config in _staying(found)
        }
        # A variable may hold a name, or a URL or a document with the name in it.
        by_parameter = {
            endpoint: f"parameter {one.name} names it"
            for one in facts.made
            if one.kind is MadeKind.PARAMETER
            for endpoint in one.uses
        }
        named = by_parameter | dict(facts.named)
        self._named = {word: who for value, who in named.items() for word in _WORD.findall(value)}

    def __call__(self, made: Made) -> SweepDecision:
        why = made.unreadable or self._needed(made)
        if why:
            return SweepDecision(made, Action.KEEP, why)
        if made.kind is MadeKind.ARCHIVE:
            return self._archive(made)
        if made.kind is MadeKind.IMAGE:
            return self._image(made)
        if young := self._young(made):
            return SweepDecision(made, Action.KEEP, young)
        whose = "its execution has ended, " if made.execution else ""
        reason = f"{whose}nothing refers to it, and it has been so for {_span(self._age(made))}"
        return SweepDecision(made, Action.DELETE, reason, self._first(made))

    # -- who refers to it

    def _needed(self, made: Made) -> str:
        """Return who needs a thing, or why nobody can tell; empty when nobody does."""
        if made.kind is MadeKind.ARCHIVE:
            return self._read(made, self._facts.archives, "reads")
        if made.kind is MadeKind.IMAGE:
            return self._read(made, self._facts.images, "has")
        if made.kind is MadeKind.ENDPOINT:
            return self._owed(made) or self._endpoint(made)
        if made.kind is MadeKind.CONFIG:
            return self._owed(made) or self._way(made) or self._users(made)
        if made.kind is MadeKind.MODEL:
            return self._owed(made) or self._users(made)
        return self._owed(made) or self._watched(made)

    def _owed(self, made: Made) -> str:
        """Return what speaks for any thing: executions, and consumers."""
        facts = self._facts
        if MadeKind.ENDPOINT in facts.unseen:
            return facts.unseen[MadeKind.ENDPOINT]
        if why := self._worked_on(made):
            return why
        if made.service in facts.unclear:
            return facts.unclear[made.service]
        if made.kind is MadeKind.PARAMETER:
            return ""  # Whoever reads it calls what it names, which is looked at instead.
        if MadeKind.PARAMETER in facts.unseen:
            return facts.unseen[MadeKind.PARAMETER]
        names = made.uses if made.kind in {MadeKind.ALARM, MadeKind.VERSION} else (made.name,)
        return next((self._named[name] for name in names if name in self._named), "")

    def _worked_on(self, made: Made) -> str:
        """Return which execution is, or may be, at work on a thing."""
        facts = self._facts
        if made.execution:
            known = facts.executions.get(made.execution)
            if known is None:
                return f"execution {made.execution} was not looked at"
            if known.unreadable:
                return f"execution {made.execution} could not be looked at: {known.unreadable}"
            if known.running:
                return f"execution {made.execution} is running"
        elif made.kind in {MadeKind.PARAMETER, MadeKind.VERSION} and facts.running:
            return f"execution {min(facts.running)} is running"
        if made.service in self._busy:
            return f"execution {self._busy[made.service]} of its service is running"
        # A deployment that is started again takes over what an earlier execution made of the same archive.
        for execution, archive in facts.running.items():
            if archive == made.archive and archive:
                return f"execution {execution} is at work on its archive"
        return ""

    def _endpoint(self, made: Made) -> str:
        """Return why an endpoint stays: for what it serves, or because AWS would not delete it now."""
        if made.status == "Deleting":
            return "it is being deleted already"
        if MadeKind.CONFIG in self._facts.unseen:
            return self._facts.unseen[MadeKind.CONFIG]
        for config in made.uses:
            serves = self._made.get(f"{MadeKind.CONFIG} {config}")
            if serves is None:
                return f"it has configuration {config}, which Sealift did not make"
            why = serves.unreadable or self._owed(serves) or self._way(serves) or self._young(serves)
            if why:
                return f"{why} (its configuration {config})"
        if made.status in UNDELETABLE:
            return f"it is {made.status}, and AWS deletes it only after that"
        return ""

    def _way(self, made: Made) -> str:
        """Return whether a configuration is of a good deployment that stays."""
        return self._ways.get(made.service, {}).get(made.name, "")

    def _users(self, made: Made) -> str:
        """Return who uses a configuration or a model and stays."""
        above = MadeKind.ENDPOINT if made.kind is MadeKind.CONFIG else MadeKind.CONFIG
        if above in self._facts.unseen:
            return self._facts.unseen[above]
        for name in self._used_by(made):
            user = self._made.get(f"{above} {name}")
            deleting = user is not None and (user.status == "Deleting" or self(user).action is Action.DELETE)
            if not deleting:
                return f"{above} {name} has it"
        return ""

    def _used_by(self, made: Made) -> list[str]:
        if made.kind is MadeKind.CONFIG:
            return sorted(name for name, config in self._facts.endpoints.items() if config == made.name)
        return sorted(name for name, models in self._facts.configs.items() if made.name in models)

    def _watched(self, made: Made) -> str:
        """Return why an alarm, a parameter or a version stays: the endpoint that it is about is there and stays."""
        if made.aliased:
            return "an alias sends calls to it"
        for name in made.uses:
            if name in self._paused:
                return f"endpoint {name} is paused"
            about = self._made.get(f"{MadeKind.ENDPOINT} {name}")
            there = name in self._facts.endpoints
            if there and (
                about is None or (about.status != "Deleting" and self(about).action is not Action.DELETE)
            ):
                return f"endpoint {name} is there"
        return ""

    def _first(self, made: Made) -> tuple[str, ...]:
        """Return what has to be gone before a thing is deleted."""
        if made.kind is MadeKind.CONFIG:
            return tuple(f"{MadeKind.ENDPOINT} {name}" for name in self._used_by(made))
        if made.kind is MadeKind.MODEL:
            return tuple(f"{MadeKind.CONFIG} {name}" for name in self._used_by(made))
        if made.kind in {MadeKind.ALARM, MadeKind.PARAMETER, MadeKind.VERSION}:
            there = self._facts.endpoints
            return tuple(f"{MadeKind.ENDPOINT} {name}" for name in made.uses if name in there)
        return ()

    # -- archives and images

    def _read(self, made: Made, read: Mapping[str, str], how: str) -> str:
        """Return which model reads an archive or has an image, or why nobody can tell."""
        facts = self._facts
        for kind in (MadeKind.ENDPOINT, MadeKind.CONFIG, MadeKind.MODEL):
            if kind in facts.unseen:
                return facts.unseen[kind]
        for url in made.uses:
            if url in read:
                return f"model {read[url]} {how} it"
        for endpoint, config in facts.endpoints.items():
            if config not in facts.configs:
                return (
                    f"configuration {config} of endpoint {endpoint} is gone, so nobody can tell what it reads"
                )
            if lost := facts.configs[config] - facts.models:
                return f"model {min(lost)} of endpoint {endpoint} is gone, so nobody can tell what it reads"
        return ""

    def _archive(self, made: Made) -> SweepDecision:
        """Decide on an archive that no model reads: marked now, deleted when it has been marked for long enough.

        Between the two lies more than an execution may last. One that found the archive unmarked has made its model by
        then, or ended; one that finds it marked writes another version, and only the marked version is deleted.
        """
        if made.marked is None:
            if young := self._young(made):
                return SweepDecision(made, Action.KEEP, young)
            reason = f"no model reads it, and it was written {_span(self._age(made))} ago"
            return SweepDecision(made, Action.MARK, reason)
        wait = max(self._grace, SETTLED)
        since = self._now - made.marked
        if since < wait:
            reason = f"no model reads it; marked {_span(since)} ago, deleted after {_span(wait)}"
            return SweepDecision(made, Action.KEEP, reason)
        return SweepDecision(made, Action.DELETE, f"no model reads it; marked {_span(since)} ago")

    def _image(self, made: Made) -> SweepDecision:
        """Decide on an image that no model has: it goes when nobody has claimed it for long enough.

        A deployment claims an image before it looks whether it is there, and has made its model, or ended, within less
        than `SETTLED`.
        """
        wait, age = max(self._grace, SETTLED), self._age(made)
        if age < wait:
            reason = f"no model has it; claimed {_span(age)} ago, deleted after {_span(wait)}"
            return SweepDecision(made, Action.KEEP, reason)
        return SweepDecision(made, Action.DELETE, f"no model has it; claimed {_span(age)} ago")

    # -- time

    def _age(self, made: Made) -> timedelta:
        """Return for how long a thing has been as it is."""
        known = self._facts.executions.get(made.execution, ExecutionEnd())
        moments = [made.changed, known.ended, self._outdone.get(made.key)]
        return self._now - max(moment for moment in moments if moment is not None)

    def _young(self, made: Made) -> str:
        age = self._age(made)
        if age >= self._grace:
            return ""
        return f"changed, or its execution ended, {_span(age)} ago; grace is {_span(self._grace)}"


def _ways(found: Sequence[Release]) -> dict[str, str]:
    """Return why configurations of a service stay: those of a deployment stay and go together."""
    stay = _staying(found)
    return {config: stay[one.config] for one in found if one.config in stay for config in one.configs}


def _staying(found: Iterable[Release]) -> dict[str, str]:
    """Return which deployments of a service stay: the newest good one, those before it that its tag says, and doubt.

    The same ones that RetirePrevious keeps. As there, a deployment that was rolled back stays until the next good one.
    """
    ordered = sorted(found, key=lambda one: one.age, reverse=True)
    good = [one for one in ordered if one.may_serve_again]
    if not good:
        return {
            one.config: "it was rolled back, and no good deployment has come since"
            for one in ordered
            if one.withdrawn_at and (one.status is not None or one.is_paused)
        }
    newest, *earlier = good
    paused = f"it is paused: `sealift resume` brings it back, which was paused at {newest.paused_at}"
    stay = {newest.config: paused if newest.is_paused else "it is the newest good deployment of its service"}
    if newest.keep_previous is None:
        doubt = "it is a good deployment, and how many its service keeps is not known"
        stay |= dict.fromkeys([one.config for one in earlier], doubt)
    else:
        stay |= dict.fromkeys(
            [one.config for one in earlier[: newest.keep_previous]], "it is a rollback target"
        )
    for one in ordered:
        there = one.status is not None or one.is_paused
        if one.withdrawn_at and not one.good and one.age > newest.age and there:
            stay[one.config] = "it was rolled back; the next good deployment retires it"
    return stay


def _outdone(facts: Account) -> dict[str, datetime]:
    """Return since when what was good once has been outdone by the newest good deployment of its service, by key."""
    since: dict[str, datetime] = {}
    for found in facts.releases.values():
        newest = max((one for one in found if one.may_serve_again), key=lambda one: one.age, default=None)
        if newest is None or newest.deployed_at is None:
            continue
        for one in found:
            if one.deployed_at and one is not newest:
                keys = [
                    *(f"{MadeKind.CONFIG} {config}" for config in one.configs),
                    f"{MadeKind.ENDPOINT} {one.endpoint}",
                ]
                keys += [f"{MadeKind.MODEL} {name}" for name in facts.configs.get(one.config, ())]
                since |= dict.fromkeys(keys, moment(newest.deployed_at))
    return since


def _span(span: timedelta) -> str:
    """Return a span of time in words, rounded down."""
    seconds = int(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 3 * 86400 else f"{seconds // 86400} days"
