"""The adapter as a process of its own, before a stand-in for llama-server that does what a test has it do."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from examples.tiny_gguf import write_tiny_gguf
from pipeline import package_files
from sealift_contract import MAX_BODY

FAKE = Path(__file__).with_name("fake_llama_server.py")
PATIENCE_S = 60.0
JSON = {"Content-Type": "application/json"}


def eventually(condition: Callable[[], Any]) -> Any:
    """Return what a condition comes to, once it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@dataclass
class Reply:
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def document(self) -> Any:
        """Return the JSON of it."""
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        """Return the code of the error that it is."""
        return self.document["error"]["code"]

    @property
    def events(self) -> list[Any]:
        """Return the events of it, `[DONE]` as None."""
        data = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        return [None if one == "[DONE]" else json.loads(one) for one in data]


@dataclass
class Adapter:
    """One process, and the folder by which a test tells the stand-in what to do."""

    folder: Path
    process: subprocess.Popen[bytes]
    asking: list[threading.Thread] = field(default_factory=list)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return what it has written."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def told(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Return its lines of an event, once there are so many: a line is written after its reply was sent."""
        eventually(lambda: len(self._of(event)) >= count)
        return self._of(event)

    def _of(self, event: str) -> list[dict[str, Any]]:
        """Return its lines of an event so far."""
        return [line for line in self.lines if line["event"] == event]

    @property
    def port(self) -> int:
        """Return its port."""
        return int(self.told("listening")[0]["port"])

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """Return the reply to a request."""
        with contextlib.closing(self.connection()) as connection:
            sent = json.dumps(body).encode() if isinstance(body, dict) else body
            connection.request(method, path, sent, headers or JSON)
            reply = connection.getresponse()
            return Reply(reply.status, reply.read(), dict(reply.getheaders()))

    def prompt(self, text: str, path: str = "/invocations", **fields: Any) -> Reply:
        """Return the reply to a prompt."""
        return self.ask("POST", path, {"prompt": text, **fields})

    def later(self, text: str, **fields: Any) -> list[Reply]:
        """Ask on a thread; return where the reply will be."""
        replies: list[Reply] = []

        def asking() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # the test has ended before
                replies.append(self.prompt(text, **fields))

        thread = threading.Thread(target=asking, daemon=True)
        thread.start()
        self.asking.append(thread)
        return replies

    def send(self, text: str, **fields: Any) -> http.client.HTTPConnection:
        """Ask, and read no reply."""
        connection = self.connection()
        connection.request("POST", "/invocations", json.dumps({"prompt": text, **fields}).encode(), JSON)
        return connection

    def there(self, name: str) -> bool:
        """Return whether there is a file."""
        return (self.folder / name).exists()

    def release(self, *names: str) -> None:
        """Have the stand-in go on."""
        for name in names:
            (self.folder / name).touch()

    def metric(self, name: str) -> float:
        """Return one of its figures."""
        text = self.ask("GET", "/metrics").body.decode()
        return float(
            next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name + " "))
        )

    def wait_for_ping(self, status: int) -> None:
        """Wait until /ping says a status."""
        eventually(lambda: self.ask("GET", "/ping").status == status)


