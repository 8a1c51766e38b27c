"""An example consumer: a Lambda that asks a service's endpoint, whose name it finds in one of two ways.

With ENDPOINT_NAME alone it is one that Sealift switches: the deployment changes that variable and nothing else, so it
is read at every call, not when the module is imported. With ENDPOINT_PARAMETER it is one that Sealift need not know: it
reads the name from the service's parameter, and keeps it for a while. Errors are raised, never returned: whoever
invokes this function sees `FunctionError`.
"""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

ASKS = ("prompt", "messages", "input", "query")
"""Fields of an event that ask something: `input` is a text or several to embed, `query` is what `documents` are ranked
for, and a `prompt` with `"complete": true` the beginning of a text, which a base model goes on with."""
OPTIONS = ("max_tokens", "temperature", "top_p", "stop", "seed")
"""Fields of an event that go to the endpoint as they are."""

TRACE = re.compile(r"Root=1-([0-9a-f]{8})-([0-9a-f]{24});Parent=([0-9a-f]{16});Sampled=([01])")
"""The trace of this very call, as Lambda tells it."""

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


class EndpointGoneError(ConsumerError):
    """There is no endpoint of that name."""


KEPT_S = 30
"""Seconds for which a name that was read is used: a parameter is read a few times a minute, not at each call."""


