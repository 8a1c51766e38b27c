"""One request language: the same bodies asked of the four functions and of the real llama-server through the adapter.

What both compute alike must be alike to the character, greedy answers, refusals and the shapes of all answers among
it. What a machine's clock or chance says is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from adapter.translation import translate
from adapter.upstream import ModelFacts, learn

from examples import tiny_gguf
from examples.tiny_companions import write_tiny_lora, write_tiny_projector
from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import CHAT_TEMPLATE, write_tiny_gguf
from inference import inference
from pipeline import package_files
from sealift_request import BadRequest
from sealift_settings import Settings
from tests.llama_server import CONTEXT, PROGRAM, LlamaServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no llama-server here; `make llama-server` builds it")

COLLECTION = package_files.runtime().with_name("templates")
ROOT = Path(__file__).resolve().parents[3]
SETTINGS = Settings(n_ctx=CONTEXT, n_threads=1, max_tokens=16, temperature=0.0)
USER = {"role": "user", "content": "What lies in the harbour?"}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Bern"], "description": "where"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "port": {"enum": ["north", "south"]},
        "ships": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["port", "ships"],
    "additionalProperties": False,
}
UNHELD = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^zz$"}}, "required": ["a"]}


class Both:
    """A model behind the four functions and behind the adapter."""

    def __init__(self, folder: Path, path: Path, *options: str, **does: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (("N_CTX", CONTEXT), ("N_THREADS", 1), ("MAX_TOKENS", 16), ("TEMPERATURE", 0)):
                patch.setenv(f"SEALIFT_{name}", str(value))
            self.functions: Any = inference.model_fn(str(path.parent))
        self.server = LlamaServer(path, folder, *options)
        self.facts: ModelFacts = self.server.run(learn(self.functions.name, **does))

    def one(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Ask the four functions."""
        try:
            request = inference.input_fn(json.dumps(body), "application/json")
            text, _ = inference.output_fn(inference.predict_fn(request, self.functions), "application/json")
        except BadRequest as error:
            return error.status_code, json.loads(error.message)
        return 200, read(text)

    def other(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Ask through the adapter."""
        try:
            translation = translate(
                json.dumps(body).encode(), None, self.facts, SETTINGS, identity="0" * 32, created=1
            )
            if translation.streams:
                return 200, read(self.server.stream(translation).decode())
            answer = self.server.run(translation.steps())
        except BadRequest as error:
            return error.status_code, json.loads(error.message)
        return answer.status, read(answer.body.decode())


def read(text: str) -> Any:
    """Return an answer's JSON, or the events of a stream."""
    if not text.startswith(("data: ", "event: ")):
        return json.loads(text)
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


MOMENTARY = re.compile(
    r"(^|_)(ms|per_second)$|^(created|created_at|id|call_id|seed|cache_n|prompt_n|cached_tokens)$"
)
"""What a clock, chance or an earlier question makes of an answer."""


def lasting(value: Any) -> Any:
    """Return an answer with what is momentary replaced by its type, and some room for what is computed in floats."""
    if isinstance(value, dict):
        return {
            name: type(one).__name__ if MOMENTARY.search(name) and one is not None else lasting(one)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [lasting(one) for one in value]
    return pytest.approx(value, abs=0.02) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Run both for the tests of plain chats and texts."""
    folder = tmp_path_factory.mktemp("plain")
    found = Both(folder, write_tiny_gguf(folder / "harbour.gguf"))
    try:
        yield found
    finally:
        found.server.end()


def chat(**fields: Any) -> dict[str, Any]:
    """Return a chat's body."""
    return {"messages": [USER], **fields}


def schema(one: Any) -> dict[str, Any]:
    """Return a response_format."""
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": one}}


ALIKE = [
    pytest.param(body, id=name)
    for name, body in {
        "chat": chat(),
        "null length": chat(max_tokens=None),
        "as many as fit": {"prompt": "Radar says ping", "max_tokens": -1},
        "more than fit": chat(max_tokens=32_000),
        "stop": chat(stop=["cargo", "sea"]),
        "stop within a token": chat(stop="arg"),
        "stop told": chat(stop=["never", "across the"], include_stop_str_in_output=True),
        "stop of a text told": {"prompt": "Good", "stop": ["short"], "include_stop_str_in_output": True},
        "no stop to tell": {"prompt": "Good", "stop": ["xyz"], "include_stop_str_in_output": True},
        "any integer is a seed": chat(seed=-(10**30), temperature=0),
        "two choices": chat(n=2),
        "more choices than slots": chat(n=3, max_tokens=4),
        "log-probabilities": chat(logprobs=True, top_logprobs=2),
        "log-probabilities of the chosen": chat(logprobs=True),
        "content parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Good"}]}]},
        "developer": {"messages": [{"role": "developer", "content": "Be brief."}, USER]},
        "an answer and a question": {"messages": [USER, {"role": "assistant", "content": "Fish."}, USER]},
        "an assistant's message last": {"messages": [USER, {"role": "assistant", "content": "Good"}]},
        "an assistant's message goes on": {
            "messages": [USER, {"role": "assistant", "content": "Good"}],
            "continue_final_message": True,
            "add_generation_prompt": False,
        },
        "the user's goes on": chat(continue_final_message=True, add_generation_prompt=False),
        "two of the assistant's": {"messages": [USER, *[{"role": "assistant", "content": "Good"}] * 2]},
        "nothing begins the answer": chat(add_generation_prompt=False),
        "choices of words": chat(guided_choice=["sea"]),
        "a pattern": {"prompt": "Good", "guided_regex": "0{3}", "max_tokens": 5},
        "a grammar": chat(grammar='root ::= "port"'),
        "a wrong grammar": chat(grammar="root ::= ("),
        "a grammar and no end": {"prompt": "Good", "guided_choice": ["sea"], "ignore_eos": True, "n": 2},
        "reasoning effort": chat(reasoning_effort="low"),
        "no thinking": chat(enable_thinking=False),
        "penalties": chat(frequency_penalty=1.5, presence_penalty=0.5, repeat_last_n=-1),
        "dry": chat(dry_multiplier=0.8, dry_penalty_last_n=-1),
        "bias": chat(logit_bias={"262": -100}),
        "bias of a text": chat(logit_bias=[["Sealift", False]]),
        "ignore eos": {"prompt": "Our convoy waits for high", "ignore_eos": True, "max_tokens": 8},
        "tools none": chat(tools=[TOOL], tool_choice="none"),
        "tools auto": chat(tools=[TOOL]),
        "tools required without a form": chat(tools=[TOOL], tool_choice="required"),
        "bad schema": chat(response_format=schema({"type": "object", "properties": 3})),
        "text": {"prompt": "Good"},
        "text with its first token": {"prompt": "<s>Good"},
        "echo": {"prompt": "Good", "echo": True},
        "text's log-probabilities": {"prompt": "Good", "logprobs": 2},
        "texts": {"prompt": ["Good", "Our convoy"], "max_tokens": 4},
        "texts and choices": {"prompt": ["Good", "Our convoy"], "n": 2, "max_tokens": 4},
        "tokens": {"prompt": [1, 300], "max_tokens": 4},
        "tokens and texts": {"prompt": ["Good", 300], "max_tokens": 4},
        "tokens and texts told": {"prompt": ["Good", 300, 301], "max_tokens": 4, "echo": True},
        "tokens and texts with log-probabilities": {"prompt": [300, "Good"], "max_tokens": 2, "logprobs": 1},
        "a grammar of an answer that goes on": {
            "messages": [USER, {"role": "assistant", "content": "</s>"}],
            "guided_choice": ["sea"],
        },
        "lists of tokens": {"prompt": [[1, 300], [1, 301]], "max_tokens": 4},
        "no such token": {"prompt": [1, 99_999]},
        "suffix": {"prompt": "a", "suffix": "b"},
        "best of": {"prompt": "Good", "best_of": 2, "max_tokens": 4},
        "inputs": {"inputs": "Good", "parameters": {"max_new_tokens": 4, "return_full_text": True}},
        "inputs with details": {"inputs": "Good", "parameters": {"max_new_tokens": 4, "details": True}},
        "inputs, sampled not": {"inputs": "Good", "parameters": {"do_sample": False, "top_k": 50}},
        "inputs of texts": {"inputs": ["Good", "Our"], "parameters": {"max_new_tokens": 4}},
        "inputs of dialogs": {"inputs": [[USER], [USER]], "parameters": {"max_new_tokens": 4}},
        "inputs of one dialog": {"inputs": [USER], "parameters": {"max_new_tokens": 4}},
        "length of both": {"inputs": "Good weather", "parameters": {"max_length": 6}},
        "length of a dialog and its answer": {"inputs": [USER], "parameters": {"max_length": 30}},
        "text_inputs": {"text_inputs": "Good", "max_length": 8, "num_return_sequences": 2},
        "responses": {"input": [USER], "max_output_tokens": 4},
        "a response's log-probabilities": {"input": [USER], "top_logprobs": 2, "max_output_tokens": 4},
        "responses by one text": {"input": "Good", "instructions": "Be brief."},
        "input alone": {"input": "Good"},
        "input for embeddings": {"input": ["Good", "bad"]},
        "query": {"query": "Good", "documents": ["a"]},
        "too long": {"messages": [{"role": "user", "content": "sail " * 2100}]},
        "text too long": {"prompt": "sail " * 2100},
        "a wrong field": chat(temprature=1),
        "wrong values": chat(temperature="hot", n=0),
        "nothing": {},
        "a refused field": chat(num_beams=4),
        "idle fields": chat(user="u", store=True, metadata={}, num_beams=1, min_tokens=0),
    }.items()
]


