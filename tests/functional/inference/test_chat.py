"""llama.cpp's chat layer in its library: llama.cpp's own templates, tools, reasoning, schemas, and what it refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import package_files
from sealift_chat import (
    ChatError,
    Delta,
    Library,
    LibraryMissing,
    Message,
    Prompt,
    Templates,
    ToolCall,
    deltas,
    find_library,
    reason_of,
)

COLLECTION = sorted(package_files.runtime().with_name("templates").glob("*.jinja"))
"""llama.cpp's own."""
QWEN = "Qwen-Qwen3-0.6B"
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
USER = {"role": "user", "content": "Hey there!"}
ANSWER = {"role": "assistant", "content": "Hello, ", "reasoning_content": "I'm thinking"}
THOUGHT = {"role": "assistant", "content": "", "reasoning_content": "I'm"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["city"],
        },
    },
}
TIME: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(scope="module")
def library() -> Library:
    """Return the library that `make runtime` builds."""
    return Library(find_library())


@pytest.fixture(params=COLLECTION, ids=[path.stem for path in COLLECTION])
def every(request: pytest.FixtureRequest, library: Library) -> Iterator[Templates]:
    """Give each template of the collection."""
    templates = Templates(library, request.param.read_text(), bos="<s>", eos="</s>")
    yield templates
    templates.close()


def of(library: Library, name: str, **given: Any) -> Templates:
    """Return a template of the collection by its name."""
    (path,) = (one for one in COLLECTION if one.stem == name)
    return Templates(library, path.read_text(), **given)


def test_the_collection_is_there() -> None:
    """Else the tests of each of them would test nothing."""
    assert len(COLLECTION) >= 70


# ------------------------------------------------------------------------------ every template


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"tools": [WEATHER, TIME]},
        {"tools": [WEATHER, TIME], "tool_choice": "none"},
        {"tools": [WEATHER, TIME], "tool_choice": "required"},
        {"tools": [WEATHER, TIME], "callable_tools": [TIME], "tool_choice": "required"},
        {"json_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        {"enable_thinking": False},
    ],
    ids=["plain", "tools", "tools none", "tools required", "tool named", "schema", "no thoughts"],
)
def test_every_template_renders_every_kind_of_chat(every: Templates, more: dict[str, Any]) -> None:
    """With what the user says in the prompt, also where the template knows no system message."""
    forced = more.get("tool_choice", "none") != "none"
    try:
        prompt = every.apply([SYSTEM, USER], **more)
    except ChatError:
        assert forced
        assert every.apply([SYSTEM, USER], tools=more["tools"]).constraint is None
        return

    assert "Hey there!" in prompt.text
    assert bool(prompt.constraint and not prompt.constraint.lazy) == (forced or "json_schema" in more)


