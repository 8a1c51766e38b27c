"""The walks through the code, and the newcomer's questions: what is named is there."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from typing import Any, Final

import pytest

from tools import pages, rooms

PAGE: Final = (pages.TOP / "docs" / "walks.md").read_text(encoding="utf-8")
QUESTIONS: Final = "Ten questions"
_STEP = re.compile(r"^\| (\d+) \| `([\w.]+)` \|", re.MULTILINE)
_QUESTION = re.compile(r"^\| ([^|]+\?) \| \[([^]]+)\]\(([^)]+)\)", re.MULTILINE)
_NAMED = re.compile(r"`((?:[a-z]\w*\.)+\w+)`")


def sections() -> dict[str, str]:
    """Return each section's text by its heading."""
    pieces = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


WALKS: Final = {name: text for name, text in sections().items() if name != QUESTIONS}
STEPS: Final = [
    pytest.param(name, id=f"{walk}: {name}")
    for walk, text in WALKS.items()
    for _, name in _STEP.findall(text)
]


def found(name: str) -> Any:
    """Return what a name of the page means: a room's module is imported, and the rest is looked up in it.

    Raises:
        LookupError: when there is no such module, or nothing of the name in it.
    """
    parts = name.split(".")
    whole = parts if parts[0] in rooms.OTHERS else [rooms.PACKAGE, *parts]
    for end in range(len(whole) - 1, 1, -1):
        try:
            module = importlib.import_module(".".join(whole[:end]))
        except ModuleNotFoundError:
            continue
        try:
            return reduce(getattr, whole[end:], module)
        except AttributeError as error:
            raise LookupError(name) from error
    raise LookupError(name)


# ------------------------------------------------------------------------------ tests


def test_there_are_three_walks() -> None:
    """Each begins at 1 and leaves no step out."""
    assert len(WALKS) == 3
    for text in WALKS.values():
        numbers = [int(number) for number, _ in _STEP.findall(text)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 10


def test_every_row_of_a_walk_is_a_step() -> None:
    """A row that is spelled otherwise would be held by nothing."""
    for text in WALKS.values():
        assert len(_STEP.findall(text)) == len(re.findall(r"^\| \d", text, re.MULTILINE))


@pytest.mark.parametrize("name", STEPS)
def test_each_function_that_is_passed_exists(name: str) -> None:
    """Whoever follows a walk finds what stands there."""
    assert found(name) is not None


def test_what_a_step_mentions_exists() -> None:
    """Also the names in the words beside it."""
    for name in _NAMED.findall(PAGE.partition(f"## {QUESTIONS}")[0]):
        if name != "deployment.json":
            assert found(name) is not None


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_goes_one_way(walk: str) -> None:
    """No function is passed twice, and a state that was left is not entered again."""
    names = [name for _, name in _STEP.findall(WALKS[walk])]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name", ["planning.plan.no_such", "planning.no_such.plan", "no_room.plan", "tasks.no_such.run", "naming"]
)
def test_a_name_that_is_not_there_is_told(name: str) -> None:
    """The tests before this one can fail."""
    with pytest.raises(LookupError):
        found(name)


def test_ten_questions_have_a_file_each() -> None:
    """The file that answers is there, and is the one that the link goes to."""
    answered = _QUESTION.findall(sections()[QUESTIONS])

    assert len(answered) == len({question for question, *_ in answered}) == 10
    for _, told, target in answered:
        assert target == f"../{told}"
        assert (pages.TOP / told).is_file()
