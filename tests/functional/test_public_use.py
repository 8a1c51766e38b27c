"""`import sealift`, as somebody else's program uses it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sealift
from pipeline.archive.build.pack import PackResult

TOP = Path(__file__).resolve().parents[2]
MODEL = TOP / "examples" / "demo_model" / "sealift-demo.gguf"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackResult:
    """Pack the demo's model."""
    return sealift.pack(MODEL, tmp_path_factory.mktemp("packed") / "model.tar.gz")


def test_the_example_of_the_documents_runs(tmp_path: Path) -> None:
    """As it stands on the page, beside a model."""
    shutil.copy(MODEL, tmp_path / "model.gguf")
    (example,) = re.findall(r"```python\n(.*?)```", (TOP / "docs/commands.md").read_text(), re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "accepted 1024 MB\n"


def test_what_was_packed_is_accepted(packed: PackResult) -> None:
    """By its path, or by its name."""
    assert sealift.check(packed.path).verdict == "accepted"
    assert sealift.check(str(packed.path)).problems == ()


def test_a_plan_heeds_the_settings_and_those_beside_the_archive(packed: PackResult) -> None:
    """The ones that are given win."""
    (beside := packed.path.with_name("deployment.json")).write_text(
        '{"memory_mb": 3072, "service": "beside"}'
    )
    try:
        made = sealift.plan(packed.path, {"memory_mb": 2048})
    finally:
        beside.unlink()

    assert made.fits
    assert (made.size, made.endpoint) == ("2048 MB", "beside-<digest>")


def test_a_setting_is_refused_by_its_own_name(packed: PackResult) -> None:
    """And not by the option that a command line has for it; the command names the option."""
    with pytest.raises(sealift.PermanentError) as caught:
        sealift.plan(packed.path, {"memory_mb": 1000, "inference": {"n_ctx": -1}})

    said = str(caught.value)
    assert "settings" in said
    assert "memory_mb" in said
    assert "n_ctx" in said
    assert "--" not in said


def test_an_archive_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    """One class for all that Sealift refuses."""
    with pytest.raises(sealift.SealiftError, match="nowhere"):
        sealift.check(tmp_path / "nowhere.tar.gz")
