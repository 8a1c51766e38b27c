"""What a service is asked: the body of each form, and what a form cannot say."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pipeline.client import requests
from pipeline.client.requests import Conversation, Sampling, Turn
from pipeline.errors import InvalidInput
from pipeline.gguf import questions

HELLO = Conversation((Turn("user", "Hello."),))
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


@pytest.mark.parametrize(
    ("form", "sampling", "stream", "body"),
    [
        pytest.param(
            "messages", Sampling(), False, {"messages": [{"role": "user", "content": "Hello."}]}, id="a chat"
        ),
        pytest.param(
            "messages",
            Sampling(max_tokens=0, temperature=0.0, schema={}),
            False,
            {
                "messages": [{"role": "user", "content": "Hello."}],
                "max_tokens": 0,
                "temperature": 0.0,
                "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}}},
            },
            id="nothing that was said is left out for being zero",
        ),
        pytest.param(
            "prompt",
            Sampling(max_tokens=9),
            True,
            {"prompt": "Hello.", "max_tokens": 9, "stream": True, "stream_options": {"include_usage": True}},
            id="a text to go on with, as a stream",
        ),
        pytest.param("input", Sampling(), False, {"input": "Hello."}, id="a text to embed"),
    ],
)
def test_each_form_has_its_body(form: str, sampling: Sampling, stream: bool, body: dict[str, Any]) -> None:
    """As docs/requests.md has them."""
    assert requests.body(form, HELLO, sampling, stream=stream) == body


def test_an_image_goes_before_its_question() -> None:
    """As a data URL: an endpoint fetches nothing."""
    asked = Conversation((Turn("user", "What is it?", (PNG,)),))

    (message,) = requests.body(questions.MESSAGES, asked, Sampling())["messages"]

    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What is it?"},
    ]


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"BM6", "image/bmp"),
        (b"RIFF", None),
        (b"", None),
    ],
)
def test_an_image_is_known_by_its_beginning(begin: bytes, kind: str | None) -> None:
    """Whatever its file is called."""
    assert requests.image_type(begin) == kind


@pytest.mark.parametrize(
    ("form", "asked", "sampling", "said"),
    [
        pytest.param(
            "prompt",
            HELLO.with_system("Be brief."),
            Sampling(),
            "knows no chats",
            id="a system message to a base model",
        ),
        pytest.param(
            "prompt",
            Conversation((Turn("user", "?", (PNG,)),)),
            Sampling(),
            "knows no chats",
            id="an image to a base model",
        ),
        pytest.param("input", HELLO.said(Turn("user", "x")), Sampling(), "vectors", id="two turns to embed"),
        pytest.param("input", HELLO, Sampling(max_tokens=1), "vectors", id="a length of a vector"),
        pytest.param("query", HELLO, Sampling(), "reranker", id="a question to a reranker"),
        pytest.param(
            "messages",
            Conversation((Turn("user", "?", (b"no",)),)),
            Sampling(),
            "begins with b'no'",
            id="no image",
        ),
    ],
)
def test_what_a_form_cannot_say_is_refused(
    form: str, asked: Conversation, sampling: Sampling, said: str
) -> None:
    """Rather than left out of the question."""
    with pytest.raises(InvalidInput, match=said):
        requests.body(form, asked, sampling)


def test_a_vector_is_not_streamed() -> None:
    """It comes at once or not at all."""
    with pytest.raises(InvalidInput, match="vectors"):
        requests.body(questions.INPUT, HELLO, Sampling(), stream=True)


def test_a_system_message_is_one_and_first() -> None:
    """Another one takes its place; an empty one takes it away."""
    once = HELLO.with_system("Be brief.")
    assert [one.role for one in once.turns] == ["system", "user"]
    assert [one.text for one in once.with_system("Be long.").turns] == ["Be long.", "Hello."]
    assert once.with_system("") == HELLO


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"role": "tool", "content": "x"}, id="a role"),
        pytest.param({"role": "user", "content": [{"type": "text", "text": "x"}]}, id="parts"),
        pytest.param({"role": "user", "content": None}, id="no content"),
        pytest.param({"role": "user", "content": "x", "name": "me"}, id="more"),
        pytest.param({"content": "x"}, id="no role"),
    ],
)
def test_a_message_that_is_no_turn_is_refused(message: dict[str, Any]) -> None:
    """It could not be sent along as it is."""
    with pytest.raises(InvalidInput, match="a content that is a text"):
        requests.turn(message)


def test_a_message_becomes_a_turn_and_back() -> None:
    """As JSON may keep it."""
    message = {"role": "assistant", "content": "x"}

    assert requests.turn(message).document() == message


@pytest.mark.parametrize("form", ["messages", "prompt", "input"])
@pytest.mark.parametrize("said", [Turn("user", "caf\udcc3"), Turn("system", "\ud83d alone")])
def test_half_of_a_character_is_not_sent(form: str, said: Turn) -> None:
    """Python makes it of bytes that are not UTF-8; some containers break on it."""
    with pytest.raises(InvalidInput, match="no Unicode") as refused:
        requests.body(form, Conversation((said, Turn("user", "Hello."))), Sampling())

    assert refused.value.problems[0].fix == "write it in UTF-8"
