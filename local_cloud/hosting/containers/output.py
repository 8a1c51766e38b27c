"""What a container writes: read line by line, for as long as it has anything to say.

Owns the cutting into lines. Refuses to let a log that is down stop a container by filling its pipe.
"""

from __future__ import annotations

import logging
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOGGER = logging.getLogger(__name__)
_LONGEST_LINE = 256 * 1024
"""Bytes of one log event; longer lines are cut into several (CloudWatch Logs' long-standing limit)."""


def pump(stream: IO[bytes] | None, log: Callable[[str], None], *, name: str) -> threading.Thread:
    """Hand every line of a stream to `log`, in a thread of its own, which is returned."""
    if stream is None:
        raise AssertionError("a container's output is piped")

    def run() -> None:
        for line in _lines(stream):
            try:
                log(line)
            except Exception:  # a log that is down must not stop the container
                _LOGGER.exception("log line lost: %s", line)

    thread = threading.Thread(target=run, name=f"log of {name}", daemon=True)
    thread.start()
    return thread


def _lines(stream: IO[bytes]) -> Iterator[str]:
    while line := stream.readline(_LONGEST_LINE):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text:
            yield text
