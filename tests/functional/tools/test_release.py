"""A release in a repository of its own: what is printed is what makes it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from tools import release

NAMED = ["-c", "user.name=A Person", "-c", "user.email=person@example.com"]
"""Whoever commits; the machine's own settings are not looked at."""


def git(top: Path, *arguments: str) -> str:
    """Return what git prints."""
    program = shutil.which("git")
    assert program is not None
    done = subprocess.run(
        [program, *NAMED, *arguments], cwd=top, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Return a work tree that may be released, with its wheel, and a place to push to."""
    today = datetime.now().astimezone().date()
    top = tmp_path / "tree"
    top.mkdir()
    git(top, "init", "--quiet")
    git(top, "config", "commit.gpgsign", "false")
    git(top, "config", "tag.gpgsign", "false")
    (top / ".gitignore").write_text(".build/\n")
    (top / "CHANGELOG.md").write_text(f"# Changelog\n\n## 1.2.0 - {today}\n\n### Fixed\n\n- It.\n")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message", "all")
    (top / ".build" / "dist").mkdir(parents=True)
    (top / ".build" / "dist" / "sealift-1.2.0-py3-none-any.whl").touch()
    git(tmp_path, "init", "--quiet", "--bare", "origin")
    git(top, "remote", "add", "origin", str(tmp_path / "origin"))
    return top


def test_what_is_printed_makes_the_release(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tag has the notes, headings too, and is where it was pushed to; after that it is taken."""
    assert release.main([], top=top, version="1.2.0") == 0

    told, *lines = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line) for line in lines]
    assert "sealift-1.2.0-py3-none-any.whl" in told
    assert git(top, "status", "--porcelain") == git(top, "tag") == ""

    for program, *arguments in commands:
        assert program == "git"
        git(top, *arguments)

    assert git(top.parent / "origin", "tag", "--list", "--format=%(contents)", "v1.2.0").strip() == (
        "# Sealift 1.2.0\n\n### Fixed\n\n- It."
    )
    assert release.main([], top=top, version="1.2.0") == 1
    assert "the tag v1.2.0 is taken" in capsys.readouterr().err


def test_a_check_writes_nothing_and_wants_no_wheel(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It comes before the wheel is built."""
    shutil.rmtree(top / ".build")

    assert release.main(["--check"], top=top, version="1.2.0") == 0
    assert not (top / ".build").exists()
    assert release.main([], top=top, version="1.2.0") == 1
    assert "no wheel of 1.2.0 in .build/dist; run `make release`" in capsys.readouterr().err


def test_a_file_that_nobody_committed_is_seen(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A release is what the tag names, so nothing else may be in the wheel; no notes are written then."""
    (top / "folder").mkdir()
    (top / "folder" / "new.py").touch()

    assert release.main([], top=top, version="1.2.0") == 1
    assert "has 1 changes (?? folder/new.py); commit or remove them" in capsys.readouterr().err
    assert not (top / ".build" / "dist" / "notes-1.2.0.md").exists()


@pytest.mark.parametrize(
    ("away", "told"),
    [
        pytest.param(".git", "git status failed: fatal: not a git repository", id="repository"),
        pytest.param("CHANGELOG.md", "CHANGELOG.md cannot be read: No such file", id="changelog"),
    ],
)
def test_what_is_not_there_is_told(
    top: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], away: str, told: str
) -> None:
    """In one line, without a traceback."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(top.parent))
    (top / away).rename(top.parent / "away")

    assert release.main(["--check"], top=top, version="1.2.0") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ERROR release: ")
    assert told in line
