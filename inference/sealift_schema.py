"""From a JSON schema to a grammar that llama.cpp keeps an answer to.

Owns which schemas are taken and what they become. The grammar may allow less than the schema (properties in their
order, no further ones, strings and lists of a bounded length) and never more: every answer that ends conforms.
So what a grammar cannot hold is refused, not passed over.

llama-cpp-python's own converter is not used. It escapes quotes and no backslashes, so an enum value with a quote in
it leaves its literal and the rest of the grammar is broken; its strings may hold raw line breaks, which are no JSON;
and it lets a schema grow without bound. Here nothing of a client's text is written into the grammar but literals of
escaped characters, and recursion is refused: a recursive union makes llama.cpp follow twice as many derivations with
each bracket. `$ref` is expanded, within the bounds.
"""

from __future__ import annotations

import json
from typing import Any

from sealift_settings import shown, unknown

MOST_NODES = 1000
"""Schemas in a schema, references expanded."""
MOST_DEPTH = 24
MOST_VALUES = 500
"""Values of all enums together."""
MOST_CHARACTERS = 32_768
"""Of all names and values together."""
MOST_REPEATS = 500
"""Length of a list or of a string whose length is bounded; llama.cpp unrolls repetitions."""
MOST_REPEATED = 4000
"""All bounded lengths together."""

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
    "integer": ("minimum",),
    "boolean": (),
    "null": (),
}
_COMBINED = ("$ref", "anyOf", "oneOf", "allOf", "enum", "const")
_KEYWORDS = frozenset({"type", *_COMBINED, *(name for names in _OF_TYPE.values() for name in names)})

_RULES = r"""
ws ::= | " " | "\n" [ ]{0,20}
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member ("," ws member)* ws)? "}"
member ::= string ":" ws value
array ::= "[" ws (value ("," ws value)* ws)? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
number ::= integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,3})?
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
natural ::= "0" | positive
positive ::= [1-9] [0-9]{0,15}
boolean ::= "true" | "false"
null ::= "null"
hex ::= [0-9a-f]
day ::= "0" [1-9] | [12] [0-9] | "3" [01]
date ::= [0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" day
time ::= ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? zone
zone ::= "Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]
uuid ::= hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}
""".strip()
_FORMATS = {"date": "date", "time": "time", "date-time": 'date "T" time', "uuid": "uuid"}

ANY_OBJECT = f"root ::= object\n{_RULES}"
"""The grammar of "json_object": any JSON object."""


class SchemaError(ValueError):
    """A schema that is wrong or that a grammar cannot hold; the message says where and why."""


def grammar_of(schema: Any) -> str:
    """Return the grammar of a JSON schema, with `root` as its start.

    Raises:
        SchemaError: when the schema is wrong, too large, or asks what a grammar cannot hold.
    """
    converter = _Converter(schema)
    try:
        root = converter.rule(schema, "schema", 0, ())
    except RecursionError as error:  # of json.dumps: a value may be nested as deeply as json.loads read it
        raise SchemaError("the schema holds a value that is nested too deeply") from error
    return "\n".join([f"root ::= {root}", *converter.rules, _RULES])


