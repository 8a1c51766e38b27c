"""JSON as typed data and back: what is told apart, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import json_codec
from pipeline.json_codec import Mismatch, OlderName, decode, encode, unsaid


@dataclass(frozen=True, slots=True)
class Part:
    """A part of something."""

    name: str
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """One field of each kind that JSON has."""

    text: str
    count: int
    share: float
    good: bool
    way: Literal["up", "down"]
    part: Part
    parts: tuple[Part, ...]
    named: dict[str, Part]
    free: dict[str, Any]
    either: int | str
    maybe: Part | None
    later: str | None = unsaid(None)


class Open(TypedDict):
    """Of a larger object, what is read."""

    part: Part
    note: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Renamed:
    """A field that had another name in older releases."""

    new: Annotated[bool, OlderName("old")]
    part: Part | None = None


class OpenRenamed(TypedDict):
    """The same of a larger object."""

    new: Annotated[bool, OlderName("old")]
    maybe: NotRequired[Annotated[int, OlderName("once")]]


JSON: dict[str, Any] = {
    "text": "a",
    "count": 1,
    "share": 0.5,
    "good": True,
    "way": "up",
    "part": {"name": "p", "weight": None},
    "parts": [{"name": "q", "weight": 2}],
    "named": {"r": {"name": "r", "weight": 0.5}},
    "free": {"x": [1, {"y": None}]},
    "either": "s",
    "maybe": None,
}


def told(kind: Any, value: Any) -> list[tuple[str, str]]:
    """Return what is wrong with JSON that is not of a type."""
    with pytest.raises(Mismatch) as refusal:
        decode(kind, value)
    return list(refusal.value.found)


def test_each_kind_of_field_comes_and_goes() -> None:
    """Nested objects are dataclasses, lists are tuples; the JSON is the same again, its order too."""
    made = decode(Whole, JSON)

    assert made.part == Part("p")
    assert made.parts == (Part("q", 2),)
    assert made.named == {"r": Part("r", 0.5)}
    assert made.free == {"x": [1, {"y": None}]}
    assert json.dumps(encode(made)) == json.dumps(JSON)


@pytest.mark.parametrize("name", ["new", "old"])
@pytest.mark.parametrize("said", [True, False])
def test_an_older_release_may_have_named_a_field_otherwise(name: str, said: bool) -> None:
    """What is handed on has the name of now."""
    assert decode(Renamed, {name: said}) == Renamed(said)
    assert encode(decode(Renamed, {name: said})) == {"new": said, "part": None}
    assert decode(OpenRenamed, {name: said, "x": 1}) == {"new": said, "x": 1}
    assert decode(OpenRenamed, {name: said, "once": 2}) == {"new": said, "maybe": 2}


def test_a_mistake_in_an_older_name_is_told_by_that_name() -> None:
    """None is missing that is there; and no release hands over both."""
    assert told(Renamed, {"old": 1}) == [("old is 1", "true or false")]
    assert told(OpenRenamed, {"old": 1}) == [("old is 1", "true or false")]
    assert told(Renamed, {}) == [("no 'new'", "a field of Renamed")]
    assert told(Renamed, {"new": True, "old": True}) == [("unknown field 'old'", "the fields of Renamed")]


def test_a_field_is_left_out_only_while_nothing_is_said() -> None:
    """Else null would become of what was not there, and nothing of null."""
    assert "later" not in encode(decode(Whole, JSON))
    assert encode(decode(Whole, {**JSON, "later": "b"}))["later"] == "b"
    assert encode(decode(Part, {"name": "p"})) == {"name": "p", "weight": None}


@pytest.mark.parametrize(
    ("name", "value", "seen", "wanted"),
    [
        pytest.param("text", 1, "text is 1", "a string", id="no string"),
        pytest.param("text", None, "text is None", "a string", id="null"),
        pytest.param("count", 1.0, "count is 1.0", "a whole number", id="no whole number"),
        pytest.param("count", True, "count is True", "a whole number", id="true is no number"),
        pytest.param("share", False, "share is False", "a number", id="false is no number"),
        pytest.param("share", "1", "share is '1'", "a number", id="no number"),
        pytest.param("good", 1, "good is 1", "true or false", id="one is not true"),
        pytest.param("way", "left", "way is 'left'", "'up' or 'down'", id="another word"),
        pytest.param("part", [], "part is []", "an object", id="no object"),
        pytest.param("parts", {}, "parts is {}", "a list", id="no list"),
        pytest.param("free", [], "free is []", "an object", id="no free object"),
        pytest.param("either", 0.5, "either is 0.5", "a string", id="neither"),
        pytest.param("part", {}, "no 'part.name'", "a field of Part", id="a part's field is missing"),
        pytest.param("maybe", {}, "no 'maybe.name'", "a field of Part", id="a field of what may be null"),
        pytest.param(
            "parts",
            [{"name": "q"}, {"name": 2}],
            "parts[1].name is 2",
            "a string",
            id="one of several",
        ),
        pytest.param(
            "named", {"r": {"name": 2}}, "named.r.name is 2", "a string", id="one of several by name"
        ),
        pytest.param(
            "part",
            {"name": "p", "color": 1},
            "unknown field 'part.color'",
            "the fields of Part",
            id="an unknown field",
        ),
    ],
)
def test_what_is_not_of_the_type_is_told_with_its_place(
    name: str, value: Any, seen: str, wanted: str
) -> None:
    """One mistake, one line: what was seen where, and what was wanted."""
    assert told(Whole, {**JSON, name: value}) == [(seen, wanted)]


def test_all_mistakes_are_told_at_once() -> None:
    """A missing field, an unknown one and one of another type."""
    wrong = {name: value for name, value in JSON.items() if name != "text"} | {"count": "1", "more": 1}

    assert told(Whole, wrong) == [
        ("no 'text'", "a field of Whole"),
        ("count is '1'", "a whole number"),
        ("unknown field 'more'", "the fields of Whole"),
    ]


def test_a_long_value_is_shown_by_its_beginning() -> None:
    """It may be a whole plan."""
    ((seen, _),) = told(Part, {"name": ["x" * 100]})

    assert len(seen) < 80


@pytest.mark.parametrize("value", [None, [], "a", 1])
def test_what_is_no_object_is_refused(value: Any) -> None:
    """At the top there is no field to name."""
    assert told(Part, value) == [(f"the document is {value!r}", "an object")]


def test_a_typed_dict_is_open() -> None:
    """What it names is read, the rest stays as it came; what is not required may be missing."""
    assert decode(Open, {"part": {"name": "p"}, "log": {"x": 1}}) == {"part": Part("p"), "log": {"x": 1}}
    assert decode(Open, {"part": {"name": "p"}, "note": "n"})["note"] == "n"
    assert told(Open, {"note": 1}) == [("no 'part'", "a field of Open"), ("note is 1", "a string")]


def test_a_type_that_no_json_has_is_a_mistake_of_ours() -> None:
    """Told at once and not as somebody's wrong JSON."""
    with pytest.raises(TypeError, match="no JSON is"):
        decode(set, [])  # type: ignore[arg-type]


def test_the_keys_are_the_fields_in_their_order() -> None:
    """Of both kinds; the workflow selects by them."""
    assert json_codec.keys(Part) == ("name", "weight")
    assert json_codec.keys(Open) == ("part", "note")


PARTS = st.builds(Part, st.text(), st.none() | st.floats(allow_nan=False) | st.integers())


@given(PARTS, st.lists(PARTS), st.dictionaries(st.text(), PARTS), st.none() | PARTS, st.none() | st.text())
def test_nothing_is_lost(
    part: Part, parts: list[Part], named: dict[str, Part], maybe: Part | None, later: str | None
) -> None:
    """Out through real JSON and in again."""
    whole = Whole(
        text="a",
        count=1,
        share=1,
        good=False,
        way="down",
        part=part,
        parts=tuple(parts),
        named=named,
        free={},
        either=1,
        maybe=maybe,
        later=later,
    )

    assert decode(Whole, json.loads(json.dumps(encode(whole)))) == whole
