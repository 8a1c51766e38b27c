"""CloudWatch Logs' filter patterns: which events one matches, and what its fields are in them. Pure.

    { ($.event = "answered") && ($.latency >= 0) }      events that are JSON objects
    [..., request = *.html*, status_code = 4*, bytes]   events of fields with spaces between
    "ERROR" -Exiting ?WARN                               any event

Of AWS's language what its guide describes
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html), without regular expressions,
without `*` in a selector, and without a condition on one field at another's place. Refuses a pattern that it cannot
read, as PutMetricFilter does; the text is OURS.
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST: Final = 1024
"""Characters of a pattern."""

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?")
_COMPARES: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class PatternRefused(ValueError):
    """A pattern that cannot be read."""


class FilterPattern(Protocol):
    """What a pattern means."""

    def match(self, message: str) -> Fields | None:
        """Return the fields of an event that matches, None of one that does not."""


class Fields(Protocol):
    """An event that a pattern matches."""

    def value(self, selector: str) -> str | None:
        """Return what a selector (`$.field`, `$field`) finds in it, as text; None when there is nothing."""


@cache
def parse(pattern: str) -> FilterPattern:
    """Return what a pattern means.

    Raises:
        PatternRefused: when it is none.
    """
    if len(pattern) > MOST:
        raise PatternRefused(f"the pattern has {len(pattern)} characters; at most {MOST} are taken")
    text = pattern.strip()
    if text.startswith("{"):
        return _Parser(text).document()
    if text.startswith("["):
        return _columns(text)
    return _terms(text)


# Events that are JSON ----------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<selector>\$(?:\.[A-Za-z0-9_-]+|\[\d+\])+)
      | (?P<word>IS\s+(?:NULL|TRUE|FALSE)|NOT\s+EXISTS)
      | (?P<sign>&&|\|\||!=|<=|>=|[=<>(){}])
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<bare>[^\s"(){}=<>!&|$]+)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _JsonFields:
    document: Any

    def value(self, selector: str) -> str | None:
        found = _found(self.document, selector)
        if isinstance(found, bool) or found is None or isinstance(found, (dict, list)):
            return None
        return str(found)


@dataclass(frozen=True, slots=True)
class _Json:
    holds: Callable[[Any], bool]

    def match(self, message: str) -> Fields | None:
        try:
            document = json.loads(message)
        except ValueError:
            return None
        return _JsonFields(document) if isinstance(document, dict) and self.holds(document) else None


_ABSENT: Final = object()


def _found(document: Any, selector: str) -> Any:
    for name, index in re.findall(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]", selector):
        if name:
            document = document.get(name, _ABSENT) if isinstance(document, dict) else _ABSENT
        else:
            inside = isinstance(document, list) and int(index) < len(document)
            document = document[int(index)] if inside else _ABSENT
    return None if document is _ABSENT else document


def _exists(document: Any, selector: str) -> bool:
    marked = re.findall(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]", selector)
    *above, (name, index) = marked
    for each, at in above:
        if each:
            document = document.get(each) if isinstance(document, dict) else None
        else:
            document = document[int(at)] if isinstance(document, list) and int(at) < len(document) else None
    if name:
        return isinstance(document, dict) and name in document
    return isinstance(document, list) and int(index) < len(document)


class _Parser:
    """`{ ... }` by descent: parentheses, then `&&`, then `||`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if not found or found.lastgroup is None:
                raise PatternRefused(f"{text[at : at + 20]!r} is not understood in the pattern {text!r}")
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self._at = 0

    def document(self) -> FilterPattern:
        self._take("{")
        holds = self._either()
        self._take("}")
        if self._at < len(self._tokens):
            raise PatternRefused(f"something follows the last brace of the pattern {self._text!r}")
        return _Json(holds)

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self, *wanted: str) -> str:
        kind, text = self._next()
        if (text if kind == "sign" else kind) not in wanted:
            raise PatternRefused(f"{text!r} in the pattern {self._text!r}; wanted {' or '.join(wanted)}")
        self._at += 1
        return text

    def _either(self) -> Callable[[Any], bool]:
        parts = [self._both()]
        while self._next() == ("sign", "||"):
            self._at += 1
            parts.append(self._both())
        return lambda document: any(part(document) for part in parts)

    def _both(self) -> Callable[[Any], bool]:
        parts = [self._one()]
        while self._next() == ("sign", "&&"):
            self._at += 1
            parts.append(self._one())
        return lambda document: all(part(document) for part in parts)

    def _one(self) -> Callable[[Any], bool]:
        if self._next() == ("sign", "("):
            self._at += 1
            holds = self._either()
            self._take(")")
            return holds
        selector = self._take("selector")
        kind, text = self._next()
        if kind == "word":
            self._at += 1
            return _word(selector, " ".join(text.split()))
        compared = self._take(*_COMPARES)
        wanted = self._take("quoted", "bare")
        _text_compares("", compared, wanted)
        return lambda document: _compares(_found(document, selector), compared, wanted)


