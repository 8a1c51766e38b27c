"""Which JSON schemas may become a grammar: what llama.cpp's own converter is given, and what it is kept from.

Owns what a schema may hold, and how much of it. llama.cpp makes the grammar (json-schema-to-grammar.cpp), for chats and
texts alike; it throws at what makes no sense, unrolls what is repeated or referred to, and ends the process, or never
comes back, with a grammar that is too large. So a schema is looked at before, as it is without what no grammar holds
and with its references expanded: `sealift_conformity.loosened` makes it so.
"""

from __future__ import annotations

import json
from typing import Any

from sealift_settings import shown, unknown
from sealift_shortcoming import MOST_DEPTH, SchemaError, is_of_type

MOST_NODES = 1000
"""Schemas in a schema, references expanded."""
MOST_VALUES = 1000
"""Values of all enums together; OpenAI's own bound."""
MOST_CHARACTERS = 32_768
"""Of all names and values together."""
MOST_REPEATS = 500
"""Length of a list or of a string whose length is bounded; llama.cpp unrolls repetitions."""
MOST_REPEATED = 4000
"""All bounded lengths together."""
MOST_WHOLE = 10**15
"""What a bound of whole numbers is at most; llama.cpp counts it in 64 bits."""

_ANNOTATIONS = frozenset(
    {
        *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"),
        *("examples", "deprecated", "readOnly", "writeOnly"),
    }
)
_OF_TYPE: dict[str, tuple[str, ...]] = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "format"),
    "number": (),
    "integer": ("minimum", "maximum"),
    "boolean": (),
    "null": (),
}
_COMBINED = ("anyOf", "enum", "const")
_KEYWORDS = frozenset({"type", *_COMBINED, *(name for names in _OF_TYPE.values() for name in names)})
_FORMATS = ("date", "time", "date-time", "uuid")


def check(schema: Any) -> None:
    """Look at a schema that a grammar is to be made of.

    Args:
        schema: a loosened one.

    Raises:
        SchemaError: when it is wrong, too large, or asks what a grammar cannot hold.
    """
    try:
        _Check().one(schema, "schema", 0)
    except RecursionError as error:  # of json.dumps: a value may be nested as deeply as json.loads read it
        raise SchemaError("the schema holds a value that is nested too deeply") from error


