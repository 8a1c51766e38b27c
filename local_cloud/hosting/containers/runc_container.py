"""One endpoint's container as a true one, of its true image, run by an OCI runtime.

Owns the bundle's folder, the keeper that stands between the runtime and this process, how the server is reached, and
what is left over by a local cloud that was killed with all its keepers. Refuses to decide what a container may: that is
`oci_bundle`; whether one is run at all: that is `launches`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import psutil

from local_cloud.hosting.containers import namespace_sockets, output
from local_cloud.hosting.containers.container import LaunchFailedError
from local_cloud.hosting.containers.exchange import HttpExchange
from local_cloud.hosting.containers.image_layers import BadLayerError, LayersCancelledError
from local_cloud.hosting.containers.oci_bundle import PORT, Allotment, UnusableImageError, bundle_config
from local_cloud.hosting.containers.oci_runtime import cgroup_of, write_files
from local_cloud.hosting.containers.root_filesystems import RootFilesystems, accounts_of
from local_cloud.hosting.containers.runc_keeper import OUT_OF_MEMORY
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.lifecycle import ContainerCondition
from local_cloud.hosting.platform.resources import Capacity

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from local_cloud.hosting.containers.container import Container, ContainerAnswer, ContainerCall
    from local_cloud.hosting.containers.image_layers import ImageFiles
    from local_cloud.hosting.containers.model_files import ModelFiles
    from local_cloud.hosting.containers.oci_runtime import OciRuntime
    from local_cloud.hosting.containers.places import Place
    from local_cloud.hosting.platform.resources import Deployment
    from local_cloud.hosting.platform.settings import HostingSettings

STATE: Final = "state"
ROOTS: Final = "roots"
OWNER: Final = "owner"
SHARED: Final = (STATE, ROOTS, OWNER)
"""What lies beside the folders of containers: the runtime's notes, the images, and who owns all of it."""

_KEEPER = Path(__file__).with_name("runc_keeper.py")
_JOIN_S = 5.0
_KILL = b"k"
"""To a keeper: kill the container. The end of its input says the same, and that nobody is left to clear up."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a keeper is told."""

    run: list[str]
    """Starts the container, and returns."""
    delete: list[str]
    """Makes the runtime forget it, whatever became of it."""
    pid_file: str
    """Where the first command writes the container's process id."""
    counter: str
    """The file with the kernel's count `oom_kill`."""
    interval_ms: int
    """Between two looks at it."""
    folder: str
    """The container's; goes when nobody else is left to remove it."""
    shared: tuple[str, ...]
    """What may stay beside it until the last container has gone."""
    ready: int
    """The file descriptor that tells when it runs."""


class RuncLauncher:
    """Brings image and model, and starts a container: the part of a cold start before the first health check."""

    def __init__(
        self,
        *,
        runtime: OciRuntime,
        models: ModelFiles,
        settings: HostingSettings,
        root: Path,
        roots: Path | None,
    ) -> None:
        """Take over a folder.

        Args:
            runtime: what runs containers here.
            models: brings models.
            settings: limits and pace.
            root: the folder that containers' folders are made in.
            roots: where extracted images are kept; below `root` when None.
        """
        self._runtime = runtime
        self._models = models
        self._settings = settings
        self._state = root / STATE
        self._roots = RootFilesystems(roots or root / ROOTS)
        self._lock = own(root)

    def launch(
        self, deployment: Deployment, place: Place, *, image: ImageFiles, cancelled: Callable[[], bool]
    ) -> Container:
        """Return the running container; raise LaunchFailedError."""
        bundle = place.folder
        try:
            root = self._roots.get(image, cancelled=cancelled)
        except LayersCancelledError as error:
            raise LaunchFailedError(texts.INTERNAL) from error
        except BadLayerError as error:
            raise LaunchFailedError(texts.unusable_image(str(error))) from error
        model = bundle / "model"
        model.mkdir()
        brought = self._models.bring(deployment, bundle, model, cancelled)
        write_files(bundle)
        serverless = isinstance(deployment.capacity, Capacity)
        try:
            document = bundle_config(
                image.config,
                deployment.environment,
                accounts=accounts_of(root),
                placement=self._runtime.placement(
                    root=root, folder=bundle, model=model if brought else None, identity=place.identity
                ),
                allotment=Allotment(self._settings.memory_bytes(deployment), serverless=serverless),
            )
        except UnusableImageError as error:
            raise LaunchFailedError(texts.unusable_image(str(error))) from error
        (bundle / "config.json").write_text(json.dumps(document))
        if cancelled():
            raise LaunchFailedError(texts.INTERNAL)
        process, namespace = self._start(place)
        return RuncContainer(
            process,
            namespace=namespace,
            place=place,
            delete=self._runtime.delete(self._state, place.identity),
            payload_bytes=self._settings.payload_bytes_of(deployment),
            settings=self._settings,
        )

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.close()

    def _start(self, place: Place) -> tuple[subprocess.Popen[bytes], int | None]:
        """Return the keeper and the container's network; None for a container that has ended by then."""
        hears, ready = os.pipe()
        folder = place.folder
        pid_file = folder / "pid"
        orders = Orders(
            run=self._runtime.run(self._state, folder, place.identity, pid_file),
            delete=self._runtime.delete(self._state, place.identity),
            pid_file=str(pid_file),
            counter=str(self._runtime.hierarchy.counter(cgroup_of(place.identity))),
            interval_ms=max(int(self._settings.memory_interval_s * 1000), 1),
            folder=str(folder),
            shared=SHARED,
            ready=ready,
        )
        path = folder / "orders.json"
        path.write_text(json.dumps(asdict(orders)))
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER), str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.defpath},
                start_new_session=True,
                pass_fds=(ready,),
            )
        finally:
            os.close(ready)
        with os.fdopen(hears, "rb") as stream:
            told = stream.read().strip()
        return process, _network(int(told)) if told else None


