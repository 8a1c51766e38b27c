"""Texts and lists are cut to their bytes of JSON, and what was cut is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import payload


@pytest.mark.parametrize(
    ("document", "size"),
    [
        pytest.param({"a": [1, 2]}, len('{"a":[1,2]}'), id="no spaces"),
        pytest.param("é漢", 2 + 2 + 3, id="UTF-8, not escapes"),
        pytest.param('"\n\x01', 2 + 2 + 2 + 6, id="escapes"),
        pytest.param("\ud800", 2 + 6, id="half a letter"),
    ],
)
def test_a_document_is_as_large_as_step_functions_counts(document: Any, size: int) -> None:
    """JSON in UTF-8."""
    assert payload.size(document) == size


@given(text=st.text(max_size=300), most=st.integers(60, 400))
def test_a_text_is_cut_to_its_bytes(text: str, most: int) -> None:
    """What fits stays as it is; what does not begins the same, and tells how long it was."""
    for measure in (payload.size, payload.size_in_cause):
        short = payload.cut(text, most, measure=measure)

        assert measure(short) <= most
        if measure(text) <= most:
            assert short == text
        else:
            kept, _, told = short.rpartition("... (")
            assert text.startswith(kept)
            assert told == f"{len(text):,} characters in all)"


def test_as_much_as_fits_is_kept() -> None:
    """Not a byte less."""
    assert payload.cut("a" * 98, 100) == "a" * 98
    assert payload.size(payload.cut("a" * 200, 100)) == 100


@given(texts=st.lists(st.text(max_size=60), max_size=40), most=st.integers(100, 2000))
def test_a_list_is_cut_to_its_bytes(texts: list[str], most: int) -> None:
    """The last text says how many are not there."""
    kept = payload.cut_all(texts, most)

    assert payload.size(kept) <= most
    if kept != texts:
        *first, last = kept
        assert first == texts[: len(first)]
        assert last == f"and {len(texts) - len(first)} more"


@given(lines=st.lists(st.text(max_size=60), max_size=40), most=st.integers(600, 2000))
def test_the_first_line_and_the_newest_are_kept(lines: list[str], most: int) -> None:
    """The first one gives the cause."""
    kept = payload.newest(lines, most)

    assert payload.size(kept) <= most + 4
    assert list(kept[:1]) == lines[:1]
    assert list(kept[1:]) == (lines[-(len(kept) - 1) :] if len(kept) > 1 else [])


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        pytest.param({"answer": "Cargo."}, {"answer": "Cargo."}, id="short"),
        pytest.param("x" * 90, "x" * 90, id="just as long as may be"),
        pytest.param("x" * 200, "x" * 63 + "... (200 characters in all)", id="a long text"),
        pytest.param(["x" * 200], '["' + "x" * 60 + "... (204 characters in all)", id="long JSON"),
    ],
)
def test_a_long_answer_is_shown_as_its_beginning(answer: Any, shown: Any) -> None:
    """Whatever JSON it is, its text is cut."""
    assert payload.shown(answer, 92) == shown


@pytest.mark.parametrize(
    ("count", "bytes_"), [(0, 2048), (1, 2048), (4, 2048), (5, 1843), (6, 1536), (20, 460)]
)
def test_many_share_what_there_is(count: int, bytes_: int) -> None:
    """One has 2 KB at the most."""
    assert payload.share(count) == bytes_
