"""Pieces come in order, few at a time, and a failure is not lost."""

from __future__ import annotations

import threading

import pytest

from pipeline.archive.s3.readahead import AHEAD, read_ahead
from pipeline.archive.s3.sources import BytesSource


class Watched(BytesSource):
    """A source that counts how far the reading is ahead, and may fail at one place."""

    def __init__(self, data: bytes, fail_at: int | None = None) -> None:
        super().__init__(data)
        self.begun = 0
        self._fail_at = fail_at
        self._counting = threading.Lock()

    def read(self, start: int, length: int) -> bytes:
        """Return a range, or fail."""
        with self._counting:
            self.begun += 1
        if start == self._fail_at:
            raise ConnectionError("broken")
        return super().read(start, length)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 5000])
def test_pieces_come_in_order_and_to_the_end(size: int) -> None:
    """Joined, they are the source."""
    data = bytes(number % 251 for number in range(size))

    assert b"".join(read_ahead(BytesSource(data), piece_bytes=100)) == data


def test_no_more_is_read_ahead_than_the_bound_allows() -> None:
    """A slow decoder holds the reading back."""
    source = Watched(bytes(10_000))
    ahead = read_ahead(source, piece_bytes=100)

    for taken in range(1, 20):
        next(ahead)

        assert source.begun <= taken + AHEAD
    ahead.close()


def test_stopping_early_ends_the_reading() -> None:
    """Nothing goes on in the background when the reader has seen enough."""
    source = Watched(bytes(100_000))
    ahead = read_ahead(source, piece_bytes=100)

    next(ahead)
    ahead.close()

    begun = source.begun
    assert begun <= AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_a_failed_read_is_raised_in_its_place() -> None:
    """What came before it is handed out first."""
    ahead = read_ahead(Watched(bytes(1000), fail_at=300), piece_bytes=100)

    assert sum(len(next(ahead)) for _ in range(3)) == 300
    with pytest.raises(ConnectionError):
        next(ahead)