class RuncContainer:
    """A container behind its keeper, with a thread for its log and one for its end."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        namespace: int | None,
        place: Place,
        delete: list[str],
        payload_bytes: int,
        settings: HostingSettings,
    ) -> None:
        self._process = process
        self._namespace = namespace
        self._delete = delete
        self._folder = place.folder
        self._settings = settings
        self._exchange = HttpExchange(self._connect, payload_bytes=payload_bytes)
        self._entering = threading.Lock()
        self._clearing = threading.Lock()
        self._cleared = False
        end = threading.Thread(target=self._forget, name=f"end of {place.short}", daemon=True)
        end.start()
        self._threads = (end, output.pump(process.stdout, place.log, name=place.short))

    def ping(self) -> bool:
        """Return whether /ping answered 200 in time."""
        return self._exchange.ping(self._settings.ping_timeout_s)

    def condition(self) -> ContainerCondition:
        """Return how the container is."""
        status = self._process.poll()
        if status is None:
            return ContainerCondition.RUNNING
        return ContainerCondition.OUT_OF_MEMORY if status == OUT_OF_MEMORY else ContainerCondition.EXITED

    def call(self, call: ContainerCall, timeout_s: float) -> ContainerAnswer:
        """Return the answer; raise CallTimedOutError, CallBrokenError or AnswerTooLargeError."""
        return self._exchange.invoke_of(self._process, call, timeout_s)

    def stop(self) -> None:
        """Ask the server to end, insist after the grace period, and clear up."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._settings.stop_grace_s)
        self.kill()

    def kill(self) -> None:
        """End the container at once, and clear up."""
        with self._clearing:
            if self._cleared:
                return
            self._cleared = True
            self._tell(_KILL)
            try:
                self._process.wait(_JOIN_S)
            except subprocess.TimeoutExpired:
                # The runtime hangs; without its keeper the container is ended by `_forget`.
                self._process.kill()
            for thread in self._threads:
                thread.join(_JOIN_S)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    # What a keeper that has ended was not told is still to be written, and cannot be.
                    with contextlib.suppress(OSError):
                        pipe.close()
            with self._entering:
                if self._namespace is not None:
                    os.close(self._namespace)
                    self._namespace = None
            shutil.rmtree(self._folder, ignore_errors=True)

    def pids(self) -> list[int]:
        """Return the process ids of the server, without what this package runs around it."""
        try:
            return [one.pid for one in psutil.Process(self._process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _connect(self, timeout_s: float) -> socket.socket:
        with self._entering:
            if self._namespace is None:
                raise ConnectionRefusedError("the container has ended")
            # Its own: the number of one that is closed meanwhile may be another's.
            namespace = os.dup(self._namespace)
        try:
            return namespace_sockets.connect(namespace, ("127.0.0.1", PORT), timeout_s)
        finally:
            os.close(namespace)

    def _tell(self, word: bytes) -> None:
        if self._process.stdin is not None:
            # Not by its buffer, which a keeper that has ended would leave full.
            with contextlib.suppress(OSError):
                os.write(self._process.stdin.fileno(), word)

    def _forget(self) -> None:
        # Also when the keeper was killed: then the container is still there, and this ends it.
        self._process.wait()
        subprocess.run(self._delete, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def own(root: Path) -> IO[bytes]:
    """Say that this process owns a folder, until it ends or closes what is returned."""
    # Locked before it has its name: whoever sweeps takes one that is not locked for a dead owner's.
    nameless = root / f".{OWNER}"
    lock = nameless.open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    nameless.rename(root / OWNER)
    return lock


def sweep(workspace: Path, pattern: str, runtime: OciRuntime) -> int:
    """End and remove what dead local clouds left in a folder; return how many of them there were.

    Args:
        workspace: where each local cloud has its folder.
        pattern: of the folders' names; those that nobody ever owned are left alone.
        runtime: what ran their containers.
    """
    return sum(_sweep_one(owner, runtime) for owner in workspace.glob(f"{pattern}/{OWNER}"))


def _sweep_one(owner: Path, runtime: OciRuntime) -> bool:
    try:
        with owner.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            state = owner.parent / STATE
            for one in state.iterdir() if state.is_dir() else ():
                subprocess.run(
                    runtime.delete(state, one.name),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                )
            shutil.rmtree(owner.parent, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _network(pid: int) -> int | None:
    """Return an open file of a process's network; None when it has ended."""
    try:
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
