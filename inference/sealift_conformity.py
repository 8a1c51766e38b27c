"""What a grammar does not hold of a JSON schema: left out of the grammar, and checked when the answer is there.

Owns both halves, so that they agree: `loosened` allows at least what a schema allows, and `shortcoming` says what is
still wrong with a value. Refuses to run a client's regular expression that could take for ever: Python's cannot be
interrupted.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from typing import TYPE_CHECKING, Any

from sealift_schema import MOST_DEPTH, MOST_NODES, MOST_REPEATS, SchemaError, is_of_type
from sealift_settings import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_STEPS = 10**7
"""Steps of a regular expression at most: the text's length to the power of its open repetitions."""
_MOST_PATTERN = 1000
_FORMATS = ("date", "time", "date-time", "uuid")
_KEPT = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "format"),
    "integer": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"),
}
_ALTERNATIVES = ("anyOf", "oneOf")
_ANYTHING = ("object", "array", "string", "number", "boolean", "null")
_READ = ("title", "description")
"""Annotations that tell a model what a value is."""
_FOLLOWED = 2
"""How often a reference is followed inside of itself."""
_LISTED = 256
"""Whole numbers between two bounds that are written out one by one."""


def resolved(reference: Any, root: Any, path: str = "schema") -> Any:
    """Return what a reference inside a schema refers to.

    Raises:
        SchemaError: when it is not there, or lies elsewhere.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise SchemaError(
            f"{path}.$ref is {shown(reference)}; wanted a place in this schema, as '#/$defs/name'"
        )
    target = root
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isascii() and name.isdecimal() and int(name[:9]) < len(target):
            target = target[int(name[:9])]
        else:
            raise SchemaError(f"{path}.$ref is {shown(reference)}, which is not there")
    return target


def loosened(schema: Any, *, annotated: bool = False) -> Any:
    """Return a schema that a grammar can hold, without references, and that allows at least what this one does.

    Args:
        schema: a client's.
        annotated: whether titles and descriptions stay, which no grammar holds and a model may read.

    Raises:
        SchemaError: when it is too large or too deep, or has a pattern that cannot be checked.
    """
    _check_patterns(schema, "schema", 0)
    return _spelled(_Loosening(schema, annotated=annotated).one(schema, "schema", 0, ()))


def _spelled(schema: Any) -> Any:
    """Return a schema with every "anything" in it as a list of types: what no maker of grammars takes otherwise."""
    if schema is True:
        return {"type": list(_ANYTHING)}
    if not isinstance(schema, dict):
        return schema
    spelled = dict(schema) if set(schema) - set(_READ) else {**schema, "type": list(_ANYTHING)}
    if isinstance(schema.get("properties"), dict):
        spelled["properties"] = {name: _spelled(part) for name, part in schema["properties"].items()}
    for name in ("anyOf", "prefixItems"):
        if isinstance(schema.get(name), list):
            spelled[name] = [_spelled(part) for part in schema[name]]
    if "items" in schema:
        spelled["items"] = _spelled(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        spelled["additionalProperties"] = _spelled(schema["additionalProperties"])
    return spelled


def _check_patterns(schema: Any, path: str, depth: int) -> None:
    """Check every pattern of a schema, wherever it stands, before anything is generated."""
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
            if name not in ("enum", "const", "default", "examples"):
                _check_patterns(part, where, depth + 1)


class _Loosening:
    """Counts what a schema holds while its references are expanded."""

    def __init__(self, root: Any, *, annotated: bool) -> None:
        self._root = root
        self._read = _READ if annotated else ()
        self._count = 0

    def one(self, schema: Any, path: str, depth: int, referred: tuple[str, ...]) -> Any:
        self._count += 1
        if self._count > MOST_NODES:
            raise SchemaError(
                f"the schema has more than {MOST_NODES} schemas, its references expanded; send a smaller one"
            )
        if depth > MOST_DEPTH:
            raise SchemaError(f"{path[:200]} is nested deeper than {MOST_DEPTH} levels")
        if not isinstance(schema, dict):
            return schema
        own = {name: value for name, value in schema.items() if name not in ("$ref", "allOf", *_ALTERNATIVES)}
        parts = []
        if "$ref" in schema:
            reference = schema["$ref"]
            if self._ends(schema, referred):
                # What contains itself has no end in a grammar: any value, looked at afterwards.
                parts.append(True)
            else:
                target = resolved(reference, self._root, path)
                parts.append(self.one(target, path, depth + 1, (*referred, reference)))
        for number, part in enumerate(_several(schema, "allOf", path)):
            parts.append(self.one(part, f"{path}.allOf[{number}]", depth + 1, referred))
        result: Any = self._plain(own, path, depth, referred)
        for part in parts:
            result = _both(result, part)
        for name in _ALTERNATIVES:
            options = [
                self.one(part, f"{path}.{name}[{number}]", depth + 1, referred)
                for number, part in enumerate(_several(schema, name, path))
                if len(schema[name]) == 1 or not self._ends(part, referred)
            ]
            if options:
                # Beside a type of its own, alternatives mostly only say what is required.
                result = (
                    {"anyOf": [one for one in options if one is not False]}
                    if result in (True, {})
                    else result
                )
        read = {name: schema[name] for name in self._read if isinstance(schema.get(name), str)}
        return {**read, **({} if result is True else result)} if read and result is not False else result

    @staticmethod
    def _ends(schema: Any, referred: tuple[str, ...]) -> bool:
        """Tell whether a schema refers to what it lies in, once more than is followed."""
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        return isinstance(reference, str) and (reference == "#" or referred.count(reference) >= _FOLLOWED)

    def _plain(self, schema: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]) -> Any:
        """Return what a grammar holds of a schema's own keywords."""
        kept = {name: schema[name] for name in ("type", "enum", "const") if name in schema}
        if "enum" in kept or "const" in kept:
            return kept
        for kind, names in _KEPT.items():
            given = {name: schema[name] for name in names if name in schema}
            if not given or ("type" in kept and kind not in _list(kept["type"])):
                continue
            if "type" not in kept:
                kept["type"] = kind
            elif kept["type"] != kind and kind == "integer":
                continue  # bounds of one type among several
            kept.update(getattr(self, f"_{kind}")(given, path, depth, referred))
        return kept or True

    def _object(
        self, given: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]
    ) -> dict[str, Any]:
        properties, required = given.get("properties", {}), given.get("required", [])
        if isinstance(properties, dict) and isinstance(required, list):
            every = {
                **properties,
                **{name: True for name in required if isinstance(name, str) and name not in properties},
            }
            given["properties"] = {
                name: self.one(part, f"{path}.properties.{name}", depth + 1, referred)
                for name, part in every.items()
                if part is not False
            }
        further = given.get("additionalProperties")
        if isinstance(further, dict):
            given["additionalProperties"] = (
                True
                if given.get("properties")
                else self.one(further, f"{path}.additionalProperties", depth + 1, referred)
            )
        return given

    def _array(
        self, given: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]
    ) -> dict[str, Any]:
        parts = given.pop("prefixItems", None)
        low, high = given.get("minItems", 0), given.get("maxItems")
        if isinstance(parts, list) and parts:
            whole = isinstance(low, int) and low <= len(parts) and (high is None or high == len(parts))
            if whole:
                made = [
                    self.one(part, f"{path}.prefixItems[{number}]", depth + 1, referred)
                    for number, part in enumerate(parts)
                ]
                return {"prefixItems": made}
            given.pop("items", None)  # only some of the places, or places beyond them: looked at afterwards
        if self._ends(given.get("items"), referred) and not low:
            return {"maxItems": 0}
        if isinstance(given.get("items"), dict):
            given["items"] = self.one(given["items"], f"{path}.items", depth + 1, referred)
        if given.get("items") is False:
            given = {"maxItems": 0}
        return _within(given, "minItems", "maxItems")

    def _string(
        self, given: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]
    ) -> dict[str, Any]:
        del path, depth, referred
        if given.get("format") not in _FORMATS or len(given) > 1:
            given.pop("format", None)
        return _within(given, "minLength", "maxLength")

    def _integer(
        self, given: dict[str, Any], path: str, depth: int, referred: tuple[str, ...]
    ) -> dict[str, Any]:
        del path, depth, referred
        low, high = _whole_bounds(given)
        if low is not None and high is not None and 0 <= high - low < _LISTED:
            return {"enum": list(range(low, high + 1))}
        return {name: value for name, value in (("minimum", low), ("maximum", high)) if value is not None}


