"""Which schemas a grammar holds whole, so that their answers may be told as they come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift_conformity import held, loosened, shortcoming
from sealift_schema import MOST_REPEATS, SchemaError

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
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
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


@given(_SCHEMAS, st.lists(_VALUES, max_size=12))
def test_what_is_held_needs_no_check(schema: Any, values: list[Any]) -> None:
    """A value that the loosened schema allows, as a grammar keeps to it, is right by the schema itself."""
    try:
        loose = loosened(schema)
    except SchemaError:
        return
    if not held(schema):
        return
    for value in values:
        if shortcoming(value, loose) is None and grown(value, loose):
            assert shortcoming(value, schema) is None


def grown(value: Any, schema: Any) -> bool:
    """Tell whether a grammar could have made a value: by a type that is told, of an object's properties alone."""
    if not isinstance(schema, dict):
        return bool(schema)
    if "anyOf" in schema:
        return any(shortcoming(value, one) is None and grown(value, one) for one in schema["anyOf"])
    if isinstance(value, dict) and "properties" in schema:
        return all(
            name in schema["properties"] and grown(one, schema["properties"][name])
            for name, one in value.items()
        )
    if isinstance(value, list) and "prefixItems" in schema:
        places = schema["prefixItems"]
        return len(value) == len(places) and all(map(grown, value, places))
    if isinstance(value, list):
        return all(grown(one, schema.get("items", True)) for one in value)
    return True
