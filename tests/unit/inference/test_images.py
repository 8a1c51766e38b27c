"""Images in a request: sent on to a model that sees, refused with what can for one that does not, never fetched."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift_request import BadRequest, parse_request

PNG = "data:image/png;base64,iVBORw0KGgo="
TEXT = {"type": "text", "text": "What is this?"}


def chat(*parts: Any) -> dict[str, Any]:
    """Return a chat of one message with these parts."""
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    "image",
    [
        pytest.param({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}, id="chat"),
        pytest.param({"type": "image_url", "image_url": PNG}, id="a bare URL"),
        pytest.param({"type": "input_image", "image_url": PNG}, id="response"),
    ],
)
def test_images_and_texts_keep_their_order(image: dict[str, Any]) -> None:
    """They come out in the one form that llama-server takes."""
    request = parse_request(chat(image, TEXT, "and this", image), sees=True)

    seen = {"type": "image_url", "image_url": {"url": PNG}}
    assert request.messages == (
        {"role": "user", "content": [seen, TEXT, {"type": "text", "text": "and this"}, seen]},
    )


@pytest.mark.parametrize("sees", [False, True])
def test_parts_without_an_image_are_a_text(sees: bool) -> None:
    """Templates that know no parts get what they always got."""
    assert parse_request(chat(TEXT, TEXT), sees=sees).messages == (
        {"role": "user", "content": "What is this?What is this?"},
    )


def test_a_response_and_a_list_of_inputs_have_images_too() -> None:
    """Every form that is a chat."""
    part = {"type": "input_image", "image_url": PNG}
    message = {"role": "user", "content": [part]}
    seen = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}

    assert parse_request({"input": [message]}, sees=True).messages == (seen,)
    assert parse_request({"inputs": [message]}, sees=True).messages == (seen,)
    assert parse_request({"inputs": [[message], "x"]}, sees=True).batch == ((seen,), "x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("https://example.com/cat.png", "fetches nothing", id="https"),
        pytest.param("http://169.254.169.254/latest/", "fetches nothing", id="the host's own address"),
        pytest.param("file:///etc/passwd", "fetches nothing", id="a file"),
        pytest.param("data:text/html;base64,aGk=", "data:image/", id="no image"),
        pytest.param("data:image/svg+xml,<svg/>", "base64", id="not in base64"),
        pytest.param("iVBORw0KGgo=", "data:image/", id="no URL"),
        pytest.param("data:image/png;base64,", "no base64", id="empty"),
        pytest.param("data:image/png;base64,@@@@", "no base64", id="damaged"),
        pytest.param("data:image/png;base64,aGk=,aGk=", "no base64", id="two"),
        pytest.param("data:image/png;base64,\u00e4aaa", "no base64", id="no ASCII"),
        pytest.param(7, "fetches nothing", id="a number"),
        pytest.param(None, "fetches nothing", id="none"),
    ],
)
def test_only_the_image_itself_is_taken(url: Any, words: str) -> None:
    """What an endpoint would have to fetch, and what is no image, is told before llama-server sees it."""
    with pytest.raises(BadRequest) as caught:
        parse_request(chat(TEXT, {"type": "image_url", "image_url": {"url": url}}), sees=True)

    assert words in caught.value.reason
    assert "messages[0].content[1].image_url" in caught.value.reason


def test_sound_is_not_seen() -> None:
    """A part of another type is refused by its place."""
    sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    image = {"type": "image_url", "image_url": {"url": PNG}}

    with pytest.raises(BadRequest, match=r"messages\[0\]\.content\[1\] is .*input_audio"):
        parse_request(chat(image, sound), sees=True)


def test_a_model_that_does_not_see_names_what_does() -> None:
    """The four functions, and a model without a projector."""
    with pytest.raises(BadRequest, match="'custom' and 'llama-cpp', with a projector"):
        parse_request(chat(TEXT, {"type": "image_url", "image_url": {"url": PNG}}))


@given(st.text() | st.binary(max_size=64))
def test_any_url_is_taken_whole_or_refused(rest: str | bytes) -> None:
    """What is sent on begins as an image does and is what was sent."""
    url = f"data:image/png;base64,{rest}" if isinstance(rest, str) else rest.decode("latin-1")
    try:
        request = parse_request(chat({"type": "image_url", "image_url": url}), sees=True)
    except BadRequest:
        return
    assert request.messages is not None
    assert request.messages[0]["content"] == [{"type": "image_url", "image_url": {"url": url}}]
    assert url.startswith("data:image/")
    assert "," not in url.removeprefix("data:image/png;base64,")
