"""The servers of the inference benchmarks: how each is started, asked and watched, and ended again.

Owns three of them: the four functions behind inference/server.py, the adapter with llama-server behind it, and
llama-server alone. All of them take OpenAI's completions and tell llama.cpp's own `timings`. Refuses to compare.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from local_cloud.hosting.containers.free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOP: Final = Path(__file__).resolve().parents[1]
INFERENCE: Final = TOP / "inference"
LLAMA_SERVER: Final = TOP / ".build" / "llama-server" / "llama-server"
PATIENCE_S: Final = 600


@dataclass
class Usage:
    """What a server and its children hold at a moment."""

    resident: int
    """Bytes: proportional, where the kernel tells that; pages of files among them."""
    files: int
    threads: int
    own: dict[str, int]
    """Bytes that each process shares with nobody, by its name: who else runs the same program does not matter."""


@dataclass
class Side:
    """A server that answers, and how to ask it."""

    name: str
    process: psutil.Process
    port: int
    path: str
    _local: threading.local = field(default_factory=threading.local)

    def tree(self) -> list[psutil.Process]:
        """Return the process and all that it started."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the CPU seconds that the processes have used."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self.tree()))

    def usage(self) -> Usage:
        """Return what the processes hold."""
        tree = self.tree()
        held = [(one.name(), one.memory_full_info()) for one in tree]
        return Usage(
            sum(memory.pss for _, memory in held),
            sum(one.num_fds() for one in tree),
            sum(one.num_threads() for one in tree),
            {name: memory.uss for name, memory in held},
        )

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        found: http.client.HTTPConnection = self._local.connection
        return found

    def sends(self, body: dict[str, Any] | bytes, path: str | None = None) -> tuple[int, bytes]:
        """Return the status and the body of the answer to a request."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = self._connection()
        try:
            return self._sent(connection, path, sent)
        except (OSError, http.client.HTTPException):
            # A server ends a connection that is silent for a while.
            connection.close()
            return self._sent(connection, path, sent)

    def _sent(
        self, connection: http.client.HTTPConnection, path: str | None, sent: bytes
    ) -> tuple[int, bytes]:
        connection.request("POST", path or self.path, sent, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()

    def ask(self, prompt: str, tokens: int, **more: Any) -> dict[str, Any]:
        """Return the answer of so many tokens to a prompt.

        Raises:
            RuntimeError: when the server refuses.
        """
        status, answer = self.sends(_body(prompt, tokens, **more))
        if status != 200:
            raise RuntimeError(f"{self.name}: {status}: {answer[:500]!r}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def first_token_s(self, prompt: str) -> float:
        """Return the seconds until the first event of a stream has come that has text in it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        begun = time.perf_counter()
        body = json.dumps(_body(prompt, 4, stream=True))
        connection.request("POST", self.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        while line := response.readline():
            if line.startswith(b"data:") and b'"text"' in line:
                took = time.perf_counter() - begun
                response.read()
                connection.close()
                return took
        raise RuntimeError(f"{self.name}: no event with text: {response.status}")


def _body(prompt: str, tokens: int, **more: Any) -> dict[str, Any]:
    # A random model ends where it likes, and a greedy one says the same on every side.
    return {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, **more}


@contextlib.contextmanager
def _started(
    name: str, command: Sequence[str], environment: dict[str, str], port: int, *, ready: str, path: str
) -> Iterator[Side]:
    """Start a server in a session of its own, wait until it answers, and end all of it again."""
    with tempfile.TemporaryDirectory(prefix="sealift-bench-") as place, Path(place, "log").open("wb+") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            side = Side(name, psutil.Process(process.pid), port, path)
            deadline = time.monotonic() + PATIENCE_S
            while _status(port, ready) != 200:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    said = log.read()[-2000:].decode(errors="replace")
                    raise RuntimeError(f"{name} does not get ready (status {process.poll()}):\n{said}")
                time.sleep(0.05)
            yield side
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(40)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _environment(folder: Path, port: int, settings: dict[str, int]) -> dict[str, str]:
    return {
        "SM_MODEL_DIR": str(folder),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SEALIFT_BIND_HOST": "127.0.0.1",
        "SEALIFT_TIMEOUT_S": str(PATIENCE_S),
        "SEALIFT_MAX_WAITING": "64",
        **{f"SEALIFT_{name.upper()}": str(value) for name, value in settings.items()},
    }


@contextlib.contextmanager
def functions(folder: Path, **settings: int) -> Iterator[Side]:
    """Serve a folder with the four functions, behind inference/server.py."""
    port = free_port()
    command = [sys.executable, str(INFERENCE / "server.py"), "serve"]
    environment = _environment(folder, port, settings)
    with _started(
        "four functions", command, environment, port, ready="/ping", path="/v1/completions"
    ) as side:
        yield side


@contextlib.contextmanager
def adapter(folder: Path, **settings: int) -> Iterator[Side]:
    """Serve a folder as the container `custom` does: the adapter, and llama-server behind it."""
    port = free_port()
    command = [sys.executable, str(INFERENCE / "adapter"), "serve"]
    environment = _environment(folder, port, settings) | {"SEALIFT_LLAMA_SERVER": str(LLAMA_SERVER)}
    with _started("custom", command, environment, port, ready="/ping", path="/v1/completions") as side:
        yield side


@contextlib.contextmanager
def llama_server(name: str, arguments: Sequence[str]) -> Iterator[Side]:
    """Serve a model with llama-server alone, by its own arguments but for where it listens."""
    port = free_port()
    command = [str(LLAMA_SERVER), *arguments, "--host", "127.0.0.1", "--port", str(port)]
    with _started(name, command, {}, port, ready="/health", path="/v1/completions") as side:
        yield side


def arguments_of(side: Side) -> list[str]:
    """Return the arguments with which a side started its llama-server, but for where that listens.

    Raises:
        RuntimeError: when it has none.
    """
    for process in side.tree():
        command = process.cmdline()
        if command and "llama-server" in Path(command[0]).name:
            return list(without_place(command[1:]))
    raise RuntimeError(f"{side.name} has started no llama-server")


def without_place(arguments: Sequence[str]) -> Iterator[str]:
    """Yield llama-server's arguments without those of where it listens, and of a key that it asks for."""
    rest = iter(arguments)
    for one in rest:
        if one in ("--host", "--port", "--api-key", "--api-key-file"):
            next(rest, None)
        else:
            yield one


def one_slot(arguments: Sequence[str], slots: int, n_ctx: int) -> list[str]:
    """Return arguments for the same with one slot of the same context, in the place of several."""
    replaced = {"--parallel": "1", "-np": "1", "--ctx-size": str(n_ctx), "-c": str(n_ctx)}
    found = list(arguments)
    for at, one in enumerate(arguments[:-1]):
        if one in replaced:
            found[at + 1] = replaced[one]
    if found == list(arguments) and slots > 1:
        raise RuntimeError(f"no number of slots in {' '.join(arguments)}")
    return found


@contextlib.contextmanager
def library_server(python: Path, model: Path) -> Iterator[Side]:
    """Serve a model with llama-cpp-python's own OpenAI server."""
    port = free_port()
    command = [str(python), "-m", "llama_cpp.server", "--model", str(model), "--port", str(port)]
    command += ["--n_ctx", "2048", "--n_threads", "1", "--n_threads_batch", "1", "--verbose", "False"]
    with _started("llama_cpp.server", command, {}, port, ready="/v1/models", path="/v1/completions") as side:
        yield side