Start = Callable[..., Adapter]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start adapters that end with the test."""
    started: list[Adapter] = []

    def one(*, ready: bool = True, archive: Path | None = None, **environ: str) -> Adapter:
        folder = tmp_path / f"{len(started)}"
        folder.mkdir()
        model = archive or folder / "model"
        model.mkdir(exist_ok=True)
        write_tiny_gguf(model / "tiny.gguf")
        program = folder / "llama-server"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {FAKE} "$@"\n')
        program.chmod(0o755)
        if ready:
            (folder / "ready").touch()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(package_files.inference() / "adapter"), "serve"],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": os.environ["PATH"],
                    "SM_MODEL_DIR": str(model),
                    "SAGEMAKER_BIND_TO_PORT": "0",
                    "SEALIFT_BIND_HOST": "127.0.0.1",
                    "SEALIFT_LLAMA_SERVER": str(program),
                    "FAKE_FOLDER": str(folder),
                    **environ,
                },
            )
        started.append(Adapter(folder, process))
        if ready and "FAKE_FAILS" not in environ and archive is None:
            started[-1].wait_for_ping(200)
        return started[-1]

    yield one
    for adapter in started:
        adapter.process.kill()
        adapter.process.wait()
        for thread in adapter.asking:
            thread.join(PATIENCE_S)


def test_ping_says_200_only_after_a_first_token(start: Start) -> None:
    """Before, it says that the model is loading, and so does every request."""
    adapter = start(ready=False)
    eventually(lambda: adapter.there("started"))

    assert adapter.ask("GET", "/ping").status == 503
    refused = adapter.prompt("say")
    assert (refused.status, refused.code) == (503, "loading")
    assert adapter.ask("GET", "/v1/models").status == 503
    adapter.release("ready")
    adapter.wait_for_ping(200)
    (loaded,) = adapter.told("model_loaded")
    assert (loaded["model"], loaded["n_ctx"]) == ("demo", 512)
    assert [line["status"] for line in adapter.told("health", 2)] == [503, 200]


def test_a_model_that_does_not_load_is_told_with_llama_servers_own_words(start: Start) -> None:
    """By /ping, by every request, and once in the log; the process goes on to tell it."""
    adapter = start(FAKE_FAILS="1")
    adapter.wait_for_ping(500)
    reply = adapter.ask("GET", "/ping")

    assert "invalid magic characters" in reply.document["error"]["message"]
    assert "ended with status 1" in reply.document["error"]["message"]
    assert adapter.prompt("say").code == "load_failed"
    assert len(adapter.told("load_failed")) == 1
    assert adapter.process.poll() is None


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [("SEALIFT_N_CTX", "none", "SEALIFT_N_CTX"), ("SM_MODEL_DIR", "/nowhere", "no model in '/nowhere'")],
)
def test_settings_that_are_wrong_are_told_in_the_same_way(
    start: Start, variable: str, value: str, said: str
) -> None:
    """Nothing is started for them."""
    adapter = start(FAKE_FAILS="1", **{variable: value})
    adapter.wait_for_ping(500)

    assert said in adapter.ask("GET", "/ping").document["error"]["message"]
    assert not adapter.there("started")


def test_it_answers_under_every_path_and_refuses_others(start: Start) -> None:
    """Whole, as a stream, and as a chat; the statuses are those of server.py."""
    adapter = start()

    for path in ("/invocations", "/v1/completions", "/openai/v1/completions"):
        reply = adapter.prompt("say", path)
        assert reply.status == 200
        assert reply.document["choices"][0]["text"] == "one two three"
    chat = {"messages": [{"role": "user", "content": "say"}]}
    assert (
        adapter.ask("POST", "/invocations", chat).document["choices"][0]["message"]["content"]
        == "one two three"
    )
    assert adapter.ask("GET", "/openai/v1/models").document["data"][0]["id"] == "demo"
    *events, end = adapter.prompt("say", stream=True).events
    assert end is None
    assert "".join(event["choices"][0]["text"] for event in events) == "one two three"
    assert adapter.ask("POST", "/elsewhere", {}).code == "not_found"
    refused = adapter.ask("GET", "/invocations")
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")
    assert refused.headers["Server"] == "sealift"
    assert adapter.ask("POST", "/ping").status == 405
    assert adapter.ask("POST", "/invocations", b"{").status == 400


def test_a_chat_whose_parts_contradict_each_other_is_asked_whole(start: Start) -> None:
    """llama-server ends such a stream with an error, where the whole answer is none."""
    chat = {"messages": [{"role": "user", "content": "break"}]}

    reply = start().ask("POST", "/invocations", chat)
    assert reply.document["choices"][0]["message"]["content"] == "as a whole"


def test_as_many_as_slots_at_once_some_wait_and_the_others_are_refused(start: Start) -> None:
    """With a Retry-After; /ping and /metrics answer all the while."""
    adapter = start(SEALIFT_N_PARALLEL="2", SEALIFT_MAX_WAITING="1")
    assert adapter.metric("sealift_slots") == 2
    held = [adapter.later(f"hold {name}") for name in ("a", "b")]
    eventually(lambda: adapter.there("a.begun") and adapter.there("b.begun"))
    waiting = adapter.later("hold c")
    eventually(lambda: adapter.metric("sealift_requests_waiting") == 1)

    refused = adapter.prompt("say")
    assert (refused.status, refused.code) == (429, "queue_full")
    assert int(refused.headers["Retry-After"]) >= 1
    assert adapter.ask("GET", "/ping").status == 200
    assert adapter.metric("sealift_requests_running") == 2
    assert adapter.metric("llamacpp:requests_processing") == 0
    assert not adapter.there("c.begun")
    adapter.release("a", "b", "c")
    assert [eventually(lambda one=one: one)[0].status for one in (*held, waiting)] == [200] * 3


def test_metrics_are_told_though_llama_server_tells_none(start: Start) -> None:
    """Whoever looks for what is wrong with it needs them then."""
    adapter = start()
    assert "llamacpp:requests_processing 0" in adapter.ask("GET", "/metrics").body.decode()
    adapter.release("mute")

    told = adapter.ask("GET", "/metrics").body.decode()
    assert "llamacpp:" not in told
    assert "sealift_slots 1" in told


def test_callers_take_turns(start: Start) -> None:
    """Who is named by `user` has turns of his own, whoever came before with many requests."""
    adapter = start()
    adapter.later("hold first", user="many")
    eventually(lambda: adapter.there("first.begun"))
    for number, (name, user) in enumerate((("second", "many"), ("third", "many"), ("other", "few")), 1):
        adapter.later(f"hold {name}", user=user)
        eventually(lambda number=number: adapter.metric("sealift_requests_waiting") == number)

    for name, after in (("first", "second"), ("second", "other"), ("other", "third")):
        adapter.release(name)
        eventually(lambda after=after: adapter.there(f"{after}.begun"))
    assert not adapter.there("third")
    adapter.release("third")


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_ends_the_work(start: Start, stream: bool) -> None:
    """In llama-server too, and the turn is free; the log tells it as gone."""
    adapter = start()
    connection = adapter.send("hold a", stream=stream)
    eventually(lambda: adapter.there("a.begun"))
    waiting = adapter.send("hold b", stream=stream)
    eventually(lambda: adapter.metric("sealift_requests_waiting") == 1)

    waiting.close()
    eventually(lambda: adapter.metric("sealift_requests_waiting") == 0)
    connection.close()
    eventually(lambda: adapter.there("a.gone"))
    assert len(adapter.told("gone", 2)) == 2
    assert adapter.prompt("say").status == 200
    assert not adapter.there("b.begun")
    assert {line["status"] for line in adapter.told("gone")} == {499}
    assert adapter.metric('sealift_requests_total{event="gone"}') == 2


def test_an_answer_whose_time_is_over_is_what_there_is(start: Start) -> None:
    """With the reason, as the four functions have it."""
    reply = start(SEALIFT_TIMEOUT_S="1").prompt("hold a")

    assert reply.status == 200
    assert reply.document["choices"][0] == {
        "index": 0,
        "text": "one",
        "logprobs": None,
        "finish_reason": "timeout",
    }


def test_a_stream_whose_time_is_over_ends_with_an_event_that_says_so(start: Start) -> None:
    """After 8 minutes; here after one second."""
    adapter = start(SEALIFT_STREAM_TIMEOUT_S="1")
    reply = adapter.prompt("hold a", stream=True)

    assert reply.status == 200
    errors = [event["error"] for event in reply.events if event and "error" in event]
    assert [error["code"] for error in errors] == ["stream_timeout"]
    assert "1 s" in errors[0]["message"]
    assert eventually(lambda: adapter.there("a.gone"))
    (line,) = adapter.told("answered")
    assert line["ttft_ms"] > 0  # its first token came together with the prompt's progress


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_request_may_want_its_answer_sooner(start: Start, streamed: bool) -> None:
    """As JumpStart's and text-generation-inference's `max_time` has it: what there is by then is the answer."""
    body = {"inputs": "hold a", "parameters": {"max_time": 0.5}, "stream": streamed}
    reply = start().ask("POST", "/invocations", body)

    assert reply.status == 200
    answer = [event for event in reply.events if event][-1] if streamed else reply.document
    assert answer["choices"][0]["finish_reason"] == "timeout"
    assert answer["generated_text"] == "one"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_llama_server_cannot_read_is_told_as_the_text_that_it_is(
    start: Start, streamed: bool
) -> None:
    """llama-server makes an error of it and tells none of it; the four functions tell it."""
    adapter = start()
    body = {"messages": [{"role": "user", "content": "mumble"}], "stream": streamed}
    reply = adapter.ask("POST", "/invocations", body)

    assert reply.status == 200
    choices = (
        [event["choices"][0] for event in reply.events if event] if streamed else reply.document["choices"]
    )
    assert choices[-1]["finish_reason"] == "stop"
    said = [one.get("delta", one.get("message")).get("content") for one in choices]
    assert "".join(filter(None, said)) == "one two three"
    assert adapter.told("answered")[-1]["finish_reason"] == "stop"


def test_a_stream_in_which_something_unforeseen_happens_ends_with_an_event_that_says_so(start: Start) -> None:
    """And not with a second status in its midst; the log tells where, and none of the text."""
    adapter = start()
    reply = adapter.prompt("garble", stream=True)

    assert reply.status == 200
    assert reply.events[0]["choices"][0]["text"] == "one"
    assert reply.events[-1]["error"]["code"] == "internal_error"
    (failed,) = adapter.told("failed")
    assert failed["code"] == "internal_error"
    (error,) = adapter.told("error")
    assert any("events.py" in place for place in error["where"])
    whole = adapter.prompt("garble")
    assert (whole.status, whole.code) == (500, "internal_error")


def test_no_turn_in_time_is_told(start: Start) -> None:
    """Before the platform gives the call up."""
    adapter = start(SEALIFT_TIMEOUT_S="2")
    with contextlib.closing(adapter.send("hold a", stream=True)):
        eventually(lambda: adapter.there("a.begun"))
        reply = adapter.prompt("say")

    assert (reply.status, reply.code) == (503, "queue_timeout")
    assert "Retry-After" in reply.headers


def test_the_end_of_llama_server_is_told_and_it_is_started_again(start: Start) -> None:
    """A stream gets an event, a whole answer a 500; no text of anybody's is in the log."""
    adapter = start(SEALIFT_N_PARALLEL="3")
    stream = adapter.later("hold a", stream=True)
    whole = adapter.later("hold b")
    eventually(lambda: adapter.there("a.begun") and adapter.there("b.begun"))
    (adapter.folder / "ready").unlink()
    died = adapter.prompt("die")

    assert (died.status, died.code) == (500, "llama_server_ended")
    assert eventually(lambda: whole)[0].code == "llama_server_ended"
    assert [
        event["error"]["code"] for event in eventually(lambda: stream)[0].events if event and "error" in event
    ]
    adapter.wait_for_ping(500)
    message = adapter.ask("GET", "/ping").document["error"]["message"]
    assert "GGML_ASSERT(secretly) failed" in message
    adapter.release("ready")
    adapter.wait_for_ping(200)
    assert adapter.prompt("say").status == 200
    assert adapter.metric("sealift_llama_server_restarts_total") == 1
    assert "a secret" not in (adapter.folder / "log").read_text()
    assert sorted(line["status"] for line in adapter.told("failed", 3)) == [200, 500, 500]


