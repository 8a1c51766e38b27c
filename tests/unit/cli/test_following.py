"""What is shown of a deployment that is followed: in a pipe, on a terminal, as events."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.text import Text

from pipeline import settings
from pipeline.cli import following
from pipeline.cli.following import Events, Live, Plain
from pipeline.cli.screen import Progress, Screen, progress_text
from pipeline.operations import checklist
from pipeline.operations.checklist import Mark
from pipeline.operations.execution_history import Execution, State

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHECKED: dict[str, Any] = {
    "archive": {
        "bucket": "uploads",
        "key": "models/harbour/model.tar.gz",
        "format": "tar.gz",
        "size": 5 << 20,
    },
    "model": {"path": "m.gguf", "architecture": "llama", "quantization": "Q8_0", "gguf_version": 3},
    "evidence": {"method": "checksum", "members": 4},
}


class Pipe(io.StringIO):
    """A stream that can write anything."""

    encoding = "utf-8"


class Terminal(Pipe):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def ago(name: str, seconds: float, **fields: Any) -> State:
    """Return a state that has run for so long."""
    begun = NOW - timedelta(seconds=seconds)
    return State(name, "running", begun, began=begun, **fields)


def standing(*states: State, status: str = "RUNNING", **results: Any) -> Execution:
    """Return an execution as it stands."""
    return Execution(
        "a:b:harbour-0", status, states, results, error="E", cause="what happened: w", started=NOW
    )


CHECKING = standing(ago("CheckArchive", 3))
DONE = State("CheckArchive", "succeeded", NOW, 2.0, began=NOW)
PLANNING = standing(DONE, ago("PlanDeployment", 2), check_archive=CHECKED)


def test_a_pipe_has_each_line_once_when_it_has_settled() -> None:
    """In order, under the name of its group; nothing that may still change."""
    stream = Pipe()
    view = Plain(Screen(stream), now=lambda: NOW)
    for followed in (CHECKING, CHECKING, PLANNING, PLANNING):
        view.show(followed)
    rows = stream.getvalue().splitlines()

    assert rows[0] == "before"
    assert [row[4:29].strip() for row in rows if row.startswith("  ✓")] == [
        "model compressed as tar.g",
        "model uploaded to S3",
        "model is a GGUF at the ro",
    ]
    assert not any("fits" in row for row in rows)


def test_a_pipe_is_told_now_and_then_of_a_line_that_takes_long() -> None:
    """After a quarter of a minute, and again a minute later, with the reason."""
    stream = Pipe()
    view = Plain(Screen(stream), now=lambda: NOW)
    refused = {"refused": ("Throttled",), "refused_at": NOW}
    for seconds in (5, 20, 40, 70, 85):
        view.show(standing(ago("CheckArchive", seconds, **refused)))
    rows = stream.getvalue().splitlines()

    assert [row for row in rows if " 20 s  AWS" in row]
    assert len([row for row in rows if "AWS asks for fewer requests" in row]) == 2


def test_a_failed_line_waits_in_a_pipe_for_its_cause() -> None:
    """What is written once must be complete: the diagnosis comes a moment after the failure."""
    stream = Pipe()
    view = Plain(Screen(stream), now=lambda: NOW)
    failed = State("CheckArchive", "failed", NOW, 2.0, began=NOW, errors=("InvalidArchive",))
    diagnosed = {"error": "InvalidArchive", "what": "w", "why": "no model", "fix": "pack it"}
    view.show(standing(failed, ago("Diagnose", 1)))
    before = stream.getvalue()
    view.show(standing(failed, DONE, ago("RollBack", 1), diagnose=diagnosed))

    assert before == ""
    assert "✗ model compressed" in stream.getvalue()
    assert "InvalidArchive: no model; pack it" in " ".join(stream.getvalue().split())


def test_a_terminal_has_the_whole_list_redrawn_in_place() -> None:
    """What is to come is there from the beginning; each drawing begins where the last one began."""
    stream = Terminal()
    view = Live(Screen(stream), leaving="Ctrl-C leaves it running", now=lambda: NOW)
    view.show(CHECKING)
    first = stream.getvalue()
    view.show(PLANNING)
    second = stream.getvalue()[len(first) :]

    assert "concurrency given" in first
    assert "Ctrl-C leaves it running" in first
    assert second.startswith(f"\033[{first.count(chr(10))}A\r")


def test_what_has_not_changed_is_not_drawn_again() -> None:
    """A terminal over a slow line gets nothing for nothing."""
    stream = Terminal()
    screen = Screen(stream)
    screen.redraw([Text("a"), Text("b")])
    drawn = stream.getvalue()
    screen.redraw([Text("a"), Text("b")])

    assert stream.getvalue() == drawn


def test_color_takes_no_column() -> None:
    """Without its colors the drawing is the same."""
    drawn = {}
    for when in ("always", "never"):
        stream = Terminal()
        settings.say({"color": when})
        Live(Screen(stream), now=lambda: NOW).show(PLANNING)
        drawn[when] = stream.getvalue()
    settings.say({})

    assert "\033[32m✓\033[0m model" in drawn["always"]
    assert re.sub(r"\033\[[0-9;]*m", "", drawn["always"]) == drawn["never"]
    assert "\033[2m  ·" in drawn["always"]


def test_text_in_color_is_the_text() -> None:
    """Nothing in it is a markup, an emoji's name, or a number that stands out."""
    stream = Terminal()
    said = "[bold]x[/bold] :rocket: 12 'a' https://x.invalid True   " + "long " * 50
    settings.say({"color": "always"})
    Screen(stream).say(said)
    settings.say({})

    assert stream.getvalue() == f"{said}\n"


