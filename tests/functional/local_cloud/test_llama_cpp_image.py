"""The proxy of AWS's llama.cpp image, with a small server of the tests in llama-server's place."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from local_cloud.hosting.containers import llama_cpp_image
from local_cloud.hosting.containers.free_ports import free_port
from local_cloud.hosting.platform.settings import llama_cpp_image as entry_point

WAIT_S = 20.0
STAND_IN = f"""\
#!{sys.executable}
import json, os, sys, time
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    client_address = ("", 0)

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        told = {{"path": self.path, "body": self.rfile.read(length).decode(), "argv": sys.argv[1:],
                 "method": self.command, "type": self.headers.get("Content-Type"), "host": self.headers.get("Host"),
                 "alias": os.environ.get("LLAMA_ARG_ALIAS")}}
        if self.path == "/die":
            os._exit(3)
        if self.path in ("/stream", "/break"):
            self.send_response_only(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (b"one", b"two"):
                self.wfile.write(b"3\\r\\n" + piece + b"\\r\\n")
                while self.path == "/stream" and piece == b"one" and not os.path.exists("go"):
                    time.sleep(0.01)
            if self.path == "/break":
                os._exit(3)
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        if self.path == "/hang":
            while self.connection.recv(1):
                pass
            open("hung-up", "w").close()
            return
        body = json.dumps(told).encode()
        self.send_response_only(418 if self.path == "/teapot" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

Server(sys.argv[sys.argv.index("--host") + 1], Handler).serve_forever()
"""


class Image:
    """The image as a process, in a folder of its own."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.opened = folder, ExitStack()
        self.port = free_port()
        program = folder / "program"
        program.write_text(STAND_IN)
        program.chmod(0o755)
        (folder / "model").mkdir()
        (folder / "model" / "harbour.gguf").touch()
        environ = {
            **os.environ,
            "SM_MODEL_DIR": str(folder / "model"),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
        }
        self.process = subprocess.Popen(
            entry_point(program),
            cwd=folder,
            env={**environ, **variables},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.until(lambda: self.asked("/ping")[0] == 200)

    def connection(self) -> http.client.HTTPConnection:
        """Return a new connection to it."""
        opened = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        self.opened.callback(opened.close)
        return opened

    def asked(self, path: str, method: str = "GET", body: str = "") -> tuple[int, str]:
        """Return status and body of an answer; 0 when there is none yet."""
        connection = self.connection()
        try:
            connection.request(method, path, body.encode(), {"Content-Type": "text/x-test"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            return 0, ""
        finally:
            connection.close()

    def told(self, path: str, method: str = "GET", body: str = "") -> dict[str, Any]:
        """Return what llama-server was asked."""
        told: dict[str, Any] = json.loads(self.asked(path, method, body)[1])
        return told

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def image(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Image]:
    """Run the image with the variables of the test."""
    started = Image(tmp_path, getattr(request, "param", {}))
    try:
        with started.opened:
            yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)  # llama-server too, as the container's keeper does
        started.process.communicate()


def test_what_is_asked_reaches_llama_server_under_its_paths(image: Image) -> None:
    """Method, body, type and host as they were; statuses come back as they are."""
    told = image.told("/invocations", "POST", '{"messages": []}')

    assert (told["path"], told["method"], told["body"]) == (
        "/v1/chat/completions",
        "POST",
        '{"messages": []}',
    )
    assert (told["type"], told["host"]) == ("text/x-test", f"127.0.0.1:{image.port}")
    assert image.told("/ping")["path"] == "/health"
    assert image.told("/v1/embeddings?a=b", "POST", "x")["path"] == "/v1/embeddings?a=b"
    assert image.asked("/teapot")[0] == 418


@pytest.mark.parametrize(
    "image",
    [{"SM_LLAMA_CPP_MODEL": "/opt/ml/model/harbour.gguf", "SM_LLAMA_CPP_CTX_SIZE": "64"}],
    indirect=True,
)
def test_a_model_that_is_named_is_looked_for_where_the_folder_is_here(image: Image) -> None:
    """An environment for AWS names it by its path there."""
    path = str(image.folder / "model" / "harbour.gguf")

    assert image.told("/ping")["argv"] == [
        "--host",
        llama_cpp_image.SOCKET,
        "--model",
        path,
        "--ctx-size",
        "64",
    ]


def test_answers_call_the_model_by_its_path_in_the_image(image: Image) -> None:
    """As they do in AWS, and not by a temporary folder's."""
    assert image.told("/ping")["alias"] == "/opt/ml/model/harbour.gguf"


@pytest.mark.parametrize(
    ("environ", "model", "name"),
    [
        pytest.param({}, "/here/harbour.gguf", "/opt/ml/model/harbour.gguf", id="found"),
        pytest.param({"SM_LLAMA_CPP_MODEL": "/here/b.gguf"}, None, "/opt/ml/model/b.gguf", id="named model"),
        pytest.param({"SM_LLAMA_CPP_ALIAS": "crane"}, "/here/harbour.gguf", None, id="named by the image's"),
        pytest.param({"LLAMA_ARG_ALIAS": "crane"}, "/here/harbour.gguf", None, id="named by llama-server's"),
        pytest.param({}, None, None, id="no model"),
        pytest.param({}, "/here/a,b.gguf", None, id="comma"),
    ],
)
def test_a_model_that_is_given_a_name_has_no_other(
    environ: dict[str, str], model: str | None, name: str | None
) -> None:
    """llama-server would call it by both."""
    assert llama_cpp_image.name_of(environ, model, "/here").get("LLAMA_ARG_ALIAS") == name


def test_a_connection_is_kept_for_the_next_question(image: Image) -> None:
    """As nginx does; a body is neither lost nor taken for the next request."""
    connection = image.connection()
    for body in ("first", "second"):
        connection.request("POST", "/invocations", body.encode())
        assert json.loads(connection.getresponse().read())["body"] == body
    connection.close()


def test_an_answer_that_streams_comes_piece_by_piece(image: Image) -> None:
    """The first piece is there before the second one exists."""
    connection = image.connection()
    connection.request("GET", "/stream")
    answer = connection.getresponse()

    assert answer.read(3) == b"one"
    (image.folder / "go").touch()
    assert answer.read() == b"two"


def test_an_answer_that_breaks_off_does_not_look_whole(image: Image) -> None:
    """Whoever reads it must see that it is cut."""
    connection = image.connection()
    connection.request("GET", "/break")

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        connection.getresponse().read()


def test_who_hangs_up_ends_the_work(image: Image) -> None:
    """Also while no byte of the answer is there."""
    connection = image.connection()
    connection.request("GET", "/hang")
    connection.close()

    image.until((image.folder / "hung-up").exists)


def test_a_server_that_has_ended_is_a_502_and_the_image_goes_on(image: Image) -> None:
    """As behind nginx: the health check tells, not the process."""
    assert image.asked("/die")[0] == 502

    image.until(lambda: image.asked("/ping")[0] == 502)
    assert image.process.poll() is None


def test_a_body_of_unknown_length_is_refused(image: Image) -> None:
    """SageMaker sends none; half of it must not be taken for a request."""
    connection = image.connection()
    connection.putrequest("POST", "/invocations")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()

    assert connection.getresponse().status == 411


def test_sigterm_ends_both(image: Image) -> None:
    """Without a wait, and llama-server does not outlive it."""
    image.process.send_signal(signal.SIGTERM)
    written, _ = image.process.communicate(timeout=WAIT_S)

    assert image.process.returncode == 0
    program, model = image.folder / "program", image.folder / "model" / "harbour.gguf"
    assert written.startswith(f"llama-server is the real one: {program}, {model}\n")
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as asking:
        asking.connect(os.path.relpath(image.folder / llama_cpp_image.SOCKET))


def test_the_first_model_is_at_most_two_folders_deep(tmp_path: Path) -> None:
    """Hidden ones count, folders of that name too, and without one there is none: `find` looks at names."""
    assert llama_cpp_image.first_model(tmp_path) is None
    assert llama_cpp_image.first_model(tmp_path / "nothing") is None
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "readme.txt").touch()
    (tmp_path / "a" / "b" / "deep.gguf").touch()
    assert llama_cpp_image.first_model(tmp_path) is None
    (tmp_path / "a" / ".hidden.gguf").touch()
    assert llama_cpp_image.first_model(tmp_path) == tmp_path / "a" / ".hidden.gguf"


def test_a_burst_of_calls_is_let_in() -> None:
    """As nginx lets it in, before any of them is answered."""
    server = llama_cpp_image.ImageServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    with server, ExitStack() as calling:
        for _ in range(100):
            calling.enter_context(socket.create_connection(server.server_address[:2], timeout=WAIT_S))
