"""Text from outside reaches a person without what moves a terminal, in all that is told of a file and of a model."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.inspect import inspect
from pipeline.archive.rules import Rules
from pipeline.archive.sources import BytesSource
from pipeline.cli.archives import tell
from pipeline.cli.screen import Screen
from pipeline.errors import InvalidArchive, Problem
from pipeline.plain import plain

from .archive.conftest import Forge

TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@given(TEXT)
def test_nothing_that_moves_a_cursor_is_left(text: str) -> None:
    """No control character, no line's end, no turned direction, no half of a pair; and once is enough."""
    shown = plain(text)

    shown.encode()
    assert not any(unicodedata.category(one) in {"Cc", "Zl", "Zp", "Cs"} for one in shown)
    assert not any(unicodedata.bidirectional(one) in {"LRE", "RLE", "LRO", "RLO", "PDF"} for one in shown)
    assert plain(shown) == shown


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