@pytest.mark.parametrize("body", ALIKE)
def test_both_answer_alike(both: Both, body: dict[str, Any]) -> None:
    """A body gets the same answer, or the same refusal, from both."""
    one, other = both.one(body), both.other(body)

    assert other[0] == one[0], other[1]
    assert lasting(other[1]) == lasting(one[1])


WRITTEN = [
    pytest.param(body, id=name)
    for name, body in {
        "schema": chat(response_format=schema(SCHEMA), max_tokens=60),
        "schema that is not met": chat(response_format=schema(UNHELD), max_tokens=40),
        "any object": chat(response_format={"type": "json_object"}, max_tokens=60),
        "text schema": {"prompt": "Good", "json_schema": SCHEMA, "max_tokens": 60},
    }.items()
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Run both with a model that has learned more than a chain, so that no two tokens are as likely."""
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "demo.gguf"
    path.write_bytes((ROOT / "examples" / "demo_model" / "sealift-demo.gguf").read_bytes())
    found = Both(folder, path)
    try:
        yield found
    finally:
        found.server.end()


@pytest.mark.parametrize("body", WRITTEN)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_both_keep_to_a_schema_alike(trained: Both, body: dict[str, Any], streamed: bool) -> None:
    """By the same grammar, so that the likeliest tokens that it allows are the same."""
    one, other = (ask({**body, "stream": streamed}) for ask in (trained.one, trained.other))

    assert other[0] == one[0], other[1]
    if streamed:
        assert joined(other[1]) == joined(one[1])
    else:
        assert lasting(other[1]) == lasting(one[1])


def joined(events: list[Any]) -> Any:
    """Return what a chat's, a text's or a response's events add up to, choice by choice."""
    found: dict[Any, str] = {}
    for event in events:
        for choice in event["choices"] if isinstance(event, dict) and "choices" in event else []:
            delta = choice.get("delta", {"content": choice.get("text")})
            for name, value in delta.items():
                if isinstance(value, str):
                    key = choice["index"], name
                    found[key] = found.get(key, "") + value
            if choice["finish_reason"]:
                found[choice["index"], "finish_reason"] = choice["finish_reason"]
        if isinstance(event, dict) and str(event.get("type")).endswith(".delta"):
            found[event["type"]] = found.get(event["type"], "") + event["delta"]
    last = [event for event in events if isinstance(event, dict) and event.get("response")]
    return found, lasting(last[-1] if last else None) if not last else last[-1]["response"]["status"]


@pytest.mark.parametrize("tokens", range(1, 13))
@pytest.mark.parametrize("form", [{"prompt": "Good"}, {"messages": [USER]}], ids=["text", "chat"])
def test_no_answer_ends_within_a_character(both: Both, form: dict[str, Any], tokens: int) -> None:
    """The vocabulary has single bytes for these, and the answer is cut after any of them."""
    body = {**form, "json_schema": {"const": "é日本😀"}, "max_tokens": tokens}
    (_, one), (_, other), (_, events) = (
        both.one(body),
        both.other(body),
        both.other({**body, "stream": True}),
    )

    if "prompt" in form:  # a chat's answer that is cut within a fence is read otherwise as a whole
        assert lasting(other) == lasting(one)
    said = other["choices"][0]
    text = said["text"] if "text" in said else said["message"]["content"]
    assert "\ufffd" not in text
    assert joined(events)[0].get((0, "content"), "") == text


STREAMED = [
    pytest.param(body, id=name)
    for name, body in {
        "chat": chat(),
        "choices": chat(n=2),
        "stop": chat(stop=["cargo"]),
        "stop told": chat(stop=["cargo"], include_stop_str_in_output=True),
        "stop of a text told": {"prompt": "Good", "stop": ["short"], "include_stop_str_in_output": True},
        "text": {"prompt": "Good"},
        "texts, told before": {"prompt": ["Good", "Our"], "echo": True, "max_tokens": 4},
        "inputs": {"inputs": "Good", "parameters": {"max_new_tokens": 4, "details": True}},
        "responses": {"input": [USER], "max_output_tokens": 4},
        "a response's log-probabilities": {"input": [USER], "max_output_tokens": 4, "top_logprobs": 2},
    }.items()
]


@pytest.mark.parametrize("body", STREAMED)
def test_a_stream_adds_up_to_the_same(both: Both, body: dict[str, Any]) -> None:
    """Event by event it says what the four functions say at once; it ends alike, and comes in more than one part."""
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    (_, one), (status, other) = both.one(body), both.other(body)

    assert status == 200
    assert joined(other) == joined(one)
    assert other[-1] == one[-1] == "[DONE]"
    assert len(other) > len(one)
    kept = [name for name in ("usage", "generated_text", "details") if name in one[-2]]
    assert [lasting(other[-2])[name] for name in kept] == [lasting(one[-2])[name] for name in kept]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"inputs": ["Good", "Our"], "parameters": {"max_new_tokens": 4}}, id="list"),
        pytest.param(chat(n=3, max_tokens=3), id="more choices than slots"),
        pytest.param({"prompt": [1, 300], "echo": True, "max_tokens": 3}, id="told tokens"),
    ],
)
def test_what_must_be_whole_is_streamed_when_it_is_there(both: Both, body: dict[str, Any]) -> None:
    """As one list of events, the same as that of the four functions."""
    (_, one), (status, other) = both.one({**body, "stream": True}), both.other({**body, "stream": True})

    assert status == 200
    assert lasting(other) == lasting(one)


