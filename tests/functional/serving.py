"""A server of this machine's in AWS's place, and commands that talk to it and are not patient."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pipeline.aws import clients

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socketserver import TCPServer

    import pytest

    S = TypeVar("S", bound=TCPServer)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Let a server serve while the block runs."""
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def url_of(server: TCPServer) -> str:
    """Return what AWS_ENDPOINT_URL is to be."""
    return f"http://127.0.0.1:{server.server_address[1]}"


def try_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK repeat nothing."""
    for service, configuration in clients._CONFIGURATION.items():
        monkeypatch.setitem(clients._CONFIGURATION, service, configuration.merge(clients._ONCE))
