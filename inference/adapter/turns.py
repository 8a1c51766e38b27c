"""Whose turn it is: the queue in front of llama-server's slots, as decisions.

Owns the order, the bounds and what a refusal says. Refuses to wait, and to read a clock: the shell does, and hands in
the time.

As many are answered at once as there are slots. Those that wait get their turns caller by caller, around and around,
and among those of one caller in their order: who sends a hundred requests delays his own, not another's.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Hashable

MOST_RETRY_S = 60
"""The longest Retry-After: what a client should look again after, however long the queue is."""
WEIGHT = 0.2
"""Of the newest turn in the mean length of one."""


@dataclass(frozen=True)
class Refused:
    """There is no room to wait in."""

    inside: int
    """Requests that are being answered or wait."""
    retry_after_s: int


@dataclass(eq=False)
class Ticket:
    """One request's place."""

    caller: Hashable
    granted_at: float | None = None
    """When its turn came; None while it waits."""


@dataclass
class Turns:
    """The tickets that are inside."""

    slots: int
    max_waiting: int
    _waiting: OrderedDict[Hashable, deque[Ticket]] = field(default_factory=OrderedDict)
    """By caller, who comes next first."""
    _running: set[Ticket] = field(default_factory=set)
    _mean_s: float | None = None
    """How long a turn lasts."""

    @property
    def waiting(self) -> int:
        """Return how many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def running(self) -> int:
        """Return how many have their turn."""
        return len(self._running)

    def enter(self, caller: Hashable, now: float) -> Ticket | Refused:
        """Return a place, whose turn may have come already, or a refusal."""
        ticket = Ticket(caller)
        if self.running < self.slots and not self._waiting:
            self._grant(ticket, now)
            return ticket
        if self.waiting >= self.max_waiting:
            return Refused(self.running + self.waiting, self.retry_after_s())
        self._waiting.setdefault(caller, deque()).append(ticket)
        return ticket

    def spare(self, caller: Hashable, now: float) -> Ticket | None:
        """Return a turn beside the one that a caller has, where nobody waits for it; else None."""
        if self._waiting or self.running >= self.slots:
            return None
        ticket = Ticket(caller)
        self._grant(ticket, now)
        return ticket

    def leave(self, ticket: Ticket, now: float) -> list[Ticket]:
        """Take a ticket out, whether its turn had come or not; return those whose turn comes by that."""
        if ticket in self._running and ticket.granted_at is not None:
            self._running.remove(ticket)
            self._count(now - ticket.granted_at)
        else:
            self._forget(ticket)
        granted = []
        while self._waiting and self.running < self.slots:
            granted.append(self._next(now))
        return granted

    def retry_after_s(self) -> int:
        """Return in how many seconds there may be room: when one of those inside is through, by the mean of late.

        With nothing known it is a second.
        """
        if self._mean_s is None:
            return 1
        return max(1, min(MOST_RETRY_S, math.ceil(self._mean_s * (self.waiting + 1) / self.slots)))

    def _next(self, now: float) -> Ticket:
        caller, tickets = self._waiting.popitem(last=False)
        ticket = tickets.popleft()
        if tickets:
            self._waiting[caller] = tickets  # behind all others that wait
        self._grant(ticket, now)
        return ticket

    def _grant(self, ticket: Ticket, now: float) -> None:
        ticket.granted_at = now
        self._running.add(ticket)

    def _forget(self, ticket: Ticket) -> None:
        tickets = self._waiting.get(ticket.caller)
        if tickets is None or ticket not in tickets:
            return
        tickets.remove(ticket)
        if not tickets:
            del self._waiting[ticket.caller]

    def _count(self, seconds: float) -> None:
        mean = seconds if self._mean_s is None else self._mean_s
        self._mean_s = mean + WEIGHT * (seconds - mean)
