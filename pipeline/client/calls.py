"""The calls of an endpoint, whole or as a stream, and what its refusals mean to whoever asks.

Owns how long is waited for a container that is starting. Refuses to sleep: `sleep` is an argument.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError, EventStreamError

from pipeline import payload
from pipeline.aws import service_errors
from pipeline.client import replies
from pipeline.errors import (
    EndpointFailed,
    ModelNotReady,
    NotYetVisible,
    Problem,
    RequestRejected,
    SealiftError,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pipeline.aws.clients import Clients

    R = TypeVar("R")

PATIENCE_S: Final = 240
"""A cold start takes 180 s at most, and an answer 60."""
LOOK_S: Final = 1.0
_JSON: Final = "application/json"
_SHOWN: Final = 1000
"""Bytes of a container's words."""
_BUSY: Final = frozenset({429, 503})
"""What a container says that has its hands full, or is loading."""


def invoke(clients: Clients, endpoint: str, body: Mapping[str, Any]) -> bytes:
    """Return the answer to a request.

    Raises:
        ModelNotReady: the container is starting; Throttled: it is busy; NotYetVisible: there is no such endpoint.
        RequestRejected: the container calls the request wrong; EndpointFailed: it failed.
    """
    with _told(endpoint):
        response = clients.sagemaker_runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType=_JSON, Accept=_JSON, Body=json.dumps(body).encode()
        )
        return response["Body"].read()


def stream(clients: Clients, endpoint: str, body: Mapping[str, Any]) -> Generator[dict[str, Any]]:
    """Yield the events of an answer as they come; closing it ends the answer.

    Raises:
        as `invoke` does, and NotAnAnswer for what is no stream of events.
    """
    pieces = stream_bytes(clients, endpoint, body)
    try:
        yield from replies.events(pieces)
    finally:
        pieces.close()


def stream_bytes(clients: Clients, endpoint: str, body: Mapping[str, Any]) -> Generator[bytes]:
    """Yield the bytes of an answer as they come; closing it ends the answer.

    Raises:
        as `invoke` does.
    """
    with _told(endpoint):
        response = clients.sagemaker_runtime.invoke_endpoint_with_response_stream(
            EndpointName=endpoint,
            ContentType=_JSON,
            Accept="text/event-stream",
            Body=json.dumps(body).encode(),
        )
        pieces = response["Body"]
        try:
            for one in pieces:
                if "PayloadPart" in one:
                    yield one["PayloadPart"]["Bytes"]
        finally:
            pieces.close()


def patiently(step: Callable[[], R], *, sleep: Callable[[float], None], now: Callable[[], float]) -> R:
    """Run a step again while it says "not now", for as long as a cold start takes.

    Args:
        step: makes one call.
        sleep: waits so many seconds.
        now: tells the time, in seconds.
    """
    deadline = now() + PATIENCE_S
    while True:
        try:
            return step()
        except (ModelNotReady, Throttled, NotYetVisible):
            if now() > deadline:
                raise
            sleep(LOOK_S)


@contextmanager
def _told(endpoint: str) -> Iterator[None]:
    """Raise what AWS and the container said in the block as errors of ours."""
    try:
        yield
    except EventStreamError as error:
        told = str(error.response.get("Error", {}).get("Message") or error)
        raise EndpointFailed(
            f"endpoint {endpoint!r} ended its answer in the middle: {payload.cut(told, _SHOWN)}; "
            "wanted its end; ask again",
            fix="ask again; `sealift logs` has what the container wrote",
        ) from error
    except ClientError as error:
        raise refusal(endpoint, error) from error


def refusal(endpoint: str, error: ClientError) -> SealiftError:
    """Return the error for a call that was refused, by AWS or by the container."""
    if service_errors.is_unknown_to_runtime(error):
        return NotYetVisible(
            f"endpoint {endpoint!r} cannot be invoked: {service_errors.text(error)}; wanted one that is there"
        )
    if service_errors.code(error) != "ModelError":
        return service_errors.translate(error)
    response: Mapping[str, Any] = error.response
    status = int(response.get("OriginalStatusCode") or 0)
    said = payload.cut(container_words(str(response.get("OriginalMessage") or "")), _SHOWN)
    if status in _BUSY:
        return Throttled(f"endpoint {endpoint!r} is busy: {said}; wanted a free place; try again in a moment")
    if 400 <= status < 500:
        return RequestRejected(
            f"endpoint {endpoint}",
            [
                Problem(
                    "RefusedByContainer", said, "a request that the container answers", "see docs/requests.md"
                )
            ],
        )
    return EndpointFailed(
        f"endpoint {endpoint!r} answered with status {status}: {said}; wanted an answer",
        fix="`sealift logs SERVICE` has what its containers wrote",
    )


def container_words(message: str) -> str:
    """Return what a container said, out of the JSON of its error where it is that."""
    try:
        document = json.loads(message)
    except ValueError:
        return message
    error = document.get("error", document) if isinstance(document, dict) else document
    told = error.get("message") if isinstance(error, dict) else error
    return told if isinstance(told, str) and told else message
