"""The server as a process of its own, over HTTP on this machine."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from examples.tiny_gguf import ANSWER, write_tiny_gguf
from inference import server
from pipeline import package_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

JSON = {"Content-Type": "application/json"}
SOURCES = Path(server.__file__).parent
PATIENCE_S = 30.0

SLOW_FUNCTIONS = """
import pathlib, time
def _wait_for(name, seconds=30):
    path = pathlib.Path(__file__).parent / name
    deadline = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
def model_fn(model_dir):
    _wait_for("load")
    return "model"
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    (pathlib.Path(__file__).parent / "asked").touch()
    _wait_for("answer")
    return data.decode()
def output_fn(prediction, accept):
    return '"' + prediction + '"'
"""
"""Deployed functions that go on when a file beside them appears: no test depends on how fast things are."""


@dataclass
class Running:
    """A server process, and what it has written so far."""

    process: subprocess.Popen[str]
    port: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, http.client.HTTPResponse]:
        """Return status, parsed body and response of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            content = response.read()
        return response.status, json.loads(content) if content else None, response

    def invoke(self, **request: Any) -> tuple[int, Any]:
        """Return status and body of an invocation."""
        status, answer, _ = self.ask("POST", "/invocations", json.dumps(request), JSON)
        return status, answer

    def until_loaded(self) -> int:
        """Ping until the answer is not 503, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        status = 503
        while status == 503 and time.monotonic() < deadline:
            status, _, _ = self.ask("GET", "/ping")
        return status

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        return [line for line in self.lines if line["event"] == name]


@contextlib.contextmanager
def _running(
    model_dir: Path,
    *,
    command: Sequence[str] = (),
    confine: Callable[[], None] | None = None,
    **variables: str,
) -> Iterator[Running]:
    """Start the server, wait for its first line, and kill it in the end; `confine` runs in the child before."""
    environment = {
        "PATH": os.defpath,
        "SM_MODEL_DIR": str(model_dir),
        "SAGEMAKER_BIND_TO_PORT": "0",
        "SEALIFT_BIND_HOST": "127.0.0.1",
        "SEALIFT_N_THREADS": "1",
        **variables,
    }
    process = subprocess.Popen(
        [*(command or (sys.executable, str(SOURCES / "server.py"))), "serve"],
        env=environment,
        preexec_fn=confine,  # noqa: PLW1509 it makes three system calls, and no thread of a test holds a lock
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Running(process)
    assert process.stdout is not None
    assert process.stderr is not None
    reader = threading.Thread(target=_read, args=(process.stdout, running.lines))
    try:
        first = process.stdout.readline()
        running.lines.append(json.loads(first))
        running.port = running.lines[0].get("port", 0)
        reader.start()
        yield running
    finally:
        process.kill()
        process.wait()
        if reader.ident is not None:
            reader.join()
        process.stdout.close()
        process.stderr.close()


def _read(stream: Any, lines: list[dict[str, Any]]) -> None:
    lines.extend(json.loads(line) for line in stream)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out an extracted archive: a model at the root, the functions in code/."""
    folder = tmp_path_factory.mktemp("archive")
    write_tiny_gguf(folder / "demo.gguf")
    (folder / "code").mkdir()
    for name in package_files.CODE:
        shutil.copy(SOURCES / name, folder / "code")
    return folder


@pytest.fixture(scope="module")
def served(archive: Path) -> Iterator[Running]:
    """Serve that archive for all tests that leave the server as it is."""
    with _running(archive) as running:
        assert running.until_loaded() == 200
        yield running


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Lay out an archive whose functions wait to be told to go on; its folder code/ is returned."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "inference.py").write_text(SLOW_FUNCTIONS, encoding="utf-8")
    return code


def test_first_line_tells_the_port(served: Running) -> None:
    """With port 0 the log's first line is how a parent process learns where to connect."""
    assert served.lines[0]["event"] == "listening"
    assert served.port == served.lines[0]["port"] > 0


