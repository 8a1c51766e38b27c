"""Prompts that continue one another in a cache whose sliding layers have dropped their oldest tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from inference.inference import Model, Settings, _forget_if_slid

WINDOW = 4


@pytest.mark.parametrize(
    ("before", "now", "oldest", "forgotten"),
    [
        pytest.param([], [1, 2, 3], -1, False, id="nothing evaluated yet"),
        pytest.param([1, 2, 3], [1, 2, 9], 0, False, id="nothing dropped yet"),
        pytest.param(list(range(20)), [*range(20), 99], 10, False, id="continued at its end"),
        pytest.param(list(range(20)), list(range(20)), 10, False, id="the same again"),
        pytest.param(list(range(20)), [*range(15), 99], 10, False, id="parted, the window still there"),
        pytest.param(list(range(20)), [*range(14), 99], 10, True, id="parted, part of the window gone"),
        pytest.param(list(range(20)), [*range(3), 99], 10, True, id="parted before all that is left"),
        pytest.param(list(range(20)), [77], 10, True, id="nothing in common"),
        pytest.param(list(range(20)), list(range(5)), 10, True, id="a shorter one"),
    ],
)
def test_a_prompt_is_forgotten_when_its_window_is_gone(
    before: list[int], now: list[int], oldest: int, forgotten: bool
) -> None:
    """What is evaluated next needs the tokens of its window, and llama.cpp does not notice when they are missing."""
    resets = []
    llama: Any = SimpleNamespace(
        n_tokens=len(before), input_ids=[*before, 5, 5], reset=lambda: resets.append(1)
    )

    _forget_if_slid(Model(llama, Settings(), "harbour", None, WINDOW, lambda: oldest), now)

    assert bool(resets) == forgotten


def test_without_a_window_nothing_is_asked() -> None:
    """A model whose layers all see everything continues any prompt."""

    def never() -> int:
        raise AssertionError

    _forget_if_slid(Model(SimpleNamespace(), Settings(), "harbour", None, 0, never), [1])  # type: ignore[arg-type]
