"""What a grammar does not hold of a schema is left out of it, and checked in the answer."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift_conformity import held, loosened
from sealift_request import parse_request, unmet
from sealift_schema import MOST_REPEATS, check
from sealift_shortcoming import SchemaError, checked_pattern, shortcoming
from sealift_template import callable_tools

PYDANTIC: dict[str, Any] = json.loads(
    (Path(__file__).parent / "pydantic_schemas.json").read_text(encoding="utf-8")
)["schemas"]
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "below": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name"],
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        pytest.param({"type": "integer", "minimum": 0}, [0, 7], [-1, 1.5, True, "0"], id="minimum"),
        pytest.param({"type": "integer", "minimum": 1, "maximum": 3}, [1, 3], [0, 4], id="range"),
        pytest.param({"type": "number", "exclusiveMinimum": 0}, [0.1], [0, -1], id="exclusive"),
        pytest.param({"exclusiveMaximum": 2}, [1, "x"], [2], id="no-type"),
        pytest.param({"type": "number", "multipleOf": 0.01}, [0.07, 3], [0.005], id="multiple"),
        pytest.param({"type": "integer", "multipleOf": 5}, [0, 10], [7], id="whole-multiple"),
        pytest.param({"type": "string", "pattern": "^[A-Z]{2}\\d+$"}, ["AB1"], ["ab1", "AB"], id="pattern"),
        pytest.param({"type": "string", "maxLength": 2}, ["ab"], ["abc"], id="length"),
        pytest.param({"type": "string", "minLength": 2}, ["ab"], ["a"], id="least-length"),
        pytest.param({"type": "array", "uniqueItems": True}, [[1, 2]], [[1, 1]], id="unique"),
        pytest.param({"type": "array", "contains": {"const": 1}}, [[2, 1]], [[2]], id="contains"),
        pytest.param({"type": "array", "minItems": 1, "maxItems": 2}, [[1]], [[], [1, 2, 3]], id="items"),
        pytest.param(
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
            [[1, "a"]],
            [[1], [1, "a", 2], ["a", 1]],
            id="tuple",
        ),
        pytest.param(
            {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
            [[1, "a"]],
            [[1, 2]],
            id="rest",
        ),
        pytest.param({"not": {"type": "null"}}, [1], [None], id="not"),
        pytest.param({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, [1, 2.5], [3], id="one-of"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, [1, None], ["a"], id="any-of"),
        pytest.param({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [0, 3], id="all-of"),
        pytest.param(
            {"if": {"type": "integer"}, "then": {"minimum": 5}, "else": {"type": "string"}},
            [5, "a"],
            [4, None],
            id="if",
        ),
        pytest.param({"enum": [1, "a", None]}, [1, 1.0, "a", None], [True, "b"], id="enum"),
        pytest.param({"const": {"a": 1}}, [{"a": 1}], [{"a": 2}], id="const"),
        pytest.param(
            {"properties": {"a": {"type": "integer"}}, "additionalProperties": False, "required": ["a"]},
            [{"a": 1}],
            [{}, {"a": "x"}, {"a": 1, "b": 2}],
            id="object",
        ),
        pytest.param(
            {"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
            [{"x1": 1, "y": "a"}],
            [{"x1": "a"}, {"y": 1}],
            id="patterns",
        ),
        pytest.param({"propertyNames": {"maxLength": 1}}, [{"a": 1}], [{"ab": 1}], id="names"),
        pytest.param(
            {"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}], id="how-many"
        ),
        pytest.param(
            TREE, [{"name": "a", "below": [{"name": "b"}]}], [{"name": "a", "below": [{}]}], id="recursion"
        ),
        pytest.param({"discriminator": {"x": 1}, "title": "T", "x-own": 1}, [1, None], [], id="annotations"),
        pytest.param(False, [], [1], id="nothing"),
    ],
)
def test_a_value_conforms_or_is_told_why(schema: Any, right: list[Any], wrong: list[Any]) -> None:
    """Each keyword by values on both sides of it."""
    assert [shortcoming(value, schema) for value in right] == [None] * len(right)
    assert all(shortcoming(value, schema) for value in wrong)


TAKEN: list[Any] = [
    TREE,
    {"type": "integer", "minimum": 0},
    {"type": "integer", "minimum": -3, "maximum": 900},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "string", "pattern": "^a+$", "format": "email", "minLength": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 0},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "minItems": 10**6},
    {
        "allOf": [{"$ref": "#/$defs/a"}],
        "description": "x",
        "$defs": {"a": {"type": "object", "required": ["z"]}},
    },
    {"$ref": "#/$defs/a", "default": 1, "$defs": {"a": {"type": ["integer", "null"], "minimum": 3}}},
    {"type": "object", "properties": {"a": {}}, "patternProperties": {"^x": {}}, "not": {"required": ["q"]}},
    {"oneOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "discriminator": {}, "$defs": {"a": {"const": "k"}}},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}]},
    {"if": {"type": "integer"}, "then": {"minimum": 5}},
    {},
]


@pytest.mark.parametrize("schema", TAKEN)
def test_what_no_grammar_holds_is_left_out_of_it(schema: Any) -> None:
    """The rest is a grammar; what was left out is what the check is for."""
    check(loosened(schema))


def test_bounds_that_a_grammar_can_hold_are_in_it() -> None:
    """Few whole numbers are written out, and none below zero where there may be none."""
    assert loosened({"type": "integer", "minimum": 2, "maximum": 4}) == {"type": "integer", "enum": [2, 3, 4]}
    assert loosened({"type": "integer", "minimum": 0.5}) == {"type": "integer", "minimum": 1}
    assert loosened({"type": "integer", "minimum": 0}) == {"type": "integer", "minimum": 0}
    assert loosened({"type": "integer", "maximum": 4}) == {"type": "integer", "maximum": 4}
    assert loosened({"type": "integer", "exclusiveMinimum": 0}) == {"type": "integer", "minimum": 1}
    assert loosened({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2})["enum"] == [1]
    wide = {"type": "integer", "minimum": -5, "exclusiveMaximum": 1000}
    assert loosened(wide) == {"type": "integer", "minimum": -5, "maximum": 999}
    assert loosened({"type": "string", "maxLength": 10**12}) == {"type": "string", "maxLength": MOST_REPEATS}


def test_tuple_of_another_length_is_a_list() -> None:
    """Its places are looked at afterwards."""
    places = [{"type": "integer"}]

    assert "prefixItems" not in loosened({"prefixItems": places, "maxItems": 3})
    assert "prefixItems" not in loosened({"prefixItems": places, "minItems": 2})
    assert loosened({"prefixItems": places})["prefixItems"] == places


def test_anything_is_spelled_out() -> None:
    """llama.cpp's maker of grammars takes no `true`, and takes an empty schema for an object's."""
    anything = {"type": ["object", "array", "string", "number", "boolean", "null"]}

    assert loosened({}) == loosened(True) == anything
    assert loosened({"type": "array", "items": {}})["items"] == anything
    assert loosened({"prefixItems": [True, {}], "minItems": 2, "maxItems": 2}) == {
        "type": "array",
        "prefixItems": [anything, anything],
    }
    assert loosened({"type": "object", "required": ["a"]})["properties"] == {"a": anything}


def test_recursion_ends_where_the_schema_lets_it() -> None:
    """Twice inside of itself; then the other alternative, or an empty list."""
    linked = {
        "$ref": "#/$defs/a",
        "$defs": {
            "a": {"type": "object", "properties": {"n": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}}
        },
    }

    tree, chain = loosened(TREE), loosened(linked)

    assert tree["properties"]["below"]["items"]["properties"]["below"] == {"type": "array", "maxItems": 0}
    assert chain["properties"]["n"]["anyOf"][0]["properties"]["n"] == {"anyOf": [{"type": "null"}]}


@pytest.mark.parametrize("name", PYDANTIC)
def test_every_kind_of_pydantics_is_taken(name: str) -> None:
    """As `model_json_schema` writes it."""
    assert parse_request({"prompt": "a", "json_schema": PYDANTIC[name]}).schema == PYDANTIC[name]


@pytest.mark.parametrize(
    "pattern",
    [
        "((a+)+)+$",
        "(a|ab)*c",
        "(a*)*",
        "(a|aa){20}",
        "(a?){50}",
        "(x)\\1",
        "[",
        7,
        "a" * 2000,
        pytest.param("(?:a|a)" * 24 + "b", id="choices-one-after-another"),
        pytest.param("a?" * 24 + "a" * 24, id="options-one-after-another"),
        pytest.param("(?:(?:a|b)?x|(?:a|c)?x)?" * 12 + "y", id="choices-in-choices"),
        "(?:){1000000000}",
        "(?:\\b){4000000000}",
        "(?:(?=x)){1000000000}y",
    ],
)
def test_pattern_that_could_take_for_ever_is_refused(pattern: Any) -> None:
    """Python's own cannot be interrupted: it would hold the whole server."""
    with pytest.raises(SchemaError):
        checked_pattern(pattern, "pattern")


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z]+$",
        "^\\d{4}-\\d{2}$",
        "^(foo|bar)$",
        "^([0-9]{3},){2}x$",
        "a*a*a*a*b",
        "^[^@ ]+@[^@ ]+\\.[a-z]+$",
        pytest.param("(?:a|a)" * 12 + "b", id="choices-one-after-another"),
        pytest.param("a?" * 12 + "b", id="options-one-after-another"),
        pytest.param("(?:aaaaaaaaaa){1000}z", id="long"),
    ],
)
def test_pattern_that_is_taken_takes_no_time(pattern: str) -> None:
    """Within the length that it allows."""
    compiled, most = checked_pattern(pattern, "pattern")
    begun = time.process_time()
    compiled.search("a" * most)

    assert most >= 25
    assert time.process_time() - begun < 2