def test_all_three_styles_are_answered(served: Running) -> None:
    """Prompt, inputs and messages reach the model and come back as OpenAI-style answers."""
    prompt_status, prompt = served.invoke(prompt="Hello.", temperature=0)
    inputs_status, inputs = served.invoke(inputs="Hello.", parameters={"temperature": 0})
    chat_status, chat = served.invoke(messages=[{"role": "user", "content": "Hello."}], temperature=0)

    assert (prompt_status, inputs_status, chat_status) == (200, 200, 200)
    assert prompt["choices"][0]["text"] == ANSWER
    assert inputs["choices"][0]["text"] == ANSWER
    assert chat["choices"][0]["message"]["content"] == ANSWER


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param("{}", JSON, 400, "missing_field", id="nothing-asked"),
        pytest.param("{", JSON, 400, "invalid_json", id="no-json"),
        pytest.param("", JSON, 400, "invalid_json", id="empty"),
        pytest.param("a", {"Content-Type": "text/csv"}, 415, "unsupported_media_type", id="csv"),
        pytest.param(
            json.dumps({"prompt": "ping " * 3000}), JSON, 400, "context_length_exceeded", id="long-prompt"
        ),
    ],
)
def test_wrong_request_is_a_4xx_with_the_reason(
    served: Running, body: str, headers: dict[str, str], status: int, code: str
) -> None:
    """No mistake of a client ends in a 500 or a traceback."""
    seen, answer, response = served.ask("POST", "/invocations", body, headers)

    assert (seen, answer["error"]["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/json"
    assert "Traceback" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        pytest.param("GET", "/", 404, None, id="root"),
        pytest.param("POST", "/v1/files", 404, None, id="other-path"),
        pytest.param("GET", "/v1/completions", 405, "POST", id="get-completions"),
        pytest.param("POST", "/ping", 405, "GET", id="post-ping"),
        pytest.param("GET", "/invocations", 405, "POST", id="get-invocations"),
        pytest.param("DELETE", "/invocations", 405, "POST", id="delete"),
        pytest.param("BREW", "/ping", 501, None, id="unknown-method"),
    ],
)
def test_other_paths_and_methods_are_refused(
    served: Running, method: str, path: str, status: int, allow: str | None
) -> None:
    """Everything but the two calls of the contract has its proper status, as JSON."""
    seen, answer, response = served.ask(method, path)

    assert seen == status
    assert answer["error"]["message"]
    assert response.headers["Allow"] == allow


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello."}]}),
        ("/openai/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello."}]}),
        ("/v1/completions", {"prompt": "Hello."}),
        ("/openai/v1/responses", {"input": "Hello."}),
    ],
)
def test_openais_paths_are_those_of_the_contract(served: Running, path: str, asked: dict[str, Any]) -> None:
    """What is asked is in the body, whichever path a platform or a client takes."""
    status, answer, _ = served.ask("POST", path, json.dumps({**asked, "temperature": 0}), JSON)

    assert status == 200
    assert ANSWER in json.dumps(answer)


