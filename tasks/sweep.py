"""Sweep: finds what Sealift made and nobody refers to any more, and deletes it if told to; a schedule's, not a state's.

One run is one look and at most one call for each thing that goes. Nothing is waited for: an endpoint takes a while to
go, and its configuration and its model go with the next run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from pipeline.aws import lambda_handler
from pipeline.operations import sweeping
from pipeline.operations.account import moment
from pipeline.plain import one_line

if TYPE_CHECKING:
    from typing import NotRequired

    from pipeline.aws.clients import Clients
    from pipeline.operations.sweeping import SweptThing

MOST_TOLD = 100
"""Lines of a notification, which may have 256 KB."""


class Event(TypedDict):
    """What the template's schedule says."""

    now: str
    """ISO 8601."""
    stack: str
    artifact_bucket: str
    grace_hours: float | str
    delete: bool | str
    """A flag that CloudFormation writes is a word."""
    topic: NotRequired[str]
    """Whom to tell, by its ARN."""


Result: TypeAlias = sweeping.Swept


def run(event: Event, clients: Clients) -> Result:
    """Look, decide, and delete where `delete` says so; tell the topic of it."""
    result = sweeping.once(
        clients,
        now=moment(event["now"]),
        grace=timedelta(hours=float(event["grace_hours"])),
        delete=str(event["delete"]).lower() == "true",
        stack=event["stack"],
        bucket=event["artifact_bucket"],
    )
    if event.get("topic") and (told := _told(result["found"], act=result["delete"])):
        subject = f"Sealift: {'swept' if result['delete'] else 'found'} what nobody uses"
        clients.sns.publish(TopicArn=event["topic"], Subject=subject, Message=told)
    return result


def _told(found: list[SweptThing], *, act: bool) -> str:
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
