"""Whole answers out of llama-server's streams; tests/system compares them with what it answers whole."""

from __future__ import annotations

from typing import Any

import pytest
from adapter.collected import HOLD_MS, TIMEOUT, Collected, collectable, is_progress, streamed
from adapter.upstream import UpstreamCall

TEXT = UpstreamCall("/completion", {"prompt": "a", "n_predict": 3})
CHAT = UpstreamCall("/v1/chat/completions", {"messages": []})
PROGRESS = {"prompt_progress": {"total": 9, "cache": 2, "processed": 7, "time_ms": 30}, "content": ""}


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a part of a chat."""
    return {
        "id": "x",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        **more,
    }


def collected(call: UpstreamCall, *events: Any) -> Collected:
    """Return what events add up to."""
    found = Collected(call)
    for event in events:
        found.add(event)
    return found


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        pytest.param(TEXT, True, id="text"),
        pytest.param(CHAT, True, id="chat"),
        pytest.param(UpstreamCall("/completion", {"prompt": [1, 2]}), True, id="tokens"),
        pytest.param(UpstreamCall("/completion", {"prompt": ["a", 1]}), True, id="a text among tokens"),
        pytest.param(UpstreamCall("/completion", {"prompt": ["a", "b"]}), False, id="several texts"),
        pytest.param(UpstreamCall(CHAT.path, {"logprobs": True}), False, id="log-probabilities of a chat"),
        pytest.param(UpstreamCall(CHAT.path, {"n_probs": 1}), False, id="the same"),
        pytest.param(UpstreamCall("/completion", {"prompt": "a", "n_probs": 1}), True, id="those of a text"),
        pytest.param(UpstreamCall("/v1/embeddings", {"input": "a"}), False, id="embeddings"),
        pytest.param(UpstreamCall("/props"), False, id="no generation"),
    ],
)
def test_what_can_be_had_as_a_stream(call: UpstreamCall, expected: bool) -> None:
    """Whatever generates, unless a stream leaves out what is wanted."""
    assert collectable(call) == expected


def test_a_stream_is_asked_for_with_its_progress_and_usage() -> None:
    """And that its text comes a few times a second; the call itself stays as it is."""
    more = {"stream": True, "return_progress": True, "timings_per_token": True, "t_hold_ms": HOLD_MS}
    assert streamed(TEXT).body == {**TEXT.body, **more}
    assert streamed(CHAT).body["stream_options"] == {"include_usage": True}
    assert "stream" not in TEXT.body


@pytest.mark.parametrize("field", ["n_probs", "return_tokens", "n_indent", "t_max_predict_ms"])
def test_what_is_told_of_each_token_is_not_held_back(field: str) -> None:
    """One event has the number and the probability of one token, and a line's end is looked for in what it tells."""
    call = UpstreamCall(TEXT.path, {**TEXT.body, field: 1})
    assert "t_hold_ms" not in streamed(call).body


def test_a_text_is_the_last_event_with_all_content() -> None:
    """Tokens, where they were asked for, and their notes too."""
    found = collected(
        UpstreamCall(TEXT.path, {**TEXT.body, "return_tokens": True}),
        PROGRESS,
        {"content": "a", "tokens": [1], "stop": False, "completion_probabilities": ["p"]},
        {"content": "b", "tokens": [2], "stop": False, "completion_probabilities": ["q"]},
        {"content": "", "tokens": [], "stop": True, "stop_type": "eos", "timings": {"predicted_n": 2}},
    )

    assert found.ended
    assert found.begun
    reply = found.reply()
    assert reply.status == 200
    assert reply.document == {
        "content": "ab",
        "tokens": [1, 2],
        "stop": True,
        "stop_type": "eos",
        "timings": {"predicted_n": 2},
        "completion_probabilities": ["p", "q"],
    }


def test_tokens_are_told_only_where_they_are_asked_for() -> None:
    """A stream has them in any case."""
    (one, end) = ({"content": "a", "tokens": [1], "stop": False}, {"content": "", "stop": True})

    assert "tokens" not in collected(TEXT, one, end).reply().document
    assert collected(TEXT, one, {**end, "tokens": [2]}).reply().document["tokens"] == []


