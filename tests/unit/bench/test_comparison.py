"""The interval of a ratio: exact where it should be, and no more sure than it may be."""

from __future__ import annotations

import math
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bench import comparison

FIGURE = st.floats(0.01, 100)
PAIRS = st.lists(st.tuples(FIGURE, FIGURE), min_size=comparison.FEWEST, max_size=10)


def test_a_ratio_is_of_the_second_to_the_first() -> None:
    """On the scale of ratios: half and twice make one."""
    found = comparison.ratio([(1, 2), (4, 2)])

    assert found is not None
    assert found.ratio == pytest.approx(1)
    assert comparison.ratio([(2.0, 1.0)] * 2).ratio == pytest.approx(0.5)  # type: ignore[union-attr]


def test_too_few_rounds_have_no_interval() -> None:
    """With five even the widest one misses the truth too often."""
    five, six = (comparison.ratio([(1.0, 2.0)] * many) for many in (5, 6))

    assert five is not None
    assert six is not None
    assert (five.low, five.high, five.differs) == (None, None, None)
    assert six.differs is True
    assert comparison.ratio([]) is None


def test_the_interval_leaves_out_as_many_subsets_as_it_may() -> None:
    """Of the means of all subsets: of ten rounds the 25 lowest and the 25 highest gaps."""
    pairs = [(1.0, math.exp(one)) for one in (0.3, -0.1, 0.2, 0.5, 0.05, -0.4, 0.15, 0.6, 0.1, 0.25)]
    logs = [math.log(two) for _, two in pairs]
    means = sorted(sum(some) / len(some) for many in range(1, 11) for some in combinations(logs, many))
    found = comparison.ratio(pairs)

    assert found is not None
    assert found.low == pytest.approx(math.exp(means[24]))
    assert found.high == pytest.approx(math.exp(means[-25]))


@given(PAIRS)
def test_whoever_is_the_first_the_answer_is_the_same(pairs: list[tuple[float, float]]) -> None:
    """The other way round it is the reciprocal, and as sure."""
    one = comparison.ratio(pairs)
    other = comparison.ratio([(second, first) for first, second in pairs])

    assert one is not None
    assert other is not None
    assert one.low is not None
    assert other.low is not None
    assert one.ratio * other.ratio == pytest.approx(1)
    assert other.high is not None
    assert one.low * other.high == pytest.approx(1)
    assert one.low <= one.ratio * 1.000001


@given(PAIRS, st.floats(0.1, 10))
def test_a_factor_moves_the_interval(pairs: list[tuple[float, float]], factor: float) -> None:
    """So units do not matter."""
    one = comparison.ratio(pairs)
    other = comparison.ratio([(first, second * factor) for first, second in pairs])

    assert one is not None
    assert other is not None
    assert one.low is not None
    assert other.low == pytest.approx(one.low * factor)


@pytest.mark.parametrize(
    ("low", "high", "differs"),
    [(1.01, 2, True), (0.5, 0.99, True), (0.99, 1.01, False), (1.0, 2, False), (0.5, 1.0, False)],
)
def test_a_difference_is_what_leaves_one_out(low: float, high: float, *, differs: bool) -> None:
    """On either side."""
    assert comparison.Ratio(1.5, 10, low, high).differs is differs


@pytest.mark.parametrize("rounds", [6, 10])
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_the_interval_holds_the_truth_nineteen_times_of_twenty(rounds: int, factor: float) -> None:
    """With drift, skewed times and outliers, whether there is a difference or not."""
    rng, missed, tries = Random(f"{rounds} {factor}"), 0, 400
    for _ in range(tries):
        drift, pairs = 0.0, []
        for _ in range(rounds):
            drift += rng.gauss(0, 0.1)
            one, two = (
                math.exp(rng.gauss(drift, 0.15)) * (3 if rng.random() < 0.05 else 1) for _ in range(2)
            )
            pairs.append((one, two * factor))
        found = comparison.ratio(pairs)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= factor <= found.high

    assert missed / tries < 0.08