@pytest.fixture(
    scope="module",
    params=["its own", "Qwen-Qwen3-0.6B", "meta-llama-Llama-3.1-8B-Instruct", "Kimi-K2-Thinking"],
)
def caller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Run both with a template that knows tools; the first model calls them, the others talk."""
    folder = tmp_path_factory.mktemp("tools")
    path = folder / "harbour.gguf"
    if request.param == "its own":
        write_tiny_gguf(path, tools=True)
    else:
        write_tiny_gguf(path, template=(COLLECTION / f"{request.param}.jinja").read_text(encoding="utf-8"))
    found = Both(folder, path)
    try:
        yield found
    finally:
        found.server.end()


CALLS = [
    pytest.param(body, id=name)
    for name, body in {
        "none said": chat(),
        "auto": chat(tools=[TOOL]),
        "required": chat(tools=[TOOL], tool_choice="required", max_tokens=80),
        "the one by its name": chat(
            tools=[TOOL], tool_choice={"type": "function", "function": {"name": "weather"}}, max_tokens=80
        ),
        "functions": chat(functions=[TOOL["function"]], function_call={"name": "weather"}, max_tokens=80),
        "the answer of a tool": {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "a",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city": "Bern"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "a", "content": "sun"},
            ],
            "tools": [TOOL],
        },
        "no thoughts": chat(enable_thinking=False),
        "thoughts in the content": chat(reasoning_format="none"),
        "no effort": chat(reasoning_effort="none"),
        "schema of a tool": chat(tools=[{**TOOL, "function": {"name": "a", "parameters": {"$ref": "#/x"}}}]),
    }.items()
]


@pytest.mark.parametrize("body", CALLS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_calls_and_thoughts_are_alike(caller: Both, body: dict[str, Any], streamed: bool) -> None:
    """What is called, thought and said, whole and added up from the events of a stream."""
    body = {**body, "stream": streamed}
    one, other = caller.one(body), caller.other(body)

    assert other[0] == one[0] == (400 if "$ref" in json.dumps(body) else 200), other[1]
    if not streamed or one[0] != 200:
        assert lasting(other[1]) == lasting(one[1])
        return
    assert joined(other[1]) == joined(one[1])
    assert called(other[1]) == called(one[1])


def test_what_a_template_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    """Without the template's source around it, which llama.cpp shows."""
    refuses = "{% if messages[0]['content'] == 'bad' %}{{ raise_exception('not this one') }}{% endif %}"
    path = write_tiny_gguf(tmp_path / "harbour.gguf", template=refuses + CHAT_TEMPLATE)
    both = Both(tmp_path, path)
    try:
        for streamed in (False, True):
            body = {"messages": [{"role": "user", "content": "bad"}], "stream": streamed}
            one, other = both.one(body), both.other(body)

            assert other == one
            assert other[0] == 400
            assert other[1]["error"]["message"].endswith("refuses these messages: not this one")
    finally:
        both.server.end()


