"""Run one container of an OCI runtime, and see to it that nothing of it outlives whoever asked for it.

A program of its own, started as ``python -I -S runc_keeper.py ORDERS.json``; `Orders` in `runc_container.py` says what
is in that file. It starts the container, says so (its process id, and a line's end, into the file descriptor `ready`),
passes SIGTERM on, and ends when the container does. How it ends tells why: EXITED, OUT_OF_MEMORY, or REFUSED when the
runtime did not start it. Its output is the container's.

A byte on its standard input says that the container is to be killed. The other end of that is held by the parent, and a
parent that dies, however it dies, lets go of it: then the container is killed, the runtime forgets it, and its folder
goes, with the folder of all containers when it was the last.

The kernel's count of kills for want of memory is looked at all the while: a server that lost a child to one would go on
without it.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from typing import Any

EXITED, OUT_OF_MEMORY, REFUSED = 0, 3, 4
_PR_SET_CHILD_SUBREAPER = 36


def main(orders: dict[str, Any]) -> int:
    """Run the container until it ends or standard input does; return why it ended."""
    asked_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked_to_end.append(number))
    # The runtime leaves the container's process behind: so it becomes a child of this one.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = subprocess.run(orders["run"], stdin=subprocess.DEVNULL, check=False)
    if started.returncode:
        return REFUSED
    with open(orders["pid_file"]) as file:  # noqa: PTH123 a start should not pay for pathlib
        pid = int(file.read())
    end = os.pidfd_open(pid)
    signal.signal(signal.SIGTERM, lambda number, _frame: signal.pidfd_send_signal(end, number))
    if asked_to_end:
        signal.pidfd_send_signal(end, signal.SIGTERM)
    _bury(pid)
    os.write(orders["ready"], b"%d\n" % pid)
    os.close(orders["ready"])
    return _watch(pid, end, orders)


def _watch(pid: int, end: int, orders: dict[str, Any]) -> int:
    poll = select.poll()
    poll.register(end, select.POLLIN)
    poll.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    while True:
        ready = [fd for fd, _ in poll.poll(orders["interval_ms"])]
        if end in ready:
            os.waitpid(pid, 0)
            return OUT_OF_MEMORY if _killed_for_memory(orders) else EXITED
        if ready:
            _end(pid)
            if not os.read(sys.stdin.fileno(), 1):
                _clear(orders)
            return EXITED
        if _killed_for_memory(orders):
            _end(pid)
            return OUT_OF_MEMORY
        _bury(pid)


def _bury(pid: int) -> None:
    """Take note of the ends of others: crun leaves a child that has ended."""
    how = os.WEXITED | os.WNOHANG
    while (ended := os.waitid(os.P_ALL, 0, how | os.WNOWAIT)) and ended.si_pid != pid:
        os.waitpid(ended.si_pid, 0)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _killed_for_memory(orders: dict[str, Any]) -> bool:
    try:
        with open(orders["counter"]) as file:  # noqa: PTH123
            counts = dict(line.split() for line in file)
    except OSError:
        return False
    return int(counts.get("oom_kill", 0)) > 0


def _clear(orders: dict[str, Any]) -> None:
    # Here, because a start should not pay for imports that it does not need.
    import pathlib
    import shutil

    subprocess.run(orders["delete"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    shutil.rmtree(orders["folder"], ignore_errors=True)
    top = pathlib.Path(orders["folder"]).parent
    if not any(one.name not in orders["shared"] for one in top.iterdir()):
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    with open(sys.argv[1]) as given:  # noqa: PTH123
        _orders = json.load(given)
    sys.exit(main(_orders))