def test_no_template_has_another_prompt_for_another_choice(every: Templates) -> None:
    """So that a prompt can be rendered without the grammar of its tools."""
    more = {"tools": [WEATHER], "json_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}

    assert (
        every.apply([SYSTEM, USER], **more).text
        == every.apply([SYSTEM, USER], tool_choice="none", **more).text
    )


def test_nearly_every_template_can_be_made_to_call_a_tool(library: Library) -> None:
    """llama.cpp finds the form of calls in all but those that know of no tools."""
    without = set()
    for path in COLLECTION:
        templates = Templates(library, path.read_text())
        try:
            templates.apply([USER], tools=[WEATHER], tool_choice="required")
        except ChatError:
            without.add(path.stem)
        templates.close()

    assert without == {
        "HuggingFaceTB-SmolLM3-3B",
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
        "google-gemma-2-2b-it",
        "ibm-granite-granite-3.3-2B-Instruct",
        "llama-cpp-rwkv-world",
        "microsoft-Phi-3.5-mini-instruct",
    }


def test_every_template_tells_the_model_of_tools_and_calls(every: Templates) -> None:
    """A conversation with a call and its result goes on, in each of them that knows of tools."""
    calls = [{"id": "call12345", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call12345", "name": "get_time", "content": "noon precisely"},
    ]
    try:
        prompt = every.apply(messages, tools=[WEATHER, TIME])
    except ChatError:
        assert not every.abilities["supports_tool_calls"]
        return

    if every.abilities["supports_tool_calls"]:
        assert "get_time" in prompt.text
        assert "noon precisely" in prompt.text


@pytest.mark.parametrize(
    ("name", "plain", "content", "thought"),
    # tests/test-chat.cpp of llama.cpp, test_template_generation_prompt: its messages, and what it expects.
    [
        (
            "Qwen3.5-4B",
            "<|im_start|>assistant\n<think>\n",
            "<|im_start|>assistant\n<think>\nI'm thinking\n</think>\n\nHello, ",
            "<|im_start|>assistant\n<think>\nI'm",
        ),
        (
            "openai-gpt-oss-120b",
            "<|start|>assistant",
            (
                "<|start|>assistant<|channel|>analysis<|message|>I'm thinking<|end|>"
                "<|start|>assistant<|channel|>final<|message|>Hello, "
            ),
            "<|start|>assistant<|channel|>analysis<|message|>I'm",
        ),
        ("mistralai-Ministral-3-14B-Reasoning-2512", "", "[THINK]I'm thinking[/THINK]Hello, ", "[THINK]I'm"),
        (
            "google-gemma-4-31B-it",
            "<|turn>model\n",
            "<|turn>model\n<|channel>thought\nI'm thinking<channel|>Hello, ",
            "<|turn>model\n<|channel>thought\nI'm",
        ),
        (
            "meetkai-functionary-medium-v3.2",
            "<|start_header_id|>assistant<|end_header_id|>\n\n>>>",
            "<|start_header_id|>assistant<|end_header_id|>\n\n>>>all\nHello, ",
            "<|start_header_id|>assistant<|end_header_id|>\n\n>>>all\n",
        ),
        (
            "Reka-Edge",
            "assistant: <think>\n",
            "assistant: <think>\nI'm thinking\n</think>\n\nHello, ",
            "assistant: <think>\nI'm",
        ),
        (
            "moonshotai-Kimi-K2",
            "<|im_assistant|>assistant<|im_middle|>",
            "<|im_assistant|>assistant<|im_middle|><think>I'm thinking</think>Hello, ",
            "<|im_assistant|>assistant<|im_middle|><think>I'm",
        ),
        (
            "LFM2-8B-A1B",
            "<|im_start|>assistant\n",
            "<|im_start|>assistant\n<think>I'm thinking</think>Hello, ",
            "<|im_start|>assistant\n<think>I'm",
        ),
        (
            "GigaChat3-10B-A1.8B",
            "assistant<|role_sep|>\n",
            "assistant<|role_sep|>\nHello, ",
            "assistant<|role_sep|>\n",
        ),
        (
            "openbmb-MiniCPM5-1B",
            "<|im_start|>assistant\n<think>\n",
            "<|im_start|>assistant\n<think>\nI'm thinking\n</think>\n\nHello, ",
            "<|im_start|>assistant\n<think>\nI'm",
        ),
    ],
)
def test_prompts_end_as_llama_cpp_expects(
    library: Library, name: str, plain: str, content: str, thought: str
) -> None:
    """Where the model begins an answer, goes on with one, and goes on with a thought."""
    templates = of(library, name)
    cases = [
        (plain, [SYSTEM, USER], False),
        (content, [SYSTEM, USER, ANSWER], "content"),
        (thought, [SYSTEM, USER, THOUGHT], "reasoning_content"),
    ]
    for expected, messages, continued in cases:
        prompt = templates.apply(messages, continue_final_message=continued)

        assert prompt.syntax.generation_prompt == expected
        assert prompt.text.endswith(expected)
        assert str(SYSTEM["content"]) in prompt.text


# ------------------------------------------------------------------------------ answers


CALLS = '{"name": "get_weather", "arguments": {"city": "Bern"}}'
QWEN_ANSWER = (
    f"<think>\nLet me see.\n</think>\n\nI look it up.\n<tool_call>\n{CALLS}\n</tool_call>"
    '\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'
)


def qwen(library: Library, **given: Any) -> tuple[Templates, Prompt]:
    """Return a template and a prompt of it."""
    templates = of(library, QWEN)
    return templates, templates.apply([USER], **given)


def test_answer_is_read_as_thought_text_and_calls(library: Library) -> None:
    """As Qwen writes them."""
    templates, prompt = qwen(library, tools=[WEATHER, TIME], parallel_tool_calls=True)

    message = templates.parse(QWEN_ANSWER, prompt.syntax)

    assert message.reasoning.strip() == "Let me see."
    assert message.content.strip() == "I look it up."
    assert [(call.name, json.loads(call.arguments)) for call in message.tool_calls] == [
        ("get_weather", {"city": "Bern"}),
        ("get_time", {}),
    ]


def test_thought_stays_in_the_text_where_that_is_wanted(library: Library) -> None:
    """With the reasoning format `none`."""
    templates, prompt = qwen(library, reasoning_format="none")

    message = templates.parse("<think>\nHm.\n</think>\n\nHello", prompt.syntax)

    assert message == Message(content="<think>\nHm.\n</think>\n\nHello")


def test_calls_are_text_where_there_are_no_tools(library: Library) -> None:
    """Nothing of an answer is lost."""
    templates, prompt = qwen(library)

    message = templates.parse(f"Hi <tool_call>\n{CALLS}\n</tool_call>", prompt.syntax)

    assert message == Message(content=f"Hi <tool_call>\n{CALLS}\n</tool_call>")


def test_answer_that_cannot_be_read_is_an_error(library: Library) -> None:
    """But while more is to come."""
    templates, prompt = qwen(library, tools=[WEATHER, TIME])
    text = '<tool_call>\n{"name": "no_such'

    assert templates.parse(text, prompt.syntax, partial=True) == Message()
    with pytest.raises(ChatError, match="does not match"):
        templates.parse(text, prompt.syntax)
    assert not qwen(library, tools=[WEATHER], tool_choice="none")[1].syntax.parse_tool_calls


@given(st.lists(st.integers(1, 30), max_size=12))
def test_stream_of_an_answer_adds_up_to_it(lengths: list[int]) -> None:
    """However its text is cut, with each call's name and its arguments in order."""
    templates, prompt = qwen(Library(find_library()), tools=[WEATHER, TIME], parallel_tool_calls=True)
    before, told = Message(), list[Delta]()
    ends = [sum(lengths[: n + 1]) for n in range(len(lengths)) if sum(lengths[: n + 1]) < len(QWEN_ANSWER)]
    for end in ends:
        now = templates.parse(QWEN_ANSWER[:end], prompt.syntax, partial=True)
        told += deltas(before, now)
        before = now
    whole = templates.parse(QWEN_ANSWER, prompt.syntax)
    told += deltas(before, whole)

    assert "".join(one.content for one in told) == whole.content
    assert "".join(one.reasoning for one in told) == whole.reasoning
    for index, call in enumerate(whole.tool_calls):
        parts = [one.call for one in told if one.index == index and one.call]
        assert [part.name for part in parts if part.name] == [call.name]
        assert "".join(part.arguments for part in parts) == call.arguments


def test_delta_is_what_is_new() -> None:
    """Of the text, of the thought, and of each call."""
    before = Message("a", "t", (ToolCall("f", '{"x', "1"),))
    now = Message("ab", "tu", (ToolCall("f", '{"x": 1}', "1"), ToolCall("g", "{", "2")))

    assert deltas(before, before) == []
    assert deltas(before, now) == [
        Delta(reasoning="u"),
        Delta(content="b"),
        Delta(index=0, call=ToolCall("", '": 1}', "")),
        Delta(index=1, call=ToolCall("g", "{", "2")),
    ]


# ------------------------------------------------------------------------------ constraints


def test_tools_of_auto_constrain_from_a_trigger_on(library: Library) -> None:
    """What comes before is free."""
    constraint = qwen(library, tools=[WEATHER])[1].constraint

    assert constraint is not None
    assert constraint.lazy
    assert [(one.kind, one.value) for one in constraint.triggers] == [("word", "<tool_call>\n")]
    assert constraint.prefix == ""
    assert (constraint.thinking_start, constraint.thinking_ends, constraint.thinking) == (
        "<think>",
        ("</think>",),
        False,
    )


def test_only_callable_tools_can_be_called(library: Library) -> None:
    """The model is told of all of them, as it would be without."""
    named = qwen(library, tools=[WEATHER, TIME], callable_tools=[TIME], tool_choice="required")[1]
    free = qwen(library, tools=[WEATHER, TIME])[1]

    assert named.constraint is not None
    assert free.constraint is not None
    assert named.text == free.text
    assert "get_weather" not in named.constraint.grammar
    assert "get_time" in named.constraint.grammar
    assert "get_weather" in free.constraint.grammar


def test_prompt_that_ends_in_a_thought_says_so(library: Library) -> None:
    """Nothing triggers a grammar until it is over."""
    prompt = of(library, "Qwen3.5-4B").apply([USER], tools=[WEATHER])

    assert prompt.constraint is not None
    assert prompt.constraint.thinking


def test_own_grammar_does_not_read_the_prompts_end(library: Library) -> None:
    """It is the client's; that of a schema begins where the template's answer begins."""
    own, schema = qwen(library, grammar='root ::= "a"')[1], qwen(library, json_schema={"type": "integer"})[1]

    assert own.constraint is not None
    assert own.constraint.prefix == ""
    assert schema.constraint is not None
    assert schema.constraint.prefix == schema.syntax.generation_prompt != ""


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string", "title": "A"}}, "required": ["a"]},
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        {"type": "integer", "minimum": -3, "maximum": 300},
        {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/n"}], "$defs": {"n": {"const": 4}}},
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}}},
        {"type": "string", "pattern": "^[a-f]{2,4}$"},
        {"type": "string", "format": "date"},
        {},
    ],
)
def test_schema_becomes_a_grammar(library: Library, schema: Any) -> None:
    """Annotations, tuples, bounds, references that come back to themselves, patterns, formats."""
    assert "root ::= " in library.grammar_of(schema)


