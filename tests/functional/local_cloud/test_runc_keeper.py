"""The keeper of a container, with programs of this machine in the place of a runtime and of a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from local_cloud.hosting.containers import runc_keeper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers need Linux")

STARTS = 'sleep 60 >/dev/null 2>&1 & echo $! >"$0"; sleep 0.01 &'
"""As a runtime that leaves a container behind, and a child of its own that has ended."""


def test_what_a_runtime_leaves_behind_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """Crun leaves a child that has ended; the keeper takes note of it, and ends the server when it is told to."""
    hears, ready = os.pipe()
    orders = {
        "run": ["sh", "-c", STARTS, str(tmp_path / "pid")],
        "delete": ["true"],
        "pid_file": str(tmp_path / "pid"),
        "counter": str(tmp_path / "none"),
        "interval_ms": 10,
        "folder": str(tmp_path),
        "shared": [],
        "ready": ready,
    }
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(orders))
    command = [sys.executable, "-I", "-S", runc_keeper.__file__, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(ready,)) as keeper:
        os.close(ready)
        with os.fdopen(hears) as told:
            pid = int(told.readline())
        deadline = time.monotonic() + 20
        while [one.pid for one in psutil.Process(keeper.pid).children()] != [pid]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert keeper.poll() is None
        assert keeper.stdin is not None
        keeper.stdin.write(b"k")
        keeper.stdin.flush()

        assert keeper.wait(20) == runc_keeper.EXITED
    assert not psutil.pid_exists(pid)