def test_it_stays_down_when_it_ends_again_and_again(start: Start) -> None:
    """And says so."""
    adapter = start()
    for ends in range(1, 5):
        adapter.wait_for_ping(200)
        assert adapter.prompt("die").status == 500
        assert len(adapter.told("llama_server_ended", ends)) == ends
    eventually(lambda: "not started again" in adapter.ask("GET", "/ping").body.decode())

    assert len(adapter.told("loading", 4)) == 4


def test_sigterm_lets_what_is_under_way_end(start: Start) -> None:
    """Nothing new is taken; the exit status is 0."""
    adapter = start()
    held = adapter.later("hold a")
    eventually(lambda: adapter.there("a.begun"))
    port = adapter.port
    adapter.process.send_signal(signal.SIGTERM)
    adapter.told("stopping")

    with pytest.raises(OSError):  # noqa: PT011 refused or reset
        eventually(lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/ping"))
    adapter.release("a")
    assert eventually(lambda: held)[0].status == 200
    assert adapter.process.wait(PATIENCE_S) == 0
    assert adapter.told("stopped")[0]["drained"] is True


def test_sigterm_ends_a_load(start: Start) -> None:
    """And nothing of it stays."""
    adapter = start(ready=False)
    eventually(lambda: adapter.there("started"))
    (child,) = psutil.Process(adapter.process.pid).children()
    adapter.process.send_signal(signal.SIGTERM)

    assert adapter.process.wait(PATIENCE_S) == 0
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_llama_server_does_not_outlive_an_adapter_that_is_killed(start: Start) -> None:
    """Whatever it does at the moment."""
    adapter = start()
    held = adapter.send("hold a")
    eventually(lambda: adapter.there("a.begun"))
    (child,) = psutil.Process(adapter.process.pid).children()
    adapter.process.kill()
    adapter.process.wait()

    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    held.close()


def test_the_folder_of_its_socket_may_be_deep_and_does_not_stay(start: Start, tmp_path: Path) -> None:
    """A socket's path may have 107 bytes, and a temporary folder any number."""
    deep = tmp_path / ("deep" * 40)
    deep.mkdir()
    adapter = start(TMPDIR=str(deep))
    assert adapter.prompt("say").status == 200
    assert len(list(deep.iterdir())) == 1
    adapter.process.send_signal(signal.SIGTERM)

    assert adapter.process.wait(PATIENCE_S) == 0
    assert list(deep.iterdir()) == []


def test_a_body_that_is_too_large_is_refused(start: Start) -> None:
    """By its length, and where none is told by what comes; one in chunks is taken."""
    adapter = start()

    assert adapter.ask("POST", "/invocations", b"x" * (MAX_BODY + 1)).code == "body_too_large"
    with contextlib.closing(adapter.connection()) as connection:
        body = json.dumps({"prompt": "say"}).encode()
        connection.request("POST", "/invocations", iter([body[:3], body[3:]]), JSON, encode_chunked=True)
        assert connection.getresponse().status == 200


def test_each_request_has_one_line_and_no_text_in_it(start: Start) -> None:
    """With the names that `sealift_log` has, and the caller's trace."""
    adapter = start(SEALIFT_ENDPOINT="harbour", SEALIFT_VARIANT="one")
    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    adapter.ask("POST", "/invocations", {"prompt": "say", "user": "somebody"}, JSON | parent)
    adapter.prompt("say", stream=True)
    adapter.prompt("say", temperature="hot")

    answered, refused = adapter.told("answered", 2), adapter.told("refused")
    assert [len(answered), len(refused)] == [2, 1]
    for line in answered:
        assert line["ttft_ms"] >= line["queue_ms"] >= 0
        assert (line["finish_reason"], line["predicted_n"], line["status"]) == ("stop", 3, 200)
        assert (line["endpoint"], line["variant"], line["path"]) == ("harbour", "one", "/invocations")
    assert [line.get("trace_id") for line in answered] == [trace, None]
    assert refused[0]["status"] == 400
    text = re.sub(r'"(path|model|file)": "[^"]*"', "", (adapter.folder / "log").read_text())
    assert not re.search(r"somebody|\btwo\b|\bsay\b", text)


def test_functions_of_an_archive_are_served_by_themselves(start: Start, tmp_path: Path) -> None:
    """By server.py, without llama-server."""
    archive = tmp_path / "archive"
    (archive / "code").mkdir(parents=True)
    (archive / "code" / "inference.py").write_text(
        "def model_fn(folder): return 1\n"
        "def input_fn(body, kind): return body\n"
        "def predict_fn(data, model): return 'theirs'\n"
        "def output_fn(said, accept): return said\n"
    )
    adapter = start(archive=archive)
    adapter.wait_for_ping(200)

    assert adapter.prompt("say").body == b"theirs"
    assert adapter.told("listening")[0]["serves"] == "the four functions"
    assert not adapter.there("started")