# ------------------------------------------------------------------------------ what is refused


def nested(depth: int) -> Any:
    """Return a list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


LOADS = "{{ messages[0].content }}"
"""Renders a chat."""


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        pytest.param("{% if %}", "Unexpected token", id="no template"),
        pytest.param("{{ '(' * 3 }}" + "{{ " + "(" * 200_000, "nested too deeply", id="a deep expression"),
        pytest.param("{{ " + "not " * 200_000 + "1 }}", "nested too deeply", id="many operators"),
        pytest.param("{{ 1" + " + 1" * 200_000 + " }}", "nested too deeply", id="a long sum"),
        pytest.param(
            "{% set a = [] %}{% set _ = a.append(a) %}{{ a }}", "nested too deeply", id="what holds itself"
        ),
        pytest.param(
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply", id="endless recursion"
        ),
        pytest.param(
            "{% set n = namespace(x=[]) %}{% for i in range(40) %}{% set n.x = n.x + n.x + [i] %}{% endfor %}",
            "too much memory",
            id="endless memory",
        ),
        pytest.param(
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "too",
            id="endless time",
        ),
    ],
)
def test_broken_template_is_an_error_that_says_why(library: Library, template: str, reason: str) -> None:
    """Whatever it does; the process goes on."""
    with pytest.raises(ChatError, match=reason) as caught:
        Templates(library, template)
    assert caught.value.limit == ("token" not in reason)
    assert Templates(library, LOADS).example == "test"


@pytest.mark.parametrize(
    ("messages", "more", "reason"),
    [
        pytest.param([{"role": "user", "content": nested(300)}], {}, "levels", id="deep content"),
        pytest.param([{"role": "user", "content": nested(50_000)}], {}, "nested too deeply", id="deeper"),
        pytest.param([{"role": "user", "content": "\ud800"}], {}, "surrogate", id="half a character"),
        pytest.param([{"role": "user"}], {}, "content", id="no content"),
        pytest.param([{"role": "user", "content": "x" * (33 << 20)}], {}, "32 MiB", id="too long"),
        pytest.param([USER], {"tools": [{"type": "x"}]}, "tool type", id="no function"),
        pytest.param([USER], {"tools": [WEATHER], "callable_tools": [3]}, "Missing tool", id="no tool"),
        pytest.param([USER], {"tools": [WEATHER], "tool_choice": "perhaps"}, "perhaps", id="no choice"),
        pytest.param(
            [USER], {"tools": [WEATHER], "grammar": "root ::= x"}, "grammar", id="a grammar with tools"
        ),
        pytest.param([USER], {"json_schema": {"type": "x"}}, "(?i)schema|type", id="no schema"),
        pytest.param([USER], {"json_schema": {"$ref": "#/a"}}, "#/a", id="a reference to nothing"),
        pytest.param([USER], {"json_schema": nested(300)}, "levels", id="a deep schema"),
        pytest.param([USER], {"reasoning_format": "x"}, "reasoning format", id="no reasoning format"),
        pytest.param([USER], {"continue_final_message": True}, "last message", id="nothing to continue"),
    ],
)
def test_what_cannot_be_rendered_is_an_error_that_says_why(
    library: Library, messages: list[Any], more: dict[str, Any], reason: str
) -> None:
    """By llama.cpp's words, or by ours where it would end the process."""
    templates = of(library, QWEN)

    with pytest.raises(ChatError, match=reason):
        templates.apply(messages, **more)
    assert templates.apply([USER]).text


