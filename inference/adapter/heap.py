"""The adapter's heap: what keeps it from growing by its own reads.

Owns one setting of glibc's allocator. Each read of a socket begins with a buffer of 256 KiB (asyncio's), which is then
cut to what came. glibc has a mapping for what is as large as that, until one is given back: from then on it takes such
buffers from the heap, where what is left of them keeps the next one from fitting. The heap of a busy adapter grew for
hours so, with nothing more in it (docs/adr/0073). Refuses to know what is allocated.
"""

from __future__ import annotations

import ctypes
from typing import Any

MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of malloc.h."""
LARGE = 128 * 1024
"""Bytes from which on an allocation is a mapping of its own: where glibc begins, and now stays."""


def keep_large_apart(libc: Any = None) -> bool:
    """Have each large allocation be a mapping that goes when it is freed; return whether the C library can do it.

    Args:
        libc: the C library; by default, the process's own. One that has no `mallopt`, as musl, is left as it is.
    """
    libc = ctypes.CDLL(None) if libc is None else libc
    try:
        return bool(libc.mallopt(MMAP_THRESHOLD, LARGE))
    except AttributeError:
        return False
