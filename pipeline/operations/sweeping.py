"""One sweep: read all that Sealift made, decide, and carry it out where requested.

Owns the order of the calls and what is told of each thing. Refuses to wait: whoever calls comes again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypedDict

from pipeline.aws import service_errors
from pipeline.errors import SealiftError, TransientError
from pipeline.operations import account_scan, removal, sweep
from pipeline.operations.account_scan import Scope
from pipeline.operations.sweep import Action

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from pipeline.aws.clients import Clients
    from pipeline.operations.sweep import SweepDecision


class SweptThing(TypedDict):
    """One thing that Sealift made, and what became of it."""

    kind: str
    name: str
    service: str | None
    outcome: str
    """kept, found (nothing is deleted), deleted, deleting, marked, waiting or failed."""
    reason: str
    changed: str
    """ISO 8601."""


class Swept(TypedDict):
    """What one sweep did."""

    delete: bool
    found: list[SweptThing]
    counts: dict[str, int]
    """Things by their outcome."""
    unseen: list[str]
    """What could not be looked at, and why."""


def once(
    clients: Clients,
    *,
    now: datetime,
    grace: timedelta,
    delete: bool,
    stack: str | None,
    bucket: str | None,
    repository: str | None = None,
    service: str | None = None,
) -> Swept:
    """Sweep once; return what was done with each thing, and why.

    Args:
        clients: AWS's.
        now: with its time zone.
        grace: for which nothing is deleted that somebody may still be making.
        delete: whether what nobody refers to is deleted; else it is only found.
        stack: the one whose executions are looked at; None for all.
        bucket: where the stack's archives are; None where that is not known.
        repository: where its images are, by the URI without a tag; likewise.
        service: the only one whose things are looked at; None for all.
    """
    account = account_scan.scan(clients, Scope(stack=stack, bucket=bucket, repository=repository))
    decisions = sweep.decide(account, now=now, grace=grace, service=service)
    found = _apply(decisions, now, clients) if delete else [_line(one, _dry(one)) for one in decisions]
    return {
        "delete": delete,
        "found": found,
        "counts": dict(Counter(one["outcome"] for one in found)),
        "unseen": sorted(set(account.unseen.values())),
    }


def _dry(one: SweepDecision) -> str:
    return "kept" if one.action is Action.KEEP else "found"


def _apply(decisions: tuple[SweepDecision, ...], now: datetime, clients: Clients) -> list[SweptThing]:
    """Carry the decisions out, in their order; what is refused is reported, and keeps what would go after it."""
    deleted: set[str] = set()
    lines = []
    for one in decisions:
        if one.action is Action.KEEP:
            lines.append(_line(one, "kept"))
            continue
        if waits := [key for key in one.after if key not in deleted]:
            lines.append(_line(one, "waiting", f"{waits[0]} goes first"))
            continue
        try:
            with service_errors.translated():
                outcome = _carry_out(one, now, clients)
        except TransientError as error:
            lines.append(_line(one, "failed", f"{error}; the next run tries again"))
            continue
        except SealiftError as error:
            lines.append(_line(one, "failed", str(error)))
            continue
        if outcome == "deleted":
            deleted.add(one.made.key)
        lines.append(_line(one, outcome))
    return lines


def _carry_out(one: SweepDecision, now: datetime, clients: Clients) -> str:
    if one.action is Action.MARK:
        removal.mark(clients, one.made, now)
        return "marked"
    return "deleted" if removal.delete(clients, one.made) else "deleting"


def _line(one: SweepDecision, outcome: str, more: str = "") -> SweptThing:
    made = one.made
    return {
        "kind": made.kind.value,
        "name": made.name,
        "service": made.service,
        "outcome": outcome,
        "reason": f"{one.reason}; {more}" if more else one.reason,
        "changed": made.changed.isoformat(timespec="seconds"),
    }
