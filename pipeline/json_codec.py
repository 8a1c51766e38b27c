"""JSON as typed data and back, by type hints: what a task is handed, what it hands on, and what was stored.

Owns what counts as the JSON of a type. A dataclass is closed: a field that it does not know, or that is not there, is a
mistake. A TypedDict is open: it names what is read of a larger object, and the rest stays as it came. Refuses to check
what people write (`pipeline.schema` does, with bounds and advice), and to know any type of ours.
"""

from __future__ import annotations

import dataclasses
import types
from functools import cache
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

T = TypeVar("T")

UNSAID: Final = "unsaid"
"""In a field's metadata: a field that has its default is left out of the JSON."""

_NAMES: Final = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
    list: "a list",
    tuple: "a list",
}


@dataclasses.dataclass(frozen=True, slots=True)
class OlderName:
    """In a field's hint, `Annotated[bool, OlderName("name")]`: the name that the field had in an older release."""

    name: str


def unsaid(default: Any) -> Any:
    """Return a dataclass's field that is left out of the JSON while it has its default."""
    return dataclasses.field(default=default, metadata={UNSAID: True})


class Mismatch(ValueError):
    """JSON that is not what a type says."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self.found = tuple(found)
        """What was seen, and what was wanted, of every mistake."""
        super().__init__("; ".join(f"{seen}, wanted {wanted}" for seen, wanted in found))


def decode(kind: type[T], value: Any) -> T:
    """Return JSON as a type: dataclasses, TypedDicts, and what they are made of.

    Args:
        kind: the type. Its hints are evaluated, so whatever they name must be imported when it runs.
        value: the JSON, as `json.loads` returns it.

    Raises:
        Mismatch: with every field that is missing, unknown or of another type.
    """
    found: list[tuple[str, str]] = []
    made: T = _decode(kind, value, "", found)
    if found:
        raise Mismatch(found)
    return made


def encode(value: Any) -> Any:
    """Return typed data as JSON: dataclasses become objects with their fields in order, tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            one.name: encode(getattr(value, one.name))
            for one in dataclasses.fields(value)
            if not (one.metadata.get(UNSAID) and getattr(value, one.name) == one.default)
        }
    if isinstance(value, dict):
        return {name: encode(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encode(inner) for inner in value]
    return value


def keys(kind: type) -> tuple[str, ...]:
    """Return the names of a type's fields in order; nothing is evaluated."""
    if dataclasses.is_dataclass(kind):
        return tuple(one.name for one in dataclasses.fields(kind))
    return tuple(kind.__annotations__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    kind: Any
    required: bool
    alias: str | None = None


@cache
def _fields(kind: type) -> dict[str, _Field]:
    hints = get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return {
            one.name: _field(hints[one.name], required=_has_no_default(one))
            for one in dataclasses.fields(kind)
        }
    optional = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    return {
        name: _field(get_args(hint)[0] if name in optional else hint, required=name not in optional)
        for name, hint in hints.items()
    }


def _field(hint: Any, *, required: bool) -> _Field:
    if get_origin(hint) is not Annotated:
        return _Field(hint, required)
    kind, alias = get_args(hint)
    return _Field(kind, required, alias.name)


def _has_no_default(one: dataclasses.Field[Any]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _decode(kind: Any, value: Any, path: str, found: list[tuple[str, str]]) -> Any:
    if kind is Any or kind is object:
        return value
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(kind), value, path, found)
    if origin is Literal:
        values = get_args(kind)
        return value if value in values else _refuse(path, value, " or ".join(map(repr, values)), found)
    if dataclasses.is_dataclass(kind) or is_typeddict(kind):
        return _object(kind, value, path, found)
    return _plain(kind, origin or kind, value, path, found)


def _object(kind: Any, value: Any, path: str, found: list[tuple[str, str]]) -> Any:
    if not isinstance(value, dict):
        return _refuse(path, value, "an object", found)
    fields, before = _fields(kind), len(found)
    closed = dataclasses.is_dataclass(kind)
    parts, unknown = {}, dict(value)
    for name, known in fields.items():
        said = known.alias if known.alias and known.alias in value and name not in value else name
        if said in value:
            parts[name] = _decode(known.kind, unknown.pop(said), _below(path, said), found)
        elif known.required:
            found.append((f"no {_below(path, name)!r}", f"a field of {kind.__name__}"))
    if not closed:
        return {**{name: value[name] for name in value if name in fields or name in unknown}, **parts}
    found.extend(
        (f"unknown field {_below(path, name)!r}", f"the fields of {kind.__name__}") for name in unknown
    )
    return kind(**parts) if len(found) == before else None


def _one_of(kinds: tuple[Any, ...], value: Any, path: str, found: list[tuple[str, str]]) -> Any:
    """Return a value as the first of several types that it is; told are the mistakes as the last that may be meant."""
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    tried: list[tuple[str, str]] = []
    for kind in others:
        tried = []
        made = _decode(kind, value, path, tried)
        if not tried:
            return made
    found.extend(tried)
    return None


def _plain(kind: Any, origin: Any, value: Any, path: str, found: list[tuple[str, str]]) -> Any:
    wanted = _NAMES.get(origin)
    if wanted is None:
        raise TypeError(
            f"{path or 'the document'}: no JSON is {kind!r}; use a dataclass, a TypedDict or JSON's own"
        )
    fits = isinstance(value, _accepted(origin)) and (origin is bool or not isinstance(value, bool))
    if not fits:
        return _refuse(path, value, wanted, found)
    arguments = get_args(kind)
    if origin is dict and arguments:
        return {
            name: _decode(arguments[1], inner, _below(path, name), found) for name, inner in value.items()
        }
    if origin in (list, tuple):
        inner = arguments[0] if arguments else Any
        return origin(_decode(inner, one, f"{path}[{n}]", found) for n, one in enumerate(value))
    return value


def _accepted(origin: Any) -> Any:
    """Return what JSON has for a type: a number may be a whole one, a tuple is a list."""
    return {float: (int, float), tuple: list}.get(origin, origin)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _refuse(path: str, value: Any, wanted: str, found: list[tuple[str, str]]) -> None:
    shown = repr(value)
    found.append((f"{path or 'the document'} is {shown if len(shown) <= 60 else shown[:57] + '...'}", wanted))
