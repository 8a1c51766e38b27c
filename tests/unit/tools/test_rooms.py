"""The drawing of the rooms: no arrow that a longer way makes needless, and none lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import rooms

# An arrow from a number to a lesser one: no way leads back.
ARROWS = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] > pair[1]))


def reachable(arrows: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Return each pair of which the first leads to the second, by joining ways until none is new."""
    pairs = {(one, other) for one, others in arrows.items() for other in others}
    while more := {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs:
        pairs |= more
    return pairs


@given(pairs=ARROWS)
def test_the_drawing_says_the_same_with_the_fewest_arrows(pairs: set[tuple[int, int]]) -> None:
    """What was reachable still is, and each arrow that is left is the only way."""
    arrows: dict[str, set[str]] = {str(number): set() for number in range(7)}
    for one, other in pairs:
        arrows[str(one)].add(str(other))

    drawn = rooms.reduced(arrows)

    assert reachable(drawn) == reachable(arrows)
    for one, others in drawn.items():
        for other in others:
            assert reachable({**drawn, one: others - {other}}) != reachable(arrows)


def test_rooms_that_import_each_other_are_named() -> None:
    """There is no order to draw them in."""
    with pytest.raises(ValueError, match="rooms that import each other: a, b; wanted"):
        rooms.reduced({"a": {"b"}, "b": {"a"}, "c": {"a"}})


def test_imports_are_those_of_the_running_code(tmp_path: Path) -> None:
    """What is imported for the type checker alone is none; modules outside of a folder are the root."""
    for name, text in {
        "pipeline/errors.py": "import os\n",
        "pipeline/low/one.py": "from pipeline.errors import Failed\nfrom pipeline.low import two\n",
        "pipeline/low/two.py": "",
        "pipeline/high/one.py": "from typing import TYPE_CHECKING\n\nfrom pipeline.low import one\n\n"
        "if TYPE_CHECKING:\n    from pipeline import errors\n",
        "tasks/act.py": "def run():\n    from pipeline.high.one import act\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert rooms.imports(tmp_path) == {"root": set(), "low": {"root"}, "high": {"low"}, "tasks": {"high"}}


def test_every_room_is_drawn_and_described() -> None:
    """A new one is missed in the table, not only in the drawing."""
    design = (rooms.TOP / "DESIGN.md").read_text(encoding="utf-8")
    folders = [path.parent for path in (rooms.TOP / rooms.PACKAGE).glob("*/__init__.py")]
    drawn = rooms.picture()

    assert len(folders) > 8
    for folder in folders:
        assert f"\n| `pipeline/{folder.name}/` | " in design
        assert folder.name in drawn
    for name in rooms.OTHERS:
        assert f"\n| `{name}/` | " in design
        assert name in drawn
