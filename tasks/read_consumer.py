"""ReadConsumer: how the consumers are before the switch, and whose turn it is.

They are read again when somebody else switched one between the reading and the switch. Nothing is changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline import aws, consumer, naming, registry, switch
from pipeline.errors import ConsumerBusy, ConsumerChanged, ConsumerNotFound

if TYPE_CHECKING:
    from pipeline.aws import Clients

MOST_READS: Final = 5
"""A switch that comes too late so often is given up; each time another deployment has come first."""


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return how the consumers are now, and how often they were read (`pipeline.consumer.Read`).

    Raises:
        Superseded: when one calls a newer upload of the service.
        ConsumerNotFound: when a variable holds what is no endpoint's name.
        ConsumerBusy: while the deployment that one calls is still being tried.
        ConsumerChanged: when somebody changed a variable during the switch who is no deployment of the service.
    """
    asked, results = event["consumers"], event["results"]
    earlier: consumer.Read | None = results.get("read_consumer")
    values = [_value(one, clients) for one in asked]
    if earlier is not None:
        for value, before in zip(values, earlier["consumers"], strict=True):
            _see_whose(value, before, results, earlier["reads"])
    _turns(values, results, clients)
    endpoint = results["plan_deployment"]["names"]["endpoint"]
    return dict(
        consumer.Read(
            consumers=[
                # What was switched before another one was found moved is put back to what it was then.
                earlier["consumers"][n]
                if earlier is not None and value == endpoint
                else _before(one, value, clients)
                for n, (one, value) in enumerate(zip(asked, values, strict=True))
            ],
            reads=earlier["reads"] + 1 if earlier is not None else 1,
        )
    )


def _value(asked: dict[str, Any], clients: Clients) -> str | None:
    now = clients.lambda_.get_function_configuration(FunctionName=asked["function_name"])
    value = consumer.Configuration.from_response(now).variables.get(asked["variable"])
    # Somebody may have changed it since the plan.
    problem = consumer.unfit(asked["variable"], asked["function_name"], value)
    if problem:
        raise ConsumerNotFound("consumer", [problem])
    return value


def _before(asked: dict[str, Any], value: str | None, clients: Clients) -> consumer.Before:
    name, alias_name = asked["function_name"], asked["alias"]
    routes = switch.routes(clients.lambda_, name, alias_name) if alias_name else None
    return consumer.Before(
        function_name=name,
        variable=asked["variable"],
        value=value,
        alias=alias_name,
        alias_version=routes.version if routes else None,
        alias_routing=(routes.weights or None) if routes else None,
    )


def _see_whose(value: str | None, before: consumer.Before, results: dict[str, Any], reads: int) -> None:
    """Refuse what a person set during the switch, and to read for ever."""
    what = f"{before['variable']} of {before['function_name']}"
    ours = value is not None and naming.is_named_after(value, results["plan_deployment"]["service"])
    if value != before["value"] and not ours:
        raise ConsumerChanged(
            f"{what} is {value!r} and was {before['value']!r} when it was read; "
            "wanted nobody else to change it during the switch; start the execution again"
        )
    if reads >= MOST_READS:
        raise ConsumerChanged(
            f"{what} was changed by others {MOST_READS} times during the switch, the last time to {value!r}; "
            "wanted it to stay as it was read; start the execution again"
        )


def _turns(values: list[str | None], results: dict[str, Any], clients: Clients) -> None:
    """Look at every endpoint that is called: one newer upload is enough to stand down, before any waiting."""
    plan = results["plan_deployment"]
    called = [value for value in dict.fromkeys(values) if value]
    waits = []
    for value in called:
        wait = registry.turn(
            clients,
            value,
            service=plan["service"],
            uploaded_at=results["check_archive"]["archive"]["last_modified"],
            execution=plan["execution"],
            holding=plan["names"]["endpoint"] in called,
        )
        if wait:
            waits.append(wait)
    if waits:
        raise ConsumerBusy(f"{'; '.join(waits)}; wanted it to be settled")


handler = aws.task(run)
