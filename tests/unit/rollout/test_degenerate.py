"""Answers that no working model gives are told from short, odd and repetitive ones that one may."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.rollout import answers
from pipeline.rollout.answers import AnswerRule, degenerate
from pipeline.state_data.request_types import Expectation

PROMPT = "What is the capital of France, and what is it known for?"

POEM = """\
The woods are lovely, dark and deep,
But I have promises to keep,
And miles to go before I sleep,
And miles to go before I sleep."""
LIST = "\n".join(f"- Step {n}: open the valve {n}" for n in range(1, 9))
CODE = """\
def add(a, b):
    return a + b


def sub(a, b):
    return a - b


def mul(a, b):
    return a * b
"""
MARKED = [f"the{mark}" for mark in (".", "!", "?", ",", ";", ":", "", "-", "...", "?!", "!!", ".,")]
"""One word, with something else after it each time."""
TABLE = """\
| name | tonnes |
| --- | --- |
| Ada | 4000 |
| Bella | 3000 |
| Cora | 5000 |
"""


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "42",
        "1",
        "ha ha ha",
        "hahahaha",
        "No, no, no!",
        "1, 2, 3",
        "0, 0, 0, 0, 0",
        "Row, row, row your boat",
        "!!!",
        "Brrrrrrrrr!",
        "0.3333333333333333",
        "----------",
        POEM,
        LIST,
        CODE,
        TABLE,
        ", ".join(map(str, range(200))),
        "東京は日本の首都です。",
        "はははは",
        "Москва - столица России.",
        "مرحبا بالعالم",
        "\U0001f6a2\U0001f6a2\U0001f6a2",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "U+FFFD looks like this: \ufffd",
        "Here is a ship: \ufffd\ufffd\ufffd",
        "a\ufffdb\ufffdc",
        "Three \ufffd of \ufffd many \ufffd letters, and all the others are as they should be.",
        "What is the capital of France? Paris, which is known for its tower.",
        '{"city": "Paris", "known_for": ["the tower", "the river"]}',
        "A" * 20,
        " ".join(MARKED[:11]),
        f"{' '.join(MARKED[:11])} a cat sat",
        "The answer is a row of dots: " + "." * 25,
        "Heavy cargo goes down to the keel.\n\n" * 3,
    ],
)
def test_an_honest_answer_passes(text: str) -> None:
    """However short, odd or repetitive it is."""
    assert degenerate(text, PROMPT) is None


@pytest.mark.parametrize(
    ("text", "rule", "evidence"),
    [
        pytest.param("", AnswerRule.BLANK, "0 characters", id="nothing"),
        pytest.param(" \n\t\u00a0\u2003", AnswerRule.BLANK, "5 characters", id="white space"),
        pytest.param("\x00\x01\x1b\u200b", AnswerRule.BLANK, "4 characters", id="control characters"),
        pytest.param("t0" * 32, AnswerRule.REPETITION, "'t0' 32 times in a row, 100% of it", id="one token"),
        pytest.param("the " * 12, AnswerRule.REPETITION, "'the ' 12 times", id="one word"),
        pytest.param(
            "!" * 30, AnswerRule.REPETITION, "'!' 30 times", id="one character, just as often as counts"
        ),
        pytest.param("的" * 40, AnswerRule.REPETITION, "'的' 40 times", id="one character of another script"),
        pytest.param("\n\nthe\n" * 12, AnswerRule.REPETITION, "'the ' 12 times", id="one word, line by line"),
        pytest.param(
            "Heavy cargo goes down to the keel. " * 4,
            AnswerRule.REPETITION,
            "4 times in a row",
            id="a sentence",
        ),
        pytest.param(
            "The capital is Paris." + " Paris." * 8,
            AnswerRule.REPETITION,
            "% of it",
            id="well begun, and stuck",
        ),
        pytest.param("the the, the; the. " * 4, AnswerRule.REPETITION, "", id="one word with marks between"),
        pytest.param(
            f"{' '.join(MARKED[:12])} a cat sat",
            AnswerRule.REPETITION,
            "'the' is 12 of 15 words",
            id="one word, mostly",
        ),
        pytest.param(
            "\ufffd\ufffd\ufffd", AnswerRule.REPLACEMENT, "3 of 3", id="replacement characters only"
        ),
        pytest.param("\ufffd", AnswerRule.REPLACEMENT, "1 of 1", id="one, and nothing else"),
        pytest.param(
            "a\ufffdb\ufffdc\ufffdd",
            AnswerRule.REPLACEMENT,
            "3 of 7",
            id="replacement characters among others",
        ),
        pytest.param("ship" + "\ufffd" * 9, AnswerRule.REPLACEMENT, "9 of 13", id="more than a letter cut"),
        pytest.param(PROMPT, AnswerRule.ECHO, f"{len(PROMPT)} of", id="the prompt"),
        pytest.param(
            f"\n{PROMPT.upper()} ", AnswerRule.ECHO, "and nothing else", id="the prompt, in capitals"
        ),
        pytest.param(PROMPT[:50], AnswerRule.ECHO, "50 of the prompt's", id="the prompt, cut by max_tokens"),
    ],
)
def test_a_degenerate_answer_is_told_by_its_rule(text: str, rule: AnswerRule, evidence: str) -> None:
    """With what was seen of it."""
    found = degenerate(text, PROMPT)

    assert found is not None
    assert found.rule is rule
    assert evidence in found.evidence
    assert str(found) == f"degenerate ({rule.value}: {found.evidence})"


def test_a_short_prompt_may_be_given_back() -> None:
    """A greeting is answered with a greeting, and a quotation is no echo."""
    assert degenerate("Hello.", "Hello.") is None
    assert (
        degenerate("The sky is blue today.", "The sky is blue today. Which is the first sentence of this?")
        is None
    )


def test_an_echo_is_most_of_the_prompt() -> None:
    """Four fifths of it, and twenty characters."""
    prompt = "abcde fghij klmno pqrst u"

    found = degenerate(prompt[:20], prompt)

    assert found is not None
    assert found.rule is AnswerRule.ECHO
    assert degenerate(prompt[:19], prompt) is None
    assert degenerate(prompt[:20], f"{prompt}vw") is None
    assert degenerate("a" + prompt, prompt) is None


def test_what_is_said_of_a_long_answer_is_short() -> None:
    """The evidence names the unit, not all of it."""
    found = degenerate("lorem ipsum dolor sit amet " * 200_000)

    assert found is not None
    assert len(found.evidence) < 200


@pytest.mark.parametrize(
    ("expect", "passes"),
    [
        pytest.param({}, False, id="by default"),
        pytest.param({"allow_degenerate": False}, False, id="not allowed"),
        pytest.param({"allow_degenerate": True}, True, id="allowed"),
    ],
)
def test_it_is_refused_unless_it_is_allowed(expect: dict[str, bool], passes: bool) -> None:
    """The message names the rule, its evidence and the field that allows it."""
    wrong = answers.shortcomings("t0" * 32, 32, Expectation(**expect), field="consumer.expect")

    assert bool(wrong) is not passes
    if wrong:
        assert "it is degenerate (repetition: 't0' 32 times" in wrong[0]
        assert '"allow_degenerate": true' in wrong[0]
        assert "'consumer.expect'" in wrong[0]


UNITS = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Z", "P"]), min_size=1, max_size=12)


@given(unit=UNITS, times=st.integers(8, 200), start=st.text("abcdefgh ", max_size=8))
@example(unit="t0", times=32, start="")
def test_whatever_is_said_again_and_again_is_found(unit: str, times: int, start: str) -> None:
    """Any unit, also after a beginning that is none of it."""
    times = max(times, 60 // len(unit))

    found = degenerate(f"{start} {unit * times}")

    assert found is not None
    assert found.rule in {AnswerRule.REPETITION, AnswerRule.REPLACEMENT}


WORDS = st.sampled_from(
    [
        "the",
        "ship",
        "took",
        "on",
        "coal",
        "at",
        "dawn",
        "and",
        "left",
        "for",
        "north",
        "with",
        "a",
        "heavy",
        "load",
        "of",
        "grain",
        "iron",
        "salt",
        "wood",
    ]
)


@given(st.lists(WORDS, min_size=1, max_size=60, unique=True))
def test_what_says_something_new_all_the_time_passes(words: list[str]) -> None:
    """No word twice: nothing is repeated."""
    assert degenerate(" ".join(words)) is None


@given(st.text(max_size=29), st.text(max_size=40))
def test_no_short_answer_is_a_repetition(text: str, prompt: str) -> None:
    """Whatever it is: there is too little of it to tell."""
    found = degenerate(text, prompt)

    assert (
        found is None or found.rule is not AnswerRule.REPETITION or len(text.split()) >= answers.LEAST_WORDS
    )


@given(st.text(), st.text())
def test_every_text_is_judged(text: str, prompt: str) -> None:
    """Nothing makes it fail; what is allowed is never refused for it."""
    degenerate(text, prompt)

    assert not answers.shortcomings(text, 1, Expectation(allow_degenerate=True), prompt=prompt)
