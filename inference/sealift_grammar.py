"""Grammars that a request itself brings: a text in llama.cpp's form, a regular expression, or a list of choices.

Owns which of them llama.cpp is given, and in what words: a client's text is read here and written anew, so that nothing
of it reaches llama.cpp's own reader. llama.cpp follows every way in which a grammar can read what was generated, each
on a stack of its own, within one call that nothing can interrupt; a grammar that can be read in many ways takes all
memory, one that begins with itself does not end, and an exception in the middle of it ends the process. So a grammar is
taken where the number of ways is bounded by its size, which holds for two kinds:

    without recursion   as large as it is when everything in it is written out
    with recursion      where the next character always tells how to go on (LL(1)), but within choices that end before
                        whatever follows them could be one of their characters

Refuses to know a schema: llama.cpp's own converter makes grammars of those.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Tuple, Union

from sealift_settings import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_CHARACTERS = 32_768
"""Of a grammar's text, a regular expression, or all choices together."""
MOST_CHOICES = 500
MOST_DEPTH = 48
"""Brackets within brackets."""
MOST_REPEATS = 500
MOST_ELEMENTS = 8000
"""Of a grammar, its repetitions written out."""
MOST_WAYS = 256
"""Elements of a grammar without recursion, or of a choice within one with it, all written out: so many
ways there are at most. llama.cpp compares each with all others, for every token."""
MOST_LETTERS = 4000
"""Of all choices together."""
_LAST = 0x10FFFF

Ranges = Tuple[Tuple[int, int], ...]
"""The first and the last of each run of characters, in order and apart."""


class GrammarError(ValueError):
    """A grammar that is wrong or that is not taken; the message says where and why."""


@dataclass(frozen=True)
class Characters:
    """One character of some."""

    ranges: Ranges


@dataclass(frozen=True)
class Reference:
    """What another rule says."""

    name: str


@dataclass(frozen=True)
class Row:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repetition:
    """The same again and again."""

    part: Node
    low: int
    high: int | None
    """None for no bound."""


Node = Union[Characters, Reference, Row, Choice, Repetition]
EMPTY = Row(())


def of_text(text: str) -> str:
    """Return a grammar in llama.cpp's form, read and written anew.

    Raises:
        GrammarError: when it is wrong, or not taken.
    """
    if len(text) > MOST_CHARACTERS:
        raise GrammarError(f"the grammar has {len(text)} characters; wanted {MOST_CHARACTERS} at most")
    rules = _Reader(text).rules()
    if "root" not in rules:
        raise GrammarError(f"the grammar has the rules {shown(list(rules))}; wanted one of the name 'root'")
    for name, node in rules.items():
        for reference in _references(node):
            if reference not in rules:
                raise GrammarError(f"rule {name!r} refers to {reference!r}, which is no rule")
    return _checked(rules)


def of_choices(choices: Sequence[str]) -> str:
    """Return the grammar of one of several texts.

    Raises:
        GrammarError: when they are too many or too long.
    """
    if len(choices) > MOST_CHOICES or sum(map(len, choices)) > MOST_LETTERS:
        raise GrammarError(
            f"{len(choices)} choices of {sum(map(len, choices))} characters; wanted at most {MOST_CHOICES} of "
            f"{MOST_LETTERS} characters together"
        )
    return _checked({"root": _branching(sorted(set(choices)), 0)})


def _branching(choices: list[str], depth: int) -> Node:
    """Return choices in order as what they begin with in common and a choice of what follows: each letter decides."""
    if depth > MOST_DEPTH:
        raise GrammarError(f"the choices part from one another more than {MOST_DEPTH} times")
    first, last = choices[0], choices[-1]
    shared = next((n for n, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))  # noqa: B905 one may be longer
    groups: dict[str, list[str]] = {}
    for choice in choices:
        groups.setdefault(choice[shared : shared + 1], []).append(choice[shared:])
    if len(groups) == 1:
        return _literal(first)
    ends = [_literal("")] if "" in groups else []
    parts = [_branching(group, depth + 1) for letter, group in groups.items() if letter]
    return Row((*_characters(first[:shared]), Choice((*parts, *ends))))


