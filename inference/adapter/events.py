"""Server-sent events, as llama-server writes them, out of the pieces in which they come.

Owns the cuts. Refuses to know what an event means.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

END = object()
"""What `[DONE]` becomes."""


class Events:
    """What has come of a stream and is not an event yet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Give the events that a piece completes, each as its JSON, or as a list of them; and `END`.

        Raises:
            ValueError: when one is not JSON.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                data = line[6:].strip()
                yield END if data == b"[DONE]" else json.loads(data)
