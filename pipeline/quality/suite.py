"""A suite: what a deployment is asked, and what is expected of each answer; JSON Lines, one case a line.

Owns the format, its bounds, and the words for every mistake in it, each with its line. Pure: bytes in, cases out.
Refuses to ask, and a case that its model could not be asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from inference.sealift_shortcoming import SchemaError, check_parts, checked_pattern
from pipeline import payload
from pipeline.errors import InvalidInput, Problem
from pipeline.gguf import questions
from pipeline.limits import KiB
from pipeline.planning.request_fields import MOST_CASES
from pipeline.quality import schema_form
from pipeline.quality.cases import Case, Expected, Suite
from pipeline.schema import (
    AnyObject,
    Boolean,
    Field,
    Integer,
    ListOf,
    Number,
    Object,
    OneOf,
    Text,
    half,
    is_whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX: Final = ".jsonl"
"""Of a suite's name, by which its upload starts no deployment."""
LARGEST: Final = 256 * KiB
"""Bytes of a suite."""
MOST_TOLD: Final = 20
"""Mistakes that one message names."""
_DEFAULTS: Final = "defaults"
_LONGEST: Final = 20_000
"""Characters of a prompt, as of the smoke test's."""
_TEXT: Final = Text(f"a text of 1 to {_LONGEST} characters", max_length=_LONGEST)
_OWN: Final = frozenset(
    {"messages", "prompt", "input", "query", "documents", "stream", "max_tokens", "temperature"}
)
"""Fields of a request that a case has names of its own for, or that it cannot have."""


@dataclass(frozen=True, slots=True)
class _OneOrMany:
    """One text, or a list of them, each accepted by `item`."""

    item: Text | _BoundedPattern
    most: int = 10

    @property
    def wanted(self) -> str:
        return f"{self.item.wanted}, or a list of 1 to {self.most}"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> tuple[str, ...] | None:
        if isinstance(value, list):
            found = ListOf(self.item, 1, self.most).parse(value, path, problems)
            return None if found is None else tuple(str(one) for one in found)
        one = self.item.parse(value, path, problems)
        return None if one is None else (one,)


@dataclass(frozen=True, slots=True)
class _BoundedPattern:
    """A regular expression that cannot take for ever, by the rule that the endpoint has for clients' own."""

    wanted: str = "a regular expression"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> str | None:
        try:
            checked_pattern(value, path)
        except SchemaError as error:
            problems.append(Problem("WrongPattern", str(error), self.wanted, f"change {path!r}"))
            return None
        if not is_whole(value):
            problems.append(half(value, path))
            return None
        return str(value)


@dataclass(frozen=True, slots=True)
class _JsonSchema:
    """A JSON schema of which all is judged, whose patterns cannot take for ever, and whose references are there."""

    wanted: str = "a JSON schema"

    def parse(self, value: Any, path: str, problems: list[Problem]) -> dict[str, Any] | None:
        found = AnyObject(self.wanted).parse(value, path, problems)
        if found is None:
            return None
        try:
            check_parts(found, path)
        except SchemaError as error:
            problems.append(Problem("WrongSchema", str(error), self.wanted, f"change {path!r}"))
            return None
        wrong = [
            Problem("WrongSchema", seen, wanted, f"change {path!r}")
            for seen, wanted in schema_form.mistakes(found, path)
        ]
        problems += wrong
        return None if wrong else found


EXPECT: Final = Object(
    {
        "contains": Field(
            _OneOrMany(Text("a text", max_length=2000)), "texts that the answer contains, letter case ignored"
        ),
        "matches": Field(
            _OneOrMany(_BoundedPattern()), "regular expressions that are each found in the answer"
        ),
        "json_schema": Field(
            _JsonSchema(), "the answer is JSON, with nothing around it, and conforms to this schema"
        ),
        "similarity": Field(
            Number(0, 1),
            "how similar to the earlier deployment's answer it is at least; where there is none, it is not judged",
        ),
        "min_tokens_per_second": Field(
            Number(0.001, 1_000_000), "tokens of the answer in a second, at least"
        ),
        "max_seconds": Field(Number(0.001, 60), "seconds until the whole answer is there, at most"),
        "allow_degenerate": Field(
            Boolean(),
            "whether it may be blank, one thing again and again, or the prompt's echo",
            default=False,
        ),
    }
)

