"""Conversations as prompts by llama.cpp's chat layer: what a template is given, and what an answer becomes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pipeline import package_files
from sealift_chat import ChatError, Library, Templates, find_library
from sealift_shortcoming import SchemaError
from sealift_template import Conversation, Rendered, Template

ALL = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
THINKING = (
    ALL + "{% for m in messages if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endfor %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)
PARTS = "{% for m in messages %}<{{ m.role }}>{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"
SYSTEM, USER = {"role": "system", "content": "S"}, {"role": "user", "content": "U"}
QWEN = (package_files.runtime().with_name("templates") / "Qwen-Qwen3-0.6B.jinja").read_text()
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "pattern": "^(?=x)y", "minLength": 1}},
        },
    },
}
TIME: dict[str, Any] = {"type": "function", "function": {"name": "time"}}


def template(source: str) -> Template:
    """Return a template as after loading."""
    return Template(Templates(Library(find_library()), source, bos="<s>", eos="</s>"), ("<end>",))


def rendered(source: str, *messages: dict[str, Any], **variables: Any) -> str:
    """Return the prompt of a few messages."""
    return template(source).render(Conversation(messages, variables=variables)).prompt


def called(**given: Any) -> Rendered:
    """Return a conversation with tools, as Qwen's template renders it."""
    return template(QWEN).render(Conversation([USER], **{"tools": (WEATHER, TIME), **given}))


@pytest.mark.parametrize("name", ["tools", "documents", "functions", "tool_choice"])
def test_what_a_request_does_not_set_is_undefined(name: str) -> None:
    """Templates ask `is defined`, and take None for a wish."""
    source = ALL + f"{{% if {name} is defined %}}!{{% endif %}}"

    assert rendered(source, USER) == "<user>U<assistant>"


def test_what_a_request_sets_is_there_and_nothing_of_ours_is_replaced() -> None:
    """The variables of chat_template_kwargs, but never the messages or what refuses."""
    source = THINKING + "{{ enable_thinking }}{{ bos_token }}{{ own }}"

    assert (
        rendered(source, USER, enable_thinking=False, bos_token="x", messages=[], tools=[1], own=3)
        == "<user>U<assistant>False<s>3"
    )
    assert rendered(source, USER) == "<user>U<assistant>True<s>"


def test_effort_of_none_lets_the_model_answer_at_once() -> None:
    """As llama-server has it; any other is the template's."""
    source = THINKING + "{{ enable_thinking }}{{ reasoning_effort }}"

    assert rendered(source, USER, reasoning_effort="none").endswith("False")
    assert rendered(source, USER, reasoning_effort="low").endswith("Truelow")


def test_the_date_is_there_in_both_ways() -> None:
    """As llama-server has it."""
    assert re.fullmatch(
        r"\d\d \w{3} \d{4} \d{4}", rendered("{{ date_string }} {{ strftime_now('%Y') }}", USER)
    )
    assert rendered("{{ date_string }}", USER, date_string="26 Jul 2024") == "26 Jul 2024"


def test_system_message_of_a_template_without_one_goes_to_the_user() -> None:
    """As llama-server has it."""
    assert rendered(NO_SYSTEM, SYSTEM, USER, USER) == "<user>S\nU<user>U"


def test_developer_is_the_system() -> None:
    """OpenAI's newer name for one role."""
    assert rendered(ALL, {"role": "developer", "content": "D"}, USER) == "<system>D<user>U<assistant>"


def test_template_that_wants_parts_gets_parts() -> None:
    """Some render a list of parts and nothing else."""
    assert rendered(PARTS, SYSTEM, USER) == "<system>S<user>U"


def test_template_that_refuses_a_plain_chat_is_not_broken() -> None:
    """It wants something else of a request, and says so then."""
    made = template("{{ raise_exception('a source language is needed') }}")

    with pytest.raises(ChatError, match=r"^a source language is needed$"):
        made.render(Conversation([USER]))


