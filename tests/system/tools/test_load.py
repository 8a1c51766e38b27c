"""Many services at once; `make load` runs fifty."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
SERVICES = 12


@pytest.mark.timeout(600)  # many deployments in one test
def test_services_deployed_at_once_all_come_up(tmp_path: Path) -> None:
    """No upload is lost, no two share a name, and what each costs in calls, transitions and memory is bounded."""
    figures = tmp_path / "load.json"
    ended = subprocess.run(
        [sys.executable, "-m", "tools.load", "--services", str(SERVICES), "--json", str(figures)],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(figures.read_text())
    assert (report["succeeded"], report["endpoints"], report["executions"]) == (SERVICES, SERVICES, SERVICES)
    assert 0 < report["polls"] <= 3