def test_answer_that_nests_without_end_is_an_error(library: Library) -> None:
    """A model may write brackets for ever."""
    templates, prompt = qwen(library, tools=[WEATHER])
    text = '<tool_call>\n{"name": "get_weather", "arguments": {"city": ' + "[" * 200_000

    with pytest.raises(ChatError, match=r"nested too deeply|format|levels"):
        templates.parse(text, prompt.syntax)


def test_handle_that_was_given_back_is_an_error(library: Library) -> None:
    """As is an operation that there is not."""
    templates = Templates(library, LOADS)
    templates.close()

    with pytest.raises(ChatError, match="no such handle"):
        templates.apply([USER])
    with pytest.raises(ChatError, match="no such operation"):
        library.call("x", {})


def test_library_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As is a file that is none."""
    with pytest.raises(LibraryMissing, match="cannot be loaded"):
        Library(tmp_path / "none.so")
    (tmp_path / "none.so").write_bytes(b"x")
    with pytest.raises(LibraryMissing, match="make runtime"):
        Library(tmp_path / "none.so")


def test_reason_is_taken_out_of_the_templates_source() -> None:
    """llama.cpp shows the line, with a mark below."""
    message = "\n------------\nWhile executing X at line 1\n...{{ x }}...\n   ^\nError: Jinja Exception: no system role"

    assert reason_of(message) == "no system role"
    assert reason_of("Missing 'role' in message: {}") == "Missing 'role' in message: {}"


def test_threads_do_not_meet(library: Library) -> None:
    """Each gets the answers to its own questions."""
    templates, prompt = qwen(library, tools=[WEATHER, TIME])
    wrong = []

    def ask(number: int) -> None:
        for _ in range(20):
            rendered = templates.apply([{"role": "user", "content": f"number {number}"}]).text
            read = templates.parse(f"<think>\n{number}\n</think>\n\nyes", prompt.syntax).reasoning
            if f"number {number}" not in rendered or str(number) not in read:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
