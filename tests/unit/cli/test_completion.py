"""Shell completion, exit statuses and defaults: what the parser is made into."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pipeline import cli, settings
from pipeline.cli import program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the program itself, which each shell's script asks in its own way."""
    assert cli.main(["completion", shell]) == cli.OK
    assert f"{program.COMPLETE}={shell}_complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        pytest.param(["hist"], ["history"], id="command"),
        pytest.param(["logs", "--f"], ["--follow"], id="option"),
        pytest.param(["--json", "local", "r"], ["run"], id="behind an option"),
        pytest.param(["plan", "--hosting", "in"], ["instance"], id="value"),
        pytest.param(["sweep", "--colou"], [], id="an older name"),
    ],
)
def test_bash_completes_commands_options_and_values(
    typed: list[str], offered: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As bash itself runs the script."""
    program = tmp_path / "sealift"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sealift "$@"\n')
    program.chmod(0o755)
    cli.main(["completion", "bash"])
    script = capsys.readouterr().out
    words = " ".join(["sealift", *typed])

    asked = (
        f"{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        '_sealift_completion sealift; echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/bash", "-c", asked], capture_output=True, text=True, check=True, env=environment
    )

    assert done.stdout.split() == offered


def test_an_unknown_shell_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that are known."""
    assert cli.main(["completion", "csh"]) == cli.USAGE

    assert "bash" in capsys.readouterr().err


def test_the_help_tells_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    """All that `main` ends with."""
    assert cli.main(["--help"]) == cli.OK
    told = " ".join(capsys.readouterr().out.split())

    assert all(f"{status} {meaning}" in told for status, meaning in cli.STATUSES.items())
    assert set(cli.STATUSES) == {
        cli.OK,
        cli.FAILED,
        cli.USAGE,
        cli.BUG,
        cli.INTERRUPTED,
        cli.UNREAD,
        cli.TERMINATED,
    }


@pytest.mark.parametrize(
    ("options", "stack", "container"),
    [
        pytest.param([], "from-file", "custom", id="the file's"),
        pytest.param(["--stack", "flag"], "flag", "custom", id="the flag's"),
        pytest.param(["--stack", ""], None, "custom", id="any"),
    ],
)
def test_what_is_not_given_comes_from_the_settings(
    options: list[str], stack: str | None, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those options that the command has; an empty --stack is any stack."""
    (tmp_path / "sealift.toml").write_text('stack = "from-file"\ncontainer = "custom"\n')
    monkeypatch.chdir(tmp_path)
    status = cli.complete(program.read(["status", *options]).options)
    check = cli.complete(program.read(["check", "x"]).options)
    plan = cli.complete(program.read(["plan", "x"]).options)
    settings.say({})

    assert (status.stack, plan.container) == (stack, container)
    assert not hasattr(check, "stack")


def test_without_settings_rollback_and_sweep_look_at_any_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they say of themselves."""
    monkeypatch.chdir(tmp_path)
    for line in (["rollback", "harbour"], ["sweep"]):
        assert cli.complete(program.read(line).options).stack is None


def test_a_wrong_setting_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the command is."""
    (tmp_path / "sealift.toml").write_text('stak = "x"\n')
    monkeypatch.chdir(tmp_path)

    assert cli.main(["status"]) == cli.FAILED

    assert "sealift.toml: unknown setting 'stak'" in capsys.readouterr().err


def test_the_settings_are_shown_with_their_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALIFT_STACK", "harbour")

    assert cli.main(["settings", "--region", "eu-west-1"]) == cli.OK

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["stack", "harbour", "environment", "SEALIFT_STACK"] in lines
    assert ["region", "eu-west-1", "flag"] in lines
