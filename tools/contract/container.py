"""Start the prebuilt image's serving stack on 127.0.0.1, ask it, look at its processes, and leave none behind.

Owns what stands for the container: the folder that stands for /opt/ml, the environment, the session of processes, the
log. What runs in it is not ours: AWS's toolkit and TorchServe, as `make contract` installed them. Refuses to start
without them, and to wait without a bound. TorchServe 0.7.1 binds its gRPC ports to every address, whatever it is told.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import psutil

from local_cloud.hosting.containers.free_ports import free_port
from tools.contract import java

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

HERE: Final = Path(__file__).resolve().parent
ENVIRONMENT: Final = HERE.parents[1] / ".cache" / "contract"
"""Where `make contract` installs the stack."""

PATIENCE_S: Final = 60.0
"""For anything that must happen. TorchServe starts in 3 to 6 s; a shared machine may take several times as long."""

GRACE_S: Final = 30.0
"""SageMaker sends SIGKILL so long after SIGTERM."""


class ContractError(Exception):
    """The stack cannot be started, or did not do in time what was waited for; the message says what it logged."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What was installed."""

    python: Path
    java_home: Path
    torch: Path
    """The folder that `import torch` finds the package in."""

    @property
    def torch_is_real(self) -> bool:
        """Whether it is PyTorch, not what stands for it."""
        return self.torch != HERE / "stubs"

    @classmethod
    def installed(cls, environ: Mapping[str, str], environment: Path = ENVIRONMENT) -> Stack:
        """Return it.

        Args:
            environ: CONTRACT_TORCH is a folder with a true `torch` for the stack's Python; JAVA_HOME and PATH are where
                Java is looked for.
            environment: the virtual environment.

        Raises:
            ContractError: when something is missing.
        """
        python = environment / "bin" / "python"
        if not python.exists():
            raise ContractError(
                f"no serving stack in {str(environment)!r}; run `make contract`, which installs it"
            )
        home = java.find(environment, environ)
        if home is None:
            raise ContractError(
                f"no Java {java.OLDEST} or newer in JAVA_HOME, on PATH or in {str(environment)!r}; install one "
                f"(the image has 17), or delete that folder and run `make contract`, which brings one"
            )
        torch = Path(environ.get("CONTRACT_TORCH") or HERE / "stubs")
        if not (torch / "torch" / "__init__.py").exists():
            raise ContractError(
                f"CONTRACT_TORCH is {str(torch)!r}, which has no torch/__init__.py; name such a folder"
            )
        return cls(python, home, torch)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP."""

    status: int
    content_type: str | None
    body: bytes

    def json(self) -> Any:
        """Return the body parsed."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Resident:
    """The memory of one process, in bytes."""

    kind: str
    """`entry point`, `java`, `worker`, or the command line of anything else."""
    resident: int
    proportional: int
    """With each shared page divided among those that share it: these add up."""


@dataclass
class Container:
    """The serving stack, running; a context manager that ends all its processes.

    Args:
        stack: what was installed.
        base: the folder that stands for /opt/ml: `model/` in it is the extracted archive.
        scratch: an existing empty folder for everything that the stack writes; its path must be short, since Unix
            sockets lie in it.
        environment: of the container, as CreateModel gives it.
    """

    stack: Stack
    base: Path
    scratch: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] = field(init=False)
    port: int = field(init=False)

    def __enter__(self) -> Self:
        self.port, metrics, grpc, grpc_management = (free_port() for _ in range(4))
        temporary, cwd = self.scratch / "tmp", self.scratch / "cwd"
        temporary.mkdir()
        cwd.mkdir()
        address = f"http://127.0.0.1:{self.port}"
        environ = {
            "PATH": f"{self.stack.python.parent}:/usr/bin:/bin",
            "JAVA_HOME": str(self.stack.java_home),
            "HOME": str(cwd),
            # As the image's Dockerfile has them.
            "LANG": "C.UTF-8",
            "TEMP": str(temporary),
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(self.stack.torch),
            # As SageMaker has them, but for the place and the ports.
            "SAGEMAKER_BASE_DIR": str(self.base),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "TS_INFERENCE_ADDRESS": address,
            "TS_MANAGEMENT_ADDRESS": address,
            "TS_METRICS_ADDRESS": f"http://127.0.0.1:{metrics}",
            "TS_GRPC_INFERENCE_PORT": str(grpc),
            "TS_GRPC_MANAGEMENT_PORT": str(grpc_management),
            **self.environment,
        }
        with (self.scratch / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [self.stack.python, HERE / "entrypoint.py", self.scratch],
                env=environ,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # -- asking

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = PATIENCE_S,
    ) -> Reply:
        """Return the answer to one request on a connection of its own.

        Raises:
            OSError: when there is no connection, or no answer in time.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.getheader("Content-Type"), response.read())

    def ping(self) -> Reply:
        """Return the answer to a health check."""
        return self.ask("GET", "/ping", timeout_s=10)

    def invoke(self, **request: Any) -> Reply:
        """Return the answer to an invocation with a JSON body."""
        return self.ask("POST", "/invocations", json.dumps(request), {"Content-Type": "application/json"})

    def until_up(self) -> Reply:
        """Return the first answer to a health check."""

        def first() -> Reply | None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.ping()
            return None

        return self.until(first, "an answer from /ping")

    def until(self, probe: Callable[[], T | None], what: str, *, within_s: float = PATIENCE_S) -> T:
        """Return the first result of `probe` that is true.

        Raises:
            ContractError: when there is none in time, or the entry point ends.
        """
        deadline = time.monotonic() + within_s
        while not (found := probe()):
            if self.process.poll() is not None:
                raise ContractError(
                    f"the entry point ended with {self.process.returncode}:\n{self.log()[-4000:]}"
                )
            if time.monotonic() > deadline:
                raise ContractError(f"no {what} within {within_s:g} s:\n{self.log()[-4000:]}")
            time.sleep(0.05)
        return found

    # -- looking

    def log(self) -> str:
        """Return what the stack has logged so far: what CloudWatch would have."""
        return (self.scratch / "log").read_text(encoding="utf-8", errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Return every process that runs in the container."""
        own = self.process.pid
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if os.getsid(process.pid) == own and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kinds(self) -> list[str]:
        """Return what kind each process is of."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                found.append(self._kind(process))
        return sorted(found)

    def memory(self) -> list[Resident]:
        """Return the memory of every process."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                full = process.memory_full_info()
                found.append(Resident(self._kind(process), full.rss, full.pss))
        return sorted(found, key=lambda one: one.kind)

    def _kind(self, process: psutil.Process) -> str:
        command = process.cmdline()
        if process.pid == self.process.pid:
            return "entry point"
        if "org.pytorch.serve.ModelServer" in command:
            return "java"
        if any(part.endswith("model_service_worker.py") for part in command):
            return "worker"
        return " ".join(command)

    # -- ending

    def terminate(self) -> None:
        """Ask the entry point to end, as SageMaker does, and wait for as long as SageMaker would.

        Raises:
            ContractError: when a process is left then.
        """
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while self.process.poll() is None or self.processes():
            if time.monotonic() > deadline:
                raise ContractError(f"{self.kinds()} left {GRACE_S:g} s after SIGTERM:\n{self.log()[-4000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End every process at once, and wait until none is left."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait(PATIENCE_S)
        # What was started in between.
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
