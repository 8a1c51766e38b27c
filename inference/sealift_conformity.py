"""What a grammar does not hold of a JSON schema: left out of the grammar, and checked when the answer is there.

Owns the first half: `loosened` allows at least what a schema allows, and `held` tells whether a grammar of that is all
of it. What is still wrong with a value says `sealift_shortcoming`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sealift_schema import MOST_NODES, MOST_REPEATS
from sealift_settings import shown
from sealift_shortcoming import (
    MOST_DEPTH,
    SchemaError,
    check_parts,
    is_number,
    is_of_type,
    places_of,
    resolved,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


def loosened(schema: Any, *, annotated: bool = False, checked: bool = True) -> Any:
    """Return a schema that a grammar can hold, without references, and that allows at least what this one does.

    Args:
        schema: a client's.
        annotated: whether titles and descriptions stay, which no grammar holds and a model may read.
        checked: whether a value is looked at by the whole schema afterwards, so that its patterns are run.

    Raises:
        SchemaError: when it is too large or too deep, has a pattern that cannot be checked, or a reference to nothing.
    """
    if checked:
        check_parts(schema, "schema")
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
            return _listed_values(kept)
        if isinstance(schema.get("items"), list):
            places, rest = places_of(schema)
            schema = {**schema, "prefixItems": places, "items": rest}
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


def _listed_values(kept: dict[str, Any]) -> dict[str, Any]:
    """Return the values that a schema lists, without those that its type or its `const` rules out beside them."""
    if "enum" not in kept or not isinstance(kept["enum"], list):
        return kept
    values, kinds = kept["enum"], _list(kept.get("type", []))
    if "const" in kept and any(same(kept["const"], value) for value in values):
        return {name: value for name, value in kept.items() if name != "enum"}
    fitting = [value for value in values if not kinds or any(is_of_type(value, kind) for kind in kinds)]
    return {**kept, "enum": fitting or values}


def _whole_bounds(given: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the least and the greatest whole number that four keywords allow; None for no bound, or one of no use."""

    def of(name: str) -> Any:
        value = given.get(name)
        return value if is_number(value) and abs(value) < 10**15 else None

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
    places, items = places_of(schema)
    if places:
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        full = low <= len(places) and high in (None, len(places))
        # A list of such places has just these, whatever may follow.
        return full and all_held([*parts, *places])
    return all_held([*parts, *([items] if items is not False else [])])
