"""A text that is written piece by piece looks as it does when it is written at once."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.cli.piece_writer import PieceWriter, shown
from pipeline.cli.waiting import said

FAMILY = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}"


def written(pieces: list[str]) -> str:
    """Return what a stream holds after all pieces."""
    stream = io.StringIO()
    write = PieceWriter(stream)
    for piece in pieces:
        write(piece)
    write.end()
    return stream.getvalue()


LETTERS = some.sampled_from(
    ["a", " ", "\n", "\r", "\t", "\u200d", "\u200c", "\N{MAN}", "\u0645", "\x1b", "\u202e"]
)


@given(some.lists(some.text(LETTERS, max_size=4), max_size=6))
def test_where_a_text_is_cut_changes_nothing(pieces: list[str]) -> None:
    """But for tabs, whose width hangs on where their line began."""
    assert written(pieces).replace(" ", "") == shown("".join(pieces)).replace(" ", "")


def test_what_a_terminal_would_obey_is_shown() -> None:
    """An answer moves no cursor."""
    assert written(["\x1b", "[2J"]) == "\\x1b[2J"


def test_a_picture_of_several_characters_stays_one() -> None:
    """Its joiners come as tokens of their own."""
    assert written(list(FAMILY)) == FAMILY


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (0.0, "waiting ..."),
        (0.99, "waiting ..."),
        (1.0, "waiting ... 1 s"),
        (4.99, "waiting ... 5 s"),
        (5.0, "waiting ... 5 s (it is cold)"),
        (75.4, "waiting ... 75 s (it is cold)"),
    ],
)
def test_a_wait_has_a_clock(seconds: float, line: str) -> None:
    """And says why it may be long once it is."""
    assert said("waiting", seconds, "it is cold") == line