def test_answer_becomes_a_message_with_calls() -> None:
    """In OpenAI's form; each call has an id, though this format has none."""
    text = (
        "<think>\nHm.\n</think>\n\n"
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'
    )

    message = called().message(text)

    (call,) = message["tool_calls"]
    assert message["content"] is None
    assert message["reasoning_content"].strip() == "Hm."
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Bern"}
    assert re.fullmatch(r"call_[0-9a-f]{24}", call["id"])
    assert called().message("plain") == {"content": "plain"}


def test_call_keeps_the_id_that_the_model_wrote() -> None:
    """Where its format has one."""
    path = package_files.runtime().with_name("templates") / "mistralai-Mistral-Nemo-Instruct-2407.jinja"
    found = template(path.read_text()).render(Conversation([USER], tools=(TIME,)))

    message = found.message('[TOOL_CALLS][{"name": "time", "arguments": {}, "id": "123456789"}]')

    assert message["tool_calls"][0]["id"] == "123456789"


def test_answer_that_is_cut_has_what_came_before() -> None:
    """Also of the arguments of a call."""
    message = called().message(
        '<think>\nHm.\n</think>\n\nok<tool_call>\n{"name": "weather", "arguments": {"cit'
    )

    assert message["content"] == "ok"
    assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"cit'}


def test_answer_that_cannot_be_read_is_its_text() -> None:
    """Rather than nothing."""
    text = '<tool_call>\n{"name": "no_such"'

    assert called().message(text) == {"content": text}


def test_thoughts_stay_in_the_text_where_that_is_wanted() -> None:
    """As llama-server has it."""
    text = "<think>\nHm.\n</think>\n\nplain"
    kept, taken = (
        template(QWEN).render(Conversation([USER], reasoning_format=form)).message(text)
        for form in ("none", "auto")
    )

    assert kept == {"content": text}
    assert (taken["content"], taken["reasoning_content"].strip()) == ("plain", "Hm.")


@pytest.mark.parametrize(
    ("choice", "names", "lazy"),
    [
        ("auto", {"weather", "time"}, True),
        ("required", {"weather", "time"}, False),
        ("=time", {"time"}, False),
    ],
)
def test_choice_of_a_tool_is_what_the_grammar_allows(choice: str, names: set[str], lazy: bool) -> None:
    """The model is told of all of them, whatever it may call."""
    found = called(tool_choice=choice)

    assert found.constraint is not None
    assert found.constraint.lazy == lazy
    assert {name for name in ("weather", "time") if f"tool-{name} " in found.constraint.grammar} == names
    assert found.prompt == called().prompt
    assert "<tool_call>" in found.preserved
    assert found.stops[0] == "<end>"


def test_arguments_are_constrained_as_far_as_a_grammar_goes(capfd: pytest.CaptureFixture[str]) -> None:
    """The model sees the pattern; llama.cpp's converter does not, which would write it into the log."""
    found = called(tool_choice="required")

    assert capfd.readouterr().err == ""

    assert "(?=x)" in found.prompt
    assert found.constraint is not None
    assert "(?=x)" not in found.constraint.grammar


@pytest.mark.parametrize(
    "parameters",
    [{"type": "string", "minLength": 5, "maxLength": 2}, {"$ref": "#/nowhere"}, {"type": "nothing"}],
    ids=["bounds that cross", "a reference to nothing", "no type"],
)
def test_schema_of_arguments_that_makes_no_sense_is_refused(parameters: Any) -> None:
    """llama.cpp would never come back from the grammar of some."""
    with pytest.raises(SchemaError, match=r"^tools\[0\]\.function\.parameters: "):
        called(tools=({"type": "function", "function": {"name": "f", "parameters": parameters}},))


def test_schema_of_an_answer_is_held_behind_its_thought() -> None:
    """The grammar reads what the prompt ends with."""
    found = called(tools=(), schema={"type": "object", "properties": {"a": {"type": "integer"}}})

    assert found.constraint is not None
    assert not found.constraint.lazy
    assert found.prompt.endswith(found.constraint.prefix)