def test_a_terminal_that_became_narrower_is_drawn_over_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has broken the rows in two: the cursor goes up as many."""
    stream = Terminal()
    screen = Screen(stream)
    monkeypatch.setenv("COLUMNS", "80")
    screen.redraw([Text("x" * 60), Text("short")])
    monkeypatch.setenv("COLUMNS", "40")
    before = stream.getvalue()
    screen.redraw([Text("now")])

    assert stream.getvalue().removeprefix(before).startswith("\033[3A\r")


def test_an_item_is_wrapped_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """With long names whole, so that they can be copied, and nothing foreign in it."""
    monkeypatch.setenv("COLUMNS", "60")
    stream = Pipe()
    arn = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:demo-6618e0acfd6209b3"
    Screen(stream).item("  delete   ", f"some words that come before the name of it {arn} and \033 after")

    assert stream.getvalue().splitlines() == [
        "  delete   some words that come before the name of it",
        f"           {arn}",
        "           and \\x1b after",
    ]


def test_whoever_wants_no_progress_reads_how_it_ended() -> None:
    """No hint, no step, no checklist, neither on a terminal nor in a pipe."""
    for stream in (Terminal(), Pipe()):
        screen = Screen(stream, quiet=True)
        view = following.view_on(screen)
        screen.hint("looking ...")
        screen.step("uploaded")
        Progress(screen, "uploading")(5, 5)
        view.show(CHECKING)
        view.show(PLANNING)
        view.rest(0)

        assert stream.getvalue() == ""
        screen.say("deployed")
        assert stream.getvalue() == "deployed\n"


def test_a_machine_that_wants_no_progress_gets_the_summary() -> None:
    """What there is to know before, and what came of it."""
    stream = Pipe()
    view = Events(stream, quiet=True, now=lambda: NOW)
    view.emit("note", text="a")
    view.emit("upload", bytes=1)
    view.show(CHECKING)
    view.show(standing(DONE, status="FAILED", check_archive=CHECKED))

    assert [json.loads(row)["type"] for row in stream.getvalue().splitlines()] == [
        "note",
        "execution",
        "summary",
    ]


@pytest.mark.parametrize(
    ("terminal", "flag", "variables", "expected"),
    [
        pytest.param(True, None, {}, True, id="a terminal"),
        pytest.param(True, "never", {}, False, id="--color never"),
        pytest.param(True, None, {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param(True, "always", {"NO_COLOR": "1"}, True, id="a flag before the environment"),
        pytest.param(False, None, {}, False, id="a pipe"),
        pytest.param(False, None, {"FORCE_COLOR": "1"}, True, id="FORCE_COLOR"),
        pytest.param(False, "never", {"FORCE_COLOR": "1"}, False, id="a flag before FORCE_COLOR"),
        pytest.param(False, None, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="NO_COLOR first"),
        pytest.param(False, None, {"FORCE_COLOR": "1", "SEALIFT_COLOR": "never"}, False, id="ours first"),
        pytest.param(True, None, {"SEALIFT_COLOUR": "never"}, False, id="as it was spelled"),
    ],
)
def test_color_is_for_terminals_whose_people_want_it(
    *,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    flag: str | None,
    variables: dict[str, str],
    expected: bool,
) -> None:
    """Precedence: flag, environment, and then whether there is a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.say({"color": flag})
    try:
        assert Screen(Terminal() if terminal else io.StringIO()).colored is expected
    finally:
        settings.say({})


