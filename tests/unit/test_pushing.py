"""What the events of a push become: a result, or the error that says who has to act."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pipeline import errors
from pipeline.operations import diagnosis
from sealift.deployed import DeployedService
from sealift.pushing import PushResult, TakenEvents, result

SERVICE = DeployedService("demo", cast("Any", None), None)
PROBLEM = {"error": "TooMuchMemory", "seen": "9 GB", "wanted": "6 GB", "fix": "take less"}
THREE = diagnosis.lines("it broke", "a reason", "mend it")
BEGUN = {"type": "execution", "execution_arn": "arn:x"}


def made(*told: dict[str, Any], well: bool = True) -> PushResult:
    """Return what events become."""
    events = TakenEvents(None)
    for one in told:
        events.write(one)
    return result(events, SERVICE, well=well)


def line(text: str, mark: str) -> dict[str, Any]:
    """Return the event of a checklist's line."""
    return {"type": "line", "group": "before", "line": text, "mark": mark, "evidence": "e", "seconds": 1.0}


def test_a_deployment_becomes_its_answer_and_its_checklist() -> None:
    """Each line once, as it stood last."""
    tested: dict[str, Any] = {
        "transcript": [{"prompt": "p", "answer": "Cargo."}, {"prompt": "q", "answer": "no"}]
    }
    speed = {"seconds": 2.0, "first_token_s": 0.25, "tokens": 32, "tokens_per_s": 14.5}
    tested["speed"] = speed
    summary = {"type": "summary", "endpoint_name": "demo-1", "smoke_test": tested, "seconds": 4.5}
    lines = (line("a", "running"), line("b", "skipped"), line("a", "done"))

    found = made({"type": "note", "text": "new"}, BEGUN, *lines, summary)

    assert (str(found), found.endpoint_name, found.seconds) == ("Cargo.", "demo-1", 4.5)
    assert [(one.line, one.mark) for one in found.checklist] == [("a", "done"), ("b", "skipped")]
    assert (found.first_token_s, found.tokens_per_s) == (0.25, 14.5)
    assert (found.notes, found.execution_arn, found.service) == (("new",), "arn:x", SERVICE)


def test_what_was_not_followed_has_no_answer() -> None:
    """And says what deploys it."""
    found = made({**BEGUN, "status": "RUNNING"})

    assert (found.endpoint_name, found.answer, found.checklist) == (None, None, ())
    assert (found.first_token_s, found.tokens_per_s) == (None, None)
    assert str(found) == "demo is being deployed by arn:x"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (["plan"], errors.ModelDoesNotFit),
        (["check"], errors.InvalidArchive),
        (["plan", "check"], errors.InvalidArchive),
        (["plan", "check", "plan"], errors.ModelDoesNotFit),
    ],
)
def test_what_was_refused_before_it_was_sent_has_its_problems(told: list[str], kind: type) -> None:
    """The last that was looked at refuses: what came before was well."""
    events = [{"type": one, "problems": []} for one in told]
    events[-1]["problems"] = [{**PROBLEM, "other": 1}]

    with pytest.raises(errors.PermanentError) as caught:
        made(*events, well=False)

    assert type(caught.value) is kind
    assert [one.to_json() for one in caught.value.problems] == [PROBLEM]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SmokeTestFailed", errors.SmokeTestFailed),
        ("ModelDoesNotFit", errors.ModelDoesNotFit),
        ("Throttled", errors.Throttled),
        ("States.Timeout", errors.Failed),
    ],
)
@pytest.mark.parametrize(
    "cause", [THREE, f"{THREE}\nundone: all", "it broke", "it broke\nwhy: a reason\nwhat to do: mend it"]
)
def test_a_failed_deployment_raises_its_error(name: str, kind: type, cause: str) -> None:
    """With what happened, why and what to do, and where all of it is told."""
    summary = {"type": "summary", "error": name, "cause": cause, "execution_arn": "arn:x"}

    with pytest.raises(errors.SealiftError, match="it broke") as caught:
        made(BEGUN, summary, well=False)

    assert type(caught.value) is kind
    if cause.startswith(THREE):
        assert (caught.value.why, caught.value.fix) == ("a reason", "mend it")
        assert caught.value.__notes__[:-1] == cause.splitlines()[3:]
    assert "arn:x" in caught.value.__notes__[-1]


def test_events_are_handed_on_as_they_come() -> None:
    """To whoever wants progress."""
    seen: list[Any] = []
    events = TakenEvents(seen.append)

    events.emit("note", text="a")

    assert [(one["type"], one["text"]) for one in seen] == [("note", "a")]
    assert events.taken == seen
