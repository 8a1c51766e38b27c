"""UpdateConsumer: the cut-over. The consumer is switched to the new endpoint, then tried end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import aws, consumer, switch, trial
from pipeline.errors import ConsumerMoved

if TYPE_CHECKING:
    from pipeline.aws import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Switch the consumer and return what it answered (`answer`), and the published `version` of an alias.

    Raises:
        ConsumerBusy: while Lambda applies the update.
        ConsumerMoved: when the variable was changed by somebody since ReadConsumer.
        ConsumerFailed: when the consumer does not work with the new endpoint.
    """
    asked, before, endpoint = event["consumer"], event["before"], event["endpoint_name"]
    name, variable, alias = asked["function_name"], asked["variable"], asked["alias"]
    step = switch.set_variable(clients.lambda_, name, variable, wanted=endpoint, expected=before["value"])
    if step is consumer.Step.FOREIGN:
        raise ConsumerMoved(
            f"{variable} of {name} is neither {before['value']!r}, as it was read, nor {endpoint!r}; "
            "wanted nobody else to change it during the switch; it is read again"
        )
    version = switch.publish(clients.lambda_, name, endpoint) if alias else None
    if alias and version:
        switch.move(clients.lambda_, name, alias, version)
    answer = trial.ask(clients.lambda_, asked, endpoint, event["prompt"], qualifier=alias)
    return {
        "function_name": name,
        "variable": variable,
        "endpoint_name": endpoint,
        "previous": before["value"],
        "version": version,
        "answer": answer,
    }


handler = aws.task(run)