def of_pattern(pattern: str) -> str:
    """Return the grammar of a regular expression in Python's words, which a whole answer has to match.

    Raises:
        GrammarError: when it is wrong, too large, or has what no grammar holds.
    """
    if len(pattern) > MOST_CHARACTERS:
        raise GrammarError(f"the pattern has {len(pattern)} characters; wanted {MOST_CHARACTERS} at most")
    try:
        parsed = _sre().parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise GrammarError(f"{shown(pattern)} is no regular expression: {error}") from error
    if parsed.state.flags & (re.IGNORECASE | re.MULTILINE | re.VERBOSE):
        raise GrammarError(f"{shown(pattern)} has flags; wanted none")
    return _checked({"root": _of_parsed(list(parsed), whole=True)})


# What is not taken ------------------------------------------------------------------------------------------


def _checked(rules: dict[str, Node]) -> str:
    """Return the text of a grammar that is taken."""
    grammar = _Grammar({name: rules[name] for name in _used(rules)})
    grammar.check()
    return _written(grammar.rules)


def _used(rules: dict[str, Node]) -> list[str]:
    """Return the rules that count, the root first."""
    found, waiting = ["root"], ["root"]
    while waiting:
        for name in _references(rules[waiting.pop()]):
            if name not in found:
                found.append(name)
                waiting.append(name)
    return found


def _references(node: Node) -> Iterator[str]:
    if isinstance(node, Reference):
        yield node.name
    for part in _parts(node):
        yield from _references(part)


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, (Row, Choice)):
        return node.parts
    return (node.part,) if isinstance(node, Repetition) else ()


