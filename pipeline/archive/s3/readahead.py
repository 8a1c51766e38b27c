"""Ranged reads ahead of whoever decodes them.

Owns the order and the bound: pieces come out in order, and no more than `AHEAD` of them are in memory. It
refuses to know what the bytes mean.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from pipeline.archive.s3.sources import Source

PIECE_BYTES: Final = 4 * MiB
"""A ranged GET of S3 takes tens of milliseconds before its first byte; smaller pieces would wait for that."""
WORKERS: Final = 4
"""One connection to S3 gives about 90 MB/s; boto3's pool has ten."""
AHEAD: Final = 6
"""Pieces in memory at once: 24 MiB."""


def read_ahead(
    source: Source, *, start: int = 0, end: int | None = None, piece_bytes: int = PIECE_BYTES
) -> Generator[bytes, None, None]:
    """Yield the bytes of a source from `start` to `end`; raise what the first failed read raised."""
    end = source.size if end is None else end
    pending: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(WORKERS, "read-ahead") as pool:
        try:
            for at in range(start, end, piece_bytes):
                pending.append(pool.submit(source.read, at, min(piece_bytes, end - at)))
                if len(pending) >= AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # The reader may stop anywhere: what has not begun must not begin.
            for future in pending:
                future.cancel()