_SHARED: Final = {
    "max_tokens": Field(Integer(1, 4096), "tokens of the answer at most", default=128),
    "temperature": Field(
        Number(0, 2), "sampling temperature; 0, and of a base model as the smoke test has it, when absent"
    ),
    "request": Field(
        AnyObject(), "further fields of the request, as `response_format` or `seed`", default={}
    ),
    "expect": Field(EXPECT, "what the answer is to be like", default={}),
}

_MESSAGE: Final = Object(
    {
        "role": Field(OneOf(("system", "user", "assistant")), "who says it", required=True),
        "content": Field(_TEXT, "what is said", required=True),
    }
)

CASE: Final = Object(
    {
        "name": Field(
            Text("a name of 1 to 80 characters", r"[^\n\r]+", max_length=80),
            "what it is called; `line N` when absent",
        ),
        "prompt": Field(
            _TEXT, "one text, asked in the form that suits the model, as the smoke test's prompts are"
        ),
        "messages": Field(ListOf(_MESSAGE, 1, 50), "a conversation; its last turn is the question"),
        "input": Field(_TEXT, "a text to embed"),
        **_SHARED,
    }
)
DEFAULTS: Final = Object(_SHARED)
_FIRST: Final = Object({_DEFAULTS: Field(DEFAULTS, "what holds for every case that does not say otherwise")})

_OF_VECTORS: Final = frozenset({"similarity", "max_seconds", "allow_degenerate"})
"""What can be expected of an embedding."""


def parse(content: bytes, name: str, *, suits: str | None = None) -> Suite:
    """Return the cases of a suite.

    Args:
        content: the file's.
        name: what its author calls it.
        suits: the form that suits the model, one of `questions.FORMS`; None where that is not known yet.

    Raises:
        InvalidInput: with every mistake, each with its line.
    """
    problems: list[Problem] = []
    cases = _cases(content, problems)
    if suits is not None:
        problems += mistaken(cases, suits)
    if problems:
        told = sorted(problems, key=lambda one: _number(one.where))
        if len(told) > MOST_TOLD:
            fix = "correct the first ones and look again"
            more = Problem(
                "MoreMistakes", f"{len(told) - MOST_TOLD} more mistakes", "none", fix, told[MOST_TOLD].where
            )
            told = [*told[:MOST_TOLD], more]
        raise InvalidInput(
            name, [replace(one, where=f"{name} {one.where}" if one.where else name) for one in told]
        )
    return Suite(suits or questions.MESSAGES, tuple(cases))


def mistaken(cases: list[Case], suits: str) -> list[Problem]:
    """Return which cases a model cannot be asked, or what is expected of what it does not say."""
    found: list[Problem] = []
    for case in cases:
        form = case.form(suits)
        if suits == questions.QUERY:
            found.append(_unfit(case, "the model ranks documents", "a model that answers or embeds"))
        elif form != suits and questions.INPUT in {form, suits}:
            what = "turns texts into vectors" if suits == questions.INPUT else "embeds no texts"
            found.append(_unfit(case, f"{_field(case)!r} for a model that {what}", "'prompt'"))
        elif form != suits:
            seen = f"{_field(case)!r} for a model that goes on with a text and knows no chats"
            found.append(_unfit(case, seen, "'prompt'"))
        elif form == questions.INPUT:
            found += _of_vectors(case)
    return found


def _of_vectors(case: Case) -> list[Problem]:
    wanted = case.expect
    asked = {
        "contains": bool(wanted.contains),
        "matches": bool(wanted.matches),
        "json_schema": wanted.json_schema is not None,
        "min_tokens_per_second": wanted.min_tokens_per_second is not None,
    }
    return [
        _unfit(case, f"'expect.{name}' of an embedding, which is numbers", "similarity or max_seconds")
        for name, said in asked.items()
        if said
    ]


def _unfit(case: Case, seen: str, wanted: str) -> Problem:
    return Problem("WrongForm", seen, wanted, "ask it otherwise, or leave the case out", f"line {case.line}")


def _field(case: Case) -> str:
    return "messages" if case.messages else "input" if case.input else "prompt"


def _number(where: str) -> int:
    return int(where.removeprefix("line ") or 0)


