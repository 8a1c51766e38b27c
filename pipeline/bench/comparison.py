"""Whether one endpoint differs from another beyond what chance does: an interval for the ratio of paired rounds.

Two endpoints take turns, so that whatever drifts meanwhile (a neighbor, the network, the time of day) is in both
figures of a round, and the ratio of a round is free of it. Where the two do not differ, a round's ratio is as likely to
be one way round as the other; so of the means of its logarithm over all subsets of the rounds each gap between two
neighbors is equally likely to hold the truth (J. A. Hartigan, "Using subsample values as typical values", 1969). That
needs no normal distribution, no seed and no random draw. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MISSES: Final = 0.05
"""How often the interval may miss the truth."""
FEWEST: Final = 6
"""Rounds: with five the widest interval that there is misses it more often."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the one's figure is the other's."""

    ratio: float
    rounds: int
    low: float | None = None
    """The interval, which holds the truth 19 times of 20; None of too few rounds."""
    high: float | None = None

    @property
    def differs(self) -> bool | None:
        """Whether the difference is beyond chance; None of too few rounds."""
        if self.low is None or self.high is None:
            return None
        return self.low > 1 or self.high < 1


def ratio(pairs: Iterable[tuple[float, float]]) -> Ratio | None:
    """Return the ratio of the second to the first over rounds; None where there are none.

    Args:
        pairs: a figure of both in each round, above 0.
    """
    logs = [math.log(second / first) for first, second in pairs]
    if not logs:
        return None
    middle = math.exp(sum(logs) / len(logs))
    if (found := _interval(logs)) is None:
        return Ratio(middle, len(logs))
    low, high = found
    return Ratio(middle, len(logs), math.exp(low), math.exp(high))


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    outside = int(MISSES / 2 * 2 ** len(values))
    """Gaps at each end that the interval leaves out, of as many as there are subsets."""
    if outside < 1:
        return None
    sums, counts = [0.0], [0]
    for value in values:
        sums += [one + value for one in sums]
        counts += [one + 1 for one in counts]
    means = sorted(one / count for one, count in zip(sums[1:], counts[1:], strict=True))
    return means[outside - 1], means[-outside]
