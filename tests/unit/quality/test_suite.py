"""A suite: what its lines may say, and that each mistake is told once, with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline import json_codec
from pipeline.errors import InvalidInput
from pipeline.gguf import questions
from pipeline.planning.request_fields import MOST_CASES
from pipeline.quality import suite
from pipeline.quality.cases import Case, Suite

CASE = {"prompt": "What?"}


def lines(*documents: Any) -> bytes:
    """Return a suite's file; a text is a line as it is."""
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in documents).encode()


def parsed(*documents: Any, suits: str | None = None) -> tuple[Case, ...]:
    """Return the cases of a suite."""
    return suite.parse(lines(*documents), "suite.jsonl", suits=suits).cases


def refused(content: bytes, suits: str | None = None) -> list[tuple[str, str]]:
    """Return the mistakes of a suite: where, and the name of each."""
    with pytest.raises(InvalidInput) as refusal:
        suite.parse(content, "suite.jsonl", suits=suits)
    return [(one.where.removeprefix("suite.jsonl").strip(), one.error) for one in refusal.value.problems]


def test_a_case_has_what_it_says_and_defaults_for_the_rest() -> None:
    """The first line may say what holds for all; a case says otherwise, or takes it away by null."""
    first, second, third = parsed(
        {"defaults": {"max_tokens": 7, "expect": {"contains": "sea", "max_seconds": 3}}},
        CASE,
        "",
        {"name": "own", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]},
        {"input": "a text", "temperature": 0.5, "expect": {"contains": None, "max_seconds": 4}},
    )

    assert (first.name, first.line, first.max_tokens, first.question) == ("line 2", 2, 7, "What?")
    assert (first.expect.contains, first.expect.max_seconds) == (("sea",), 3)
    assert (second.name, second.line, second.max_tokens, second.question) == ("own", 4, 9, "Why?")
    assert (third.line, third.question, third.temperature) == (5, "a text", 0.5)
    assert (third.expect.contains, third.expect.max_seconds) == ((), 4)


@pytest.mark.parametrize(
    ("case", "suits", "body"),
    [
        pytest.param(
            CASE,
            questions.MESSAGES,
            {"messages": [{"role": "user", "content": "What?"}], "max_tokens": 128, "temperature": 0},
            id="a chat",
        ),
        pytest.param(
            {**CASE, "temperature": 0.5},
            questions.PROMPT,
            {**questions.body("prompt", "What?", 128), "temperature": 0.5},
            id="a text to go on with",
        ),
        pytest.param(CASE, questions.INPUT, questions.body("input", "What?", 0), id="a text to embed"),
        pytest.param(
            {"input": "What?", "temperature": 1},
            questions.INPUT,
            questions.body("input", "What?", 0),
            id="said to be embedded, which has no temperature",
        ),
        pytest.param(
            {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]},
            questions.MESSAGES,
            {
                "messages": [
                    {"role": "system", "content": "Be short."},
                    {"role": "user", "content": "Why?"},
                ],
                "max_tokens": 128,
                "temperature": 0,
            },
            id="a conversation",
        ),
        pytest.param(
            {**CASE, "request": {"seed": 3}},
            questions.MESSAGES,
            {**questions.body("messages", "What?", 128), "seed": 3},
            id="with fields of the request",
        ),
    ],
)
def test_a_case_becomes_the_request_that_suits_the_model(
    case: dict[str, Any], suits: str, body: dict[str, Any]
) -> None:
    """As the smoke test asks."""
    (found,) = parsed(case, suits=suits)

    assert found.body(suits) == body


