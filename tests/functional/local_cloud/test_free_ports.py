"""A port for a server that somebody else starts: it is that server's until it has come up."""

from __future__ import annotations

import socket

import pytest

from local_cloud.hosting.containers.free_ports import free_port


def test_it_is_in_use_for_whoever_asks_the_kernel_for_one() -> None:
    """The kernel passes over ports that could not be bound so; to see it choose would take thousands of sockets."""
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", free_port()))


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 as servers of containers do
def test_a_server_binds_it(option: int, host: str) -> None:
    """What is left of the connection keeps it from none that does as servers do."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, option, 1)
        server.bind((host, free_port()))
        server.listen()


def test_each_is_another() -> None:
    """Though none of them is bound."""
    assert len({free_port() for _ in range(10)}) == 10
