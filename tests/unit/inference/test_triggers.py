"""From where on a lazy grammar holds, in answers that come in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift_chat import Constraint, Trigger
from sealift_triggers import Watch


def begins(constraint: Constraint, text: str, cut: int = 1) -> str | None:
    """Return what a grammar has to read of the pieces up to a trigger, when a text comes in pieces of some bytes."""
    watch = Watch(constraint)
    whole = text.encode()
    for begin in range(0, len(whole), cut):
        count = watch.add(whole[begin : begin + cut])
        if count is not None:
            seen = whole[: begin + cut]
            return seen[len(seen) - count :].decode()
    return None


def lazy(*triggers: Trigger, **more: object) -> Constraint:
    """Return a lazy grammar that these let begin."""
    return Constraint("root ::= .*", lazy=True, triggers=triggers, **more)  # type: ignore[arg-type]


CALL = Trigger("word", "<call>")
THINKS = {"thinking_start": "<think>", "thinking_ends": ("</think>", "<end>")}


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("constraint", "text", "begun"),
    [
        pytest.param(lazy(CALL), "Hello <call>", "<call>", id="a word"),
        pytest.param(lazy(CALL), "Hello <cal", None, id="not all of it"),
        pytest.param(lazy(Trigger("word", "a.c")), "abc", None, id="a word is no pattern"),
        pytest.param(lazy(Trigger("word", "<▁é>")), "ü<▁é>", "<▁é>", id="characters of several bytes"),
        pytest.param(lazy(Trigger("word", "x"), CALL), "<call>", "<call>", id="the second of two"),
        pytest.param(lazy(Trigger("pattern", r"a(\s+to)")), "a  to", "  to", id="a group"),
        pytest.param(
            lazy(Trigger("pattern", r"(q)?a(bc)")), "abc", "bc", id="the first group that holds something"
        ),
        pytest.param(lazy(Trigger("pattern", r"^\s+to$")), " to", " to", id="all of it"),
        pytest.param(lazy(Trigger("pattern", r"^\s+to$")), "x to", None, id="more than it"),
        pytest.param(lazy(Trigger("pattern", r"^ab$")), "x", None, id="nothing of it"),
        pytest.param(lazy(Trigger("pattern_full", "ab")), "ab", "ab", id="a full pattern"),
        pytest.param(lazy(Trigger("pattern_full", "ab")), "xab", None, id="a full pattern behind something"),
        pytest.param(lazy(CALL, **THINKS), "<think><call></think>", None, id="in a thought"),
        pytest.param(lazy(CALL, **THINKS), "<think><call></think>ok<call>", "<call>", id="behind a thought"),
        pytest.param(lazy(CALL, **THINKS), "<think><call><end><call>", "<call>", id="behind the other end"),
        pytest.param(
            lazy(CALL, **THINKS), "<think></think>a<think><call></think>", None, id="in a second thought"
        ),
        pytest.param(lazy(CALL, **THINKS, thinking=True), "<call>", None, id="in a thought of the prompt's"),
        pytest.param(lazy(CALL, **THINKS, thinking=True), "</think><call>", "<call>", id="no thought at all"),
        pytest.param(
            lazy(CALL, **THINKS), "<think><end><call> a</think>", "<call>", id="before what ends no thought"
        ),
        pytest.param(
            lazy(CALL, **THINKS, thinking=True), "a</think><call>", "<call>", id="behind the prompt's thought"
        ),
        pytest.param(
            lazy(Trigger("word", "</think><call>"), **THINKS),
            "<think>a</think><call>",
            "</think><call>",
            id="with the end of a thought",
        ),
        pytest.param(
            lazy(CALL, thinking_start="<think>", thinking=True), "<call>", "<call>", id="no end is known"
        ),
    ],
)
def test_grammar_begins_at_its_trigger(
    constraint: Constraint, text: str, begun: str | None, cut: int
) -> None:
    """However the text is cut; what came with the trigger's end in one piece is read as well."""
    found = begins(constraint, text, cut)

    if cut == 1 or found is None or begun is None:
        assert found == begun
    else:
        assert found.startswith(begun)


def test_end_of_a_text_is_no_newline_before_it() -> None:
    """As in ECMAScript's regular expressions."""
    assert Watch(lazy(Trigger("pattern", "^ab$"))).add(b"ab\n") is None
    assert Watch(lazy(Trigger("pattern", "^ab$"))).add(b"ab") == 2


@given(st.text(max_size=40), st.integers(1, 7))
def test_word_is_found_where_it_is_first(before: str, cut: int) -> None:
    """Whatever stands before it."""
    found = begins(lazy(CALL), f"{before}<call>", cut)

    assert found is not None
    assert found.startswith("<call>")