def _cases(content: bytes, problems: list[Problem]) -> list[Case]:
    if len(content) > LARGEST:
        problems.append(
            Problem(
                "TooLarge",
                f"more than {LARGEST:,} bytes",
                f"at most {LARGEST:,}",
                "leave cases out, or shorten them",
            )
        )
        return []
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, fix = content.count(b"\n", 0, error.start) + 1, "save it as UTF-8"
        problems.append(Problem("NotUtf8", "bytes that are no UTF-8", "UTF-8", fix, f"line {line}"))
        return []
    found: list[Case] = []
    defaults: dict[str, Any] = {}
    first = True
    # Not splitlines, which ends a line at characters that JSON allows in a text.
    for number, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        own: list[Problem] = []
        document = _object(written, own)
        if document is not None and first and _DEFAULTS in document:
            _FIRST.parse(document, "", own)
            defaults = document[_DEFAULTS] if not own else {}
        elif document is not None:
            case = _case(document, defaults, number, own)
            found += [case] if case else []
        first = False
        problems += [replace(one, where=f"line {number}") for one in own]
    problems += _of_all(found, bool(problems))
    return found


def _of_all(cases: list[Case], mistakes: bool) -> list[Problem]:
    """Return what is wrong with the cases together."""
    found: list[Problem] = []
    if not cases and not mistakes:
        fix = 'write for instance {"prompt": "What is 2 + 2?", "expect": {"contains": "4"}}'
        found.append(Problem("NoCases", "no case", f"1 to {MOST_CASES}, one a line", fix))
    if len(cases) > MOST_CASES:
        seen, where = f"{len(cases)} cases", f"line {cases[MOST_CASES].line}"
        found.append(Problem("TooManyCases", seen, f"at most {MOST_CASES}", "leave some out", where))
    lines: dict[str, int] = {}
    for case in cases:
        if case.name in lines:
            seen = f"the name {case.name!r} is that of line {lines[case.name]} too"
            fix, where = "give it another name", f"line {case.line}"
            found.append(Problem("NameTwice", seen, "a name of its own for each case", fix, where))
        lines.setdefault(case.name, case.line)
    return found


def _object(line: str, problems: list[Problem]) -> dict[str, Any] | None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice!r} twice in one object")
        return made

    def no_number(name: str) -> Any:
        raise ValueError(f"{name} is no number of JSON")

    try:
        document = json.loads(line, object_pairs_hook=once, parse_constant=no_number)
    except json.JSONDecodeError as error:
        seen = f"no JSON: column {error.colno}: {error.msg}"
    except RecursionError:
        seen = "lists or objects in each other, too deep to be read"
    except ValueError as error:
        # Python refuses whole numbers of thousands of digits, and says how to configure it.
        seen = f"no JSON: {str(error).partition(';')[0]}"
    else:
        if isinstance(document, dict):
            return document
        seen = f"{payload.cut(line.strip(), 80)}, which is no object"
    fix = "correct it; a case is one object on one line"
    problems.append(Problem("NotACase", seen, "a JSON object", fix))
    return None


def _case(
    document: dict[str, Any], defaults: Mapping[str, Any], line: int, problems: list[Problem]
) -> Case | None:
    if _DEFAULTS in document:
        fix = "move it to the first line"
        problems.append(Problem("DefaultsNotFirst", f"{_DEFAULTS!r} behind cases", "it before them", fix))
        return None
    parsed = CASE.parse(_with(document, defaults), "", problems)
    asked = [name for name in ("prompt", "messages", "input") if document.get(name) is not None]
    # Whoever misspells what is asked has made one mistake, which is told already.
    if len(asked) > 1 or not (asked or problems):
        seen = f"{' and '.join(map(repr, asked))} in one case" if asked else "nothing that is asked"
        fix = "leave one of them" if asked else "add 'prompt'"
        problems.append(Problem("WhatIsAsked", seen, "one of 'prompt', 'messages', 'input'", fix))
    if problems or parsed is None:
        return None
    if taken := sorted(_OWN.intersection(parsed["request"])):
        fix = f"write {taken[0]!r} beside 'request', where a case has it; no case streams"
        problems.append(Problem("OwnField", f"'request.{taken[0]}'", "fields that a case has not", fix))
        return None
    expected = {name: value for name, value in parsed["expect"].items() if value is not None}
    return Case(
        name=parsed["name"] or f"line {line}",
        line=line,
        prompt=parsed["prompt"],
        messages=tuple(parsed["messages"] or ()),
        input=parsed["input"],
        max_tokens=parsed["max_tokens"],
        temperature=parsed["temperature"],
        request=parsed["request"],
        expect=Expected(**expected),
    )


def _with(document: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a case with what the defaults say and it does not; its null takes a default away."""
    made = {**defaults, **document}
    for name in ("expect", "request"):
        own, common = document.get(name), defaults.get(name)
        if isinstance(own, dict) and isinstance(common, dict):
            made[name] = {**common, **own}
    return made
