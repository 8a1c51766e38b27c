"""Which instance type comes first."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sizing import preference
from pipeline.sizing.preference import CHEAPEST, FASTEST, PREFERENCES, TOKENS_PER_DOLLAR, Wish


class Type(NamedTuple):
    """A type."""

    name: str
    usd_per_hour: float
    tokens_per_s: float


SLOW, MIDDLE, WORSE, QUICK, BEST = (
    Type("slow", 0.1, 2.4),
    Type("middle", 0.3, 2.6),
    Type("worse", 0.4, 2.6),
    Type("quick", 1.0, 10.0),
    Type("best", 8.0, 30.0),
)
ALL = (BEST, SLOW, QUICK, WORSE, MIDDLE)


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        pytest.param(Wish(), ["middle", "quick", "best"], id="what takes too long is never first"),
        pytest.param(Wish(FASTEST), ["best", "quick", "middle"], id="fastest"),
        pytest.param(Wish(TOKENS_PER_DOLLAR), ["quick", "middle", "worse"], id="tokens for a dollar"),
        pytest.param(Wish(min_tokens_per_s=2.7), ["quick", "best"], id="a least speed"),
        pytest.param(Wish(min_tokens_per_s=10), ["quick", "best"], id="just as fast"),
        pytest.param(Wish(answer_within_s=15), ["quick", "best"], id="an answer in just so many seconds"),
        pytest.param(Wish(answer_within_s=14.9), ["best"], id="a little sooner"),
        pytest.param(Wish(min_tokens_per_s=31), [], id="none"),
        pytest.param(Wish(min_tokens_per_s=2, answer_within_s=10), ["best"], id="both: the stricter one"),
        pytest.param(Wish(min_tokens_per_s=99, answers=False), ["slow", "middle", "quick"], id="embeddings"),
    ],
)
def test_what_is_wanted_comes_first(wish: Wish, names: list[str]) -> None:
    """Three of them."""
    assert [one.name for one in preference.ordered(ALL, wish, 3)] == names


def test_an_answer_that_takes_all_of_a_call_is_not_in_time() -> None:
    """Its prompt is read before."""
    just, dearer = Type("just", 0.1, 2.5), Type("dearer", 9, 2.51)

    assert [one.name for one in preference.ordered((just, dearer), Wish(), 1)] == ["dearer"]


def test_where_nothing_is_in_time_the_order_is_the_usual_one() -> None:
    """A stream has longer, and it is for the person to say."""
    slow = [Type("b", 2, 1.0), Type("a", 1, 0.5)]

    assert [one.name for one in preference.ordered(slow, Wish(), 3)] == ["a", "b"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(min_tokens_per_s=10), "min_tokens_per_s 10"),
        (Wish(answer_within_s=7.5), "150 tokens within answer_within_s 7.5"),
        (Wish(FASTEST, 1, 2), "min_tokens_per_s 1 and 150 tokens within answer_within_s 2"),
    ],
)
def test_a_requirement_is_told_in_its_own_words(wish: Wish, words: str) -> None:
    """As the fields are called."""
    assert str(wish) == words


TYPES = st.lists(
    st.builds(Type, st.text("abc", min_size=1, max_size=3), st.floats(0.1, 50), st.floats(0.1, 99)),
    max_size=8,
)
WISHES = st.builds(
    Wish, st.sampled_from(PREFERENCES), st.none() | st.floats(0.1, 50), st.none() | st.floats(1, 300)
)


@given(TYPES, WISHES)
def test_the_first_is_never_one_that_another_beats(found: list[Type], wish: Wish) -> None:
    """By what is preferred, among those that are in time if any is."""
    chosen = preference.ordered(found, wish, 3)
    able = [one for one in found if one.tokens_per_s >= wish.least_tokens_per_s]
    assert bool(chosen) == bool(able)
    if not chosen:
        return

    first = chosen[0]
    timely = [one for one in able if 150 / one.tokens_per_s < 60] or able
    assert first in timely
    if wish.prefer == CHEAPEST:
        assert all(first.usd_per_hour <= one.usd_per_hour for one in timely)
    elif wish.prefer == FASTEST:
        assert all(first.tokens_per_s >= one.tokens_per_s for one in timely)
    else:
        best = max(one.tokens_per_s / one.usd_per_hour for one in timely)
        assert first.tokens_per_s / first.usd_per_hour == best
    assert all(one.tokens_per_s >= wish.least_tokens_per_s for one in chosen)
