"""What is wrong with a JSON value by its schema, and with a regular expression that could take for ever.

Owns the verdict on an answer that is to conform to a schema, in the endpoint and wherever else answers are judged; so
it imports nothing of what lies beside it. Refuses to run a client's regular expression that could take for ever:
Python's cannot be interrupted.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_DEPTH = 24
"""Levels of a schema."""
_STEPS = 10**7
"""Steps of a regular expression at most: the text's length to the power of its open repetitions, for each of the ways
in which its choices can be made."""
_FEW_WAYS = 4
"""Ways to make a pattern's choices that shorten no text: an `s?` and a path that may be missing are ordinary."""
_MOST_PATTERN = 1000
_MOST_SHOWN = 80
MOST_COMPARED = 100_000
"""Comparisons of a part of an answer with a part of its schema: alternatives in alternatives multiply."""


class SchemaError(ValueError):
    """A schema that is wrong or that a grammar cannot hold; the message says where and why."""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def resolved(reference: Any, root: Any, path: str = "schema") -> Any:
    """Return what a reference inside a schema refers to.

    Raises:
        SchemaError: when it is not there, or lies elsewhere.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise SchemaError(
            f"{path}.$ref is {_shown(reference)}; wanted a place in this schema, as '#/$defs/name'"
        )
    target = root
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict) and name not in target:
            name = unquote(step).replace("~1", "/").replace("~0", "~")  # as a URI has spaces and brackets
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isascii() and name.isdecimal() and int(name[:9]) < len(target):
            target = target[int(name[:9])]
        else:
            raise SchemaError(f"{path}.$ref is {_shown(reference)}, which is not there")
    return target


def places_of(schema: dict[str, Any]) -> tuple[list[Any], Any]:
    """Return the schemas of a list's first places, and that of all behind them; older drafts have a list of `items`."""
    items = schema.get("items", True)
    if isinstance(items, list):
        return items, schema.get("additionalItems", True)
    prefix = schema.get("prefixItems", [])
    return (prefix if isinstance(prefix, list) else []), items


ONE_SCHEMA = (
    "items",
    "additionalItems",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
)
"""Keywords that hold a schema; `items` held a list of them in older drafts."""
SEVERAL_SCHEMAS = ("prefixItems", "allOf", "anyOf", "oneOf")
NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
"""Keywords that hold one for each name of somebody's own."""
_VALUES = ("enum", "const", "default", "examples")


def check_parts(schema: Any, path: str) -> None:
    """Check every pattern and every reference of a schema, wherever it stands, before anything is generated.

    Raises:
        SchemaError: one could take for ever, or is not there.
    """
    _check_patterns(schema, path, 0)
    _check_references(schema, schema, path)


def _check_patterns(schema: Any, path: str, depth: int) -> None:
    if depth > 4 * MOST_DEPTH:
        raise SchemaError(f"{path[:200]} is nested deeper than {4 * MOST_DEPTH} levels")
    if isinstance(schema, list):
        for part in schema:
            _check_patterns(part, path, depth + 1)
    elif isinstance(schema, dict):
        for name, part in schema.items():
            where = f"{path}.{name}"
            if name == "pattern" and isinstance(part, str):
                checked_pattern(part, where)
            if name == "patternProperties" and isinstance(part, dict):
                for pattern in part:
                    checked_pattern(pattern, where)
            if name not in _VALUES:
                _check_patterns(part, where, depth + 1)


