"""The four functions of `inference.py` over HTTP, as SageMaker asks it of a container.

Owns the socket, the statuses, the queue in front of the model, the log and the process's life. Refuses to
know what a model is: that is `inference.py`, of the archive's `code/` when it is there, else the one beside
this file. Standard library only, Python 3.10.

    GET  /ping          503 while the model loads and generates its first token, 200 from then on, 500 with the
                        reason when it did not
    POST /invocations   one at a time; a few may wait, more get 429; who hangs up is not answered any more
    POST /v1/...        the same under OpenAI's own paths, also below /openai: what is asked is in the body

The log is JSON lines on stdout, one for each request as `sealift_log` has it, and never holds a prompt or an answer.
The first line tells the port.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

# This file's own folder is not on the path of whoever imports it by another name.
sys.path.append(str(Path(__file__).resolve().parent))

from sealift_contract import (
    ASKED_AT,
    DRAIN_S,
    HURRY_S,
    IDLE_S,
    LEFT_S,
    MAX_BODY,
    MAX_DISCARD,
    TIMEOUT_S,
    Log,
    Options,
    StartError,
    error_body,
)
from sealift_log import CLIENT_CLOSED_REQUEST, event_of, place, raised_at, trace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON = "application/json"

LOOK_S = 0.1
"""Seconds between two looks whether a waiting client is still there."""


@dataclass(frozen=True)
class Reply:
    """One answer to one HTTP request."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False
    """Whether the connection ends, because the request's body was not read."""
    code: str | None = None
    """Of an error that is the server's own."""


def error_reply(status: int, message: str, code: str, *, close: bool = False, **headers: str) -> Reply:
    """Return an error in the form of `inference.BadRequest`; header names have underscores for hyphens."""
    body = error_body(status, message, code)
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, json.dumps(body).encode(), headers=named, close=close, code=code)


GONE = error_reply(CLIENT_CLOSED_REQUEST, "the client has hung up", "cancelled", close=True)


@dataclass
class Call:
    """One request, as the functions see it: the part of the toolkit's context that they use, and what else is known.

    `inference.py` says what it makes of the attributes.
    """

    arrived: float = field(default_factory=time.monotonic)
    gone: Callable[[], bool] = lambda: False
    """Whether the client has hung up."""
    deadline: Callable[[], float] = lambda: float("inf")
    """When the answer has to end, by time.monotonic; SIGTERM brings it nearer."""
    status: int = HTTPStatus.OK
    noted: dict[str, Any] = field(default_factory=dict)
    """What the functions have the log say of it."""

    def note(self, event: str, **details: Any) -> None:
        """Take what came of it and the figures, for its line in the log."""
        self.noted = {"event": event, **details}

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:  # noqa: ARG002 the toolkit's signature
        """Set the status to answer with."""
        self.status = code


class Queue:
    """Lets one request in at a time, in their order; `max_waiting` more may wait, for `patience` seconds each."""

    def __init__(self, max_waiting: int, patience: float = TIMEOUT_S - LEFT_S) -> None:
        self._size = max_waiting + 1
        self._patience = patience
        self._changed = threading.Condition()
        self._inside: deque[Call] = deque()
        """The one whose turn it is, and those that wait."""

    @contextlib.contextmanager
    def turn(self, call: Call) -> Iterator[Reply | None]:
        """Give the turn for the length of the block, or a refusal instead of it."""
        with self._changed:
            if len(self._inside) >= self._size:
                refusal: Reply | None = error_reply(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    f"{self._size} requests are being answered or wait already; try again later",
                    "queue_full",
                    Retry_After="1",
                )
            else:
                self._inside.append(call)
                refusal = self._wait(call)
                if refusal is not None:
                    self._leave(call)
        if refusal is not None:
            yield refusal
            return
        try:
            yield None
        finally:
            with self._changed:
                self._leave(call)

    def _leave(self, call: Call) -> None:
        # By identity: two calls may be equal.
        self._inside = deque(other for other in self._inside if other is not call)
        self._changed.notify_all()

    def _wait(self, call: Call) -> Reply | None:
        """Wait for the turn; return a refusal when the client or its time is gone first."""
        while self._inside[0] is not call:
            if call.gone():
                return GONE
            left = call.arrived + self._patience - time.monotonic()
            if left <= 0:
                return error_reply(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"no turn came within {self._patience:g} s; try again later",
                    "queue_timeout",
                    Retry_After="1",
                )
            self._changed.wait(min(left, LOOK_S))
        return GONE if call.gone() else None


