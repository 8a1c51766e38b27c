"""UpdateConsumer: the cut-over. The consumer is switched to the new endpoint, then tried end to end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline import answers, aws, consumer, switch
from pipeline.errors import ConsumerFailed, ConsumerMoved

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
    version = switch.publish(clients.lambda_, name, alias) if alias else None
    test_event = asked["test_event"] or {"prompt": event["prompt"]}
    answer = _invoke(clients, name, alias, test_event)
    _judge(name, endpoint, answer, asked["expect"])
    return {
        "function_name": name,
        "variable": variable,
        "endpoint_name": endpoint,
        "previous": before["value"],
        "version": version,
        "answer": answer,
    }


def _invoke(clients: Clients, name: str, alias: str | None, event: dict[str, Any]) -> Any:
    target = f"{name}:{alias}" if alias else name
    response = clients.lambda_.invoke(FunctionName=target, Payload=json.dumps(event).encode())
    payload = response["Payload"].read().decode(errors="replace")
    if response.get("FunctionError"):
        raise ConsumerFailed(f"{name} failed on {event!r} ({response['FunctionError']}): {payload[:1000]}")
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def _judge(name: str, endpoint: str, answer: Any, expect: dict[str, Any]) -> None:
    called = answer.get("endpoint_name") if isinstance(answer, dict) else None
    if called not in (None, endpoint):
        raise ConsumerFailed(
            f"{name} called endpoint {called!r}, wanted {endpoint!r}; does it read the variable?"
        )
    wrong = consumer.refusal(answer) or "; ".join(answers.shortcomings(consumer.said(answer), None, expect))
    if wrong:
        raise ConsumerFailed(f"{name} answered {json.dumps(answer)[:500]}: {wrong}")


handler = aws.task(run)
