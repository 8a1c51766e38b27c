"""Whether a JSON schema says what its author means: each keyword in the form that it is judged in.

A keyword in another form is passed over by whoever judges an answer, so an expectation would hold of any. Pure. Refuses
to judge answers (`sealift_shortcoming` does), and leaves patterns and references to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from inference.sealift_shortcoming import NAMED_SCHEMAS, ONE_SCHEMA, SEVERAL_SCHEMAS, is_number
from pipeline import payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")
_UNJUDGED: Final = frozenset(
    {
        "$dynamicRef",
        "$recursiveRef",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "maxContains",
        "minContains",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords that forbid something, and that nobody here looks at."""

_NESTED: Final = frozenset({*ONE_SCHEMA, *SEVERAL_SCHEMAS, *NAMED_SCHEMAS})


class _Form(NamedTuple):
    wanted: str
    holds: Callable[[Any], bool]


def _is_schema(value: Any) -> bool:
    return isinstance(value, (dict, bool))


def _is_type(value: Any) -> bool:
    kinds = value if isinstance(value, list) and value else [value]
    return all(isinstance(one, str) and one in _TYPES for one in kinds)


def _is_count(value: Any) -> bool:
    return is_number(value) and value >= 0 and (isinstance(value, int) or value.is_integer())


def _of(keywords: str, wanted: str, holds: Callable[[Any], bool]) -> dict[str, _Form]:
    return dict.fromkeys(keywords.split(), _Form(wanted, holds))


_FORMS: Final = {
    **_of("type", f"one of {', '.join(_TYPES)}, or a list of them", _is_type),
    **_of("enum", "a list of values", lambda value: isinstance(value, list) and bool(value)),
    **_of(
        "required",
        "a list of names",
        lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    ),
    **_of("minimum maximum exclusiveMinimum exclusiveMaximum", "a number", is_number),
    **_of("multipleOf", "a number above 0", lambda value: is_number(value) and value > 0),
    **_of(
        "minLength maxLength minItems maxItems minProperties maxProperties",
        "a whole number from 0",
        _is_count,
    ),
    **_of("pattern", "a regular expression", lambda value: isinstance(value, str)),
    **_of("uniqueItems", "true or false", lambda value: isinstance(value, bool)),
    **_of(" ".join(ONE_SCHEMA), "a schema", _is_schema),
    **_of(
        "items",
        "a schema, or as in older drafts a list of them",
        lambda value: all(map(_is_schema, value)) if isinstance(value, list) else _is_schema(value),
    ),
    **_of(
        " ".join(SEVERAL_SCHEMAS),
        "a list of schemas",
        lambda value: isinstance(value, list) and bool(value) and all(map(_is_schema, value)),
    ),
    **_of(
        " ".join(NAMED_SCHEMAS),
        "an object that has a schema for each name",
        lambda value: isinstance(value, dict) and all(map(_is_schema, value.values())),
    ),
}


def mistakes(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield what is in another form than it is judged in, each with what was wanted; no deeper than it lies.

    Args:
        schema: one that is not nested deeper than Python calls.
        path: where it stands.
    """
    if not isinstance(schema, dict):
        return
    for name, value in schema.items():
        where = f"{path}.{name}"
        form = _FORMS.get(name)
        if name in _UNJUDGED:
            yield f"{where} is there, which is not judged", "a schema without it"
        elif form and not form.holds(value):
            yield f"{where} is {payload.cut(repr(value), 80)}", form.wanted
        elif name in _NESTED:
            for inner, part in _parts(value, where, by_name=name in NAMED_SCHEMAS):
                yield from mistakes(part, inner)


def _parts(value: Any, where: str, *, by_name: bool) -> Iterator[tuple[str, Any]]:
    """Yield the schemas of a keyword that holds one, a list, or one for each name."""
    if isinstance(value, list):
        yield from ((f"{where}[{number}]", part) for number, part in enumerate(value))
    elif by_name:
        yield from ((f"{where}.{name}", part) for name, part in value.items())
    else:
        yield where, value