@dataclass
class _Grammar:
    """Rules, and what can be known of them."""

    rules: dict[str, Node]
    _nullable: set[str] = field(default_factory=set)
    """Those that may be nothing."""
    _first: dict[str, Ranges] = field(default_factory=dict)
    """The characters that each may begin with."""
    _follow: dict[str, Ranges] = field(default_factory=dict)
    """Those that may follow it."""
    _recursive: set[str] = field(default_factory=set)
    """Those that contain themselves."""

    def check(self) -> None:
        """Look whether llama.cpp may be given it.

        Raises:
            GrammarError: it may not.
        """
        elements = sum(map(_elements, self.rules.values()))
        if elements > MOST_ELEMENTS:
            raise GrammarError(
                f"the grammar has {elements} elements, its repetitions written out; wanted {MOST_ELEMENTS} at most"
            )
        self._find_nullable()
        self._check_left()
        for name, node in self.rules.items():
            self._check_repetitions(name, node)
        self._recursive = {name for name in self.rules if name in self._reached(self.rules[name])}
        ways = None if self._recursive else self._ways(self.rules["root"], MOST_WAYS)
        if ways is not None and ways <= MOST_WAYS:
            return
        self._find_first()
        self._find_follow()
        for name, node in self.rules.items():
            self._check_choices(name, node, self._follow[name])

    def nullable(self, node: Node) -> bool:
        """Return whether it may be nothing."""
        if isinstance(node, Reference):
            return node.name in self._nullable
        if isinstance(node, Repetition):
            return not node.low or self.nullable(node.part)
        if isinstance(node, Row):
            return all(map(self.nullable, node.parts))
        return isinstance(node, Choice) and any(map(self.nullable, node.parts))

    def first(self, node: Node) -> Ranges:
        """Return the characters that it may begin with."""
        if isinstance(node, Characters):
            return node.ranges
        if isinstance(node, Reference):
            return self._first.get(node.name, ())
        if isinstance(node, Repetition):
            return self.first(node.part)
        found: list[tuple[int, int]] = []
        for part in node.parts:
            found += self.first(part)
            if isinstance(node, Row) and not self.nullable(part):
                break
        return joined(found)

    def _find_nullable(self) -> None:
        changed = True
        while changed:
            more = {name for name, node in self.rules.items() if self.nullable(node)}
            changed, self._nullable = more != self._nullable, more

    def _check_left(self) -> None:
        """Refuse a rule that may begin with itself: it would be followed for ever."""
        begins = {name: set(self._left(node)) for name, node in self.rules.items()}
        for name in self.rules:
            reached, waiting = set(begins[name]), list(begins[name])
            while waiting:
                further = begins[waiting.pop()] - reached
                reached |= further
                waiting += further
            if name in reached:
                raise GrammarError(f"rule {name!r} may begin with itself; write it as a repetition")

    def _left(self, node: Node) -> Iterator[str]:
        if isinstance(node, Reference):
            yield node.name
        for part in _parts(node):
            yield from self._left(part)
            if isinstance(node, Row) and not self.nullable(part):
                break

    def _check_repetitions(self, name: str, node: Node) -> None:
        if isinstance(node, Repetition) and node.high != 1 and self.nullable(node.part):
            raise GrammarError(f"rule {name!r} repeats what may be nothing; let it be something each time")
        for part in _parts(node):
            self._check_repetitions(name, part)

    def _reached(self, node: Node) -> set[str]:
        found: set[str] = set()
        waiting = list(_references(node))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += _references(self.rules[name])
        return found

    def _ways(self, node: Node, most: int) -> int:
        """Return how many elements it has with all in it written out; no more than a little above the bound."""
        sizes: dict[str, int] = {}

        def of(one: Node) -> int:
            if isinstance(one, Characters):
                return 1
            if isinstance(one, Reference):
                if one.name not in sizes:
                    sizes[one.name] = of(self.rules[one.name])
                return sizes[one.name]
            if isinstance(one, Repetition):
                return min(most + 1, of(one.part) * max(1, one.low if one.high is None else one.high))
            return min(most + 1, sum(map(of, one.parts)))

        return of(node)

    def _find_first(self) -> None:
        changed = True
        while changed:
            more = {name: self.first(node) for name, node in self.rules.items()}
            changed, self._first = more != self._first, more

    def _find_follow(self) -> None:
        found: dict[str, list[tuple[int, int]]] = {name: [] for name in self.rules}
        self._follow = dict.fromkeys(self.rules, ())
        changed = True
        while changed:
            for name, node in self.rules.items():
                self._give_follow(node, self._follow[name], found)
            more = {name: joined(ranges) for name, ranges in found.items()}
            changed, self._follow = more != self._follow, more
            found = {name: list(ranges) for name, ranges in more.items()}

    def _give_follow(self, node: Node, after: Ranges, found: dict[str, list[tuple[int, int]]]) -> None:
        if isinstance(node, Reference):
            found[node.name] += after
        elif isinstance(node, Repetition):
            again = joined([*after, *self.first(node.part)]) if node.high != 1 else after
            self._give_follow(node.part, again, found)
        elif isinstance(node, Choice):
            for part in node.parts:
                self._give_follow(part, after, found)
        elif isinstance(node, Row):
            for part, follows in zip(node.parts, self._followers(node, after), strict=True):
                self._give_follow(part, follows, found)

    def _followers(self, node: Row, after: Ranges) -> list[Ranges]:
        """Return what may follow each part of a sequence."""
        found = []
        for part in reversed(node.parts):
            found.append(after)
            after = joined([*self.first(part), *(after if self.nullable(part) else ())])
        return found[::-1]

    def _check_choices(self, name: str, node: Node, after: Ranges) -> None:
        """Refuse what the next character does not decide."""
        if isinstance(node, Choice):
            if self._undecided(node, after) and not self._ends_alone(node, after):
                raise GrammarError(_UNDECIDED.format(name=name, what="choices begin alike"))
            for part in node.parts:
                self._check_choices(name, part, after)
        elif isinstance(node, Repetition):
            if node.high != node.low and _meet(self.first(node.part), after):
                raise GrammarError(
                    _UNDECIDED.format(name=name, what="a repetition may go on or end with the same character")
                )
            again = joined([*after, *self.first(node.part)]) if node.high != 1 else after
            self._check_choices(name, node.part, again)
        elif isinstance(node, Row):
            for part, follows in zip(node.parts, self._followers(node, after), strict=True):
                self._check_choices(name, part, follows)

    def _undecided(self, node: Choice, after: Ranges) -> bool:
        seen: list[tuple[int, int]] = []
        nothing = 0
        for part in node.parts:
            if _meet(self.first(part), joined(seen)):
                return True
            seen += self.first(part)
            nothing += self.nullable(part)
        return nothing > 1 or bool(nothing and _meet(joined(seen), after))

    def _ends_alone(self, node: Choice, after: Ranges) -> bool:
        """Return whether a choice is small and is over before anything that follows it may begin."""
        if self.nullable(node) or self._recursive & {*_references(node), *self._reached(node)}:
            return False
        ways = self._ways(node, MOST_WAYS)
        return ways <= MOST_WAYS and not _meet(joined(self._all(node)), after)

    def _all(self, node: Node) -> Iterator[tuple[int, int]]:
        """Give all characters in it; it has no recursion."""
        if isinstance(node, Characters):
            yield from node.ranges
        elif isinstance(node, Reference):
            yield from self._all(self.rules[node.name])
        for part in _parts(node):
            yield from self._all(part)


