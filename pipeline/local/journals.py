"""Where a function's log goes and in which form: the LoggingConfig of the template, which moto's Lambda does not keep.

Sources: form and names, https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html and
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html; the runtime's own lines,
github.com/aws/aws-lambda-python-runtime-interface-client (lambda_runtime_log_utils.py, bootstrap.py).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Journal:
    """The log of one function."""

    group: str
    shared: bool = False
    """Whether the group is one that the template names: then streams are named after their function."""
    form: str = "Text"
    """Text or JSON."""

    @classmethod
    def usual(cls, function: str) -> Journal:
        """Return the log of a function that says nothing about it."""
        return cls(f"/aws/lambda/{function}")

    def stream(self, function: str, version: str) -> str:
        """Return the name of a new stream."""
        whose = function if self.shared else ""
        return f"{datetime.now(UTC):%Y/%m/%d}/{whose}[{version}]{uuid.uuid4().hex}"

    def start(self, request: str, version: str) -> str:
        """Return the line at the beginning of an invocation."""
        if self.form == "JSON":
            return _platform("start", {"requestId": request, "version": version})
        return f"START RequestId: {request} Version: {version}"

    def report(
        self, request: str, *, took_ms: float, memory_mb: int, peak_mb: int | None, status: str
    ) -> str:
        """Return the line at the end of an invocation.

        Args:
            request: its id.
            took_ms: milliseconds.
            memory_mb: of the function.
            peak_mb: that it used; None when that is not known.
            status: success, error or timeout.
        """
        if self.form == "JSON":
            metrics = {"durationMs": round(took_ms, 3), "memorySizeMB": memory_mb}
            if peak_mb is not None:
                metrics["maxMemoryUsedMB"] = peak_mb
            return _platform("report", {"requestId": request, "metrics": metrics, "status": status})
        used = "" if peak_mb is None else f" Max Memory Used: {peak_mb} MB"
        return f"REPORT RequestId: {request} Duration: {took_ms:.2f} ms Memory Size: {memory_mb} MB{used}"


def of(
    template: dict[str, Any], *, arn_of: Callable[[str], str], group_of: Callable[[str], str]
) -> dict[str, Journal]:
    """Return the logs of a template's functions, by the functions' ARNs.

    Args:
        template: as loaded.
        arn_of: returns a function's ARN by its logical id.
        group_of: returns a log group's name by its logical id.
    """
    common = template.get("Globals", {}).get("Function", {}).get("LoggingConfig", {})
    found = {}
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        config = {**common, **resource.get("Properties", {}).get("LoggingConfig", {})}
        if group := config.get("LogGroup"):
            form = config.get("LogFormat", "Text")
            found[arn_of(logical_id)] = Journal(group_of(group["Ref"]), shared=True, form=form)
    return found


def _platform(kind: str, record: dict[str, Any]) -> str:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": at, "type": f"platform.{kind}", "record": record})
