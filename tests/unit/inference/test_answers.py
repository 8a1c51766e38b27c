"""The shapes of answers, with a model that is only a script."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from inference.inference import (
    BadRequest,
    Model,
    Request,
    Settings,
    complete,
    cut,
    output_fn,
    predict_fn,
)

BOS = 1
USER = {"role": "user", "content": "Hi."}


class _ScriptedLlama:
    """A stand-in for llama_cpp.Llama: one token per word, and an answer known beforehand."""

    def __init__(self, text: str = " well said", finish_reason: str = "stop", n_ctx: int = 256) -> None:
        self.text = text
        self.finish_reason = finish_reason
        self.context = n_ctx
        self.asked: list[tuple[list[int], dict[str, Any]]] = []
        self.tokenized: list[str] = []
        self.resets = 0
        self.failure: Exception | None = None

    def n_ctx(self) -> int:
        return self.context

    def token_bos(self) -> int:
        return BOS

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        assert special, "a chat template's own tokens are special ones"
        self.tokenized.append(text.decode())
        words = [BOS if word == b"<s>" else 10 + n for n, word in enumerate(text.split())]
        return [BOS, *words] if add_bos else words

    def create_completion(self, prompt: list[int], **options: Any) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        self.asked.append((prompt, options))
        return {
            "choices": [{"text": self.text, "finish_reason": self.finish_reason}],
            "usage": {"prompt_tokens": len(prompt), "completion_tokens": 2, "total_tokens": len(prompt) + 2},
        }

    def reset(self) -> None:
        self.resets += 1


def _chat(messages: list[dict[str, str]]) -> str:
    return "".join(f"<{message['role']}> {message['content']}" for message in messages)


def _model(llama: _ScriptedLlama, settings: Settings | None = None, *, chat: bool = True) -> Model:
    return Model(llama, settings or Settings(), "harbour", _chat if chat else None)


def _ask(llama: _ScriptedLlama, request: Request, settings: Settings | None = None) -> dict[str, Any]:
    return complete(_model(llama, settings), request, created=1234, identity="x")


def test_prompt_gives_a_text_completion() -> None:
    """The answer to a prompt has OpenAI's fields, all of them."""
    answer = _ask(_ScriptedLlama(), Request("prompt", prompt="How are you"))

    assert answer == {
        "id": "cmpl-x",
        "object": "text_completion",
        "created": 1234,
        "model": "harbour",
        "choices": [{"index": 0, "text": " well said", "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
    }


def test_messages_give_a_chat_completion() -> None:
    """The answer to messages is a message, and the model's own template made the prompt."""
    llama = _ScriptedLlama()

    answer = _ask(llama, Request("messages", messages=(USER,)))

    assert answer["id"] == "chatcmpl-x"
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": " well said"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert llama.tokenized == ["<user> Hi."]


def test_settings_fill_what_a_request_leaves_open() -> None:
    """Defaults come from the settings, and what a request says wins, zero included."""
    settings = Settings(max_tokens=7, temperature=0.3, top_p=0.4)
    llama = _ScriptedLlama()

    _ask(llama, Request("prompt", prompt="a"), settings)
    _ask(
        llama,
        Request("prompt", prompt="a", temperature=0, max_tokens=9, top_p=1, seed=0, stop=("x",)),
        settings,
    )

    first, second = (options for _, options in llama.asked)
    assert (first["max_tokens"], first["temperature"], first["top_p"], first["stop"]) == (7, 0.3, 0.4, [])
    assert second == {"max_tokens": 9, "temperature": 0.0, "top_p": 1.0, "stop": ["x"], "seed": 0}


def test_requests_without_a_seed_get_different_ones() -> None:
    """Sampling does not repeat itself from container to container."""
    llama = _ScriptedLlama()

    for _ in range(4):
        _ask(llama, Request("prompt", prompt="a"))

    assert len({options["seed"] for _, options in llama.asked}) > 1


def test_prompt_longer_than_the_context_is_told_both_numbers() -> None:
    """A prompt that leaves no room for an answer is a client's mistake, with the figures to mend it."""
    llama = _ScriptedLlama(n_ctx=256)

    with pytest.raises(BadRequest) as caught:
        _ask(llama, Request("inputs", prompt="w " * 99), Settings(n_ctx=100))

    error = json.loads(caught.value.message)["error"]
    assert caught.value.status_code == 400
    assert (error["code"], error["param"]) == ("context_length_exceeded", "inputs")
    assert "100 tokens" in error["message"]
    assert "holds 100" in error["message"]
    assert llama.asked == []


@pytest.mark.parametrize(
    ("words", "n_ctx", "native", "expected"),
    [
        pytest.param(98, 100, 256, 1, id="last-token"),
        pytest.param(59, 100, 256, 40, id="what-is-left"),
        pytest.param(59, 100, 80, 20, id="llama-has-less"),
        pytest.param(9, 2048, 2048, 150, id="plenty"),
    ],
)
def test_answer_is_bounded_by_the_context(words: int, n_ctx: int, native: int, expected: int) -> None:
    """Prompt and answer together never exceed what was asked for, although llama.cpp rounds that up."""
    llama = _ScriptedLlama(n_ctx=native)

    _ask(llama, Request("prompt", prompt="w " * words), Settings(n_ctx=n_ctx))

    assert llama.asked[0][1]["max_tokens"] == expected


def test_token_that_begins_a_text_is_there_once() -> None:
    """A template that writes the token itself does not get a second one."""
    llama = _ScriptedLlama()

    _ask(llama, Request("prompt", prompt="<s> a"))

    assert llama.asked[0][0] == [BOS, 11]


def test_model_without_a_template_refuses_messages() -> None:
    """Guessing another model's template would give bad answers; the client is told to send a prompt."""
    model = _model(_ScriptedLlama(), chat=False)

    with pytest.raises(BadRequest, match="no chat template") as caught:
        complete(model, Request("messages", messages=(USER,)), created=0, identity="x")

    assert caught.value.status_code == 400


def test_template_that_refuses_is_quoted() -> None:
    """Templates raise on conversations they do not know; the reason is theirs."""

    def strict(_messages: list[dict[str, str]]) -> str:
        raise ValueError("roles must alternate")

    model = Model(_ScriptedLlama(), Settings(), "harbour", strict)

    with pytest.raises(BadRequest, match="refuses these messages: roles must alternate"):
        complete(model, Request("messages", messages=(USER, USER)), created=0, identity="x")


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        pytest.param("abc", (), ("abc", False), id="none"),
        pytest.param("abc", ("x",), ("abc", False), id="not-there"),
        pytest.param("a.b,c", (",", "."), ("a", True), id="first-in-the-text-wins"),
        pytest.param(".a", (".",), ("", True), id="at-once"),
    ],
)
def test_cut_ends_at_the_first_stop(text: str, stops: tuple[str, ...], expected: tuple[str, bool]) -> None:
    """The order of the list does not matter, the order in the text does."""
    assert cut(text, stops) == expected