@pytest.mark.parametrize(
    ("content", "mistakes"),
    [
        pytest.param(b"", [("", "NoCases")], id="empty"),
        pytest.param(b"\n \n", [("", "NoCases")], id="blank"),
        pytest.param(lines({"defaults": {}}), [("", "NoCases")], id="defaults alone"),
        pytest.param(lines(CASE, "{"), [("line 2", "NotACase")], id="no JSON"),
        pytest.param(lines("", "[1]"), [("line 2", "NotACase")], id="no object"),
        pytest.param(lines('{"prompt": NaN}'), [("line 1", "NotACase")], id="NaN"),
        pytest.param(lines('{"prompt": "a", "prompt": "b"}'), [("line 1", "NotACase")], id="a key twice"),
        pytest.param(lines("[" * 100_000), [("line 1", "NotACase")], id="too deep"),
        pytest.param(b'{"prompt": "a"}\n{"prompt": "\xff"}', [("line 2", "NotUtf8")], id="no UTF-8"),
        pytest.param(lines(CASE, {"defaults": {}}), [("line 2", "DefaultsNotFirst")], id="defaults later"),
        pytest.param(lines({"defaults": {"name": "x"}}, CASE), [("line 1", "UnknownField")], id="defaults"),
        pytest.param(lines({"promt": "a"}), [("line 1", "UnknownField")], id="typo"),
        pytest.param(lines({}), [("line 1", "WhatIsAsked")], id="nothing asked"),
        pytest.param(lines({**CASE, "input": "b"}), [("line 1", "WhatIsAsked")], id="two things asked"),
        pytest.param(lines({**CASE, "max_tokens": 0}), [("line 1", "WrongValue")], id="a number"),
        pytest.param(
            lines({**CASE, "request": {"stream": True}}), [("line 1", "OwnField")], id="a stream is asked for"
        ),
        pytest.param(
            lines({**CASE, "expect": {"contain": "x"}}), [("line 1", "UnknownField")], id="an expectation"
        ),
        pytest.param(
            lines({**CASE, "expect": {"matches": "(a+)+b"}}),
            [("line 1", "WrongPattern")],
            id="takes for ever",
        ),
        pytest.param(
            lines({**CASE, "expect": {"json_schema": {"pattern": "(ab|c)*d"}}}),
            [("line 1", "WrongSchema")],
            id="so does the schema's",
        ),
        pytest.param(
            lines({**CASE, "expect": {"json_schema": {"items": {"$ref": "#/$defs/no"}}}}),
            [("line 1", "WrongSchema")],
            id="refers to what is not there",
        ),
        pytest.param(
            lines({**CASE, "name": "a"}, {"prompt": "b", "name": "a"}),
            [("line 2", "NameTwice")],
            id="a name twice",
        ),
        pytest.param(
            lines({**CASE, "max_tokens": 0}, CASE, {"prompt": ""}),
            [("line 1", "WrongValue"), ("line 3", "WrongValue")],
            id="two mistakes",
        ),
    ],
)
def test_each_mistake_is_told_once_with_its_line(content: bytes, mistakes: list[tuple[str, str]]) -> None:
    """All of them at once."""
    assert refused(content) == mistakes


@pytest.mark.parametrize(
    ("case", "suits"),
    [
        pytest.param(CASE, questions.QUERY, id="a reranker"),
        pytest.param({"input": "a"}, questions.MESSAGES, id="embedded by a chat model"),
        pytest.param({"messages": [{"role": "user", "content": "a"}]}, questions.PROMPT, id="no chat"),
        pytest.param({"messages": [{"role": "user", "content": "a"}]}, questions.INPUT, id="no chat either"),
        *(
            pytest.param({**CASE, "expect": {name: value}}, questions.INPUT, id=f"{name} of an embedding")
            for name, value in (
                ("contains", "a"),
                ("matches", "a"),
                ("json_schema", {}),
                ("min_tokens_per_second", 1),
            )
        ),
    ],
)
def test_a_case_that_its_model_cannot_be_asked_is_refused(case: dict[str, Any], suits: str) -> None:
    """Once the model is known; before, it may be right."""
    assert refused(lines(CASE, "", case), suits)[-1] == ("line 3", "WrongForm")
    assert len(parsed(CASE, case)) == 2


def test_an_embedding_may_be_held_against_the_earlier_one() -> None:
    """By its cosine, and by its time."""
    (found,) = parsed({"input": "a", "expect": {"similarity": 0.9, "max_seconds": 1}}, suits=questions.INPUT)

    assert found.form(questions.INPUT) == questions.INPUT


@pytest.mark.parametrize("more", [0, 1])
def test_cases_are_bounded(more: int) -> None:
    """As many as a gate has time for."""
    content = lines(*[CASE] * (MOST_CASES + more))

    if more:
        assert refused(content) == [(f"line {MOST_CASES + 1}", "TooManyCases")]
    else:
        assert len(suite.parse(content, "s").cases) == MOST_CASES