@pytest.mark.parametrize(
    ("name", "bodies"),
    [
        pytest.param(
            "openai-gpt-oss-120b", ["plain", "tools", "streamed", "two"], id="answers-of-another-form"
        ),
        pytest.param("deepseek-ai-DeepSeek-V3.2", ["a call", "a call streamed"], id="begins-unreadably"),
        pytest.param("meetkai-functionary-medium-v3.2", ["plain", "a call"], id="with-calls-of-another-form"),
        pytest.param("Apertus-8B-Instruct", ["plain", "thoughts"], id="tells-no-thoughts-apart"),
        pytest.param("GLM-4.7-Flash", ["thoughts", "a call"], id="shows-thoughts-of-before"),
        pytest.param("Apriel-1.6-15b-Thinker-fixed", ["plain"], id="begins-a-thought"),
        pytest.param("HuggingFaceTB-SmolLM3-3B", ["no thinking"], id="begins-a-content"),
        pytest.param("Qwen3-Coder", ["a list", "half a call"], id="goes-through-arguments"),
        pytest.param("google-gemma-4-31B-it", ["the assistant's alone"], id="wants-a-question"),
    ],
)
def test_templates_are_alike(tmp_path: Path, name: str, bodies: list[str]) -> None:
    """In prompt, answer and refusal: what a template begins, shows and fails at."""
    path = tmp_path / "harbour.gguf"
    write_tiny_gguf(path, template=(COLLECTION / f"{name}.jinja").read_text(encoding="utf-8"))
    answered: list[dict[str, Any]] = [USER, {"role": "assistant", "content": "Fish."}, USER]

    def calling(arguments: str) -> list[dict[str, Any]]:
        call = {
            "id": "abcdefghi",
            "type": "function",
            "function": {"name": "weather", "arguments": arguments},
        }
        told = {"role": "tool", "tool_call_id": "abcdefghi", "content": "sun"}
        return [USER, {"role": "assistant", "content": "", "tool_calls": [call]}, told]

    asked = {
        "plain": chat(),
        "tools": chat(tools=[TOOL]),
        "streamed": chat(stream=True),
        "two": chat(stream=True, n=2),
        "a call streamed": {"messages": calling('{"city": "Bern"}'), "tools": [TOOL], "stream": True},
        "no thinking": chat(enable_thinking=False),
        "thoughts": {"messages": [USER, {**answered[1], "reasoning_content": "Hm."}, USER]},
        "a call": {"messages": calling('{"city": "Bern"}'), "tools": [TOOL]},
        "a list": {"messages": calling("[1]"), "tools": [TOOL]},
        "half a call": {"messages": calling('{"city": "Be'), "tools": [TOOL]},
        "the assistant's alone": {"messages": [answered[1]]},
    }
    both = Both(tmp_path, path)
    try:
        for body in (asked[one] for one in bodies):
            one, other = both.one({**body, "max_tokens": 4}), both.other({**body, "max_tokens": 4})

            assert other[0] == one[0] < 500, other[1]
            if "stream" in body:
                assert joined(other[1]) == joined(one[1])
                assert other[1][-1] == "[DONE]"
            else:
                assert lasting(other[1]) == lasting(one[1])
    finally:
        both.server.end()


