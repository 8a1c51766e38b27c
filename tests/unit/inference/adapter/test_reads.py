"""How much of a socket is read at a time; in a process of its own, since the setting is the process's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from adapter.reads import READ_BYTES, read_little

INFERENCE = Path(__file__).resolve().parents[4] / "inference"
PROGRAM = """
import asyncio, socket, sys
sys.path.insert(0, sys.argv[1])
from adapter.reads import read_little

class Reading(asyncio.Protocol):
    def __init__(self):
        self.come, self.ended = [], asyncio.get_running_loop().create_future()
    def data_received(self, data):
        self.come.append(len(data))
    def connection_lost(self, error):
        self.ended.set_result(None)

async def main():
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.sendall(bytes(100_000))
    theirs.close()
    _, reading = await asyncio.get_running_loop().create_connection(Reading, sock=ours)
    await reading.ended
    print(sum(reading.come), max(reading.come))

if sys.argv[2] == "little":
    assert read_little()
asyncio.run(main())
"""


@pytest.mark.parametrize(("how", "most"), [("little", READ_BYTES), ("as it is", 100_000)])
def test_a_read_brings_no_more_than_is_said(how: str, most: int) -> None:
    """And the reads together all of it; as asyncio is, one read may bring everything."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, str(INFERENCE), how],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["100000", str(most)]


@pytest.mark.parametrize(
    "events",
    [
        SimpleNamespace(),
        SimpleNamespace(_SelectorTransport=SimpleNamespace()),
        SimpleNamespace(_SelectorTransport=SimpleNamespace(max_size=None)),
    ],
)
def test_another_python_is_left_as_it_is(events: SimpleNamespace) -> None:
    """And that ends nothing."""
    before = repr(events)
    assert read_little(events) is False
    assert repr(events) == before
