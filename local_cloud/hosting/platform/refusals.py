"""The one exception that crosses from the emulated service to its caller.

It owns code, message, HTTP status and extra fields of an AWS error; the wording is in `texts`, the rendering
in `protocol`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class AwsError(Exception):
    """An answer that the SDK turns into an exception: what AWS would have sent, before it is rendered."""

    def __init__(
        self,
        code: str,
        message: str | None,
        status: int = 400,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        """None where AWS sends a null message, as the runtime does when it throttles."""
        self.status = status
        self.fields = dict(fields or {})
        """Modelled members beside the message, such as ModelError's OriginalStatusCode."""


def invalid(message: str) -> AwsError:
    """Return the control plane's ValidationException."""
    return AwsError("ValidationException", message)