def test_a_response_tells_its_log_probabilities(both: Both) -> None:
    """With its text, as OpenAI's has it, and with each piece of it in a stream."""
    body = {"input": [USER], "top_logprobs": 2, "max_output_tokens": 4}
    for ask in (both.one, both.other):
        _, answer = ask(body)
        _, events = ask({**body, "stream": True})

        told = answer["output"][0]["content"][0]["logprobs"]
        assert len(told) == 4
        assert "".join(one["token"] for one in told) == answer["output"][0]["content"][0]["text"]
        assert all(len(one["top_logprobs"]) == 2 for one in told)
        deltas = [one for event in events for one in event_logprobs(event)]
        assert [one["token"] for one in deltas] == [one["token"] for one in told]


def event_logprobs(event: Any) -> list[Any]:
    """Return the log-probabilities of an event that goes on with a response's text."""
    if not isinstance(event, dict) or event["type"] != "response.output_text.delta":
        return []
    return list(event["logprobs"])


def test_no_request_ends_llama_server(both: Both) -> None:
    """What it fails at, and what its process would end of, is refused by both."""
    begun = [USER, {"role": "assistant", "content": "</s>"}]
    every = [[token, False] for token in range(471)]
    for body in (
        {"messages": begun, "json_schema": SCHEMA},
        {"messages": begun, "tools": [TOOL], "tool_choice": "required"},
        {"messages": [USER, {"role": "assistant", "content": "zzz"}], "json_schema": SCHEMA},
        {"prompt": "Good", "json_schema": SCHEMA, "logit_bias": every},
    ):
        status, answer = both.other(body)

        assert status == 400, answer
        assert both.one({"prompt": "Good"})[0] == both.other({"prompt": "Good"})[0] == 200
    assert both.one({"messages": begun, "json_schema": SCHEMA})[1]["error"]["code"] == "invalid_grammar"


