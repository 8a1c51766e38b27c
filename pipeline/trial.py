"""A consumer's trial: invoked end to end with the caller's test event, its answer judged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline import answers, consumer
from pipeline.errors import ConsumerFailed

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


def ask(
    client: LambdaClient, asked: dict[str, Any], endpoint: str, prompt: str, *, qualifier: str | None
) -> Any:
    """Invoke the consumer and return its answer.

    Args:
        client: of Lambda.
        asked: the request's `consumer`.
        endpoint: the one that it must call.
        prompt: what to ask when the request has no `test_event`.
        qualifier: an alias or a version; None for $LATEST.

    Raises:
        ConsumerFailed: when it fails, calls another endpoint, refuses, or answers otherwise than expected.
    """
    name = asked["function_name"]
    answer = _invoke(client, name, qualifier, asked["test_event"] or {"prompt": prompt})
    _judge(name, endpoint, answer, asked["expect"])
    return answer


def _invoke(client: LambdaClient, name: str, qualifier: str | None, event: dict[str, Any]) -> Any:
    target = f"{name}:{qualifier}" if qualifier else name
    response = client.invoke(FunctionName=target, Payload=json.dumps(event).encode())
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
