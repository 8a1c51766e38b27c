"""What a client sends: which service it asks, in which form, and whether it wants a stream.

Pure: bytes in, data out. Refuses what is no such request in OpenAI's form; all else is for the container to judge.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.client import requests
from pipeline.client.proxy import openai_errors
from pipeline.client.proxy.openai_errors import Refused
from pipeline.limits import INSTANCE_REQUEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.client.proxy.openai_errors import ErrorAnswer

ROUTES: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/embeddings": "input",
    "/v1/responses": "input",
    "/v1/rerank": "query",
}
"""The field that the body of each has: an endpoint has one path, and knows by it what it is asked for."""
LARGEST: Final = INSTANCE_REQUEST.value


@dataclass(frozen=True, slots=True)
class AskedService:
    """One request."""

    service: str
    body: bytes
    """As it came."""
    stream: bool


def read(body: bytes, field: str) -> AskedService:
    """Return what is asked.

    Args:
        body: of the request.
        field: what it must have.

    Raises:
        Refused: it is no such request.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(openai_errors.told(400, "the body is not JSON; wanted a JSON object")) from None
    if not isinstance(document, dict):
        raise Refused(openai_errors.told(400, "the body is no JSON object; wanted one"))
    service = document.get("model")
    if not isinstance(service, str) or not service:
        raise _lacking("model", "the name of a service, as GET /v1/models lists them")
    if field not in document:
        raise _lacking(field, "it, since the path asks for that")
    return AskedService(service, body, document.get("stream") is True)


def too_large(size: int, *, on_instances: bool) -> ErrorAnswer | None:
    """Return the refusal of what the kind of endpoint does not take; None for what it takes."""
    if (problem := requests.too_large(size, on_instances=on_instances)) is None:
        return None
    message = f"{problem.seen}; wanted {problem.wanted}; {problem.fix}"
    return openai_errors.told(413, message, code="request_too_large")


def _lacking(field: str, wanted: str) -> Refused:
    message = f"no {field!r} in the body; wanted {wanted}"
    return Refused(openai_errors.told(400, message, code="missing_required_parameter", param=field))