class _Check:
    """Counts what the grammar of one schema costs."""

    def __init__(self) -> None:
        self._counts = {"schemas": 0, "values": 0, "characters": 0, "repetitions": 0}

    def one(self, schema: Any, path: str, depth: int) -> None:
        """Look at a schema and at all in it."""
        self._spend("schemas", 1, MOST_NODES)
        if depth > MOST_DEPTH:
            raise SchemaError(f"{path[:200]} is nested deeper than {MOST_DEPTH} levels")
        if schema is True:
            return
        if not isinstance(schema, dict):
            raise SchemaError(f"{path} is {shown(schema)}; wanted an object or true")
        strange = [name for name in schema if name not in _KEYWORDS and name not in _ANNOTATIONS]
        if strange:
            raise SchemaError(f"{path}: {unknown(strange[0], sorted(_KEYWORDS))}")
        given = [name for name in _COMBINED if name in schema]
        if given:
            self._combined(schema, given, path, depth)
            return
        kinds = _implied(schema, path) if schema.get("type") is None else schema["type"]
        self._of_kinds(kinds, schema, path, depth)

    def _of_kinds(self, kinds: Any, schema: dict[str, Any], path: str, depth: int) -> None:
        if not isinstance(kinds, list):
            self._typed(kinds, schema, path, depth)
            return
        if not 1 <= len(kinds) <= len(_OF_TYPE) or len({str(kind) for kind in kinds}) < len(kinds):
            raise SchemaError(f"{path}.type is {shown(kinds)}; wanted different types")
        for kind in kinds:
            self._typed(kind, schema, path, depth)

    def _combined(self, schema: dict[str, Any], given: list[str], path: str, depth: int) -> None:
        name = given[0]
        others = sorted(set(schema) - _ANNOTATIONS - {name})
        if name in ("enum", "const"):
            others = [other for other in others if other != "type"]
        if others:
            raise SchemaError(f"{path}: {name!r} and {others[0]!r} cannot be combined; give one of them")
        value = schema[name]
        if name == "const":
            self._values([value], schema, path)
            return
        if not isinstance(value, list) or not value:
            raise SchemaError(f"{path}.{name} is {shown(value)}; wanted a list that is not empty")
        if name == "enum":
            self._values(value, schema, path)
            return
        for number, part in enumerate(value):
            self.one(part, f"{path}.{name}[{number}]", depth + 1)

    def _values(self, values: list[Any], schema: dict[str, Any], path: str) -> None:
        self._spend("values", len(values), MOST_VALUES)
        kind = schema.get("type")
        if kind is not None:
            kinds = kind if isinstance(kind, list) else [kind]
            wrong = [value for value in values if not any(is_of_type(value, one) for one in kinds)]
            if wrong:
                raise SchemaError(f"{path}: {shown(wrong[0])} is not of type {shown(kind)}")
        for value in values:
            self._text(value, path)

    def _text(self, value: Any, path: str) -> None:
        """Look at what the grammar writes out: a value, or a name."""
        text = json.dumps(value, ensure_ascii=False)
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise SchemaError(f"{path}: {shown(value)} has half of a surrogate pair, which is no character")
        self._spend("characters", len(text), MOST_CHARACTERS)

    def _typed(self, kind: Any, schema: dict[str, Any], path: str, depth: int) -> None:
        if not isinstance(kind, str) or kind not in _OF_TYPE:
            raise SchemaError(f"{path}.type is {shown(kind)}; wanted one of {', '.join(_OF_TYPE)}")
        if kind == "object":
            self._object(schema, path, depth)
        elif kind == "array":
            self._array(schema, path, depth)
        elif kind == "string":
            self._string(schema, path)
        elif kind == "integer":
            self._integer(schema, path)

    def _object(self, schema: dict[str, Any], path: str, depth: int) -> None:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict):
            raise SchemaError(f"{path}.properties is {shown(properties)}; wanted an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise SchemaError(f"{path}.required is {shown(required)}; wanted a list of names")
        missing = [name for name in required if name not in properties]
        if missing:
            raise SchemaError(f"{path}.required names {shown(missing[0])}, which is not in its properties")
        if "" in properties:
            raise SchemaError(
                f"{path}.properties has a name of no letters, which llama.cpp's converter takes for the whole schema"
            )
        for name, part in properties.items():
            self._text(name, path)
            self.one(part, f"{path}.properties.{name}", depth + 1)
        further = schema.get("additionalProperties", True)
        if not isinstance(further, bool):
            self.one(further, f"{path}.additionalProperties", depth + 1)

    def _array(self, schema: dict[str, Any], path: str, depth: int) -> None:
        low, high = self._bounds(schema, "minItems", "maxItems", path)
        if "prefixItems" not in schema:
            self.one(schema.get("items", True), f"{path}.items", depth + 1)
            self._spend("repetitions", low if high is None else high, MOST_REPEATED)
            return
        parts = schema["prefixItems"]
        others = sorted({"minItems", "maxItems"} & set(schema))
        if not isinstance(parts, list) or not parts or schema.get("items", False) is not False or others:
            raise SchemaError(
                f"{path}: 'prefixItems' wants a list of schemas, no 'minItems' or 'maxItems', and 'items' false"
            )
        for number, part in enumerate(parts):
            self.one(part, f"{path}.prefixItems[{number}]", depth + 1)

    def _string(self, schema: dict[str, Any], path: str) -> None:
        low, high = self._bounds(schema, "minLength", "maxLength", path)
        style = schema.get("format")
        if style is not None and (style not in _FORMATS or low or high is not None):
            raise SchemaError(
                f"{path}.format is {shown(style)}; wanted one of {', '.join(_FORMATS)}, and no length beside it"
            )
        self._spend("repetitions", low if high is None else high, MOST_REPEATED)

    def _integer(self, schema: dict[str, Any], path: str) -> None:
        for name in ("minimum", "maximum"):
            value = schema.get(name, 0)
            if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MOST_WHOLE:
                raise SchemaError(
                    f"{path}.{name} is {shown(value)}; wanted a whole number of up to {len(str(MOST_WHOLE)) - 1} digits"
                )
        if "minimum" in schema and "maximum" in schema and schema["minimum"] > schema["maximum"]:
            raise SchemaError(f"{path}.maximum is {schema['maximum']}, less than minimum")

    def _bounds(self, schema: dict[str, Any], least: str, most: str, path: str) -> tuple[int, int | None]:
        """Return both bounds."""
        low, high = schema.get(least), schema.get(most)
        low = 0 if low is None else low
        for name, value in ((least, low), (most, high)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise SchemaError(f"{path}.{name} is {shown(value)}; wanted a whole number of at least 0")
            if value is not None and value > MOST_REPEATS:
                raise SchemaError(f"{path}.{name} is {shown(value)}; wanted at most {MOST_REPEATS}")
        if high is not None and high < low:
            raise SchemaError(f"{path}.{most} is {shown(high)}, less than {least}, which is {low}")
        return low, high

    def _spend(self, what: str, amount: int, most: int) -> None:
        self._counts[what] += amount
        if self._counts[what] > most:
            raise SchemaError(
                f"the schema has more than {most} {what}, its references expanded; send a smaller one"
            )


def _implied(schema: dict[str, Any], path: str) -> str | list[str]:
    """Return the type that a schema's keywords belong to; every type when it has none."""
    kinds = [kind for kind, names in _OF_TYPE.items() if any(name in schema for name in names)]
    if len(kinds) > 1:
        raise SchemaError(f"{path} has no type, and keywords of {' and '.join(kinds)}; give the type")
    # Every JSON value, and the two kinds of numbers are one.
    return kinds[0] if kinds else [kind for kind in _OF_TYPE if kind != "integer"]
