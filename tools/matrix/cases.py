"""What is tried: every call of every task, with every kind of fault; decided from a recording, no list of our own.

Owns the kinds of fault, what each is called by each service, and the choice of a sample. Refuses to run anything.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from local_cloud.faults import Accident, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

DEFAULT = "default"
MOST = 2
"""Of one operation in one task that are tried each for itself: what comes after is the same loop again."""
READS = ("Describe", "Get", "Head", "List")
"""What the names of operations that change nothing begin with: of these the first is enough."""

THROTTLED = {
    DEFAULT: "ThrottlingException",
    "s3": "SlowDown",
    "lambda": "TooManyRequestsException",
    "service-quotas": "TooManyRequestsException",
    "sns": "Throttled",
}
BROKEN = {
    DEFAULT: "InternalFailure",
    "s3": "InternalError",
    "lambda": "ServiceException",
    "logs": "ServiceUnavailableException",
    "service-quotas": "ServiceException",
    "ecr": "ServerException",
    "ssm": "InternalServerError",
    "sns": "InternalError",
}
KILLED_AFTER = "killed after"
DENIED = {DEFAULT: "AccessDeniedException", "s3": "AccessDenied", "sns": "AuthorizationError"}
OVER_QUOTA = {
    DEFAULT: "ResourceLimitExceeded",
    "logs": "LimitExceededException",
    "ecr": "LimitExceededException",
    "ssm": "ParameterLimitExceeded",
}
INVALID = {
    DEFAULT: "ValidationException",
    "s3": "InvalidArgument",
    "lambda": "InvalidParameterValueException",
    "logs": "InvalidParameterException",
    "ecr": "InvalidParameterException",
    "sns": "InvalidParameter",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault."""

    name: str
    codes: dict[str, str]
    """What each service calls it."""
    lasting: bool = False
    """Whether it strikes for ever, once it has struck."""
    streams: bool = False
    """Whether it comes in the middle of a streamed answer, and so to no other call."""

    def code(self, service: str) -> str:
        """Return a service's own error code for it."""
        return self.codes.get(service, self.codes[DEFAULT])


KINDS = {
    kind.name: kind
    for kind in (
        Kind("throttled once", THROTTLED),
        Kind("throttled always", THROTTLED, lasting=True),
        Kind("5xx once", BROKEN),
        Kind("answer lost", {DEFAULT: Accident.ANSWER_LOST.value}),
        Kind("access denied", DENIED, lasting=True),
        Kind("over a quota", OVER_QUOTA, lasting=True),
        Kind("called invalid", INVALID, lasting=True),
        Kind("killed before", {DEFAULT: Accident.KILLED_BEFORE.value}),
        Kind(KILLED_AFTER, {DEFAULT: Accident.KILLED_AFTER.value}),
        Kind("timed out", {DEFAULT: Accident.TIMED_OUT.value}),
        Kind("broken off", {DEFAULT: "ModelStreamError"}, streams=True),
        Kind("5xx in a stream", {DEFAULT: "InternalStreamFailure"}, streams=True),
    )
}


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One call of a task: the n-th of its operation in a run, counted from 0."""

    task: str
    service: str
    operation: str
    nth: int

    @property
    def streams(self) -> bool:
        """Whether its answer comes piece by piece."""
        return self.operation.endswith("WithResponseStream")

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.operation.startswith(READS)

    def __str__(self) -> str:
        return f"{self.task} {self.service}.{self.operation}#{self.nth + 1}"


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One run: a scenario with the faults that strike in it, at most one of a step."""

    scenario: str
    faults: tuple[tuple[Step, str], ...]
    """Each step that fails, and the kind of its fault."""

    @property
    def lasting(self) -> bool:
        """Whether one of its faults strikes for ever."""
        return any(KINDS[kind].lasting for _, kind in self.faults)

    @property
    def repeated_though_good(self) -> bool:
        """Whether the upload is repeated even where it was deployed in spite of the faults: every fourth."""
        return zlib.crc32(str(self).encode()) % 4 == 0

    def of(self, functions: dict[str, str]) -> list[Fault]:
        """Return the faults as the local cloud takes them; `functions` gives each task's physical name."""
        return [
            Fault(
                step.service,
                step.operation,
                KINDS[kind].code(step.service),
                times=None if KINDS[kind].lasting else 1,
                caller=functions[step.task],
                after=step.nth,
            )
            for step, kind in self.faults
        ]

    def __str__(self) -> str:
        return f"{self.scenario}: " + " and ".join(f"{step} {kind}" for step, kind in self.faults)


