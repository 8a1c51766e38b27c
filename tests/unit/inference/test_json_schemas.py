"""Which JSON schemas are taken, and what becomes of them: grammars, read here by a small reader of our own."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift_schema import (
    ANY_OBJECT,
    MOST_DEPTH,
    MOST_NODES,
    MOST_REPEATED,
    MOST_REPEATS,
    MOST_VALUES,
    SchemaError,
    grammar_of,
)

NAME: dict[str, Any] = {"type": "string"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|\{\d+(?:,\d*)?\}|[a-z][a-z0-9-]*|[()|?*]|\S')


def expression(grammar: str) -> re.Pattern[str]:
    """Return a regular expression of what a grammar allows; values that nest are followed to a depth of three."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())

    @cache
    def of_rule(name: str, depth: int) -> str:
        return f"(?:{of_text(rules[name], depth)})"

    def of_text(text: str, depth: int) -> str:
        parts = []
        for token in _TOKEN.findall(text):
            if token[0] == '"':
                parts.append(f"(?:{re.escape(_literal(token[1:-1]))})")
            elif token[0].isalpha():
                nested = depth + (token == "value")
                parts.append("(?!)" if nested > 3 else of_rule(token, nested))
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
            ['"2024-02-29T12:00:00Z"', '"2024-02-29T12:00:00.5+01:00"'],
            ['"2024-02-29"'],
            id="date-time",
        ),
        pytest.param({"enum": ["a", 1, None, [1]]}, ['"a"', "1", "null", "[1]"], ['"b"', "2"], id="enum"),
        pytest.param({"const": {"a": [True]}}, ['{"a": [true]}'], ['{"a": []}'], id="const"),
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
            ['{"b": 2}', '{"a": 1, "b": 2}', '{"b": 2, "c": 3}', '{"a": 1, "b": 2, "c": 3}'],
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
    """Quotes, backslashes, line breaks, halves of surrogate pairs: what is allowed is that value, as JSON."""
    grammar = grammar_of({"const": value})
    rule = grammar.splitlines()[1]

    assert re.fullmatch(r'r0 ::= "(?:[A-Za-z0-9 _\-.,:/{}()]|\\U[0-9A-F]{8})*"', rule)
    assert json.loads(_literal(rule[len('r0 ::= "') : -1])) == value


def test_half_of_a_surrogate_pair_is_written_as_its_escape() -> None:
    """It is no character, and llama.cpp could not be given one."""
    assert allows({"const": "\ud800"}, '"\\ud800"')


@given(st.text(max_size=12))
def test_no_name_leaves_its_literal(name: str) -> None:
    """The same for the names of properties."""
    assert allows(
        _obj([name], **{name: {"const": 1}}), f"{{{json.dumps(name, ensure_ascii=False)}: 1}}"
    ) or any("\ud800" <= character <= "\udfff" for character in name)


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


