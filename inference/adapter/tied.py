"""Become a program that ends when its parent does, however that ends.

A program of its own, started as ``python -I -S tied.py PARENT COMMAND...``: without the packages and without a hook
between fork and exec, which is not safe beside threads. Linux only: elsewhere the program may outlive its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: str, command: list[str]) -> None:
    """Ask the kernel for SIGKILL at the parent's end, and become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent):  # it ended before it was asked for
            os._exit(1)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
