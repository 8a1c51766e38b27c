"""What must hold after a run, whatever failed in it: a pure comparison of before and after.

Owns the six rules. Refuses to look: `world` gathers what is compared here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline import errors, naming

if TYPE_CHECKING:
    from collections.abc import Mapping

RULES = ("ended", "consumer", "parameter", "tidy", "earlier", "repeated")
"""The execution ended, with a named error when it failed; the consumer calls an endpoint that answers, or is exactly as
before; the service's parameter names what was deployed, or is exactly as before; what was made is in use, gone or
named; the earlier deployment is untouched unless a good one replaced it; the same upload repeated without the fault
ends well."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as DescribeEndpoint tells of it."""

    status: str
    config: str
    concurrency: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """The parameter that names a service's endpoint."""

    endpoint: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a deployment may change."""

    endpoints: Mapping[str, Endpoint]
    configs: frozenset[str]
    models: frozenset[str]
    variables: Mapping[str, str]
    """The consumer's."""
    alias_version: str
    answered_by: str | None
    """The endpoint that the consumer called and got an answer from; None when it failed."""
    alarmed: frozenset[str] = frozenset()
    """The endpoints that have alarms."""
    measured: frozenset[str] = frozenset()
    """The endpoints whose logs have metric filters."""
    images: frozenset[str] = frozenset()
    """The tags of the images that hold a model."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """By name."""
    components: frozenset[str] = frozenset()
    """The inference components, and the scalable targets of any."""
    scaled: Mapping[str, str] = field(default_factory=dict)
    """How the instances of each endpoint scale, as a tag keeps it; read for an act alone."""
    records: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The tags of each configuration; read for an act alone."""

    @property
    def names(self) -> frozenset[str]:
        """Everything in SageMaker, each with its kind: an endpoint, its configuration and its model share a name.

        A deployment's configurations of other sizes are one with its first: they are there as long as it is.
        """
        kinds = (
            ("endpoint", self.endpoints),
            ("configuration", {naming.deployment_of(name) for name in self.configs}),
            ("model", self.models),
            ("alarms", self.alarmed),
            ("filters", self.measured),
            ("image", self.images),
            ("component", self.components),
        )
        return frozenset(f"{kind} {name}" for kind, names in kinds for name in names)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an upload ended."""

    status: str
    """Of the execution; NOT_STARTED when the trigger gave up, STUCK when it did not end in time."""
    error: str | None = None
    cause: str = ""
    notified: str = ""
    """What was published."""
    made: frozenset[str] = frozenset()
    """What the plan names: endpoint, configuration and model."""
    endpoint: str | None = None
    parameter: str = ""
    """The name of the one that names the service's endpoint."""
    plan: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def good(self) -> bool:
        """Whether it succeeded."""
        return self.status == "SUCCEEDED"


@dataclass(frozen=True, slots=True)
class Broken:
    """One rule that did not hold, and what was seen instead."""

    rule: str
    seen: str


def broken(
    before: Snapshot, outcome: Outcome, after: Snapshot, *, lasting: bool, trigger_failed: bool
) -> list[Broken]:
    """Return the rules that did not hold after a run.

    Args:
        before: the run.
        outcome: of the run.
        after: the run, when everything has settled.
        lasting: whether a fault was there for good, so that what could not be undone may be named instead.
        trigger_failed: whether a fault was there for good in the trigger, so that nothing may have started.
    """
    found = [Broken("ended", seen) for seen in ended(outcome, may_not_start=trigger_failed)]
    found += [Broken("consumer", seen) for seen in _consumer(before, outcome, after, lasting=lasting)]
    found += [Broken("parameter", seen) for seen in _parameter(before, outcome, after)]
    found += [Broken("tidy", seen) for seen in _tidy(before, outcome, after)]
    found += [Broken("earlier", seen) for seen in _earlier(before, outcome, after, lasting=lasting)]
    return found