LOOP = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}
LAUGHS = {"$ref": "#/$defs/9", "$defs": {
    "0": {"type": "null"},
    **{str(n): {"anyOf": [{"$ref": f"#/$defs/{n - 1}"}] * 10} for n in range(1, 10)},
}}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        pytest.param(3, "schema is 3; wanted an object or true", id="no-schema"),
        pytest.param(False, "schema is False", id="nothing-conforms"),
        pytest.param({"type": "strin"}, "schema.type is 'strin'", id="type"),
        pytest.param({"type": {}}, "schema.type is {}", id="type-object"),
        pytest.param({"type": []}, "schema.type is []", id="no-types"),
        pytest.param({"type": [["null"]]}, "schema.type is ['null']", id="nested-types"),
        pytest.param({"type": "string", "pattern": "(a+)+$"}, "'pattern' cannot be held", id="pattern"),
        pytest.param({"type": "integer", "minimum": 2}, "'minimum' cannot be held", id="minimum"),
        pytest.param({"type": "integer", "multipleOf": 2}, "unknown field 'multipleOf'", id="multiple-of"),
        pytest.param({"not": {}}, "'not' cannot be held", id="not"),
        pytest.param({"minItems": 1, "minLength": 1}, "keywords of array and string", id="two-kinds"),
        pytest.param({"type": "string", "format": "email"}, "schema.format is 'email'", id="format"),
        pytest.param({"type": "string", "format": {}}, "schema.format is {}", id="format-object"),
        pytest.param({"type": "string", "minLength": -1}, "schema.minLength is -1", id="negative"),
        pytest.param({"type": "string", "maxLength": True}, "schema.maxLength is True", id="true-length"),
        pytest.param({"type": "string", "minLength": 3, "maxLength": 2}, "less than minLength", id="crossed"),
        pytest.param(
            {"type": "array", "minItems": 10**9}, f"wanted at most {MOST_REPEATS}", id="huge-minimum"
        ),
        pytest.param({"enum": []}, "schema.enum is []", id="empty-enum"),
        pytest.param({"enum": "abc"}, "schema.enum is 'abc'", id="enum-text"),
        pytest.param({"enum": [1], "type": "string"}, "1 is not of type 'string'", id="enum-type"),
        pytest.param(
            {"enum": list(range(MOST_VALUES + 1))}, f"more than {MOST_VALUES} values", id="huge-enum"
        ),
        pytest.param({"const": "x" * 100_000}, "more than 32768 characters", id="huge-value"),
        pytest.param({"anyOf": [{}] * (MOST_NODES + 1)}, f"more than {MOST_NODES} schemas", id="wide"),
        pytest.param({"anyOf": [{}], "type": "string"}, "'anyOf' and 'type'", id="combined"),
        pytest.param({"allOf": [{}, {}]}, "schema.allOf has 2 schemas", id="all-of-two"),
        pytest.param(_nested(MOST_DEPTH + 1), f"deeper than {MOST_DEPTH} levels", id="deep"),
        pytest.param(LOOP, "recursion is not taken", id="loop"),
        pytest.param({"$ref": "#"}, "recursion is not taken", id="itself"),
        pytest.param({"$ref": "#/$defs/b"}, "which is not there", id="dangling"),
        pytest.param({"$ref": "https://localhost/x"}, "wanted a place in this schema", id="remote"),
        pytest.param({"$ref": ["#"]}, "wanted a place in this schema", id="reference-list"),
        pytest.param(LAUGHS, "more than", id="references-that-multiply"),
        pytest.param(
            {"anyOf": [{"type": "string", "maxLength": MOST_REPEATS}] * 9},
            f"more than {MOST_REPEATED} repetitions",
            id="repetitions",
        ),
        pytest.param(
            {"type": "object", "required": ["a"]}, "names 'a', which is not in its properties", id="required"
        ),
        pytest.param({"type": "object", "required": "a"}, "schema.required is 'a'", id="required-text"),
        pytest.param({"type": "object", "properties": []}, "schema.properties is []", id="properties-list"),
        pytest.param({"type": "array", "items": [{}]}, "schema.items is [{}]", id="old-tuple"),
        pytest.param({"prefixItems": [{}], "items": True}, "'items' false", id="open-tuple"),
    ],
)
def test_schema_that_cannot_be_held_is_refused(schema: Any, words: str) -> None:
    """The reason says where it is and what was wanted; nothing is passed over in silence."""
    with pytest.raises(SchemaError) as caught:
        grammar_of(schema)

    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_upper_bound_that_is_too_large_becomes_the_largest() -> None:
    """What it allows conforms all the same."""
    assert f"char{{0,{MOST_REPEATS}}}" in grammar_of({"type": "string", "maxLength": 10**12})


def test_value_that_is_nested_beyond_all_is_refused() -> None:
    """A value that json.loads can read may be more than json.dumps can write."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(SchemaError, match="nested too deeply"):
        grammar_of({"const": value})


SCHEMAS = st.recursive(
    st.sampled_from(
        [{}, NAME, {"type": "integer"}, {"enum": ["a", 'b"\\']}, {"type": "string", "maxLength": 3}]
    ),
    lambda inner: (
        st.builds(lambda item: {"type": "array", "items": item, "maxItems": 2}, inner)
        | st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(
            lambda parts, needed: _obj([name for name in parts if needed], **parts),
            st.dictionaries(st.text(max_size=4), inner, max_size=3),
            st.booleans(),
        )
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_every_rule_is_there_and_used_by_name_only(schema: Any) -> None:
    """A grammar refers to its own rules alone, and none refers to itself but the values of any kind."""
    grammar = grammar_of(schema)
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())

    for name, rule in rules.items():
        for token in _TOKEN.findall(rule):
            if token[0].isalpha():
                assert token in rules
                assert not re.fullmatch(r"r\d+", token) or name == "root" or int(token[1:]) < int(name[1:])
    assert len(rules) == len(grammar.splitlines())


def test_any_object_is_any_object() -> None:
    """What json_object asks."""
    assert expression(ANY_OBJECT).fullmatch('{"a": [1, "b"]}')
    assert not expression(ANY_OBJECT).fullmatch("[1]")
