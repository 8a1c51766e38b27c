"""Declarative checks for JSON that people write: every mistake found in one pass, each with its path.

A check is an object with `parse(value, path, problems)`: it returns the accepted value, or adds to `problems`
and returns None. It never raises, so one pass over a document finds all that is wrong with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import Problem
from pipeline.spelling import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

MISSING = "MissingField"
"""The name of the problem that a required field is not there."""


TOO_DEEP = "TooDeep"
"""The name of the problem that an object nests deeper than `DEEPEST`."""
DEEPEST = 64
"""Levels of a free object: what reads JSON by recursion, Python's own among it, gives up at some hundreds."""


class Check(Protocol):
    """Accepts or refuses one JSON value."""

    def parse(self, value: Any, path: str, problems: list[Problem]) -> Any:
        """Return the accepted value, or None after adding to `problems`."""

    @property
    def wanted(self) -> str:
        """What would be accepted, as the end of the sentence "wanted ..."."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string, whole against a pattern when one is given."""

    wanted: str = "a string that is not empty"
    pattern: str = r"(?s).+"
    max_length: int | None = None

    def parse(self, value: Any, path: str, problems: list[Problem]) -> str | None:
        """Return the string, or None with the reason in `problems`."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            return _refuse(self, value, path, problems)
        if self.max_length is not None and len(value) > self.max_length:
            return _refuse(self, value, path, problems)
        if not is_whole(value):
            problems.append(half(value, path))
            return None
        return value


def is_whole(text: str) -> bool:
    """Return whether a text has no half of a surrogate pair, which UTF-8, and so AWS, cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def half(text: str, where: str) -> Problem:
    """Return what is wrong with a text that is not whole."""
    fix = "write it in UTF-8; in JSON, a character beyond U+FFFF is a pair of escapes"
    seen = f"{_seen(where, text)}, which has half of a character"
    return Problem("WrongValue", seen, "text that UTF-8 can write", fix)


