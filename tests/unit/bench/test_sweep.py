"""Stages, their rounds, and what they come to at most; prompts of a length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bench import comparison, prompts, sweep
from pipeline.bench.prompts import PROBES, Lengths
from pipeline.bench.sweep import LoadStage, Sweep
from pipeline.errors import InvalidInput

WANTED = Sweep((4, 1), (512, 64, 64), 32, 100, 60)


def test_stages_begin_with_the_least() -> None:
    """Short prompts and few callers first, none twice; the whole of the calls in one round."""
    found = sweep.stages(WANTED, compared=False)

    assert [(one.prompt_tokens, one.concurrency) for one in found] == [(64, 1), (64, 4), (512, 1), (512, 4)]
    assert {(one.rounds, one.calls, one.seconds) for one in found} == {(1, 100, 60)}
    assert found[1].most_calls == 104


@pytest.mark.parametrize(
    ("requests", "callers", "rounds", "calls"),
    [
        pytest.param(100, 1, 10, 10, id="as many rounds as are useful"),
        pytest.param(100, 8, 10, 8, id="whole turns of all callers"),
        pytest.param(100, 16, 6, 16, id="fewer rounds where callers are many"),
        pytest.param(6, 1, 6, 1, id="the fewest"),
        pytest.param(95, 9, 10, 9, id="what does not divide is left out"),
    ],
)
def test_two_endpoints_take_turns(requests: int, callers: int, rounds: int, calls: int) -> None:
    """In rounds in which each caller asks equally often, within the calls that are allowed."""
    (found,) = sweep.stages(Sweep((callers,), (64,), 32, requests, 60), compared=True)

    assert found == LoadStage(callers, 64, rounds, calls, 60 / rounds)


@given(st.integers(1, 256), st.integers(1, 2000))
def test_rounds_keep_within_the_calls(callers: int, requests: int) -> None:
    """Or are refused, when there are too few for a comparison."""
    wanted = Sweep((callers,), (64,), 32, requests, 60)
    if requests < comparison.FEWEST * callers:
        with pytest.raises(InvalidInput, match=f"--requests {comparison.FEWEST * callers}"):
            sweep.stages(wanted, compared=True)
        return
    (found,) = sweep.stages(wanted, compared=True)

    assert comparison.FEWEST <= found.rounds <= sweep.ROUNDS
    assert found.rounds * found.calls <= requests
    assert found.calls % callers == 0


def test_prompts_differ_from_their_first_word_on() -> None:
    """As good as always: no cache has the beginning of another one."""
    made = [prompts.prompt(30, f"run/{number}") for number in range(400)]

    assert len({" ".join(one.split()[:3]) for one in made}) == 400
    assert len(set(made)) == 400
    assert prompts.prompt(30, "run/0") == made[0]


@pytest.mark.parametrize("task", [True, False])
def test_a_prompt_has_its_words(*, task: bool) -> None:
    """And something to do behind them, where it is not only to be embedded."""
    one = prompts.prompt(7, "a", task=task)

    assert all(word in prompts.WORDS for word in one.partition(".")[0].split())
    assert len(one.partition(".")[0].split()) == 7
    assert ("Write" in one) is task


def test_lengths_are_found_by_two_prompts() -> None:
    """What stands beside the words is taken off."""
    found = Lengths.of((20 + 2 * PROBES[0], 20 + 2 * PROBES[1]))

    assert found == Lengths(20, 2, measured=True)
    assert found.words(120) == 50
    assert found.words(10) == 1


@pytest.mark.parametrize("told", [(None, 5), (5, None), (7, 7), (9, 7)])
def test_lengths_that_nobody_tells_are_guesses(told: tuple[int | None, int | None]) -> None:
    """And are known as such."""
    assert Lengths.of(told) == Lengths()
    assert not Lengths().measured


def test_words_are_words() -> None:
    """None of them twice: a prompt is as random as it looks."""
    assert len(set(prompts.WORDS)) == len(prompts.WORDS) > 200
