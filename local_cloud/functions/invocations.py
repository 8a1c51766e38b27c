"""Lambda's invocations: each function's deployed zip in processes of its own, with its limits and its errors.

moto keeps the functions and their configuration; it can run them only in Docker. Here the zip is extracted,
and a Python process imports the handler with the function's environment and its role's credentials. A process
serves one event at a time and is kept warm; the time-out and the memory limit kill it, as in Lambda. All are
forked by one process that has nothing of this one's in it: `runner.py`.

Sources: errors and their shape, github.com/aws/aws-lambda-python-runtime-interface-client (bootstrap.py);
time-out and exit texts, https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import py_compile
import queue
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from pipeline.stack import bundles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local_cloud.functions.journals import Journal

RUNNER = Path(__file__).with_name("runner.py")
PAYLOAD_LIMIT = 6 * 1024 * 1024
MOST_PROCESSES = 4
"""Of one function at a time. AWS runs an event beyond its limit later or not at all; here it waits for its turn."""
MEMORY_LOOK_S = 0.05
_BASE = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it is deployed: what an invocation needs of it."""

    name: str
    arn: str
    version: str
    handler: str
    code_sha256: str
    code: bytes
    environment: Mapping[str, str]
    role_arn: str
    timeout_s: float
    memory_mb: int
    journal: Journal

    @property
    def identity(self) -> tuple[Any, ...]:
        """What a warm process must have been started with to serve this function."""
        return (
            self.arn,
            self.code_sha256,
            self.handler,
            tuple(sorted(self.environment.items())),
            self.role_arn,
        )


@dataclass(frozen=True, slots=True)
class FunctionAnswer:
    """What a function answered, or the error that it ended with."""

    payload: bytes
    error: str | None
    """`Unhandled`, or None; becomes the header X-Amz-Function-Error."""


class Functions:
    """Runs functions.

    Args:
        environment: what every function's process gets beside its own variables: the region, the endpoint URL.
        credentials: returns the environment variables of the credentials of a function's role.
        log: takes the log group, the log stream, the time in milliseconds and a line.
        time_scale: how long a function sleeps, against what it asks for; only the SDK asks, between its attempts.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        credentials: Callable[[Function], Mapping[str, str]],
        log: Callable[[str, str, int, str], None],
        time_scale: float = 1.0,
    ) -> None:
        self._time_scale = time_scale
        self._environment = environment
        self._credentials = credentials
        self._log = log
        self._folder = Path(tempfile.mkdtemp(prefix="sealift-functions-"))
        self._idle: dict[tuple[Any, ...], queue.SimpleQueue[_Process]] = {}
        self._all: dict[str, _Process] = {}
        """Every process, by its access key."""
        self._turns: dict[str, threading.BoundedSemaphore] = {}
        """By the ARN of a function."""
        self._lock = threading.Lock()
        self._runtime = self._folder / "runtime"
        _link_runtime(self._runtime)
        self._runner = _Runner(self._runtime)

    def invoke(self, function: Function, event: bytes) -> FunctionAnswer:
        """Run a function on an event, in a warm process if one is idle."""
        with self._lock:
            turn = self._turns.setdefault(function.arn, threading.BoundedSemaphore(MOST_PROCESSES))
        with turn:
            return self._invoke(function, event)

    def _invoke(self, function: Function, event: bytes) -> FunctionAnswer:
        process = self._take(function)
        request_id = str(uuid.uuid4())
        try:
            invocation = process.serve(function, event, request_id)
        except _Dead as death:
            self._forget(process)
            return FunctionAnswer(json.dumps(death.document).encode(), "Unhandled")
        with self._lock:
            self._idle.setdefault(function.identity, queue.SimpleQueue()).put(process)
        if len(invocation.payload) > PAYLOAD_LIMIT:
            too_large = {
                "errorMessage": f"Response payload size exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes).",
                "errorType": "Function.ResponseSizeTooLarge",
            }
            return FunctionAnswer(json.dumps(too_large).encode(), "Unhandled")
        return invocation

    def close(self) -> None:
        """End every process and remove every extracted zip."""
        with self._lock:
            processes, self._all = self._all, {}
        for process in processes.values():
            process.end()
        self._runner.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def caller(self, access_key: str) -> str:
        """Return the name of the function that one of the processes has an access key for, else nothing."""
        with self._lock:
            process = self._all.get(access_key)
        return process.function_name if process else ""

    def kill(self, access_key: str, timed_out: bool) -> None:
        """Kill the process that has an access key; its invocation fails as one that crashed, or ran out of time."""
        with self._lock:
            process = self._all.get(access_key)
        if process is not None:
            process.kill(timed_out=timed_out)

    def _take(self, function: Function) -> _Process:
        with self._lock:
            idle = self._idle.get(function.identity)
            if idle is not None and not idle.empty():
                return idle.get()
            outdated = self._outdated(function)
            root = self._extract(function)
        for old in outdated:
            self._forget(old)
        variables = self._variables(function)
        process = _Process(function, root, self._runner, variables, self._log, time_scale=self._time_scale)
        with self._lock:
            self._all[process.access_key] = process
        return process

    def _outdated(self, function: Function) -> list[_Process]:
        """Take out the idle processes of the same function as it was before it was changed."""
        found = []
        for identity, idle in self._idle.items():
            if identity[0] == function.arn and identity != function.identity:
                while not idle.empty():
                    found.append(idle.get())
        return found

    def _forget(self, process: _Process) -> None:
        process.end()
        with self._lock:
            self._all.pop(process.access_key, None)

    def _extract(self, function: Function) -> Path:
        root = self._folder / re.sub(r"\W", "-", function.code_sha256)
        if not root.exists():
            with zipfile.ZipFile(BytesIO(function.code)) as archive:
                archive.extractall(root)
            _fit_libraries(root)
            _compile(root)
        return root

    def _variables(self, function: Function) -> dict[str, str]:
        return {
            **_BASE,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_FORMAT": function.journal.form,
            "AWS_LAMBDA_LOG_GROUP_NAME": function.journal.group,
            "_HANDLER": function.handler,
            **self._environment,
            **self._credentials(function),
            **function.environment,
        }


class _Dead(Exception):
    """The process ended or had to be ended; carries what Lambda answers then."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.document = {"errorType": error_type, "errorMessage": message}


