"""ReadConsumer: writes down how the consumer is, before UpdateConsumer changes it.

A state of its own, so that the record is safe in the execution's data before the first change is made: a
crash in the middle of the switch can then always be undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import aws, consumer

if TYPE_CHECKING:
    from pipeline.aws import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return how the consumer is now (`pipeline.consumer.Before`)."""
    asked = event["consumer"]
    name, variable, alias_name = asked["function_name"], asked["variable"], asked["alias"]
    now = consumer.Configuration.from_response(clients.lambda_.get_function_configuration(FunctionName=name))
    alias = clients.lambda_.get_alias(FunctionName=name, Name=alias_name) if alias_name else None
    routing = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") if alias else None
    return dict(
        consumer.Before(
            function_name=name,
            variable=variable,
            value=now.variables.get(variable),
            alias=alias_name,
            alias_version=alias["FunctionVersion"] if alias else None,
            alias_routing=dict(routing) if routing else None,
        )
    )


handler = aws.task(run)
