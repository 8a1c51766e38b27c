"""The local cloud's one URL: every AWS call arrives here and goes to moto, or to what moto lacks.

A WSGI application. It makes calls fail that are to fail, remembers what was called, and adds to some of
moto's answers. It knows no Sealift: any SDK or the AWS CLI may call it.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

import moto.backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from local_cloud import (
    allowances,
    calls,
    parameters,
)
from local_cloud.ecr import downloads
from local_cloud.ecr.service import Ecr
from local_cloud.faults import IN_STREAM, REQUEST_ID, Accident, Faults, Response, break_off, render
from local_cloud.hosting.platform.event_stream import Coming
from local_cloud.iam import simulations
from local_cloud.iam.policies import PolicyVerdict
from local_cloud.s3 import (
    arrivals,
    objects,
    parts,
)
from local_cloud.s3.contents import Disk
from local_cloud.workflow import (
    bounds,
    histories,
)
from pipeline.aws import sdk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local_cloud.calls import AwsCall
    from local_cloud.functions.configurations import Configurations
    from local_cloud.functions.invocations import FunctionAnswer
    from local_cloud.hosting import Quotas
    from local_cloud.iam.policies import PolicyRequest

# moto lists its own folder at every request.
_MODULES = tuple(moto.backends.list_of_moto_modules())
moto.backends.list_of_moto_modules = lambda: _MODULES

KEPT_CALLS = 100_000

WORKFLOW = "workflow"
"""The caller of what the state machine itself calls, as against its tasks."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call that was made."""

    time: float
    call: AwsCall
    status: int
    """Of its answer; 0 when there was none."""
    caller: str = ""
    """The function that made it, or WORKFLOW; empty for whoever came from outside."""


class Wsgi(Protocol):
    """A WSGI application."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Where calls go that moto does not answer."""

    hosting: Wsgi
    """SageMaker's control plane and runtime."""
    invoke: Callable[[str, str | None, bytes], FunctionAnswer | None]
    """Lambda's Invoke: name or ARN, qualifier, event; None for a function that does not exist."""
    configurations: Configurations
    quotas: Callable[[], Quotas]
    """The account's quotas for serverless endpoints."""
    object_created: Callable[[str, str, str], None]
    """Called for every object that was created: operation, bucket, key."""
    caller: Callable[[str], str] = lambda _access_key: ""
    """Returns the name of the function that has an access key, WORKFLOW for a state machine, empty for anybody else."""
    kill: Callable[[str, bool], None] = lambda _access_key, _timed_out: None
    """Ends the process that has an access key; whether as one that ran out of time."""
    refuse: Callable[[AwsCall, dict[str, Any], bytes], Response | None] = lambda _call, _environ, _body: None
    """Returns IAM's refusal of a call, None for one that is allowed."""
    simulate: Callable[[str, PolicyRequest], PolicyVerdict] = lambda _role, _request: (
        PolicyVerdict.NOT_ALLOWED
    )
    """Returns what the policies of a role say of a request."""
    hide_variables: Callable[[AwsCall, dict[str, Any], Response], Response] = (
        lambda _call, _environ, response: response
    )
    """Returns an answer of S3 or Lambda as its caller may see it."""
    history: Callable[[str], list[Any] | None] = lambda _arn: None
    """Returns the events of an execution, None for one that there is not."""
    ecr: Ecr = field(default_factory=lambda: Ecr(DEFAULT_ACCOUNT_ID))
    """Repositories of images, and the addresses of layers."""
    protect: Callable[[str, str], None] = lambda _bucket, _document: None
    """Puts a bucket's policy in force."""


