"""Asking a service: whole or piece by piece, through a cold start, and after its endpoint has become another one.

What a person's commands and a program's calls share. Owns when its endpoint is looked for anew. Refuses to draw, and to
sleep: `sleep` is an argument.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from pipeline.aws import service_errors
from pipeline.client import calls, replies, requests
from pipeline.client.replies import Reply
from pipeline.errors import NotYetVisible, RequestRejected
from pipeline.gguf import questions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from types import TracebackType

    from pipeline.aws.clients import Clients
    from pipeline.client.endpoint import ServiceEndpoint
    from pipeline.client.requests import Conversation, Sampling

    R = TypeVar("R")

STREAMED: Final = (questions.MESSAGES, questions.PROMPT)
"""The forms whose answer is a text."""


def streams(endpoint: ServiceEndpoint) -> bool:
    """Return whether an endpoint's answer can come piece by piece."""
    return endpoint.streams and endpoint.form in STREAMED


class FollowedEndpoint:
    """The endpoint that serves, looked for when it is first wanted, when it is gone, and now and then; for any thread.

    Args:
        find: returns the one that serves now.
        now: tells the time, in seconds.
        fresh_s: seconds after which it is looked for anew; None for never.
    """

    def __init__(
        self, find: Callable[[], ServiceEndpoint], *, now: Callable[[], float], fresh_s: float | None = None
    ) -> None:
        self._find = find
        self._now = now
        self._fresh_s = fresh_s
        self._lock = Lock()
        self._known: ServiceEndpoint | None = None
        self._found = 0.0

    def get(self) -> ServiceEndpoint:
        """Return it.

        Raises:
            InvalidInput: nothing of the service serves.
        """
        with self._lock:
            old = self._fresh_s is not None and self._now() - self._found >= self._fresh_s
            if self._known is None or old:
                self._known = self._find()
                self._found = self._now()
            return self._known

    def lose(self, endpoint: ServiceEndpoint) -> None:
        """Look for it anew the next time, unless that was done since this one was found."""
        with self._lock:
            if self._known is endpoint:
                self._known = None


class Asker:
    """Asks a service, again and again; for any thread.

    Args:
        clients: of the account.
        endpoint: the one that serves.
        sleep: waits so many seconds.
        now: tells the time, in seconds.
    """

    def __init__(
        self,
        clients: Clients,
        endpoint: FollowedEndpoint,
        *,
        sleep: Callable[[float], None],
        now: Callable[[], float],
    ) -> None:
        self._clients = clients
        self._endpoint = endpoint
        self._sleep = sleep
        self._now = now

    def ask(self, asked: Conversation, sampling: Sampling) -> Reply:
        """Return the reply, whole.

        Raises:
            InvalidInput: nothing serves, or the model's form cannot say that.
            ModelNotReady, Throttled: no container of it was free in `calls.PATIENCE_S`.
            RequestRejected: the container calls the request wrong; EndpointFailed: it failed.
        """
        begun = self._now()

        def step(endpoint: ServiceEndpoint) -> tuple[bytes, str]:
            body = requests.body(endpoint.form, asked, sampling)
            return _invoke(self._clients, endpoint, body), endpoint.name

        said, name = self.patiently(step)
        reply = replies.whole(said)
        reply.endpoint_name, reply.seconds = name, self._now() - begun
        return reply

    def stream(self, asked: Conversation, sampling: Sampling) -> AnswerStream:
        """Return an answer that has begun and comes piece by piece; in one piece where the endpoint cannot stream.

        Raises:
            as `ask` does; the stream itself EndpointFailed, when the answer ends in its middle.
        """
        begun = self._now()

        def step(endpoint: ServiceEndpoint) -> AnswerStream | None:
            if not streams(endpoint):
                return None
            body = _encoded(endpoint, requests.body(endpoint.form, asked, sampling, stream=True))
            events = calls.stream(self._clients, endpoint.name, body, component=endpoint.component)
            # What refuses, refuses before its first event.
            first = next(events, None)
            return AnswerStream(Reply(endpoint_name=endpoint.name), _begun(events, first), self._now, begun)

        begun_one = self.patiently(step)
        if begun_one is not None:
            return begun_one
        reply = self.ask(asked, sampling)
        text, reply.text = reply.text, ""
        return AnswerStream(reply, iter([{"choices": [{"delta": {"content": text}}]}]), self._now, begun)

    def send(self, body: Mapping[str, Any]) -> bytes:
        """Return the answer to a request as it is.

        Raises:
            as `ask` does.
        """
        return self.patiently(lambda endpoint: _invoke(self._clients, endpoint, body))

    def send_streamed(self, body: Mapping[str, Any]) -> Generator[bytes]:
        """Return the bytes of an answer to a request that asks for a stream: it has begun, or is there whole.

        Raises:
            as `ask` does; what is returned EndpointFailed, when the answer ends in its middle.
        """

        def step(endpoint: ServiceEndpoint) -> Generator[bytes]:
            if not endpoint.streams:
                whole = _invoke(self._clients, endpoint, body)
                return (one for one in (whole,))
            sent = _encoded(endpoint, body)
            pieces = calls.stream_bytes(self._clients, endpoint.name, sent, component=endpoint.component)
            return _begun(pieces, next(pieces, None))

        return self.patiently(step)

    def patiently(self, step: Callable[[ServiceEndpoint], R]) -> R:
        """Run a step with the endpoint that serves, again while it says "not now"."""

        def once() -> R:
            endpoint = self._endpoint.get()
            try:
                return step(endpoint)
            except NotYetVisible:
                self._endpoint.lose(endpoint)
                raise

        return calls.patiently(once, sleep=self._sleep, now=self._now)


def _invoke(clients: Clients, endpoint: ServiceEndpoint, body: Mapping[str, Any]) -> bytes:
    sent = _encoded(endpoint, body)
    return calls.invoke(clients, endpoint.name, sent, component=endpoint.component)


def _encoded(endpoint: ServiceEndpoint, body: Mapping[str, Any]) -> bytes:
    """Return a request as it is sent.

    Raises:
        RequestRejected: it is larger than the endpoint takes.
    """
    sent = calls.encoded(body)
    if problem := requests.too_large(len(sent), on_instances=endpoint.streams):
        raise RequestRejected(f"endpoint {endpoint.name}", [problem])
    return sent


def _begun(pieces: Generator[R], first: R | None) -> Generator[R]:
    """Yield what a generator yields, of which the first was taken already; closing it closes that."""
    try:
        if first is not None:
            yield first
            yield from pieces
    finally:
        pieces.close()


class AnswerStream:
    """An answer that comes piece by piece: iterate over its texts. What it took is known at its end.

    It can be read once, by one thread; closing it, or leaving its `with`, ends the answer.
    """

    def __init__(
        self, reply: Reply, events: Iterator[dict[str, Any]], now: Callable[[], float], begun: float
    ) -> None:
        self.reply = reply
        """What has come so far."""
        self._events = events
        self._now = now
        self._begun = begun

    def __iter__(self) -> Iterator[str]:
        """Yield the pieces of the text as they come.

        Raises:
            EndpointFailed: the answer ends in its middle.
        """
        with service_errors.translated():
            for event in self._events:
                new = replies.take(self.reply, event)
                self.reply.seconds = self._now() - self._begun
                if new:
                    yield new

    def close(self) -> None:
        """End the answer, wherever it is."""
        if close := getattr(self._events, "close", None):
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
