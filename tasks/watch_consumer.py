"""WatchConsumer: one look at the alarms while a part of the calls goes to the new version; the waiting is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from pipeline.aws import lambda_handler
from pipeline.aws.permissions import READS_CONSUMERS_ALARMS
from pipeline.errors import ConsumerFailed
from pipeline.planning import alarms, consumer
from pipeline.rollout import alarms_api
from pipeline.state_data.request_types import RequestedConsumer

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """Who is switched in steps, and what is watched meanwhile."""

    consumers: list[RequestedConsumer]
    endpoint_name: str
    alarms: list[str]
    """Names of the endpoint's own."""
    left: int
    """Looks that are still to come, this one among them."""


class Result(TypedDict):
    """What a check without an alarm leaves."""

    left: int
    """Looks that are still to come."""


def run(event: Event, clients: Clients) -> Result:
    """Check once, and count down.

    Raises:
        ConsumerFailed: when an alarm of the endpoint or of a consumer is in ALARM.
    """
    asked, endpoint = consumer.in_steps(event["consumers"]), event["endpoint_name"]
    named = [name for _, canary in asked for name in canary.alarms]
    watched = list(dict.fromkeys([*event["alarms"], *named]))
    # Only a consumer's own alarms may be composite.
    ringing = alarms.ringing(alarms_api.found(clients.cloudwatch, watched, composite=bool(named)))
    if ringing:
        parts = [
            f"{canary.weight:.0%} of the calls of {one.function_name}:{one.alias}" for one, canary in asked
        ]
        raise ConsumerFailed(
            f"with {', '.join(parts)} on endpoint {endpoint}, in ALARM: {'; '.join(ringing)}; "
            f"wanted none for {consumer.longest_bake(event['consumers'])} s"
        )
    return {"left": event["left"] - 1}


handler = lambda_handler.Task(
    run,
    may=(READS_CONSUMERS_ALARMS,),
)
