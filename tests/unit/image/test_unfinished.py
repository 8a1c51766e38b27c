"""Uploads that are remembered on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.image.unfinished import KEPT_S, Forgetful, UploadFiles


def test_an_upload_is_remembered_until_it_is_forgotten(tmp_path: Path) -> None:
    """One for each repository and blob; readable for its owner alone."""
    files = UploadFiles(tmp_path / "uploads")

    assert files.recall("a/b", "sha256:1") is None
    files.write("a/b", "sha256:1", "first")
    files.write("a/b", "sha256:1", "second")
    files.write("a/c", "sha256:1", "other")
    assert (files.recall("a/b", "sha256:1"), files.recall("a/c", "sha256:1")) == ("second", "other")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "uploads").iterdir()} == {0o600}
    files.forget("a/b", "sha256:1")
    files.forget("a/b", "sha256:1")
    assert files.recall("a/b", "sha256:1") is None


def test_what_nobody_came_back_for_is_removed(tmp_path: Path) -> None:
    """A week later."""
    files = UploadFiles(tmp_path)
    for name in ("a/b", "a/c"):
        files.write(name, "sha256:1", "x")
    paths = sorted(tmp_path.iterdir())
    os.utime(paths[0], (1000, 1000))
    os.utime(paths[1], (1001, 1001))

    files.prune(1000 + KEPT_S + 1)

    assert list(tmp_path.iterdir()) == [paths[1]]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * (64 * 1024 + 1)])
def test_what_cannot_be_read_is_forgotten(tmp_path: Path, content: bytes) -> None:
    """An upload is begun anew then."""
    files = UploadFiles(tmp_path)
    files.write("a/b", "sha256:1", "x")
    next(tmp_path.iterdir()).write_bytes(content)

    assert files.recall("a/b", "sha256:1") is None


def test_a_folder_that_cannot_be_is_no_obstacle(tmp_path: Path) -> None:
    """Nothing is remembered."""
    (tmp_path / "file").write_text("")
    files = UploadFiles(tmp_path / "file" / "uploads")

    files.write("a/b", "sha256:1", "x")
    files.prune(1e12)
    assert files.recall("a/b", "sha256:1") is None


def test_a_task_remembers_nothing() -> None:
    """Its uploads stand in the execution's data."""
    forgetful = Forgetful()

    forgetful.write("a/b", "sha256:1", "x")
    forgetful.forget("a/b", "sha256:1")
    assert forgetful.recall("a/b", "sha256:1") is None
