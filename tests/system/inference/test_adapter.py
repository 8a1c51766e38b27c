"""The adapter before the real llama-server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from adapter.collected import Collected, streamed
from adapter.command import Command, environment
from adapter.events import END, Events
from adapter.header import read_header
from adapter.process import LlamaServer
from adapter.upstream import UpstreamCall

from examples.tiny_companions import write_tiny_lora, write_tiny_projector
from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import ANSWER, write_tiny_gguf
from pipeline import package_files
from sealift_settings import Settings
from tests.system.inference import test_server as servers
from tests.system.inference.test_server import Running

PROGRAM = package_files.llama_server()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no llama-server here; `make llama-server` builds it")
ADAPTER = (sys.executable, str(package_files.inference() / "adapter"))
DEMO = Path(__file__).parents[3] / "examples" / "demo_model" / "sealift-demo.gguf"
VOLATILE = {"id", "created", "timings", "id_slot", "generation_settings", "prompt", "tokens_cached", "model"}
SAME = {"temperature": 0.0, "n_predict": 24, "seed": 1, "cache_prompt": False}
TOOL = {
    "type": "function",
    "function": {"name": "berth", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}


def chat(text: str, **more: Any) -> UpstreamCall:
    """Return a chat's call."""
    return UpstreamCall(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **SAME, **more}
    )


def text(prompt: Any, **more: Any) -> UpstreamCall:
    """Return a text's call."""
    return UpstreamCall("/completion", {"prompt": prompt, **SAME, **more})


CALLS = [
    pytest.param(text("The harbour"), id="text"),
    pytest.param(text("The harbour", stop=["ea"]), id="text that stops within a word"),
    pytest.param(text([1, 2, 3], return_tokens=True), id="tokens"),
    pytest.param(text("The harbour", n_probs=2), id="log-probabilities"),
    pytest.param(text("The", grammar='root ::= "ships and " [a-z]+'), id="grammar"),
    pytest.param(text("The", n_predict=600), id="the context is full"),
    pytest.param(text("The", response_fields=["content", "stop", "stop_type"]), id="some fields"),
    pytest.param(text("sail " * 800), id="a prompt that is too long"),
    pytest.param(chat("What lies in the harbour?"), id="chat"),
    pytest.param(chat("What lies in the harbour?", stop=[" is"]), id="chat that stops"),
    pytest.param(chat("What?", json_schema={"type": "array", "items": {"type": "integer"}}), id="schema"),
    pytest.param(chat("What?", json_schema={"type": "no such"}), id="a schema that is none"),
    pytest.param(chat("What?", tools=[TOOL], tool_choice="required", n_predict=200), id="a required call"),
    pytest.param(chat("sail " * 800), id="a chat that is too long"),
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[asyncio.Runner, LlamaServer]]:
    """Run llama-server as the adapter does, without it."""
    assert PROGRAM is not None
    command = Command(PROGRAM, DEMO, Settings(n_ctx=512), read_header(DEMO), 1)
    with asyncio.Runner() as runner:
        server = runner.run(LlamaServer.start(command, environment({"PATH": os.defpath})))
        try:
            runner.run(server.ready())
            yield runner, server
        finally:
            runner.run(server.stop())


@pytest.mark.parametrize("call", CALLS)
def test_a_stream_adds_up_to_the_whole_answer(
    upstream: tuple[asyncio.Runner, LlamaServer], call: UpstreamCall
) -> None:
    """What is collected is what llama-server answers when it is asked for the whole, errors too."""
    runner, server = upstream

    async def collect() -> Any:
        async with server.stream(streamed(call)) as answer:
            if answer.status != 200:
                return answer.status, json.loads(await answer.read())
            events, found = Events(), Collected(call)
            async for piece in answer.content.iter_any():
                for event in events.feed(piece):
                    if event is not END:
                        found.add(event)
        assert found.ended
        return found.reply().status, found.reply().document

    def plain(status: int, document: Any) -> tuple[int, Any]:
        """Return a reply without what differs from one time to the next."""
        kept = {name: value for name, value in document.items() if name not in VOLATILE}
        for choice in kept.get("choices", []):
            for one in choice["message"].get("tool_calls", []):
                one.pop("id")
        return status, kept

    whole = runner.run(server.ask(call))
    assert plain(*runner.run(collect())) == plain(whole.status, whole.document)


