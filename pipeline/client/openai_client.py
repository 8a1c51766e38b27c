"""A client of the `openai` package whose requests go to a service: signed by the AWS SDK, to the endpoint that serves.

Owns what HTTP an answer of SageMaker's becomes for that package. Refuses what is no JSON by POST. Whoever wants
SageMaker's own OpenAI route has `client.snippets` and `aws.bearer_token`: it takes chats alone, on instances alone, and
a permission of its own.
"""

from __future__ import annotations

import importlib
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

import openai

from pipeline import errors
from pipeline.aws import service_errors
from pipeline.client import replies
from pipeline.errors import SealiftError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pipeline.client.asking import Asker

_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_STATUSES: Final[tuple[tuple[type[SealiftError], HTTPStatus], ...]] = (
    (errors.RequestRejected, HTTPStatus.BAD_REQUEST),
    (errors.AccessDenied, HTTPStatus.FORBIDDEN),
    (errors.PermanentError, HTTPStatus.NOT_FOUND),
    (errors.Throttled, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.TransientError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first that suits; any other is the endpoint's own failure."""


def make(asker: Asker, service: str, **options: Any) -> openai.OpenAI:
    """Return a client.

    Args:
        asker: asks the service, and waits for a container that is starting.
        service: its name.
        options: of `openai.OpenAI`. Its retries are none unless named here: a second try generates an answer twice.
    """
    given = {"max_retries": 0, "timeout": None, **options}
    return openai.OpenAI(
        # Nothing is sent to it, nor this key to anybody.
        base_url=f"https://{service}.sealift.invalid/v1",
        api_key="none",
        http_client=openai.DefaultHttpxClient(transport=EndpointTransport(asker)),
        **given,
    )


class EndpointTransport:
    """Sends what would be sent to OpenAI's API to the endpoint that serves, whatever its path; a transport of httpx."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        # Newer versions of the package have another httpx than older ones: it is the one that its clients are made of.
        (base,) = (one for one in openai.DefaultHttpxClient.__mro__ if one.__name__ == "Client")
        self._httpx = importlib.import_module(base.__module__.partition(".")[0])

    def handle_request(self, request: Any) -> Any:
        """Return the answer; what is refused as OpenAI's API would."""
        try:
            body = json.loads(request.read()) if request.method == "POST" else None
        except ValueError:
            body = None
        if not isinstance(body, dict):
            seen = f"{request.method} {request.url.path} without a JSON object"
            wanted = "a request that an endpoint takes"
            return self._refused(HTTPStatus.NOT_FOUND, f"{seen}; wanted {wanted}", "NotFound")
        try:
            with service_errors.translated():
                return self._answer(request.url.path, body)
        except SealiftError as error:
            return self._refusal(error)

    def close(self) -> None:
        """Close nothing: the connections are the SDK's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _answer(self, path: str, body: dict[str, Any]) -> Any:
        if not body.get("stream"):
            answer = self._asker.send(body)
            if other := replies.other_task(path, answer):
                return self._refused(HTTPStatus.BAD_REQUEST, other, "WrongTask")
            return self._response(HTTPStatus.OK, content=answer)
        pieces = _told(self._asker.send_streamed(body))

        class Pieces(self._httpx.SyncByteStream):  # type: ignore[name-defined,misc]
            def __iter__(self) -> Iterator[bytes]:
                return pieces

            def close(self) -> None:
                pieces.close()

        return self._response(HTTPStatus.OK, _EVENTS, stream=Pieces())

    def _refusal(self, error: SealiftError) -> Any:
        """Return a refusal: a container's own in its own words, where they are those of a refusal."""
        said = getattr(error.__cause__, "response", {})
        status, words = said.get("OriginalStatusCode"), said.get("OriginalMessage")
        if isinstance(status, int) and 400 <= status < 500 and words:
            return self._response(status, content=str(words).encode())
        status = next((one for kind, one in _STATUSES if isinstance(error, kind)), HTTPStatus.BAD_GATEWAY)
        return self._refused(status, str(error), type(error).__name__)

    def _refused(self, status: int, message: str, kind: str) -> Any:
        told = {"error": {"message": message, "type": kind, "code": status}}
        return self._response(status, content=json.dumps(told).encode())

    def _response(self, status: int, kind: str = _JSON, **content: Any) -> Any:
        return self._httpx.Response(status, headers={"content-type": kind}, **content)


def _told(pieces: Generator[bytes]) -> Generator[bytes]:
    """Yield the bytes of a stream; what goes wrong in its middle is its last event, as OpenAI's API tells it."""
    try:
        with service_errors.translated():
            yield from pieces
    except SealiftError as error:
        told = {"error": {"message": str(error), "type": type(error).__name__}}
        yield f"data: {json.dumps(told)}\n\n".encode()