def _whole_bounds(given: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the least and the greatest whole number that four keywords allow; None for no bound, or one of no use."""

    def of(name: str) -> Any:
        value = given.get(name)
        return value if _is_number(value) and abs(value) < 10**15 else None

    low, above, high, below = (of(name) for name in _KEPT["integer"])
    lows = [math.ceil(low)] if low is not None else []
    lows += [math.floor(above) + 1] if above is not None else []
    highs = [math.floor(high)] if high is not None else []
    highs += [math.ceil(below) - 1] if below is not None else []
    return max(lows, default=None), min(highs, default=None)


def _several(schema: dict[str, Any], name: str, path: str) -> list[Any]:
    """Return the schemas of a list of them."""
    value = schema.get(name, [])
    if name in schema and (not isinstance(value, list) or not value):
        raise SchemaError(f"{path}.{name} is {shown(value)}; wanted a list that is not empty")
    return list(value)


def _within(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the bounds of a length with none higher than a grammar goes."""
    for name in names:
        value = given.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > MOST_REPEATS:
            given[name] = MOST_REPEATS
    return given


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _both(one: Any, other: Any) -> Any:
    """Return a schema that allows at least what both of two allow."""
    if one is True or one == {}:
        return other
    if other is True or other == {}:
        return one
    if not isinstance(one, dict) or not isinstance(other, dict) or "anyOf" in one:
        return one
    if "anyOf" in other or "enum" in one or "const" in one:
        return one
    if "enum" in other or "const" in other:
        return other
    merged = {**other, **one}
    if isinstance(one.get("properties"), dict) and isinstance(other.get("properties"), dict):
        merged["properties"] = {**other["properties"], **one["properties"]}
    if isinstance(one.get("required"), list) and isinstance(other.get("required"), list):
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    if merged.get("properties"):
        merged["additionalProperties"] = True
    return merged


_ASSERTIONS = frozenset(
    {
        *("type", "enum", "const", "$ref", "allOf", "anyOf", "oneOf", "not", "if"),
        *(name for names in _KEPT.values() for name in names if name != "format"),
        *("multipleOf", "pattern", "patternProperties", "propertyNames", "uniqueItems", "contains"),
        *("minProperties", "maxProperties"),
    }
)
"""Keywords that `shortcoming` looks at; the others are annotations."""
_BEYOND = frozenset(
    {
        *("not", "if", "multipleOf", "pattern", "patternProperties", "propertyNames", "uniqueItems"),
        *("contains", "minProperties", "maxProperties"),
    }
)
"""Those that no grammar holds."""


def held(schema: Any) -> bool:
    """Tell whether the grammar of the loosened schema holds all of it, so that no answer needs to be checked.

    A schema of which that is not plain counts as not held.

    Args:
        schema: a client's, that `loosened` has taken.
    """
    return _held(schema, schema, ())


def _held(schema: Any, root: Any, referred: tuple[str, ...]) -> bool:
    if not isinstance(schema, dict):
        return schema is True
    given = _ASSERTIONS.intersection(schema)
    if given & _BEYOND or len(referred) > MOST_DEPTH:
        return False

    def all_held(parts: Sequence[Any]) -> bool:
        return all(_held(part, root, referred) for part in parts)

    if "$ref" in given:
        reference = schema["$ref"]
        return (
            len(given) == 1
            and reference not in referred
            and _held(resolved(reference, root), root, (*referred, reference))
        )
    combined = given.intersection(("anyOf", "oneOf", "allOf"))
    if combined:
        (name, *_) = combined
        alone = len(given) == 1 and isinstance(schema[name], list)
        return alone and (name == "anyOf" or len(schema[name]) == 1) and all_held(schema[name])
    kinds = _list(schema["type"]) if "type" in given else []
    if given & {"enum", "const"}:
        values = [*(_list(schema.get("enum", []))), *([schema["const"]] if "const" in given else [])]
        return len(given - {"type"}) == 1 and (
            not kinds or all(any(is_of_type(value, kind) for kind in kinds) for value in values)
        )
    if given.intersection(_KEPT["integer"]) and kinds != ["integer"]:
        return False
    low = [schema.get(name, 0) for name in ("minLength", "minItems")]
    if any(not isinstance(one, int) or one > MOST_REPEATS for one in low):
        return False
    return _parts_held(schema, all_held)


def _parts_held(schema: dict[str, Any], all_held: Callable[[Sequence[Any]], bool]) -> bool:
    """Tell the same of what an object or a list holds."""
    properties, further = schema.get("properties", {}), schema.get("additionalProperties", True)
    if not isinstance(properties, dict) or (isinstance(further, dict) and properties):
        return False
    parts = [part for part in properties.values() if part is not False]
    parts += [further] if isinstance(further, dict) else []
    places, items = schema.get("prefixItems", []), schema.get("items", True)
    if places:
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        full = isinstance(places, list) and low <= len(places) and high in (None, len(places))
        # A list of such places has just these, whatever may follow.
        return full and all_held([*parts, *places])
    return all_held([*parts, *([items] if items is not False else [])])


# Regular expressions ----------------------------------------------------------------------------------------


def checked_pattern(pattern: Any, path: str) -> tuple[re.Pattern[str], int]:
    """Return a pattern to search with, and how long a text may be for that.

    Raises:
        SchemaError: when it is none, or could take for ever: a repetition inside of another one, or a choice.
    """
    if not isinstance(pattern, str) or len(pattern) > _MOST_PATTERN:
        raise SchemaError(f"{path} is {shown(pattern)}; wanted a text of up to {_MOST_PATTERN} characters")
    try:
        # In Python 3.10 a module of its own.
        parser = getattr(re, "_parser", None) or importlib.import_module("sre_parse")
        compiled = re.compile(pattern)
        repeats = _repeats(parser.parse(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise SchemaError(f"{path} is {shown(pattern)}, which is no regular expression: {error}") from error
    if repeats is None:
        raise SchemaError(
            f"{path} is {shown(pattern)}, which repeats a part with choices or repetitions in it, and could take for "
            "ever; write it without"
        )
    return compiled, int(_STEPS ** (1 / (repeats + 1)))


def _repeats(parsed: Any, *, inside: bool = False) -> int | None:
    """Return how many open repetitions a parsed expression has; None when one lies in another."""
    count = 0
    for operation, argument in parsed:
        name = str(operation)
        parts: list[Any] = []
        within = inside
        if "REPEAT" in name:
            low, high, part = argument
            fixed = int(low) == int(high)
            if inside and not fixed:
                return None
            within = inside or int(high) > 1
            count += not fixed and int(high) > 1
            parts = [part]
        elif name == "BRANCH":
            if inside:
                return None
            parts = argument[1]
        elif name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
            parts = [argument[-1]]
        elif "GROUPREF" in name or name == "ATOMIC_GROUP":
            return None
        for part in parts:
            found = _repeats(part, inside=within)
            if found is None:
                return None
            count += found
    return count


# What is wrong ----------------------------------------------------------------------------------------------


def shortcoming(
    value: Any, schema: Any, root: Any = None, path: str = "the answer", depth: int = 0
) -> str | None:
    """Return what is wrong with a value by its schema; None when it conforms.

    A keyword that is not known is an annotation; so is `format`.
    """
    root = schema if root is None else root
    if schema is False:
        return f"{path} is not allowed"
    if not isinstance(schema, dict) or depth > 4 * MOST_DEPTH:
        return None
    deeper = depth + 1
    if "$ref" in schema:
        found = shortcoming(value, resolved(schema["$ref"], root), root, path, deeper)
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


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are one: 1 is 1.0 and not true."""
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _of_values(value: Any, schema: dict[str, Any], path: str) -> str | None:
    kinds = _list(schema["type"]) if "type" in schema else []
    if kinds and not any(is_of_type(value, kind) for kind in kinds):
        return f"{path} is {shown(value)}, not of type {' or '.join(map(str, kinds))}"
    if "enum" in schema and not any(_same(value, one) for one in _list(schema["enum"])):
        return f"{path} is {shown(value)}, which is not in the enum"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{path} is {shown(value)}, not {shown(schema['const'])}"
    return None


def _of_numbers(value: Any, schema: dict[str, Any], path: str) -> str | None:
    if not _is_number(value):
        return None
    for name, holds in _BOUNDS.items():
        bound = schema.get(name)
        if _is_number(bound) and not holds(value, bound):
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
    if _is_number(low) and len(value) < low:
        return f"{path} has a length of {len(value)}; {least} is {low}"
    if _is_number(high) and len(value) > high:
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
        return f"{path} has {len(text)} characters, too many to compare with the pattern {shown(pattern)}"
    return (
        None
        if compiled.search(text)
        else f"{path} is {shown(text)}, which the pattern {shown(pattern)} is not in"
    )


def _of_lists(value: list[Any], schema: dict[str, Any], root: Any, path: str, depth: int) -> str | None:
    found = _length(value, schema, "minItems", "maxItems", path)
    if found:
        return found
    prefix = schema.get("prefixItems", [])
    prefix = prefix if isinstance(prefix, list) else []
    for number, item in enumerate(value):
        part = prefix[number] if number < len(prefix) else schema.get("items", True)
        found = shortcoming(item, part, root, f"{path}[{number}]", depth)
        if found:
            return found
    if schema.get("uniqueItems") is True:
        written = [json.dumps(item, sort_keys=True) for item in value]
        if len(set(written)) < len(written):
            return f"{path} has an item twice; uniqueItems is true"
    if "contains" in schema and not any(
        shortcoming(item, schema["contains"], root, path, depth) is None for item in value
    ):
        return f"{path} has no item as 'contains' has it"
    return None


def _of_objects(
    value: dict[str, Any], schema: dict[str, Any], root: Any, path: str, depth: int
) -> str | None:
    found = _length(value, schema, "minProperties", "maxProperties", path)
    if found:
        return found
    missing = [name for name in _list(schema.get("required", [])) if name not in value]
    if missing:
        return f"{path} has no {shown(missing[0])}"
    properties, patterns = _object_in(schema, "properties"), _object_in(schema, "patternProperties")
    for name, item in value.items():
        where = f"{path}.{name}"
        parts = [properties[name]] if name in properties else []
        parts += [part for pattern, part in patterns.items() if _matches(name, pattern, where) is None]
        for part in parts or [schema.get("additionalProperties", True)]:
            found = shortcoming(item, part, root, where, depth)
            if found:
                return found
        if "propertyNames" in schema:
            found = shortcoming(name, schema["propertyNames"], root, f"the name {shown(name)}", depth)
            if found:
                return found
    return None


def _object_in(schema: dict[str, Any], name: str) -> dict[str, Any]:
    value = schema.get(name)
    return value if isinstance(value, dict) else {}


def _of_parts(value: Any, schema: dict[str, Any], root: Any, path: str, depth: int) -> str | None:
    """Return what is wrong by the schemas inside of a schema that are about the same value."""

    def wrong(part: Any) -> str | None:
        return shortcoming(value, part, root, path, depth)

    for part in _list(schema.get("allOf", [])):
        found = wrong(part)
        if found:
            return found
    if "anyOf" in schema and all(wrong(part) for part in _list(schema["anyOf"])):
        return f"{path} is {shown(value)}, which no schema of 'anyOf' allows"
    if "oneOf" in schema and sum(wrong(part) is None for part in _list(schema["oneOf"])) != 1:
        return f"{path} is {shown(value)}, which not exactly one schema of 'oneOf' allows"
    if "not" in schema and wrong(schema["not"]) is None:
        return f"{path} is {shown(value)}, which 'not' forbids"
    if "if" in schema:
        return wrong(schema.get("then" if wrong(schema["if"]) is None else "else", True))
    return None
