"""Whether IAM policies allow a request: statements, wildcards, conditions, and that an explicit deny wins.

Pure, and strict: what it does not understand (another operator, NotAction, a policy variable) is refused when the
policy is read, since a statement that is half understood allows too much or too little. Refuses to know which policies
a caller has, and which permissions an API call needs: that is `access` and `authorizations`.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html, and
reference_policies_elements_condition_operators.html beside it for what a missing key means to each operator.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Context = tuple[tuple[str, tuple[str, ...]], ...]
"""What conditions look at: values by key."""


class UnsupportedPolicyError(ValueError):
    """The policy says something that is not understood here."""


class PolicyVerdict(Enum):
    """What policies say to a request."""

    ALLOWED = "allowed"
    NOT_ALLOWED = "no statement allows it"
    FORBIDDEN = "a statement denies it"


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """One permission that a call needs."""

    action: str
    resource: str
    """An ARN; `*` for an action that knows no resource."""
    context: Context = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key."""

    operator: str
    key: str
    values: tuple[str, ...]

    def holds(self, context: Context) -> bool:
        """Return whether it holds for a request's context."""
        name = self.operator
        found = next((values for key, values in context if key.lower() == self.key.lower()), None)
        if name == "Null":
            return (found is None) == (self.values == ("true",))
        if name.startswith("ForAllValues:"):
            test = _OPERATORS[name.removeprefix("ForAllValues:")]
            return all(test(one, self.values) for one in found or ())
        if name.startswith("ForAnyValue:"):
            test = _OPERATORS[name.removeprefix("ForAnyValue:")]
            return any(test(one, self.values) for one in found or ())
        if found is None:
            return name.endswith("IfExists") or "Not" in name
        test = _OPERATORS[name.removesuffix("IfExists")]
        # Several values of one key are for the set operators; AWS calls anything else undefined.
        return len(found) == 1 and test(found[0], self.values)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy."""

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    sid: str = ""

    def applies(self, request: PolicyRequest) -> bool:
        """Return whether it speaks of a request."""
        return (
            any(matches(one.lower(), request.action.lower()) for one in self.actions)
            and any(matches(one, request.resource) for one in self.resources)
            and all(condition.holds(request.context) for condition in self.conditions)
        )

    def without(self, left_out: str) -> Statement:
        """Return the statement with one action or one resource left out."""
        actions = tuple(one for one in self.actions if one != left_out)
        resources = tuple(one for one in self.resources if one != left_out)
        return replace(self, actions=actions, resources=resources)


Policy = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """A policy with one action, or one resource, of one statement left out."""

    left_out: str
    statement: Statement
    rest: Policy = field(repr=False)


def judge(policy: Iterable[Statement], request: PolicyRequest) -> PolicyVerdict:
    """Return what statements say to a request."""
    applying = [one.allows for one in policy if one.applies(request)]
    if not all(applying):
        return PolicyVerdict.FORBIDDEN
    return PolicyVerdict.ALLOWED if applying else PolicyVerdict.NOT_ALLOWED


def removals(policy: Policy) -> Iterator[Removal]:
    """Yield the policy once for each action and each resource of each of its statements, without that one.

    All resources, `*`, is one that no other can stand in for: the statement goes with its actions.
    """
    for number, statement in enumerate(policy):
        for left_out in (*statement.actions, *(one for one in statement.resources if one != "*")):
            rest = (*policy[:number], statement.without(left_out), *policy[number + 1 :])
            yield Removal(left_out, statement, rest)


def needed(removal: Removal, requests: Iterable[PolicyRequest]) -> bool:
    """Return whether one of the requests, all of which were allowed, is not without what was left out."""
    return any(judge(removal.rest, request) is not PolicyVerdict.ALLOWED for request in requests)


def matches(pattern: str, text: str) -> bool:
    """Return whether a pattern with `*` (any characters, none too) and `?` (just one) is the whole text."""
    return _compiled(pattern).fullmatch(text) is not None


@cache
@functools.lru_cache(maxsize=256)
def parse(document: str) -> Policy:
    """Return the statements of a policy document; it may be of a role or of a bucket.

    Raises:
        UnsupportedPolicyError: when it holds anything that `judge` would not take into account.
    """
    statements = json.loads(document)["Statement"]
    listed = statements if isinstance(statements, list) else [statements]
    return tuple(_statement(one) for one in listed if not _is_for_services(one))


def _is_for_services(document: Mapping[str, Any]) -> bool:
    """Return whether a statement is about services of AWS alone, none of which calls anything here."""
    principal = document.get("Principal")
    return isinstance(principal, dict) and set(principal) == {"Service"}


def _statement(document: Mapping[str, Any]) -> Statement:
    strange = set(document) - {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}
    if strange:
        raise UnsupportedPolicyError(f"{', '.join(sorted(strange))} in a statement; wanted none: {document}")
    if document.get("Principal", "*") not in ("*", {"AWS": "*"}):
        raise UnsupportedPolicyError(f"Principal is {document['Principal']!r}; wanted '*': {document}")
    if document["Effect"] not in {"Allow", "Deny"}:
        raise UnsupportedPolicyError(f"Effect is {document['Effect']!r}; wanted Allow or Deny: {document}")
    actions, resources = _listed(document["Action"]), _listed(document["Resource"])
    if any("${" in one for one in (*actions, *resources)):
        raise UnsupportedPolicyError(f"a policy variable; wanted the text itself: {document}")
    conditions = tuple(
        _condition(operator, key, _listed(values))
        for operator, block in document.get("Condition", {}).items()
        for key, values in block.items()
    )
    return Statement(document["Effect"] == "Allow", actions, resources, conditions, document.get("Sid", ""))


def _condition(operator: str, key: str, values: tuple[str, ...]) -> Condition:
    plain = re.sub("^(ForAllValues|ForAnyValue):|IfExists$", "", operator)
    # The set operators and IfExists have rules of their own for a missing key, which do not go together.
    both = ":" in operator and operator.endswith("IfExists")
    if both or (plain not in _OPERATORS and operator != "Null"):
        raise UnsupportedPolicyError(
            f"condition operator {operator!r}; wanted one of {', '.join(_OPERATORS)}, Null"
        )
    if operator == "Null" and values not in {("true",), ("false",)}:
        raise UnsupportedPolicyError(f"Null of {key} is {values}; wanted 'true' or 'false'")
    if any("${" in one for one in values):
        raise UnsupportedPolicyError(f"a policy variable in {operator} of {key}; wanted the text itself")
    return Condition(operator, key, values)


def _listed(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in values)


def _equal(text: str, values: tuple[str, ...]) -> bool:
    return text in values


def _like(text: str, values: tuple[str, ...]) -> bool:
    return any(matches(one, text) for one in values)


def _same_bool(text: str, values: tuple[str, ...]) -> bool:
    return text.lower() in {one.lower() for one in values}


_OPERATORS: dict[str, Callable[[str, tuple[str, ...]], bool]] = {
    "StringEquals": _equal,
    "StringNotEquals": lambda text, values: not _equal(text, values),
    "StringLike": _like,
    "StringNotLike": lambda text, values: not _like(text, values),
    "ArnEquals": _like,
    "ArnLike": _like,
    "ArnNotEquals": lambda text, values: not _like(text, values),
    "ArnNotLike": lambda text, values: not _like(text, values),
    "Bool": _same_bool,
}
"""Whether a value of the request passes the values of a policy."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = {"*": ".*", "?": "."}
    return re.compile("".join(pieces.get(one, re.escape(one)) for one in pattern), re.DOTALL)
