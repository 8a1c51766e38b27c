"""The table of fields: every field that OpenAI has has its place in it, and the documents and requests follow it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sealift_fields as fields
import sealift_messages as messages
from sealift_engine import Sampling
from sealift_request import _SAMPLING, BadRequest, Request, parse_request
from tools import openai_fields

OPENAI = json.loads((Path(__file__).parent / "openai_fields.json").read_text(encoding="utf-8"))
FORMS = {
    "chat/completions": fields.CHAT,
    "completions": fields.COMPLETION,
    "embeddings": fields.EMBEDDINGS,
    "responses": fields.RESPONSES,
}
SOURCES = {"messages", "prompt", "input"}
USER = {"role": "user", "content": "Hi."}
ASKED: dict[str, dict[str, Any]] = {
    fields.CHAT: {"messages": [USER]},
    fields.COMPLETION: {"prompt": "a"},
    fields.INPUTS: {"inputs": "a"},
    fields.EMBEDDINGS: {"input": ["a"]},
    fields.RESPONSES: {"input": [USER]},
    fields.RERANK: {"query": "a", "documents": ["b"]},
}


@pytest.mark.parametrize("path", FORMS)
def test_every_field_of_openai_has_a_place(path: str) -> None:
    """A field that OpenAI adds fails here until somebody decides: honored, ignored or refused."""
    known = {name for name, field in fields.BY_NAME.items() if FORMS[path] in field.forms}

    assert set(OPENAI["requests"][path]) - known - SOURCES == set()


def test_every_field_of_a_message_has_a_place() -> None:
    """What a message may have is taken or passed over."""
    known = {
        *messages._OF_ALL,
        *messages._ECHOED,
        *(name for names in messages._OF_ROLE.values() for name in names),
    }

    assert set(OPENAI["messages"]) - known == set()


def test_fields_are_collected_through_every_part_of_a_description() -> None:
    """References and alternatives are followed, so that no field hides in one."""
    schemas = {
        "A": {"allOf": [{"$ref": "#/components/schemas/B"}, {"properties": {"a": {}}}]},
        "B": {"properties": {"b": {}}},
    }

    assert sorted(openai_fields.fields(schemas, {"anyOf": [{"$ref": "#/components/schemas/A"}]})) == [
        "a",
        "b",
    ]


def test_a_name_is_there_once() -> None:
    """No name means two fields."""
    names = [name for field in fields.FIELDS for name in (field.name, *field.aliases)]

    assert len(set(names)) == len(names)


def test_a_refusal_says_what_to_do_and_the_samplers_have_their_fields() -> None:
    """Each refused field names a way out; each figure of a sampler can be sent."""
    own = {"temperature", "top_p", "seed", "logit_bias", "ignore_eos", "min_tokens", "stop_tokens"}

    assert [
        field.name for field in fields.FIELDS if field.place == fields.REFUSED and not field.instead
    ] == []
    assert {*_SAMPLING, *own} == set(Sampling.__dataclass_fields__)
    assert all(fields.BY_NAME[name].place == fields.HONORED for name in _SAMPLING)


@pytest.mark.parametrize("field", [pytest.param(field, id=field.name) for field in fields.FIELDS])
def test_ignored_fields_change_nothing_and_refused_ones_are_told(field: fields.Field) -> None:
    """Every field as its place says, in a request of each form that has it."""
    for form in field.forms:
        plain = parse_request(ASKED[form])
        if field.place == fields.IGNORED:
            assert parse_request({**ASKED[form], field.name: "x"}) == plain
        elif field.place == fields.REFUSED and not field.takes.accepts({"x": 1}):
            with pytest.raises(BadRequest) as caught:
                parse_request({**ASKED[form], field.name: {"x": 1}})
            assert field.instead in str(caught.value)
            assert json.loads(caught.value.message)["error"]["code"] == "unsupported_value"


@pytest.mark.parametrize(
    ("idle", "form"),
    [
        pytest.param(
            {"frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}}, fields.CHAT, id="langchain"
        ),
        pytest.param(
            {"store": True, "metadata": {"a": "b"}, "service_tier": "auto"}, fields.CHAT, id="openai"
        ),
        pytest.param(
            {"tools": [], "tool_choice": "auto", "parallel_tool_calls": False}, fields.CHAT, id="no-tools"
        ),
        pytest.param({"tools": None, "tool_choice": "none"}, fields.CHAT, id="none"),
        pytest.param(
            {"modalities": ["text"], "prediction": None, "verbosity": "low"}, fields.CHAT, id="text-alone"
        ),
        pytest.param(
            {"echo": False, "best_of": 1, "suffix": "", "logprobs": None}, fields.COMPLETION, id="completion"
        ),
        pytest.param(
            {"parameters": {"watermark": False, "truncate": None, "top_n_tokens": 0}}, fields.INPUTS, id="tgi"
        ),
        pytest.param({"parameters": {"num_beams": 1, "min_length": 0}}, fields.INPUTS, id="hugging-face"),
        pytest.param(
            {"skip_special_tokens": True, "stop_token_ids": [], "min_tokens": 0}, fields.CHAT, id="vllm"
        ),
        pytest.param(
            {"cache_prompt": True, "id_slot": -1, "n_keep": 0, "lora": []}, fields.CHAT, id="llama.cpp"
        ),
        pytest.param({"seed": -1, "stop": []}, fields.CHAT, id="any-seed"),
    ],
)
def test_what_changes_nothing_is_taken(idle: dict[str, Any], form: str) -> None:
    """Clients send their defaults aloud."""
    asked, plain = parse_request({**ASKED[form], **idle}), parse_request(ASKED[form])

    penalties = {"frequency_penalty": 0, "presence_penalty": 0}
    assert asked in (plain, Request(**{**vars(plain), "sampling": penalties}))


@pytest.mark.parametrize("name", fields.taken_by(fields.CHAT))
@pytest.mark.parametrize(
    "value", [1, -7, 10**400, 0.5, "x", "", True, [], [[]], {}, {"type": []}, [None], {"x": None}]
)
def test_any_value_of_any_field_is_taken_or_refused(name: str, value: Any) -> None:
    """No value of any field does anything but give a request or a refusal that names it."""
    document = {**ASKED[fields.CHAT], name: value}
    try:
        outcome: Request | BadRequest = parse_request(document)
    except BadRequest as error:
        outcome = error

    assert isinstance(outcome, Request) or name in outcome.message
