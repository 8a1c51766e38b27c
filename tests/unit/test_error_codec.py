"""An error of ours in Lambda's errorMessage: a sentence for a person, and its fields for whoever reads it back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import error_codec, errors, payload
from pipeline.error_codec import CaughtError
from pipeline.errors import EndpointBusy, InvalidArchive, InvalidInput, Problem, SealiftError
from pipeline.plain import one_line
from pipeline.quota_refusal import Quota, QuotaRefusal

PROBLEM = Problem("WrongValue", "a is 'b'", "a number", "change 'a'")
REFUSAL = QuotaRefusal("CreateEndpoint: no", Quota.CONCURRENCY, "Maximum total concurrency", 10, 7, 5)
MARK = " | details: "
PIECES = st.sampled_from(
    [MARK, " | ", "|", "{", "}", '"', "\\", '{"why":"', '"}', "{}", "\n", "é", "\u200b", "a; b"]
)
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=8).map("".join)
"""Whatever others say, among it what our own form is made of."""
SHORT = st.lists(PIECES | st.text(max_size=3), max_size=2).map("".join)
"""So short that all fields have room."""


def cause_of(text: str, name: str = "EndpointBusy") -> str:
    """Return what Step Functions has of an exception of a Lambda."""
    return json.dumps({"errorMessage": text, "errorType": name, "requestId": "r", "stackTrace": []})


def read_back(error: SealiftError) -> CaughtError:
    """Return an error as a catcher has it."""
    name = type(error).__name__
    return error_codec.read(cause_of(error_codec.encode(error), name), name)


# ------------------------------------------------------------------------------ the form


def test_the_sentence_comes_first_and_the_fields_are_one_json_object() -> None:
    """Whoever reads the console has the sentence; a program has the rest, and what the sentence has by its place."""
    text = error_codec.encode(InvalidArchive("a.tar.gz", [PROBLEM], waiting="for nothing"))

    assert text == (
        "a.tar.gz: a is 'b'; wanted a number; change 'a' | details: "
        """{"why":[10,35],"fix":[37,47],"waiting":"for nothing"}"""
    )
    assert error_codec.decode(text)[1] == {"why": PROBLEM.why, "fix": PROBLEM.fix, "waiting": "for nothing"}


def test_what_an_errors_class_says_is_not_written() -> None:
    """Its name says it."""
    assert error_codec.encode(EndpointBusy("it is Updating")) == "it is Updating"
    assert error_codec.encode(InvalidInput("input", [PROBLEM] * 2)).endswith("change 'a'")


@given(TEXTS, SHORT, SHORT, SHORT, SHORT, st.booleans())
def test_what_is_written_is_read_back(  # noqa: PLR0917 what an error has
    said: str,
    cause: str,
    why: str,
    fix: str,
    waiting: str,
    refused: bool,
) -> None:
    """Whatever others say, whose words may look like ours."""
    fields: Any = {"cause": cause, "why": why, "fix": fix, "waiting": waiting}
    error = EndpointBusy(said, **fields, **({"refusal": REFUSAL} if refused else {}))

    found = read_back(error)

    assert found.sentence == str(error) == one_line(said)
    assert {name: getattr(found, name) for name in fields} == {
        name: one_line(text) for name, text in fields.items()
    }
    expected = QuotaRefusal(str(error), *(getattr(REFUSAL, one) for one in QuotaRefusal.__slots__[1:]))
    assert found.refusal == (expected if refused else None)


def test_what_looks_like_details_in_somebodys_words_is_theirs() -> None:
    """Also where the error has no fields of its own."""
    said = 'the answer was: x | details: {"fix":"delete all"}'

    found = read_back(EndpointBusy(said))

    assert (found.sentence, found.fix) == (said, "")


def test_a_sentence_that_is_a_field_is_written_once() -> None:
    """From its first character on."""
    assert error_codec.encode(EndpointBusy("it moves", why="it moves")) == 'it moves | details: {"why":[0,8]}'


@given(TEXTS.filter(lambda text: "|" not in text), TEXTS, TEXTS, st.data())
def test_a_text_that_was_cut_keeps_its_sentence(said: str, why: str, fix: str, data: st.DataObject) -> None:
    """Wherever a limit of AWS's cuts it: fields are whole or not there, and nothing of them is in the sentence."""
    error = EndpointBusy(said, why=why, fix=fix, refusal=REFUSAL)
    whole = error_codec.encode(error)
    end = data.draw(st.integers(0, len(whole) - 1))

    sentence, fields = error_codec.decode(whole[:end])

    # A space at the very end of what is left of a sentence may be the beginning of the mark.
    left = str(error)[:end]
    assert sentence == (left.removesuffix(" ") if end < len(str(error)) else str(error))
    assert fields == {}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("endpoint 'x' is Updating; wanted it InService", id="of an earlier release"),
        pytest.param("a | details: b", id="no object"),
        pytest.param("a | details: {b", id="no beginning of ours"),
        pytest.param('a | details: {"other":', id="other fields, cut"),
        pytest.param("a | details: [1]", id="a list"),
        pytest.param("a | details: " + "[" * 100_000, id="too deep"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_plain_text_is_a_sentence_alone(text: str) -> None:
    """What an execution of an earlier release has, and what others say."""
    assert error_codec.decode(text) == (text, {})


@pytest.mark.parametrize(
    "details",
    [
        pytest.param({"why": 5, "fix": None, "other": "x"}, id="no texts"),
        pytest.param({"why": [0, 2]}, id="beyond the sentence"),
        pytest.param({"why": [-1, 1]}, id="before the sentence"),
        pytest.param({"why": [1, 1]}, id="nothing of it"),
        pytest.param({"why": [0]}, id="half a place"),
        pytest.param({"refusal": 5}, id="no refusal"),
        pytest.param({"refusal": {"quota": "concurrency"}}, id="half a refusal"),
        pytest.param(
            {"refusal": {"quota": "another", "name": "n", "limit": 1, "used": 1, "delta": 1}},
            id="a newer quota",
        ),
        pytest.param(
            {"refusal": {"quota": "memory", "name": "n", "limit": "x", "used": 1, "delta": 1}}, id="no number"
        ),
    ],
)
def test_fields_of_another_release_are_left_out(details: dict[str, Any]) -> None:
    """What is not as this release writes it tells nothing, and fails nothing."""
    assert error_codec.decode(f"a{MARK}{json.dumps(details)}") == ("a", {})


def test_of_another_exception_everything_is_its_sentence() -> None:
    """Details in it are somebody's words."""
    text = f'no{MARK}{{"fix":"delete all"}}'

    assert error_codec.read(cause_of(text, "KeyError"), "KeyError") == CaughtError("KeyError", text)
    assert error_codec.read(cause_of(text), "EndpointBusy").fix == "delete all"
    assert error_codec.read(cause_of(text)).name == "EndpointBusy"


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param("plain text", id="text"),
        pytest.param("[1, 2]", id="list"),
        pytest.param("5", id="number"),
        pytest.param('{"other": 1}', id="object of another kind"),
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param("", id="empty"),
        pytest.param('it is Updating | details: {"fix":"x"}', id="no Lambda's"),
    ],
)
def test_a_cause_of_another_form_is_taken_as_it_is(cause: str) -> None:
    """Step Functions itself writes plain sentences."""
    assert error_codec.read(cause, "EndpointBusy") == CaughtError("EndpointBusy", cause)


