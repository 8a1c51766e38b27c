"""Which JSON schemas may become a grammar, and what is told of the others."""

from __future__ import annotations

from typing import Any

import pytest

from sealift_schema import (
    MOST_NODES,
    MOST_REPEATED,
    MOST_REPEATS,
    MOST_VALUES,
    MOST_WHOLE,
    check,
)
from sealift_shortcoming import MOST_DEPTH, SchemaError


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        pytest.param(3, "schema is 3; wanted an object or true", id="no-schema"),
        pytest.param(False, "schema is False", id="nothing-conforms"),
        pytest.param({"type": "strin"}, "schema.type is 'strin'", id="type"),
        pytest.param({"type": {}}, "schema.type is {}", id="type-object"),
        pytest.param({"type": []}, "schema.type is []", id="no-types"),
        pytest.param({"type": [["null"]]}, "schema.type is ['null']", id="nested-types"),
        pytest.param({"type": "integer", "multipleOf": 2}, "unknown field 'multipleOf'", id="multiple-of"),
        pytest.param({"minItems": 1, "minLength": 1}, "keywords of array and string", id="two-kinds"),
        pytest.param({"type": "string", "format": "email"}, "schema.format is 'email'", id="format"),
        pytest.param({"type": "string", "format": {}}, "schema.format is {}", id="format-object"),
        pytest.param({"type": "string", "minLength": -1}, "schema.minLength is -1", id="negative"),
        pytest.param({"type": "string", "maxLength": True}, "schema.maxLength is True", id="true-length"),
        pytest.param({"type": "string", "minLength": 3, "maxLength": 2}, "less than minLength", id="crossed"),
        pytest.param(
            {"type": "array", "minItems": 10**9}, f"wanted at most {MOST_REPEATS}", id="huge-minimum"
        ),
        pytest.param({"type": "array", "maxItems": MOST_REPEATS + 1}, "wanted at most", id="huge-maximum"),
        pytest.param({"type": "integer", "minimum": 0.5}, "schema.minimum is 0.5", id="half"),
        pytest.param({"type": "integer", "maximum": MOST_WHOLE + 1}, "up to 15 digits", id="huge-bound"),
        pytest.param({"type": "integer", "minimum": 2, "maximum": 1}, "less than minimum", id="no-integer"),
        pytest.param({"const": "\ud800"}, "half of a surrogate pair", id="half-a-character"),
        pytest.param({"type": "object", "properties": {"": {}}}, "a name of no letters", id="no-name"),
        pytest.param({"$ref": "#"}, "unknown field '$ref'", id="a-reference"),
        pytest.param({"enum": []}, "schema.enum is []", id="empty-enum"),
        pytest.param({"enum": "abc"}, "schema.enum is 'abc'", id="enum-text"),
        pytest.param({"enum": [1], "type": "string"}, "1 is not of type 'string'", id="enum-type"),
        pytest.param(
            {"enum": list(range(MOST_VALUES + 1))}, f"more than {MOST_VALUES} values", id="huge-enum"
        ),
        pytest.param({"const": "x" * 100_000}, "more than 32768 characters", id="huge-value"),
        pytest.param({"anyOf": [{}] * (MOST_NODES + 1)}, f"more than {MOST_NODES} schemas", id="wide"),
        pytest.param({"anyOf": [{}], "type": "string"}, "'anyOf' and 'type'", id="combined"),
        pytest.param(_nested(MOST_DEPTH + 1), f"deeper than {MOST_DEPTH} levels", id="deep"),
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
        check(schema)

    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_value_that_is_nested_beyond_all_is_refused() -> None:
    """A value that json.loads can read may be more than json.dumps can write."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(SchemaError, match="nested too deeply"):
        check({"const": value})
