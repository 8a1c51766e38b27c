"""AWS's llama.cpp image in the local cloud: its entry point and its proxy, with the real llama-server behind them.

Owns that image's own mapping, read off its scripts (github.com/aws/deep-learning-containers, scripts/docker/llama_cpp):
which model is taken, which options the environment gives, which path of llama-server answers which of SageMaker's.
Runs as a program, with that of `make llama-server` as its argument, or with what stands before that one
(`cuda_server`); standard library only. Refuses to be nginx: a
small proxy stands in its place, which passes on every answer piece by piece as it comes, and llama-server listens on a
socket in the working folder, so that no second port has to be found free.
"""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "SM_LLAMA_CPP_"
OF_THE_IMAGE = frozenset({"MODEL", "MODEL_DIR", "PORT"})
"""Variables of that prefix that the entry point reads itself."""
MODEL_FOLDER = "/opt/ml/model"
"""Where SageMaker puts the model; here SM_MODEL_DIR names the folder that stands for it."""
PATHS = {"/ping": "/health", "/invocations": "/v1/chat/completions"}
"""Every other path is passed on as it is."""
SOCKET = "llama-server.sock"
"""Relative, as the path of a socket may have 107 bytes."""
_OF_THE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "host"})
"""Headers that are not passed on, but for the host, which is passed on by itself."""


# ------------------------------------------------------------------------------ the entry point's rules


def arguments(environ: Mapping[str, str], model: str | None) -> list[str]:
    """Return llama-server's arguments but for where it listens.

    Args:
        environ: the container's environment: SM_LLAMA_CPP_X_Y=v is --x-y v, of which `true` is an option without a
            value and `false` none.
        model: the path of the model that was found; None when there is none, or the environment names one.
    """
    given = environ.get(f"{PREFIX}MODEL")
    chosen = given or model
    found = ["--model", chosen] if chosen else []
    for key, value in environ.items():
        name = key.removeprefix(PREFIX)
        if name in (key, *OF_THE_IMAGE) or value.lower() == "false":
            continue
        found.append("--" + name.lower().replace("_", "-"))
        if value and value.lower() != "true":
            found.append(value)
    return found


def name_of(environ: Mapping[str, str], model: str | None, folder: str) -> dict[str, str]:
    """Return what has llama-server call its model as it does in AWS: by its path, which is another one here.

    Args:
        environ: the container's environment; what names the model counts, and llama-server would add the path to it.
        model: the path of the model that was found.
        folder: the one that stands for SageMaker's.
    """
    path = environ.get(f"{PREFIX}MODEL") or model
    named = f"{PREFIX}ALIAS" in environ or "LLAMA_ARG_ALIAS" in environ
    if path is None or named or "," in path:  # which parts two names
        return {}
    return {"LLAMA_ARG_ALIAS": path.replace(folder, MODEL_FOLDER, 1)}


def first_model(folder: Path) -> Path | None:
    """Return the first *.gguf that `find -maxdepth 2` tells: in the order of the file system, hidden ones too."""
    return next((path for path in _below(folder, 2) if path.name.endswith(".gguf")), None)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = os.scandir(folder)
    except OSError:  # not there, or not to be read: `find` passes over it
        return
    with entries:
        for entry in entries:
            yield Path(entry.path)
            if depth > 1 and entry.is_dir(follow_symlinks=False):
                yield from _below(Path(entry.path), depth - 1)


def path_of(asked: str) -> str:
    """Return llama-server's path for one that the image was asked for, its query and all."""
    path, mark, query = asked.partition("?")
    return PATHS.get(path, path) + mark + query


# ------------------------------------------------------------------------------ the proxy


class _LlamaServer(http.client.HTTPConnection):
    """A connection to the socket of llama-server."""

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(SOCKET)


class _CallerGone(Exception):
    """Whoever asked has hung up; then nginx hangs up as well, and llama-server stops to generate."""


class _Proxy(BaseHTTPRequestHandler):
    """Passes one request on, and its answer back."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    """Else what is sent in two pieces, as the head and the body of an answer, waits 40 ms for the caller's receipt."""

    def handle_one_request(self) -> None:
        """Read one request and answer it, whatever its method is."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        if "Transfer-Encoding" in self.headers:
            self._answer(HTTPStatus.LENGTH_REQUIRED)  # whoever asks a container here tells the length
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        upstream = _LlamaServer("llama-server")
        try:
            self._pass_on(upstream, body)
        except (_CallerGone, OSError, http.client.HTTPException):
            # Nobody is there to be told: the answer breaks off, on this side or on the other one.
            self.close_connection = True
        finally:
            upstream.close()

    def _pass_on(self, upstream: _LlamaServer, body: bytes) -> None:
        try:
            upstream.putrequest(self.command, path_of(self.path), skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() == "host" or name.lower() not in _OF_THE_CONNECTION:
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            self._wait_for(upstream.sock)
            answer = upstream.getresponse()
        except (OSError, http.client.HTTPException):
            self._answer(HTTPStatus.BAD_GATEWAY)
            return
        self._pass_back(answer)

    def _wait_for(self, upstream: socket.socket) -> None:
        """Wait for the beginning of the answer; raise _CallerGone when nobody waits for it any more."""
        watched = [upstream, self.connection]
        while upstream not in (ready := select.select(watched, [], [])[0]):
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise _CallerGone
            watched = [upstream] if self.connection in ready else watched

    def _pass_back(self, answer: http.client.HTTPResponse) -> None:
        in_chunks = answer.getheader("Content-Length") is None
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        if in_chunks:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := answer.read1(64 * 1024):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece)
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
        if in_chunks:
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: HTTPStatus) -> None:
        body = f"<html><head><title>{status.value} {status.phrase}</title></head></html>\n".encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class ImageServer(ThreadingHTTPServer):
    """A thread for each connection."""

    request_queue_size = 511
    """nginx's own: with Python's 5 a burst of calls meets a full queue."""


def main(*program: str) -> int:
    """Start llama-server, a command without its options, and be its proxy until SIGTERM.

    That llama-server ends does not end the image, as it does not end AWS's: /ping is a 502 from then on.
    """
    environ = os.environ  # noqa: TID251 the container's composition root reads its own environment
    folder = environ["SM_MODEL_DIR"]
    given = {
        key: value.replace(MODEL_FOLDER, folder) for key, value in environ.items() if key.startswith(PREFIX)
    }
    model = first_model(Path(given.get(f"{PREFIX}MODEL_DIR", folder)))
    command = [*program, "--host", SOCKET, *arguments(given, str(model) if model else None)]
    Path(SOCKET).unlink(missing_ok=True)  # llama-server leaves it behind, and refuses one that is there
    # Not the whole command, which may have a key in it.
    sys.stdout.write(f"llama-server is the real one: {program[-1]}, {model or 'no *.gguf found'}\n")
    sys.stdout.flush()
    named = name_of({**environ, **given}, str(model) if model else None, folder)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**environ, **named})
    proxy = ImageServer(("127.0.0.1", int(environ["SAGEMAKER_BIND_TO_PORT"])), _Proxy)
    signal.signal(
        signal.SIGTERM, lambda _number, _frame: threading.Thread(target=proxy.shutdown, daemon=True).start()
    )
    try:
        proxy.serve_forever()
    finally:
        child.kill()
        child.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
