"""Debian's `docker-registry` on 127.0.0.1, and a road to it that breaks.

Owns the registry's configuration, its folder, its process and what its access log tells; and the relay in front of it
that cuts a connection after so many bytes. Refuses other addresses than 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from local_cloud.hosting.containers.free_ports import free_port
from tools.image_test import tools

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S: Final = 30.0

CONFIG: Final = """\
version: 0.1
log:
  level: warn
  accesslog:
    disabled: false
storage:
  filesystem:
    rootdirectory: {folder}/storage
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
"""

_ASKED: Final = re.compile(r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[0-9.]+" (?P<status>\d{3})')


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the registry answered."""

    method: str
    path: str
    status: int


@dataclass
class LocalRegistry:
    """A registry of its own; a context manager that ends it.

    Args:
        folder: an existing folder for its blobs, its configuration and its log.
    """

    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)
    port: int = field(init=False)

    @property
    def address(self) -> str:
        """Return how images name it."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.port = free_port()
        config = self.folder / "config.yml"
        config.write_text(CONFIG.format(folder=self.folder, port=self.port), encoding="utf-8")
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [tools.find("docker-registry"), "serve", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise TimeoutError(f"docker-registry did not start:\n{self.log()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        return False

    def log(self) -> str:
        """Return all that it logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def asked(self) -> list[Asked]:
        """Return every request that it has answered, in order."""
        found = _ASKED.finditer(self.log())
        return [Asked(one["method"], one["path"], int(one["status"])) for one in found]

    def manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        """Return the digest and the bytes that are behind a tag, asked by plain HTTP.

        Raises:
            LookupError: when it has none.
        """
        accepted = ", ".join(
            f"application/vnd.{kind}+json"
            for kind in ("docker.distribution.manifest.v2", "oci.image.manifest.v1")
        )
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": accepted})
            reply = connection.getresponse()
            content = reply.read()
            if reply.status != 200:
                raise LookupError(f"{repository}:{reference}: {reply.status} {content!r}")
            return reply.headers["Docker-Content-Digest"], content

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository; none where there is no such repository."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", f"/v2/{repository}/tags/list")
            return json.loads(connection.getresponse().read()).get("tags") or []


@dataclass
class Relay:
    """A road to a registry that breaks: a context manager.

    What comes from the client goes on to `port`, and the answers back. When clients have sent `cut_after` bytes in all,
    a connection is closed without a word, `cuts` times; then all passes.
    """

    port: int
    cut_after: int
    cuts: int = 1
    """How often it still breaks."""
    within: bool = True
    """Whether it breaks in the middle of what is sent; else before the next piece of a blob, and nothing is half."""
    listening: socket.socket = field(init=False)
    sent: int = 0
    """Bytes that clients sent, over all connections."""
    broken: int = 0
    """How often it broke."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Return how images name what is behind it."""
        return f"127.0.0.1:{self.listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread in accept() hears of shutdown, not of close.
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        with self._lock:
            for one in self._open:
                _hang_up(one)
                one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                with self._lock:
                    self._open += [client, server]
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                if counted and self._breaks(content):
                    break
                target.sendall(content)
        _hang_up(source)
        _hang_up(target)

    def _breaks(self, content: bytes) -> bool:
        with self._lock:
            self.sent += len(content)
            # A client waits for an answer before it asks again, so a request begins what is received.
            if not self.cuts or self.sent < self.cut_after or not (self.within or content[:6] == b"PATCH "):
                return False
            self.cuts -= 1
            self.broken += 1
            return True


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
