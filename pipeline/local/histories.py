"""The history of an execution in pages, from either end.

moto answers every GetExecutionHistory with the whole history, oldest event first, whatever was asked for. Whoever
follows an execution asks for the newest events only; here that is what comes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipeline.local.faults import Response

MOST: Final = 1000
"""Events of a page, as of AWS's."""


def page(events: list[Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return the page of a history that a request asks for.

    Args:
        events: the whole history, oldest first.
        request: the parameters of GetExecutionHistory.
    """
    # Events that came since move everything when seen from the end: the token says how many there were.
    token = request.get("nextToken")
    first, length = (int(part) for part in token.split("/")) if token else (0, len(events))
    ordered = events[:length][::-1] if request.get("reverseOrder") else events
    end = first + min(int(request.get("maxResults") or MOST), MOST)
    following = {"nextToken": f"{end}/{length}"} if end < len(ordered) else {}
    return {"events": ordered[first:end], **following}


def paged(response: Response, body: bytes) -> Response:
    """Return moto's answer to GetExecutionHistory, cut down to what was asked for."""
    if response.status != 200:
        return response
    whole = json.loads(response.body)
    return replace(response, body=json.dumps(page(whole["events"], json.loads(body))).encode())
