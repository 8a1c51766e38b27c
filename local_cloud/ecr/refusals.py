"""The one exception that crosses from ECR's operations to their caller, and how it is written.

Owns code, message and modelled members of an error; the wording is in `texts`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local_cloud.faults import REQUEST_ID, STATUSES, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/x-amz-json-1.1"


class EcrRefused(Exception):
    """What ECR answers instead of doing what was asked for."""

    def __init__(self, code: str, message: str, fields: Mapping[str, object] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = dict(fields or {})
        """Modelled members beside the message, such as lastValidByteReceived."""

    def response(self) -> Response:
        """Return it as the JSON protocol has it."""
        body = json.dumps({"__type": self.code, "message": self.message, **self.fields}).encode()
        headers = {"Content-Type": JSON, "x-amzn-ErrorType": self.code, "x-amzn-RequestId": REQUEST_ID}
        return Response(STATUSES.get(self.code, 400), headers, body)


def invalid(message: str) -> EcrRefused:
    """Return an InvalidParameterException."""
    return EcrRefused("InvalidParameterException", message)
