"""What an endpoint says, whole and in pieces: the same text, whatever the cuts."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.client import replies
from pipeline.client.replies import Reply
from pipeline.errors import EndpointFailed
from pipeline.rollout.answers import NotAnAnswer

USAGE = {"prompt_tokens": 5, "completion_tokens": 2}


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an event of a chat's stream."""
    delta = {} if text is None else {"content": text}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def sent(*documents: dict[str, Any], end: bytes = b"data: [DONE]\n\n") -> bytes:
    """Return events as they are sent."""
    return b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in documents) + end


def collected(pieces: list[bytes]) -> Reply:
    """Return the reply that a stream's pieces make."""
    reply = Reply()
    for event in replies.events(pieces):
        replies.take(reply, event)
    return reply


@given(
    texts=some.lists(some.text(max_size=8), max_size=5), cuts=some.lists(some.integers(0, 2000), max_size=8)
)
def test_a_stream_is_the_same_however_it_is_cut(texts: list[str], cuts: list[int]) -> None:
    """The network decides where a piece ends: within a letter, a line, a word of JSON."""
    body = sent(*(chunk(one) for one in texts), chunk(None, "stop", usage=USAGE))
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[begin:end] for begin, end in pairwise(edges)]

    reply = collected(pieces)

    assert reply == Reply("".join(texts), "", "stop", 2, 5)


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        pytest.param(
            {"choices": [{"message": {"content": "Ahoy"}, "finish_reason": "stop"}], "usage": USAGE},
            Reply("Ahoy", "", "stop", 2, 5),
            id="a chat",
        ),
        pytest.param(
            {"choices": [{"text": " sea", "finish_reason": "length"}]},
            Reply(" sea", "", "length"),
            id="a text",
        ),
        pytest.param(
            {
                "choices": [
                    {"message": {"content": None, "reasoning_content": "Hm."}, "finish_reason": "length"}
                ]
            },
            Reply("", "Hm.", "length"),
            id="thinking alone",
        ),
        pytest.param(
            {"data": [{"embedding": [0.5, -1]}], "usage": {"prompt_tokens": 3}},
            Reply("[0.5, -1]", prompt_tokens=3),
            id="a vector",
        ),
        pytest.param(
            {
                "choices": [{"message": {"content": "a"}}],
                "timings": {"predicted_per_second": 12.5},
                "usage": {"completion_tokens": True},
            },
            Reply("a", timings={"predicted_per_second": 12.5}),
            id="figures that are none are not told",
        ),
    ],
)
def test_a_whole_answer_is_read(body: dict[str, Any], reply: Reply) -> None:
    """Of each form that a service answers in."""
    assert replies.whole(json.dumps(body).encode()) == reply


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": 1}}]}',
        b'{"data": []}',
        b"null",
    ],
)
def test_what_is_no_answer_is_told(body: bytes) -> None:
    """With its beginning, and never as a traceback."""
    with pytest.raises(NotAnAnswer, match="is no OpenAI-style answer"):
        replies.whole(body)


def test_an_error_in_mid_stream_ends_it() -> None:
    """Servers that have sent a status can only send an event."""
    pieces = [sent(chunk("A"), {"error": {"message": "out of room", "code": 500}}, end=b"")]

    with pytest.raises(EndpointFailed, match="ended in its middle: out of room"):
        collected(pieces)


def test_another_choice_is_not_mixed_in() -> None:
    """The first one is the answer."""
    other = {"choices": [{"index": 1, "delta": {"content": "B"}}]}

    assert collected([sent(chunk("A"), other)]).text == "A"


def test_only_the_data_of_events_counts() -> None:
    """Comments, names of events and what comes behind the end are passed over."""
    body = b": a comment\nevent: message\n" + sent(chunk("A")) + b"data: {never read\n\n"

    assert collected([body]).text == "A"


def test_an_answer_that_was_never_streamed_is_one_event() -> None:
    """A container that cannot stream sends its JSON as it is, without a line's end."""
    assert collected([json.dumps(chunk("A", "stop")).encode()]) == Reply("A", "", "stop")


@pytest.mark.parametrize("body", [b"data: {half", b"data: [1]\n\n", b'data: {"choices": [[]]}\n\n'])
def test_what_is_no_event_is_told(body: bytes) -> None:
    """With its beginning."""
    with pytest.raises(NotAnAnswer, match="is no event of an answer"):
        collected([body])


def test_an_event_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded whatever is sent."""
    monkeypatch.setattr(replies, "_LONGEST", 100)

    with pytest.raises(NotAnAnswer, match="over 100 bytes"):
        collected([b"data: " + b"x" * 60, b"x" * 60])


def test_vectors_come_in_the_order_of_their_texts() -> None:
    """However the answer lists them."""
    data = [{"index": 1, "embedding": [2, 3]}, {"index": 0, "embedding": [0.5, 1]}]

    assert replies.vectors(json.dumps({"data": data}).encode()) == [[0.5, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"data": [{"index": 0, "embedding": ["x"]}]}', b'{"data": [{}]}']
)
def test_what_holds_no_vectors_is_no_answer(body: bytes) -> None:
    """By an error of ours."""
    with pytest.raises(NotAnAnswer):
        replies.vectors(body)


RESPONSE = b'{"id": "resp_1", "object": "response", "output": []}'
VECTORS = b'{"model":"m","object":"list","data":[{"embedding":[0.1],"index":0,"object":"embedding"}]}'
SAYS_SO = b'{"id": "resp_1", "object": "response", "output": [{"text": "\\"object\\": \\"list\\""}]}'


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        pytest.param("/v1/embeddings", RESPONSE, "embeds none", id="a text for a vector"),
        pytest.param("/v1/embeddings/", RESPONSE, "embeds none", id="with a slash at its end"),
        pytest.param("/v1/responses", VECTORS, "generates none", id="a vector for a text"),
        pytest.param("/v1/embeddings", VECTORS, None, id="vectors"),
        pytest.param("/v1/responses", RESPONSE, None, id="a response"),
        pytest.param("/v1/responses", SAYS_SO, None, id="a response that quotes"),
        pytest.param("/v1/chat/completions", RESPONSE, None, id="what no other task answers"),
        pytest.param("/v1/rerank", VECTORS, None, id="a ranking, which is a list"),
    ],
)
def test_an_answer_of_another_task_is_noticed(path: str, body: bytes, words: str | None) -> None:
    """What a client of OpenAI's asks embeddings for must not be a response, nor the other way round."""
    found = replies.other_task(path, body)

    assert (found is None) is (words is None)
    assert (words or "") in (found or "")