def test_a_chat_is_one_message() -> None:
    """Thoughts, content, and calls whose arguments come in parts; some events come as lists."""
    call = {"index": 0, "id": "i", "type": "function", "function": {"name": "f", "arguments": '{"a'}}
    found = collected(
        CHAT,
        [chunk({"role": "assistant", "content": None}) | PROGRESS, chunk({"reasoning_content": "h"})],
        chunk({"reasoning_content": "m"}),
        chunk({"content": "So"}),
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '": 1}'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "j", "function": {"name": "g"}}]}),
        chunk({}, "tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 9}, "timings": {}, "object": "chat.completion.chunk"},
    )

    document = found.reply().document
    assert document["object"] == "chat.completion"
    assert document["usage"] == {"prompt_tokens": 9}
    assert document["choices"] == [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "So",
                "reasoning_content": "hm",
                "tool_calls": [
                    {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}, "id": "i"},
                    {"type": "function", "function": {"name": "g", "arguments": ""}, "id": "j"},
                ],
            },
        }
    ]


@pytest.mark.parametrize(("code", "status"), [(400, 400), (503, 503), (None, 500), (0, 500)])
def test_an_error_in_the_stream_is_the_reply(code: int | None, status: int) -> None:
    """With its own status where it has one."""
    found = collected(TEXT, {"content": "a", "stop": False}, {"error": {"code": code, "message": "no"}})

    assert found.ended
    assert not found.right
    assert found.reply().status == status
    assert found.reply().document == {"error": {"code": code, "message": "no"}}


def test_what_there_is_of_a_text_when_its_time_is_over() -> None:
    """With the figures that its last event tells, which may have the text of several tokens."""
    timings = {"cache_n": 2, "prompt_n": 5, "prompt_ms": 31.5, "predicted_n": 4, "predicted_ms": 2000.0}
    found = collected(
        TEXT,
        PROGRESS,
        {"content": "a", "tokens": [1], "stop": False, "timings": {**timings, "predicted_n": 1}},
        {"content": "bcd", "tokens": [4], "stop": False, "timings": timings},
    )
    document = found.reply(TIMEOUT).document

    assert not found.ended
    assert (document["content"], document["stop_type"]) == ("abcd", "timeout")
    assert (document["tokens_predicted"], document["tokens_evaluated"]) == (4, 9)
    assert document["timings"] == timings


def test_a_server_that_tells_no_timings_is_counted_by_its_events() -> None:
    """And by how far its prompt was."""
    part = {"content": "a", "tokens": [1], "stop": False}
    document = collected(TEXT, PROGRESS, part, part).reply(TIMEOUT).document

    assert document["tokens_predicted"] == 2
    assert document["timings"] == {
        "cache_n": 2,
        "prompt_n": 5,
        "prompt_ms": 30.0,
        "predicted_n": 2,
        "predicted_ms": 0.0,
    }


def test_what_there_is_of_a_chat_when_its_time_is_over() -> None:
    """Even when there is nothing."""
    said = chunk({"content": "a"}, timings={"predicted_n": 3})
    some = collected(CHAT, PROGRESS, said).reply(TIMEOUT).document
    nothing = collected(CHAT).reply(TIMEOUT).document

    assert some["choices"][0] == {
        "index": 0,
        "finish_reason": "timeout",
        "message": {"role": "assistant", "content": "a"},
    }
    assert (some["usage"]["prompt_tokens"], some["usage"]["completion_tokens"]) == (9, 3)
    assert nothing["choices"][0]["message"]["content"] == ""
    assert nothing["choices"][0]["finish_reason"] == "timeout"


def test_progress_is_no_answer() -> None:
    """So it is not handed on, and no token."""
    assert is_progress(PROGRESS)
    assert not is_progress({"content": "a"})
    assert not is_progress([])
    assert not collected(TEXT, PROGRESS).begun
