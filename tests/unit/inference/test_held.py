"""Which schemas a grammar holds whole, so that their answers may be told as they come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift_conformity import held, loosened
from sealift_schema import MOST_REPEATS
from sealift_shortcoming import SchemaError, shortcoming

CITY = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "holds"),
    [
        pytest.param(True, True, id="anything"),
        pytest.param(False, False, id="nothing"),
        pytest.param({"type": "string", "description": "x", "format": "email"}, True, id="annotations"),
        pytest.param({"type": "object", "properties": {"a": CITY}, "required": ["a"]}, True, id="object"),
        pytest.param({"type": "object", "properties": {"a": {"pattern": "x"}}}, False, id="pattern within"),
        pytest.param({"type": "object", "additionalProperties": CITY}, True, id="map"),
        pytest.param(
            {"type": "object", "properties": {"a": True}, "additionalProperties": CITY}, False, id="both"
        ),
        pytest.param({"type": "array", "items": CITY, "minItems": 2, "maxItems": 3}, True, id="list"),
        pytest.param({"type": "array", "items": CITY, "uniqueItems": True}, False, id="unique"),
        pytest.param({"type": "array", "minItems": MOST_REPEATS}, True, id="as long as a grammar goes"),
        pytest.param({"type": "array", "minItems": MOST_REPEATS + 1}, False, id="longer"),
        pytest.param({"type": "string", "minLength": MOST_REPEATS + 1}, False, id="longer text"),
        pytest.param({"prefixItems": [CITY, CITY], "minItems": 2, "maxItems": 2}, True, id="tuple"),
        pytest.param({"prefixItems": [CITY, CITY], "minItems": 2}, True, id="tuple without an end"),
        pytest.param({"prefixItems": [CITY, CITY], "minItems": 3}, False, id="tuple and more"),
        pytest.param(
            {"prefixItems": [CITY, CITY], "minItems": 1, "maxItems": 1}, False, id="part of a tuple"
        ),
        pytest.param({"type": "integer", "minimum": 3, "maximum": 9}, True, id="whole numbers"),
        pytest.param({"type": "number", "minimum": 3}, False, id="numbers"),
        pytest.param({"type": ["integer", "null"], "minimum": 3}, False, id="one of two types"),
        pytest.param({"type": "integer", "multipleOf": 2}, False, id="multiples"),
        pytest.param({"enum": ["a", 1, None]}, True, id="enum"),
        pytest.param({"type": "string", "enum": ["a", 1]}, False, id="enum of other types"),
        pytest.param({"enum": ["a"], "minLength": 3}, False, id="enum and more"),
        pytest.param({"const": "a"}, True, id="const"),
        pytest.param({"const": "a", "enum": ["b"]}, False, id="const and enum"),
        pytest.param({"anyOf": [CITY, {"type": "null"}]}, True, id="any of"),
        pytest.param({"anyOf": [CITY, {"multipleOf": 2}]}, False, id="any of, with one that is not"),
        pytest.param({"anyOf": [CITY], "minLength": 2}, False, id="any of and more"),
        pytest.param({"oneOf": [CITY]}, True, id="one of one"),
        pytest.param({"oneOf": [CITY, {"type": "null"}]}, False, id="one of"),
        pytest.param({"allOf": [CITY, {"minLength": 1}]}, False, id="all of"),
        pytest.param({"not": CITY}, False, id="not"),
        pytest.param({"type": "object", "minProperties": 1}, False, id="properties counted"),
        pytest.param({"$ref": "#/$defs/a", "$defs": {"a": CITY}}, True, id="reference"),
        pytest.param(
            {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, False, id="recursion"
        ),
    ],
)
def test_what_a_grammar_holds(schema: Any, holds: bool) -> None:
    """Whatever is doubtful counts as not held, and is checked."""
    assert held(schema) is holds


_SCALARS = st.sampled_from(["", "a", "bb", 0, 1, 3, 7, 2.5, True, None])
_LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["string", "integer", "number", "null", "array", "object", ["string", "null"]]
        ),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "minimum": st.integers(0, 4),
        "maximum": st.integers(2, 8),
        "multipleOf": st.integers(1, 3),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 3),
        "uniqueItems": st.booleans(),
        "enum": st.lists(_SCALARS, min_size=1, max_size=2),
        "const": _SCALARS,
        "required": st.lists(st.sampled_from("ab"), max_size=2),
        "minProperties": st.integers(0, 2),
    },
)
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: (
        st.builds(
            lambda one, more: {**one, "properties": more},
            _LEAVES,
            st.dictionaries(st.sampled_from("ab"), inner),
        )
        | st.builds(lambda one, more: {**one, "items": more}, _LEAVES, inner)
        | st.builds(
            lambda one, more: {**one, "prefixItems": more}, _LEAVES, st.lists(inner, min_size=1, max_size=2)
        )
        | st.builds(
            lambda name, parts: {name: parts},
            st.sampled_from(["anyOf", "oneOf", "allOf"]),
            st.lists(inner, min_size=1, max_size=2),
        )
    ),
    max_leaves=5,
)


@settings(max_examples=400)
@given(_SCHEMAS, st.data())
def test_what_is_held_needs_no_check(schema: Any, data: st.DataObject) -> None:
    """What a grammar of the loosened schema can make is right by the schema itself."""
    try:
        loose = loosened(schema)
    except SchemaError:
        return
    if held(schema):
        value = made(loose, data)
        if value is not IMPOSSIBLE:
            assert shortcoming(value, schema) is None


IMPOSSIBLE = object()


def made(schema: Any, data: st.DataObject) -> Any:
    """Return a value as a grammar makes one: of a type that is told, an object of its properties alone."""
    if schema is False:
        return IMPOSSIBLE
    if "enum" in schema or "const" in schema:
        return data.draw(
            st.sampled_from([*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])])
        )
    if "anyOf" in schema:
        return made(data.draw(st.sampled_from(schema["anyOf"])), data) if schema["anyOf"] else IMPOSSIBLE
    kinds = schema.get("type", ["array"] if "prefixItems" in schema else ["object", "string", "null"])
    kind = data.draw(st.sampled_from(kinds)) if isinstance(kinds, list) else kinds
    if kind == "object":
        return made_object(schema, data)
    if kind == "array":
        return made_list(schema, data)
    if kind == "string":
        return made_text(schema, data)
    low, high = schema.get("minimum", -9), schema.get("maximum", 9)
    number = data.draw(st.integers(low, high)) if low <= high else IMPOSSIBLE
    return {"null": None, "boolean": True, "number": 2.5}.get(kind, number)


def made_object(schema: Any, data: st.DataObject) -> Any:
    """Return an object with what is required and some of the rest."""
    found = {}
    for name, part in schema.get("properties", {}).items():
        if name in schema.get("required", []) or data.draw(st.booleans()):
            found[name] = made(part, data)
    further = schema.get("additionalProperties")
    if isinstance(further, dict) and data.draw(st.booleans()):
        found["more"] = made(further, data)
    return IMPOSSIBLE if IMPOSSIBLE in found.values() else found


def made_list(schema: Any, data: st.DataObject) -> Any:
    """Return a list of as many items as are allowed."""
    if "prefixItems" in schema:
        found = [made(part, data) for part in schema["prefixItems"]]
    else:
        low = schema.get("minItems", 0)
        high = min(schema.get("maxItems", 3), 3)
        if low > high:
            return IMPOSSIBLE
        count = data.draw(st.integers(low, high))
        found = [made(schema.get("items", {"type": "null"}), data) for _ in range(count)]
    return IMPOSSIBLE if IMPOSSIBLE in found else found


def made_text(schema: Any, data: st.DataObject) -> Any:
    """Return a text of an allowed length."""
    low, high = schema.get("minLength", 0), schema.get("maxLength", 3)
    return "a" * data.draw(st.integers(low, high)) if low <= high else IMPOSSIBLE
