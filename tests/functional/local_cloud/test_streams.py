"""A response stream of the local cloud: from a server's socket to the SDK, while it comes, and what breaks it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EventStreamError

from local_cloud.faults import Accident, Fault, Faults
from local_cloud.functions.configurations import Configurations
from local_cloud.gateway import Backends, Gateway
from local_cloud.hosting import Quotas
from local_cloud.hosting.containers.container import CallBrokenError, CallTimedOutError, ContainerCall
from local_cloud.hosting.containers.exchange import HttpExchange
from local_cloud.hosting.platform.event_stream import Coming, Framed
from local_cloud.hosting.protocol import Protocol
from local_cloud.hosting.runtime import OPENAI, STREAM, InvocationRequest, InvocationResponse
from pipeline.aws.clients import Clients

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 20.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CALL = ContainerCall(b"{}", streams=True)


def chunk(piece: bytes) -> bytes:
    """Return a chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)


@dataclass
class Server:
    """A server of one connection, whose every byte is the test's."""

    listening: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def exchange(self) -> HttpExchange:
        """Return what asks it."""
        return HttpExchange(
            lambda timeout_s: socket.create_connection(self.listening.getsockname(), timeout_s),
            payload_bytes=10,
        )

    def accepts(self, *said: bytes) -> socket.socket:
        """Take the connection, read the request and say something."""
        connection, _ = self.listening.accept()
        connection.settimeout(WAIT_S)
        asked = b""
        while not asked.endswith(CALL.body):  # head and body come in two pieces, together or not
            asked += connection.recv(65536)
        for one in said:
            connection.sendall(one)
        return connection


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a server that nobody has asked."""
    made = Server()
    with contextlib.closing(made.listening):
        yield made


def answered(server: Server, *said: bytes, timeout_s: float = WAIT_S) -> tuple[Any, socket.socket]:
    """Ask for a stream; return the answer, which has begun, and the server's side of it."""
    found: list[socket.socket] = []
    thread = threading.Thread(target=lambda: found.append(server.accepts(HEAD, *said)))
    thread.start()
    answer = server.exchange().invoke(CALL, timeout_s)
    thread.join()
    return answer, found[0]


def test_a_piece_is_there_before_the_next_one_exists(server: Server) -> None:
    """However long all of them are together: the limit is of whole answers."""
    answer, theirs = answered(server, chunk(b"one"))
    pieces = iter(answer.pieces)

    assert (answer.status, answer.content_type, answer.body) == (200, "text/event-stream", b"")
    assert next(pieces) == b"one"
    theirs.sendall(chunk(b"two" * 10) + b"0\r\n\r\n")
    assert b"".join(pieces) == b"two" * 10
    theirs.close()


def test_what_breaks_off_does_not_look_whole(server: Server) -> None:
    """The connection ends before the answer does."""
    answer, theirs = answered(server, chunk(b"one"))
    theirs.close()

    pieces = iter(answer.pieces)
    assert next(pieces) == b"one"
    with pytest.raises(CallBrokenError):
        next(pieces)


def test_the_time_is_that_of_the_whole_stream(server: Server) -> None:
    """A server that says nothing more is given up."""
    answer, theirs = answered(server, chunk(b"one"), timeout_s=0.3)

    with pytest.raises(CallTimedOutError):
        list(answer.pieces)
    theirs.close()


def test_who_leaves_a_stream_hangs_up(server: Server) -> None:
    """So that the server can stop; also before anything of it was read, and once more does no harm."""
    answer, theirs = answered(server, chunk(b"one"))

    answer.pieces.close()
    answer.pieces.close()

    assert theirs.recv(1) == b""
    theirs.close()


def test_an_error_is_whole(server: Server) -> None:
    """It is no answer that is made piece by piece."""
    said = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
    thread = threading.Thread(target=lambda: server.accepts(said).close())
    thread.start()

    answer = server.exchange().invoke(CALL, WAIT_S)
    thread.join()

    assert (answer.status, answer.body, answer.pieces) == (503, b"busy", None)