class Gateway:
    """The application, and its server on 127.0.0.1.

    Args:
        faults: the calls that are to fail.
        port: 0 for any that is free.
    """

    def __init__(self, *, faults: Faults, port: int = 0) -> None:
        self.faults = faults
        self.recorded: deque[Recorded] = deque(maxlen=KEPT_CALLS)
        self.before_call: Callable[[str, AwsCall], None] | None = None
        """Called for every call with its caller, before it is answered; the call waits for it."""
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._backends: Backends | None = None
        self._disk = Disk()
        objects.install()
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", port, self, threaded=True, request_handler=_QuietRequestHandler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="gateway")

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """The endpoint URL for SDKs."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, backends: Backends) -> None:
        """Begin to answer."""
        self._backends = backends
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        body = _body(environ)
        call = calls.identify(environ, body)
        if call.operation == "StartExecution":
            body = _named(environ, body)
        caller = self._caller(call)
        if self.before_call is not None:
            self.before_call(caller, call)
        fault = self.faults.strike(call, caller)
        if fault is None:
            response = self._dispatch(call, environ, body)
        elif fault.code in IN_STREAM:
            response = break_off(self._dispatch(call, environ, body), fault.code)
        elif fault.accident is None:
            response = render(call, fault.code)
        else:
            self._apply(fault.accident, call, environ, body)
            self._record(call, 0, caller)
            # The server takes it for a connection that the other side cut, and says nothing more.
            raise ConnectionAbortedError(f"{call} met {fault.code}")
        self._record(call, response.status, caller)
        return _send(response, start_response)

    def _caller(self, call: AwsCall) -> str:
        return self._running().caller(call.access_key)

    def _apply(self, accident: Accident, call: AwsCall, environ: dict[str, Any], body: bytes) -> None:
        if accident.takes_effect:
            response = self._dispatch(call, environ, body)
            if response.coming is not None:
                response.coming.close()
        if accident.ends_function:
            self._running().kill(call.access_key, accident is Accident.TIMED_OUT)

    def _running(self) -> Backends:
        if self._backends is None:
            raise RuntimeError("the gateway was not started")
        return self._backends

    def _dispatch(self, call: AwsCall, environ: dict[str, Any], body: bytes) -> Response:
        backends = self._running()
        refusal = backends.refuse(call, environ, body) or _refusal(call, body)
        if refusal is not None:
            return refusal
        if call.service == "lambda":
            response = self._lambda(backends, call, environ, body)
        elif call.service in ("sagemaker", "sagemaker-runtime"):
            response = _collect(backends.hosting, environ)
        elif call.service == "ecr":
            response = backends.ecr.answer(call, environ, body, lambda: self._ask_moto(environ))
        elif call.service == "service-quotas":
            response = allowances.answer(call, body, backends.quotas)
        elif call.operation == "SimulatePrincipalPolicy":
            response = simulations.answer(body, backends.simulate)
        elif call.service == "s3":
            response = self._s3(backends, call, environ)
        elif call.operation == "GetExecutionHistory":
            events = backends.history(str(json.loads(body)["executionArn"]))
            response = self._ask_moto(environ) if events is None else histories.answered(body, events)
        else:
            response = self._ask_moto(environ)
        return response

    def _s3(self, backends: Backends, call: AwsCall, environ: dict[str, Any]) -> Response:
        if downloads.is_layer(str(environ["PATH_INFO"])):
            return backends.ecr.downloads.answer(call, environ)
        if call.operation in arrivals.OPERATIONS:
            response = self._write(call, environ)
        elif call.operation == "GetObject":
            response = objects.answered(call, environ, self._ask_moto)
        elif call.operation == "PutBucketPolicy":
            response = _protect(backends, environ)
        elif call.operation in parts.OPERATIONS:
            response = parts.answer(call, environ, self._ask_moto)
        else:
            response = self._ask_moto(environ)
        response = backends.hide_variables(call, environ, response)
        if response.status < 300:
            bucket, _, key = str(environ["PATH_INFO"]).lstrip("/").partition("/")
            backends.object_created(call.operation, bucket, key)
        return response

    def _write(self, call: AwsCall, environ: dict[str, Any]) -> Response:
        seen = arrivals.received(call, environ, self._disk)
        return seen if isinstance(seen, Response) else self._ask_moto(seen)

    def _lambda(self, backends: Backends, call: AwsCall, environ: dict[str, Any], body: bytes) -> Response:
        path, query = str(environ["PATH_INFO"]), str(environ.get("QUERY_STRING", ""))
        if call.operation == "Invoke":
            response = _invoke(backends, call, environ, body)
        else:
            response = backends.configurations.refuse(call, path, body)
        if response is not None:
            return response
        response = backends.configurations.complete(call, query, self._ask_moto(environ))
        return backends.hide_variables(call, environ, response)

    def _ask_moto(self, environ: dict[str, Any]) -> Response:
        return _collect(self._moto, environ)

    def _record(self, call: AwsCall, status: int, caller: str) -> None:
        self.recorded.append(Recorded(time.time(), call, status, caller))


def _refusal(call: AwsCall, body: bytes) -> Response | None:
    """Return what AWS refuses of a call by its parameters, and moto does not."""
    if call.operation == "StartExecution":
        return bounds.refusal(call, body)
    if call.service == "ssm":
        return parameters.refuse(call, body, parameters.kind(DEFAULT_ACCOUNT_ID, call.region))
    return None


class _QuietRequestHandler(MotoRequestHandler):
    """Moto's handler without a line on standard error for every request, and one that hangs up after an accident."""

    def log_request(self, *_args: Any) -> None:
        """Say nothing."""

    def connection_dropped(self, *_args: Any) -> None:
        """Close what is left of the connection; otherwise the caller would wait for an answer on it."""
        self.close_connection = True


