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


def no_such_path(path: str) -> Denied:
    """Return what is said of a path that nothing is at."""
    return Denied(HTTPStatus.NOT_FOUND, f"no such path: {path[:200]!r}", "not_found")


def other_method(method: str, path: str, wanted: str) -> Denied:
    """Return what is said of a path that takes another method."""
    message = f"{method} {path[:200]}; wanted {wanted}"
    return Denied(HTTPStatus.METHOD_NOT_ALLOWED, message, "method_not_allowed", Allow=wanted)