def test_patterns_are_looked_at_wherever_they_stand() -> None:
    """Before anything is generated; what is a value or the name of a property is none."""
    for where in ({"not": {"pattern": "["}}, {"patternProperties": {"[": {}}}, {"items": [{"pattern": "("}]}):
        with pytest.raises(SchemaError, match="no regular expression"):
            loosened(where)

    loosened({"enum": [{"pattern": "["}], "properties": {"pattern": {"type": "string"}}})


def test_references_are_looked_at_wherever_they_stand() -> None:
    """Also where no grammar goes; a property may be called so."""
    for where in (
        {"not": {"$ref": None}},
        {"if": {"$ref": "#/no"}},
        {"contains": {"items": [{"$ref": "a"}]}},
    ):
        with pytest.raises(SchemaError, match=r"\$ref is"):
            loosened(where)

    loosened({"properties": {"$ref": {"type": "string"}}, "enum": [{"$ref": 5}]})


_DOUBLED = {f"d{n}": {"oneOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, 5, id="itself"),
        pytest.param({"$ref": "#/$defs/d0", "$defs": {**_DOUBLED, "d40": {}}}, 5, id="doubled"),
        pytest.param(
            {"properties": {"a": {"oneOf": [{"$ref": "#"}, {"$ref": "#"}]}}},
            json.loads('{"a":' * 60 + "1" + "}" * 60),
            id="deep-answer",
        ),
    ],
)
def test_alternatives_that_multiply_are_given_up(schema: Any, value: Any) -> None:
    """Nobody waits for the end of them."""
    assert "steps" in (unmet(json.dumps(value), schema) or "")


