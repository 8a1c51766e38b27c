"""The quality gate as states hand it on: what a request says of it, what the plan makes of it, what its record holds.

Owns the shapes alone. Judging is `pipeline.quality`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

RECORD_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class RequestedGate:
    """What a request says of its quality gate."""

    suite: str
    """The name of the file beside the archive."""
    allow_worse: int
    """Cases that may fail although the earlier deployment passes them."""
    allow_failed: int | None
    """Cases that may fail at all; None for any number that the earlier deployment fails as well."""
    deadline_s: int


class CheckedSuite(TypedDict):
    """A suite as CheckArchive found it: whole, right, and fit for the model."""

    suite: str
    """The name of its file, which lies beside the archive."""
    bucket: str
    """Where its cases are written down."""
    key: str
    """Made of their content."""
    cases: int


@dataclass(frozen=True, slots=True)
class PlannedGate:
    """What EvaluateQuality works from."""

    suite: str
    bucket: str
    key: str
    cases: int
    allow_worse: int
    allow_failed: int | None
    deadline_s: int
    record_key: str
    """Where, in that bucket, the answers of both deployments are written down, and what was found of them."""


@dataclass(frozen=True, slots=True)
class CaseReply:
    """What an endpoint said to one case."""

    answer: str
    """In a record, of a long one the beginning."""
    error: str = ""
    """Why there is no answer; empty where there is one."""
    seconds: float | None = None
    """As the caller saw it."""
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    """By the server's own clock; where it tells none, of all tokens by all seconds. None where neither is known."""
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class QualityCheck:
    """One expectation, and whether an answer meets it."""

    name: str
    """As the suite has it; `answers` for that there is one, `not degenerate` for that it says something."""
    wanted: str
    seen: str
    passed: bool | None
    """None: it could not be judged, which is no failure."""
    earlier: bool | None = None
    """The same of the earlier deployment's answer."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One case, asked and judged."""

    name: str
    line: int
    """Of the suite."""
    question: str
    """Cut, as an answer."""
    now: CaseReply
    earlier: CaseReply | None
    """None: there was nobody to ask."""
    checks: tuple[QualityCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether no expectation is missed."""
        return all(one.passed is not False for one in self.checks)

    @property
    def earlier_passed(self) -> bool | None:
        """The same of the earlier deployment; None where nobody was asked."""
        return None if self.earlier is None else all(one.earlier is not False for one in self.checks)

    @property
    def verdict(self) -> str:
        """`passed`, `better` where only the earlier one fails, `failed` where both do, else `worse`."""
        if self.passed:
            return "better" if self.earlier_passed is False else "passed"
        return "failed" if self.earlier_passed is False else "worse"

    @property
    def word(self) -> str:
        """The verdict for people: where there is nobody to compare with, a case has passed or failed."""
        return self.verdict if self.earlier or self.passed else "failed"


@dataclass(frozen=True, slots=True)
class QualityRecord:
    """How far a gate is."""

    endpoint: str
    suite: str
    """The key of its cases."""
    began: str
    """ISO 8601."""
    against: str | None
    """The earlier deployment's endpoint; None where there is none."""
    asks_earlier: bool
    """Whether it is still asked: one that does not answer is given up."""
    notes: tuple[str, ...] = ()
    waited: tuple[str, ...] = ()
    """Why the earlier deployment could not answer yet, one for each try."""
    cases: tuple[Compared, ...] = ()
    version: int = RECORD_VERSION