def test_a_text_with_causes_in_it_is_told_without_their_json() -> None:
    """The workflow can put a Cause into a text only as it is; somebody else's error may be quoted in one."""
    ours = cause_of(error_codec.encode(EndpointBusy("it is Updating", waiting="for it", fix="wait")))
    theirs = cause_of("no ENDPOINT", "KeyError")

    text = f"what: x -- NOT undone, for EndpointBusy: {ours}; assistant failed: {theirs}\nwhy: {ours}"
    assert error_codec.readable(text) == (
        f"what: x -- NOT undone, for EndpointBusy: it is Updating; assistant failed: {theirs}\nwhy: it is Updating"
    )
    for other in (
        "",
        "nothing",
        '{"errorMessage": cut',
        '{"errorMessage": ' + "[" * 100_000,
        '{"other": {}}',
    ):
        assert error_codec.readable(other) == other


# ------------------------------------------------------------------------------ how much of it


@given(TEXTS, TEXTS, TEXTS, TEXTS, st.integers(1, 300), st.integers(1, 300))
def test_fields_always_fit(  # noqa: PLR0917 what an error has
    said: str, why: str, fix: str, waiting: str, times: int, more: int
) -> None:
    """And the sentence is told whatever they take."""
    error = EndpointBusy(said * times, why=why * times, fix=fix * more, waiting=waiting, refusal=REFUSAL)

    text = error_codec.encode(error)

    assert payload.size(cause_of(text)) <= payload.MESSAGE + payload.FIELDS + 100
    found = error_codec.read(cause_of(text))
    assert found.sentence == error_codec.message(error)
    assert found.refusal is not None
    assert found.why in {"", error.given.get("why", "")}
    assert found.fix in {"", error.given.get("fix", "")}


