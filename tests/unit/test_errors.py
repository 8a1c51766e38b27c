"""The tree of errors: names are a contract with the state machine."""

from __future__ import annotations

import re

import pytest

from pipeline import errors
from pipeline.errors import Failed, PermanentError, Problem, SealiftError, TransientError

LINE = re.compile(r"^    (?P<indent>[│ ├└─]*)(?P<name>[A-Z]\w+)", re.MULTILINE)


def drawn() -> list[tuple[int, str]]:
    """Return the tree in the module's docstring: depth and name, line by line."""
    assert errors.__doc__ is not None
    return [(len(found["indent"]) // 4, found["name"]) for found in LINE.finditer(errors.__doc__)]


def defined(root: type[SealiftError] = SealiftError, depth: int = 0) -> list[tuple[int, str]]:
    """Return the classes in the same form."""
    below = [line for child in root.__subclasses__() for line in defined(child, depth + 1)]
    return [(depth, root.__name__), *below]


def problem(name: str = "TooLarge") -> Problem:
    """Return a problem."""
    return Problem(name, "9 seen", "at most 5", "make it smaller")


def test_the_tree_that_is_drawn_is_the_tree_that_there_is() -> None:
    """Names, order and nesting of the docstring are those of the classes."""
    assert drawn() == defined()


def test_every_class_says_when_it_is_raised() -> None:
    """The docstring is the meaning that the documentation lists."""
    assert all(cls.__doc__ for cls in errors.walk())


def test_a_name_is_one_error() -> None:
    """The state machine sees the bare class name, so two classes of one name would be one."""
    names = errors.names()

    assert len(names) == len(set(names)) == sum(1 for cls in errors.walk() if not cls.__subclasses__())
    assert not set(names) & {cls.__name__ for cls in errors.walk() if cls.__subclasses__()}


def test_blame_is_shared_out_completely() -> None:
    """Every leaf stands on exactly one of the three branches."""
    parts = [set(errors.names(branch)) for branch in (PermanentError, Failed, TransientError)]

    assert set.union(*parts) == set(errors.names())
    assert sum(map(len, parts)) == len(errors.names())


def test_a_name_does_not_look_like_a_reserved_one() -> None:
    """Step Functions keeps names with "States." for itself."""
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in errors.names())


def test_one_problem_is_one_sentence() -> None:
    """Thing, seen, wanted, next step."""
    assert str(errors.InvalidArchive("model.tar.gz", [problem()])) == (
        "model.tar.gz: 9 seen; wanted at most 5; make it smaller"
    )


def test_several_problems_are_counted_and_numbered() -> None:
    """All of them are in the one message that a person gets to see."""
    refusal = errors.InvalidInput("execution input", iter([problem("A"), problem("B")]))

    assert str(refusal) == (
        "execution input: 2 problems: (1) 9 seen; wanted at most 5; make it smaller; "
        "(2) 9 seen; wanted at most 5; make it smaller"
    )
    assert [one.error for one in refusal.problems] == ["A", "B"]
    assert refusal.subject == "execution input"


@pytest.mark.parametrize(
    "cls",
    [pytest.param(cls, id=cls.__name__) for cls in errors.walk(PermanentError) if not cls.__subclasses__()],
)
def test_a_refusal_without_a_problem_is_a_mistake(cls: type[PermanentError]) -> None:
    """Nothing is refused for no reason."""
    with pytest.raises(ValueError, match=cls.__name__):
        cls("subject", [])


def test_a_problem_is_json() -> None:
    """Machines get the four parts."""
    assert problem().to_json() == {
        "error": "TooLarge",
        "seen": "9 seen",
        "wanted": "at most 5",
        "fix": "make it smaller",
    }


@pytest.mark.parametrize("name", errors.names())
def test_every_error_knows_why_what_to_do_and_whether_waiting_helps(name: str) -> None:
    """By its name alone; only what may pass later is waited for."""
    kind = errors.by_name(name)

    assert kind is not None
    assert kind.why
    assert kind.fix
    assert bool(kind.waiting) == issubclass(kind, TransientError)


def test_a_name_that_no_leaf_has_is_nobodys() -> None:
    """The branches are never raised, so the state machine never sees them."""
    assert errors.by_name("KeyError") is None
    assert errors.by_name("TransientError") is None
    assert errors.by_name("") is None


def test_an_error_says_what_it_knows_more_than_its_class() -> None:
    """Plain, in one line; what is empty is not known."""
    error = errors.EndpointBusy("no", why="it\nmoves\x1b", fix="")

    assert (error.why, error.fix) == ("it moves\\x1b", errors.EndpointBusy.fix)
    assert error.given == {"why": "it moves\\x1b"}
    assert errors.EndpointBusy.why != error.why


def test_one_problem_is_why_and_what_to_do() -> None:
    """Of several each has its own, in the sentence."""
    one, two = (errors.InvalidArchive("model.tar.gz", [problem()] * count) for count in (1, 2))

    assert one.given == {"why": "9 seen; wanted at most 5", "fix": "make it smaller"}
    assert (two.given, two.fix) == ({}, errors.InvalidArchive.fix)


def test_whoever_raises_may_know_more_than_the_problem() -> None:
    """Or may leave it open: AWS's words may tell."""
    known = errors.AccessDenied("a", [problem()], cause="ConsumerDenied", fix="ask")
    unknown = errors.RequestRejected("a", [problem()], why="", fix="")

    assert known.given == {"cause": "ConsumerDenied", "why": "9 seen; wanted at most 5", "fix": "ask"}
    assert (unknown.given, unknown.why) == ({}, errors.RequestRejected.why)
