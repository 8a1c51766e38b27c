"""The question of `sealift ask`: where it is taken from, and what is none."""

from __future__ import annotations

import io

import pytest

from pipeline.cli.commands import ask
from pipeline.cli.options import AskOptions
from pipeline.errors import InvalidInput

QUESTION = "Wie geht\u2019s?"


def stdin(content: bytes = b"") -> io.TextIOWrapper:
    """Return a standard input that is no terminal."""
    return io.TextIOWrapper(io.BytesIO(content))


@pytest.mark.parametrize("words", [None, "-"])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"], ids=["as it is", "with a byte order mark"])
def test_a_question_comes_by_standard_input(words: str | None, before: bytes) -> None:
    """In UTF-8, whatever the locale is."""
    assert ask.text(AskOptions(service="demo", question=words), stdin(before + QUESTION.encode())) == QUESTION


def test_a_question_of_the_line_leaves_standard_input_alone() -> None:
    """It may be a terminal, or nothing that ever ends."""
    waiting = stdin(b"more")

    assert ask.text(AskOptions(service="demo", question=QUESTION), waiting) == QUESTION
    assert waiting.read() == "more"


@pytest.mark.parametrize(
    ("words", "content", "seen"),
    [
        pytest.param("", b"", "an empty one", id="an empty argument"),
        pytest.param(" \n", b"", "an empty one", id="a blank one"),
        pytest.param(None, b"", "nothing on it", id="nothing"),
        pytest.param(None, b" \r\n\xef\xbb\xbf"[:3], "nothing on it", id="blanks"),
        pytest.param("-", b"caf\xe9", "no text in UTF-8 on it, from byte 3 on", id="Latin-1"),
        pytest.param(None, b"\x89PNG\r\n", "no text in UTF-8 on it, from byte 0 on", id="a picture"),
        pytest.param(None, b"x" * (ask.LONGEST + 1), "more than 4194304 bytes", id="too long"),
        pytest.param(
            None, "\u00e9".encode() * ask.LONGEST, "more than 4194304 bytes", id="too long in bytes"
        ),
    ],
)
def test_what_is_no_question_is_not_sent(words: str | None, content: bytes, seen: str) -> None:
    """Nor a part of it."""
    with pytest.raises(InvalidInput) as refused:
        ask.text(AskOptions(service="demo", question=words), stdin(content))

    assert refused.value.problems[0].seen.startswith(seen)
