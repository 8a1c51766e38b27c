"""What the account's endpoints hold of its quotas, as it was seen: facts, and the words for them.

Owns what an endpoint holds, and what all of them leave. Refuses to look (`pipeline.rollout.endpoint_usage` does) and to
decide who gives room to whom (`pipeline.planning.quotas` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline import limits
from pipeline.hosting import INSTANCE, SERVERLESS

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST: Final = 1
"""Concurrent invocations of an endpoint at least (service model, ServerlessMaxConcurrency)."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An endpoint of the account, and what it holds of the quotas: of serverless ones, or of instances."""

    name: str
    status: str
    config: str
    concurrency: int
    """While it is updated, the larger of the old and the new."""
    ours: bool = False
    """Whether Sealift's tags name it as one of this service's."""
    provisioned: int = 0
    """Containers that are kept started (ProvisionedConcurrency), which its concurrency cannot go below."""
    created: str = ""
    """ISO 8601."""
    on_instances: bool = False
    """It holds nothing of what serverless endpoints share."""
    scales: bool = False
    """Whether its tags say that its instances are scaled; known only of `ours`."""
    service: str | None = None
    """Whose its tags say it is, where that was looked at (`endpoint_usage.name_owners`); empty: not Sealift's."""

    @property
    def hosting(self) -> str:
        """Return where it runs, as a request spells it."""
        return INSTANCE if self.on_instances else SERVERLESS

    @property
    def least(self) -> int:
        """Return the concurrency that it may be lowered to: what is provisioned of it is paid for, and stays."""
        return max(LEAST, self.provisioned)

    @property
    def lowerable(self) -> bool:
        """Whether its concurrency may be lowered now: nobody else's endpoint, nor one that has its least."""
        return self.ours and self.status == "InService" and self.concurrency > self.least


@dataclass(frozen=True, slots=True)
class Situation:
    """What serverless endpoints there are, and how much concurrency the account allows in all."""

    holders: tuple[Holder, ...] = ()
    quota: int = limits.CONCURRENCY_QUOTA.value
    read: bool = False
    """Whether Service Quotas told the quota; else it is what an ordinary account has."""
    how: str = "assumed, as on an ordinary account"
    complete: bool = True
    """Whether every endpoint was looked at."""
    names: tuple[str, ...] = ()
    """Of all endpoints that were listed."""

    @property
    def used(self) -> int:
        """Return the concurrency in use."""
        return sum(holder.concurrency for holder in self.holders)

    @property
    def free(self) -> int | None:
        """Return the concurrency that is left; None when more is in use than was assumed to be allowed."""
        if not self.read and self.used > self.quota:
            return None
        return max(self.quota - self.used, 0)

    def holder(self, name: str | None) -> Holder | None:
        """Return an endpoint by name."""
        return next((holder for holder in self.holders if holder.name == name), None)

    def own(self, *, without: str | None = None) -> tuple[Holder, ...]:
        """Return the service's endpoints that can give room, oldest first."""
        able = (one for one in self.holders if one.lowerable and one.name != without)
        return tuple(sorted(able, key=lambda one: (one.created, one.name)))

    def __str__(self) -> str:
        unseen = "" if self.complete else ", and there are endpoints that were not looked at"
        held = f"{self.used} of {self.quota} ({self.how}) concurrent invocations are in use"
        return f"{held}: {in_use(self.holders)}{unseen}"


MOST_IN_USE: Final = 8
"""Endpoints that are named where it is said who holds how much."""


def in_use(holders: Iterable[Holder]) -> str:
    """Return who holds how much, for people; of many, how many more there are."""
    found = [f"{one.name} {one.concurrency}" for one in holders if not one.on_instances]
    left = len(found) - MOST_IN_USE
    return ", ".join([*found[:MOST_IN_USE], *([f"{left} more"] if left > 0 else [])]) or "none"


@dataclass(frozen=True, slots=True)
class Lowered:
    """An endpoint of the service whose concurrency is lowered while the new one is tried."""

    endpoint: str
    before: int
    to: int


def describe(lowered: Lowered) -> str:
    """Return one lowering in words."""
    return f"lower {lowered.endpoint} from {lowered.before} to {lowered.to}"