def test_text_that_is_too_long_for_its_pattern_does_not_conform() -> None:
    """Nothing that was not looked at passes."""
    assert "too many" in (shortcoming("a" * 10_000, {"pattern": "a*a*a*a*b"}) or "")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/none"},
        {"$ref": "elsewhere.json"},
        {"anyOf": []},
        {"allOf": 3},
        {"type": "strin"},
        {"properties": 3},
        {"required": 3},
        {"type": "object", "properties": {f"p{n}": {} for n in range(1001)}},
    ],
)
def test_schema_that_is_wrong_is_refused(schema: Any) -> None:
    """What cannot be read is no annotation."""
    with pytest.raises(SchemaError):
        check(loosened(schema))


_KEYWORDS = (
    "type",
    "items",
    "properties",
    "anyOf",
    "$ref",
    "minimum",
    "minItems",
    "required",
    "not",
    "pattern",
    "enum",
)
_SCHEMAS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["string", "#", "object", "integer", "[", "a*"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYWORDS), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=300)
@given(
    _SCHEMAS,
    st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)),
)
def test_any_schema_is_taken_or_refused_and_checks_any_value(schema: Any, value: Any) -> None:
    """Neither half ends in anything but its own error."""
    try:
        check(loosened(schema))
    except SchemaError:
        return

    wrong = shortcoming(json.loads(json.dumps(value)), schema)
    assert wrong is None or isinstance(wrong, str)


