"""A search that takes for ever is given up, and nothing is left of what gives it up."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline import timed_search

ENDLESS = re.compile("(a+)+$")
TEXT = "a" * 40 + "b"


def test_what_ends_is_found_or_not() -> None:
    """As by Python's own."""
    found = timed_search.search(re.compile("c.*o"), "heavy cargo")
    assert found is not None
    assert found[0] == "cargo"
    assert timed_search.search(re.compile("ship"), "heavy cargo") is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        pytest.param(ENDLESS, TEXT, id="repetition in a repetition"),
        pytest.param(re.compile("a.*a.*a.*a.*b"), "a" * 4000, id="many open repetitions"),
        pytest.param(re.compile("(a|a)" * 40 + "c"), TEXT, id="choices that multiply"),
    ],
)
def test_what_would_not_end_is_given_up(pattern: re.Pattern[str], text: str) -> None:
    """After the processor time that it has, which it tells."""
    before = signal.getsignal(signal.SIGVTALRM)

    with pytest.raises(
        timed_search.SearchTooLong, match=rf"in {len(text):,} characters took more than 0\.05 s"
    ):
        timed_search.search(pattern, text, 0.05)

    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert timed_search.search(re.compile("b"), TEXT) is not None


def test_in_another_thread_nothing_is_timed() -> None:
    """Python handles no signals there: who searches has to bound the text."""
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(timed_search.is_timed).result()
        assert pool.submit(timed_search.search, re.compile("b"), TEXT).result() is not None
    assert timed_search.is_timed()
