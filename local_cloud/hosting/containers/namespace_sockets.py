"""Connections into the network of a container, made from outside it.

Owns the one trick: a socket belongs to the network namespace of the thread that made it, so a thread of its own enters
the container's, connects, and ends; the socket goes on. The container's network has nothing but its loopback, so this
is the only way in, and there is none out. Linux alone, and root alone.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading

_CLONE_NEWNET = 0x40000000


def connect(namespace: int, address: tuple[str, int], timeout_s: float) -> socket.socket:
    """Return a connection within a network namespace.

    Args:
        namespace: an open file of it (`/proc/PID/ns/net`).
        address: as that network has it.
        timeout_s: of the connecting, and of the socket then.

    Raises:
        OSError: as any connecting does, and when the namespace may not be entered.
    """
    made: list[socket.socket | OSError] = []

    def enter() -> None:
        try:
            _enter(namespace)
            made.append(socket.create_connection(address, timeout_s))
        except OSError as error:
            made.append(error)

    # It never leaves: threads come and go, and this one has nothing else to do.
    thread = threading.Thread(target=enter, name="into a container", daemon=True)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


def _enter(namespace: int) -> None:
    # `os.setns` is there since Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