def _check_references(schema: Any, root: Any, path: str) -> None:
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            _check_references(part, root, f"{path}[{number}]")
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        resolved(schema["$ref"], root, path)
    for name in (*ONE_SCHEMA, *SEVERAL_SCHEMAS):
        _check_references(schema.get(name), root, f"{path}.{name}")
    for name in NAMED_SCHEMAS:
        for own, part in _object_in(schema, name).items():
            _check_references(part, root, f"{path}.{name}.{own}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


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


# Regular expressions ----------------------------------------------------------------------------------------


def checked_pattern(pattern: Any, path: str) -> tuple[re.Pattern[str], int]:
    """Return a pattern to search with, and how long a text may be for that.

    Raises:
        SchemaError: when it is none, or could take for ever: a repetition inside of another one, or a choice; choices
            that multiply; a repetition of nothing.
    """
    if not isinstance(pattern, str) or len(pattern) > _MOST_PATTERN:
        raise SchemaError(f"{path} is {_shown(pattern)}; wanted a text of up to {_MOST_PATTERN} characters")
    try:
        # In Python 3.10 a module of its own.
        parser = getattr(re, "_parser", None) or importlib.import_module("sre_parse")
        compiled = re.compile(pattern)
        parsed = parser.parse(pattern)
        repeats, ways = _ambiguity(parsed)
    except _EndlessError as why:
        raise SchemaError(
            f"{path} is {_shown(pattern)}, which {why}, and could take for ever; write it without"
        ) from why
    except (re.error, RecursionError, OverflowError) as error:
        raise SchemaError(f"{path} is {_shown(pattern)}, which is no regular expression: {error}") from error
    if ways > _STEPS:
        raise SchemaError(
            f"{path} is {_shown(pattern)}, whose choices can be made in {ways:.0e} ways, and could take for ever; "
            "write it with fewer"
        )
    # From each place of a text as many characters are compared as the pattern has at least.
    shortest = max(int(parsed.getwidth()[0]), 1)
    most = (_STEPS / max(ways / _FEW_WAYS, 1)) ** (1 / (repeats + 1))
    return compiled, min(int(most), 10 * _STEPS // shortest)


class _EndlessError(Exception):
    """A regular expression whose time nothing bounds; the message says why."""


def _ambiguity(parsed: Any, *, inside: bool = False) -> tuple[int, int]:
    """Return how many open repetitions a parsed expression has, and in how many ways its choices can be made.

    Raises:
        _EndlessError: one lies in another, or nothing is repeated.
    """
    repeats, ways = 0, 1
    for operation, argument in parsed:
        name = str(operation)
        if "REPEAT" in name:
            low, high, part = argument
            fixed = int(low) == int(high)
            if inside and not fixed:
                raise _EndlessError("repeats a part with choices or repetitions in it")
            if int(high) > 1 and not part.getwidth()[0]:
                raise _EndlessError("repeats a part that may be empty")
            found, each = _ambiguity(part, inside=inside or int(high) > 1)
            repeats += found + (not fixed and int(high) > 1)
            # One that may be there or not is a choice.
            ways *= each + (not fixed and int(high) == 1)
        elif name == "BRANCH":
            if inside:
                raise _EndlessError("repeats a part with choices or repetitions in it")
            parts = [_ambiguity(one) for one in argument[1]]
            repeats += sum(one for one, _ in parts)
            ways *= sum(each for _, each in parts)
        elif name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
            found, each = _ambiguity(argument[-1], inside=inside)
            repeats, ways = repeats + found, ways * each
        elif "GROUPREF" in name or name == "ATOMIC_GROUP":
            raise _EndlessError("refers to a part of itself")
    return repeats, ways


# What is wrong ----------------------------------------------------------------------------------------------


class _Judged:
    """A whole schema, and how many more comparisons with a part of it there may be."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._left = MOST_COMPARED

    def count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise SchemaError(
                f"the schema is compared with an answer in more than {MOST_COMPARED} steps; write it with fewer "
                "alternatives and references"
            )


def shortcoming(value: Any, schema: Any) -> str | None:
    """Return what is wrong with a value by its schema; None when it conforms.

    A keyword that is not known is an annotation; so is `format`.

    Raises:
        SchemaError: a reference is not there, a pattern could take for ever, or the alternatives multiply.
    """
    return _wrong(value, schema, _Judged(schema), "the answer", 0)


def _wrong(value: Any, schema: Any, root: _Judged, path: str, depth: int) -> str | None:
    root.count()
    if schema is False:
        return f"{path} is not allowed"
    if not isinstance(schema, dict) or depth > 4 * MOST_DEPTH:
        return None
    deeper = depth + 1
    if "$ref" in schema:
        found = _wrong(value, resolved(schema["$ref"], root.root), root, path, deeper)
        if found:
            return found
    for check in (_of_values, _of_numbers, _of_texts):
        found = check(value, schema, path)
        if found:
            return found
    if isinstance(value, list):
        return _of_lists(value, schema, root, path, deeper) or _of_parts(value, schema, root, path, deeper)
    if isinstance(value, dict):
        return _of_objects(value, schema, root, path, deeper) or _of_parts(value, schema, root, path, deeper)
    return _of_parts(value, schema, root, path, deeper)


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number, which true and false are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are one: 1 is 1.0 and not true."""
    if is_number(one) and is_number(other):
        return bool(one == other)
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _of_values(value: Any, schema: dict[str, Any], path: str) -> str | None:
    kinds = _list(schema["type"]) if "type" in schema else []
    if kinds and not any(is_of_type(value, kind) for kind in kinds):
        return f"{path} is {_shown(value)}, not of type {' or '.join(map(str, kinds))}"
    if "enum" in schema and not any(same(value, one) for one in _list(schema["enum"])):
        return f"{path} is {_shown(value)}, which is not in the enum"
    if "const" in schema and not same(value, schema["const"]):
        return f"{path} is {_shown(value)}, not {_shown(schema['const'])}"
    return None


def _of_numbers(value: Any, schema: dict[str, Any], path: str) -> str | None:
    if not is_number(value):
        return None
    for name, holds in _BOUNDS.items():
        bound = schema.get(name)
        if is_number(bound) and not holds(value, bound):
            return f"{path} is {value}; {name} is {bound}"
    return None


def _divides(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    try:
        times = value / step
    except OverflowError:
        return True
    return abs(times - round(times)) < 1e-9 if math.isfinite(times) else True


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, bound: bool(value >= bound),
    "maximum": lambda value, bound: bool(value <= bound),
    "exclusiveMinimum": lambda value, bound: bool(value > bound),
    "exclusiveMaximum": lambda value, bound: bool(value < bound),
    "multipleOf": lambda value, bound: bound <= 0 or _divides(value, bound),
}


def _length(value: Any, schema: dict[str, Any], least: str, most: str, path: str) -> str | None:
    low: Any = schema.get(least)
    high: Any = schema.get(most)
    if is_number(low) and len(value) < low:
        return f"{path} has a length of {len(value)}; {least} is {low}"
    if is_number(high) and len(value) > high:
        return f"{path} has a length of {len(value)}; {most} is {high}"
    return None


def _of_texts(value: Any, schema: dict[str, Any], path: str) -> str | None:
    if not isinstance(value, str):
        return None
    found = _length(value, schema, "minLength", "maxLength", path)
    pattern = schema.get("pattern")
    return found or (_matches(value, pattern, path) if isinstance(pattern, str) else None)


def _matches(text: str, pattern: Any, path: str) -> str | None:
    compiled, most = checked_pattern(pattern, path)
    if len(text) > most:
        return f"{path} has {len(text)} characters, too many to compare with the pattern {_shown(pattern)}"
    return (
        None
        if compiled.search(text)
        else f"{path} is {_shown(text)}, which the pattern {_shown(pattern)} is not in"
    )


def _of_lists(value: list[Any], schema: dict[str, Any], root: _Judged, path: str, depth: int) -> str | None:
    found = _length(value, schema, "minItems", "maxItems", path)
    if found:
        return found
    prefix, rest = places_of(schema)
    for number, item in enumerate(value):
        part = prefix[number] if number < len(prefix) else rest
        found = _wrong(item, part, root, f"{path}[{number}]", depth)
        if found:
            return found
    if schema.get("uniqueItems") is True:
        written = [json.dumps(item, sort_keys=True) for item in value]
        if len(set(written)) < len(written):
            return f"{path} has an item twice; uniqueItems is true"
    if "contains" in schema and not any(
        _wrong(item, schema["contains"], root, path, depth) is None for item in value
    ):
        return f"{path} has no item as 'contains' has it"
    return None


def _of_objects(
    value: dict[str, Any], schema: dict[str, Any], root: _Judged, path: str, depth: int
) -> str | None:
    found = _length(value, schema, "minProperties", "maxProperties", path)
    if found:
        return found
    missing = [name for name in _list(schema.get("required", [])) if name not in value]
    if missing:
        return f"{path} has no {_shown(missing[0])}"
    properties, patterns = _object_in(schema, "properties"), _object_in(schema, "patternProperties")
    for name, item in value.items():
        where = f"{path}.{name}"
        parts = [properties[name]] if name in properties else []
        parts += [part for pattern, part in patterns.items() if _matches(name, pattern, where) is None]
        for part in parts or [schema.get("additionalProperties", True)]:
            found = _wrong(item, part, root, where, depth)
            if found:
                return found
        if "propertyNames" in schema:
            found = _wrong(name, schema["propertyNames"], root, f"the name {_shown(name)}", depth)
            if found:
                return found
    return None


def _object_in(schema: dict[str, Any], name: str) -> dict[str, Any]:
    value = schema.get(name)
    return value if isinstance(value, dict) else {}


def _of_parts(value: Any, schema: dict[str, Any], root: _Judged, path: str, depth: int) -> str | None:
    """Return what is wrong by the schemas inside of a schema that are about the same value."""

    def wrong(part: Any) -> str | None:
        return _wrong(value, part, root, path, depth)

    for part in _list(schema.get("allOf", [])):
        found = wrong(part)
        if found:
            return found
    if "anyOf" in schema and all(wrong(part) for part in _list(schema["anyOf"])):
        return f"{path} is {_shown(value)}, which no schema of 'anyOf' allows"
    if "oneOf" in schema and sum(wrong(part) is None for part in _list(schema["oneOf"])) != 1:
        return f"{path} is {_shown(value)}, which not exactly one schema of 'oneOf' allows"
    if "not" in schema and wrong(schema["not"]) is None:
        return f"{path} is {_shown(value)}, which 'not' forbids"
    if "if" in schema:
        return wrong(schema.get("then" if wrong(schema["if"]) is None else "else", True))
    return None
