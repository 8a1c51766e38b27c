"""Two uploads of one service at once: which events come in what order, what is held up, and what must hold afterwards.

Owns the drawing of a race from a seed and its judgement, both pure. Refuses to run one: `arena` does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.matrix.invariants import Broken, Outcome, Snapshot, ended, misnamed, named

if TYPE_CHECKING:
    from collections.abc import Mapping

OLD, NEW = "old", "new"
"""The two uploads, by the time at which they were made."""
UPLOADS = (OLD, NEW)

RULES = ("ended", "once", "newest", "tidy", "earlier", "repeated")
"""Both executions ended, with a named error on failure; an upload has one execution, however often its event comes;
the newest upload that answers rightly serves the consumer; what was made is in use, a rollback target or deleted;
with no good upload, everything is as before; the newest good upload, repeated, ends well."""

GAPS_S = (0.0, 0.02, 0.1, 0.3, 0.6, 1.0, 1.6)
"""Between two events. A deployment alone takes about a second here."""
PAUSES_S = (0.0, 0.005, 0.02, 0.06)
"""How long one call may be held up."""


@dataclass(frozen=True, slots=True, order=True)
class Race:
    """One run."""

    seed: int
    scenario: str
    earlier: bool
    """Whether a good deployment of the service is in place before."""
    events: tuple[tuple[float, str], ...]
    """Seconds since the event before, and the upload that is told of."""
    wrong: tuple[str, ...]
    """The uploads whose model answers wrongly."""
    pause_s: float

    @property
    def kind(self) -> str:
        """How the events come."""
        uploads = [upload for _, upload in self.events]
        order = "in order" if uploads.index(OLD) < uploads.index(NEW) else "reordered"
        return f"{order}, with duplicates" if len(uploads) > len(UPLOADS) else order

    @property
    def winner(self) -> str | None:
        """The upload that must serve in the end; None when no upload can."""
        return next((upload for upload in reversed(UPLOADS) if upload not in self.wrong), None)

    def hold_up(self, caller: str, operation: str, nth: int) -> float:
        """Return for how many seconds a call is held up: the same for the same call of the same race."""
        if not self.pause_s:
            return 0.0
        return random.Random(f"{self.seed} {caller} {operation} {nth}").random() * self.pause_s

    def __str__(self) -> str:
        arrivals = ", ".join(f"+{gap:g} s {upload}" for gap, upload in self.events)
        wrong = f", wrong: {' and '.join(self.wrong)}" if self.wrong else ""
        return f"race {self.seed}, {self.scenario}{', earlier' if self.earlier else ''}: {arrivals}{wrong}"


@dataclass(frozen=True, slots=True)
class Raced:
    """What a race came to."""

    race: Race
    outcomes: Mapping[str, Outcome]
    broken: tuple[Broken, ...]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{self.race}, pauses up to {self.race.pause_s:g} s"]
        lines += [f"    {one.rule}: {one.seen}" for one in self.broken]
        lines += [
            f"    {upload} ended {one.status} {one.error}: {one.cause}"
            for upload, one in self.outcomes.items()
        ]
        return "\n".join(lines)


def draw(seed: int, scenarios: tuple[str, ...]) -> Race:
    """Return the race of a seed."""
    chance = random.Random(seed)
    uploads = list(UPLOADS)
    chance.shuffle(uploads)
    while chance.random() < 0.4:
        uploads.insert(chance.randrange(len(uploads) + 1), chance.choice(UPLOADS))
    return Race(
        seed=seed,
        scenario=chance.choice(scenarios),
        earlier=chance.random() < 0.5,
        events=tuple((chance.choice(GAPS_S) if n else 0.0, upload) for n, upload in enumerate(uploads)),
        wrong=chance.choice(((), (), (), (), (OLD,), (NEW,), (OLD, NEW))),
        pause_s=chance.choice(PAUSES_S),
    )


def judge(
    race: Race, before: Snapshot, outcomes: Mapping[str, Outcome], after: Snapshot, executions: int
) -> list[Broken]:
    """Return the rules that did not hold.

    Args:
        race: the run.
        before: the run.
        outcomes: of both uploads.
        after: the run, when everything has settled.
        executions: how many were started.
    """
    found = [
        Broken("ended", f"{upload}: {seen}")
        for upload, outcome in outcomes.items()
        for seen in ended(outcome, may_not_start=False)
    ]
    if executions != len(UPLOADS):
        found.append(Broken("once", f"{executions} executions of {len(UPLOADS)} uploads"))
    found += _newest(race, before, outcomes, after)
    found += _tidy(before, outcomes, after)
    return found


def _newest(race: Race, before: Snapshot, outcomes: Mapping[str, Outcome], after: Snapshot) -> list[Broken]:
    if race.winner is None:
        facts = ("variables", "answered_by", "parameters")
        same = all(getattr(before, fact) == getattr(after, fact) for fact in facts)
        missing = before.names - after.names
        if same and not missing:
            return []
        return [
            Broken(
                "earlier",
                f"answered by {after.answered_by}, was {before.answered_by}; gone: {sorted(missing)}; "
                f"parameters {after.parameters}, were {before.parameters}",
            )
        ]
    outcome = outcomes[race.winner]
    if not outcome.good:
        return [Broken("newest", f"{race.winner} ended {outcome.error}: {outcome.cause[:500]}")]
    if after.answered_by != outcome.endpoint:
        return [
            Broken("newest", f"the consumer is answered by {after.answered_by}, wanted {outcome.endpoint}")
        ]
    return [Broken("newest", seen) for seen in misnamed(outcome, after)]


def _tidy(before: Snapshot, outcomes: Mapping[str, Outcome], after: Snapshot) -> list[Broken]:
    of_good = frozenset().union(*(one.made for one in outcomes.values() if one.good))
    return [
        Broken("tidy", f"left behind, and not named: {name}")
        for name in sorted(after.names - before.names - of_good)
        if not any(named(name.split()[1], one) for one in outcomes.values())
    ]
