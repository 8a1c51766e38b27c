"""A little of what `make fuzz` does for long with grammars."""

from __future__ import annotations

from tests.fuzz.fuzz_grammars import fuzz


def test_no_grammar_that_is_taken_ends_the_process() -> None:
    """Of some hundred at random, by the real llama.cpp; some are taken and some are not."""
    told, found = fuzz(float("inf"), seed=3, most=300)

    assert found == []
    assert told["grammar not taken"]
    assert told["grammar: stop"]
