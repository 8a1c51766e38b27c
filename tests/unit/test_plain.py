"""Text from outside reaches a person without what moves a terminal, in all that is told of a file and of a model."""

from __future__ import annotations

import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.s3.sources import BytesSource
from pipeline.cli.commands.archives import tell
from pipeline.cli.screen import Screen
from pipeline.errors import InvalidArchive, Problem
from pipeline.plain import lines, one_line, plain
from tests.foreign import TEXTS, unfit

from .archive.conftest import Forge

TEXT = TEXTS
JOINERS = st.text("a\u0915\u0937\u200c\u200d\u061c\u202e\U0001f469\ufe0f ", max_size=8)


@given(TEXT | JOINERS)
def test_nothing_that_moves_a_cursor_is_left(text: str) -> None:
    """No control character, no line's end, no turned direction, no half of a pair; and once is enough."""
    shown = plain(text)

    shown.encode()
    assert unfit(shown) == set()
    assert "\n" not in shown
    assert plain(shown) == shown
    assert not re.search("[\u200c\u200d]([\u200c\u200d]|[ -~]|$)|(^|[ -~])[\u200c\u200d]", shown)


def test_every_character_that_formats_is_known() -> None:
    """Of those that Unicode has, what is left has a shape of its own, or is a joiner within a script."""
    left = {
        one for one in map(chr, range(0x110000)) if unicodedata.category(one) == "Cf" and plain(one) == one
    }

    assert all(re.search("ARABIC|SYRIAC|KAITHI|EGYPTIAN", unicodedata.name(one)) for one in left)
    assert not any(plain(chr(one)) == chr(one) for one in (0x200C, 0x200D, 0x180E, 0xFFFE, 0x1FFFF, 0xFDD0))


@given(TEXT)
def test_prose_is_one_line_and_a_log_is_its_lines(text: str) -> None:
    """A line's end within prose says nothing; in a log each line is one, and no more of them come of it."""
    assert unfit(one_line(text)) == set()
    assert "\n" not in one_line(text)
    assert one_line(one_line(text)) == one_line(text)
    assert len(lines(text)) == len(re.findall("\r\n|\r|\n", text)) + 1
    assert all(unfit(line) == set() and "\n" not in line for line in lines(text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n\n  b\tc", "a b c"),
        (" a  b \r\n", "a  b"),
        ("\n", ""),
        ("a\x0b\x0cb", "a b"),
        ("a\x1cb\x85c", "a\\x1cb\\x85c"),
    ],
)
def test_only_what_ends_a_line_is_folded(text: str, line: str) -> None:
    """A name with two spaces keeps them."""
    assert one_line(text) == line


@pytest.mark.parametrize("text", ["model.gguf", "แบบจำลอง.gguf", "größe", "a\\b 'c' \"d\"", "🚢", "क्‍ष"])
def test_what_can_be_seen_stays(text: str) -> None:
    """Names in every script are told as they are."""
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Ja", "\\x1b[2Ja"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u202egpj", "\\u202egpj"),
        ("\udce9", "\\udce9"),
    ],
)
def test_what_cannot_be_seen_is_told_as_an_escape(text: str, shown: str) -> None:
    """As Python would write it."""
    assert plain(text) == shown


@given(TEXT, TEXT, TEXT)
def test_a_problem_is_told_in_one_line(seen: str, wanted: str, fix: str) -> None:
    """In an exception, which Step Functions hands on, and as JSON."""
    error = InvalidArchive("m.tar.gz", [Problem("X", seen, wanted, fix)])

    assert not set("\x1b\n\r") & set("".join(error.problems[0].to_json().values()))
    assert "\x1b" not in str(error)


@given(TEXT.filter(lambda text: text.isascii() or max(text) < "\ud800"), TEXT)
def test_a_model_tells_of_itself_without_moving_the_terminal(architecture: str, name: str) -> None:
    """Its architecture and its name are what somebody wrote into it."""
    forge = Forge()
    metadata = {
        "general.architecture": f"\x1b[2J{architecture}".encode("utf-8", "replace").decode(),
        "general.name": f"\x1b[31m{name}\n".encode("utf-8", "replace").decode(),
    }
    data = forge.tar_gz({"m.gguf": forge.model(metadata=metadata)})
    report = inspect(BytesSource(data, "m\x1b[2J.tar.gz"), rules=Rules(code_required=False))
    out = io.StringIO()

    tell(report, 0.0, Screen(out))

    assert report.model is not None
    assert "\x1b" not in out.getvalue()
    assert all("\x1b" not in str(value) for value in report.model.to_json().values())