PAIR = {"type": "array", "items": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2}


@pytest.mark.parametrize(
    ("schema", "loose", "right", "wrong"),
    [
        pytest.param(
            {"const": "cat", "enum": ["cat"], "type": "string"},
            {"type": "string", "const": "cat"},
            "cat",
            "dog",
            id="a-literal-of-older-pydantics",
        ),
        pytest.param(
            {"enum": ["a", None], "type": "string", "nullable": True},
            {"type": "string", "enum": ["a"]},
            "a",
            "b",
            id="null-among-the-texts-of-OpenAPI",
        ),
        pytest.param(
            PAIR,
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            [1, "a"],
            ["a", 1],
            id="a-tuple-of-draft-07",
        ),
        pytest.param(
            {"type": "array", "items": [{"type": "integer"}], "additionalItems": False},
            {"type": "array", "prefixItems": [{"type": "integer"}]},
            [1],
            [1, 2],
            id="a-tuple-that-ends",
        ),
        pytest.param(
            {"$defs": {"Of[a b]": {"type": "integer"}}, "$ref": "#/$defs/Of%5Ba%20b%5D"},
            {"type": "integer"},
            1,
            "a",
            id="a-reference-as-a-URI-has-it",
        ),
    ],
)
def test_what_generators_of_schemas_write_is_held(schema: Any, loose: Any, right: Any, wrong: Any) -> None:
    """By the grammar, and by what is looked at afterwards."""
    check(loosened(schema))

    assert loosened(schema) == loose
    assert shortcoming(right, schema) is None
    assert shortcoming(wrong, schema) is not None


def test_a_tuple_of_an_older_draft_needs_no_second_look() -> None:
    """Its grammar holds all of it, so that it can be streamed."""
    assert held(PAIR)
    assert not held({"type": "array", "items": [{"type": "integer"}], "minItems": 2})


@pytest.mark.parametrize("pattern", [r"^\p{L}+$", r"^(\w+ ?)+$", "("])
def test_the_pattern_of_an_argument_is_not_run_and_may_be_anything(pattern: str) -> None:
    """Tools of other makers have JavaScript's; only an answer's schema is looked at afterwards."""
    schema = {"type": "object", "properties": {"city": {"type": "string", "pattern": pattern}}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}

    (found,) = callable_tools([tool], None)
    assert found["function"]["parameters"]["properties"] == {"city": {"type": "string"}}
    with pytest.raises(SchemaError, match="pattern"):
        loosened(schema)
