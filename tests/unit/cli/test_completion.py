"""Shell completion, exit statuses and defaults: what the parser is made into."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pipeline import cli, settings
from pipeline.cli import Arguments

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = (
    "pack",
    "check",
    "plan",
    "status",
    "history",
    "logs",
    "rollback",
    "sweep",
    "doctor",
    "settings",
    "local",
)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_completed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In each shell, with the options of each command."""
    assert cli.main(["completion", shell]) == cli.OK

    script = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in script] == []
    assert "follow" in script


def test_bash_completes_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    """As bash itself runs the script."""
    cli.main(["completion", "bash"])
    script = capsys.readouterr().out
    ask = 'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _shtab_sealift; echo "${COMPREPLY[@]}"'

    typed = f"{script}\nCOMP_WORDS=(sealift hist); {ask}\nCOMP_WORDS=(sealift logs --f); {ask}"
    done = subprocess.run(["/bin/bash", "-c", typed], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["history", "--follow"]


def test_an_unknown_shell_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that are known."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["completion", "csh"])

    assert ended.value.code == cli.USAGE
    assert "bash" in capsys.readouterr().err


def test_the_help_tells_every_exit_status() -> None:
    """All that `main` and argparse end with."""
    told = " ".join(cli.parser().format_help().split())

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
    status = cli.parser().parse_args(["status", *options], namespace=Arguments())
    plan = cli.parser().parse_args(["plan", "x"], namespace=Arguments())

    cli._complete(status)
    cli._complete(plan)
    settings.say({})

    assert (status.stack, plan.container) == (stack, container)
    assert not hasattr(plan, "stack")


def test_without_settings_rollback_and_sweep_look_at_any_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they say of themselves."""
    monkeypatch.chdir(tmp_path)
    for line in (["rollback", "harbour"], ["sweep"]):
        arguments = cli.parser().parse_args(line, namespace=Arguments())

        cli._complete(arguments)

        assert arguments.stack is None


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