def _invoke(backends: Backends, call: AwsCall, environ: dict[str, Any], body: bytes) -> Response | None:
    """Return the answer to Invoke; None when moto should say that there is no such function."""
    name = str(environ["PATH_INFO"]).split("/functions/", 1)[1].removesuffix("/invocations")
    qualifier = next(iter(parse_qs(str(environ.get("QUERY_STRING", ""))).get("Qualifier", ())), None)
    kind = environ.get("HTTP_X_AMZ_INVOCATION_TYPE", "RequestResponse")
    if kind == "DryRun":
        return Response(204, {}, b"")
    if kind == "Event":
        threading.Thread(target=backends.invoke, args=(name, qualifier, body), daemon=True).start()
        return Response(202, {}, b"")
    if len(body) > 6 * 1024 * 1024:
        return render(call, "RequestTooLargeException", f"{len(body)} byte payload is too large")
    invocation = backends.invoke(name, qualifier, body)
    if invocation is None:
        return None
    headers = {"Content-Type": "application/json", "X-Amz-Executed-Version": qualifier or "$LATEST"}
    if invocation.error:
        headers["X-Amz-Function-Error"] = invocation.error
    return Response(200, headers, invocation.payload)


def _protect(backends: Backends, environ: dict[str, Any]) -> Response:
    """Put a bucket's policy in force; moto never sees it, since it would refuse what the policy's conditions allow."""
    document = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    backends.protect(str(environ["PATH_INFO"]).strip("/"), document.decode())
    return Response(204, {}, b"")


def _body(environ: dict[str, Any]) -> bytes:
    """Return the body, leaving it to be read again; the bodies of S3 stay where they are, they may be large."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not length or "/s3/" in environ.get("HTTP_AUTHORIZATION", "/s3/"):
        return b""
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = BytesIO(body)
    return body


def _named(environ: dict[str, Any], body: bytes) -> bytes:
    """Give an execution that is started without a name one, as Step Functions does; moto calls it `None`."""
    document = json.loads(body)
    document["name"] = document.get("name") or str(uuid.uuid4())
    body = json.dumps(document).encode()
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
    return body


def _collect(app: Wsgi, environ: dict[str, Any]) -> Response:
    """Return an application's whole response."""
    seen: dict[str, Any] = {}

    def start_response(
        status: str, headers: list[tuple[str, str]], _exc_info: object = None
    ) -> Callable[[bytes], None]:
        seen["status"], seen["headers"] = int(status.split(maxsplit=1)[0]), dict(headers)
        return lambda _piece: None

    pieces = app(environ, start_response)
    if isinstance(pieces, Coming):
        return Response(seen["status"], seen["headers"], b"", coming=pieces)
    try:
        body = b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    return Response(seen["status"], seen["headers"], body)


def _send(response: Response, start_response: Any) -> Iterable[bytes]:
    # HEAD answers keep the length that they state: it is the object's.
    headers = {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
    stated = next(
        (value for name, value in response.headers.items() if name.lower() == "content-length"), None
    )
    if response.stream is not None:
        stated = str(response.stream.size)
    if response.coming is None:
        headers["Content-Length"] = (
            stated if stated is not None and not response.body else str(len(response.body))
        )
    if not sdk_errors.MARKS & {name.lower() for name in headers}:
        # Each answer of AWS has one; what has none came from somebody else, to `sdk_errors.check_answered_by_aws`.
        headers["x-amzn-RequestId"] = REQUEST_ID
    start_response(f"{response.status} {_REASONS.get(response.status, 'Status')}", list(headers.items()))
    if response.coming is not None:
        return response.coming
    return [response.body] if response.stream is None else response.stream.stream()


_REASONS = {
    200: "OK",
    206: "Partial Content",
    202: "Accepted",
    204: "No Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
}
