"""OpenAI-style answers: read from any bytes, and compared with what was expected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rollout import answers
from pipeline.rollout.answers import Answer, NotAnAnswer
from pipeline.state_data.request_types import Expectation

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CHAT = {
    "choices": [{"message": {"role": "assistant", "content": "Cargo."}, "finish_reason": "stop"}],
    "usage": {"completion_tokens": 2},
}


def body(document: object) -> bytes:
    """Return a document as a response body."""
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        pytest.param(CHAT, Answer("Cargo.", 2, "stop"), id="chat completion"),
        pytest.param({"choices": [{"text": "Cargo."}]}, Answer("Cargo.", None, None), id="completion, bare"),
        pytest.param({**CHAT, "usage": None}, Answer("Cargo.", None, "stop"), id="no usage"),
        pytest.param({"choices": [{"text": ""}]}, Answer("", None, None), id="empty text"),
    ],
)
def test_an_answer_is_read(document: object, answer: Answer) -> None:
    """Chat and plain completions, with or without their token counts."""
    assert answers.parse(body(document)) == answer
    assert answers.parse(body(document).decode()) == answer


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>502</html>", id="not JSON"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"{}", id="no choices"),
        pytest.param(b'{"choices": []}', id="empty choices"),
        pytest.param(b'{"choices": {}}', id="choices that are an object"),
        pytest.param(b'{"choices": [null]}', id="null choice"),
        pytest.param(b'{"choices": [{}]}', id="empty choice"),
        pytest.param(b'{"choices": [{"text": null}]}', id="null text"),
        pytest.param(b'{"choices": [{"message": {"content": 5}}]}', id="content that is a number"),
        pytest.param(b'{"choices": [{"message": "hello"}]}', id="message that is text"),
        pytest.param(b"[" * 100, id="cut short"),
    ],
)
def test_what_is_no_answer_is_shown(content: bytes) -> None:
    """The message begins with the body, so that a person sees what came instead."""
    with pytest.raises(NotAnAnswer) as failure:
        answers.parse(content)

    assert str(failure.value).startswith(f"{content!r} is no OpenAI-style completion")


def test_a_long_body_is_shown_in_part() -> None:
    """A page of HTML does not fill the state machine's cause."""
    with pytest.raises(NotAnAnswer) as failure:
        answers.parse(b"<" * 100_000)

    assert len(str(failure.value)) < 500


def test_a_body_of_nothing_but_brackets_is_no_answer() -> None:
    """Nesting deeper than Python's recursion goes is refused like any other body."""
    with pytest.raises(NotAnAnswer, match="RecursionError"):
        answers.parse(b"[" * 200_000)


@given(content=st.binary(max_size=50))
def test_any_bytes_are_an_answer_or_not(content: bytes) -> None:
    """Reading is total: an Answer, or NotAnAnswer."""
    try:
        found = answers.parse(content)
    except NotAnAnswer:
        return

    assert isinstance(found.text, str)


@given(usage=JSON, count=JSON, reason=JSON, expect=st.sampled_from([{}, {"min_completion_tokens": 2}]))
def test_what_stands_beside_the_text_may_be_anything(
    usage: object, count: object, reason: object, expect: dict[str, Any]
) -> None:
    """A server that counts strangely is judged by the words of its text; nothing raises."""
    for told in (usage, {"completion_tokens": count}):
        found = answers.parse(body({"choices": [{"text": "Hi.", "finish_reason": reason}], "usage": told}))

        assert isinstance(found.completion_tokens, int | None)
        assert isinstance(found.finish_reason, str | None)
        assert len(answers.shortcomings(found.text, found.completion_tokens, Expectation(**expect))) <= 1


@pytest.mark.parametrize("count", [pytest.param(True, id="boolean"), pytest.param("9", id="text")])
def test_a_count_that_is_no_number_is_not_told(count: object) -> None:
    """Only a whole number counts tokens."""
    found = answers.parse(body({"choices": [{"text": "Hi."}], "usage": {"completion_tokens": count}}))

    assert found.completion_tokens is None


@pytest.mark.parametrize(
    ("text", "tokens", "expect", "shortcoming"),
    [
        pytest.param("Heavy cargo.", 3, {}, None, id="nothing expected"),
        pytest.param("Heavy cargo.", 3, {"contains": "CARGO"}, None, id="contains, letter case apart"),
        pytest.param(
            "Heavy cargo.", 3, {"contains": "ship"}, "does not contain 'ship'", id="does not contain"
        ),
        pytest.param("Heavy cargo.", 3, {"matches": r"c\w+o\."}, None, id="matches somewhere"),
        pytest.param(
            "Heavy cargo.", 3, {"matches": "^cargo"}, "nothing in it matches '^cargo'", id="no match"
        ),
        pytest.param(
            "a" * 40, 9, {"matches": "(a+)+b", "allow_degenerate": True}, "took more than 0.5 s", id="endless"
        ),
        pytest.param("Heavy cargo.", 3, {"min_completion_tokens": 3}, None, id="long enough"),
        pytest.param(
            "Heavy cargo.",
            3,
            {"min_completion_tokens": 4},
            "it has 3 completion tokens, wanted at least 4",
            id="short",
        ),
        pytest.param("Heavy cargo.", None, {"min_completion_tokens": 2}, None, id="words counted for tokens"),
        pytest.param("Heavy cargo.", None, {"min_completion_tokens": 3}, "it has 2", id="too few words"),
        pytest.param("", None, {}, "it has 0 completion tokens", id="empty"),
        pytest.param(" \n", 5, {}, "it is degenerate (blank", id="blank, whatever it cost"),
    ],
)
def test_an_answer_is_compared_with_what_was_expected(
    text: str, tokens: int | None, expect: dict[str, Any], shortcoming: str | None
) -> None:
    """Each expectation by itself; an answer of nothing is never good."""
    found = answers.shortcomings(text, tokens, Expectation(**expect))

    assert found == [] if shortcoming is None else shortcoming in "; ".join(found)


def test_all_shortcomings_are_told() -> None:
    """Three expectations that fail are three reasons."""
    expect = Expectation(contains="ship", matches="^ship", min_completion_tokens=9)

    assert len(answers.shortcomings("Heavy cargo.", 3, expect)) == 3
