"""UpdateConsumer: the cut-over. The consumers are switched to the new endpoint, and each is tried end to end.

The first that does not work ends it, and RollBack puts all of them back. When all of them work, or there are none, the
service's parameter names the new endpoint: whoever finds it by that comes after those that were tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from pipeline import payload
from pipeline.aws import lambda_handler
from pipeline.aws.permissions import MOVES_PARAMETER, SWITCHES_CONSUMER
from pipeline.errors import ConsumerBusy, ConsumerChanged, ConsumerMoved
from pipeline.rollout import consumer_switch, consumer_test, endpoint_parameter
from pipeline.state_data import switch_types
from pipeline.state_data.request_types import RequestedConsumer

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class ParameterTags(TypedDict):
    """What the parameter's tags are to tell."""

    service: str
    execution: str
    since: str
    """ISO 8601."""


class Event(TypedDict):
    """Whom to switch, how they were, and to what."""

    consumers: list[RequestedConsumer]
    before: switch_types.Read
    endpoint_name: str
    prompt: str
    serving: NotRequired[ParameterTags]
    """An execution that was started before the stack was updated does not tell, and read no parameter."""


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
    """What was switched."""

    consumers: list[SwitchedConsumer]
    """In the plan's order."""
    parameter: str | None
    """The name of the parameter that names the endpoint now; None where none was read."""


def run(event: Event, clients: Clients) -> Result:
    """Switch the consumers, try each, and let the parameter name the endpoint.

    Raises:
        ConsumerBusy: while Lambda applies an update.
        ConsumerMoved: when a variable or the parameter was changed by somebody since ReadConsumer.
        ConsumerFailed: when a consumer does not work with the new endpoint.
    """
    asked, befores, endpoint = event["consumers"], event["before"].consumers, event["endpoint_name"]
    consumer_switch.set_all(clients.lambda_, befores, endpoint)
    moved = [
        _move(one, before, endpoint, event["prompt"], clients)
        for one, before in zip(asked, befores, strict=True)
    ]
    parameter, serving = event["before"].parameter, event.get("serving")
    named = None
    if parameter is not None and serving is not None:
        endpoint_parameter.point(clients.ssm, parameter, endpoint, endpoint_parameter.tags(**serving))
        named = parameter.name
    most = payload.share(max(len(moved), 1))
    return {
        "consumers": [{**one, "answer": payload.shown(one["answer"], most)} for one in moved],
        "parameter": named,
    }


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
    may=(SWITCHES_CONSUMER, MOVES_PARAMETER),
    timeout_s=890,
)
