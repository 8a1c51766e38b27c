"""Run one command and see to it that nothing of it outlives whoever asked for it.

A program of its own, started as ``python -I -S keeper.py COMMAND...`` at the head of a process group. It
passes SIGTERM on, and kills the whole group when the command ends, or when its standard input does: the other
end of that pipe is held by the parent, and a parent that dies, however it dies, lets go of it. Unlike a
parent-death signal this works on every POSIX system and does not depend on the thread that started the
process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> None:
    """Run `command` until it ends or standard input does; then kill the process group and itself."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda _number, _frame: child.terminate())
    threading.Thread(target=_watch_parent, daemon=True).start()
    child.wait()
    _end()


def _watch_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _end()


def _end() -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