_UNDECIDED = (
    "in rule {name!r} {what}, in a grammar that is recursive or large: it might be read in more ways than there is "
    "memory for; let each begin with a character of its own, or send a 'response_format'"
)


def _elements(node: Node) -> int:
    if isinstance(node, Repetition):
        return 1 + _elements(node.part) * max(1, node.low if node.high is None else node.high)
    return 1 + sum(map(_elements, _parts(node)))


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return runs of characters in order and apart."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def others(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return all other characters."""
    found, begin = [], 0
    for low, high in joined(ranges):
        if begin < low:
            found.append((begin, low - 1))
        begin = high + 1
    return (*found, (begin, _LAST)) if begin <= _LAST else tuple(found)


def _meet(one: Ranges, other: Ranges) -> bool:
    """Return whether two sets of characters have one in common."""
    a = b = 0
    while a < len(one) and b < len(other):
        if one[a][0] <= other[b][1] and other[b][0] <= one[a][1]:
            return True
        if one[a][1] < other[b][1]:
            a += 1
        else:
            b += 1
    return False


# Writing ----------------------------------------------------------------------------------------------------


def _written(rules: dict[str, Node]) -> str:
    return _Writer(rules).text()


class _Writer:
    """Writes rules in llama.cpp's form, each character by its code.

    What repeats becomes a rule of its own: llama.cpp counts the rules that it makes for brackets within brackets, and
    takes no more than 2000 of them.
    """

    def __init__(self, rules: dict[str, Node]) -> None:
        self._rules = rules
        self._names = {name: f"r{number}" if number else "root" for number, name in enumerate(rules)}
        self._more: list[str] = []

    def text(self) -> str:
        """Return all of them."""
        lines = [f"{self._names[name]} ::= {self._said(node)}" for name, node in self._rules.items()]
        return "\n".join([*lines, *self._more])

    def _said(self, node: Node, *, inside: bool = False) -> str:
        if isinstance(node, Characters):
            runs = (f"{_code(low)}-{_code(high)}" if high > low else _code(low) for low, high in node.ranges)
            return f"[{''.join(runs)}]"
        if isinstance(node, Reference):
            return self._names[node.name]
        if isinstance(node, Repetition):
            return f"{self._named(node.part)}{{{node.low},{'' if node.high is None else node.high}}}"
        if not node.parts:
            return '""'
        if isinstance(node, Row):
            return " ".join(self._said(part, inside=True) for part in node.parts)
        text = " | ".join(self._said(part) for part in node.parts)
        return f"({text})" if inside else text

    def _named(self, node: Node) -> str:
        if isinstance(node, (Characters, Reference)):
            return self._said(node)
        text = self._said(node)
        self._more.append(f"p{len(self._more)} ::= {text}")
        return self._more[-1].partition(" ")[0]


def _code(character: int) -> str:
    return f"\\U{character:08X}"


def _literal(text: str) -> Node:
    return Row(_characters(text))


def _characters(text: str) -> tuple[Characters, ...]:
    return tuple(Characters(((ord(one), ord(one)),)) for one in text)


# Reading ----------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_COUNT = re.compile(r"\{[ \t]*(\d{1,6})[ \t]*(?:(,)[ \t]*(\d{1,6})?[ \t]*)?\}")
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-", "^": "^"}
_DIGITS = {"x": 2, "u": 4, "U": 8}


