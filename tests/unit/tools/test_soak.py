"""What counts as growth in a run of mixed traffic."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.soak import Soaked, growth, line, rise, slope
from pipeline.limits import MiB

WARMED = [30.0, 40.0, 50.0, 60.0, 66.0, 70.0]
"""MiB of a first half: what is kept on purpose comes."""


def soaked(
    late: Sequence[float], files: Sequence[int] = (9,) * 12, threads: Sequence[int] = (9,) * 12
) -> Soaked:
    """Return a run whose second half holds so many MiB."""
    held = [int(one * MiB) for one in (*WARMED, *late)]
    return Soaked(resident=held, processes={"server": held}, files=list(files), threads=list(threads))


def test_a_slope_is_that_of_most() -> None:
    """A single moment at which something was under way bends nothing."""
    assert slope([1.0, 2.0, 3.0, 4.0, 5.0]) == 1.0
    assert slope([1.0, 2.0, 90.0, 4.0, 5.0]) == 1.0
    assert slope([7.0, 7.0]) == 0.0
    assert rise([0.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0]) == 4.0


@pytest.mark.parametrize(
    ("late", "grown"),
    [
        pytest.param([70.0] * 6, False, id="level"),
        pytest.param([70.0, 70.0, 75.0, 70.0, 70.0, 70.0], False, id="one moment"),
        pytest.param([70.0, 70.1, 70.2, 70.3, 70.4, 70.5], False, id="within a hundredth"),
        pytest.param([70.0, 70.2, 70.4, 70.6, 70.8, 71.0], True, id="more than a hundredth"),
        pytest.param([70.0, 69.0, 68.0, 67.0, 66.0, 65.0], False, id="less"),
    ],
)
def test_memory_that_rises_in_the_second_half_is_growth(late: list[float], grown: bool) -> None:
    """However much came in the first one."""
    assert bool(growth(soaked(late))) == grown
    if grown:
        assert growth(soaked(late)) == ["memory by 1.0 MiB in the second half (server +1.0)"]


@pytest.mark.parametrize("name", ["files", "threads"])
def test_what_the_system_lends_may_not_be_more_than_it_once_was(name: str) -> None:
    """By the quarter before the middle."""
    level, more = [5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 9], [5, 6, 7, 8, 9, 9, 10, 10, 10, 10, 10, 10]
    assert growth(soaked([70.0] * 6, **{name: level})) == []  # type: ignore[arg-type]
    assert growth(soaked([70.0] * 6, **{name: more})) == [f"{name} from 9 to 10"]  # type: ignore[arg-type]


def test_a_line_tells_each_process() -> None:
    """Which of them grew is what is looked for."""
    told = line("custom", soaked([70.0, 70.2, 70.4, 70.6, 70.8, 71.0]))
    assert "MiB 70.0 -> 70.8 (+1.00 in the second half), server 70.0 -> 70.8" in told
