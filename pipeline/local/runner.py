"""The Lambda runtime in a process of its own: imports one handler and serves events to it.

Runs as a script under `python -S -I`, so that only the function's code and the packages that Lambda's own
Python runtime has can be imported. Imports nothing of Sealift for the same reason.

Protocol: one JSON object per line on the descriptor `requests`, one per line on `replies`. Errors are reported
as Lambda's runtime reports them: errorMessage, errorType (the bare class name), requestId, stackTrace.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Context:
    """What a handler gets as its second argument."""

    aws_request_id: str
    function_name: str
    function_version: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    log_group_name: str
    log_stream_name: str
    deadline_ms: int

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is timed out."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def _failure(error: BaseException, request_id: str, error_type: str | None = None) -> dict[str, Any]:
    # The first frames are this file's: what a person looks for starts below them.
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__)[1:])
    return {
        "errorMessage": str(error),
        "errorType": error_type or type(error).__name__,
        "requestId": request_id,
        "stackTrace": frames,
    }


def _serve(handler: Any, request: dict[str, Any]) -> tuple[str | None, str]:
    """Return the function error (None when the handler returned) and the payload."""
    context = Context(**request["context"])
    try:
        result = handler(request["event"], context)
    except BaseException as error:  # noqa: BLE001 whatever a handler raises is the function's error
        traceback.print_exc()
        return "Unhandled", json.dumps(_failure(error, context.aws_request_id))
    try:
        return None, json.dumps(result)
    except (TypeError, ValueError) as error:
        return "Unhandled", json.dumps(_failure(error, context.aws_request_id, "Runtime.MarshalError"))


def _load(path: str) -> Any:
    module_name, _, function = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise RuntimeError("Runtime.ImportModuleError", message) from error
    if not hasattr(module, function):
        raise RuntimeError(
            "Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'"
        )
    return getattr(module, function)


class _JsonLines(logging.Formatter):
    """Writes what Lambda's runtime does where LogFormat is JSON (its ApplicationLogLevel is INFO by default)."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        line = {
            "timestamp": at,
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        return json.dumps(line)


def _log_as_lambda_does() -> None:
    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[lines])


def _peak_kb() -> int:
    """Return the peak of resident memory; getrusage would count what the parent had when it forked."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def _scale_sleep(scale: float) -> None:
    """Let the SDK's pauses between its attempts last `scale` times as long, as all waits of the local cloud do."""
    sleep = time.sleep  # noqa: TID251 the SDK sleeps, and this is what it sleeps with

    def scaled(seconds: float, /) -> None:
        sleep(seconds * scale)

    time.sleep = scaled  # type: ignore[assignment] # noqa: TID251


def main() -> None:
    """Serve until the parent closes the requests."""
    task_root, runtime, handler_path, requests, replies, time_scale = sys.argv[1:]
    _scale_sleep(float(time_scale))
    sys.path[:0] = [task_root, runtime]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _log_as_lambda_does()
    try:
        handler: Any = _load(handler_path)
        broken = None
    except RuntimeError as error:
        handler, broken = None, {"errorType": error.args[0], "errorMessage": error.args[1], "stackTrace": []}
        traceback.print_exc()
    with os.fdopen(int(requests)) as incoming, os.fdopen(int(replies), "w") as outgoing:
        for line in incoming:
            request = json.loads(line)
            error_kind, payload = ("Unhandled", json.dumps(broken)) if broken else _serve(handler, request)
            reply = {"error": error_kind, "payload": payload, "peak_kb": _peak_kb()}
            outgoing.write(json.dumps(reply) + "\n")
            outgoing.flush()


if __name__ == "__main__":
    main()