def test_stop_in_an_answer_ends_it() -> None:
    """A stop that the library left in the text is cut, and the reason is told."""
    answer = _ask(_ScriptedLlama(" a. b", "length"), Request("prompt", prompt="a", stop=(".",)))

    assert answer["choices"][0]["text"] == " a"
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_failure_while_generating_resets_the_model() -> None:
    """The next request does not build on half an evaluation."""
    llama = _ScriptedLlama()
    llama.failure = RuntimeError("llama_decode returned -3")

    with pytest.raises(RuntimeError, match="llama_decode"):
        _ask(llama, Request("prompt", prompt="a"))

    assert llama.resets == 1


def test_one_generation_at_a_time() -> None:
    """While one caller generates, nobody else is inside the model."""
    inside = threading.Semaphore(1)
    overlaps: list[bool] = []

    class _Slow(_ScriptedLlama):
        def create_completion(self, prompt: list[int], **options: Any) -> dict[str, Any]:
            free = inside.acquire(blocking=False)
            overlaps.append(not free)
            threading.Event().wait(0.01)
            if free:
                inside.release()
            return super().create_completion(prompt, **options)

    model = _model(_Slow())
    threads = [
        threading.Thread(target=predict_fn, args=(Request("prompt", prompt="a"), model)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert overlaps == [False] * 4


def test_output_is_json_whatever_is_accepted() -> None:
    """The body is readable JSON, and says of itself that it is."""
    for accept in (None, "*/*", "text/csv", "application/json"):
        body, content_type = output_fn({"text": "Grüße"}, accept)

        assert content_type == "application/json"
        assert body == '{"text": "Grüße"}'
