"""UpdateConsumer: the cut-over. The consumers are switched to the new endpoint, and each is tried end to end.

The first that does not work ends it, and RollBack puts all of them back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from pipeline import payload
from pipeline.aws import lambda_handler
from pipeline.aws.permissions import SWITCHES_CONSUMER
from pipeline.errors import ConsumerBusy, ConsumerChanged, ConsumerMoved
from pipeline.rollout import consumer_switch, consumer_test
from pipeline.state_data import switch_types
from pipeline.state_data.request_types import RequestedConsumer

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """Whom to switch, how they were, and to what."""

    consumers: list[RequestedConsumer]
    before: switch_types.Read
    endpoint_name: str
    prompt: str


class SwitchedConsumer(TypedDict):
    """One consumer that calls the new endpoint, and what it answered."""

    function_name: str
    variable: str
    endpoint_name: str
    previous: str | None
    version: str | None
    """What was published for an alias."""
    answer: Any
    """As it is, or the beginning of its text when it is long (`pipeline.payload`)."""


class Result(TypedDict):
    """The consumers that were switched."""

    consumers: list[SwitchedConsumer]
    """In the plan's order."""


def run(event: Event, clients: Clients) -> Result:
    """Switch the consumers, and try each.

    Raises:
        ConsumerBusy: while Lambda applies an update.
        ConsumerMoved: when a variable was changed by somebody since ReadConsumer.
        ConsumerFailed: when a consumer does not work with the new endpoint.
    """
    asked, befores, endpoint = event["consumers"], event["before"].consumers, event["endpoint_name"]
    consumer_switch.set_all(clients.lambda_, befores, endpoint)
    moved = [
        _move(one, before, endpoint, event["prompt"], clients)
        for one, before in zip(asked, befores, strict=True)
    ]
    most = payload.share(len(moved))
    return {"consumers": [{**one, "answer": payload.shown(one["answer"], most)} for one in moved]}


def _move(
    asked: RequestedConsumer,
    before: switch_types.Before,
    endpoint: str,
    prompt: str,
    clients: Clients,
) -> SwitchedConsumer:
    name, alias = asked.function_name, asked.alias
    version = consumer_switch.publish(clients.lambda_, name, endpoint) if alias else None
    if alias and version:
        consumer_switch.move(clients.lambda_, name, alias, version)
    answer = consumer_test.ask(clients.lambda_, asked, endpoint, prompt, qualifier=alias)
    return {
        "function_name": name,
        "variable": asked.variable,
        "endpoint_name": endpoint,
        "previous": before.value,
        "version": version,
        "answer": answer,
    }


handler = lambda_handler.Task(
    run,
    errors=(ConsumerBusy, ConsumerChanged, ConsumerMoved),
    may=(SWITCHES_CONSUMER,),
    timeout_s=890,
)