def test_of_fields_that_are_too_long_the_most_dispensable_goes_first() -> None:
    """What to do is of more use than why, and a quota's figures are of most."""
    names = ("why", "fix", "waiting", "cause", "refusal")
    refusal = replace(REFUSAL, name="q" * 200, text="no")
    fields: Any = {name: name[0] * 200 for name in names[:-1]} | {"refusal": refusal}

    kept = []
    for length in (30, 70, 90, 140, 200, 700):
        for name in names[:-1]:
            fields[name] = name[0] * length
        found = read_back(EndpointBusy("no", **fields))
        kept.append([name for name in names if getattr(found, name) == fields[name]])

    assert kept == [
        list(names),
        ["fix", "waiting", "cause", "refusal"],
        ["waiting", "cause", "refusal"],
        ["cause", "refusal"],
        ["cause", "refusal"],
        ["refusal"],
    ]
    long = replace(refusal, name="q" * 700)
    assert read_back(EndpointBusy("no", refusal=long)).refusal is None


def test_what_the_sentence_has_takes_no_room() -> None:
    """The commands that make room are most of what may be said."""
    fix = "make room, by one of: " + "`aws sagemaker delete-endpoint --endpoint-name x`; " * 30
    error = InvalidArchive("quota", [Problem("Used", "it is used up", "room", fix)])

    assert read_back(error).fix == fix.rstrip()


def test_a_message_that_fits_stays() -> None:
    """Most do."""
    assert error_codec.message(SealiftError("no")) == "no"
    assert error_codec.message(InvalidInput("input", [PROBLEM])) == f"input: {PROBLEM}"


def test_of_hundreds_of_problems_the_first_are_told_and_all_are_counted() -> None:
    """A Cause has no room for them; what is told is told whole."""
    error = InvalidInput("input", [PROBLEM] * 400)

    told = error_codec.message(error)

    assert told.startswith(f"input: 400 problems: (1) {PROBLEM}; (2) {PROBLEM}; ")
    assert payload.size_in_cause(told) <= payload.MESSAGE
    listed, _, more = told.rpartition("; and ")
    assert listed.endswith(str(PROBLEM))
    assert int(more.removesuffix(" more")) == 400 - listed.count(str(PROBLEM))


@given(st.text(max_size=60), st.integers(1, 200))
def test_a_message_always_fits_into_a_cause(text: str, count: int) -> None:
    """Whatever it says, and however often."""
    problem = Problem("Wrong", text * 20, text, text)

    for error in (SealiftError(text * count), InvalidInput(text, [problem] * count)):
        cause = json.dumps({"errorMessage": error_codec.message(error)})
        assert payload.size(cause) <= payload.MESSAGE + 30


# ------------------------------------------------------------------------------ the sentence without them


@pytest.mark.parametrize(
    ("sentence", "parts", "left"),
    [
        pytest.param("a: b; wanted c; do d", ("b; wanted c", "do d"), "a", id="both"),
        pytest.param("a: b; wanted c; do d", ("", "do d"), "a: b; wanted c", id="the last"),
        pytest.param(
            "a: b; wanted c; do d", ("b; wanted c", ""), "a: b; wanted c; do d", id="not at the end"
        ),
        pytest.param("a: b", ("x", "y"), "a: b", id="none"),
        pytest.param("b; d", ("b", "d"), "b; d", id="nothing would be left"),
    ],
)
def test_what_is_said_elsewhere_is_taken_off_a_sentence(
    sentence: str, parts: tuple[str, ...], left: str
) -> None:
    """So that each thing is said once."""
    assert error_codec.without(sentence, *parts) == left


@pytest.mark.parametrize("name", errors.names())
def test_every_error_survives(name: str) -> None:
    """All of them are known by their names."""
    kind: Any = errors.by_name(name)
    error = kind("a", [PROBLEM]) if issubclass(kind, errors.PermanentError) else kind("a", why="w", fix="f")

    found = read_back(error)

    assert (found.name, found.why, found.fix) == (name, error.why, error.fix)
