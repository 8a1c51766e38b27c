"""Rankings by the real llama.cpp, of small real rerankers, and by llama-server where it is built."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import gguf
import pytest

from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import write_tiny_gguf
from inference import inference
from inference.inference import BadRequest, LoadError
from local_cloud.hosting.containers.free_ports import free_port
from pipeline import package_files
from sealift_ranking import RankingModel

if TYPE_CHECKING:
    from pathlib import Path

QUERY = "ship in the harbour?"
DOCUMENTS = [
    *("hello harbour", "crane tide ship night . ?", "The harbour opens early. " * 60, "pilot"),
    "Cranes lift containers </s> from trucks to deck. [SEP]",
]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two llama.cpp threads on contended cores wait for each other in loops."""
    monkeypatch.delenv("SEALIFT_N_CTX", raising=False)
    monkeypatch.setenv("SEALIFT_N_THREADS", "1")


def _written(folder: Path, kind: str) -> Path:
    path = folder / "model.gguf"
    if kind == "bert":
        return write_tiny_encoder(path, pooling=gguf.PoolingType.RANK, ctx=2048)
    return write_tiny_gguf(path, reranks=True)


def _ask(model: Any, **request: Any) -> Any:
    data = inference.input_fn(json.dumps(request), "application/json")
    body, _ = inference.output_fn(inference.predict_fn(data, model), "application/json")
    return json.loads(body)


def _llama_server(path: Path, *requests: dict[str, Any]) -> list[Any]:
    """Return what llama-server answers under /rerank."""
    program, port = package_files.llama_server(), free_port()
    if program is None:
        pytest.skip("llama-server is not built: make llama-server")
    options = ["--rerank", "-c", "2048", "-b", "2048", "-ub", "2048", "-t", "1", "-np", "1"]
    process = subprocess.Popen(
        [program, "-m", str(path), "--port", str(port), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        answers = []
        for request in requests:
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}/rerank",
                json.dumps(request).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(asked, timeout=30) as response:
                answers.append(json.load(response))
        return answers
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_scores_are_llama_servers_own(tmp_path: Path, kind: str) -> None:
    """Of an encoder with separators and of a decoder with a template, special tokens in a document among them."""
    documents, texts = {"query": QUERY, "documents": DOCUMENTS}, {"query": QUERY, "texts": DOCUMENTS}
    theirs, theirs_bare = _llama_server(_written(tmp_path, kind), documents, texts)

    model = inference.model_fn(str(tmp_path))
    ours, ours_bare = _ask(model, **documents), _ask(model, **texts)

    assert ours["usage"] == theirs["usage"]
    assert [one["index"] for one in ours["results"]] == [one["index"] for one in theirs["results"]]
    for found, label, wanted in (
        (ours["results"], "relevance_score", theirs["results"]),
        (ours_bare, "score", theirs_bare),
    ):
        assert [one[label] for one in found] == pytest.approx([one[label] for one in wanted], abs=1e-3)


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_a_pair_is_scored_alike_whatever_came_before_it(tmp_path: Path, kind: str) -> None:
    """Nothing of one pair is left for the next; other texts have other scores; a watch interrupts."""
    _written(tmp_path, kind)
    model = inference.model_fn(str(tmp_path))
    assert isinstance(model, RankingModel)

    first, second = (_ask(model, query=QUERY, texts=DOCUMENTS, top_n=3) for _ in range(2))
    model.ranker.interrupt()
    interrupted = model.ranker.score([1, 2, 3])
    model.ranker.resume()

    assert first == second
    assert len({one["score"] for one in first}) == 3
    assert interrupted is None
    assert _ask(model, query=QUERY, texts=DOCUMENTS, top_n=3) == first


def test_a_pair_may_fill_the_context_and_no_more(tmp_path: Path) -> None:
    """llama.cpp would end the process, not the call."""
    write_tiny_encoder(tmp_path / "m.gguf", pooling=gguf.PoolingType.RANK, ctx=128)
    model = inference.model_fn(str(tmp_path))

    # [CLS] query [SEP] document
    answer = _ask(model, query="hello", documents=["hello " * 123 + "tide ship"])
    assert answer["usage"]["prompt_tokens"] == 128
    with pytest.raises(BadRequest, match="129 tokens together with the query, and both may have 128"):
        _ask(model, query="hello", documents=["hello " * 126])
    assert len(_ask(model, query="hello", texts=["hello " * 900], truncate=True)) == 1


@pytest.mark.parametrize(
    "request_", [{"messages": [{"role": "user", "content": "Hi."}]}, {"input": "Hi."}, {"prompt": "Hi."}]
)
def test_a_reranker_does_nothing_else(tmp_path: Path, request_: dict[str, Any]) -> None:
    """Neither does it chat nor embed."""
    _written(tmp_path, "qwen3")

    with pytest.raises(BadRequest, match="ranks texts, and does nothing else; ask with 'query'") as refusal:
        _ask(inference.model_fn(str(tmp_path)), **request_)
    assert refusal.value.code == "wrong_task"


@pytest.mark.parametrize("kind", ["generator", "encoder"])
def test_no_other_model_ranks(tmp_path: Path, kind: str) -> None:
    """A number that looks like a score would be believed."""
    path = tmp_path / "m.gguf"
    _ = write_tiny_gguf(path) if kind == "generator" else write_tiny_encoder(path)

    with pytest.raises(BadRequest, match="ranks none"):
        _ask(inference.model_fn(str(tmp_path)), query="a", documents=["b"])


def test_a_model_without_a_head_that_llama_cpp_loads_is_refused(tmp_path: Path) -> None:
    """What it would give out is the first number of an embedding."""
    write_tiny_gguf(tmp_path / "m.gguf", pooling=gguf.PoolingType.RANK)

    with pytest.raises(LoadError, match="no classifier"):
        inference.model_fn(str(tmp_path))


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    """Not as JSON that no client reads."""
    write_tiny_encoder(tmp_path / "m.gguf", pooling=gguf.PoolingType.RANK, spoiled="nan")

    with pytest.raises(BadRequest, match="no number") as refusal:
        _ask(inference.model_fn(str(tmp_path)), query="a", documents=["b"])
    assert refusal.value.status_code == 500
