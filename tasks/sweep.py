"""Sweep: finds what Sealift made and nobody refers to any more, and deletes it if told to; a schedule's, not a state's.

One run is one look and at most one call for each thing that goes. Nothing is waited for: an endpoint takes a while to
go, and its configuration and its model go with the next run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipeline.aws import lambda_handler, service_errors
from pipeline.errors import NotNow, SealiftError
from pipeline.operations import account_scan, sweep
from pipeline.operations.sweep import Action
from pipeline.plain import one_line

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.aws.clients import Clients
    from pipeline.operations.sweep import SweepDecision

MOST_TOLD = 100
"""Lines of a notification, which may have 256 KB."""


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Look, decide, and delete where `delete` says so; return what is `found` with a reason each, and the `counts`.

    `outcome` of each is kept, found (a dry run), deleted, deleting, marked, waiting or failed.
    """
    now = sweep.moment(event["now"])
    facts = account_scan.look(clients, stack=event["stack"], bucket=event["artifact_bucket"])
    grace = timedelta(hours=float(event["grace_hours"]))
    decisions = sweep.decide(facts, now=now, grace=grace, service=event.get("service"))
    # A flag that CloudFormation writes is a word.
    act = str(event["delete"]).lower() == "true"
    found = _apply(decisions, now, clients) if act else [_line(one, _dry(one)) for one in decisions]
    counts: dict[str, int] = {}
    for one in found:
        counts[one["outcome"]] = counts.get(one["outcome"], 0) + 1
    if event.get("topic") and (told := _told(found, act=act)):
        subject = f"Sealift: {'swept' if act else 'found'} what nobody uses"
        clients.sns.publish(TopicArn=event["topic"], Subject=subject, Message=told)
    return {"delete": act, "found": found, "counts": counts, "unseen": sorted(set(facts.unseen.values()))}


def _dry(one: SweepDecision) -> str:
    return "kept" if one.action is Action.KEEP else "found"


def _apply(decisions: tuple[SweepDecision, ...], now: datetime, clients: Clients) -> list[dict[str, Any]]:
    """Carry the decisions out, in their order; what is refused is told, and keeps what would go after it."""
    gone: set[str] = set()
    lines = []
    for one in decisions:
        if one.action is Action.KEEP:
            lines.append(_line(one, "kept"))
            continue
        if waits := [key for key in one.after if key not in gone]:
            lines.append(_line(one, "waiting", f"{waits[0]} goes first"))
            continue
        try:
            with service_errors.translated():
                outcome = _carry_out(one, now, clients)
        except NotNow as error:
            lines.append(_line(one, "failed", f"{error}; the next run tries again"))
            continue
        except SealiftError as error:
            lines.append(_line(one, "failed", str(error)))
            continue
        if outcome == "deleted":
            gone.add(one.made.key)
        lines.append(_line(one, outcome))
    return lines


def _carry_out(one: SweepDecision, now: datetime, clients: Clients) -> str:
    if one.action is Action.MARK:
        account_scan.mark(clients, one.made, now)
        return "marked"
    return "deleted" if account_scan.delete(clients, one.made) else "deleting"


def _line(one: SweepDecision, outcome: str, more: str = "") -> dict[str, Any]:
    made = one.made
    return {
        "kind": made.kind.value,
        "name": made.name,
        "service": made.service,
        "outcome": outcome,
        "reason": f"{one.reason}; {more}" if more else one.reason,
        "changed": made.changed.isoformat(timespec="seconds"),
    }


def _told(found: list[dict[str, Any]], *, act: bool) -> str:
    """Return the notification; empty when there is nothing to tell."""
    lines = [
        one_line(f"{one['outcome']}: {one['kind']} {one['name']}: {one['reason']}")
        for one in found
        if one["outcome"] != "kept"
    ]
    if not lines:
        return ""
    rest = len(lines) - MOST_TOLD
    shown = [*lines[:MOST_TOLD], *([f"and {rest} more"] if rest > 0 else [])]
    how = (
        ""
        if act
        else "\nNothing was deleted: set the stack's SweepDelete to true, or run `sealift sweep --delete`."
    )
    return "\n".join(shown) + how


handler = lambda_handler.task(run)