@dataclass(frozen=True, slots=True)
class Boolean:
    """JSON's true or false; a text that says so is none."""

    wanted: str = "true or false"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> bool | None:
        """Return the value, or None with the reason in `problems`."""
        return value if isinstance(value, bool) else _refuse(self, value, path, problems)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `low` to `high`, in steps of `step` from `low`; `why` tells of a bound that surprises."""

    low: int
    high: int
    step: int = 1
    why: str = ""

    @property
    def wanted(self) -> str:
        """The range in words."""
        steps = f" in steps of {self.step}" if self.step != 1 else ""
        why = f" ({self.why})" if self.why else ""
        return f"a whole number from {self.low} to {self.high}{steps}{why}"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> int | None:
        """Return the number, or None with the reason in `problems`."""
        if isinstance(value, bool) or not isinstance(value, int):
            return _refuse(self, value, path, problems)
        if not self.low <= value <= self.high or (value - self.low) % self.step:
            return _refuse(self, value, path, problems)
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number from `low` to `high`."""

    low: float
    high: float

    @property
    def wanted(self) -> str:
        """The range in words."""
        return f"a number from {self.low:g} to {self.high:g}"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> float | None:
        """Return the number, or None with the reason in `problems`."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not self.low <= value <= self.high
        ):
            return _refuse(self, value, path, problems)
        return value


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a closed set of strings."""

    values: tuple[str, ...]

    @property
    def wanted(self) -> str:
        """The set in words."""
        return "one of " + ", ".join(repr(value) for value in self.values)

    def parse(self, value: Any, path: str, problems: list[Problem]) -> str | None:
        """Return the value, or None with the reason in `problems`."""
        if value not in self.values:
            fix = did_you_mean(value, self.values, "") if isinstance(value, str) else ""
            return _refuse(self, value, path, problems, fix=fix)
        return str(value)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression in Python's syntax."""

    wanted: str = "a regular expression"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> str | None:
        """Return the expression, or None with the reason in `problems`."""
        try:
            re.compile(value)
        except (re.error, TypeError, RecursionError, OverflowError):
            return _refuse(self, value, path, problems)
        return str(value)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of `low` to `high` items, each accepted by `item`."""

    item: Check
    low: int = 0
    high: int = 100

    @property
    def wanted(self) -> str:
        """The list in words."""
        return f"a list of {self.low} to {self.high} items, each {self.item.wanted}"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> list[Any] | None:
        """Return the accepted items, or None with the reason in `problems`."""
        if not isinstance(value, list) or not self.low <= len(value) <= self.high:
            return _refuse(self, value, path, problems)
        return [self.item.parse(item, f"{path}[{n}]", problems) for n, item in enumerate(value)]


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """One object, or a list of up to `high` of them; one by itself is kept as it is when fields are merged."""

    item: Check
    high: int

    @property
    def wanted(self) -> str:
        """Both in words."""
        return f"{self.item.wanted}, or a list of at most {self.high}"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> list[Any] | None:
        """Return the accepted items as a list, or None with the reason in `problems`."""
        if isinstance(value, dict):
            return [self.item.parse(value, path, problems)]
        if not isinstance(value, list) or len(value) > self.high:
            return _refuse(self, value, path, problems)
        return [self.item.parse(item, f"{path}[{n}]", problems) for n, item in enumerate(value)]


@dataclass(frozen=True, slots=True)
class AnyObject:
    """Any JSON object, kept as it is."""

    wanted: str = "an object"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> dict[str, Any] | None:
        """Return the object, or None with the reason in `problems`."""
        if not isinstance(value, dict):
            return _refuse(self, value, path, problems)
        level: list[Any] = [value]
        for _ in range(DEEPEST):
            level = [inner for one in level for inner in _within(one)]
        if level:
            fix = f"flatten {path!r}"
            problems.append(
                Problem(TOO_DEEP, f"{path} nests more than {DEEPEST} levels", f"at most {DEEPEST}", fix)
            )
            return None
        return value


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object whose names are free: at most `high` of them, each accepted by `key`, its value by `item`."""

    key: Text
    item: Text
    high: int

    @property
    def wanted(self) -> str:
        """Both in words."""
        return (
            f"an object of at most {self.high} names, each {self.key.wanted}; its value: {self.item.wanted}"
        )

    def parse(self, value: Any, path: str, problems: list[Problem]) -> dict[str, Any] | None:
        """Return the accepted names and values, or None with the reason in `problems`."""
        if not isinstance(value, dict) or len(value) > self.high:
            return _refuse(self, value, path, problems)
        for name in value:
            if self.key.parse(name, path, []) is None:
                seen, fix = _seen(f"a name in {path}", name), f"change that name in {path!r}"
                problems.append(Problem("WrongValue", seen, self.key.wanted, fix))
            else:
                self.item.parse(value[name], f"{path}.{name}", problems)
        return value


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object: `required`, or with a default that is taken when it is absent or null."""

    check: Check
    meaning: str
    required: bool = False
    default: Any = None
    alias: str | None = None
    """The name that it had in an older release: taken as well, never proposed."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object with known fields; a field that is not known is a mistake, never silently dropped.

    A field's alias is taken for it; both are a mistake only where they contradict each other.
    """

    fields: dict[str, Field] = field(default_factory=dict)
    wanted: str = "an object"
    passed_over: frozenset[str] = frozenset()
    """Names that may stand there for other readers, and mean nothing here."""

    def parse(self, value: Any, path: str, problems: list[Problem]) -> dict[str, Any] | None:
        """Return the object with defaults filled in, or None with the reason in `problems`."""
        if not isinstance(value, dict):
            return _refuse(self, value, path, problems)
        aliases = self._aliases()
        problems.extend(
            self._unknown(str(name), path)
            for name in value
            if name not in self.fields and name not in aliases and name not in self.passed_over
        )
        parsed: dict[str, Any] = {}
        for name, known in self.fields.items():
            here = f"{path}.{name}" if path else name
            said = [one for one in (name, known.alias) if one and value.get(one) is not None]
            if said:
                parsed[name] = self._agreed(known.check, said, value, path, problems)
            elif known.required:
                problems.append(
                    Problem(MISSING, f"no {here!r}", known.check.wanted, f"add {here!r}: {known.meaning}")
                )
            else:
                parsed[name] = known.default
        return parsed

    def renamed(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return an object with the names of now in place of aliases; where it has both, what is not null."""
        aliases = self._aliases()
        made = {name: inner for name, inner in value.items() if name not in aliases}
        for alias, name in aliases.items():
            if alias in value and made.get(name) is None:
                made[name] = value[alias]
        return made

    def _aliases(self) -> dict[str, str]:
        return {known.alias: name for name, known in self.fields.items() if known.alias}

    def _agreed(
        self, check: Check, said: list[str], value: dict[str, Any], path: str, problems: list[Problem]
    ) -> Any:
        """Return the accepted value of a field that stands there under each of these names, the one of now first."""
        before = len(problems)
        paths = [f"{path}.{one}" if path else one for one in said]
        parsed = [check.parse(value[one], here, problems) for one, here in zip(said, paths, strict=True)]
        if len(problems) == before and parsed[0] != parsed[-1]:
            now, was = paths
            seen = f"{_seen(now, value[said[0]])}, and {_seen(f'{was}, its older name,', value[said[1]])}"
            fix = f"remove {was!r}, or make both the same"
            problems.append(Problem("TwoValues", seen, "one value", fix))
        return parsed[0]

    def _unknown(self, name: str, path: str) -> Problem:
        here = f"{path}.{name}" if path else name
        close = nearest(name, self.fields) or self._below(name)
        there = f"{path}.{close}" if path else close
        fix = f"did you mean {there!r}?" if close else f"remove {here!r}"
        return Problem("UnknownField", f"unknown field {here!r}", "one of " + ", ".join(self.fields), fix)

    def _below(self, name: str) -> str | None:
        """Return the field of that very name in an object of this one."""
        for outer, known in self.fields.items():
            check = known.check.item if isinstance(known.check, OneOrMore) else known.check
            if isinstance(check, Object) and name in check.fields:
                return f"{outer}.{name}"
        return None


def _within(value: Any) -> Iterable[Any]:
    """Return what a JSON value holds; nothing of one that is no object and no list."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse(check: Check, value: Any, path: str, problems: list[Problem], *, fix: str = "") -> None:
    change = f"change {path!r}" if path else f"make it {check.wanted}"
    problems.append(Problem("WrongValue", _seen(path or "the document", value), check.wanted, fix or change))


def _seen(what: str, value: Any) -> str:
    shown = repr(value)
    return f"{what} is {shown}" if len(shown) <= 120 else f"{what} is {shown[:117]}..."