def test_a_suffix_is_set_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the model's own tokens: as many of them, of either language, and the same filling."""
    plain = tiny_gguf._add_tokenizer

    def with_tokens(writer: gguf.GGUFWriter, *rest: Any) -> None:
        plain(writer, *rest)
        for name, token in (("pre", 3), ("suf", 4), ("mid", 5)):
            writer.add_uint32(f"tokenizer.ggml.fim_{name}_token_id", token)

    monkeypatch.setattr(tiny_gguf, "_add_tokenizer", with_tokens)
    both = Both(tmp_path, write_tiny_gguf(tmp_path / "harbour.gguf"))
    try:
        for prompt, suffix in (
            ("Good", "sea"),
            ("def f():\n", "\n    return 日本\n"),
            ("a " * 200, "b " * 200),
        ):
            body = {"prompt": prompt, "suffix": suffix, "max_tokens": 4}
            one, other = both.one(body), both.other(body)

            assert other[0] == one[0] == 200
            assert lasting(other[1]) == lasting(one[1])
    finally:
        both.server.end()


DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
SEEN = {
    "role": "user",
    "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": DOT}}],
}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Run both, llama-server with a projector beside the model."""
    folder = tmp_path_factory.mktemp("seeing")
    (folder / "model").mkdir()
    path = write_tiny_gguf(folder / "model" / "harbour.gguf")
    found = Both(folder, path, "--mmproj", str(write_tiny_projector(folder / "mmproj.gguf")))
    try:
        yield found
    finally:
        found.server.end()


@pytest.mark.parametrize(
    "more", [{}, {"n": 2}, {"stream": True}, {"n": 2, "stream": True}, {"logprobs": True}]
)
def test_images_are_for_llama_server(seeing: Both, more: dict[str, Any]) -> None:
    """With a projector it takes them in every way of asking; the four functions say who does."""
    body = {"messages": [SEEN], "max_tokens": 3, **more}
    status, answer = seeing.other(body)

    assert seeing.facts.sees
    assert status == 200, answer
    usage = answer["usage"] if isinstance(answer, dict) else {"prompt_tokens": 9}
    assert usage["prompt_tokens"] > 8
    assert seeing.one(body)[0] == 400


def test_a_text_beside_a_projector_is_read_as_ever(seeing: Both) -> None:
    """Prompts, tokens, lists and chats without an image, alike."""
    for body in ({"prompt": "Good"}, {"prompt": [1, 300]}, {"inputs": ["Good", "Our"]}, chat()):
        assert lasting(seeing.other(body)[1]) == lasting(seeing.one(body)[1])


def test_an_image_that_is_none_is_an_error_of_the_request(seeing: Both) -> None:
    """Base64 of something else; nothing is wrong with the server, which goes on."""
    url = "data:image/png;base64,aGVsbG8="
    broken = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    status, answer = seeing.other({"messages": [broken]})

    assert status == 400, answer
    assert seeing.other(chat())[0] == 200


def test_an_adapter_is_applied_as_far_as_a_request_says(tmp_path: Path) -> None:
    """By its number and a scale; the next request has all of it again."""
    (tmp_path / "model").mkdir()
    path = write_tiny_gguf(tmp_path / "model" / "harbour.gguf")
    both = Both(tmp_path, path, "--lora", str(write_tiny_lora(tmp_path / "lora.gguf")))
    try:
        without = both.other(chat(lora=[{"id": 0, "scale": 0.0}]))
        with_it = both.other(chat())

        assert lasting(without[1]) == lasting(both.one(chat())[1])
        assert with_it[1]["choices"][0]["message"] != without[1]["choices"][0]["message"]
        again = both.other(chat(lora=[{"id": 0, "scale": 0}]))
        assert again[1]["choices"] == without[1]["choices"]
    finally:
        both.server.end()


def called(events: list[Any]) -> dict[int, list[str]]:
    """Return the name and the arguments of each call in the events of a stream."""
    found: dict[int, list[str]] = {}
    for event in events:
        for choice in event["choices"] if isinstance(event, dict) else []:
            single = choice["delta"].get("function_call")
            calls = choice["delta"].get("tool_calls") or (
                [{"index": 0, "function": single}] if single else []
            )
            for call in calls:
                names = found.setdefault(call["index"], ["", ""])
                names[0] += call["function"].get("name") or ""
                names[1] += call["function"].get("arguments") or ""
    return found


LONG = "harbour " * 600
READ = [
    pytest.param("embeds", body, id=f"embeds {name}")
    for name, body in {
        "a text": {"input": "hello harbour"},
        "texts": {"input": ["hello", "harbour tide"], "dimensions": 7},
        "base64": {"input": ["hello"], "encoding_format": "base64"},
        "inputs": {"inputs": ["hello", "crane"]},
        "text_inputs": {"text_inputs": "hello"},
        "too long": {"input": ["hello", LONG]},
        "too wide": {"input": "hello", "dimensions": 65},
        "a chat": chat(),
        "query": {"query": "hello", "documents": ["a"]},
    }.items()
] + [
    pytest.param("ranks", body, id=f"ranks {name}")
    for name, body in {
        "documents": {"query": "ship", "documents": ["hello harbour", "crane tide"], "top_n": 1},
        "documents told": {"query": "ship", "documents": ["hello", "tide"], "return_documents": True},
        "texts": {"query": "ship", "texts": ["hello", "tide"], "return_text": True, "raw_scores": False},
        "too long": {"query": "ship", "documents": ["hello", LONG]},
        "cut": {"query": "ship", "texts": ["hello", LONG], "truncate": True},
        "a chat": chat(),
    }.items()
]


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Both]]:
    """Run both with a model that embeds, and with one that ranks."""
    found = {}
    for does, pooling, option in (
        ("embeds", None, "--embeddings"),
        ("ranks", gguf.PoolingType.RANK, "--reranking"),
    ):
        folder = tmp_path_factory.mktemp(does)
        path = write_tiny_encoder(folder / "reader.gguf", **({"pooling": pooling} if pooling else {}))
        found[does] = Both(folder, path, option, embeds=does == "embeds", reranks=does == "ranks")
    try:
        yield found
    finally:
        for one in found.values():
            one.server.end()


@pytest.mark.parametrize(("does", "body"), READ)
def test_embeddings_and_rankings_are_alike(readers: dict[str, Both], does: str, body: dict[str, Any]) -> None:
    """The same vectors and scores, in the same forms, and the same refusals."""
    one, other = readers[does].one(body), readers[does].other(body)

    assert other[0] == one[0], other[1]
    if isinstance(other[1], dict) and body.get("encoding_format") == "base64":
        assert len(other[1]["data"][0]["embedding"]) == len(one[1]["data"][0]["embedding"])
        return
    assert lasting(other[1]) == lasting(one[1])
