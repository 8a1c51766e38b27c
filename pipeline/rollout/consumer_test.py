"""A consumer's trial: invoked end to end with the caller's test event, its answer judged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pipeline import payload
from pipeline.errors import ConsumerFailed
from pipeline.planning import consumer
from pipeline.rollout import answers

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from pipeline.state_data.request_types import Expectation, RequestedConsumer


_SHOWN: Final = 1000
"""Bytes of an event or an answer in a failure's message, which has to hold the reason too."""


def ask(
    client: LambdaClient, asked: RequestedConsumer, endpoint: str, prompt: str, *, qualifier: str | None
) -> Any:
    """Invoke the consumer and return its answer, all of it.

    Args:
        client: of Lambda.
        asked: the request's `consumer`.
        endpoint: the one that it must call.
        prompt: what to ask when the request has no `test_event`.
        qualifier: an alias or a version; None for $LATEST.

    Raises:
        ConsumerFailed: when it fails, calls another endpoint, refuses, or answers otherwise than expected.
    """
    name = asked.function_name
    own = asked.test_event
    answer = _invoke(client, name, qualifier, own or {"prompt": prompt})
    _judge(name, endpoint, answer, asked.expect, None if own else prompt)
    return answer


def _invoke(client: LambdaClient, name: str, qualifier: str | None, event: dict[str, Any]) -> Any:
    target = f"{name}:{qualifier}" if qualifier else name
    response = client.invoke(FunctionName=target, Payload=json.dumps(event).encode())
    body = response["Payload"].read().decode(errors="replace")
    if response.get("FunctionError"):
        raise ConsumerFailed(
            f"{name} failed on {payload.cut(json.dumps(event), _SHOWN)} ({response['FunctionError']}): "
            f"{payload.cut(body, _SHOWN)}"
        )
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _judge(name: str, endpoint: str, answer: Any, expect: Expectation, prompt: str | None) -> None:
    called = answer.get("endpoint_name") if isinstance(answer, dict) else None
    if called not in (None, endpoint):
        raise ConsumerFailed(
            f"{name} called endpoint {called!r}, wanted {endpoint!r}; does it read the variable?"
        )
    # What is no text by itself is for `contains` and `matches` alone: a list of zeros may be right.
    judged = expect if consumer.is_text(answer) else replace(expect, allow_degenerate=True)
    said, refused = consumer.answer_text(answer), consumer.refusal(answer)
    wrong = refused or "; ".join(
        answers.shortcomings(said, None, judged, prompt=prompt, field="consumer.expect")
    )
    if wrong:
        flaw = None if refused else answers.unexpected(said, judged, prompt)
        known = answers.DEGENERATE if flaw else {}
        raise ConsumerFailed(f"{name} answered {payload.cut(json.dumps(answer), _SHOWN)}: {wrong}", **known)