def not_repeated(outcome: Outcome, after: Snapshot) -> list[Broken]:
    """Return what was wrong with the same upload, repeated without the fault."""
    if not outcome.good:
        return [Broken("repeated", f"{outcome.status} {outcome.error}: {outcome.cause[:600]}")]
    found = after.endpoints.get(outcome.endpoint or "")
    if found is None or found.status != "InService":
        return [Broken("repeated", f"endpoint {outcome.endpoint} is {found}")]
    if after.answered_by != outcome.endpoint:
        return [Broken("repeated", f"the consumer is answered by {after.answered_by}")]
    return [Broken("repeated", seen) for seen in misnamed(outcome, after)]


def ended(outcome: Outcome, *, may_not_start: bool) -> list[str]:
    """Return what is wrong with how an upload ended."""
    if outcome.good or (outcome.status == "NOT_STARTED" and may_not_start):
        return []
    if outcome.status != "FAILED":
        return [f"the execution is {outcome.status}"]
    if outcome.error not in errors.names():
        return [f"it failed with {outcome.error!r}, which names nothing: {outcome.cause[:300]}"]
    return []


def _consumer(before: Snapshot, outcome: Outcome, after: Snapshot, *, lasting: bool) -> list[str]:
    if outcome.good and after.answered_by != outcome.endpoint:
        return [f"success, and the consumer is answered by {after.answered_by}, not by {outcome.endpoint}"]
    same = (before.variables, before.alias_version) == (after.variables, after.alias_version)
    if same and (after.answered_by == before.answered_by):
        return []
    called = next((name for name in after.endpoints if name in after.variables.values()), "")
    if same and lasting and called and named(called, outcome):
        # Updated in place, and a rollback is impossible: nothing is left but to say so.
        return []
    calls = after.endpoints.get(after.answered_by or "")
    if calls is not None and calls.status == "InService":
        # It works. After a failure it has to be as before all the same, or somebody has to be told.
        if outcome.good or same or (lasting and named("consumer", outcome)):
            return []
        return [f"failed, and the consumer was left changed without a word: {dict(after.variables)}"]
    return [f"the consumer is changed and has no answer: {dict(after.variables)}"]


def _parameter(before: Snapshot, outcome: Outcome, after: Snapshot) -> list[str]:
    if outcome.good:
        return misnamed(outcome, after)
    names = sorted({*before.parameters, *after.parameters})
    changed = [name for name in names if before.parameters.get(name) != after.parameters.get(name)]
    wrong = []
    for name in changed:
        there = after.parameters.get(name)
        calls = after.endpoints.get(there.endpoint) if there else None
        if calls is None or calls.status != "InService":
            wrong.append(
                f"parameter {name} was {before.parameters.get(name)}, and names what is gone: {there}"
            )
        elif not named(name, outcome):
            wrong.append(
                f"parameter {name} was {before.parameters.get(name)}, left without a word as {there}"
            )
    return wrong


def misnamed(outcome: Outcome, after: Snapshot) -> list[str]:
    """Return what is wrong with the parameter after a deployment that went well."""
    named_by = {name: there.endpoint for name, there in after.parameters.items()}
    if outcome.parameter and named_by.get(outcome.parameter) != outcome.endpoint:
        return [f"success, and parameter {outcome.parameter} is {named_by.get(outcome.parameter)}"]
    return []


def _tidy(before: Snapshot, outcome: Outcome, after: Snapshot) -> list[str]:
    new = after.names - before.names
    if outcome.good:
        return [f"left behind: {name}" for name in sorted(new - outcome.made)]
    return [
        f"left behind, and not named: {name}" for name in sorted(new) if not named(name.split()[1], outcome)
    ]


def _earlier(before: Snapshot, outcome: Outcome, after: Snapshot, *, lasting: bool) -> list[str]:
    if outcome.good:
        return []
    missing = [f"{name} of the earlier deployment is gone" for name in sorted(before.names - after.names)]
    changed = [
        f"endpoint {name} was {was}, is {after.endpoints[name]}"
        for name, was in sorted(before.endpoints.items())
        if name in after.endpoints
        and after.endpoints[name] != was
        # What could not be undone has to be named.
        and not (lasting and after.endpoints[name].status == "InService" and named(name, outcome))
    ]
    return missing + changed


def named(name: str, outcome: Outcome) -> bool:
    """Return whether something is named in what was told of an execution."""
    return name in outcome.cause or name in outcome.notified