def _word(selector: str, word: str) -> Callable[[Any], bool]:
    if word == "NOT EXISTS":
        return lambda document: not _exists(document, selector)
    wanted = {"IS NULL": None, "IS TRUE": True, "IS FALSE": False}[word]
    return lambda document: _exists(document, selector) and _found(document, selector) is wanted


def _compares(value: Any, compared: str, wanted: str) -> bool:
    """Return whether a value is as wanted; one that is no text and no number never is."""
    if value is None or isinstance(value, (bool, dict, list)):
        return False
    return _text_compares(str(value), compared, wanted)


def _text_compares(value: str, compared: str, wanted: str) -> bool:
    quoted = wanted.startswith('"')
    if not quoted and _NUMBER.fullmatch(wanted):
        numeric = _NUMBER.fullmatch(value) is not None
        return _COMPARES[compared](float(value), float(wanted)) if numeric else compared == "!="
    if compared not in ("=", "!="):
        raise PatternRefused(f"{compared} {wanted}: a text is equal or not")
    text = re.sub(r"\\(.)", r"\1", wanted[1:-1]) if quoted else wanted
    # Wherever else an asterisk stands it is one.
    begins, ends = text.endswith("*"), text.startswith("*")
    core = text.strip("*") if begins or ends else text
    if begins and ends:
        like = core in value
    elif begins:
        like = value.startswith(core)
    elif ends:
        like = value.endswith(core)
    else:
        like = value == core
    return like == (compared == "=")


# Events of fields --------------------------------------------------------------------------------------------

_FIELD: Final = re.compile(r'"([^"]*)"|\[([^\]]*)\]|(\S+)')
_CONDITION: Final = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*(!=|<=|>=|=|<|>)\s*("[^"]*"|[^\s"&|]+)\s*')


@dataclass(frozen=True, slots=True)
class _NamedFields:
    named: Mapping[str, str]

    def value(self, selector: str) -> str | None:
        return self.named.get(selector.removeprefix("$"))


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    holds: tuple[tuple[tuple[str, str], ...], ...] = ()
    """Alternatives of conditions: operator and what is wanted."""

    def suits(self, value: str) -> bool:
        return not self.holds or any(
            all(_text_compares(value, *condition) for condition in together) for together in self.holds
        )


@dataclass(frozen=True, slots=True)
class _Columns:
    before: tuple[_Column, ...]
    after: tuple[_Column, ...] | None
    """Those behind an ellipsis; None without one."""

    def match(self, message: str) -> Fields | None:
        values = [next(filter(None, found.groups()), "") for found in _FIELD.finditer(message)]
        after = self.after or ()
        known = len(self.before) + len(after)
        if len(values) < known or (self.after is None and len(values) > known):
            return None
        pairs = [
            *zip(self.before, values, strict=False),
            *zip(after, values[len(values) - len(after) :], strict=True),
        ]
        if not all(column.suits(value) for column, value in pairs):
            return None
        return _NamedFields({column.name: value for column, value in pairs if column.name})


def _columns(text: str) -> FilterPattern:
    if not text.endswith("]"):
        raise PatternRefused(f"the pattern {text!r} has no last bracket")
    parts = [part.strip() for part in text[1:-1].split(",")]
    if parts.count("...") > 1:
        raise PatternRefused(f"the pattern {text!r} has more than one ellipsis")
    if "..." not in parts:
        return _Columns(tuple(map(_column, parts)), None)
    at = parts.index("...")
    return _Columns(tuple(map(_column, parts[:at])), tuple(map(_column, parts[at + 1 :])))


def _column(text: str) -> _Column:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|", text):
        return _Column(text)
    name, alternatives = "", []
    for alternative in text.split("||"):
        together = []
        for condition in alternative.split("&&"):
            found = _CONDITION.fullmatch(condition)
            if not found or (name and found[1] != name):
                raise PatternRefused(f"{text!r} is no field of a pattern")
            name = found[1]
            _text_compares("", found[2], found[3])
            together.append((found[2], found[3]))
        alternatives.append(tuple(together))
    return _Column(name, tuple(alternatives))


# Any event ---------------------------------------------------------------------------------------------------

_TERM: Final = re.compile(r'\s*([-?]?)("[^"]+"|[A-Za-z0-9_]+)')


@dataclass(frozen=True, slots=True)
class _Terms:
    all_of: tuple[str, ...]
    none_of: tuple[str, ...]
    any_of: tuple[str, ...]

    def match(self, message: str) -> Fields | None:
        good = all(term in message for term in self.all_of)
        good = good and not any(term in message for term in self.none_of)
        good = good and (not self.any_of or any(term in message for term in self.any_of))
        return _NamedFields({}) if good else None


def _terms(text: str) -> FilterPattern:
    found: dict[str, list[str]] = {"": [], "-": [], "?": []}
    at = 0
    while at < len(text):
        term = _TERM.match(text, at)
        if not term:
            raise PatternRefused(f"{text[at:]!r} is no term of a pattern; put quotes around it")
        found[term[1]].append(term[2].strip('"'))
        at = term.end()
    return _Terms(tuple(found[""]), tuple(found["-"]), tuple(found["?"]))
