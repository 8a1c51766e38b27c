"""Whether an answer is as it was expected, at the boundary and on both sides of it; what all cases come to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from pipeline.quality import expectations, gate
from pipeline.quality.cases import Case, Expected
from pipeline.quality.expectations import Answered
from pipeline.state_data.quality_types import CaseReply, Compared, QualityCheck

ANSWER = "A sealift carries cargo."


def case(**expect: Any) -> Case:
    """Return one case."""
    return Case("c", 1, "What?", (), None, 128, None, {}, Expected(**expect))


def said(text: str = ANSWER, vector: tuple[float, ...] | None = None, **told: Any) -> Answered:
    """Return what an endpoint said."""
    return Answered(CaseReply(text, **{"seconds": 1.0, "tokens_per_second": 10.0, **told}), vector)


def check(name: str, now: Answered, earlier: Answered | None = None, **expect: Any) -> QualityCheck:
    """Return what became of one expectation."""
    found = expectations.compare(case(**expect), now, earlier)
    return next(one for one in found.checks if one.name.startswith(name))


@pytest.mark.parametrize(
    ("name", "expect", "answer", "passed"),
    [
        pytest.param("contains", {"contains": ("CARGO",)}, said(), True, id="contains"),
        pytest.param("contains", {"contains": ("fish",)}, said(), False, id="contains not"),
        pytest.param("matches", {"matches": (r"c.rgo\.$",)}, said(), True, id="matches"),
        pytest.param("matches", {"matches": (r"^cargo",)}, said(), False, id="matches not"),
        pytest.param(
            "matches",
            {"matches": (r"Heavy.*cargo.*sea.*ship",)},
            said(f"Heavy {'or light ' * 200}cargo across the sea, by ship."),
            True,
            id="matches words far apart",
        ),
        pytest.param("matches", {"matches": (r"a.*b.*c.*d",)}, said("ab" * 4000), False, id="given up"),
        pytest.param("json_schema", {"json_schema": {"type": "object"}}, said("{}"), True, id="conforms"),
        pytest.param(
            "json_schema", {"json_schema": {"type": "object"}}, said("[]"), False, id="conforms not"
        ),
        pytest.param("json_schema", {"json_schema": {}}, said("```{}```"), False, id="no JSON alone"),
        pytest.param("json_schema", {"json_schema": {}}, said("NaN"), False, id="no number of JSON"),
        pytest.param("json_schema", {"json_schema": {}}, said("[" * 9**6), False, id="too deep"),
        pytest.param("max_seconds", {"max_seconds": 1.0}, said(), True, id="just in time"),
        pytest.param("max_seconds", {"max_seconds": 1.0}, said(seconds=1.001), False, id="too late"),
        pytest.param("max_seconds", {"max_seconds": 1.0}, said(seconds=None), False, id="no time"),
        pytest.param("min_tokens", {"min_tokens_per_second": 10.0}, said(), True, id="just fast enough"),
        pytest.param(
            "min_tokens", {"min_tokens_per_second": 10.0}, said(tokens_per_second=9.99), False, id="too slow"
        ),
        pytest.param(
            "min_tokens", {"min_tokens_per_second": 1.0}, said(tokens_per_second=None), False, id="no speed"
        ),
        pytest.param("answers", {}, said("", error="status 500"), False, id="no answer"),
        pytest.param("answers", {}, said(), True, id="an answer"),
        pytest.param("not degenerate", {}, said(" "), False, id="blank"),
        pytest.param("not degenerate", {}, said(), True, id="says something"),
    ],
)
def test_an_expectation_is_met_or_not(
    name: str, expect: dict[str, Any], answer: Answered, passed: bool
) -> None:
    """Each by itself."""
    assert check(name, answer, **expect).passed is passed


def test_where_no_search_is_timed_the_text_is_bounded() -> None:
    """In a thread that is not the main one."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(check, "matches", said("a" * 60), matches=(r"a.*b.*c.*d",)).result()
    assert not found.passed
    assert found.seen == "60 characters, and this pattern is searched in 56 at most"


@pytest.mark.parametrize(
    ("name", "answer", "seen"),
    [
        ("answers", said(), "one"),
        ("answers", said("", error="status 500"), "status 500"),
        ("not degenerate", said(), "it does"),
        ("not degenerate", said(" "), "degenerate (blank: 1 characters, none of them visible)"),
    ],
)
def test_what_was_seen_is_said(name: str, answer: Answered, seen: str) -> None:
    """Of what is good in a word, of what is not in its own."""
    assert check(name, answer).seen == seen


def test_each_of_several_texts_is_expected() -> None:
    """All of them."""
    found = expectations.compare(case(contains=("cargo", "fish", "sealift")), said(), None)

    assert [one.passed for one in found.checks if one.name.startswith("contains")] == [True, False, True]


def test_a_degenerate_answer_may_be_allowed() -> None:
    """Then nobody looks."""
    found = expectations.compare(case(allow_degenerate=True), said(" "), None)

    assert [one.name for one in found.checks] == ["answers"]


