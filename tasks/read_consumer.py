"""ReadConsumer: how the consumer is before the switch, and whose turn it is.

It is read again when somebody else switched it between the reading and the switch. Nothing is changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline import aws, consumer, naming, registry
from pipeline.errors import ConsumerBusy, ConsumerChanged

if TYPE_CHECKING:
    from pipeline.aws import Clients

MOST_READS: Final = 5
"""A switch that comes too late so often is given up; each time another deployment has come first."""


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return how the consumer is now (`pipeline.consumer.Before`).

    Raises:
        Superseded: when it calls a newer upload of the service.
        ConsumerBusy: while the deployment that it calls is still being tried.
        ConsumerChanged: when somebody changed the variable during the switch who is no deployment of the service.
    """
    asked, results = event["consumer"], event["results"]
    name, variable, alias_name = asked["function_name"], asked["variable"], asked["alias"]
    now = consumer.Configuration.from_response(clients.lambda_.get_function_configuration(FunctionName=name))
    value = now.variables.get(variable)
    reads = _reads(value, f"{variable} of {name}", results)
    _turn(value, results, clients)
    alias = clients.lambda_.get_alias(FunctionName=name, Name=alias_name) if alias_name else None
    routing = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") if alias else None
    return dict(
        consumer.Before(
            function_name=name,
            variable=variable,
            value=value,
            alias=alias_name,
            alias_version=alias["FunctionVersion"] if alias else None,
            alias_routing=dict(routing) if routing else None,
            reads=reads,
        )
    )


def _reads(value: str | None, what: str, results: dict[str, Any]) -> int:
    """Return how often the consumer has been read now."""
    before: consumer.Before | None = results.get("read_consumer")
    if before is None:
        return 1
    ours = value is not None and naming.is_named_after(value, results["plan_deployment"]["service"])
    if value != before["value"] and not ours:
        raise ConsumerChanged(
            f"{what} is {value!r} and was {before['value']!r} when it was read; "
            "wanted nobody else to change it during the switch; start the execution again"
        )
    if before["reads"] >= MOST_READS:
        raise ConsumerChanged(
            f"{what} was changed by others {MOST_READS} times during the switch, the last time to {value!r}; "
            "wanted it to stay as it was read; start the execution again"
        )
    return before["reads"] + 1


def _turn(value: str | None, results: dict[str, Any], clients: Clients) -> None:
    if not value:
        return
    plan = results["plan_deployment"]
    wait = registry.turn(
        clients,
        value,
        service=plan["service"],
        uploaded_at=results["check_archive"]["archive"]["last_modified"],
        execution=plan["execution"],
    )
    if wait:
        raise ConsumerBusy(f"{wait}; wanted it to be settled")


handler = aws.task(run)