class Activity:
    """Counts what is being done, so that the process can end when nothing is."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count one more for the length of the block."""
        with self._changed:
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def ends_within(self, seconds: float) -> bool:
        """Wait until nothing is being done; return whether that was within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)


@dataclass
class Service:
    """The functions of the deployed `inference.py`, the model they loaded, and whether they did.

    `functions` is None while loading. It is set last, so that whoever sees it may use the model.
    """

    queue: Queue
    log: Log
    activity: Activity = field(default_factory=Activity)
    functions: Any = None
    model: Any = None
    failure: str | None = None
    stop_by: float = float("inf")
    """When every answer has to end, by time.monotonic."""
    _pinged: int = field(default=0, repr=False)

    def load(self, functions_at: Path, model_dir: Path) -> None:
        """Import the functions and load the model; a failure is kept and logged, never raised."""
        started = time.monotonic()
        self.log("loading", functions=str(functions_at), model_dir=str(model_dir))
        try:
            functions = _imported(functions_at, model_dir / "code")
            self.model = functions.model_fn(str(model_dir))
        except Exception as error:  # noqa: BLE001 whatever the reason is, /ping has to tell it
            self.failure = f"{type(error).__name__}: {error}"
            self.log("load_failed", reason=self.failure, traceback=traceback.format_exc())
            return
        self.functions = functions
        # Which llama.cpp answers is not certain otherwise: an image may have one too.
        runtime = sys.modules.get("llama_cpp")
        self.log(
            "loaded",
            seconds=round(time.monotonic() - started, 3),
            runtime=getattr(runtime, "__file__", None),
            runtime_version=getattr(runtime, "__version__", None),
        )

    def health(self) -> Reply:
        """Return the answer to /ping; a change of it is logged."""
        reply = self._not_ready() or Reply(HTTPStatus.OK, b'{"status": "ready"}')
        if reply.status != self._pinged:
            self._pinged = reply.status
            self.log("health", status=int(reply.status))
        return reply

    def _not_ready(self) -> Reply | None:
        if self.failure is not None:
            message = f"the model could not be loaded: {self.failure}"
            return error_reply(HTTPStatus.INTERNAL_SERVER_ERROR, message, "load_failed")
        if self.functions is None:
            return error_reply(HTTPStatus.SERVICE_UNAVAILABLE, "the model is still loading", "loading")
        return None

    def invoke(self, body: bytes, content_type: str | None, accept: str | None, call: Call) -> Reply:
        """Answer a request when its turn comes."""
        not_ready = self._not_ready()
        if not_ready:
            return not_ready
        call.deadline = lambda: self.stop_by
        with self.queue.turn(call) as refusal:
            return refusal or self._stopped() or self._answer(body, content_type, accept, call)

    def _stopped(self) -> Reply | None:
        if time.monotonic() < self.stop_by:
            return None
        message = "the server is stopping; try again later"
        return error_reply(HTTPStatus.SERVICE_UNAVAILABLE, message, "stopping", close=True, Retry_After="1")

    def _answer(self, body: bytes, content_type: str | None, accept: str | None, call: Call) -> Reply:
        functions = self.functions
        try:
            data = _called(functions.input_fn, call, body, content_type)
            prediction = _called(functions.predict_fn, call, data, self.model)
            answer = _called(functions.output_fn, call, prediction, accept)
        except Exception as error:  # noqa: BLE001 the boundary: every failure becomes an answer
            return self._failed(error)
        if call.gone():
            return GONE
        # The toolkit takes both forms as well: a body, or a body with its content type.
        content, kind = answer if isinstance(answer, tuple) else (answer, accept or JSON)
        return Reply(call.status, content.encode() if isinstance(content, str) else bytes(content), kind)

    def _failed(self, error: Exception) -> Reply:
        """Return what an exception answers: its own status and body when it is a toolkit error, else 500."""
        status, message = getattr(error, "status_code", None), getattr(error, "message", None)
        if isinstance(status, int) and isinstance(message, str) and 400 <= status <= 599:
            return Reply(status, message.encode())
        self.log("error", error=type(error).__name__, where=raised_at(error))
        return error_reply(
            HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}", "internal_error"
        )


def _called(function: Callable[..., Any], call: Call, *arguments: Any) -> Any:
    """Call a function with the context as its last argument if it has one parameter more, as the toolkit does."""
    return function(*arguments, call) if _parameters(function) > len(arguments) else function(*arguments)


@functools.cache
def _parameters(function: Callable[..., Any]) -> int:
    return len(inspect.signature(function).parameters)


def hung_up(connection: socket.socket) -> bool:
    """Return whether the other end of a connection will send no more.

    One that has closed only its sending half looks the same; no HTTP client does that while it waits for an answer.
    """
    poll = select.poll()
    try:
        poll.register(connection, select.POLLIN)
        events = poll.poll(0)
        return bool(events) and not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except (OSError, ValueError):  # ValueError: it is closed on this side
        return True


def functions_file(model_dir: Path, own: Path) -> Path:
    """Return the `inference.py` to serve: the deployed one when it is there, else the one in folder `own`."""
    deployed = model_dir / "code" / "inference.py"
    return deployed if deployed.is_file() else own / "inference.py"


def _imported(path: Path, code: Path) -> Any:
    """Import a module from its file, with the archive's `code/` on the path as the prebuilt image has it."""
    if str(code) not in sys.path:
        sys.path.insert(0, str(code))
    spec = importlib.util.spec_from_file_location("deployed_inference", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(path)!r} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Server(ThreadingHTTPServer):
    """A thread per connection; they die with the process."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        self.service = service
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which takes seconds where there is no DNS."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 socketserver's signature
        """Log what went wrong with a connection: mostly that its client has gone."""
        error = sys.exc_info()[1]
        self.service.log("connection_error", error=type(error).__name__)


class Handler(BaseHTTPRequestHandler):
    """Turns HTTP into calls of the service."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "sealift"
    sys_version = ""
    timeout = IDLE_S
    wbufsize = -1  # head and body go out as one
    disable_nagle_algorithm = True

    def route(self) -> None:
        """Answer one request; it counts as done when its answer is written."""
        with self.server.service.activity.one():
            self._route()

    def _route(self) -> None:
        started = time.monotonic()
        self._call = Call(started, lambda: hung_up(self.connection))
        path = urlsplit(self.path).path
        method = "GET" if path == "/ping" else "POST"
        if path != "/ping" and path not in ASKED_AT:
            reply = error_reply(HTTPStatus.NOT_FOUND, f"no such path: {path!r}", "not_found", close=True)
        elif self.command != method:
            message = f"{self.command} {path}; wanted {method}"
            reply = error_reply(
                HTTPStatus.METHOD_NOT_ALLOWED, message, "method_not_allowed", close=True, Allow=method
            )
        elif path == "/ping":
            reply = self.server.service.health()
        else:
            reply = self._invocation()
        if path != "/ping":
            self._log(path, reply)
        if reply is GONE:
            self.close_connection = True
            return
        self._send(reply)

    def _log(self, path: str, reply: Reply) -> None:
        """Write the request's line; what the functions noted counts, also where nobody waited for the answer."""
        told = {"event": event_of(reply.status), **({"code": reply.code} if reply.code else {})}
        told |= self._call.noted
        self.server.service.log(
            told.pop("event"),
            method=self.command,
            path=path[:200],
            status=int(reply.status),
            seconds=round(time.monotonic() - self._call.arrived, 3),
            bytes_out=0 if reply is GONE else len(reply.body),
            **place(os.environ),
            **trace_of(self.headers.items()),
            **told,
        )

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = route  # noqa: N815 http.server's names

    def _invocation(self) -> Reply:
        length = self._length()
        if isinstance(length, Reply):
            return length
        body = self.rfile.read(length)
        if len(body) < length:
            message = f"the body ended after {len(body)} of {length} bytes"
            return error_reply(HTTPStatus.BAD_REQUEST, message, "incomplete_body", close=True)
        headers = self.headers
        return self.server.service.invoke(
            body, headers.get("Content-Type"), headers.get("Accept"), self._call
        )

    def _length(self) -> int | Reply:
        """Return the body's length, or a refusal."""
        given = self.headers.get_all("Content-Length", [])
        if not given or "Transfer-Encoding" in self.headers:
            message = "no Content-Length; send the body in one piece, with its length"
            return error_reply(HTTPStatus.LENGTH_REQUIRED, message, "length_required", close=True)
        text = given[0].strip()
        if len(set(given)) > 1 or not text.isascii() or not text.isdecimal() or len(text) > 18:
            message = f"Content-Length is {', '.join(given)[:80]!r}; wanted one whole number"
            return error_reply(HTTPStatus.BAD_REQUEST, message, "invalid_length", close=True)
        length = int(text)
        if length > MAX_BODY:
            self._discard(min(length, MAX_DISCARD))
            message = f"the body has {length} bytes; at most {MAX_BODY} are taken"
            return error_reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "body_too_large", close=True)
        return length

    def _discard(self, length: int) -> None:
        while length > 0:
            chunk = self.rfile.read(min(length, 65_536))
            if not chunk:
                return
            length -= len(chunk)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.close:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        # Here, while the request counts as under way: the process may end as soon as it does not.
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 http.server's signature
        """Answer what http.server itself refuses (a malformed request, an unknown method) as JSON."""
        self.request_version = (
            self.protocol_version
        )  # a request that has none gets a status line all the same
        reason = message or HTTPStatus(code).phrase
        self._send(error_reply(code, reason, "invalid_request", close=True))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 http.server's signature
        """Drop http.server's own log line; `route` writes one."""


def main(arguments: list[str], *, functions: Path | None = None) -> int:
    """Serve until SIGTERM; return the exit status.

    Args:
        arguments: of the command line: "serve", or nothing.
        functions: the module with the four functions; when None, what `functions_file` finds.
    """
    log = Log()
    try:
        options = Options.from_environment(os.environ, arguments)
        service = Service(Queue(options.max_waiting, options.patience), log)
        server = Server((options.host, options.port), service)
    except (StartError, OSError) as error:
        log("start_failed", reason=str(error))
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    log("listening", host=options.host, port=server.server_port, serves="the four functions")
    functions_at = functions or functions_file(options.model_dir, Path(__file__).resolve().parent)
    loading = threading.Thread(
        target=service.load, args=(functions_at, options.model_dir), name="load", daemon=True
    )
    loading.start()
    stop.wait()
    log("stopping")
    service.stop_by = time.monotonic() + HURRY_S
    server.shutdown()
    drained = service.activity.ends_within(DRAIN_S)
    server.server_close()
    log("stopped", drained=drained)
    if loading.is_alive() or not drained:
        # The interpreter's end could unwind a thread inside llama.cpp, which would abort the process.
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
