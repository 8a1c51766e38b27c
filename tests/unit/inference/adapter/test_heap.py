"""Where the adapter's large buffers come from; in a process of its own, since the setting is the process's."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from adapter.heap import LARGE, keep_large_apart

INFERENCE = Path(__file__).resolve().parents[4] / "inference"
PROGRAM = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from adapter.heap import LARGE, keep_large_apart

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks mapped rest".split()]
    _fields_ += [(f"more{number}", ctypes.c_size_t) for number in range(5)]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
if sys.argv[2] == "kept":
    assert keep_large_apart(libc)
del (warmed := [bytearray(2 * LARGE)])[:]
before = libc.mallinfo2().mapped
buffers = [bytearray(2 * LARGE) for _ in range(8)]
print(libc.mallinfo2().mapped - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="no mallinfo2 in this C library")
@pytest.mark.parametrize(("how", "mapped"), [("kept", 8), ("as it is", 0)])
def test_large_buffers_stay_mappings_after_one_was_freed(how: str, mapped: int) -> None:
    """Without the setting they come from the heap from then on."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, str(INFERENCE), how],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == mapped


class _Other:
    """A C library without the call."""


class _Refusing:
    """One that does not do it."""

    def mallopt(self, name: int, value: int) -> int:
        assert (name, value) == (-3, LARGE)
        return 0


@pytest.mark.parametrize("libc", [_Other(), _Refusing()])
def test_another_c_library_is_left_as_it_is(libc: object) -> None:
    """And that ends nothing."""
    assert keep_large_apart(libc) is False
