"""What a smoke test asks, and what it makes of an answer, by what the model is for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.client import smoke_test
from pipeline.gguf import questions
from pipeline.gguf.purpose import Purpose
from pipeline.rollout import answers, embeddings, rankings
from pipeline.rollout.embeddings import Embeddings
from pipeline.sizing import images
from pipeline.state_data.request_types import Expectation

OURS = images.PYTORCH.requests


def listed(*vectors: Any, **changes: Any) -> bytes:
    """Return an OpenAI-style list of embeddings."""
    data = [{"object": "embedding", "index": n, "embedding": one} for n, one in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, **changes}).encode()


@pytest.mark.parametrize(
    ("purpose", "offered", "wanted"),
    [
        ("chat", OURS, "messages"),
        ("completion", OURS, "prompt"),
        ("embedding", OURS, "input"),
        ("rerank", OURS, "query"),
        ("rerank", images.LLAMA_CPP.requests, "messages"),
        ("completion", images.LLAMA_CPP.requests, "messages"),
        ("embedding", images.LLAMA_CPP.requests, "messages"),
        ("completion", (), "messages"),
        ("None", OURS, "messages"),
    ],
)
def test_a_model_is_asked_in_the_form_that_suits_it(
    purpose: str, offered: tuple[str, ...], wanted: str
) -> None:
    """As far as the container takes it; a plan of an older release tells no purpose."""
    assert questions.form(purpose, offered) == wanted


def test_every_purpose_has_a_form() -> None:
    """One that is added without one would be asked with messages."""
    assert set(questions._SUITS) == set(Purpose)


def test_a_base_model_is_given_the_beginning_of_a_text() -> None:
    """Unless the request says what to go on with; whoever else is greeted."""
    assert questions.prompts([questions.DEFAULT], "prompt") == (questions.BEGINNING,)
    assert questions.prompts(["The capital is"], "prompt") == ("The capital is",)
    assert questions.prompts([questions.DEFAULT, "b"], "prompt") == (questions.DEFAULT, "b")
    assert questions.prompts([questions.DEFAULT], "messages") == (questions.DEFAULT,)


def test_the_bodies_are_openais() -> None:
    """A chat at temperature 0; a completion that is sampled, with a seed; an embedding of two texts."""
    assert questions.body("messages", "a", 9) == {
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": 9,
        "temperature": 0,
    }
    assert questions.body("prompt", "a", 9) == {
        "prompt": "a",
        "max_tokens": 9,
        "temperature": 0.8,
        "top_p": 0.95,
        "seed": 1,
    }
    assert questions.body("input", "a", 9) == {"input": ["a", questions.OTHER]}
    assert questions.body("query", "a", 9) == {"query": "a", "documents": ["a", questions.OTHER]}


@given(st.one_of(st.text(min_size=1), st.just(questions.OTHER)))
def test_the_two_texts_to_embed_always_differ(prompt: str) -> None:
    """Else a good model would make the same of both."""
    one, other = questions.body("input", prompt, 1)["input"]

    assert one == prompt
    assert one != other
    assert questions.body("query", prompt, 1) == {"query": prompt, "documents": [one, other]}


@pytest.mark.parametrize(
    ("vectors", "size", "words"),
    [
        pytest.param([[0.6, 0.8], [0.8, 0.6]], 2, None, id="good"),
        pytest.param([[0.6, 0.8], [0.8, 0.6]], None, None, id="good, of unknown width"),
        pytest.param([[3, 4], [4, 3]], 2, None, id="not of length 1"),
        pytest.param([[0.6, 0.8]], 2, "1 embeddings of 2 texts", id="too few"),
        pytest.param([[0.6, 0.8]] * 3, 2, "3 embeddings of 2 texts", id="too many"),
        pytest.param([[0.6, 0.8], [0.8, 0.6]], 3, "of 2 numbers, wanted 3", id="another width"),
        pytest.param([[0.6, 0.8], [1.0]], 2, "of 1 and 2 numbers, wanted 2", id="two widths"),
        pytest.param(
            [[0.6, 0.8], [1.0]], None, "of 1 and 2 numbers, wanted the same", id="two unknown widths"
        ),
        pytest.param([[], []], None, "of 0 numbers", id="empty"),
        pytest.param([[0.6, float("nan")], [0.8, 0.6]], 2, "no number", id="nan"),
        pytest.param([[0.6, 0.8], [float("inf"), 0.6]], 2, "infinity", id="infinity"),
        pytest.param([[0, 0], [0.8, 0.6]], 2, "nothing but zeros", id="zeros first"),
        pytest.param([[0.8, 0.6], [0, 0]], 2, "nothing but zeros", id="zeros second"),
        pytest.param([[0.6, 0.8], [0.6, 0.8]], 2, "the same embedding for texts 1 and 2", id="the same"),
        pytest.param([[600, 800], [600, 800.09]], 2, "the same embedding", id="nearly the same"),
        pytest.param([[600, 800], [600, 800.11]], 2, None, id="hardly different"),
    ],
)
def test_embeddings_are_judged_by_what_they_cannot_be(
    vectors: list[Any], size: int | None, words: str | None
) -> None:
    """Every way in which a broken model shows itself."""
    answer, wrong, known = smoke_test.judge(
        "input", listed(*vectors), Expectation(contains="never in numbers"), prompt="a", size=size
    )

    assert len(wrong) == (words is not None)
    assert words is None or words in wrong[0]
    # How many there are the server decides, not the model.
    assert known == (embeddings.BROKEN if wrong and len(vectors) == 2 else {})
    assert answer.text.startswith(f"{len(vectors[0])} numbers: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"pong",
        b'{"error": "x"}',
        b'{"choices": [{"text": "a"}]}',
        listed("AAAA"),
        listed([True]),
        listed([[1]]),
        listed([10**400]),
        b'{"data": [{"embedding": [1]}]}',
        b"[" * 10_000,
    ],
)
def test_what_is_no_list_of_embeddings_is_told(body: bytes) -> None:
    """With its beginning."""
    with pytest.raises(answers.NotAnAnswer, match="no OpenAI-style list of embeddings"):
        embeddings.parse(body)


def test_embeddings_come_in_the_order_of_their_index() -> None:
    """A server may send them in another one."""
    data = [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]

    found = embeddings.parse(json.dumps({"data": data, "timings": {"prompt_n": 4, "prompt_ms": "x"}}))

    assert found == Embeddings(((1.0,), (2.0,)), {"prompt_n": 4})


def test_an_embedding_is_shown_by_its_beginning() -> None:
    """For the transcript, which a person reads."""
    assert Embeddings(((0.123456, -1.0, 2.0, 3.0, 4.0),)).text == "5 numbers: 0.1235, -1, 2, 3, ..."
    assert Embeddings(((1.0, 2.0),)).text == "2 numbers: 1, 2"
    assert Embeddings(()).text == "0 numbers: "


def test_a_text_is_judged_as_before() -> None:
    """By what the request expects, and by what no working model says."""
    said = json.dumps({"choices": [{"text": "Fish."}]}).encode()

    answer, wrong, known = smoke_test.judge(
        "prompt", said, Expectation(contains="cargo"), prompt="a", size=None
    )

    assert answer.text == "Fish."
    assert wrong == ["it does not contain 'cargo'"]
    assert known == {}


@pytest.mark.parametrize(("allowed", "known"), [(False, answers.DEGENERATE), (True, {})])
def test_a_degenerate_answer_tells_its_cause(allowed: bool, known: Any) -> None:
    """Unless it is meant to be so; what else is wrong tells none."""
    said = json.dumps({"choices": [{"text": "t0" * 32}]}).encode()
    expect = Expectation(contains="cargo", allow_degenerate=allowed)

    _, wrong, found = smoke_test.judge("prompt", said, expect, prompt="a", size=None)

    assert wrong[0] == "it does not contain 'cargo'"
    assert found == known


def ranked(*scores: Any) -> bytes:
    """Return a ranking, the last text first."""
    listed = [{"index": n, "relevance_score": one} for n, one in enumerate(scores)]
    return json.dumps({"results": listed[::-1]}).encode()


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        pytest.param([3.5, -2], None, id="good"),
        pytest.param([-2, 3.5], None, id="who knows"),
        pytest.param([1.0], "1 scores of 2 texts", id="too few"),
        pytest.param([1, 2, 3], "3 scores of 2 texts", id="too many"),
        pytest.param([float("nan"), 1], "no number", id="nan"),
        pytest.param([float("inf"), 1], "infinity", id="infinity"),
        pytest.param([0.5, 0.5], "the same score", id="the same"),
    ],
)
def test_rankings_are_judged_by_what_they_cannot_be(scores: list[float], words: str | None) -> None:
    """As embeddings are."""
    answer, wrong, known = smoke_test.judge(
        "query", ranked(*scores), Expectation(contains="never in numbers"), prompt="a", size=None
    )

    assert len(wrong) == (words is not None)
    assert words is None or words in wrong[0]
    assert known == (rankings.BROKEN if wrong and len(scores) == 2 else {})
    assert answer.text.startswith(f"{len(scores)} scores: {scores[0]:.4g}")


@pytest.mark.parametrize(
    "body", [b"", b"pong", b'{"results": 1}', ranked("1"), ranked(True), ranked(10**400), b"[" * 10_000]
)
def test_what_is_no_ranking_is_told(body: bytes) -> None:
    """With its beginning."""
    with pytest.raises(answers.NotAnAnswer, match="is no ranking"):
        rankings.parse(body)
