"""Errors as OpenAI's clients read them: a status, and JSON with a message, a type and a code.

A container's refusal is in that form already and stays as it is. Pure: an error in, an answer out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.client import calls
from pipeline.errors import (
    AccessDenied,
    InvalidInput,
    ModelNotReady,
    NotYetVisible,
    RequestRejected,
    SealiftError,
    ServiceUnavailable,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST, SERVER, RATE, PERMISSION = (
    "invalid_request_error",
    "server_error",
    "rate_limit_error",
    "permission_error",
)
"""Types of OpenAI's."""


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What a client gets instead of an answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that this server does not pass on."""

    def __init__(self, answer: ErrorAnswer) -> None:
        self.answer = answer
        super().__init__(answer.body.decode())


def told(
    status: int, message: str, *, kind: str = REQUEST, code: str | None = None, param: str | None = None
) -> ErrorAnswer:
    """Return an error in OpenAI's form.

    Args:
        status: of HTTP.
        message: for people.
        kind: one of the types.
        code: for programs.
        param: the field that it is about.
    """
    error = {"message": message, "type": kind, "param": param, "code": code}
    return ErrorAnswer(status, json.dumps({"error": error}).encode())


_OWN: Final[tuple[tuple[type[SealiftError], int, str, str], ...]] = (
    (AccessDenied, 403, PERMISSION, "aws_access_denied"),
    (RequestRejected, 400, REQUEST, "aws_refused"),
    (Throttled, 429, RATE, "rate_limit_exceeded"),
    (ModelNotReady, 503, SERVER, "model_not_ready"),
    (NotYetVisible, 503, SERVER, "endpoint_not_found"),
    (ServiceUnavailable, 503, SERVER, "aws_unavailable"),
)
_NO_SUCH_SERVICE: Final = "NoDeployment"
_AGAIN_S: Final = "5"
"""When a client that retries by itself comes again."""


def of(error: SealiftError) -> ErrorAnswer:
    """Return the answer for a failure.

    Args:
        error: of the look for the endpoint, or of the call; with what AWS said as its cause.
    """
    if (said := _of_the_container(error)) is not None:
        return said
    if isinstance(error, InvalidInput):
        if any(one.error == _NO_SUCH_SERVICE for one in error.problems):
            return told(404, str(error), code="model_not_found", param="model")
        return _patient(told(503, str(error), kind=SERVER, code="model_not_serving", param="model"))
    for kind, status, named, code in _OWN:
        if isinstance(error, kind):
            return _patient(told(status, str(error), kind=named, code=code))
    return told(502, str(error), kind=SERVER, code="endpoint_failed")


def event(error: SealiftError) -> bytes:
    """Return the event that tells of a failure in the middle of a stream; nothing comes after it, not even [DONE]."""
    return b"data: " + of(error).body + b"\n\n"


def _of_the_container(error: SealiftError) -> ErrorAnswer | None:
    """Return a container's refusal as it said it; None where it was not the container that refused."""
    cause = error.__cause__
    if not isinstance(cause, ClientError) or service_errors.code(cause) != "ModelError":
        return None
    response: Mapping[str, Any] = cause.response
    status, message = int(response.get("OriginalStatusCode") or 0), str(response.get("OriginalMessage") or "")
    if not 400 <= status < 600:
        return None
    if _is_openais(message):
        return _patient(ErrorAnswer(status, message.encode()))
    kind = RATE if status == 429 else REQUEST if status < 500 else SERVER
    words = calls.container_words(message) or str(error)
    return _patient(told(status, words, kind=kind, code="container_refused"))


def _is_openais(message: str) -> bool:
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return False
    found = document.get("error") if isinstance(document, dict) else None
    return isinstance(found, dict) and isinstance(found.get("message"), str)


def _patient(answer: ErrorAnswer) -> ErrorAnswer:
    again = {"Retry-After": _AGAIN_S} if answer.status in {429, 503} else {}
    return ErrorAnswer(answer.status, answer.body, again)