class _Converter:
    """Collects the rules of one schema and counts what they cost."""

    def __init__(self, root: Any) -> None:
        self.rules: list[str] = []
        self._root = root
        self._counts = {"schemas": 0, "values": 0, "characters": 0, "repetitions": 0}

    def rule(self, schema: Any, path: str, depth: int, referred: tuple[str, ...]) -> str:
        """Add what a schema needs and return an expression of one rule's name."""
        self._spend("schemas", 1, MOST_NODES)
        if depth > MOST_DEPTH:
            raise SchemaError(f"{path[:200]} is nested deeper than {MOST_DEPTH} levels")
        if schema is True:
            return "value"
        if not isinstance(schema, dict):
            raise SchemaError(f"{path} is {shown(schema)}; wanted an object or true")
        self._check_keywords(schema, path)
        given = [name for name in _COMBINED if name in schema]
        if given:
            return self._combined(schema, given, path, depth, referred)
        kinds = schema.get("type")
        if kinds is None:
            kinds = _implied(schema, path)
        if isinstance(kinds, list):
            if not 1 <= len(kinds) <= len(_OF_TYPE) or len({str(kind) for kind in kinds}) < len(kinds):
                raise SchemaError(f"{path}.type is {shown(kinds)}; wanted different types")
            names = [self._typed(kind, schema, path, depth, referred) for kind in kinds]
            return self._add(" | ".join(names))
        return self._typed(kinds, schema, path, depth, referred)

    def _check_keywords(self, schema: dict[str, Any], path: str) -> None:
        for name, value in schema.items():
            if name in ("pattern", "patternProperties", "not", "if", "maximum", "uniqueItems") or (
                name == "minimum" and (isinstance(value, bool) or value not in (0, 1))
            ):
                raise SchemaError(f"{path}: {name!r} cannot be held by a grammar; leave it out")
            if name not in _KEYWORDS and name not in _ANNOTATIONS:
                raise SchemaError(f"{path}: {unknown(name, sorted(_KEYWORDS))}")

    def _combined(
        self, schema: dict[str, Any], given: list[str], path: str, depth: int, referred: tuple[str, ...]
    ) -> str:
        name = given[0]
        others = sorted(set(schema) - _ANNOTATIONS - {name})
        if name in ("enum", "const"):
            others = [other for other in others if other != "type"]
        if others:
            raise SchemaError(f"{path}: {name!r} and {others[0]!r} cannot be combined; give one of them")
        value = schema[name]
        if name == "$ref":
            return self._referred(value, path, depth, referred)
        if name == "const":
            return self._add(self._literals([value], schema, path))
        if not isinstance(value, list) or not value:
            raise SchemaError(f"{path}.{name} is {shown(value)}; wanted a list that is not empty")
        if name == "enum":
            return self._add(self._literals(value, schema, path))
        if name == "allOf" and len(value) > 1:
            raise SchemaError(f"{path}.allOf has {len(value)} schemas; only one can be held by a grammar")
        parts = [self.rule(part, f"{path}.{name}[{n}]", depth + 1, referred) for n, part in enumerate(value)]
        return self._add(" | ".join(dict.fromkeys(parts)))

    def _referred(self, reference: Any, path: str, depth: int, referred: tuple[str, ...]) -> str:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise SchemaError(
                f"{path}.$ref is {shown(reference)}; wanted a place in this schema, as '#/$defs/name'"
            )
        if reference == "#" or reference in referred:
            raise SchemaError(
                f"{path}.$ref is {shown(reference)}, which contains itself; recursion is not taken"
            )
        target = self._root
        for step in reference.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and name in target:
                target = target[name]
            elif (
                isinstance(target, list)
                and name.isascii()
                and name.isdecimal()
                and int(name[:9]) < len(target)
            ):
                target = target[int(name[:9])]
            else:
                raise SchemaError(f"{path}.$ref is {shown(reference)}, which is not there")
        return self.rule(target, path, depth + 1, (*referred, reference))

    def _literals(self, values: list[Any], schema: dict[str, Any], path: str) -> str:
        self._spend("values", len(values), MOST_VALUES)
        kind = schema.get("type")
        if kind is not None:
            kinds = kind if isinstance(kind, list) else [kind]
            wrong = [value for value in values if not any(is_of_type(value, one) for one in kinds)]
            if wrong:
                raise SchemaError(f"{path}: {shown(wrong[0])} is not of type {shown(kind)}")
        return " | ".join(dict.fromkeys(map(self._literal, values)))

    def _literal(self, value: Any) -> str:
        """Return a JSON value as a literal, its characters as models write them."""
        text = json.dumps(value, ensure_ascii=False)
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            text = json.dumps(value)  # half of a surrogate pair is no character of UTF-8
        self._spend("characters", len(text), MOST_CHARACTERS)
        return f'"{"".join(map(_escaped, text))}"'

    def _typed(
        self, kind: Any, schema: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]
    ) -> str:
        if not isinstance(kind, str) or kind not in _OF_TYPE:
            raise SchemaError(f"{path}.type is {shown(kind)}; wanted one of {', '.join(_OF_TYPE)}")
        if kind == "object":
            return self._object(schema, path, depth, referred)
        if kind == "array":
            return self._array(schema, path, depth, referred)
        if kind == "string":
            return self._string(schema, path)
        if kind == "integer" and schema.get("minimum") in (0, 1):
            return "positive" if schema["minimum"] else "natural"
        return kind

    def _object(self, schema: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]) -> str:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        further = schema.get("additionalProperties", True)
        if not isinstance(properties, dict):
            raise SchemaError(f"{path}.properties is {shown(properties)}; wanted an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise SchemaError(f"{path}.required is {shown(required)}; wanted a list of names")
        missing = [name for name in required if name not in properties]
        if missing:
            raise SchemaError(f"{path}.required names {shown(missing[0])}, which is not in its properties")
        if not properties:
            if further is True:
                return "object"
            if further is False:
                return self._add('"{" ws "}"')
            value = self.rule(further, f"{path}.additionalProperties", depth + 1, referred)
            member = self._add(f'string ":" ws {value}')
            return self._add(f'"{{" ws ({member} ("," ws {member})* ws)? "}}"')
        members = []
        for name, part in properties.items():
            value = self.rule(part, f"{path}.properties.{name}", depth + 1, referred)
            literal = self._literal(name)
            members.append((self._add(f'{literal} ":" ws {value}'), name in required))
        return self._add(f'"{{" ws {self._members(members)} ws "}}"')

    def _members(self, members: list[tuple[str, bool]]) -> str:
        """Return the members in their order, those that are not required left out or not.

        Two chains of rules: `later` follows another member and begins with a comma, `first` does not.
        """
        later = first = ""
        for member, needed in reversed(members):
            after = f" {later}" if later else ""
            alone = f"{member}{after}"
            joined = f'"," ws {member}{after}'
            if needed:
                first, later = self._add(alone), self._add(joined)
            else:
                first = self._add(f"{alone} | {first}" if first else f"({alone})?")
                later = self._add(f"{joined} | {later}" if later else f"({joined})?")
        return first

    def _array(self, schema: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]) -> str:
        low, high = self._bounds(schema, "minItems", "maxItems", path)
        if "prefixItems" in schema:
            return self._tuple(schema, path, depth, referred)
        item = self.rule(schema.get("items", True), f"{path}.items", depth + 1, referred)
        if high == 0:
            return self._add('"[" ws "]"')
        self._spend("repetitions", low if high is None else high, MOST_REPEATED)
        upper = "" if high is None else str(high - 1)
        several = f'{item} ("," ws {item}){{{max(low - 1, 0)},{upper}}} ws'
        return self._add(f'"[" ws {several} "]"' if low else f'"[" ws ({several})? "]"')

    def _tuple(self, schema: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]) -> str:
        parts = schema["prefixItems"]
        others = sorted({"minItems", "maxItems"} & set(schema))
        if not isinstance(parts, list) or not parts or schema.get("items", False) is not False or others:
            raise SchemaError(
                f"{path}: 'prefixItems' wants a list of schemas, no 'minItems' or 'maxItems', and 'items' false"
            )
        names = [
            self.rule(part, f"{path}.prefixItems[{n}]", depth + 1, referred) for n, part in enumerate(parts)
        ]
        inside = ' "," ws '.join(names)
        return self._add(f'"[" ws {inside} ws "]"')

    def _string(self, schema: dict[str, Any], path: str) -> str:
        low, high = self._bounds(schema, "minLength", "maxLength", path)
        style = schema.get("format")
        if style is not None:
            if not isinstance(style, str) or style not in _FORMATS or low or high is not None:
                raise SchemaError(
                    f"{path}.format is {shown(style)}; wanted one of {', '.join(_FORMATS)}, and no length beside it"
                )
            return self._add(f'"\\"" {_FORMATS[style]} "\\""')
        if not low and high is None:
            return "string"
        self._spend("repetitions", low if high is None else high, MOST_REPEATED)
        return self._add(f'"\\"" char{{{low},{"" if high is None else high}}} "\\""')

    def _bounds(self, schema: dict[str, Any], least: str, most: str, path: str) -> tuple[int, int | None]:
        """Return both bounds; an upper one that is too large becomes the largest that is taken."""
        low, high = schema.get(least), schema.get(most)
        low = 0 if low is None else low
        for name, value in ((least, low), (most, high)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise SchemaError(f"{path}.{name} is {shown(value)}; wanted a whole number of at least 0")
        if low > MOST_REPEATS:
            raise SchemaError(f"{path}.{least} is {shown(low)}; wanted at most {MOST_REPEATS}")
        if high is not None and high < low:
            raise SchemaError(f"{path}.{most} is {shown(high)}, less than {least}, which is {low}")
        return low, None if high is None else min(high, MOST_REPEATS)

    def _add(self, expression: str) -> str:
        name = f"r{len(self.rules)}"
        self.rules.append(f"{name} ::= {expression}")
        return name

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


def is_of_type(value: Any, kind: Any) -> bool:
    """Return whether a JSON value is of a type."""
    if isinstance(value, bool):
        return bool(kind == "boolean")
    if isinstance(value, float):
        return bool(kind == "number") or (kind == "integer" and value.is_integer())
    names = {
        dict: ("object",),
        list: ("array",),
        str: ("string",),
        int: ("number", "integer"),
        type(None): ("null",),
    }
    return kind in names[type(value)]


def _escaped(character: str) -> str:
    """Return a character of a literal; all but the plainest as their code, which llama.cpp reads in 8 digits."""
    plain = character.isascii() and (character.isalnum() or character in " _-.,:/{}()")
    return character if plain else f"\\U{ord(character):08X}"
