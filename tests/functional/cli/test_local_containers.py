"""What `sealift local` does with the switch between containers and processes, on a machine without a runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def up(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `sealift local up`, where no program is found, until it ends."""
    return subprocess.run(
        [sys.executable, "-m", "sealift", "local", "up", "--port", "0", *arguments],
        env={"PATH": "/nonexistent", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_who_insists_on_containers_is_told_why_there_are_none(tmp_path: Path) -> None:
    """Nothing is started; here by the variable, which counts as the flag does."""
    ended = up(HOME=str(tmp_path), SEALIFT_LOCAL_CONTAINERS="runc")

    assert ended.returncode == 1
    assert "no true containers here: " in ended.stderr
    assert "install runc and run as root, or let it be auto, which takes what works" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_way_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """As every choice of the command line."""
    ended = up("--containers", "docker", HOME=str(tmp_path))

    assert ended.returncode == 2
    assert "docker" in ended.stderr
