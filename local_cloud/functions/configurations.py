"""What moto leaves out of a function's configuration: RevisionId, its guard, and the moment an update takes.

AWS (https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html): every configuration
has a RevisionId; an update that names another one fails with PreconditionFailedException (412); after an
update LastUpdateStatus is InProgress for a while, and a second update then fails with
ResourceConflictException (409).
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local_cloud.faults import Response, render

if TYPE_CHECKING:
    from local_cloud.calls import AwsCall

_WRITES = frozenset({"UpdateFunctionConfiguration", "UpdateFunctionCode"})
_GUARDED = _WRITES | {"PublishVersion"}
_READS = frozenset({"GetFunctionConfiguration", "GetFunction"})


@dataclass(slots=True)
class Configurations:
    """The revisions of all functions.

    Args:
        update_s: how long LastUpdateStatus is InProgress after an update.
    """

    update_s: float = 1.0
    _revisions: dict[str, str] = field(default_factory=dict)
    _busy_until: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, call: AwsCall, path: str, body: bytes) -> Response | None:
        """Return AWS's refusal of a change that is not allowed now, else None."""
        if call.operation not in _GUARDED:
            return None
        name = function_name(path)
        wanted = (json.loads(body or b"{}")).get("RevisionId")
        with self._lock:
            busy = time.monotonic() < self._busy_until.get(name, 0)
            revision = self._revision(name)
        if busy:
            message = (
                "The operation cannot be performed at this time. An update is in progress for resource: "
                + name
            )
            return _status(render(call, "ResourceConflictException", message), 409)
        if wanted and wanted != revision:
            message = (
                "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API "
                "to retrieve the latest Revision Id"
            )
            return _status(render(call, "PreconditionFailedException", message), 412)
        return None

    def complete(self, call: AwsCall, query: str, response: Response) -> Response:
        """Return moto's response with what AWS says beyond it."""
        if response.status >= 300 or call.operation not in _READS | _WRITES | {
            "PublishVersion",
            "CreateFunction",
        }:
            return response
        document = json.loads(response.body)
        configuration = document["Configuration"] if call.operation == "GetFunction" else document
        name = configuration["FunctionName"]
        with self._lock:
            if call.operation in _WRITES:
                self._revisions[name] = str(uuid.uuid4())
                self._busy_until[name] = time.monotonic() + self.update_s
            configuration["RevisionId"] = self._revision(name)
            latest = "Qualifier=" not in query and configuration.get("Version", "$LATEST") in (
                "$LATEST",
                "1",
                1,
            )
            if latest and time.monotonic() < self._busy_until.get(name, 0):
                configuration["LastUpdateStatus"] = "InProgress"
        return Response(response.status, response.headers, json.dumps(document).encode())

    def _revision(self, name: str) -> str:
        return self._revisions.setdefault(name, str(uuid.uuid4()))


def function_name(path: str) -> str:
    """Return the bare name of the function that a request's path is about; empty for none."""
    match = re.search(r"/functions/([^/]+)", path)
    return match[1].rpartition(":function:")[2].partition(":")[0] if match else ""


def _status(response: Response, status: int) -> Response:
    return Response(status, response.headers, response.body)
