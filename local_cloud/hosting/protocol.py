"""The two wire protocols of SageMaker over WSGI: JSON 1.1 for the control plane, REST-JSON for the runtime.

Owns parsing and rendering, errors included, so that the SDK raises its own classes. Refuses to check
signatures and tokens: the gateway in front has done so, or nobody has.
"""

from __future__ import annotations

import json
import logging
import re
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.refusals import AwsError
from local_cloud.hosting.runtime import (
    INVOKE,
    OPENAI,
    STREAM,
    InvocationRequest,
    InvocationResponse,
    new_request_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

_LOGGER = logging.getLogger(__name__)
_JSON = "application/x-amz-json-1.1"
_INVOCATIONS = re.compile(rf"/endpoints/(?P<name>[^/]+)/(?P<kind>[a-z-]+|{OPENAI})")
_CHUNK = 64 * 1024


class Protocol:
    """A WSGI application in front of the two planes."""

    def __init__(
        self,
        handle: Callable[[str, Mapping[str, Any]], dict[str, Any]],
        invoke: Callable[[InvocationRequest], InvocationResponse],
        *,
        payload_bytes: int,
    ) -> None:
        self._handle = handle
        self._invoke = invoke
        self._payload_bytes = payload_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        target = environ.get("HTTP_X_AMZ_TARGET")
        render = render_control_error if target else render_runtime_error
        try:
            response = self._control(target, environ) if target else self._runtime(environ)
        except AwsError as error:
            response = render(error)
        except Exception:
            # The caller must get an answer; the fault itself is the emulation's, and belongs into its log.
            _LOGGER.exception("hosting failed on %s", target or environ.get("PATH_INFO"))
            response = render(AwsError("InternalFailure", texts.INTERNAL, 500))
        headers = {**response.headers, "x-amzn-RequestId": new_request_id()}
        if response.stream is None:
            headers["Content-Length"] = str(len(response.body))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", list(headers.items()))
        return [response.body] if response.stream is None else response.stream

    def _control(self, target: str, environ: WSGIEnvironment) -> InvocationResponse:
        body, _ = _body(environ, limit=None)
        try:
            parameters = json.loads(body or b"{}")
        except ValueError as error:
            raise AwsError("SerializationException", f"The body is not JSON: {error}") from error
        if not isinstance(parameters, dict):
            raise AwsError("SerializationException", "The body is not a JSON object.")
        answer = self._handle(target.rpartition(".")[2], parameters)
        return InvocationResponse(200, {"Content-Type": _JSON}, json.dumps(answer).encode())

    def _runtime(self, environ: WSGIEnvironment) -> InvocationResponse:
        # The body is read before anything is refused: an unread one would cut the caller off in mid-sentence.
        body, oversize = _body(environ, limit=self._payload_bytes)
        match = _INVOCATIONS.fullmatch(environ.get("PATH_INFO", ""))
        if match is None or environ["REQUEST_METHOD"] != "POST":
            raise AwsError("UnknownOperationException", None, 404)
        if match["kind"] == "async-invocations":
            raise AwsError("ValidationError", texts.not_emulated("Asynchronous inference"))
        if match["kind"] not in (INVOKE, STREAM, OPENAI):
            raise AwsError("UnknownOperationException", None, 404)
        if oversize:
            raise AwsError("ValidationError", texts.oversize_body(new_request_id()))
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        content_type, accept = environ.get("CONTENT_TYPE") or None, environ.get("HTTP_ACCEPT")
        return self._invoke(
            InvocationRequest(match["name"], body, content_type, accept, headers, match["kind"])
        )


def render_control_error(error: AwsError) -> InvocationResponse:
    """Return an error as the AWS JSON 1.1 protocol has it."""
    body = {"__type": error.code, "message": error.message, **error.fields}
    return InvocationResponse(error.status, {"Content-Type": _JSON}, json.dumps(body).encode())


def render_runtime_error(error: AwsError) -> InvocationResponse:
    """Return an error as the AWS REST-JSON protocol has it."""
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}
    body = {"message": error.message, **error.fields}
    return InvocationResponse(error.status, headers, json.dumps(body).encode())


def _body(environ: WSGIEnvironment, *, limit: int | None) -> tuple[bytes, bool]:
    """Return the body, and whether it was over the limit; what is over is read and dropped."""
    stream: IO[bytes] = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        remaining = int(length)
    elif environ.get("wsgi.input_terminated"):
        remaining = -1
    else:
        return b"", False
    kept = bytearray()
    oversize = False
    while remaining and (chunk := stream.read(min(remaining, _CHUNK) if remaining > 0 else _CHUNK)):
        remaining -= len(chunk) if remaining > 0 else 0
        oversize = oversize or (limit is not None and len(kept) + len(chunk) > limit)
        if not oversize:
            kept += chunk
    return bytes(kept), oversize
