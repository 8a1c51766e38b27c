"""One container, emulated by one server process under a memory limit.

Owns the folder, the process, its environment, its log lines, its memory watch, and HTTP to it. Refuses to
decide: when to start, to give up, or what a failure means to a caller is in `lifecycle` and `workers`.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import psutil

from local_cloud.hosting.containers.unpacking import (
    ArchiveTooLargeError,
    UnpackingCancelledError,
    UnreadableArchiveError,
    unpack,
)
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.lifecycle import ContainerCondition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_cloud.hosting.platform.resources import Deployment
    from local_cloud.hosting.platform.settings import HostingSettings

_LOGGER = logging.getLogger(__name__)
_KEEPER = Path(__file__).with_name("keeper.py")
_LONGEST_LINE = 256 * 1024
"""Bytes of one log event; longer lines are cut into several (CloudWatch Logs' long-standing limit)."""
_JOIN_S = 5.0
"""Longest wait for a thread whose process is gone; only a log that hangs takes longer."""
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


Fetch = Callable[[str, str, str, Path], None]
"""Downloads, as a role (its ARN), an object (bucket, key) to a path; raises ObjectMissing when there is none."""
Log = Callable[[str, str, str, int, str], None]
"""Takes one log line: the role that writes it (its ARN), group, stream, milliseconds since 1970, text."""


class Objects(Protocol):
    """What is to be known of objects without downloading them, as a role (its ARN)."""

    def etag(self, role_arn: str, bucket: str, key: str) -> str | None:
        """Return an object's ETag without quotes; None when there is no such object."""

    def keys(self, role_arn: str, bucket: str, prefix: str) -> list[str]:
        """Return the keys of all objects below a prefix."""


class NoObjects:
    """Knows of no object: for a hosting that is given no models but archives."""

    def etag(self, role_arn: str, bucket: str, key: str) -> str | None:
        """Return None."""
        del role_arn, bucket, key
        return None

    def keys(self, role_arn: str, bucket: str, prefix: str) -> list[str]:
        """Return nothing."""
        del role_arn, bucket, prefix
        return []


class ObjectMissing(KeyError):
    """There is no such object: what `Fetch` raises."""


@dataclass(frozen=True, slots=True)
class ContainerCall:
    """One invocation, as far as the container sees it: other headers are stripped on the platform."""

    body: bytes
    content_type: str | None = None
    accept: str | None = None
    custom_attributes: str | None = None


@dataclass(frozen=True, slots=True)
class ContainerAnswer:
    """What the container answered."""

    status: int
    body: bytes
    content_type: str | None = None
    custom_attributes: str | None = None


class CallTimedOutError(Exception):
    """The container took longer than the limit."""


class CallBrokenError(Exception):
    """The connection was refused or cut, or what came back was not HTTP."""


class AnswerTooLargeError(Exception):
    """The container's answer is over the limit."""


class LaunchFailedError(Exception):
    """There will be no container; the message is the FailureReason."""


class Container(Protocol):
    """What the state machines need of a container; tests bring their own."""

    def ping(self) -> bool:
        """Return whether /ping answered 200 in time."""

    def condition(self) -> ContainerCondition:
        """Return how the process is."""

    def call(self, call: ContainerCall, timeout_s: float) -> ContainerAnswer:
        """Return the answer; raise CallTimedOutError, CallBrokenError or AnswerTooLargeError."""

    def stop(self) -> None:
        """Ask the process to end, insist after the grace period, and clear up."""

    def kill(self) -> None:
        """End the process at once, and clear up."""

    def pids(self) -> list[int]:
        """Return the process ids of the server, without what this package runs around it."""


class Launch(Protocol):
    """Starts a container, up to the moment its process runs."""

    def __call__(
        self, endpoint_name: str, deployment: Deployment, *, cancelled: Callable[[], bool]
    ) -> Container:
        """Return the running container; raise LaunchFailedError."""


class ProcessLauncher:
    """Downloads, extracts and starts: the part of a cold start before the first health check."""

    def __init__(
        self,
        *,
        fetch: Fetch,
        objects: Objects,
        log: Log,
        settings: HostingSettings,
        root: Path,
        log_group: Callable[[str], str],
        clock: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._objects = objects
        self._log = log
        self._settings = settings
        self._root = root
        self._log_group = log_group
        self._clock = clock

    def __call__(
        self, endpoint_name: str, deployment: Deployment, *, cancelled: Callable[[], bool]
    ) -> Container:
        """Return the running container; raise LaunchFailedError."""
        identity = f"{secrets.token_hex(16)}-{secrets.token_hex(16)}"
        folder = self._root / identity
        model_dir = folder / "model"
        # Not its parents: when the root is gone, hosting has been closed.
        folder.mkdir()
        try:
            model_dir.mkdir()
            if deployment.model_source is not None:
                self._bring_source(deployment, deployment.model_source, folder, model_dir, cancelled)
            elif deployment.model_data_url is not None:
                url = deployment.model_data_url
                self._bring_model(deployment, url, folder / "model.tar.gz", model_dir, cancelled)
            port = _free_port()
            process = self._start(deployment, folder, model_dir, port, cancelled)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ProcessContainer(
            process,
            port=port,
            folder=folder,
            memory_bytes=self._settings.memory_bytes(deployment),
            payload_bytes=self._settings.payload_bytes_of(deployment),
            settings=self._settings,
            log=self._logger(deployment, endpoint_name, identity),
        )

    def _bring_source(
        self,
        deployment: Deployment,
        source: Mapping[str, Any],
        folder: Path,
        model_dir: Path,
        cancelled: Callable[[], bool],
    ) -> None:
        """Bring what a ModelDataSource names: an archive, one file under its key's last part, or a whole prefix."""
        url = source["S3Uri"]
        bucket, key = split_url(url)
        etag = source.get("ETag")
        if etag and self._objects.etag(deployment.role_arn, bucket, key) != etag.strip('"'):
            raise LaunchFailedError(texts.model_data_changed(url, etag))
        if source["CompressionType"] == "Gzip":
            self._bring_model(deployment, url, folder / "model.tar.gz", model_dir, cancelled)
            return
        prefix = key if source["S3DataType"] == "S3Prefix" else key.rpartition("/")[0]
        single = source["S3DataType"] == "S3Object"
        keys = [key] if single else self._objects.keys(deployment.role_arn, bucket, key)
        if not keys:
            raise LaunchFailedError(texts.download_failed(url))
        for one in keys:
            if cancelled():
                raise LaunchFailedError(texts.INTERNAL)
            path = model_dir / one.removeprefix(prefix).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._download(deployment, f"s3://{bucket}/{one}", path)

    def _download(self, deployment: Deployment, url: str, path: Path) -> None:
        bucket, key = split_url(url)
        try:
            self._fetch(deployment.role_arn, bucket, key, path)
        except Exception as error:  # `fetch` is the caller's: whatever it raises, the download failed
            _LOGGER.info("download of %s failed", url, exc_info=error)
            raise LaunchFailedError(texts.download_failed(url)) from error

    def _bring_model(
        self, deployment: Deployment, url: str, archive: Path, model_dir: Path, cancelled: Callable[[], bool]
    ) -> None:
        self._download(deployment, url, archive)
        try:
            disk_bytes = self._settings.disk_bytes_of(deployment)
            unpack(archive, model_dir, disk_bytes=disk_bytes, cancelled=cancelled)
        except UnreadableArchiveError as error:
            _LOGGER.info("extraction of %s failed: %s", url, error)
            raise LaunchFailedError(texts.extraction_failed(url)) from error
        except ArchiveTooLargeError as error:
            raise LaunchFailedError(texts.extraction_too_large(url)) from error
        except UnpackingCancelledError as error:
            raise LaunchFailedError(texts.INTERNAL) from error
        archive.unlink()

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
                *self._settings.command_for(deployment.image),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=container_environment(deployment.environment, model_dir=model_dir, port=port),
            start_new_session=True,
        )

    def _logger(self, deployment: Deployment, endpoint_name: str, identity: str) -> Callable[[str], None]:
        group, stream = self._log_group(endpoint_name), f"{deployment.variant_name}/{identity}"

        def log(line: str) -> None:
            self._log(deployment.role_arn, group, stream, int(self._clock() * 1000), line)

        return log


class ProcessContainer:
    """A server process behind its keeper, with a thread for its log and one for its memory."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        port: int,
        folder: Path,
        memory_bytes: int,
        payload_bytes: int,
        settings: HostingSettings,
        log: Callable[[str], None],
    ) -> None:
        self._process = process
        self._port = port
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._payload_bytes = payload_bytes
        self._settings = settings
        self._ended = threading.Event()
        self._over_memory = threading.Event()
        self._clearing = threading.Lock()
        self._killing = threading.Lock()
        self._group_killed = False
        self._threads = (
            threading.Thread(target=self._pump, args=(log,), name=f"log of {folder.name[:8]}", daemon=True),
            threading.Thread(target=self._watch, name=f"memory of {folder.name[:8]}", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def ping(self) -> bool:
        """Return whether /ping answered 200 in time."""
        try:
            answer = self._exchange("GET", "/ping", None, {}, self._settings.ping_timeout_s)
        except (CallTimedOutError, CallBrokenError, AnswerTooLargeError):
            return False
        return answer.status == http.client.OK

    def condition(self) -> ContainerCondition:
        """Return how the process is."""
        if self._over_memory.is_set():
            return ContainerCondition.OUT_OF_MEMORY
        return ContainerCondition.RUNNING if self._process.poll() is None else ContainerCondition.EXITED

    def call(self, call: ContainerCall, timeout_s: float) -> ContainerAnswer:
        """Return the answer; raise CallTimedOutError, CallBrokenError or AnswerTooLargeError."""
        offered = {
            "Content-Type": call.content_type,
            "Accept": call.accept,
            _CUSTOM_ATTRIBUTES: call.custom_attributes,
        }
        headers = {name: value for name, value in offered.items() if value is not None}
        try:
            return self._exchange("POST", "/invocations", call.body, headers, timeout_s)
        except CallBrokenError:
            # A dying server hangs up before its end can be seen: a moment tells a crash from a rude answer.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            raise

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

    def _pump(self, log: Callable[[str], None]) -> None:
        stream = self._process.stdout
        if stream is None:
            raise AssertionError("a container's output is piped")
        for line in _lines(stream):
            try:
                log(line)
            except Exception:  # a log that is down must not stop the container by filling its pipe
                _LOGGER.exception("log line lost: %s", line)

    def _watch(self) -> None:
        while not self._ended.wait(self._settings.memory_interval_s) and self._process.poll() is None:
            if _resident_bytes(self._tree()) > self._memory_bytes:
                self._over_memory.set()
                break
        # Also when the keeper has ended: if somebody killed it, the server is still there.
        self._kill_group()

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> ContainerAnswer:
        deadline = time.monotonic() + timeout_s
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
        try:
            connection.request(method, path, body, dict(headers))
            # Kept, since the connection lets go of it when the server announces to close.
            sock = connection.sock
            _narrow(sock, deadline)
            with connection.getresponse() as response:
                content = self._read(response, sock, deadline)
        except TimeoutError as error:
            raise CallTimedOutError from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CallBrokenError(str(error)) from error
        finally:
            connection.close()
        return ContainerAnswer(
            status=response.status,
            body=content,
            content_type=response.getheader("Content-Type"),
            custom_attributes=response.getheader(_CUSTOM_ATTRIBUTES),
        )

    def _read(self, response: http.client.HTTPResponse, sock: socket.socket | None, deadline: float) -> bytes:
        content = bytearray()
        while chunk := response.read1(64 * 1024):
            content += chunk
            if len(content) > self._payload_bytes:
                raise AnswerTooLargeError
            _narrow(sock, deadline)
        if response.length:
            raise http.client.IncompleteRead(bytes(content), response.length)
        return bytes(content)


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


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://`` URL; raise ValueError for any other."""
    parts = urlsplit(url, allow_fragments=False)
    key = url.removeprefix(f"s3://{parts.netloc}/")
    if parts.scheme != "s3" or not parts.netloc or not key or key == url:
        raise ValueError(f"model data URL {url!r}; wanted s3://bucket/key")
    return parts.netloc, key


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _narrow(sock: socket.socket | None, deadline: float) -> None:
    # A socket's time-out is per read; the platform's is for the whole answer.
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    if sock is not None:
        sock.settimeout(remaining)


def _lines(stream: IO[bytes]) -> Iterator[str]:
    while line := stream.readline(_LONGEST_LINE):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text:
            yield text


def _resident_bytes(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total