def steps(calls: Iterable[tuple[str, str, str]]) -> list[Step]:
    """Return the steps of a recording: its calls (task, service, operation) in order, each with its number."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found = []
    for call in calls:
        found.append(Step(*call, seen[call]))
        seen[call] += 1
    return found


def matrix(
    recordings: Mapping[str, Sequence[Step]],
    whole: Iterable[str],
    thinned: Iterable[str] = (),
    acted: Iterable[str] = (),
) -> list[Case]:
    """Return every case.

    Args:
        recordings: the steps of each scenario, in the order of the scenarios.
        whole: the scenarios in which each step is tried; in the others only what no earlier one had.
        thinned: those in which each step is tried with one kind of fault, the kinds taking turns.
        acted: those in which each step that changes something is tried, and the others as where it is thinned.
    """
    covered: set[Step] = set()
    found: list[Case] = []
    for scenario, everything in recordings.items():
        once = () if scenario in acted else READS
        recorded = [
            step for step in everything if step.nth < (1 if step.operation.startswith(once) else MOST)
        ]
        if scenario in thinned or scenario in acted:
            wanted = [step for step in recorded if scenario in acted and not step.reads]
            turns = cycle(KINDS)
            found.extend(
                Case(scenario, ((step, next(kind for kind in turns if _differs(step, kind))),))
                for step in recorded
                if step not in wanted
            )
        else:
            wanted = [step for step in recorded if scenario in whole or step not in covered]
            covered.update(recorded)
        found.extend(
            Case(scenario, ((step, kind),)) for step in wanted for kind in KINDS if _differs(step, kind)
        )
    return found


def _differs(step: Step, kind: str) -> bool:
    """Return whether a fault is another one than those before it: a reader killed before or after it read is one.

    What breaks a stream meets none but streams.
    """
    if KINDS[kind].streams:
        return step.streams
    return kind != KILLED_AFTER or not step.reads


def sample(cases: Sequence[Case], seed: int) -> list[Case]:
    """Return few cases of one fault that have every kind of fault, every task and every scenario among them."""
    shuffled = random.Random(seed).sample(list(cases), len(cases))
    missing = {part for case in cases for part in _parts(case)}
    chosen = []
    while missing:
        best = max(shuffled, key=lambda case: len(missing & _parts(case)))
        chosen.append(best)
        missing -= _parts(best)
    return sorted(chosen)


def pairs(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """Return so many cases in which two faults of one scenario strike."""
    return sorted(set(_some_pairs(cases, count, random.Random(seed))))


def _some_pairs(cases: Sequence[Case], count: int, chance: random.Random) -> Iterator[Case]:
    by_scenario: dict[str, list[Case]] = {}
    for case in cases:
        by_scenario.setdefault(case.scenario, []).append(case)
    made = 0
    while made < count:
        scenario = chance.choice(cases).scenario
        first, second = chance.choice(by_scenario[scenario]), chance.choice(by_scenario[scenario])
        if first.faults[0][0] != second.faults[0][0]:
            made += 1
            yield Case(scenario, tuple(sorted((*first.faults, *second.faults))))


def _parts(case: Case) -> set[str]:
    return {case.scenario} | {part for step, kind in case.faults for part in (step.task, kind)}