@dataclass
class Endpoint:
    """An endpoint behind the gateway, whose pieces come when the test says so."""

    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closed: threading.Event = field(default_factory=threading.Event)

    def __iter__(self) -> Iterator[bytes]:
        """Yield three pieces."""
        for piece in (b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"):
            assert self.gate.acquire(timeout=WAIT_S)
            yield piece

    def close(self) -> None:
        """Write it down."""
        self.closed.set()

    def invoke(self, invocation: InvocationRequest) -> InvocationResponse:
        """Answer."""
        if invocation.kind == OPENAI:
            return InvocationResponse(200, {"Content-Type": "text/event-stream"}, b"", Coming(self))
        assert invocation.kind == STREAM
        headers = {"Content-Type": "application/vnd.amazon.eventstream"}
        return InvocationResponse(200, headers, b"", Framed(self))


@pytest.fixture
def endpoint() -> Endpoint:
    """Return an endpoint."""
    return Endpoint()


@pytest.fixture
def gateway(endpoint: Endpoint) -> Iterator[Gateway]:
    """Yield a gateway before it."""
    made = Gateway(faults=Faults())
    made.start(
        Backends(
            hosting=Protocol(lambda _operation, _parameters: {}, endpoint.invoke, payload_bytes=100),
            invoke=lambda _name, _qualifier, _event: None,
            configurations=Configurations(),
            quotas=Quotas,
            object_created=lambda _operation, _bucket, _key: None,
        )
    )
    yield made
    made.close()


@contextlib.contextmanager
def streamed(gateway: Gateway) -> Iterator[Any]:
    """Ask for a stream as any program does; yield the SDK's."""
    credentials = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    clients = Clients(endpoint_url=gateway.url, region="us-east-1", credentials=credentials)
    runtime = clients.sagemaker_runtime
    body = runtime.invoke_endpoint_with_response_stream(EndpointName="e", Body=b"{}")["Body"]
    with contextlib.closing(runtime), contextlib.closing(body):
        yield iter(body)


def test_the_sdk_has_a_piece_before_the_next_one_exists(gateway: Gateway, endpoint: Endpoint) -> None:
    """So the time of a first token is measured here as it is on AWS."""
    endpoint.gate.release()
    with streamed(gateway) as events:
        assert next(events) == {"PayloadPart": {"Bytes": b"data: 1\n\n"}}
        endpoint.gate.release(2)
        assert [one["PayloadPart"]["Bytes"] for one in events] == [b"data: 2\n\n", b"data: [DONE]\n\n"]
    assert endpoint.closed.wait(WAIT_S)


@contextlib.contextmanager
def streamed_as_it_is(gateway: Gateway) -> Iterator[http.client.HTTPResponse]:
    """Ask for a stream by OpenAI's route; yield what comes."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=WAIT_S)) as asking:
        asking.request("POST", f"/endpoints/e/{OPENAI}", b"{}", {"Authorization": "Bearer token"})
        yield asking.getresponse()


def test_by_openais_route_a_piece_is_there_before_the_next_one_exists(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    """As the container says it, in no framing."""
    endpoint.gate.release()
    with streamed_as_it_is(gateway) as response:
        assert response.getheader("Content-Type") == "text/event-stream"
        assert response.read1() == b"data: 1\n\n"
        endpoint.gate.release(2)
        assert response.read() == b"data: 2\n\ndata: [DONE]\n\n"
    assert endpoint.closed.wait(WAIT_S)


def test_by_openais_route_what_breaks_off_does_not_look_whole(gateway: Gateway, endpoint: Endpoint) -> None:
    """The connection ends, since nothing in it could say so."""
    gateway.faults.replace([Fault("sagemaker-runtime", "CallWithBearerToken", "ModelStreamError", times=1)])
    endpoint.gate.release(3)
    with streamed_as_it_is(gateway) as response, pytest.raises(http.client.IncompleteRead):
        response.read()
    assert endpoint.closed.wait(WAIT_S)


@pytest.mark.parametrize("code", ["ModelStreamError", "InternalStreamFailure"])
def test_a_fault_in_a_stream_comes_after_its_first_piece(
    gateway: Gateway, endpoint: Endpoint, code: str
) -> None:
    """By AWS's own shape, so that the SDK raises what it raises there."""
    fault = Fault.parse(f"sagemaker-runtime.InvokeEndpointWithResponseStream={code}:1")
    gateway.faults.replace([fault])
    endpoint.gate.release(6)
    with streamed(gateway) as events:
        assert next(events) == {"PayloadPart": {"Bytes": b"data: 1\n\n"}}
        with pytest.raises(EventStreamError) as caught:
            next(events)
    assert caught.value.response["Error"]["Code"] == code
    assert endpoint.closed.wait(WAIT_S)
    with streamed(gateway) as events:
        assert len(list(events)) == 3


def test_a_stream_whose_answer_is_lost_is_closed(gateway: Gateway, endpoint: Endpoint) -> None:
    """An accident leaves nobody who would read it."""
    gateway.faults.replace(
        [
            Fault(
                "sagemaker-runtime",
                "InvokeEndpointWithResponseStream",
                Accident.ANSWER_LOST.value,
                times=1,
            )
        ]
    )
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=WAIT_S)
    signed = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sagemaker/aws4_request"
    connection.request("POST", f"/endpoints/e/{STREAM}", b"{}", {"Authorization": signed})

    with pytest.raises(ConnectionError):
        connection.getresponse()
    connection.close()
    assert endpoint.closed.wait(WAIT_S)
