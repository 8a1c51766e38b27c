"""What all cases of a suite come to: whether the new endpoint may be switched to, and why not.

A case is worse when the new endpoint fails it and the earlier deployment passes it, or nobody could be asked that. One
that both fail is no reason to keep the earlier one. Pure: a record in, a verdict out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline import payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.state_data.quality_types import Compared

MOST_NAMED: Final = 4
"""Failed cases that a message names."""
_REASON: Final = 200
"""Bytes of each one's reason."""


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """How many cases came to what."""

    asked: int
    passed: int
    """Those that are better among them."""
    better: int
    worse: int
    failed: int
    """The worse ones among them."""
    compared: bool
    """Whether there was an earlier deployment to compare with."""

    @property
    def told(self) -> str:
        """It in words."""
        parts = [f"{self.passed} of {self.asked} cases passed"]
        parts += [f"{self.better} of them better than before"] if self.better else []
        parts += [f"{self.worse} {'worse than before' if self.compared else 'failed'}"] if self.worse else []
        both = self.failed - self.worse
        parts += [f"{both} failed as before"] if both else []
        return ", ".join(parts)


def weigh(cases: Sequence[Compared]) -> GateVerdict:
    """Return how many cases came to what."""
    counts = Counter(one.verdict for one in cases)
    return GateVerdict(
        asked=len(cases),
        passed=counts["passed"] + counts["better"],
        better=counts["better"],
        worse=counts["worse"],
        failed=counts["worse"] + counts["failed"],
        compared=any(one.earlier for one in cases),
    )


def refusal(cases: Sequence[Compared], *, allow_worse: int, allow_failed: int | None) -> str:
    """Return why the new endpoint is not switched to; empty when it is.

    Args:
        cases: all of the suite.
        allow_worse: that may be worse than before.
        allow_failed: that may fail at all; None for any number.
    """
    found = weigh(cases)
    if found.worse > allow_worse:
        which = [one for one in cases if one.verdict == "worse"]
        # Without anybody to compare with, a case that fails is one that got worse.
        than = " that the earlier deployment passes" if any(one.earlier for one in which) else ""
        return f"it fails {_cases(found.worse, found.asked)}{than}, and may {allow_worse}: {named(which)}"
    if allow_failed is not None and found.failed > allow_failed:
        which = [one for one in cases if not one.passed]
        return f"it fails {_cases(found.failed, found.asked)}, and may {allow_failed}: {named(which)}"
    return ""


def _cases(number: int, asked: int) -> str:
    return f"{number} of {asked} case{'s' * (asked != 1)}"


def named(cases: Sequence[Compared]) -> str:
    """Return the failed cases with what each misses, the first ones of many."""
    told = [f"{one.name!r}: {payload.cut(missed(one), _REASON)}" for one in cases[:MOST_NAMED]]
    if (more := len(cases) - MOST_NAMED) > 0:
        told.append(f"and {more} more")
    return "; ".join(told)


def missed(case: Compared) -> str:
    """Return what a case's answer misses, in words; empty for one that misses nothing."""
    return ", ".join(f"{one.name}: {one.seen}" for one in case.checks if one.passed is False)
