"""The checklist as rows: wrapped, clipped and fitted to any terminal."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.cli import frame
from pipeline.operations.checklist import ITEMS, ChecklistLine, Mark
from pipeline.plain import one_line
from tests.foreign import unfit

texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200)
lines_of = st.builds(
    ChecklistLine,
    group=st.sampled_from(["before", "during", "after"]),
    text=st.sampled_from([item.text for item in ITEMS]),
    mark=st.sampled_from(list(Mark)),
    seconds=st.none() | st.floats(0, 10_000),
    evidence=texts,
    measure=st.sampled_from(["", "for 42 s"]),
)


def checklist(
    done: int, *, evidence: str = "some evidence that is not very short", now: bool = True
) -> list[ChecklistLine]:
    """Return the whole checklist, of which so many lines are done."""
    marks = [Mark.DONE] * done + [Mark.RUNNING if now else Mark.PENDING]
    marks += [Mark.PENDING] * len(ITEMS)
    return [
        ChecklistLine(
            item.group,
            item.text,
            mark,
            1.5 if mark is Mark.DONE else None,
            evidence if mark is Mark.DONE else "",
        )
        for item, mark in zip(ITEMS, marks, strict=False)
    ]


LONG = ChecklistLine("before", ITEMS[0].text, Mark.RUNNING, 6_000.0, "x" * 200)
"""A line whose time is wider than that of most."""


@example(line=LONG, width=80, unicode=False)
@given(line=lines_of, width=st.integers(frame.NARROWEST, 200), unicode=st.booleans())
def test_no_row_is_wider_than_the_terminal(line: ChecklistLine, width: int, *, unicode: bool) -> None:
    """Whatever the evidence holds, in columns as a terminal counts them; nothing moves its cursor."""
    for row in frame.rows(line, width=width, unicode=unicode):
        assert row.cell_len <= width
        assert unfit(row.plain) == set()


@given(line=lines_of, width=st.integers(frame.NARROWEST, 200))
def test_no_word_of_the_evidence_is_lost(line: ChecklistLine, width: int) -> None:
    """Wrapping moves, and leaves nothing out."""
    rows = frame.rows(line, width=width, unicode=True)
    drawn = "".join("".join(row.plain for row in rows).split())

    assert "".join(one_line(line.details).split()) in drawn


@given(line=lines_of, width=st.integers(frame.NARROWEST, 120), most=st.integers(1, 3))
def test_what_does_not_fit_into_the_rows_is_left_out(line: ChecklistLine, width: int, most: int) -> None:
    """At most so many rows, still no wider."""
    drawn = frame.rows(line, width=width, unicode=True, most=most)

    assert len(drawn) <= most
    assert all(row.cell_len <= width for row in drawn)


@given(
    lines=st.lists(lines_of, min_size=1, max_size=25),
    width=st.integers(frame.NARROWEST, 120),
    height=st.integers(3, 60),
)
def test_the_list_never_outgrows_the_terminal(lines: list[ChecklistLine], width: int, height: int) -> None:
    """What has left a terminal at the top cannot be taken back."""
    drawn = frame.fitted(lines, width=width, height=height, unicode=True)

    assert 0 < len(drawn) <= height


@pytest.mark.parametrize("height", [pytest.param(count, id=f"{count} rows") for count in (3, 5, 10, 23)])
@pytest.mark.parametrize("done", [pytest.param(count, id=f"{count} done") for count in (0, 8, 17)])
def test_what_runs_is_always_seen(done: int, height: int) -> None:
    """A small terminal shows the line that runs, and how much is above and below."""
    drawn = frame.fitted(checklist(done), width=40, height=height, unicode=True)
    text = "\n".join(row.plain for row in drawn)

    assert ITEMS[done].text in text
    if height < len(ITEMS):
        assert "lines " in text


def test_evidence_is_cut_before_lines_are() -> None:
    """With a row for each line there is room; the long evidence gives way."""
    drawn = frame.fitted(checklist(9, evidence="words " * 60), width=100, height=23, unicode=True)

    assert len(drawn) == len(ITEMS) + 3
    assert all(any(item.text in row.plain for row in drawn) for item in ITEMS)
    assert any(row.plain.endswith("…") for row in drawn)


def test_a_wide_terminal_has_the_evidence_beside_its_line() -> None:
    """Time and evidence stand in columns, and what is wrapped stands under the evidence."""
    line = ChecklistLine(
        "before", "model uploaded to S3", Mark.DONE, 0.6, "s3://uploads/models/demo/model.tar.gz, version 1"
    )

    assert [row.plain for row in frame.rows(line, width=88, unicode=True)] == [
        "  ✓ model uploaded to S3                 0.6 s  s3://uploads/models/demo/model.tar.gz,",
        "                                                version 1",
    ]


def test_a_narrow_terminal_has_the_evidence_below_its_line() -> None:
    """At 40 columns it is still a list that can be read."""
    line = ChecklistLine("during", "endpoint status InService", Mark.RUNNING, 42.7, "Creating", "for 42 s")

    assert [row.plain for row in frame.rows(line, width=40, unicode=True)] == [
        "  … endpoint status InService",
        "      42 s: Creating, for 42 s",
    ]


def test_a_stream_without_unicode_has_words() -> None:
    """Marks that any encoding can write."""
    line = ChecklistLine("during", "model created", Mark.FAILED, 1.0, "AccessDenied")
    (row,) = frame.rows(line, width=100, unicode=False)

    assert row.plain.startswith("  FAILED model created")
    assert row.plain.isascii()


def test_what_is_to_come_is_dim_and_a_mark_has_its_color() -> None:
    """And the mark alone: text is read as it is."""
    drawn = frame.fitted(checklist(3), width=80, height=40, unicode=True)
    styles = {row.plain[2:3]: [(span.start, span.end, span.style) for span in row.spans] for row in drawn}

    assert styles["✓"] == [(2, 3, "green")]
    assert styles["…"] == [(2, 3, "yellow")]
    assert styles["·"] == [(0, len(drawn[-1]), "dim")]


@pytest.mark.parametrize(
    ("text", "width"),
    [
        pytest.param("cargo", 5, id="plain"),
        pytest.param("货船", 4, id="wide"),
        pytest.param("cafe\u0301", 4, id="combining"),
        pytest.param("เรือ", 3, id="thai"),
        pytest.param("a\u200bb", 2, id="no width"),
    ],
)
def test_columns_are_the_terminals(text: str, width: int) -> None:
    """Not characters, not bytes."""
    assert len(frame.wrapped(text, width)) == 1
    assert len(frame.wrapped(text, width - 1)) == 2
    assert frame.clipped(text, width) == text
    assert frame.clipped(text, width - 1) != text


def test_an_answer_cannot_take_over_the_terminal() -> None:
    """A model's answer may hold anything, escape sequences too."""
    line = ChecklistLine("before", "a", Mark.DONE, None, "a\033[2Jb\rc\x07\n d")

    (row,) = frame.rows(line, width=100, unicode=True)

    assert row.plain.endswith(" a\\x1b[2Jb c\\x07 d")