class _Runner:
    """The process that forks those of the functions."""

    def __init__(self, runtime: Path) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-S", "-I", str(RUNNER), str(theirs.fileno()), str(runtime)],
                env=_BASE,
                cwd=runtime,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # an interrupt at the terminal is this process's to handle
            )

    def start(self, order: Mapping[str, Any], descriptors: tuple[int, int, int]) -> int:
        """Fork a process with its requests, its replies and its output, and return its id."""
        return self._ask(order, descriptors)

    def wait(self, process: int) -> int:
        """Wait for the end of a process; return its exit status, or the negative number of the signal."""
        return self._ask({"wait": process})

    def end(self) -> None:
        """Let the process end, which it does when nobody can ask it any more."""
        self._control.close()
        self._child.wait()

    def _ask(self, question: Mapping[str, Any], descriptors: tuple[int, ...] = ()) -> int:
        with self._lock:
            socket.send_fds(self._control, [json.dumps(question).encode()], descriptors)
            answer = self._control.recv(64)
        if not answer:
            raise RuntimeError(f"the process that forks the functions' ended with {self._child.wait()}")
        return int(answer)


class _Process:
    """One process of a function."""

    def __init__(
        self,
        function: Function,
        root: Path,
        runner: _Runner,
        environment: dict[str, str],
        log: Callable[[str, str, int, str], None],
        *,
        time_scale: float,
    ) -> None:
        self.function_name = function.name
        self.access_key = environment["AWS_ACCESS_KEY_ID"]
        self._timed_out = False
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self._journal = function.journal
        self._group = function.journal.group
        self._stream = function.journal.stream(function.name, function.version)
        self._emit = log
        output, written = os.pipe()
        order = {
            "root": str(root),
            "handler": function.handler,
            "environment": {**environment, "LAMBDA_TASK_ROOT": str(root)},
            "time_scale": time_scale,
            "form": function.journal.form,
        }
        self._runner = runner
        self._exit_code: int | None = None
        self._ended = threading.Lock()
        self._id = runner.start(order, (requests, replies, written))
        for descriptor in (requests, replies, written):
            os.close(descriptor)
        self._buffer = b""
        self._reader = threading.Thread(target=self._drain, args=(output,), daemon=True)
        self._reader.start()

    def serve(self, function: Function, event: bytes, request_id: str) -> FunctionAnswer:
        """Hand the event to the process and wait for its reply, within the function's time and memory."""
        begun, peak_mb, status = time.monotonic(), None, "error"
        self._write(self._journal.start(request_id, function.version))
        deadline_ms = int((time.time() + function.timeout_s) * 1000)
        context = {
            "aws_request_id": request_id,
            "function_name": function.name,
            "function_version": function.version,
            "invoked_function_arn": function.arn,
            "memory_limit_in_mb": function.memory_mb,
            "log_group_name": self._group,
            "log_stream_name": self._stream,
            "deadline_ms": deadline_ms,
        }
        line = json.dumps({"event": json.loads(event or b"{}"), "context": context}).encode() + b"\n"
        try:
            self._send(line)
            reply = self._await(function, request_id, begun + function.timeout_s)
            peak_mb, status = reply["peak_kb"] // 1024, "error" if reply["error"] else "success"
        except BrokenPipeError:
            raise self._exited(function, request_id) from None
        except _Dead as death:
            status = "timeout" if death.document["errorType"] == "Sandbox.Timedout" else "error"
            raise
        finally:
            took_ms = (time.monotonic() - begun) * 1000
            memory_mb = function.memory_mb
            self._write(
                self._journal.report(
                    request_id, took_ms=took_ms, memory_mb=memory_mb, peak_mb=peak_mb, status=status
                )
            )
        return FunctionAnswer(reply["payload"].encode(), reply["error"])

    def kill(self, *, timed_out: bool) -> None:
        """Kill the process in the middle of what it does; `serve` then tells of it."""
        self._timed_out = timed_out
        self._signal()

    def end(self) -> None:
        """Kill the process, if it still runs, and free what belongs to it."""
        self._signal()
        self._wait()
        for descriptor in (self._requests, self._replies):
            try:
                os.close(descriptor)
            except OSError:
                continue
        self._reader.join(timeout=2)

    def _send(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(self._requests, view) :]

    def _await(self, function: Function, request_id: str, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _out_of_time(function, request_id)
            ready, _, _ = select.select([self._replies], [], [], min(left, MEMORY_LOOK_S))
            if ready:
                piece = os.read(self._replies, 1 << 20)
                if not piece:
                    raise self._exited(function, request_id)
                self._buffer += piece
            elif self._resident_mb() > function.memory_mb:
                raise _Dead(
                    "Runtime.ExitError",
                    f"RequestId: {request_id} Error: Runtime exited with error: signal: killed",
                )
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _resident_mb(self) -> float:
        try:
            return float(psutil.Process(self._id).memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    def _exited(self, function: Function, request_id: str) -> _Dead:
        code = self._wait()
        if self._timed_out:
            return _out_of_time(function, request_id)
        how = f"signal: {-code}" if code < 0 else f"exit status {code}"
        return _Dead("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: {how}")

    def _signal(self) -> None:
        # Under the lock: an id that was waited for may be another process's by now.
        with self._ended:
            if self._exit_code is None:
                os.kill(self._id, signal.SIGKILL)

    def _wait(self) -> int:
        with self._ended:
            if self._exit_code is None:
                self._exit_code = self._runner.wait(self._id)
            return self._exit_code

    def _drain(self, output: int) -> None:
        with open(output, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._write(line.rstrip("\n"))

    def _write(self, line: str) -> None:
        self._emit(self._group, self._stream, int(time.time() * 1000), line)


def _out_of_time(function: Function, request_id: str) -> _Dead:
    text = f"RequestId: {request_id} Error: Task timed out after {function.timeout_s:.2f} seconds"
    return _Dead("Sandbox.Timedout", text)


def _fit_libraries(root: Path) -> None:
    """Put this machine's libraries in the place of those that are compiled for another Python: Lambda's."""
    here: dict[str, bytes] = {}
    for name in bundles.LIBRARIES:
        compiled = list((root / name).rglob("*.so"))
        if all(path.name.endswith(sysconfig.get_config_var("EXT_SUFFIX")) for path in compiled):
            continue
        shutil.rmtree(root / name)
        here = here or bundles.libraries_here()
        for file, content in here.items():
            if file.startswith(f"{name}/"):
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                (root / file).write_bytes(content)


def _compile(root: Path) -> None:
    """Put bytecode beside the sources: what most functions share would else be compiled by each of them."""
    for path in root.rglob("*.py"):
        bytecode = _bytecode(path.read_bytes())
        if bytecode is not None:
            compiled = Path(importlib.util.cache_from_source(str(path)))
            compiled.parent.mkdir(exist_ok=True)
            compiled.write_bytes(bytecode)


@functools.cache
def _bytecode(source: bytes) -> bytes | None:
    """Return the bytecode of a module, which Python takes without a look at the source; None where it is no Python."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "module.py")
        path.write_bytes(source)
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        made = py_compile.compile(str(path), quiet=2, invalidation_mode=mode)
        return Path(made).read_bytes() if made else None


def _link_runtime(folder: Path) -> None:
    """Fill a folder with links to boto3 and what it needs: all that Lambda's Python runtime brings along."""
    folder.mkdir(parents=True)
    wanted, seen = ["boto3"], set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        wanted.extend(
            re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            for requirement in distribution.requires or []
            if "extra ==" not in requirement
        )
        tops = {Path(str(file)).parts[0] for file in distribution.files or []}
        for top in tops:
            target = Path(str(distribution.locate_file(top)))
            if (
                top not in ("..", "bin")
                and not top.endswith(".pth")
                and target.exists()
                and not (folder / top).exists()
            ):
                (folder / top).symlink_to(target)