class _Reader:
    """Reads llama.cpp's form of a grammar (grammars/README.md), but for tokens in the place of characters."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._depth = 0

    def rules(self) -> dict[str, Node]:
        """Return the rules by their names."""
        found: dict[str, Node] = {}
        self._skip(_LINES)
        while self._at < len(self._text):
            name = self._word("the name of a rule")
            self._skip(_SPACE)
            if not self._text.startswith("::=", self._at):
                raise self._wrong("'::='")
            self._at += 3
            self._skip(_LINES)
            if name in found:
                raise GrammarError(f"rule {name!r} is there twice")
            found[name] = self._choice()
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._wrong("the end of the line")
            self._skip(_LINES)
        return found

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._text.startswith("|", self._at):
            self._at += 1
            self._skip(_LINES)
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._at < len(self._text):
            part = self._element()
            if part is None:
                break
            self._skip(_LINES if self._depth else _SPACE)
            parts.append(self._repeated(part))
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def _element(self) -> Node | None:
        character = self._text[self._at]
        if character == '"':
            return self._literal()
        if character == "[":
            return self._class()
        if character == ".":
            self._at += 1
            return Characters(((0, _LAST),))
        if character == "(":
            self._depth += 1
            if self._depth > MOST_DEPTH:
                raise GrammarError(f"the grammar has brackets in brackets, more than {MOST_DEPTH} deep")
            self._at += 1
            self._skip(_LINES)
            part = self._choice()
            if not self._text.startswith(")", self._at):
                raise self._wrong("')'")
            self._at += 1
            self._depth -= 1
            return part
        if character in "<!":
            raise self._wrong("characters: tokens in their place are not taken")
        return Reference(self._word("")) if _NAME.match(self._text, self._at) else None

    def _repeated(self, part: Node) -> Node:
        """Return an element with what is said of its repetition; a literal repeats as a whole."""
        repeated = False
        while self._at < len(self._text) and self._text[self._at] in "*+?{":
            if repeated:
                raise self._wrong("one repetition, or brackets around it")
            repeated = True
            bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._text[self._at])
            if bounds is None:
                found = _COUNT.match(self._text, self._at)
                if not found:
                    raise self._wrong("a repetition as {1,2}")
                low = int(found[1])
                bounds = (low, low if not found[2] else int(found[3]) if found[3] else None)
                self._at = found.end()
            else:
                self._at += 1
            low, high = bounds
            if low > MOST_REPEATS or (high is not None and (high > MOST_REPEATS or high < low)):
                raise GrammarError(
                    f"a repetition of {low} to {high}; wanted at most {MOST_REPEATS}, and the lower bound first"
                )
            part = EMPTY if high == 0 else Repetition(part, low, high)
            self._skip(_LINES if self._depth else _SPACE)
        return part

    def _literal(self) -> Node:
        self._at += 1
        parts = []
        while True:
            if self._at >= len(self._text):
                raise self._wrong("'\"'")
            if self._text[self._at] == '"':
                self._at += 1
                return Row(tuple(Characters(((one, one),)) for one in parts))
            parts.append(self._character())

    def _class(self) -> Node:
        self._at += 1
        negated = self._text.startswith("^", self._at)
        self._at += negated
        ranges = []
        while True:
            if self._at >= len(self._text):
                raise self._wrong("']'")
            if self._text[self._at] == "]":
                self._at += 1
                break
            low = high = self._character()
            if self._text.startswith("-", self._at) and self._text[self._at + 1 : self._at + 2] not in (
                "",
                "]",
            ):
                self._at += 1
                high = self._character()
            if high < low:
                raise GrammarError(f"the range {chr(low)!r} to {chr(high)!r} has no character in it")
            ranges.append((low, high))
        found = others(ranges) if negated else joined(ranges)
        if not found:
            raise self._wrong("a set of characters with one in it")
        return Characters(found)

    def _character(self) -> int:
        character = self._text[self._at]
        self._at += 1
        if character in "\r\n":
            raise self._wrong("the end of the text or set, or an escape for a line's end")
        if character != "\\":
            return ord(character)
        kind = self._text[self._at : self._at + 1]
        self._at += 1
        if kind in _DIGITS:
            digits = self._text[self._at : self._at + _DIGITS[kind]]
            if not re.fullmatch(rf"[0-9A-Fa-f]{{{_DIGITS[kind]}}}", digits) or not _is_character(
                int(digits, 16)
            ):
                raise self._wrong(f"{_DIGITS[kind]} digits of a character")
            self._at += _DIGITS[kind]
            return int(digits, 16)
        if kind not in _ESCAPES:
            raise self._wrong("an escape that there is")
        return ord(_ESCAPES[kind])

    def _word(self, wanted: str) -> str:
        found = _NAME.match(self._text, self._at)
        if not found:
            raise self._wrong(wanted)
        self._at = found.end()
        return found[0]

    def _skip(self, what: re.Pattern[str]) -> None:
        found = what.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _wrong(self, wanted: str) -> GrammarError:
        seen = self._text[self._at : self._at + 20]
        line = self._text.count("\n", 0, self._at) + 1
        return GrammarError(f"line {line} of the grammar goes on with {seen!r}; wanted {wanted}")


def _is_character(code: int) -> bool:
    return code <= _LAST and not 0xD800 <= code <= 0xDFFF


# Regular expressions ----------------------------------------------------------------------------------------


def _sre() -> Any:
    """Return Python's reader of regular expressions, by its name of this version."""
    try:
        return importlib.import_module("re._parser")
    except ImportError:
        return importlib.import_module("sre_parse")


