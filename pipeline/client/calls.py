"""The calls of an endpoint, whole or as a stream, and what its refusals mean to whoever asks.

Owns how long is waited for a container that is starting. Refuses to sleep: `sleep` is an argument.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError, EventStreamError

from pipeline import inference_component, payload
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
WAKING_S: Final = 1200
"""An endpoint that scaled to none: twice what its start is assumed to take."""
LOOK_S: Final = 1.0
PASSING: Final = (ModelNotReady, Throttled, NotYetVisible)
"""What is waited for."""
_JSON: Final = "application/json"
_SHOWN: Final = 1000
"""Bytes of a container's words."""
_BUSY: Final = frozenset({429, 503})
"""What a container says that has its hands full, or is loading."""


def invoke(clients: Clients, endpoint: str, body: bytes, *, component: bool = False) -> bytes:
    """Return the answer to a request.

    Args:
        clients: of the account.
        endpoint: its name.
        body: what is asked, as `encoded` returns it.
        component: whether the endpoint hosts an inference component, which answers.

    Raises:
        ModelNotReady: the container is starting; Throttled: it is busy; NotYetVisible: there is no such endpoint.
        RequestRejected: the container calls the request wrong; EndpointFailed: it failed.
    """
    with told(endpoint):
        response = clients.sagemaker_runtime.invoke_endpoint(
            **inference_component.parameters(endpoint, component=component),
            ContentType=_JSON,
            Accept=_JSON,
            Body=body,
        )
        return response["Body"].read()


def stream(
    clients: Clients, endpoint: str, body: bytes, *, component: bool = False
) -> Generator[dict[str, Any]]:
    """Yield the events of an answer as they come; closing it ends the answer. Takes what `invoke` does.

    Raises:
        as `invoke` does, and NotAnAnswer for what is no stream of events.
    """
    pieces = stream_bytes(clients, endpoint, body, component=component)
    try:
        yield from replies.events(pieces)
    finally:
        pieces.close()


def stream_bytes(
    clients: Clients, endpoint: str, body: bytes, *, component: bool = False
) -> Generator[bytes]:
    """Yield the bytes of an answer as they come; closing it ends the answer. Takes what `invoke` does.

    Raises:
        as `invoke` does.
    """
    with told(endpoint):
        response = clients.sagemaker_runtime.invoke_endpoint_with_response_stream(
            **inference_component.parameters(endpoint, component=component),
            ContentType=_JSON,
            Accept="text/event-stream",
            Body=body,
        )
        pieces = response["Body"]
        try:
            for one in pieces:
                if "PayloadPart" in one:
                    yield one["PayloadPart"]["Bytes"]
        finally:
            pieces.close()


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return a request as it is sent."""
    return json.dumps(body).encode()


def patiently(step: Callable[[], R], *, sleep: Callable[[float], None], now: Callable[[], float]) -> R:
    """Run a step again while it says "not now", for as long as a cold start takes, or coming back from none.

    Args:
        step: makes one call.
        sleep: waits so many seconds.
        now: tells the time, in seconds.
    """
    begun, most_s = now(), PATIENCE_S
    while True:
        try:
            return step()
        except PASSING as error:
            if _is_at_none(error):
                most_s = WAKING_S
            if now() > begun + most_s:
                raise
            sleep(LOOK_S)


def repeatedly(
    step: Callable[[], R],
    passing: type[Exception] | tuple[type[Exception], ...],
    *,
    tries: int,
    pause: Callable[[], None],
) -> R:
    """Run a step again while it fails with what may pass, a few times at the most.

    Args:
        step: makes one call.
        passing: the errors after which it is run again.
        tries: how often it is run at the most.
        pause: waits between two runs.
    """
    for _ in range(tries - 1):
        try:
            return step()
        except passing:
            pause()
    return step()


def _is_at_none(error: SealiftError) -> bool:
    return isinstance(error.__cause__, ClientError) and service_errors.is_at_none(error.__cause__)


@contextmanager
def told(endpoint: str) -> Iterator[None]:
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
