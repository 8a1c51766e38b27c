"""Percentiles of all answers, rates, and errors by kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bench import figures
from pipeline.bench.samples import FailedCall, Round, Sample, sample
from pipeline.client.replies import Reply

VALUES = st.lists(st.floats(0.001, 1000), min_size=1, max_size=300)
PERCENT = st.integers(1, 100)


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [
        pytest.param([3, 1, 2], 50, 2, id="the middle"),
        pytest.param([4, 1, 3, 2], 50, 2, id="of an even number the lower"),
        pytest.param([4, 1, 3, 2], 51, 3, id="and no more than that"),
        pytest.param(list(range(1, 101)), 95, 95, id="95 of 100"),
        pytest.param(list(range(1, 101)), 99, 99, id="99 of 100"),
        pytest.param(list(range(1, 100)), 99, 99, id="the last of 99"),
        pytest.param(list(range(1, 21)), 95, 19, id="exactly 19 of 20"),
        pytest.param([7], 1, 7, id="of one"),
        pytest.param([1, 9], 100, 9, id="all"),
    ],
)
def test_a_percentile_is_what_that_many_do_not_exceed(
    values: list[float], percent: int, found: float
) -> None:
    """The smallest such answer; one that there was, not a mean of two."""
    assert figures.percentile(values, percent) == found


@given(VALUES, PERCENT)
def test_a_percentile_is_by_its_definition(values: list[float], percent: int) -> None:
    """So many percent do not exceed it, and fewer do not exceed the next smaller answer."""
    found = figures.percentile(values, percent)

    assert found in values
    assert sum(one <= found for one in values) * 100 >= percent * len(values)
    assert sum(one < found for one in values) * 100 < percent * len(values)


@given(VALUES, PERCENT, PERCENT)
def test_percentiles_rise(values: list[float], one: int, other: int) -> None:
    """A higher one is no shorter."""
    low, high = sorted((one, other))

    assert figures.percentile(values, low) <= figures.percentile(values, high)


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_what_is_no_percentile_is_refused(values: list[float], percent: int) -> None:
    """Nothing is made up."""
    with pytest.raises(ValueError, match="percentile"):
        figures.percentile(values, percent)


FULL = Sample(
    2.0,
    0.5,
    prompt_tokens=100,
    completion_tokens=20,
    evaluated_tokens=80,
    prompt_s=0.4,
    server_s=1.5,
    server_rate=18.0,
)


def a_round(*samples: Sample, seconds: float = 10.0, failures: tuple[FailedCall, ...] = ()) -> Round:
    """Return a round that has ended."""
    made = Round(list(samples), list(failures))
    made.close(seconds, whole=True)
    return made


def test_figures_are_of_all_rounds_together() -> None:
    """Rates by the time of the rounds, the caller's by its own answer's time."""
    slow = replace(FULL, seconds=4.0, first_s=1.0, server_s=3.5, server_rate=10.0)
    found = figures.of([a_round(FULL, FULL, seconds=4), a_round(slow, seconds=6)])

    assert (found.answers, found.errors, found.seconds) == (3, {}, 10)
    assert found.latency == figures.Spread(2.0, 4.0, 4.0, 4.0)
    assert found.first_token == figures.Spread(0.5, 1.0, 1.0, 1.0)
    assert found.answers_per_second == pytest.approx(0.3)
    assert found.tokens_per_second == pytest.approx(6)
    assert found.caller_tokens_per_second == pytest.approx(10)
    assert found.server_tokens_per_second == pytest.approx(18)
    assert (found.prompt_tokens, found.completion_tokens) == (100, 20)
    assert found.evaluated == pytest.approx(0.8)
    assert found.prompt_seconds == pytest.approx(0.4)
    assert found.billed == (pytest.approx(6.5 / 3), "by the endpoint's own clock")


def test_what_one_answer_does_not_tell_is_not_told_of_all() -> None:
    """Half of the answers would be another figure."""
    found = figures.of([a_round(FULL, Sample(2.0))])

    assert found.tokens_per_second is None
    assert found.caller_tokens_per_second is None
    assert found.prompt_tokens is None
    assert found.evaluated is None
    assert found.answers_per_second == pytest.approx(0.2)
    assert found.billed == (2.0, "as the caller saw it")


def test_errors_are_counted_by_kind_and_in_no_time() -> None:
    """An answer that did not come took no time."""
    failures = (FailedCall("Throttled", "a"), FailedCall("EndpointFailed", "b"), FailedCall("Throttled", "c"))
    found = figures.of([a_round(FULL, failures=failures)])

    assert found.errors == {"Throttled": 2, "EndpointFailed": 1}
    assert found.latency == figures.Spread(2.0, 2.0, 2.0, 2.0)


def test_nothing_has_no_figures() -> None:
    """And its JSON says so."""
    found = figures.of([])

    assert found.latency is None
    assert found.answers_per_second is None
    assert found.billed is None
    assert {one for name, one in found.to_json().items() if name not in {"answers", "errors", "seconds"}} == {
        None
    }


def test_a_sample_is_what_a_reply_tells() -> None:
    """By llama-server's names; a server that tells none is no error."""
    told = {"prompt_n": 80.0, "prompt_ms": 400.0, "predicted_ms": 1100.0, "predicted_per_second": 18.0}
    reply = Reply(prompt_tokens=100, completion_tokens=20, timings=told)

    assert sample(reply, 2.0, 0.5) == FULL
    assert sample(Reply(), 2.0) == Sample(2.0)


def test_a_round_that_is_over_takes_nothing_more() -> None:
    """What was interrupted does not change while it is shown."""
    over = a_round(FULL)
    over.add(FULL)
    over.add(FailedCall("Throttled", "late"))

    assert over.done == 1
