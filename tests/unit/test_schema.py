"""The declarative checks: what each accepts, what each says, and that one pass finds every mistake."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Problem
from pipeline.planning.request_fields import DEPLOYMENT_JSON, EXECUTION_INPUT
from pipeline.schema import (
    AnyObject,
    Boolean,
    Check,
    Field,
    Integer,
    ListOf,
    MapOf,
    Number,
    Object,
    OneOf,
    Pattern,
    Text,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def parse(check: Check, value: Any, path: str = "here") -> tuple[Any, list[Problem]]:
    """Return what a check made of a value, and the problems it found."""
    problems: list[Problem] = []
    return check.parse(value, path, problems), problems


@pytest.mark.parametrize(
    ("check", "value"),
    [
        pytest.param(Text(), "x", id="text"),
        pytest.param(Text(), "two\nlines", id="text of two lines"),
        pytest.param(Text(pattern="[a-z]+", max_length=3), "abc", id="text, longest"),
        pytest.param(Integer(1, 9), 1, id="integer, lowest"),
        pytest.param(Integer(1, 9), 9, id="integer, highest"),
        pytest.param(Integer(1024, 6144, 1024), 3072, id="integer on a step"),
        pytest.param(Number(0, 2), 0.7, id="number"),
        pytest.param(Number(0, 2), 2, id="number that is whole"),
        pytest.param(OneOf(("a", "b")), "b", id="one of"),
        pytest.param(Pattern(), r"^\d+$", id="pattern"),
        pytest.param(ListOf(Text(), 0, 2), [], id="list, shortest"),
        pytest.param(ListOf(Text(), 0, 2), ["a", "b"], id="list, longest"),
        pytest.param(AnyObject(), {"any": [1, None]}, id="any object"),
    ],
)
def test_a_good_value_comes_back_as_it_was(check: Check, value: Any) -> None:
    """Acceptance changes nothing and adds no problem."""
    assert parse(check, value) == (value, [])


@pytest.mark.parametrize(
    ("check", "value"),
    [
        pytest.param(Text(), "", id="empty text"),
        pytest.param(Text(), 5, id="number for text"),
        pytest.param(Text(), ["x"], id="list for text"),
        pytest.param(Text(pattern="[a-z]+"), "abc1", id="text that matches only at its beginning"),
        pytest.param(Text(pattern="[a-z]+"), "abc\n", id="text with a line end"),
        pytest.param(Text(max_length=3), "abcd", id="text too long"),
        pytest.param(Integer(1, 9), 0, id="integer too low"),
        pytest.param(Integer(1, 9), 10, id="integer too high"),
        pytest.param(Integer(1, 9), 2.0, id="float for integer"),
        pytest.param(Integer(1, 9), "2", id="text for integer"),
        pytest.param(Integer(0, 9), True, id="boolean for integer"),
        pytest.param(Integer(0, 9), False, id="false for integer"),
        pytest.param(Integer(1024, 6144, 1024), 3000, id="integer between steps"),
        pytest.param(Number(0, 2), 2.1, id="number too high"),
        pytest.param(Number(0, 2), -0.1, id="number too low"),
        pytest.param(Number(0, 2), True, id="boolean for number"),
        pytest.param(Number(0, 2), "1", id="text for number"),
        pytest.param(Number(0, 2), float("nan"), id="not a number"),
        pytest.param(Number(0, 2), float("inf"), id="infinity"),
        pytest.param(OneOf(("a", "b")), "c", id="none of the set"),
        pytest.param(OneOf(("a", "b")), ["a"], id="list for one of"),
        pytest.param(Pattern(), "(", id="unclosed pattern"),
        pytest.param(Pattern(), "a{99999999999999999999}", id="pattern that repeats too often"),
        pytest.param(Pattern(), 5, id="number for pattern"),
        pytest.param(Pattern(), ["x"], id="list for pattern"),
        pytest.param(ListOf(Text(), 1, 2), [], id="list too short"),
        pytest.param(ListOf(Text(), 1, 2), ["a", "b", "c"], id="list too long"),
        pytest.param(ListOf(Text(), 1, 2), "ab", id="text for list"),
        pytest.param(ListOf(Text(), 1, 2), {"a": 1}, id="object for list"),
        pytest.param(AnyObject(), [], id="list for object"),
        pytest.param(Object(), [], id="list for an object of fields"),
        pytest.param(Object(), None, id="null for an object of fields"),
    ],
)
def test_a_bad_value_is_refused_with_what_was_wanted(check: Check, value: Any) -> None:
    """One problem names the path, shows the value and says what would be accepted."""
    accepted, problems = parse(check, value)

    assert accepted is None
    assert [(problem.error, problem.wanted) for problem in problems] == [("WrongValue", check.wanted)]
    assert problems[0].seen == f"here is {value!r}"
    assert "'here'" in problems[0].fix


def test_a_long_value_is_shown_in_part() -> None:
    """A message stays readable whatever was pasted into the field."""
    _, problems = parse(Integer(1, 9), "x" * 10_000)

    assert len(problems[0].seen) < 200
    assert problems[0].seen.endswith("...")


def test_an_item_of_a_list_is_named_by_its_place() -> None:
    """Each bad item is a problem of its own; the good ones are kept."""
    accepted, problems = parse(ListOf(Integer(1, 9)), [1, "two", 3, 40], "figures")

    assert accepted == [1, None, 3, None]
    assert [problem.seen for problem in problems] == ["figures[1] is 'two'", "figures[3] is 40"]


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        pytest.param("memroy_mb", "did you mean 'settings.memory_mb'?", id="near a known one"),
        pytest.param("colour", "remove 'settings.colour'", id="like none"),
    ],
)
def test_an_unknown_field_is_a_mistake(name: str, fix: str) -> None:
    """A misspelt field is never silently dropped, and the nearest known one is proposed."""
    check = Object({"memory_mb": Field(Integer(1, 9), "the memory")})

    accepted, problems = parse(check, {name: 1}, "settings")

    assert accepted == {"memory_mb": None}
    assert [(problem.error, problem.seen, problem.fix) for problem in problems] == [
        ("UnknownField", f"unknown field 'settings.{name}'", fix)
    ]


@pytest.mark.parametrize("given_value", [pytest.param({}, id="absent"), pytest.param({"n": None}, id="null")])
def test_null_is_the_same_as_absent(given_value: dict[str, Any]) -> None:
    """Both take the default; both are missing where the field is required."""
    assert parse(Object({"n": Field(Integer(1, 9), "how many", default=4)}), given_value) == ({"n": 4}, [])

    _, problems = parse(Object({"n": Field(Integer(1, 9), "how many", required=True)}), given_value, "")

    assert [(problem.error, problem.seen, problem.fix) for problem in problems] == [
        ("MissingField", "no 'n'", "add 'n': how many")
    ]


RENAMED = Object(
    {"new": Field(Boolean(), "one thing", default=False, alias="old"), "n": Field(Integer(1, 9), "n")}
)


@pytest.mark.parametrize(
    ("given_value", "accepted"),
    [
        pytest.param({"new": True}, True, id="new"),
        pytest.param({"old": True}, True, id="old"),
        pytest.param({"old": False}, False, id="old, as the default"),
        pytest.param({}, False, id="neither"),
        pytest.param({"new": None, "old": True}, True, id="null says nothing"),
        pytest.param({"new": True, "old": None}, True, id="null in the older name"),
        pytest.param({"new": True, "old": True}, True, id="both, the same"),
    ],
)
def test_an_older_name_is_taken(given_value: dict[str, Any], accepted: bool) -> None:
    """What was accepted comes back under the name that the field has now, and so does the document itself."""
    assert parse(RENAMED, given_value) == ({"new": accepted, "n": None}, [])
    assert parse(RENAMED, RENAMED.renamed(given_value)) == ({"new": accepted, "n": None}, [])
    assert "old" not in RENAMED.renamed(given_value)


@pytest.mark.parametrize(
    ("given_value", "error", "seen", "fix"),
    [
        pytest.param({"old": "yes"}, "WrongValue", "here.old is 'yes'", "change 'here.old'", id="old"),
        pytest.param({"new": "yes"}, "WrongValue", "here.new is 'yes'", "change 'here.new'", id="new"),
        pytest.param(
            {"new": "yes", "old": None}, "WrongValue", "here.new is 'yes'", "change 'here.new'", id="old null"
        ),
        pytest.param(
            {"new": True, "old": False},
            "TwoValues",
            "here.new is True, and here.old, its older name, is False",
            "remove 'here.old', or make both the same",
            id="both",
        ),
        pytest.param(
            {"old": 1, "new": True},
            "WrongValue",
            "here.old is 1",
            "change 'here.old'",
            id="one is not true",
        ),
    ],
)
def test_a_mistake_in_an_older_name_is_told_by_that_name(
    given_value: dict[str, Any], error: str, seen: str, fix: str
) -> None:
    """It is one mistake, by the name that its author wrote."""
    problems = parse(RENAMED, given_value)[1]

    assert [(one.error, one.seen, one.fix) for one in problems] == [(error, seen, fix)]
    assert "old" not in parse(RENAMED, {"nw": 1})[1][0].wanted


def test_zero_and_false_are_values() -> None:
    """Only null stands for "not said"."""
    check = Object({"n": Field(Integer(0, 9), "how many", default=4)})

    assert parse(check, {"n": 0}) == ({"n": 0}, [])
    assert [problem.seen for problem in parse(check, {"n": False})[1]] == ["here.n is False"]


def test_all_mistakes_are_found_in_one_pass() -> None:
    """Wrong values, unknown and missing fields at any depth are told together, each with its path."""
    check = Object(
        {
            "a": Field(Integer(1, 9), "a", required=True),
            "b": Field(Object({"c": Field(Number(0, 1), "c"), "d": Field(Text(), "d", required=True)}), "b"),
            "e": Field(ListOf(OneOf(("x",))), "e"),
        }
    )

    _, problems = parse(check, {"b": {"c": 2, "f": 1}, "e": ["x", "y"], "g": None}, "")

    assert {(problem.error, problem.seen) for problem in problems} == {
        ("MissingField", "no 'a'"),
        ("WrongValue", "b.c is 2"),
        ("MissingField", "no 'b.d'"),
        ("UnknownField", "unknown field 'b.f'"),
        ("WrongValue", "e[1] is 'y'"),
        ("UnknownField", "unknown field 'g'"),
    }


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of Python's about patterns like "[["; they are legal
@given(value=JSON)
@pytest.mark.parametrize(
    "check",
    [
        pytest.param(EXECUTION_INPUT, id="execution input"),
        pytest.param(DEPLOYMENT_JSON, id="deployment.json"),
        pytest.param(Pattern(), id="pattern"),
        pytest.param(OneOf(("a",)), id="one of"),
        pytest.param(ListOf(Number(0, 1)), id="list"),
    ],
)
def test_no_json_value_makes_a_check_raise(check: Check, value: Any) -> None:
    """A check is total: it accepts, or it adds a problem."""
    accepted, problems = parse(check, value)

    assert accepted is not None or problems


@given(values=st.fixed_dictionaries({}, optional=dict.fromkeys(EXECUTION_INPUT.fields, JSON)))
def test_no_value_of_a_known_field_makes_the_input_check_raise(values: dict[str, Any]) -> None:
    """Nor does a value of any type in the fields that people do write."""
    accepted, problems = parse(EXECUTION_INPUT, values, "")

    assert set(accepted) | {"archive"} == set(EXECUTION_INPUT.fields)
    assert all(problem.error in {"WrongValue", "MissingField", "UnknownField"} for problem in problems)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        pytest.param({"a": "b", "c": ""}, [], id="right"),
        pytest.param({}, [], id="empty"),
        pytest.param(
            {"a": "b", "c": "d", "e": "f"}, ["tags is {'a': 'b', 'c': 'd', 'e': 'f'}"], id="one too many"
        ),
        pytest.param({"A": "b", "c": 1}, ["a name in tags is 'A'", "tags.c is 1"], id="a name and a value"),
        pytest.param({"A": 1}, ["a name in tags is 'A'"], id="nobody asks for the value of a wrong name"),
        pytest.param(["a"], ["tags is ['a']"], id="a list"),
    ],
)
def test_free_names_are_accepted_by_a_check(value: Any, seen: list[str]) -> None:
    """Each wrong name and each wrong value is a mistake of its own."""
    check = MapOf(Text("lower case", r"[a-z]+"), Text("text", r"[a-z]*"), 2)
    problems: list[Problem] = []
    check.parse(value, "tags", problems)

    assert [one.seen for one in problems] == seen
