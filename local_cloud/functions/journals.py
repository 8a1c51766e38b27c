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
    from collections.abc import Mapping


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

    @classmethod
    def configured(cls, function: str, config: Mapping[str, str]) -> Journal:
        """Return the log of a function by its LoggingConfig."""
        form = config.get("LogFormat", "Text")
        group = config.get("LogGroup")
        return cls(group, shared=True, form=form) if group else cls(cls.usual(function).group, form=form)

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


def _platform(kind: str, record: dict[str, Any]) -> str:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": at, "type": f"platform.{kind}", "record": record})
