"""Run one command and see to it that nothing of it outlives whoever asked for it.

A program of its own, started as ``python -I -S keeper.py FOLDER COMMAND...`` at the head of a process group.
It passes SIGTERM on, and kills the whole group when the command ends, or when its standard input does: the
other end of that pipe is held by the parent, and a parent that dies, however it dies, lets go of it. Then
FOLDER goes too, since nobody else is left to remove it. Unlike a parent-death signal this works on every POSIX
system and does not depend on the thread that started the process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

_ENDING = threading.Lock()
"""Taken by the first reason to end, and never given back: the other one must not cut it short."""


def main(folder: str, command: list[str]) -> None:
    """Run `command` until it ends or standard input does; then kill the process group and itself."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda _number, _frame: child.terminate())
    threading.Thread(target=_watch_parent, args=(folder, child), daemon=True).start()
    child.wait()
    _ENDING.acquire()
    os.killpg(0, signal.SIGKILL)


def _watch_parent(folder: str, child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _ENDING.acquire()
    child.kill()
    _remove(folder)
    os.killpg(0, signal.SIGKILL)


def _remove(folder: str) -> None:
    # Here, because a start should not pay for imports that it does not need.
    import contextlib
    import shutil
    from pathlib import Path

    shutil.rmtree(folder, ignore_errors=True)
    # And the folder of all containers, once the last one has left.
    with contextlib.suppress(OSError):
        Path(folder).parent.rmdir()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
