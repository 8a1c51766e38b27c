"""What a change set would do to a stack, in plain words; a pure function of what DescribeChangeSet says.

Owns the words, and which resources hold what nobody can get back. Refuses nothing: what it does not know it names by
AWS's own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Verb(StrEnum):
    """What becomes of a resource, in the order in which it is shown."""

    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"
    REMOVE = "remove"


NOUNS: Final[Mapping[str, str]] = {
    "AWS::Budgets::Budget": "budget",
    "AWS::CloudWatch::Alarm": "alarm",
    "AWS::CloudWatch::Dashboard": "dashboard",
    "AWS::ECR::Repository": "image repository",
    "AWS::Events::Rule": "rule",
    "AWS::IAM::Policy": "policy",
    "AWS::IAM::Role": "role",
    "AWS::Lambda::EventInvokeConfig": "function's retries",
    "AWS::Lambda::Function": "function",
    "AWS::Lambda::Permission": "permission",
    "AWS::Logs::LogGroup": "log group",
    "AWS::S3::Bucket": "bucket",
    "AWS::S3::BucketPolicy": "bucket's policy",
    "AWS::SNS::Subscription": "subscription",
    "AWS::SNS::Topic": "topic",
    "AWS::SNS::TopicPolicy": "topic's policy",
    "AWS::SQS::Queue": "queue",
    "AWS::SQS::QueuePolicy": "queue's policy",
    "AWS::StepFunctions::StateMachine": "state machine",
}

HOLDS: Final[Mapping[str, str]] = {
    "AWS::S3::Bucket": "the archives in it",
    "AWS::ECR::Repository": "the images in it",
    "AWS::SQS::Queue": "the messages in it",
    "AWS::Logs::LogGroup": "the log",
    "AWS::SNS::Topic": "its subscriptions",
    "AWS::StepFunctions::StateMachine": "the history of its executions, and those that are running",
    "EndpointRole": "what every endpoint that is there runs with: none of them will start any more",
}
"""What goes with a resource that is removed or replaced, by its type or its logical id."""


SHOWN: Final = 5
"""How many names of what is added are shown; of what is changed, all are."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one resource."""

    verb: Verb
    name: str
    """Its logical id."""
    type: str
    why: tuple[str, ...] = ()
    """The properties that differ."""
    certain: bool = True
    """Whether a replacement is; CloudFormation finds out about some only when it makes the change."""
    kept: bool = False
    """Whether what is replaced or removed stays in the account."""

    @property
    def noun(self) -> str:
        """What it is."""
        return NOUNS.get(self.type, self.type)

    @property
    def lost(self) -> str:
        """What is lost; empty when it is nothing that matters."""
        if self.kept or self.verb not in {Verb.REPLACE, Verb.REMOVE}:
            return ""
        return HOLDS.get(self.name, HOLDS.get(self.type, ""))

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "change": self.verb.value,
            "resource": self.name,
            "type": self.type,
            "properties": list(self.why),
            "certain": self.certain,
            "kept": self.kept,
            "lost": self.lost or None,
        }


def read(described: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Return the changes of a change set, as DescribeChangeSet has them, in the order in which they are shown."""
    found = [_read(one["ResourceChange"]) for one in described if one.get("ResourceChange")]
    return tuple(sorted(found, key=lambda one: (list(Verb).index(one.verb), one.noun, one.name)))


def _read(one: Mapping[str, Any]) -> Change:
    replacement = one.get("Replacement") or "False"
    verb = {"Add": Verb.ADD, "Remove": Verb.REMOVE, "Import": Verb.ADD}.get(one["Action"], Verb.CHANGE)
    if verb is Verb.CHANGE and replacement in {"True", "Conditional"}:
        verb = Verb.REPLACE
    targets = [detail.get("Target") or {} for detail in one.get("Details") or ()]
    why = {str(target.get("Name") or target.get("Attribute")) for target in targets if target}
    return Change(
        verb=verb,
        name=one["LogicalResourceId"],
        type=one["ResourceType"],
        why=tuple(sorted(why)),
        certain=replacement != "Conditional",
        kept=str(one.get("PolicyAction") or "").endswith("Retain"),
    )


def lines(changes: Sequence[Change]) -> list[tuple[str, str]]:
    """Return what to tell a person: a verb and the rest of the line each; what is alike stands together.

    A verb in capitals says that something is lost.
    """
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for one in changes:
        verb = one.verb.upper() if one.lost else one.verb.value
        grouped.setdefault((verb, one.noun, _after(one)), []).append(one.name)
    return [
        (
            verb,
            f"{counted(noun, len(names))} {listed(names, SHOWN if verb == Verb.ADD else len(names))}{after}",
        )
        for (verb, noun, after), names in grouped.items()
    ]


def _after(one: Change) -> str:
    """Return the end of a line: why, and what that means."""
    why = f" ({', '.join(one.why)})" if one.why else ""
    if one.verb not in {Verb.REPLACE, Verb.REMOVE}:
        return why
    if one.kept:
        return f"{why}; what is there stays in the account"
    if not one.lost:
        return why if one.certain else f"{why}, perhaps"
    if one.certain:
        return f"{why}: THIS LOSES {one.lost}"
    return f"{why}: PERHAPS, AND THAT LOSES {one.lost}"


def listed(names: Sequence[str], most: int = SHOWN) -> str:
    """Return names in a row; of many only the first, and how many more there are."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def counted(noun: str, number: int) -> str:
    """Return a number of things; of one, only what it is."""
    return noun if number == 1 else f"{number} {plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of one of our nouns, or of AWS's name of a type."""
    if noun.endswith("s"):
        return noun
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def counts(changes: Iterable[Change]) -> str:
    """Return how many resources are to be added, changed, replaced and removed."""
    numbers: dict[Verb, int] = {}
    for one in changes:
        numbers[one.verb] = numbers.get(one.verb, 0) + 1
    past = {Verb.ADD: "add", Verb.CHANGE: "change", Verb.REPLACE: "replace", Verb.REMOVE: "remove"}
    return ", ".join(f"{numbers[verb]} to {word}" for verb, word in past.items() if verb in numbers)
