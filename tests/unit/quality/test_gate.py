"""A gate's refusal at the bounds of what it allows: which cases it names, and how many."""

from __future__ import annotations

import pytest

from pipeline.quality import gate
from pipeline.state_data.quality_types import CaseReply, Compared, QualityCheck

SAID = CaseReply("x")


def case(name: str, *, now: bool, earlier: bool | None = None) -> Compared:
    """Return a case that passes or fails now, and did before where anybody was asked."""
    check = QualityCheck("contains 'x'", "x", f"{name} has it" if now else f"{name} has it not", now, earlier)
    return Compared(
        name=name,
        line=1,
        question="?",
        now=SAID,
        earlier=None if earlier is None else SAID,
        checks=(check,),
    )


PASSED, BETTER = case("p", now=True, earlier=True), case("b", now=True, earlier=False)
WORSE, AS_BEFORE = case("w", now=False, earlier=True), case("f", now=False, earlier=False)
ALL = (PASSED, BETTER, WORSE, AS_BEFORE)


@pytest.mark.parametrize(
    ("allow_worse", "allow_failed", "named"),
    [
        pytest.param(0, None, ["'w'"], id="one too many is worse"),
        pytest.param(1, None, [], id="as many as may be"),
        pytest.param(1, 2, [], id="as many fail as may"),
        pytest.param(1, 1, ["'w'", "'f'"], id="one too many fails"),
        pytest.param(1, 0, ["'w'", "'f'"], id="none may fail"),
        pytest.param(0, 0, ["'w'"], id="the worse ones come first"),
    ],
)
def test_a_gate_refuses_at_its_bounds_and_names_who_failed(
    allow_worse: int, allow_failed: int | None, named: list[str]
) -> None:
    """Those that count against it, with what each misses, and no other."""
    why = gate.refusal(ALL, allow_worse=allow_worse, allow_failed=allow_failed)

    assert [one for one in ("'p'", "'b'", "'w'", "'f'") if one in why] == named
    assert bool(why) is bool(named)


@pytest.mark.parametrize(
    ("failed", "end"),
    [(gate.MOST_NAMED, "n3 has it not"), (gate.MOST_NAMED + 1, "; and 1 more")],
)
def test_a_few_cases_are_named_and_the_rest_is_counted(failed: int, end: str) -> None:
    """Nobody is told of 0 more."""
    told = gate.named([case(f"n{number}", now=False) for number in range(failed)])

    assert told.endswith(end)
    assert told.count("has it not") == gate.MOST_NAMED