@pytest.mark.parametrize("more", [0, 1])
def test_bytes_are_bounded(more: int) -> None:
    """What is larger is not looked at."""
    content = lines(CASE).ljust(suite.LARGEST + more)

    if more:
        assert refused(content) == [("", "TooLarge")]
    else:
        assert len(suite.parse(content, "s").cases) == 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"type": ["string", "text"]},
        {"type": []},
        {"properties": ["name"]},
        {"properties": {"name": "string"}},
        {"patternProperties": {"^x": 5}},
        {"properties": {"name": {"anyOf": [{}, {"not": {"minimum": "5"}}]}}},
        {"required": "name"},
        {"required": [5]},
        {"enum": {}},
        {"enum": []},
        {"items": [5]},
        {"items": [{"type": "objekt"}]},
        {"additionalItems": 5},
        {"allOf": {}},
        {"anyOf": []},
        {"oneOf": [5]},
        {"exclusiveMinimum": True},
        {"multipleOf": 0},
        {"minLength": -1},
        {"maxItems": 1.5},
        {"maxItems": float("1e400")},
        {"pattern": 5},
        {"uniqueItems": "yes"},
        {"$defs": {"a": {"type": "objekt"}}},
        {"dependentRequired": {"a": ["b"]}},
        {"unevaluatedProperties": False},
        {"minContains": 2},
        {"not": {"$ref": 5}},
    ],
)
def test_a_schema_that_could_not_be_judged_as_it_is_meant_is_refused(schema: dict[str, Any]) -> None:
    """A keyword in another form is passed over by whoever judges, and any answer would do."""
    content = lines({**CASE, "expect": {"json_schema": schema}}).replace(b"Infinity", b"1e400")

    assert refused(content) == [("line 1", "WrongSchema")]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["object", "null"], "properties": {"$ref": {"type": "string"}, "type": {"enum": [5]}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}},
        {"enum": [{"type": "objekt"}], "const": {"required": 5}, "default": {"$ref": 5}},
        {"maxItems": 2.0, "minLength": 0, "minimum": -1.5, "items": False, "prefixItems": [True, {}]},
        {"items": [{"type": "string"}, True], "additionalItems": False},
        {"title": 5, "format": "email", "$schema": "https://json-schema.org/draft/2020-12/schema"},
    ],
)
def test_names_values_and_annotations_of_a_schema_are_its_authors_own(schema: dict[str, Any]) -> None:
    """What looks like a keyword there is none."""
    (case,) = parsed({**CASE, "expect": {"json_schema": schema}})

    assert case.expect.json_schema == schema


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        pytest.param("[" * 100_000, "lists or objects in each other, too deep to be read", id="deep"),
        pytest.param('{"max_tokens": ' + "9" * 5000 + "}", "has 5000 digits", id="digits"),
    ],
)
def test_json_that_python_does_not_read_is_told_without_its_advice(line: str, seen: str) -> None:
    """How a Python is configured helps nobody here."""
    with pytest.raises(InvalidInput) as refusal:
        suite.parse(lines(line), "suite.jsonl")

    (mistake,) = refusal.value.problems
    assert mistake.seen.endswith(seen)


def test_a_message_names_a_few_mistakes_and_counts_the_rest() -> None:
    """A file of the wrong kind has one in every line."""
    found = refused(b"{\n" * 50)

    assert len(found) == suite.MOST_TOLD + 1
    assert found[-1][1] == "MoreMistakes"


def test_an_editors_mark_and_a_separator_of_lines_in_a_text_do_no_harm() -> None:
    """JSON allows U+2028 in a text, and other systems end lines otherwise."""
    content = b"\xef\xbb\xbf" + json.dumps({"prompt": "a\u2028b"}, ensure_ascii=False).encode() + b"\r\n"

    assert suite.parse(content, "s").cases[0].question == "a\u2028b"


json_values = some.recursive(
    some.none() | some.booleans() | some.floats() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=8,
)
fields = some.sampled_from([*suite.CASE.fields, *suite.EXPECT.fields, "defaults", "other"])


@given(some.lists(some.dictionaries(fields, json_values, max_size=4), max_size=4))
def test_whatever_objects_a_file_holds_there_are_cases_or_mistakes(documents: list[dict[str, Any]]) -> None:
    """Never anything else, and what is accepted survives being written down."""
    try:
        found = suite.parse(lines(*documents), "s")
    except InvalidInput:
        return

    assert 0 < len(found.cases) <= len(documents)
    assert json_codec.decode(Suite, json.loads(json.dumps(json_codec.encode(found)))) == found


@given(some.binary(max_size=200))
def test_whatever_bytes_a_file_holds_there_are_cases_or_mistakes(content: bytes) -> None:
    """The same of what is no JSON at all."""
    try:
        found = suite.parse(content, "s")
    except InvalidInput:
        return

    assert found.cases
