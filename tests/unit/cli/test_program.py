"""The command line as click has it: what every command takes, its help, its examples, and how wrong lines are told."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest

from pipeline import cli
from pipeline.cli import options, program
from tests.foreign import unfit


def leaves(group: program.CommandGroup, *path: str) -> Iterator[tuple[tuple[str, ...], program.LeafCommand]]:
    """Yield every command with the words that name it."""
    for name, one in group.commands.items():
        if isinstance(one, program.CommandGroup):
            yield from leaves(one, *path, name)
        elif isinstance(one, program.LeafCommand):
            yield (*path, name), one


VERBS = dict(leaves(program.program()))
NEEDED = {
    "pack": ["m.gguf"],
    "check": ["a"],
    "plan": ["a"],
    "push": ["a", "--service", "s"],
    "watch": ["s"],
    "rollback": ["s"],
    "pause": ["s"],
    "resume": ["s"],
    "ask": ["s"],
    "chat": ["s"],
    "connect": ["s"],
    "eval": ["s", "--suite", "f.jsonl"],
    "bench": ["s"],
    "delete": ["s"],
    "logs": ["s"],
    "report": ["s"],
    "completion": ["bash"],
    "local run": ["a"],
}
"""What some commands cannot do without."""

verbs = pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path)) for path in VERBS])


def test_every_command_that_there_was_is_there() -> None:
    """Their names are public."""
    names = (
        "pack check plan deploy destroy push start watch status history logs rollback sweep report doctor settings "
        "pause resume ask bench chat connect proxy delete eval init ls token completion local image prices"
    )
    assert sorted(program.program().commands) == sorted(names.split())
    assert {path[-1] for path in VERBS if path[0] == "local"} == {"run", "up"}
    assert {path[-1] for path in VERBS if path[0] == "image"} == {"build", "push"}


@verbs
@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param([], (False, False, None, False), id="none"),
        pytest.param(["--json"], (True, False, None, False), id="json"),
        pytest.param(["--quiet"], (False, True, None, False), id="quiet"),
        pytest.param(["--color", "always"], (False, False, "always", False), id="color"),
        pytest.param(["--colour", "never"], (False, False, "never", False), id="colour"),
        pytest.param(["--no-color"], (False, False, "never", False), id="no color"),
        pytest.param(["--color", "always", "--no-color"], (False, False, "never", False), id="the last"),
        pytest.param(["--no-color", "--color", "always"], (False, False, "always", False), id="the last one"),
        pytest.param(["--debug"], (False, False, None, True), id="debug"),
    ],
)
def test_every_command_takes_them_before_its_name_and_behind(
    path: tuple[str, ...], words: list[str], told: tuple[bool, bool, str | None, bool]
) -> None:
    """And between the names of a group and its command."""
    needed = NEEDED.get(" ".join(path), [])
    for line in (
        [*words, *path, *needed],
        [*path, *needed, *words],
        [path[0], *words, *path[1:], *needed],
    ):
        found = program.read(line).options

        assert (found.json, found.quiet, found.color, found.debug) == told


def test_behind_the_name_wins() -> None:
    """Whoever has an alias with a color can still ask for another."""
    assert program.read(["--color", "never", "status", "--color", "always"]).options.color == "always"


@verbs
def test_examples_are_of_their_command_and_parse(path: tuple[str, ...]) -> None:
    """What the help shows can be typed."""
    assert VERBS[path].examples
    for line in VERBS[path].examples:
        words = shlex.split(line.removeprefix('eval "$(').removesuffix(')"'))

        assert words[0] == "sealift"
        assert program.read(words[1:]).place == program.read([*path, *NEEDED.get(" ".join(path), [])]).place


@verbs
@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_the_help_fits_its_terminal(
    path: tuple[str, ...],
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In plain text, with examples, and no line of prose wider than the terminal, or than can be read."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main([*path, "--help"]) == cli.OK

    shown = capsys.readouterr().out
    prose, _, examples = shown.partition("Examples:\n")
    assert unfit(shown.replace("\n", "")) == set()
    assert [line.strip() for line in examples.splitlines()] == list(VERBS[path].examples)
    longest = max((len(word) for word in prose.split()), default=0)
    limit = max(program.NARROWEST, min(width, program.WIDEST), longest + 30)
    assert max(map(len, prose.splitlines())) <= limit


def test_the_help_shows_every_command_in_a_section(capsys: pytest.CaptureFixture[str]) -> None:
    """Once."""
    cli.main(["--help"])
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    titles = [title for title, _ in program.program().sections]

    assert [rows.count(name) for name in program.program().commands] == [1] * len(program.program().commands)
    assert len(titles) == len(set(titles)) > 3


def test_older_names_are_not_advertised(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither by the help nor as what may have been meant."""
    cli.main(["watch", "--help"])
    assert "colour" not in capsys.readouterr().out

    cli.main(["watch", "a", "--colou"])
    assert "did you mean '--color'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "moved"),
    [
        pytest.param([], False, id="neither"),
        pytest.param(["--relocate-model"], True, id="relocate-model"),
        pytest.param(["--mend"], True, id="mend"),
        pytest.param(["--mend", "--relocate-model"], True, id="both"),
    ],
)
def test_relocate_model_was_mend(words: list[str], moved: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The older name does the same, and no help tells of it."""
    found = program.read(["check", "a.tar.gz", *words]).options

    assert isinstance(found, options.CheckOptions)
    assert found.relocate_model is moved
    cli.main(["check", "--help"])
    assert "mend" not in capsys.readouterr().out.replace("recommend", "")


def test_without_a_command_there_is_the_help_and_the_status_of_a_wrong_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where it does not get in the way of what reads stdout."""
    for line in ([], ["local"]):
        assert cli.main(line) == cli.USAGE

        printed = capsys.readouterr()
        assert "Usage: sealift" in printed.err
        assert printed.out == ""


@verbs
def test_each_option_is_a_field_of_its_command(path: tuple[str, ...]) -> None:
    """With the flags of its name, none of them twice."""
    flags = [name for one in VERBS[path].params if isinstance(one, click.Option) for name in one.opts]

    assert len(flags) == len(set(flags))
    assert {"--json", "--quiet", "--color", "--debug"} <= set(flags)


def test_a_command_can_be_called_without_a_line() -> None:
    """Its options are plain Python."""
    assert options.SweepOptions(stack="harbour") == program.read(["sweep", "--stack", "harbour"]).options
    assert (
        options.PushOptions(archive="a", service="s") == program.read(["push", "a", "--service", "s"]).options
    )


@verbs
def test_a_wrong_line_leaves_stdout_to_the_document(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What reads the JSON of a command reads nothing, and its status."""
    assert cli.main(["--json", *path, *NEEDED.get(" ".join(path), []), "--nope"]) == cli.USAGE

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "ERROR  sealift" in printed.err


NAMES = ("", "a b", "Harbor", "harbor/", "../x", "*", "-", "a--b", "x" * 41, "a\x1b[31mb", "Ü")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "words",
    [
        [one, *more]
        for one, more in (
            ("ask", []),
            ("bench", ["--yes"]),
            ("chat", []),
            ("connect", []),
            ("delete", ["--yes"]),
            ("eval", ["--suite", "s.jsonl"]),
            ("history", []),
            ("pause", ["--yes"]),
            ("resume", ["--yes"]),
            ("rollback", []),
            ("status", []),
        )
    ],
    ids=lambda words: words[0],
)
def test_what_is_no_name_of_a_service_is_asked_of_nobody(
    words: list[str], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """AWS would say so in its own words; an empty variable of a script names no service."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    assert cli.main([*words, "--", name]) == cli.USAGE

    said = capsys.readouterr().err
    assert f"{name!r}; wanted a service's name: at most 40" in said


@pytest.mark.parametrize(
    "words",
    [
        ["bench", "demo", "--yes", "--against", "a b"],
        ["bench", "demo", "--yes", "--deployment", "x" * 64],
        ["eval", "demo", "--suite", "s.jsonl", "--against", ""],
        ["sweep", "--service", ""],
    ],
    ids=" ".join,
)
def test_what_is_no_name_of_an_option_is_asked_of_nobody(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An endpoint is named otherwise than a service."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    assert cli.main(words) == cli.USAGE
    assert f"{words[-2]}: {words[-1]!r}; wanted a" in capsys.readouterr().err
    assert program.read(["bench", "demo", "--against", "Demo-4e0ca7a42f18"]).options.against  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["push", "m.gguf", "--service", "s", "--memory", "abc"], "--memory: 'abc'"),
        (["pack", "m.gguf", "--compress", "x"], "--compress: 'x'"),
        (["pack", "m.gguf", "-o"], "-o"),
    ],
)
def test_a_wrong_value_is_told_with_the_name_that_the_help_has_first(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not with an older one."""
    assert cli.main(words) == cli.USAGE
    assert told in capsys.readouterr().err
