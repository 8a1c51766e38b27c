"""Embeddings by the real llama.cpp, of small real models."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import write_tiny_gguf
from inference import inference
from inference.inference import BadRequest
from sealift_embeddings import EmbeddingModel

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["hello harbour", "crane tide ship night . ?", "hello " * 511, "The harbour opens early. " * 60]
POOLINGS = [gguf.PoolingType.MEAN, gguf.PoolingType.CLS, gguf.PoolingType.LAST]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two llama.cpp threads on contended cores wait for each other in loops."""
    monkeypatch.delenv("SEALIFT_N_CTX", raising=False)
    monkeypatch.setenv("SEALIFT_N_THREADS", "1")


def _written(folder: Path, kind: str, pooling: gguf.PoolingType | None) -> Path:
    path = folder / "model.gguf"
    if kind == "bert":
        return write_tiny_encoder(path, pooling=pooling, ctx=2048)
    return write_tiny_gguf(path, pooling=pooling, template=False)


def _ask(model: Any, **request: Any) -> dict[str, Any]:
    data = inference.input_fn(json.dumps(request), "application/json")
    body, _ = inference.output_fn(inference.predict_fn(data, model), "application/json")
    answer: dict[str, Any] = json.loads(body)
    return answer


def _vectors(answer: dict[str, Any]) -> list[Any]:
    return [np.array(one["embedding"]) for one in answer["data"]]


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_embeddings_are_llama_cpps_own(tmp_path: Path, kind: str, pooling: gguf.PoolingType) -> None:
    """An encoder's and a generator's body, by each pooling, texts of more tokens than a batch among them."""
    import llama_cpp

    path = _written(tmp_path, kind, pooling)
    with contextlib.redirect_stderr(io.StringIO()):
        llama = llama_cpp.Llama(
            str(path),
            embedding=True,
            n_ctx=2048,
            n_batch=2048,
            n_ubatch=2048,
            n_threads=1,
            flash_attn=True,
            verbose=True,
        )
        wanted = [llama.embed(text, normalize=True) for text in TEXTS]

    answer = _ask(inference.model_fn(str(tmp_path)), input=TEXTS)

    for found, own in zip(_vectors(answer), wanted, strict=True):
        assert np.abs(found - own).max() < 1e-6
    assert answer["usage"]["prompt_tokens"] > 512


@pytest.mark.parametrize("pooling", [gguf.PoolingType.NONE, None])
def test_an_encoder_that_tells_no_pooling_gives_the_mean(
    tmp_path: Path, pooling: gguf.PoolingType | None
) -> None:
    """One vector for each text all the same."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _written(tmp_path / "a", "bert", pooling)
    _written(tmp_path / "b", "bert", gguf.PoolingType.MEAN)

    without, mean = (
        _vectors(_ask(inference.model_fn(str(tmp_path / name)), input=TEXTS)) for name in ("a", "b")
    )

    assert [one.tolist() for one in without] == [one.tolist() for one in mean]


def test_a_text_may_fill_the_context_and_no_more(tmp_path: Path) -> None:
    """llama.cpp would end the process, not the call."""
    write_tiny_encoder(tmp_path / "m.gguf", ctx=128)
    model = inference.model_fn(str(tmp_path))
    assert isinstance(model, EmbeddingModel)

    answer = _ask(model, input="hello " * 126)

    assert answer["usage"]["prompt_tokens"] == model.encoder.most == 128
    with pytest.raises(BadRequest, match="129 tokens and a text may have 128"):
        _ask(model, input="hello " * 127)


def test_a_text_is_embedded_alike_whatever_came_before_it(tmp_path: Path) -> None:
    """Nothing of one text is left in the cache for the next one."""
    write_tiny_gguf(tmp_path / "m.gguf", pooling=gguf.PoolingType.LAST)
    model = inference.model_fn(str(tmp_path))

    first = _ask(model, input=TEXTS[0])["data"]
    _ask(model, input=TEXTS[3])

    assert _ask(model, input=TEXTS[0])["data"] == first


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_an_embedding_can_be_interrupted(tmp_path: Path, kind: str) -> None:
    """By the watch over the call's time; the next text is embedded as if nothing had been."""
    _written(tmp_path, kind, gguf.PoolingType.MEAN)
    model = inference.model_fn(str(tmp_path))
    assert isinstance(model, EmbeddingModel)
    tokens = model.encoder.tokenize(TEXTS[3])
    whole = model.encoder.embed(tokens)

    model.encoder.interrupt()
    assert model.encoder.embed(tokens) is None
    model.encoder.resume()

    assert (model.encoder.embed(tokens) == whole).all()


@pytest.mark.parametrize("template", [True, False])
def test_a_model_that_generates_does_not_embed(tmp_path: Path, *, template: bool) -> None:
    """With a chat template or without; one text without a field of embeddings is what OpenAI calls a response."""
    write_tiny_gguf(tmp_path / "m.gguf", template=template)
    model = inference.model_fn(str(tmp_path))

    assert _ask(model, prompt="Hello.")["choices"]
    assert _ask(model, input="Hello.")["object"] == "response"
    for body in ({"input": ["Hello."]}, {"input": "Hello.", "encoding_format": "base64"}):
        with pytest.raises(BadRequest, match="embeds none"):
            _ask(model, **body)


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    """Not as JSON that no client reads."""
    write_tiny_encoder(tmp_path / "m.gguf", spoiled="nan")

    with pytest.raises(BadRequest, match="no number") as refusal:
        _ask(inference.model_fn(str(tmp_path)), input="hello")
    assert refusal.value.status_code == 500