def test_a_dumb_terminal_is_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot move its cursor."""
    monkeypatch.setenv("TERM", "dumb")

    assert isinstance(following.view_on(Screen(Terminal())), Plain)


def test_a_machine_gets_one_object_per_change_and_the_summary_last() -> None:
    """Time that passes is no change; a line is told of when its mark or its reason is another."""
    stream = Pipe()
    view = Events(stream, now=lambda: NOW)
    ended = standing(DONE, status="FAILED", check_archive=CHECKED)
    for followed in (CHECKING, standing(ago("CheckArchive", 9)), PLANNING, ended):
        view.show(followed)
    events = [json.loads(row) for row in stream.getvalue().splitlines()]

    assert events[0]["type"] == "execution"
    assert events[-1]["type"] == "summary"
    assert (events[-1]["status"], events[-1]["error"]) == ("FAILED", "E")
    first = [(one["line"], one["mark"]) for one in events if one["type"] == "line"][:6]
    text = [item.text for item in checklist.ITEMS[:3]]
    assert first == [(one, "running") for one in text] + [(one, "done") for one in text]
    for one in events:
        if one["type"] == "line":
            assert set(one) == {"type", "time", "group", "line", "mark", "evidence", "measure", "seconds"}
            assert one["mark"] in set(Mark)


def test_a_failure_ends_with_what_happened_why_and_what_to_do() -> None:
    """The three lines of the diagnosis, which are the execution's cause."""
    stream = Pipe()
    cause = "what happened: w\nwhy: y\nwhat to do: f\033[2J"
    following.conclude(Execution("arn", "TIMED_OUT", (), {}, error="E", cause=cause), Screen(stream))

    assert stream.getvalue().splitlines()[1:] == [
        "timed out after 0.0 s: E",
        "  what happened: w",
        "  why: y",
        "  what to do: f\\x1b[2J",
    ]


def test_the_rate_of_a_resumed_upload_leaves_out_what_was_there() -> None:
    """Rate and time left are of this transfer."""
    mib = 1 << 20

    assert progress_text(60 * mib, 100 * mib, 40 * mib, 10.0) == " 60 %, 60 of 100 MiB, 2.0 MiB/s, 20 s left"
    assert progress_text(40 * mib, 100 * mib, 40 * mib, 10.0).endswith("0.0 MiB/s, ? left")


def test_progress_is_drawn_on_a_terminal_alone() -> None:
    """A pipe is not filled with it."""
    for stream, expected in ((Terminal(), "uploading: 100 %"), (io.StringIO(), "")):
        Progress(Screen(stream), "uploading")(5, 5)

        assert expected in stream.getvalue()
        assert bool(stream.getvalue()) is bool(expected)
