"""Ports for servers that are started elsewhere. Standard library only: other environments import it, too."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and that nobody else is given for a minute.

    A server binds it only when it has come up, seconds later. Until then a port that was just let go of is anyone's:
    the kernel gives it to the next who asks for one, or to a client's end of a connection. So a connection to it is
    made, and ended from its side first. What is left waits for late packets (TIME_WAIT, 60 s on Linux), and keeps the
    kernel from choosing that port. It keeps no server away that names the port and sets SO_REUSEADDR or SO_REUSEPORT,
    as each does.
    """
    with socket.socket() as listening:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            listening.setsockopt(socket.SOL_SOCKET, option, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        address: tuple[str, int] = listening.getsockname()
        with socket.create_connection(address) as client:
            listening.accept()[0].close()
            client.recv(1)  # so that the other side has ended first
    return address[1]
