"""What the adapter itself refuses, in words: there is no place, no time, no model, or no such path.

Owns these errors and their statuses. What is wrong with a request is `sealift_request.BadRequest`'s.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from sealift_contract import MAX_BODY, error_body


class ClientGone(Exception):
    """Nobody is there to be answered."""


class Denied(Exception):
    """The server's own refusal: there is no place, no time, or no model."""

    def __init__(self, status: int, message: str, code: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def body(self) -> bytes:
        """Return what is answered."""
        return json.dumps(error_body(self.status, str(self), self.code)).encode()


def loading() -> Denied:
    """Return what is said until there is a first token."""
    return Denied(HTTPStatus.SERVICE_UNAVAILABLE, "the model is still loading", "loading", Retry_After="1")


def too_large(length: int) -> Denied:
    """Return what is said of a body of more bytes than are taken."""
    message = f"the body has {length} bytes; at most {MAX_BODY} are taken"
    return Denied(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "body_too_large", Connection="close")


def too_slow(length: int, seconds: float) -> Denied:
    """Return what is said of a body that has not come in the time of its call."""
    message = f"only {length} bytes of the body came within the {seconds:g} s of a call"
    return Denied(HTTPStatus.REQUEST_TIMEOUT, message, "body_timeout", Connection="close")


def unreadable_body() -> Denied:
    """Return what is said of a body whose chunks, or whose compression, are broken."""
    message = "the body cannot be read: its chunks or its Content-Encoding are broken"
    return Denied(HTTPStatus.BAD_REQUEST, message, "invalid_body", Connection="close")


def no_http(status: int, why: str) -> Denied:
    """Return what is said of bytes that are no request, or where the server itself has failed."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Denied(status, "the server failed; the log tells where", "internal_error")
    return Denied(status, f"the request cannot be read: {why}", "invalid_request")


def no_such_path(path: str) -> Denied:
    """Return what is said of a path that nothing is at."""
    return Denied(HTTPStatus.NOT_FOUND, f"no such path: {path[:200]!r}", "not_found")


def other_method(method: str, path: str, wanted: str) -> Denied:
    """Return what is said of a path that takes another method."""
    message = f"{method} {path[:200]}; wanted {wanted}"
    return Denied(HTTPStatus.METHOD_NOT_ALLOWED, message, "method_not_allowed", Allow=wanted)
