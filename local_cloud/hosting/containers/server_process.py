"""One container, emulated by one server process under a memory limit.

Owns the folder, the process, its environment, its log lines, its memory watch, and HTTP to it. Refuses to
decide: when to start, to give up, or what a failure means to a caller is in `lifecycle` and `workers`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from local_cloud.hosting.containers import output
from local_cloud.hosting.containers.container import LaunchFailedError
from local_cloud.hosting.containers.exchange import HttpExchange
from local_cloud.hosting.containers.free_ports import free_port
from local_cloud.hosting.containers.image_layers import (
    BadLayerError,
    LayersCancelledError,
    apply_image,
)
from local_cloud.hosting.containers.image_models import model_folder
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.lifecycle import ContainerCondition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local_cloud.hosting.containers.container import Container, ContainerAnswer, ContainerCall
    from local_cloud.hosting.containers.image_layers import ImageFiles
    from local_cloud.hosting.containers.model_files import ModelFiles
    from local_cloud.hosting.containers.places import Place
    from local_cloud.hosting.platform.resources import Deployment
    from local_cloud.hosting.platform.settings import HostingSettings

NOT_ISOLATED = (
    "network isolation was asked for, and this container is a process of this machine, whose network it has: only a "
    "true container has none"
)
_KEEPER = Path(__file__).with_name("keeper.py")
_JOIN_S = 5.0
"""Longest wait for a thread whose process is gone; only a log that hangs takes longer."""


class ProcessLauncher:
    """Brings the model and starts a server: the part of a cold start before the first health check."""

    def __init__(self, *, models: ModelFiles, settings: HostingSettings) -> None:
        self._models = models
        self._settings = settings

    def launch(
        self,
        deployment: Deployment,
        place: Place,
        *,
        image: ImageFiles | None,
        cancelled: Callable[[], bool],
    ) -> Container:
        """Return the running container.

        Args:
            deployment: what is to run.
            place: its folder and its log.
            image: what its image's files are; of them only a model is used. None where nobody has them.
            cancelled: ends it.

        Raises:
            LaunchFailedError: with the FailureReason.
        """
        if deployment.isolated:
            place.log(NOT_ISOLATED)
        model_dir = place.folder / "model"
        model_dir.mkdir()
        self._models.bring(deployment, place.folder, model_dir, cancelled)
        if image is not None and (inside := model_folder(image.config)) is not None:
            model_dir = _take_model(image, inside, place.folder / "image", cancelled)
        port = free_port()
        process = self._start(deployment, place.folder, model_dir, port, cancelled)
        return ProcessContainer(
            process,
            port=port,
            place=place,
            memory_bytes=self._settings.memory_bytes(deployment),
            payload_bytes=self._settings.payload_bytes_of(deployment),
            settings=self._settings,
        )

    def _start(
        self,
        deployment: Deployment,
        folder: Path,
        model_dir: Path,
        port: int,
        cancelled: Callable[[], bool],
    ) -> subprocess.Popen[bytes]:
        if cancelled():
            raise LaunchFailedError(texts.INTERNAL)
        return subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                str(_KEEPER),
                str(folder),
                *self._settings.command_for(
                    deployment.image, getattr(deployment.capacity, "type", None), deployment.gpu_gib
                ),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=container_environment(deployment.environment, model_dir=model_dir, port=port),
            start_new_session=True,
        )


class ProcessContainer:
    """A server process behind its keeper, with a thread for its log and one for its memory."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        port: int,
        place: Place,
        memory_bytes: int,
        payload_bytes: int,
        settings: HostingSettings,
    ) -> None:
        self._process = process
        self._exchange = HttpExchange(
            lambda timeout_s: socket.create_connection(("127.0.0.1", port), timeout_s),
            payload_bytes=payload_bytes,
        )
        self._folder = place.folder
        self._memory_bytes = memory_bytes
        self._settings = settings
        self._ended = threading.Event()
        self._over_memory = threading.Event()
        self._clearing = threading.Lock()
        self._killing = threading.Lock()
        self._group_killed = False
        watch = threading.Thread(target=self._watch, name=f"memory of {place.short}", daemon=True)
        watch.start()
        self._threads = (output.pump(process.stdout, place.log, name=place.short), watch)

    def ping(self) -> bool:
        """Return whether /ping answered 200 in time."""
        return self._exchange.ping(self._settings.ping_timeout_s)

    def condition(self) -> ContainerCondition:
        """Return how the process is."""
        if self._over_memory.is_set():
            return ContainerCondition.OUT_OF_MEMORY
        return ContainerCondition.RUNNING if self._process.poll() is None else ContainerCondition.EXITED

    def call(self, call: ContainerCall, timeout_s: float) -> ContainerAnswer:
        """Return the answer; raise CallTimedOutError, CallBrokenError or AnswerTooLargeError."""
        return self._exchange.invoke_of(self._process, call, timeout_s)

    def stop(self) -> None:
        """Ask the process to end, insist after the grace period, and clear up."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._settings.stop_grace_s)
        self.kill()

    def kill(self) -> None:
        """End the process at once, and clear up."""
        with self._clearing:
            if self._ended.is_set():
                return
            self._ended.set()
            self._kill_group()
            self._process.wait()
            for thread in self._threads:
                thread.join(_JOIN_S)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def pids(self) -> list[int]:
        """Return the process ids of the server, without what this package runs around it."""
        return [process.pid for process in self._tree()]

    def _tree(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _kill_group(self) -> None:
        with self._killing:
            # Once, and soon after the keeper's end: later its id may be somebody else's.
            if self._group_killed:
                return
            self._group_killed = True
            stragglers = self._tree()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            for process in stragglers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def _watch(self) -> None:
        while not self._ended.wait(self._settings.memory_interval_s) and self._process.poll() is None:
            if _resident_bytes(self._tree()) > self._memory_bytes:
                self._over_memory.set()
                break
        # Also when the keeper has ended: if somebody killed it, the server is still there.
        self._kill_group()


def _take_model(image: ImageFiles, inside: str, root: Path, cancelled: Callable[[], bool]) -> Path:
    """Take the model out of an image; return the folder that it lies in then."""
    root.mkdir()
    try:
        apply_image(image, root, below=inside, cancelled=cancelled)
    except LayersCancelledError as error:
        raise LaunchFailedError(texts.INTERNAL) from error
    except BadLayerError as error:
        raise LaunchFailedError(texts.unusable_image(str(error))) from error
    return root / inside


def container_environment(given: Mapping[str, str], *, model_dir: Path, port: int) -> dict[str, str]:
    """Return a container's whole environment: an image's basics, the model's, what the platform sets."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/tmp",  # noqa: S108 the only folder that a serverless container may write to
        "TMPDIR": str(model_dir.parent),  # goes with the container
        "PYTHONUNBUFFERED": "TRUE",
        "PYTHONDONTWRITEBYTECODE": "1",
        **given,
        "PYTHONPATH": str(model_dir / "code"),
        "SM_MODEL_DIR": str(model_dir),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SEALIFT_BIND_HOST": "127.0.0.1",
    }


def _resident_bytes(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total
