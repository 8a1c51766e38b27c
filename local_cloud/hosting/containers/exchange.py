"""HTTP with the server in a container: one request, one answer, within the platform's bounds of time and size.

Owns the paths and headers that the platform uses. Refuses to know where the server is: it is handed a way to connect.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from local_cloud.hosting.containers.container import (
    AnswerTooLargeError,
    CallBrokenError,
    CallTimedOutError,
    ContainerAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_cloud.hosting.containers.container import ContainerCall

Connect = Callable[[float], socket.socket]
"""Returns a connection to the server, made within so many seconds; raises OSError."""

_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class HttpExchange:
    """What can be asked of one server."""

    def __init__(self, connect: Connect, *, payload_bytes: int) -> None:
        self._connect = connect
        self._payload_bytes = payload_bytes

    def ping(self, timeout_s: float) -> bool:
        """Return whether /ping answered 200 in time."""
        try:
            answer = self._exchange("GET", "/ping", None, {}, timeout_s)
        except (CallTimedOutError, CallBrokenError, AnswerTooLargeError):
            return False
        return answer.status == http.client.OK

    def invoke(self, call: ContainerCall, timeout_s: float) -> ContainerAnswer:
        """Return the answer; raise CallTimedOutError, CallBrokenError or AnswerTooLargeError."""
        offered = {
            "Content-Type": call.content_type,
            "Accept": call.accept,
            _CUSTOM_ATTRIBUTES: call.custom_attributes,
        }
        headers = {name: value for name, value in offered.items() if value is not None}
        return self._exchange("POST", "/invocations", call.body, headers, timeout_s, streams=call.streams)

    def invoke_of(
        self, process: subprocess.Popen[bytes], call: ContainerCall, timeout_s: float
    ) -> ContainerAnswer:
        """Do what `invoke` does, of a server that this process is, or keeps."""
        try:
            return self.invoke(call, timeout_s)
        except CallBrokenError:
            # A dying server hangs up before its end can be seen: a moment tells a crash from a rude answer.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
            raise

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        *,
        streams: bool = False,
    ) -> ContainerAnswer:
        deadline = time.monotonic() + timeout_s
        connection = http.client.HTTPConnection("127.0.0.1")
        with contextlib.ExitStack() as opened, _told():
            opened.callback(connection.close)
            # Kept, since the connection lets go of it when the server announces to close.
            sock = connection.sock = self._connect(timeout_s)
            connection.request(method, path, body, dict(headers))
            _narrow(sock, deadline)
            response = opened.enter_context(connection.getresponse())
            coming = streams and response.status == http.client.OK
            content = b"" if coming else self._read(response, sock, deadline)
            return ContainerAnswer(
                status=response.status,
                body=content,
                content_type=response.getheader("Content-Type"),
                custom_attributes=response.getheader(_CUSTOM_ATTRIBUTES),
                pieces=_Coming(opened.pop_all(), response, sock, deadline) if coming else None,
            )

    def _read(self, response: http.client.HTTPResponse, sock: socket.socket, deadline: float) -> bytes:
        content = bytearray()
        while chunk := response.read1(64 * 1024):
            content += chunk
            if len(content) > self._payload_bytes:
                raise AnswerTooLargeError
            _narrow(sock, deadline)
        if response.length:
            raise http.client.IncompleteRead(bytes(content), response.length)
        return bytes(content)


class _Coming:
    """The body of an answer as it comes, and the connection that it comes on."""

    def __init__(
        self,
        opened: contextlib.ExitStack,
        response: http.client.HTTPResponse,
        sock: socket.socket,
        deadline: float,
    ) -> None:
        self._opened = opened
        self._response = response
        self._sock = sock
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes as they come; raise CallTimedOutError or CallBrokenError."""
        with self._opened, _told():
            _narrow(self._sock, self._deadline)
            while chunk := self._response.read1(64 * 1024):
                yield chunk
                _narrow(self._sock, self._deadline)
            if self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)

    def close(self) -> None:
        """Hang up."""
        self._opened.close()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raise what goes wrong with a connection in the block as a caller of a container knows it."""
    try:
        yield
    except TimeoutError as error:
        raise CallTimedOutError from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CallBrokenError(str(error)) from error


def _narrow(sock: socket.socket, deadline: float) -> None:
    # A socket's time-out is per read; the platform's is for the whole answer.
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    sock.settimeout(remaining)