class NameByParameter:
    """The endpoint's name, as the service's parameter has it.

    Args:
        client: of SSM.
        parameter: the parameter's name.
        clock: returns seconds.
    """

    def __init__(self, client: Any, parameter: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._parameter = parameter
        self._clock = clock
        self._name = ""
        self._read_at = 0.0

    def get(self, *, anew: bool = False) -> str:
        """Return the name; one that was read a moment ago unless `anew`.

        Raises:
            ConsumerError: when the parameter cannot be read, and never could.
        """
        if self._name and not anew and self._clock() - self._read_at < KEPT_S:
            return self._name
        try:
            self._name = str(self._client.get_parameter(Name=self._parameter)["Parameter"]["Value"])
        except ClientError as error:
            # An old name is better than none: what it names most often serves on.
            if not self._name or anew:
                raise ConsumerError(f"parameter {self._parameter!r}: {error}") from error
        self._read_at = self._clock()
        return self._name


_NAMES: dict[str, NameByParameter] = {}
"""Kept from one call to the next, as long as Lambda keeps this process."""


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer `prompt` or `messages`, embed `input`, or rank `documents`, as the service's endpoint does."""
    runtime = boto3.client("sagemaker-runtime", config=CONFIG)
    parameter = os.environ.get("ENDPOINT_PARAMETER")
    if parameter:
        if parameter not in _NAMES:
            _NAMES[parameter] = NameByParameter(boto3.client("ssm", config=CONFIG), parameter)
        return ask_by_parameter(runtime, _NAMES[parameter], event)
    endpoint_name = os.environ.get("ENDPOINT_NAME")
    if not endpoint_name:
        raise ConsumerError(
            "none of the variables 'ENDPOINT_NAME' and 'ENDPOINT_PARAMETER' is set; wanted an endpoint's "
            "name, or a parameter's; deploy a model with this function as its consumer, or set one by hand"
        )
    return ask(runtime, endpoint_name, event)


def ask_by_parameter(
    client: SageMakerRuntimeClient, name: NameByParameter, event: dict[str, Any]
) -> dict[str, Any]:
    """Return the answer of the endpoint that a parameter names.

    Raises:
        ConsumerError: as `ask` does, and when the parameter cannot be read.
    """
    try:
        return ask(client, name.get(), event)
    except EndpointGoneError:
        # The service was switched since the name was read, and what served before is gone already.
        return ask(client, name.get(anew=True), event)


def ask(client: SageMakerRuntimeClient, endpoint_name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Return the endpoint's answer, its embeddings or its ranking, with its name and what it cost in tokens.

    Raises:
        ConsumerError: when the event asks nothing, or the model refuses the request or fails.
    """
    given = [name for name in ASKS if event.get(name) is not None]
    if len(given) != 1:
        raise ConsumerError(
            f"the event has the fields {sorted(event)}; wanted one of 'prompt', 'messages', 'input' and 'query' among "
            "them"
        )
    if given == ["input"]:
        answer = _invoke(client, endpoint_name, {"input": event["input"]}, "list of embeddings", _vectors)
        return {"endpoint_name": endpoint_name, "embeddings": answer[1], "usage": answer[0].get("usage")}
    if given == ["query"]:
        request = {"query": event["query"], "documents": event.get("documents")}
        answer = _invoke(client, endpoint_name, request, "ranking", _results)
        return {"endpoint_name": endpoint_name, "results": answer[1], "usage": answer[0].get("usage")}
    request: dict[str, Any]
    if event.get("complete") and given == ["prompt"]:
        request = {"prompt": event["prompt"]}
    else:
        # A prompt is sent as a message too: that is the one form that every container answers.
        request = {"messages": event.get("messages") or [{"role": "user", "content": event["prompt"]}]}
    request |= {name: event[name] for name in OPTIONS if event.get(name) is not None}
    answer = _invoke(client, endpoint_name, request, "completion", _text)
    return {"endpoint_name": endpoint_name, "answer": answer[1], "usage": answer[0].get("usage")}


def _traced(trace: str) -> dict[str, Any]:
    """Return what hands this call's trace on, so that the endpoint's log has its id; nothing without one.

    SageMaker hands no header of ours to the container but these attributes; the form is W3C's `traceparent`.
    """
    found = TRACE.match(trace)
    if not found:
        return {}
    when, rest, parent, sampled = found.groups()
    return {"CustomAttributes": f"traceparent=00-{when}{rest}-{parent}-0{sampled}"}


def _text(answer: dict[str, Any]) -> Any:
    choice = answer["choices"][0]
    return choice["message"]["content"] if "message" in choice else choice["text"]


def _vectors(answer: dict[str, Any]) -> Any:
    return [one["embedding"] for one in answer["data"]]


def _results(answer: dict[str, Any]) -> Any:
    return [{"index": one["index"], "relevance_score": one["relevance_score"]} for one in answer["results"]]


def _invoke(
    client: SageMakerRuntimeClient,
    endpoint_name: str,
    request: dict[str, Any],
    wanted: str,
    part: Callable[[dict[str, Any]], Any],
) -> tuple[dict[str, Any], Any]:
    """Return the endpoint's answer to a request, and the part of it that is wanted."""
    asked: dict[str, Any] = {
        "EndpointName": endpoint_name,
        "ContentType": "application/json",
        "Accept": "application/json",
        "Body": json.dumps(request).encode(),
        **_traced(os.environ.get("_X_AMZN_TRACE_ID", "")),
    }
    try:
        try:
            response = client.invoke_endpoint(**asked)
        except ClientError as error:
            if not _wants_component(error):
                raise
            # An endpoint that scales to zero answers by its inference component, which has its name.
            response = client.invoke_endpoint(**asked, InferenceComponentName=endpoint_name)
    except ClientError as error:
        told = f"endpoint {endpoint_name!r}: {_reason(error)}"
        raise (EndpointGoneError if _gone(error) else ConsumerError)(told) from error
    body = response["Body"].read()
    try:
        answer = json.loads(body)
        return answer, part(answer)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ConsumerError(
            f"endpoint {endpoint_name!r} answered {body[:200]!r}; wanted an OpenAI-style {wanted}"
        ) from error


def _gone(error: ClientError) -> bool:
    """Return whether there is no such endpoint: SageMaker's runtime has no code of its own for it."""
    told = error.response["Error"]
    return told["Code"] == "ValidationError" and "not found" in told["Message"]


def _wants_component(error: ClientError) -> bool:
    """Return whether the endpoint hosts an inference component, which the call has to name."""
    told = error.response["Error"]
    return (
        told["Code"] == "ValidationError" and "Inference Component Name header is required" in told["Message"]
    )


def _reason(error: ClientError) -> str:
    """Return why a call failed: the model's own words when it was reached, else AWS's."""
    response: dict[str, Any] = {**error.response}
    if "OriginalStatusCode" in response:
        return f"the model answered {response['OriginalStatusCode']}: {response.get('OriginalMessage', '')}"
    return str(error)
