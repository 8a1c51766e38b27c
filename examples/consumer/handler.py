"""An example consumer: a Lambda that asks the endpoint named in its environment.

The deployment changes ENDPOINT_NAME and nothing else, so the name is read at every call, not when the module
is imported. Errors are raised, never returned: whoever invokes this function sees `FunctionError`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

OPTIONS = ("max_tokens", "temperature", "top_p", "stop", "seed")
"""Fields of an event that go to the endpoint as they are."""

CONFIG = Config(
    connect_timeout=5,
    # The container has 60 s for an answer; AWS asks for a client that waits 70.
    read_timeout=75,
    # "legacy" also repeats HTTP 429, which is what an endpoint says that still gets its container
    # (ModelNotReadyException); the waits between the attempts are the SDK's.
    retries={"mode": "legacy", "max_attempts": 2},
)


class ConsumerError(Exception):
    """The question could not be asked, or was not answered; the message says why."""


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer an event with `prompt` or `messages`, as the endpoint in ENDPOINT_NAME does."""
    endpoint_name = os.environ.get("ENDPOINT_NAME")
    if not endpoint_name:
        raise ConsumerError(
            "the environment variable 'ENDPOINT_NAME' is not set; wanted an endpoint's name; deploy a model "
            "with this function as its consumer, or set it by hand"
        )
    return ask(boto3.client("sagemaker-runtime", config=CONFIG), endpoint_name, event)


def ask(client: SageMakerRuntimeClient, endpoint_name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Return the endpoint's answer with its name and what it cost in tokens.

    Raises:
        ConsumerError: when the event asks nothing, or the model refuses the request or fails.
    """
    prompt, messages = event.get("prompt"), event.get("messages")
    if (prompt is None) == (messages is None):
        raise ConsumerError(
            f"the event has the fields {sorted(event)}; wanted either 'prompt' or 'messages' among them"
        )
    # A prompt is sent as a message too: that is the one form that every container answers.
    request: dict[str, Any] = {"messages": messages or [{"role": "user", "content": prompt}]}
    request |= {name: event[name] for name in OPTIONS if event.get(name) is not None}
    try:
        response = client.invoke_endpoint(
            EndpointName=endpoint_name,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps(request).encode(),
        )
    except ClientError as error:
        raise ConsumerError(f"endpoint {endpoint_name!r}: {_reason(error)}") from error
    body = response["Body"].read()
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ConsumerError(
            f"endpoint {endpoint_name!r} answered {body[:200]!r}; wanted an OpenAI-style completion"
        ) from error
    return {"endpoint_name": endpoint_name, "answer": text, "usage": answer.get("usage")}


def _reason(error: ClientError) -> str:
    """Return why a call failed: the model's own words when it was reached, else AWS's."""
    response: dict[str, Any] = {**error.response}
    if "OriginalStatusCode" in response:
        return f"the model answered {response['OriginalStatusCode']}: {response.get('OriginalMessage', '')}"
    return str(error)