def test_a_stream_is_one_whole_list_of_events(served: Running) -> None:
    """With its own content type; what is wrong is JSON with its status all the same."""
    asked = {"messages": [{"role": "user", "content": "Hello."}], "temperature": 0, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", "/invocations", json.dumps(asked), JSON)
        response = connection.getresponse()
        body = response.read().decode()
    status, wrong = served.invoke(**asked, n=1000)

    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    assert ANSWER in body
    assert body.endswith("data: [DONE]\n\n")
    assert (status, wrong["error"]["param"]) == (400, "n")


def test_body_over_the_limit_is_413(served: Running) -> None:
    """What no endpoint would deliver is refused, and the server goes on."""
    status, answer, _ = served.ask("POST", "/invocations", b"x" * (server.MAX_BODY + 1), JSON)

    assert (status, answer["error"]["code"]) == (413, "body_too_large")
    assert served.invoke(prompt="Hello.", max_tokens=1)[0] == 200


def _raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"POST /invocations HTTP/1.1\r\n\r\n{}", b"411", id="no-length"),
        pytest.param(
            b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411", id="chunked"
        ),
        pytest.param(b"POST /invocations HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400", id="negative"),
        pytest.param(b"POST /invocations HTTP/1.1\r\nContent-Length: 2x\r\n\r\n{}", b"400", id="no-number"),
        pytest.param(
            b"POST /invocations HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            b"400",
            id="two",
        ),
        pytest.param(b"POST /invocations HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}", b"400", id="cut-body"),
        pytest.param(b"NONSENSE\r\n\r\n", b"400", id="no-http"),
    ],
)
def test_malformed_http_is_refused_and_survived(served: Running, request_bytes: bytes, status: bytes) -> None:
    """A request whose length is unknown or wrong is refused, and the connection ends there."""
    answer = _raw(served.port, request_bytes)

    assert status in answer.split(b"\r\n", 1)[0]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert served.ask("GET", "/ping")[0] == 200


def test_connection_serves_several_requests(served: Running) -> None:
    """Keep-alive works, with a refused request in between."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    statuses = []
    with contextlib.closing(connection):
        for body in ('{"prompt": "a", "max_tokens": 1}', "{}", '{"prompt": "b", "max_tokens": 1}'):
            connection.request("POST", "/invocations", body, JSON)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
            assert not response.will_close

    assert statuses == [200, 400, 200]


def test_log_is_json_without_prompts(archive: Path) -> None:
    """Every line is JSON, every invocation is logged, and what was said is not; stderr stays empty."""
    with _running(archive) as running:
        running.until_loaded()
        running.invoke(prompt="A secret harbour", max_tokens=3)
        running.invoke(prompt="A secret harbour", colour="secret")
        status = running.stop()
        assert running.process.stderr is not None
        errors = running.process.stderr.read()

    assert status == 0
    assert errors == ""
    (answered,), (refused,) = running.events("answered"), running.events("refused")
    assert (answered["status"], refused["status"], refused["code"]) == (200, 400, "unknown_parameter")
    assert answered["queue_ms"] < answered["ttft_ms"] <= answered["seconds"] * 1000
    assert "secret" not in json.dumps(running.lines)
    assert "harbour" not in json.dumps(running.lines)
    assert running.lines[-1] == {**running.lines[-1], "event": "stopped", "drained": True}


def test_a_line_says_where_and_whose(archive: Path) -> None:
    """The endpoint by its environment, and the caller's trace however SageMaker hands it on."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Amzn-SageMaker-Custom-Attributes": f"traceparent=00-{trace}-00f067aa0ba902b7-01"}
    with _running(archive, SEALIFT_ENDPOINT="demo-1", SEALIFT_VARIANT="AllTraffic") as running:
        running.until_loaded()
        running.ask("POST", "/invocations", '{"prompt": "Hello.", "max_tokens": 1}', {**JSON, **headers})
        running.ask("GET", "/invocations")
        running.stop()

    (answered,), (refused,) = running.events("answered"), running.events("refused")
    assert (answered["endpoint"], answered["variant"], answered["trace_id"]) == (
        "demo-1",
        "AllTraffic",
        trace,
    )
    assert (refused["endpoint"], refused["code"], refused.get("trace_id")) == (
        "demo-1",
        "method_not_allowed",
        None,
    )


def test_environment_overrides_the_archive(archive: Path) -> None:
    """The endpoint's Environment reaches the model."""
    with _running(archive, SEALIFT_MODEL_NAME="harbour", SEALIFT_MAX_TOKENS="1") as running:
        running.until_loaded()
        status, answer = running.invoke(prompt="Hello.", temperature=0)

    assert status == 200
    assert answer["model"] == "harbour"
    assert answer["usage"]["completion_tokens"] == 1


