"""A sample of the failure matrix; `make matrix` runs all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(900)  # many deployments in one test: the bound of a single one is not meant for it
def test_a_sample_of_all_failures_leaves_everything_in_order() -> None:
    """Every kind of fault, every task and every scenario is in it; the process is its own, as is its local cloud."""
    ended = subprocess.run(
        [sys.executable, "-m", "tools.matrix", "--sample", "--jobs", "1", "--pairs", "0", "--races", "4"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
