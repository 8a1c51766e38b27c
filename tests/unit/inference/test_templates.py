"""Chat templates: what they are given, and what llama-server makes up for where one lacks it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from sealift_template import Conversation, Template, TemplateRefusal, ToolsUnsupported

ALL = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)
SILENT = (
    "{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"
)
DEVELOPER = (
    "{% for m in messages if m.role in ('developer', 'user') %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
PARTS = "{% for m in messages %}<{{ m.role }}>{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"
CALLS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "[{{ c.function.name }} ARGUMENTS]{% endfor %}{% endfor %}"
)
FIREFUNCTION = (
    "{{ 'have ' + functions + ' at ' + datetime }}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
SYSTEM, USER = {"role": "system", "content": "S"}, {"role": "user", "content": "U"}


def template(source: str, *, learned: bool = True) -> Template:
    """Return a template that has been looked at, as after loading."""
    made = Template(Jinja2ChatFormatter, source, bos="<s>", eos="</s>", stops=("<end>",))
    if learned:
        made.learn()
    return made


def rendered(source: str, *messages: dict[str, Any], **variables: Any) -> str:
    """Return the prompt of a few messages."""
    return template(source).render(Conversation(messages, variables=variables)).prompt


@pytest.mark.parametrize("name", ["tools", "enable_thinking", "documents", "functions", "tool_choice"])
def test_what_a_request_does_not_set_is_undefined(name: str) -> None:
    """Templates ask `is defined`, and take None for a wish."""
    source = ALL + f"{{% if {name} is defined %}}!{{% endif %}}"

    assert rendered(source, USER) == "<user>U<assistant>"


def test_what_a_request_sets_is_there_and_nothing_of_ours_is_replaced() -> None:
    """The variables of chat_template_kwargs, but never the messages or what refuses."""
    source = ALL + "{{ enable_thinking }}{{ bos_token }}"

    assert (
        rendered(source, USER, enable_thinking=False, bos_token="x", messages=[])
        == "<user>U<assistant>False<s>"
    )


def test_the_date_is_there_in_both_ways() -> None:
    """As llama-server has it."""
    assert re.fullmatch(
        r"\d\d \w{3} \d{4} \d{4}", rendered("{{ date_string }} {{ strftime_now('%Y') }}", USER)
    )
    assert rendered("{{ date_string }}", USER, date_string="26 Jul 2024") == "26 Jul 2024"


@pytest.mark.parametrize("source", [NO_SYSTEM, SILENT])
def test_system_message_of_a_template_without_one_goes_to_the_user(source: str) -> None:
    """Whether the template refuses it or says nothing of it; without a user's turn it becomes one."""
    assert rendered(source, SYSTEM, USER, USER) == "<user>S\nU<user>U"
    assert rendered(source, SYSTEM, {**SYSTEM, "content": "T"}, USER) == "<user>S\nT\nU"
    assert rendered(source, SYSTEM) == "<user>S"


def test_developer_is_the_system_but_for_a_template_that_knows_it() -> None:
    """OpenAI's newer name for one role."""
    developer = {"role": "developer", "content": "D"}

    assert rendered(ALL, developer, USER) == "<system>D<user>U<assistant>"
    assert rendered(SILENT, developer, USER) == "<user>D\nU"
    assert rendered(DEVELOPER, developer, USER) == "<developer>D<user>U"


def test_template_that_wants_parts_gets_parts() -> None:
    """Some render a list of parts and nothing else."""
    assert rendered(PARTS, SYSTEM, USER) == "<system>S<user>U"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("{{ c.function.arguments | tojson }}", '[f {"a": 1}]', id="as-json"),
        pytest.param("{{ c.function.arguments }}", '[f {"a":1}]', id="as-it-is"),
        pytest.param(
            "{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}", "[f a=1]", id="own"
        ),
    ],
)
def test_arguments_of_a_call_come_as_the_template_writes_them(written: str, expected: str) -> None:
    """An object for one that writes JSON or a form of its own, the text for one that hands it on."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}

    text = rendered(
        CALLS.replace("ARGUMENTS", written), USER, {"role": "assistant", "content": "", "tool_calls": [call]}
    )

    assert text == f"<user>U<assistant>{expected}"


def test_arguments_that_are_no_object_stay_a_text() -> None:
    """What a client sent of a model that wrote no JSON."""
    call = {"type": "function", "function": {"name": "f", "arguments": "{cut"}}
    source = CALLS.replace("ARGUMENTS", "{{ c.function.arguments | tojson }}")

    assert '[f "{cut"]' in rendered(source, USER, {"role": "assistant", "content": "", "tool_calls": [call]})


def test_variables_that_a_template_takes_for_given_are_there() -> None:
    """Firefunction's adds two to a text unasked."""
    assert re.fullmatch(r"have  at \w{3} \d\d \d{4} [\d:]{8}<user>U", rendered(FIREFUNCTION, USER))


@pytest.mark.parametrize(
    "source", ["{{ nothing.at.all }}", "{{ 1 + 'a' }}", "{{ messages[0].content | nofilter }}"]
)
def test_broken_template_is_found_when_it_is_looked_at(source: str) -> None:
    """Not at the first request."""
    with pytest.raises(Exception, match=r"undefined|unsupported|nofilter"):
        template(source)


def test_template_that_refuses_a_plain_chat_is_not_broken() -> None:
    """It wants something else of a request, and says so then."""
    made = template("{{ raise_exception('a source language is needed') }}")

    with pytest.raises(TemplateRefusal, match="a source language is needed"):
        made.render(Conversation([USER]))


def test_tools_are_refused_and_stops_handed_on() -> None:
    """Nothing here reads what a model writes when it calls one."""
    with pytest.raises(ToolsUnsupported):
        template(ALL).render(Conversation([USER], tools=[{"type": "function"}]))

    assert template(ALL).render(Conversation([USER])).stops == ("<end>",)
    assert template(ALL).render(Conversation([USER])).message("text") == {"content": "text"}
