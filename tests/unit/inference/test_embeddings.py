"""The shape of embeddings, and what is refused, with an encoder that is only a script."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.inference import Model, Unloaded, output_fn, predict_fn
from sealift_embeddings import MOST_NUMBERS, EmbeddingModel, embeddings
from sealift_engine import Limits
from sealift_request import BadRequest, Request
from sealift_settings import Settings

FOR_EVER = Limits(lambda: float("inf"))


class _Scripted:
    """Embeds a text as the number of its words, in the first place, and three in the second."""

    def __init__(self, width: int = 2, most: int = 8, vector: Any = None, ends_after: int = 99) -> None:
        self.width = width
        self.most = most
        self.vector = vector
        self.left = ends_after
        self.calls: list[str] = []

    def tokenize(self, text: str) -> list[int]:
        return list(range(len(text.split())))

    def embed(self, tokens: list[int]) -> Any:
        self.left -= 1
        if self.left < 0:
            return None
        if self.vector is not None:
            return np.array(self.vector, np.float32)
        return np.array([len(tokens), 3] + [0] * (self.width - 2), np.float32)

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def resume(self) -> None:
        self.calls.append("resume")


def _model(**changes: Any) -> EmbeddingModel:
    return EmbeddingModel(_Scripted(**changes), "harbour", 60)


def _asked(*texts: str, **changes: Any) -> Request:
    return Request("input", texts=texts, **changes)


def test_the_answer_is_openais_list() -> None:
    """In the order of the inputs, each of length 1, with the tokens of all."""
    answer = embeddings(_model(), _asked("a b c d", "a"), FOR_EVER, queued_s=0.25)

    timings = answer.pop("timings")
    assert answer == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.8, 0.6]},
            {"object": "embedding", "index": 1, "embedding": [0.31622776, 0.9486833]},
        ],
        "model": "harbour",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }
    assert (timings["queue_ms"], timings["prompt_n"]) == (250.0, 5)


def test_base64_is_what_openais_client_reads() -> None:
    """Float32, little endian; the client asks so unless told otherwise."""
    (one,) = embeddings(_model(), _asked("a b c d", encoding="base64"), FOR_EVER)["data"]

    assert struct.unpack("<2f", base64.b64decode(one["embedding"])) == pytest.approx((0.8, 0.6))


@given(st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=8))
def test_both_forms_are_the_same_numbers(vector: list[float]) -> None:
    """Decimals are short, and not a bit less; what is not zero has length 1."""
    model = _model(vector=vector, width=len(vector))
    plain, packed = (
        embeddings(model, _asked("a", encoding=encoding), FOR_EVER)["data"][0]["embedding"]
        for encoding in ("float", "base64")
    )

    assert np.array(plain, np.float32).tobytes() == base64.b64decode(packed)
    length = np.linalg.norm(np.array(vector, np.float64))
    assert np.linalg.norm(plain) == pytest.approx(1 if length else 0, abs=1e-5)


@pytest.mark.parametrize(
    ("model", "request_", "status", "code", "words"),
    [
        pytest.param(
            _model(),
            _asked("a", " ".join("b" * 9)),
            400,
            "context_length_exceeded",
            "input[1] has 9",
            id="long",
        ),
        pytest.param(_model(), _asked(" "), 400, "invalid_value", "no token", id="nothing"),
        pytest.param(
            _model(),
            _asked("a", dimensions=3),
            400,
            "invalid_value",
            "have 2 numbers",
            id="longer-than-it-is",
        ),
        pytest.param(
            _model(width=MOST_NUMBERS // 2),
            _asked("a", "b", "c"),
            413,
            "answer_too_large",
            "send 2 texts at a time",
            id="too many numbers",
        ),
        pytest.param(
            _model(ends_after=1), _asked("a", "b"), 413, "timeout", "after 1 of 2", id="interrupted"
        ),
        pytest.param(_model(vector=[1, np.nan]), _asked("a"), 500, "broken_model", "no number", id="nan"),
        pytest.param(_model(vector=[1, np.inf]), _asked("a"), 500, "broken_model", "infinity", id="infinity"),
    ],
)
def test_what_cannot_be_embedded_whole_is_refused(
    model: EmbeddingModel, request_: Request, status: int, code: str, words: str
) -> None:
    """With a status and a sentence; nothing is cut off in silence."""
    with pytest.raises(BadRequest) as refusal:
        embeddings(model, request_, FOR_EVER)

    assert (refusal.value.status_code, refusal.value.code) == (status, code)
    assert words in str(refusal.value)


def test_what_just_fits_is_embedded() -> None:
    """The bounds are inclusive."""
    long = embeddings(_model(), _asked(" ".join("b" * 8), dimensions=2), FOR_EVER)
    many = embeddings(_model(width=MOST_NUMBERS // 2), _asked("a", "b"), FOR_EVER)

    assert long["usage"]["prompt_tokens"] == 8
    assert len(many["data"]) == 2


def test_a_call_whose_time_is_over_has_no_answer() -> None:
    """A part of the list would be taken for all of it."""
    with pytest.raises(BadRequest, match="after 0 of 1"):
        embeddings(_model(), _asked("a"), Limits(lambda: 0.0))


def test_zeros_are_handed_on() -> None:
    """They are for the smoke test to find; nothing is divided by them."""
    (one,) = embeddings(_model(vector=[0, 0]), _asked("a"), FOR_EVER)["data"]

    assert one["embedding"] == [0, 0]


def test_each_model_is_asked_for_what_it_does() -> None:
    """The refusal says what the model does, and how to ask it."""

    class _Engine:
        def generate(self, *_: Any) -> Any:
            raise AssertionError("asked")

    chats = Model(_Engine(), Settings(), "talker", 64, lambda _: [1], None)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="'talker' generates text, and embeds none; ask with 'messages'"):
        predict_fn(_asked("a", "b"), chats)
    with pytest.raises(BadRequest, match="embeds none"):
        predict_fn(_asked("a", encoding="base64"), chats)
    with pytest.raises(BadRequest, match="'harbour' embeds texts, and generates none; ask with 'input'"):
        predict_fn(Request("prompt", prompt="a"), _model())
    with pytest.raises(BadRequest, match="no memory"):
        predict_fn(_asked("a"), Unloaded("no memory"))


def test_the_four_functions_embed_and_log_no_text() -> None:
    """The answer is JSON; the log has figures and the request's id."""
    lines: list[dict[str, Any]] = []
    model = EmbeddingModel(
        _Scripted(), "harbour", 60, lambda event, **told: lines.append({"event": event, **told})
    )

    body, kind = output_fn(predict_fn(_asked("secret words"), model), None)

    assert kind == "application/json"
    assert json.loads(body)["data"][0]["object"] == "embedding"
    assert [line["event"] for line in lines] == ["answered"]
    assert (lines[0]["texts"], lines[0]["prompt_n"]) == (1, 2)
    assert "secret" not in json.dumps(lines)


def test_fewer_dimensions_are_the_first_ones_made_as_long_again() -> None:
    """What models that were trained for it mean by fewer."""
    (one,) = embeddings(_model(vector=[3, 4]), _asked("a", dimensions=1), FOR_EVER)["data"]

    assert one["embedding"] == [1]


def test_clients_of_inputs_get_bare_vectors() -> None:
    """As text-embeddings-inference gives them; JumpStart's older name has its own."""
    model = _model(vector=[3, 4])
    vectors = predict_fn(Request("inputs", batch=("a", "b"), listed=True), model)

    assert vectors == [pytest.approx([0.6, 0.8])] * 2
    assert predict_fn(Request("inputs", prompt="a"), model) == [pytest.approx([0.6, 0.8])]
    assert predict_fn(Request("inputs", prompt="a", jumpstart=True), model) == {
        "embedding": [pytest.approx([0.6, 0.8])]
    }
    with pytest.raises(BadRequest, match="embeds texts"):
        predict_fn(Request("inputs", batch=(({"role": "user", "content": "a"},),)), model)