@pytest.mark.parametrize(
    ("now", "earlier", "passed"),
    [
        pytest.param(said("abc"), said("abcd"), True, id="4/7, just similar enough"),
        pytest.param(said("abc"), said("abcde"), False, id="1/2, not similar enough"),
        pytest.param(said("abc"), None, None, id="nobody to compare with"),
        pytest.param(said("abc"), said("", error="gone"), None, id="no earlier answer"),
        pytest.param(said("", (1.0, 0.0)), said("", (2.0, 0.0)), True, id="embeddings"),
        pytest.param(said("", (1.0, 0.0)), said("", (0.0, 1.0)), False, id="other embeddings"),
    ],
)
def test_a_similarity_is_judged_where_there_is_an_earlier_answer(
    now: Answered, earlier: Answered | None, passed: bool | None
) -> None:
    """Otherwise it is no failure."""
    found = check("similarity", now, earlier, similarity=4 / 7, allow_degenerate=True)

    assert (found.passed, found.earlier) == (passed, None)
    whole = expectations.compare(case(similarity=4 / 7, allow_degenerate=True), now, earlier)
    assert whole.passed is (passed is not False)


def test_an_answer_that_is_not_there_is_said_once() -> None:
    """What cannot be judged without it is not judged."""
    found = expectations.compare(case(contains=("a",), max_seconds=1), said("", error="no"), said())

    assert {one.name: one.passed for one in found.checks} == {
        "answers": False,
        "not degenerate": None,
        "contains 'a'": None,
        "max_seconds": None,
    }


GOOD, BAD = said(), said("Fish.")


@pytest.mark.parametrize(
    ("now", "earlier", "verdict", "word"),
    [
        pytest.param(GOOD, GOOD, "passed", "passed", id="both"),
        pytest.param(GOOD, BAD, "better", "better", id="better"),
        pytest.param(BAD, GOOD, "worse", "worse", id="worse"),
        pytest.param(BAD, BAD, "failed", "failed", id="neither"),
        pytest.param(GOOD, None, "passed", "passed", id="alone"),
        pytest.param(BAD, None, "worse", "failed", id="alone, and wrong"),
        pytest.param(BAD, said("", error="no"), "failed", "failed", id="the earlier one fails to answer"),
    ],
)
def test_a_case_is_worse_where_the_earlier_one_passes_or_is_not_there(
    now: Answered, earlier: Answered | None, verdict: str, word: str
) -> None:
    """What both miss is no reason to keep the earlier one."""
    found = expectations.compare(case(contains=("cargo",)), now, earlier)

    assert (found.verdict, found.word) == (verdict, word)


def test_long_answers_are_cut_for_the_record_alone() -> None:
    """What is judged is all of it."""
    found = expectations.compare(
        case(contains=("cargo",)), said(" ".join(map(str, range(1000))) + " cargo"), None
    )

    assert found.passed
    assert len(found.now.answer) < 2100


# ------------------------------------------------------------------------- all of them


def compared(verdict: str, number: int = 0) -> Compared:
    """Return a case that came to a verdict."""
    now, earlier = {
        "passed": (GOOD, GOOD),
        "better": (GOOD, BAD),
        "worse": (BAD, GOOD),
        "failed": (BAD, BAD),
        "alone": (BAD, None),
    }[verdict]
    return replace(expectations.compare(case(contains=("cargo",)), now, earlier), name=f"{verdict} {number}")


def test_all_cases_are_counted() -> None:
    """By what they came to."""
    found = gate.weigh([compared(one) for one in ("passed", "better", "better", "worse", "failed")])

    assert (found.asked, found.passed, found.better, found.worse, found.failed) == (5, 3, 2, 1, 2)
    assert found.told == (
        "3 of 5 cases passed, 2 of them better than before, 1 worse than before, 1 failed as before"
    )
    assert gate.weigh([compared("alone")]).told == "0 of 1 cases passed, 1 failed"
    assert gate.weigh([compared("passed")]).told == "1 of 1 cases passed"


@pytest.mark.parametrize(
    ("cases", "allow_worse", "allow_failed", "refused"),
    [
        pytest.param(("passed", "better"), 0, 0, False, id="none"),
        pytest.param(("worse",), 0, None, True, id="one worse"),
        pytest.param(("worse",), 1, None, False, id="one may be"),
        pytest.param(("worse", "worse"), 1, None, True, id="two, and one may be"),
        pytest.param(("failed",), 0, None, False, id="failed as before"),
        pytest.param(("failed",), 0, 0, True, id="none may fail"),
        pytest.param(("failed",), 0, 1, False, id="one may fail"),
        pytest.param(("worse", "failed"), 1, 1, True, id="both count as failed"),
        pytest.param(("alone",), 0, None, True, id="no earlier one"),
        pytest.param((), 0, 0, False, id="no case"),
    ],
)
def test_a_gate_refuses_what_is_worse_than_it_allows(
    cases: tuple[str, ...], allow_worse: int, allow_failed: int | None, refused: bool
) -> None:
    """At the boundary."""
    found = [compared(one, number) for number, one in enumerate(cases)]

    assert bool(gate.refusal(found, allow_worse=allow_worse, allow_failed=allow_failed)) is refused


def test_a_refusal_names_the_first_cases_and_what_they_miss() -> None:
    """And says how many more there are."""
    found = [compared("worse", number) for number in range(gate.MOST_NAMED + 2)]

    told = gate.refusal([*found, compared("failed")], allow_worse=0, allow_failed=None)
    assert told.startswith("it fails 6 of 7 cases that the earlier deployment passes, and may 0: 'worse 0': ")
    assert "contains 'cargo': it is not there" in told
    assert told.endswith("; and 2 more")
    assert "failed 0" not in told
    alone = gate.refusal([compared("alone")], allow_worse=0, allow_failed=None)
    assert alone.startswith("it fails 1 of 1 case, and may 0: ")
