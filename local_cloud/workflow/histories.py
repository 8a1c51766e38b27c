"""The history of an execution in pages, from either end.

moto answers every GetExecutionHistory with the whole history, oldest event first, whatever was requested. Whoever
follows an execution asks for the newest events only; here that is what comes.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from local_cloud.faults import Response

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


def answered(body: bytes, events: list[Any]) -> Response:
    """Return the answer to GetExecutionHistory.

    Written here, since moto's serializer takes longer for a whole history than the execution did.

    Args:
        body: the request's.
        events: the whole history as moto keeps it, oldest first.
    """
    cut = page(events, json.loads(body))
    answer = {**cut, "events": [_in_json(event) for event in cut["events"]]}
    return Response(200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(answer).encode())


def _in_json(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event in the protocol's form: a time in seconds, and nothing that is not there."""
    at = datetime.fromisoformat(event["timestamp"]).timestamp()
    return {**_without_nothing(event), "timestamp": at}


def _without_nothing(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: _without_nothing(value) for key, value in document.items() if value is not None}
    return document
