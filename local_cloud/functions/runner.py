"""The Lambda runtime: a process that imports one handler and serves events to it, and the one that forks them.

Runs as a script under `python -S -I`, so that only the function's code and the packages that Lambda's own
Python runtime has can be imported. Imports nothing of Sealift for the same reason.

boto3 and the service models are read once, before the first fork: that is most of the time that a cold function
takes. So a function starts as one with Lambda's SnapStart does, from what an interpreter had in memory.

Protocol of the forks: JSON messages on a socket. A start carries three descriptors and is answered with the
process's id, a wait with the status that `os.waitstatus_to_exitcode` gives. Nothing is waited for unasked, so
that an id is a process's own until its parent knows of its end.

Protocol of a function: one JSON object per line on the descriptor `requests`, one per line on `replies`. Errors
are reported as Lambda's runtime reports them: errorMessage, errorType (the bare class name), requestId, stackTrace.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MESSAGE_LIMIT = 1 << 16
"""Of bytes; Lambda allows a function 4 KB of environment variables."""


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


def _serve(handler: Any, request: dict[str, Any], form: str) -> tuple[str | None, str]:
    """Return the function error (None when the handler returned) and the payload."""
    context = Context(**request["context"])
    _REQUESTS.now = context.aws_request_id
    try:
        result = handler(request["event"], context)
    except BaseException as error:  # noqa: BLE001 whatever a handler raises is the function's error
        failure = _failure(error, context.aws_request_id)
        _log_failure(failure, form)
        return "Unhandled", json.dumps(failure)
    try:
        return None, json.dumps(result)
    except (TypeError, ValueError) as error:
        failure = _failure(error, context.aws_request_id, "Runtime.MarshalError")
        _log_failure(failure, form)
        return "Unhandled", json.dumps(failure)


def _load(path: str) -> Any:
    module_name, _, function = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise RuntimeError("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        raise RuntimeError("Runtime.UserCodeSyntaxError", message) from error
    if not hasattr(module, function):
        raise RuntimeError(
            "Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'"
        )
    return getattr(module, function)


class _Lines(logging.Formatter):
    """Writes what Lambda's runtime writes of a record, in its LogFormat; only JSON has further attributes."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self._json = form == "JSON"
        self._usual = set(logging.makeLogRecord({}).__dict__) | {
            "aws_request_id",
            "message",
            "asctime",
            "taskName",
        }

    def format(self, record: logging.LogRecord) -> str:
        at, request = _moment(record.created), getattr(record, "aws_request_id", "")
        if not self._json:
            return f"[{record.levelname}]\t{at}\t{request}\t{record.getMessage()}"
        line = {
            "timestamp": at,
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"errorType": record.exc_info[0].__name__, "errorMessage": str(record.exc_info[1])}
        own = {name: value for name, value in record.__dict__.items() if name not in self._usual}
        return json.dumps({**line, "requestId": request, **own}, default=str)


class _Requests(logging.Filter):
    """Puts the invocation's id on every record."""

    now = ""

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self.now
        return True


_REQUESTS = _Requests()


def _log_as_lambda_does(form: str) -> None:
    """Begin to log; the level is INFO where LogFormat is JSON, and Python's own WARNING where it is not."""
    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(_Lines(form))
    lines.addFilter(_REQUESTS)
    logging.basicConfig(level=logging.INFO if form == "JSON" else logging.WARNING, handlers=[lines])


def _log_failure(failure: dict[str, Any], form: str) -> None:
    """Write what a handler raised; one line for a log, as Lambda's runtime does."""
    if form == "JSON":
        print(json.dumps({"timestamp": _moment(time.time()), "level": "ERROR", **failure}))  # noqa: T201
        return
    trace = "".join(failure["stackTrace"]).replace("\n", "\r")
    text = f"[ERROR] {failure['errorType']}: {failure['errorMessage']}\rTraceback (most recent call last):\r{trace}"
    print(text)  # noqa: T201


def _moment(seconds: float) -> str:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{at}.{int(seconds * 1000) % 1000:03d}Z"


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


@dataclass(frozen=True)
class Start:
    """What a function's process is started with."""

    root: str
    """The folder of the extracted zip."""
    handler: str
    environment: dict[str, str]
    time_scale: float
    form: str
    """LogFormat: `Text` or `JSON`."""


def _run(start: Start, requests: int, replies: int) -> None:
    """Serve until the parent closes the requests."""
    _scale_sleep(start.time_scale)
    sys.path.insert(0, start.root)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _log_as_lambda_does(start.form)
    try:
        handler: Any = _load(start.handler)
        broken = None
    except RuntimeError as error:
        handler, broken = None, {"errorType": error.args[0], "errorMessage": error.args[1], "stackTrace": []}
        _log_failure(broken, start.form)
    with os.fdopen(requests) as incoming, os.fdopen(replies, "w") as outgoing:
        for line in incoming:
            request = json.loads(line)
            error_kind, payload = (
                ("Unhandled", json.dumps(broken)) if broken else _serve(handler, request, start.form)
            )
            reply = {"error": error_kind, "payload": payload, "peak_kb": _peak_kb()}
            outgoing.write(json.dumps(reply) + "\n")
            outgoing.flush()


def _become(start: Start, output: int, runtime: str) -> None:
    """Make this forked process look like one that was started anew for the function."""
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    os.chdir(start.root)
    os.environ.clear()  # noqa: TID251 this is where a function gets its environment
    os.environ.update(start.environment)  # noqa: TID251
    time.tzset()
    brought = {entry.stem for entry in Path(runtime).iterdir()} - {"__pycache__"}
    if brought.intersection(entry.stem for entry in Path(start.root).iterdir()):
        # The zip has a boto3, or a part of one, of its own, which comes first in Lambda too.
        for name in [name for name in sys.modules if name.partition(".")[0] in brought]:
            del sys.modules[name]


def _read_ahead() -> None:
    """Import boto3 and let its default session read the greatest models, with nothing of a function's in it."""
    boto3: Any = importlib.import_module("boto3")
    nobody = {"region_name": "us-east-1", "aws_access_key_id": "none", "aws_secret_access_key": "none"}
    for service in ("s3", "sagemaker"):
        boto3.client(service, **nobody)
    gc.freeze()


def main() -> None:
    """Fork a process for each function that is asked for, until the parent closes the socket."""
    control, runtime = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    sys.path.insert(0, runtime)
    _read_ahead()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_LIMIT, 3)
        if not message:
            return
        asked = json.loads(message)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            control.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())
            continue
        child = os.fork()
        if not child:
            control.close()
            requests, replies, output = descriptors
            start = Start(**asked)
            _become(start, output, runtime)
            _run(start, requests, replies)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(json.dumps(child).encode())


if __name__ == "__main__":
    main()