_DIGIT = ((48, 57),)
_WORD = joined([(48, 57), (65, 90), (95, 95), (97, 122)])
_BLANK = joined([(9, 13), (32, 32)])
_CATEGORIES = {
    "CATEGORY_DIGIT": _DIGIT,
    "CATEGORY_NOT_DIGIT": others(_DIGIT),
    "CATEGORY_WORD": _WORD,
    "CATEGORY_NOT_WORD": others(_WORD),
    "CATEGORY_SPACE": _BLANK,
    "CATEGORY_NOT_SPACE": others(_BLANK),
}


def _of_parsed(parsed: Sequence[Any], *, whole: bool = False, depth: int = 0) -> Node:
    """Return the elements of a part of a regular expression."""
    if depth > MOST_DEPTH:
        raise GrammarError(f"the pattern has brackets in brackets, more than {MOST_DEPTH} deep")
    parts: list[Node] = []
    for number, (code, value) in enumerate(parsed):
        name = str(code)
        if name == "AT":
            ends = {"AT_BEGINNING": 0, "AT_BEGINNING_STRING": 0, "AT_END": -1, "AT_END_STRING": -1}
            place = ends.get(str(value))
            if not whole or place is None or number != place % len(parsed):
                raise GrammarError("the pattern has an anchor within; wanted '^' and '$' at its ends only")
        else:
            parts.append(_of_code(name, value, depth))
    return parts[0] if len(parts) == 1 else Row(tuple(parts))


def _of_code(name: str, value: Any, depth: int) -> Node:
    if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
        return Characters(_of_set(name, value))
    if name == "BRANCH":
        return Choice(tuple(_of_parsed(list(branch), depth=depth + 1) for branch in value[1]))
    if name == "SUBPATTERN" and not value[1] and not value[2]:
        return _of_parsed(list(value[3]), depth=depth + 1)
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        low, high = int(value[0]), int(value[1])
        part = _of_parsed(list(value[2]), depth=depth + 1)
        unbounded = high >= int(_sre().MAXREPEAT)
        if low > MOST_REPEATS or (not unbounded and high > MOST_REPEATS):
            raise GrammarError(f"the pattern repeats more than {MOST_REPEATS} times")
        return EMPTY if high == 0 else Repetition(part, low, None if unbounded else high)
    raise GrammarError(f"the pattern has what no grammar holds ({name.lower().replace('_', ' ')})")


def _of_set(name: str, value: Any) -> Ranges:
    """Return the characters of one place."""
    if name == "ANY":
        return others([(10, 10)])
    if name in ("LITERAL", "NOT_LITERAL"):
        found: Ranges = ((int(value), int(value)),)
        return others(found) if name == "NOT_LITERAL" else found
    ranges: list[tuple[int, int]] = []
    negated = False
    for code, what in value:
        kind = str(code)
        if kind == "NEGATE":
            negated = True
        elif kind == "LITERAL":
            ranges.append((int(what), int(what)))
        elif kind == "RANGE":
            ranges.append((int(what[0]), int(what[1])))
        elif kind == "CATEGORY" and str(what) in _CATEGORIES:
            ranges += _CATEGORIES[str(what)]
        else:
            raise GrammarError(f"the pattern has a set of {kind.lower()}, which no grammar holds")
    made = others(ranges) if negated else joined(ranges)
    if not made:
        raise GrammarError("the pattern has a set without a character in it")
    return made
