"""How much the adapter reads of a socket at a time.

Owns one figure of asyncio's. It begins each read with a buffer of 256 KiB and cuts it to what came, mostly an event of
some hundred bytes. That is a quarter of the CPU time that an event of a stream costs the adapter, and what is left of
such buffers in the heap keeps the next ones from fitting, so that the heap rises for minutes with nothing more in it
(docs/adr/0073). Refuses to read.
"""

from __future__ import annotations

import asyncio.selector_events
from typing import Any

READ_BYTES = 32 * 1024
"""Of one read: many events, and small enough that the heap has room for it again."""


def read_little(events: Any = asyncio.selector_events) -> bool:
    """Have every connection read so much at a time; return whether this Python lets that be said.

    Args:
        events: asyncio's module of transports. The figure is a class's that has no public name: where it is another
            one, reads stay as they are, and a test fails.
    """
    transports: Any = getattr(events, "_SelectorTransport", None)
    if not isinstance(getattr(transports, "max_size", None), int):
        return False
    transports.max_size = READ_BYTES
    return True
