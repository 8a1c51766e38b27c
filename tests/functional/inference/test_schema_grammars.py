"""What becomes of a JSON schema: llama.cpp's grammar, read here by a small reader of our own."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift_chat import Library, find_library
from sealift_conformity import loosened
from sealift_schema import MOST_REPEATS, check
from sealift_shortcoming import shortcoming

NAME: dict[str, Any] = {"type": "string"}
_NAME = re.compile(r"[A-Za-z0-9-]+")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|\{\d+(?:,\d*)?\}|[A-Za-z0-9-]+|[()|?*]|\S')


def expression(grammar: str, deepest: int = 3) -> re.Pattern[str]:
    """Return a regular expression of what a grammar allows; values that nest are followed to a depth."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.strip().split("\n"))

    @cache
    def of_rule(name: str, depth: int) -> str:
        return f"(?:{of_text(rules[name], depth)})"

    def of_text(text: str, depth: int) -> str:
        parts = []
        for token in _TOKEN.findall(text):
            if token[0] == '"':
                parts.append(f"(?:{re.escape(_literal(token[1:-1]))})")
            elif _NAME.fullmatch(token):
                nested = depth + (token == "value")
                parts.append("(?!)" if nested > deepest else of_rule(token, nested))
            else:
                parts.append(token)
        return "".join(parts)

    return re.compile(of_rule("root", 0), re.DOTALL)


def _literal(text: str) -> str:
    known = {"n": "\n", '"': '"', "\\": "\\"}
    return re.sub(
        r"\\(?:U([0-9A-F]{8})|(.))", lambda code: chr(int(code[1], 16)) if code[1] else known[code[2]], text
    )


def allows(schema: Any, text: str) -> bool:
    """Return whether the grammar of a schema allows a text."""
    return expression(grammar_of(schema)).fullmatch(text) is not None


@cache
def library() -> Library:
    """Return llama.cpp's chat layer."""
    return Library(find_library())


def grammar_of(schema: Any) -> str:
    """Return the grammar that an answer is held to by a schema that was looked at."""
    taken = loosened(schema)
    check(taken)
    return library().grammar_of(taken)


