"""llama.cpp's pool of threads, where the library has one and where it does not."""

from __future__ import annotations

import ctypes

from sealift_threads import pool


def test_one_thread_needs_no_pool() -> None:
    """The library is not even asked."""
    assert pool(object(), 1) is None


def test_a_library_without_pools_computes_without_one() -> None:
    """An image may bring an older llama-cpp-python; libc knows nothing of backends."""
    assert pool(ctypes.CDLL(None), 2) is None
