"""What stands for AWS's llama.cpp image, asked alike: the imitation, and the real server where it has been built."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_cloud.hosting.containers.free_ports import free_port
from local_cloud.hosting.containers.server_process import container_environment
from local_cloud.hosting.platform.settings import llama_cpp_image
from pipeline import package_files
from pipeline.sizing import images

WAIT_S = 60.0
CONTEXT = 512
REAL = package_files.llama_server()
needs_the_real_one = pytest.mark.skipif(
    REAL is None, reason="no llama-server here; `make llama-server` builds it"
)
SERVERS = [
    pytest.param(None, id="imitation"),
    pytest.param(REAL, id="real", marks=needs_the_real_one),
]


class Container:
    """One of them as a process, with the environment that a container gets."""

    def __init__(self, program: Path | None, model: Path, folder: Path) -> None:
        self.port = free_port()
        settings = {"n_ctx": CONTEXT, "n_threads": 1, "max_tokens": 16, "temperature": 0.0}
        given = images.environment(images.LLAMA_CPP, settings)
        given["SM_LLAMA_CPP_LOG_VERBOSITY"] = "4"  # what tells the features of its CPU
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                llama_cpp_image(program),
                cwd=folder,
                env=container_environment(given, model_dir=model.parent, port=self.port),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + WAIT_S
        while self.asked("GET", "/ping")[0] != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def asked(self, method: str, path: str, document: Any = None) -> tuple[int, str]:
        """Return status and body of an answer; 0 when there is none yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        body = None if document is None else json.dumps(document).encode()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            return 0, ""
        finally:
            connection.close()

    def answer(self, path: str = "/invocations", **fields: Any) -> dict[str, Any]:
        """Return the answer to a request that is one of the good ones."""
        status, body = self.asked("POST", path, fields)
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def refusal(self, **fields: Any) -> dict[str, Any]:
        """Return the error of a request that is refused with 400."""
        status, body = self.asked("POST", "/invocations", fields)
        assert status == 400, body
        found: dict[str, Any] = json.loads(body)["error"]
        return found


@pytest.fixture(scope="module", params=SERVERS)
def container(request: pytest.FixtureRequest, model: Path) -> Iterator[Container]:
    """Run one of them for all tests of this file."""
    with tempfile.TemporaryDirectory() as folder:
        started = Container(request.param, model, Path(folder))
        try:
            yield started
        finally:
            os.killpg(started.process.pid, signal.SIGKILL)
            started.process.wait()


def asks(text: str) -> list[dict[str, str]]:
    """Return messages with one question."""
    return [{"role": "user", "content": text}]


def test_it_answers_messages(container: Container) -> None:
    """In OpenAI's form, within the number of tokens that its environment sets."""
    answer = container.answer(messages=asks("What lies in the harbour?"), temperature=0)

    assert "cargo" in answer["choices"][0]["message"]["content"].lower()
    assert 0 < answer["usage"]["completion_tokens"] <= 16


def test_the_same_question_gets_the_same_answer(container: Container) -> None:
    """The temperature of its environment has arrived, which is 0; what it does not know it passes over."""
    first, second = (
        container.answer(messages=asks("What lies in the harbour?"), unknown_here=[1]) for _ in range(2)
    )

    assert first["choices"][0]["message"] == second["choices"][0]["message"]


def test_it_takes_messages_only(container: Container) -> None:
    """A prompt under SageMaker's path is a chat without messages."""
    told = container.refusal(prompt="What?")

    assert told == {"code": 400, "message": "'messages' is required", "type": "invalid_request_error"}


def test_a_prompt_that_is_too_long_is_told_with_both_numbers(container: Container) -> None:
    """The context is the one that was asked for, so its option has arrived."""
    told = container.refusal(messages=asks("sail " * 3000))

    assert told["type"] == "exceed_context_size_error"
    assert told["n_ctx"] == CONTEXT
    assert told["n_prompt_tokens"] > CONTEXT


def test_the_log_tells_which_one_it_is(container: Container, request: pytest.FixtureRequest) -> None:
    """The first line, before anything can fail."""
    word = "real" if "real" in request.node.name else "imitated"

    assert word in container.log.read_text().splitlines()[0]


@pytest.fixture
def real(container: Container, request: pytest.FixtureRequest) -> Container:
    """Return the real one; what the imitation does not do is asked of it alone."""
    if "imitation" in request.node.name:
        pytest.skip("the imitation does not do this")
    return container


def test_the_real_one_streams_and_has_its_other_paths(real: Container) -> None:
    """What is passed through: events, completions, its own paths."""
    status, events = real.asked("POST", "/invocations", {"messages": asks("What?"), "stream": True})
    assert status == 200
    assert events.startswith("data: ")
    assert events.rstrip().endswith("data: [DONE]")

    assert real.answer("/v1/completions", prompt="The harbour", max_tokens=4)["choices"][0]["text"]
    assert json.loads(real.asked("GET", "/props")[1])["total_slots"] == 1
    assert real.asked("GET", "/nothing")[0] == 404


def test_the_real_one_uses_what_the_cpu_has(real: Container) -> None:
    """Built without AVX2 it would work, and be ten times slower."""
    features = next(line for line in real.log.read_text().splitlines() if "AVX2 = " in line)

    assert "AVX2 = 1" in features
    assert "FMA = 1" in features
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    assert ("AVX512 = 1" in features) == ("avx512_vnni" in flags)