def _obj(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or []}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        pytest.param({"type": "integer"}, ["0", "-12"], ["01", "1.5", '"1"', ""], id="integer"),
        pytest.param({"type": "number"}, ["1.5", "-2e-3"], ["1.", ".5", "NaN"], id="number"),
        pytest.param({"type": "boolean"}, ["true", "false"], ["True", "null"], id="boolean"),
        pytest.param({"type": ["null", "string"]}, ["null", '"a"'], ["1"], id="types"),
        pytest.param(NAME, ['""', '"\\n \\u00e4 \N{SHIP}"'], ['"\n"', '"a', '"\\x"'], id="string"),
        pytest.param(
            {"type": "string", "minLength": 1, "maxLength": 2}, ['"a"', '"ab"'], ['""', '"abc"'], id="length"
        ),
        pytest.param({"minLength": 2}, ['"ab"', '"abc"'], ['"a"', "1"], id="type-is-implied"),
        pytest.param({"type": "string", "format": "date"}, ['"2024-02-29"'], ['"2024-13-01"'], id="date"),
        pytest.param(
            {"type": "string", "format": "date-time"},
            ['"2024-02-29T12:00:00Z"', '"2024-02-29T12:00:00.500+01:00"'],
            ['"2024-02-29"'],
            id="date-time",
        ),
        pytest.param({"enum": ["a", 1, None, [1]]}, ['"a"', "1", "null", "[1]"], ['"b"', "2"], id="enum"),
        pytest.param({"const": {"a": [True]}}, ['{"a":[true]}'], ['{"a":[]}'], id="const"),
        pytest.param(
            {"type": "array", "items": {"type": "integer"}},
            ["[]", "[1]", "[1, 2,3]"],
            ["[1,]", "1"],
            id="array",
        ),
        pytest.param(
            {"type": "array", "items": NAME, "minItems": 1, "maxItems": 2},
            ['["a"]', '["a", "b"]'],
            ["[]", '["a","b","c"]'],
            id="array-bounds",
        ),
        pytest.param({"type": "array", "minItems": 3}, ["[1, 2, 3]", "[1,2,3,4]"], ["[1, 2]"], id="at-least"),
        pytest.param({"type": "array", "maxItems": 0}, ["[]"], ["[1]"], id="empty-array"),
        pytest.param(
            {"type": "array", "prefixItems": [NAME, {"type": "null"}], "items": False},
            ['["a", null]'],
            ['["a"]', '["a", null, 1]'],
            id="tuple",
        ),
        pytest.param(
            _obj(["a"], a={"type": "integer"}),
            ['{"a": 1}', '{"a":1}', '{\n  "a": 1\n}'],
            ["{}", '{"a": "1"}', '{"a": 1, "b": 2}'],
            id="object",
        ),
        pytest.param(
            _obj(["b"], a={"const": 1}, b={"const": 2}, c={"const": 3}),
            ['{"b": 2}', '{"b": 2, "a": 1}', '{"b": 2, "c": 3}', '{"b": 2, "a": 1, "c": 3}'],
            ["{}", '{"a": 1}', '{"a": 1, "c": 3}', '{, "b": 2}', '{"a": 1 "b": 2}'],
            id="some-required",
        ),
        pytest.param(
            _obj([], a={"const": 1}, b={"const": 2}),
            ["{}", '{"a": 1}', '{"b": 2}', '{"a": 1, "b": 2}'],
            ['{"b": 2, "a": 1}', '{"a": 1,}'],
            id="none-required",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": {"type": "integer"}},
            ["{}", '{"x": 1, "y": 2}'],
            ['{"x": "1"}'],
            id="map",
        ),
        pytest.param({"type": "object", "additionalProperties": False}, ["{}"], ['{"a": 1}'], id="closed"),
        pytest.param({"type": "object"}, ["{}", '{"a": [1, {"b": null}]}'], ["[]", "1"], id="any-object"),
        pytest.param({}, ["1", '"a"', "[1]", "{}", "null"], ["", "a"], id="anything"),
        pytest.param(True, ["1", "[]"], ["]"], id="true"),
        pytest.param({"anyOf": [{"const": 1}, NAME]}, ["1", '"a"'], ["2"], id="any-of"),
        pytest.param({"allOf": [{"const": 1}], "title": "t"}, ["1"], ["2"], id="all-of-one"),
        pytest.param({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, ["1"], ["2"], id="reference"),
    ],
)
def test_grammar_allows_what_the_schema_does(schema: Any, right: list[str], wrong: list[str]) -> None:
    """Every text that is allowed conforms, and is JSON."""
    for text in right:
        assert allows(schema, text), text
        json.loads(text)
    for text in wrong:
        assert not allows(schema, text), text


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(JSON_VALUES)
def test_no_value_leaves_its_literal(value: Any) -> None:
    """Quotes, backslashes, line breaks: what is allowed is that value, as JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if any("\ud800" <= character <= "\udfff" for character in text):
        return  # no character: `check` refuses it

    grammar = grammar_of({"const": value})
    (literal,) = re.findall(r"(?m)^root ::= (.*)$", grammar)

    assert json.loads(_literal(literal[1:-1])) == value
    assert len(_TOKEN.findall(literal)) == 1


@given(st.text(min_size=1, max_size=12))
def test_no_name_leaves_its_literal(name: str) -> None:
    """The same for the names of properties."""
    if any("\ud800" <= character <= "\udfff" for character in name):
        return

    assert allows(_obj([name], **{name: {"const": 1}}), f"{{{json.dumps(name, ensure_ascii=False)}: 1}}")


def test_upper_bound_that_is_too_large_becomes_the_largest() -> None:
    """What it allows conforms all the same."""
    assert f"char{{0,{MOST_REPEATS}}}" in grammar_of({"type": "string", "maxLength": 10**12})


SCHEMAS = st.recursive(
    st.sampled_from(
        [{}, NAME, {"type": "integer"}, {"enum": ["a", 'b"\\']}, {"type": "string", "maxLength": 3}]
    ),
    lambda inner: (
        st.builds(lambda item: {"type": "array", "items": item, "maxItems": 2}, inner)
        | st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(
            lambda parts, needed: _obj([name for name in parts if needed], **parts),
            st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3),
            st.booleans(),
        )
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_every_rule_is_there_and_none_but_values_of_any_kind_contain_themselves(schema: Any) -> None:
    """What llama.cpp makes of what was looked at is bounded by what was looked at."""
    rules = dict(line.split(" ::= ", 1) for line in grammar_of(schema).strip().split("\n"))
    used = {
        name: {token for token in _TOKEN.findall(rule) if _NAME.fullmatch(token)}
        for name, rule in rules.items()
    }

    assert set().union(*used.values()) <= set(rules)
    free = {name: others - {"value", "object", "array"} for name, others in used.items()}
    while free:
        ready = [name for name, others in free.items() if not others & set(free)]
        assert ready
        for name in ready:
            del free[name]


@settings(max_examples=25)
@given(SCHEMAS, st.data())
def test_what_the_grammar_allows_conforms(schema: Any, data: st.DataObject) -> None:
    """By texts made of the grammar itself."""
    text = data.draw(st.from_regex(expression(grammar_of(schema), deepest=1), fullmatch=True))

    assert shortcoming(json.loads(text), schema) is None