def test_own_functions_are_served_without_code(tmp_path: Path, archive: Path) -> None:
    """A folder with nothing but a model is served by the functions beside the server."""
    shutil.copy(archive / "demo.gguf", tmp_path)

    with _running(tmp_path) as running:
        assert running.until_loaded() == 200
        assert running.invoke(prompt="Hello.", temperature=0)[1]["choices"][0]["text"] == ANSWER


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        pytest.param({}, "no model in ", id="no-model"),
        pytest.param({"SEALIFT_N_CTX": "few"}, "SEALIFT_N_CTX is 'few'", id="wrong-setting"),
    ],
)
def test_failed_load_is_a_500_with_the_reason(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    """The process stays up to say why it is not healthy."""
    with _running(tmp_path, **variables) as running:
        assert running.until_loaded() == 500
        _, pinged, _ = running.ask("GET", "/ping")
        status, invoked = running.invoke(prompt="Hello.")

        assert status == 500
        for answer in (pinged, invoked):
            assert words in answer["error"]["message"]
            assert "Traceback" not in answer["error"]["message"]
        assert running.stop() == 0


def test_what_lies_beside_the_functions_can_be_imported(tmp_path: Path) -> None:
    """Everything in code/ is on the path, as in the prebuilt image: that is where llama_cpp travels."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "beside.py").write_text("def model_fn(model_dir): return None\n", encoding="utf-8")
    (code / "inference.py").write_text("from beside import model_fn\n", encoding="utf-8")

    with _running(tmp_path) as running:
        assert running.until_loaded() == 200


def test_port_that_is_taken_ends_the_process(tmp_path: Path) -> None:
    """A server that cannot listen says so and exits with 1, instead of hanging."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _running(tmp_path, SAGEMAKER_BIND_TO_PORT=str(port)) as running:
            assert running.process.wait(PATIENCE_S) == 1
            assert running.lines[0]["event"] == "start_failed"


def test_loading_is_503_until_loaded(slow: Path) -> None:
    """The socket answers while the model loads, and turns to 200 when it is there."""
    with _running(slow.parent) as running:
        assert running.ask("GET", "/ping")[0] == 503
        assert running.ask("POST", "/invocations", b"a")[0] == 503

        (slow / "load").touch()

        assert running.until_loaded() == 200


def test_sigterm_while_loading_ends_cleanly(slow: Path) -> None:
    """A container that is stopped before it was ready exits with 0 as well."""
    with _running(slow.parent) as running:
        assert running.ask("GET", "/ping")[0] == 503
        assert running.stop() == 0


def _appears(path: Path) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return path.exists()


def test_queue_is_bounded_and_ping_never_waits(slow: Path) -> None:
    """One is answered, one waits, the third gets 429; /ping answers all the while."""
    (slow / "load").touch()
    with _running(slow.parent, SEALIFT_MAX_WAITING="1") as running:
        running.until_loaded()
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(running.ask("POST", "/invocations", b"a")[0])

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert _appears(slow / "asked")
        deadline = time.monotonic() + PATIENCE_S
        while not statuses and time.monotonic() < deadline:
            assert running.ask("GET", "/ping")[0] == 200
        refused = list(statuses)
        (slow / "answer").touch()
        for thread in threads:
            thread.join(PATIENCE_S)

    assert refused == [429]
    assert sorted(statuses) == [200, 200, 429]


def test_sigterm_lets_the_answer_under_way_finish(slow: Path) -> None:
    """Who was being answered when the container is stopped still gets the answer."""
    (slow / "load").touch()
    with _running(slow.parent) as running:
        running.until_loaded()
        answers: list[tuple[int, Any]] = []
        thread = threading.Thread(
            target=lambda: answers.append(running.ask("POST", "/invocations", b"last")[:2])
        )
        thread.start()
        assert _appears(slow / "asked")

        running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while not running.events("stopping") and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(1.0)
        (slow / "answer").touch()
        status = running.process.wait(PATIENCE_S)
        thread.join(PATIENCE_S)

    assert status == 0
    assert answers == [(200, "last")]


def _asking(running: Running, body: bytes) -> socket.socket:
    """Return a connection on which an invocation was sent and whose answer is not there yet."""
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S)
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(head.encode() + b"\r\n" + body)
    return connection