HELD = [
    pytest.param(text("The harbour", n_predict=96, ignore_eos=True), id="text"),
    pytest.param(text("The harbour", n_predict=96, ignore_eos=True, stop=["zzz"]), id="text with a stop"),
    pytest.param(chat("What lies in the harbour?", n_predict=96, ignore_eos=True), id="chat"),
]


@pytest.mark.parametrize("call", HELD)
def test_a_stream_that_may_be_held_back_says_the_same_in_few_events(
    upstream: tuple[asyncio.Runner, LlamaServer], call: UpstreamCall
) -> None:
    """With its first token at once, and the rest when the time is over or the answer is: here that is not before."""
    runner, server = upstream

    async def parts(**more: Any) -> list[str]:
        events, found = Events(), []
        body = {**call.body, "stream": True, **more}
        async with server.stream(UpstreamCall(call.path, body)) as answer:
            assert answer.status == 200
            async for piece in answer.content.iter_any():
                for event in (one for one in events.feed(piece) if one is not END):
                    deltas = [choice["delta"] for choice in event.get("choices", [])]
                    said = event.get("content") or "".join(delta.get("content") or "" for delta in deltas)
                    found += [said] if said else []
        return found

    each, held = runner.run(parts()), runner.run(parts(t_hold_ms=60_000))
    assert "".join(held) == "".join(each)
    assert len(each) > 48
    assert len(held) == 2
    assert held[0] == each[0]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model that takes its time."""
    folder = tmp_path_factory.mktemp("slow")
    write_tiny_gguf(folder / "slow.gguf", layers=6, embd=512, ctx=8192, tensor_type="q8_0")
    return folder


def figure(running: Running, name: str) -> float:
    """Return one of the figures at /metrics."""
    with contextlib.closing(servers.http.client.HTTPConnection("127.0.0.1", running.port)) as connection:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


def comes_to(running: Running, name: str, value: float) -> bool:
    """Wait until a figure has a value."""
    deadline = time.monotonic() + servers.PATIENCE_S
    while figure(running, name) != value:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    ("form", "more"),
    [
        pytest.param("prompt", {"stream": False}, id="text"),
        pytest.param("prompt", {"stream": True}, id="streamed text"),
        pytest.param("messages", {"stream": False}, id="chat"),
        pytest.param("messages", {"stream": True}, id="streamed chat"),
        pytest.param("messages", {"logprobs": True}, id="chat that is asked whole"),
    ],
)
def test_who_hangs_up_ends_the_work_beside_others(slow: Path, form: str, more: dict[str, Any]) -> None:
    """Long before the answer is complete, and while another one is being generated."""
    asked = {"prompt": "A ship", "messages": [{"role": "user", "content": "A ship"}]}
    body: dict[str, Any] = {form: asked[form], "max_tokens": 6000, "ignore_eos": True, **more}
    processing = "llamacpp:requests_processing"
    with servers._running(slow, command=ADAPTER, SEALIFT_N_CTX="8192", SEALIFT_N_PARALLEL="2") as running:
        assert running.until_loaded() == 200
        other = servers._asking(running, json.dumps({**body, "stream": True}).encode())
        assert comes_to(running, processing, 1)
        mine = servers._asking(running, json.dumps(body).encode())
        assert comes_to(running, processing, 2)
        mine.close()
        assert comes_to(running, processing, 1)
        other.close()
        assert comes_to(running, processing, 0)

        assert figure(running, "llamacpp:tokens_predicted_total") < 6000


def test_the_adapter_runs_as_nobody_in_a_tree_it_cannot_write(image: Path) -> None:
    """Another user, nothing writable but one folder: loaded, asked, stopped, and nothing left behind."""
    assert PROGRAM is not None
    (image / "opt").chmod(0o755)
    shutil.copytree(PROGRAM.parent, image / "opt" / "llama-server")
    (image / "opt").chmod(0o555)
    packages = [path for path in sys.path if path.endswith("site-packages")]

    with servers._running(
        image / "model",
        command=(str(servers._python()), str(image / "opt" / "adapter")),
        confine=servers._confined(4 << 30),
        HOME=str(image / "tmp"),
        TMPDIR=str(image / "tmp"),
        PYTHONPATH=os.pathsep.join(packages),
        PYTHONDONTWRITEBYTECODE="1",
    ) as running:
        loaded = running.until_loaded()
        reason = running.ask("GET", "/ping")[1]
        owner = Path(f"/proc/{running.process.pid}").stat().st_uid
        status, answer = running.invoke(prompt="Hello.", temperature=0)
        ended = running.stop()

    assert loaded == 200, reason
    assert owner == servers._user()
    assert (status, answer["choices"][0]["text"]) == (200, ANSWER)
    assert ended == 0
    assert list((image / "tmp").iterdir()) == []


archive = servers.archive
image = servers.image


def test_a_model_for_embeddings_embeds(tmp_path: Path) -> None:
    """A text that is as long as the context among them: it is evaluated at once."""
    write_tiny_encoder(tmp_path / "encoder.gguf")
    with servers._running(tmp_path, command=ADAPTER) as running:
        assert running.until_loaded() == 200
        status, answer = running.invoke(input=["a ship", "a harbour"])
        refused, error = running.invoke(prompt="a ship")

    assert status == 200
    assert [round(sum(one * one for one in each["embedding"]), 4) for each in answer["data"]] == [1.0, 1.0]
    assert (refused, error["error"]["code"]) == (400, "wrong_task")


def test_a_reranker_ranks(tmp_path: Path) -> None:
    """And does nothing else."""
    write_tiny_encoder(tmp_path / "ranker.gguf", pooling=gguf.PoolingType.RANK)
    with servers._running(tmp_path, command=ADAPTER) as running:
        assert running.until_loaded() == 200
        status, answer = running.invoke(query="a ship", documents=["a ship", "a harbour"])

    assert status == 200
    assert {one["index"] for one in answer["results"]} == {0, 1}


PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)


def test_what_lies_beside_the_model_is_loaded(tmp_path: Path) -> None:
    """A projector lets it see, an adapter changes what it says, a draft model guesses ahead; the log names them."""
    image = [{"type": "image_url", "image_url": {"url": PIXEL}}, {"type": "text", "text": "What?"}]
    messages = [{"role": "user", "content": image}]
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    for folder in (alone, beside):
        folder.mkdir()
        write_tiny_gguf(folder / "harbour.gguf")
    write_tiny_projector(beside / "mmproj.gguf")
    write_tiny_lora(beside / "lora.gguf")
    write_tiny_gguf(beside / "draft.gguf", layers=1)
    told = []
    for folder in (alone, beside):
        with servers._running(folder, command=ADAPTER) as running:
            assert running.until_loaded() == 200, running.lines
            seen, _ = running.invoke(messages=messages, max_tokens=8)
            status, answer = running.invoke(prompt="Hello.", temperature=0)
            assert status == 200
            loaded = servers._logged(running, "model_loaded")
            told.append((seen, answer["choices"][0]["text"], sorted(loaded["beside"])))

    assert told[0] == (400, ANSWER, [])
    assert told[1][0] == 200
    assert told[1][1] != ANSWER
    assert told[1][2] == ["draft.gguf", "lora.gguf", "mmproj.gguf"]
