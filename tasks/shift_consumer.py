"""ShiftConsumer: the first of two steps. A new version is tried by itself, then gets a part of the calls.

Consumers that have no canary are not touched here: UpdateConsumer switches them, when no alarm fired for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from pipeline.aws import lambda_handler
from pipeline.aws.permissions import (
    READS_CONSUMERS_ALARMS,
    SWITCHES_CONSUMER,
)
from pipeline.errors import ConsumerBusy, ConsumerChanged, ConsumerFailed, ConsumerMoved
from pipeline.planning import consumer
from pipeline.rollout import alarms_api, consumer_switch, consumer_test
from pipeline.state_data import switch_types
from pipeline.state_data.request_types import RequestedConsumer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.aws.clients import Clients, CloudWatchClient


class Event(TypedDict):
    """Whom to switch, how they were, and to what."""

    consumers: list[RequestedConsumer]
    before: switch_types.Read
    endpoint_name: str
    prompt: str


class ShiftedConsumer(TypedDict):
    """One consumer whose alias moves in two steps."""

    function_name: str
    alias: str
    version: str
    """The version that gets a part of the alias' calls."""
    weight: float


class Result(TypedDict):
    """The consumers that have begun to move, and how they are watched together."""

    consumers: list[ShiftedConsumer]
    looks: int
    """How often the alarms are checked before the new versions get all."""
    interval_s: int
    """Seconds before each check."""


def run(event: Event, clients: Clients) -> Result:
    """Publish a version of each, try it, and give it a part of the calls.

    Raises:
        ConsumerBusy: while Lambda applies an update.
        ConsumerMoved: when a variable was changed by somebody since ReadConsumer.
        ConsumerFailed: when a new version does not work, or one of the alarms that are to watch it does not exist.
    """
    asked, endpoint = event["consumers"], event["endpoint_name"]
    shifting = consumer.in_steps(asked)
    for _, canary in shifting:
        _check_alarms(clients.cloudwatch, canary.alarms)
    at_once = [one.canary is None for one in asked]
    consumer_switch.set_all(clients.lambda_, event["before"].consumers, endpoint, but=at_once)
    shifted: list[ShiftedConsumer] = [
        {
            "function_name": one.function_name,
            "alias": str(one.alias),  # the request refuses a canary without one
            "version": consumer_switch.publish(clients.lambda_, one.function_name, endpoint),
            "weight": canary.weight,
        }
        for one, canary in shifting
    ]
    # All of them before anybody's call goes there.
    for (one, _), to in zip(shifting, shifted, strict=True):
        consumer_test.ask(clients.lambda_, one, endpoint, event["prompt"], qualifier=to["version"])
    for to in shifted:
        consumer_switch.shift(clients.lambda_, to["function_name"], to["alias"], to["version"], to["weight"])
    looks, interval_s = consumer.bake(consumer.longest_bake(asked))
    return {"consumers": shifted, "looks": looks, "interval_s": interval_s}


def _check_alarms(client: CloudWatchClient, names: Sequence[str]) -> None:
    """Refuse a name that no alarm has: it would never fire."""
    if not names:
        return
    there = {str(alarm["AlarmName"]) for alarm in alarms_api.found(client, names, composite=True)}
    missing = [name for name in names if name not in there]
    if missing:
        raise ConsumerFailed(
            f"no alarm {', '.join(map(repr, missing))}; wanted every one of consumer.canary.alarms to exist; "
            "correct the names, or leave them out"
        )


handler = lambda_handler.Task(
    run,
    errors=(ConsumerBusy, ConsumerChanged, ConsumerMoved),
    may=(
        SWITCHES_CONSUMER,
        READS_CONSUMERS_ALARMS,
    ),
    timeout_s=890,
)
