"""The files that travel with Sealift."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import package_files
from pipeline.errors import InvalidInput


def test_the_code_of_an_archive_can_run_by_itself() -> None:
    """The four functions, their settings, llama_cpp with its libraries, and what it imports that the image has not."""
    code = package_files.code()

    assert {"code/inference.py", "code/config.json", "code/diskcache/__init__.py"} <= set(code)
    assert {"code/llama_cpp/__init__.py", "code/llama_cpp/lib/libllama.so"} <= set(code)
    assert all(path.is_file() for path in code.values())


@pytest.mark.parametrize(
    "name", ["requirements.txt", "numpy", "jinja2", "typing_extensions.py", "__pycache__"]
)
def test_what_would_harm_in_the_image_stays_behind(name: str) -> None:
    """It would be installed at every start, hide the image's own, or be of another Python."""
    assert not [path for path in package_files.code() if name in Path(path).parts]


def test_a_missing_runtime_is_told_with_its_fix(tmp_path: Path) -> None:
    """An archive without it would deploy and never answer."""
    with pytest.raises(InvalidInput, match=r"no llama_cpp in .*; wanted the runtime.*; run `make runtime`"):
        package_files.require_runtime(tmp_path / "runtime")


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_the_commit_is_the_checkouts(tmp_path: Path) -> None:
    """With a word where files differ from it; nothing where there is no repository, or none that git can read."""

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        command = [str(shutil.which("git")), *who, "-C", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert package_files.commit(tmp_path) == ""
    (tmp_path / ".git").mkdir()
    assert package_files.commit(tmp_path) == ""
    git("init", "--quiet")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "--quiet", "--message", "first")
    git("tag", "v1")
    head = git("rev-parse", "HEAD")

    assert package_files.commit(tmp_path) == head
    (tmp_path / "file").write_text("2")
    assert package_files.commit(tmp_path) == f"{head}-dirty"