def _logged(running: Running, event: str, **details: Any) -> dict[str, Any]:
    """Wait for a line of the log and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for line in running.events(event):
            if details.items() <= line.items():
                return line
        threading.Event().wait(0.01)
    raise AssertionError(f"no {event} {details} in {running.lines}")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model whose answers take seconds."""
    folder = tmp_path_factory.mktemp("large")
    write_tiny_gguf(folder / "demo.gguf", embd=1024, layers=12)
    return folder


ENDLESS = json.dumps({"prompt": "ping", "temperature": 0, "max_tokens": 2000}).encode()


def test_client_that_hangs_up_is_not_answered_any_more(large: Path) -> None:
    """Its generation ends in the middle and the next in the queue is answered; another that left is passed over."""
    with _running(large) as running:
        running.until_loaded()
        first = _asking(running, ENDLESS)
        second = _asking(running, ENDLESS)
        second.close()
        left = _logged(running, "gone", status=499)
        first.close()
        cut = _logged(running, "answered", finish_reason="cancelled")
        status, answer = running.invoke(prompt="Hello.", temperature=0, max_tokens=1)

    assert (left["bytes_out"], left["code"], cut["status"]) == (0, "cancelled", 499)
    assert cut["predicted_n"] < 2000
    assert status == 200
    assert answer["choices"][0]["text"] == "Sealift"


def test_client_that_hangs_up_ends_the_evaluation_of_its_prompt(large: Path) -> None:
    """A long prompt is not evaluated to its end for nobody."""
    prompt = json.dumps({"prompt": "ping " * 2000, "temperature": 0, "max_tokens": 1}).encode()
    with _running(large, SEALIFT_N_CTX="2048") as running:
        running.until_loaded()
        connection = _asking(running, prompt)
        threading.Event().wait(0.3)
        connection.close()
        cut = _logged(running, "answered", finish_reason="cancelled")

    assert cut["predicted_n"] == 0
    assert cut["prompt_n"] < 2000


def test_answer_ends_before_the_call_is_given_up(large: Path) -> None:
    """With the time nearly up the answer is what there is, and says why it ended."""
    with _running(large, SEALIFT_TIMEOUT_S="1") as running:
        running.until_loaded()
        status, answer, _ = running.ask("POST", "/invocations", ENDLESS, JSON)

    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "timeout"
    assert 0 < answer["usage"]["completion_tokens"] < 2000
    assert answer["choices"][0]["text"].startswith(" ping")


def test_sigterm_ends_a_long_answer_in_time(slow: Path) -> None:
    """The functions are told when to end: before the container is killed."""
    (slow / "load").touch()
    (slow / "inference.py").write_text(
        "import pathlib, time\n"
        "def model_fn(model_dir): return None\n"
        "def input_fn(body, content_type): return body\n"
        "def predict_fn(data, model, context):\n"
        "    (pathlib.Path(__file__).parent / 'asked').touch()\n"
        "    while context.deadline() == float('inf'): time.sleep(0.01)\n"
        "    return str(0 < context.deadline() - time.monotonic() < 25)\n"
        "def output_fn(prediction, accept): return prediction\n",
        encoding="utf-8",
    )
    with _running(slow.parent) as running:
        running.until_loaded()
        answers: list[bytes] = []
        thread = threading.Thread(
            target=lambda: answers.append(_raw_answer(running, b"{}")),
        )
        thread.start()
        assert _appears(slow / "asked")
        status = running.stop()
        thread.join(PATIENCE_S)

    assert status == 0
    assert answers == [b"True"]


