"""The names of Lambda functions: the forms in which a person may write one, and which of them a stack may switch.

Pure. Owns what the template's ConsumerFunctionPattern means, so that a function outside of it is refused by name
before AWS would deny a call.
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from typing import Final

from pipeline.errors import Problem
from pipeline.settings import FUNCTION_PATTERN, STACK

_FORM: Final = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:)?"
    r"(?:(?P<region>[a-z]+(?:-[a-z]+)+-\d):)?"
    r"(?:(?P<account>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[A-Za-z0-9_-]+)"
    r"(?::(?P<qualifier>[A-Za-z0-9_-]+))?"
)
"""Lambda's FunctionName (service model): a name, an ARN or the end of one, with or without a version or an alias."""

_TELLING: Final = 3
"""Characters that two names must share for a pattern with them to mean something."""


@dataclass(frozen=True, slots=True)
class FunctionName:
    """What a text names; None for what it leaves out."""

    name: str
    region: str | None = None
    account: str | None = None
    qualifier: str | None = None


def parse(text: str) -> FunctionName | None:
    """Return the function that a text names; None when it is none of Lambda's forms."""
    found = _FORM.fullmatch(text)
    return FunctionName(**found.groupdict()) if found else None


def name_of(text: str) -> str:
    """Return a function's bare name, in whatever form it was given."""
    found = parse(text)
    return found.name if found else text


def covers(pattern: str, name: str) -> bool:
    """Return whether a pattern, in which `*` stands for any characters, names a function."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


def widened(pattern: str, name: str) -> str:
    """Return a pattern that names a function and all that another pattern names, and as little more as one `*` can."""
    if covers(pattern, name):
        return pattern
    head = _shared(pattern.partition("*")[0], name)
    end = pattern[len(head) :].rpartition("*")[2]
    tail = _shared(end[::-1], name[len(head) :][::-1])[::-1]
    return f"{head}*{tail}"


def _shared(one: str, other: str) -> str:
    """Return what two texts begin with."""
    pairs = zip(one, other, strict=False)
    return "".join(letter for letter, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def deploy(parameter: str, value: str, stack: str) -> str:
    """Return the command that gives a stack's parameter a value."""
    where = "" if stack == STACK else f" --stack {stack}"
    return f"sealift deploy --parameter {shlex.quote(f'{parameter}={value}')}{where}"


@dataclass(frozen=True, slots=True)
class Reach:
    """Which functions the roles of a stack may switch."""

    pattern: str
    """Of their names."""
    account_id: str
    region: str
    stack: str

    def problem(self, text: str) -> Problem | None:
        """Return why a function that is named so cannot be switched; None when it can."""
        found = parse(text)
        if found is None:
            fix = "correct consumer.function_name"
            return Problem("ConsumerName", repr(text), "the name or ARN of a Lambda function", fix)
        if found.qualifier:
            also = "" if found.qualifier.isdigit() else f' and "alias": "{found.qualifier}"'
            seen = f"consumer.function_name {text!r} names a version or an alias"
            fix = f'write "function_name": "{found.name}"{also}'
            return Problem("ConsumerQualified", seen, "the function itself, whose variable is changed", fix)
        here = FunctionName(found.name, found.region or self.region, found.account or self.account_id)
        if (here.region, here.account) != (self.region, self.account_id):
            return Problem(
                "ConsumerElsewhere",
                f"function {found.name!r} is in account {here.account}, {here.region}",
                f"one in account {self.account_id}, {self.region}: the stack {self.stack!r} switches no others",
                "name a function of this account and region, or deploy a stack there",
            )
        if covers(self.pattern, found.name):
            return None
        return Problem(
            "ConsumerOutsidePattern",
            f"function {found.name!r} is outside the pattern {self.pattern!r} of the Lambdas that the stack "
            f"{self.stack!r} may switch",
            f"a function whose name matches the stack's parameter {FUNCTION_PATTERN}",
            self._way_in(found.name),
        )

    def _way_in(self, name: str) -> str:
        both = widened(self.pattern, name)
        command = f"`{deploy(FUNCTION_PATTERN, both, self.stack)}`"
        if len(both) - both.count("*") >= _TELLING:
            return f"run {command}, which allows both"
        alone = f"`{deploy(FUNCTION_PATTERN, name, self.stack)}`"
        which = "of the account" if both == "*" else f"whose name matches {both!r}"
        return f"run {alone} if the stack switches no other function, or {command} for every function {which}"