def _raw_answer(running: Running, body: bytes) -> bytes:
    with _asking(running, body) as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.read()


def test_other_arguments_than_serve_are_refused(tmp_path: Path) -> None:
    """An image that is started to train says that it cannot."""
    with _running(tmp_path, command=(sys.executable, str(SOURCES / "server.py"), "train")) as running:
        assert running.process.wait(PATIENCE_S) == 1
        assert "wanted 'serve'" in running.lines[0]["reason"]


NOBODY = 65_534


def _open_to_all(path: Path) -> bool:
    """Return whether every user may run a file."""
    return path.is_file() and all(one.stat().st_mode & 0o001 for one in (path, *path.parents))


def _python() -> Path:
    """Return a Python of this version that every user may run, or this one where there is none."""
    own = Path(sys.executable).resolve()
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    others = [Path(folder, name) for folder in ("/usr/bin", "/usr/local/bin")]
    return next((path for path in (own, *others) if _open_to_all(path)), own)


def _user() -> int:
    """Return whose the server shall be: nobody's, where this process may choose and nobody can run Python."""
    return NOBODY if os.getuid() == 0 and _open_to_all(_python()) else os.getuid()


def _confined(limit: int) -> Callable[[], None]:
    """Return what makes a child process another user's, with a limit to its memory."""
    user = _user()

    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        if user != os.getuid():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    return confine


@pytest.fixture
def image(archive: Path) -> Iterator[Path]:
    """Lay out what the image holds, readable by everybody and writable by nobody, with a model beside it."""
    place = Path(tempfile.mkdtemp(prefix="sealift-image-"))  # pytest's own folders are closed to other users
    shutil.copytree(SOURCES, place / "opt", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "model").mkdir()
    shutil.copy(archive / "demo.gguf", place / "model")
    (place / "tmp").mkdir()
    paths = [place, *place.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    (place / "tmp").chmod(0o777)
    yield place
    for path in paths:
        path.chmod(0o755)
    shutil.rmtree(place)


def test_server_runs_as_nobody_in_a_tree_it_cannot_write(image: Path) -> None:
    """Another user, nothing writable but one folder, bounded memory: loaded, asked, stopped, and nothing written."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    before = sorted(image.rglob("*"))

    with _running(
        image / "model",
        command=(str(_python()), str(image / "opt" / "server.py")),
        confine=_confined(2 << 30),
        HOME=str(image / "tmp"),
        TMPDIR=str(image / "tmp"),
        PYTHONPATH=os.pathsep.join(packages),
    ) as running:
        loaded = running.until_loaded()
        reason = running.ask("GET", "/ping")[1]
        owner = Path(f"/proc/{running.process.pid}").stat().st_uid
        status, answer = running.invoke(prompt="Hello.", temperature=0)
        ended = running.stop()

    assert loaded == 200, reason
    assert owner == _user()
    assert (status, answer["choices"][0]["text"]) == (200, ANSWER)
    assert ended == 0
    assert sorted(image.rglob("*")) == before


def test_model_that_does_not_fit_its_memory_says_so(image: Path) -> None:
    """Where memory ends the server stays, and its health check has the reason."""
    packages = [path for path in sys.path if path.endswith("site-packages")]

    with _running(
        image / "model",
        command=(str(_python()), str(image / "opt" / "server.py")),
        confine=_confined(1 << 30),
        PYTHONPATH=os.pathsep.join(packages),
        SEALIFT_N_CTX="131072",
        SEALIFT_N_BATCH="2048",
    ) as running:
        status = running.until_loaded()
        reason = running.ask("GET", "/ping")[1]["error"]["message"]
        ended = running.stop()

    assert status == 500
    assert "there is not enough memory" in reason
    assert ended == 0
