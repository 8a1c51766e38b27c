"""Answers that go out while they come: as they are, and in AWS's framing, application/vnd.amazon.eventstream.

Owns the bytes of its messages (botocore reads them, and writes none). Source: the Smithy specification,
amazon-eventstream: lengths, CRC-32 of both, headers, payload, CRC-32 of all.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Final, Protocol, Self

from local_cloud.hosting.platform.refusals import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterator

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"
MOST: Final = 16 * 1024
"""Bytes of a part; OURS, AWS sends as the container does."""
_TEXT: Final = 7
"""The type of a header's value."""


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one message."""
    named = b"".join(
        bytes((len(name),))
        + name.encode()
        + bytes((_TEXT,))
        + struct.pack("!H", len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(named) + len(payload), len(named))
    framed = prelude + struct.pack("!I", zlib.crc32(prelude)) + named + payload
    return framed + struct.pack("!I", zlib.crc32(framed))


def failure(error: AwsError) -> bytes:
    """Return the message by which a stream ends in its middle; the shapes are botocore's (`ResponseStream`)."""
    headers = {
        ":exception-type": error.code,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return message(headers, json.dumps({"Message": error.message, **error.fields}).encode())


class PieceSource(Protocol):
    """The bytes of an answer as they come."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield them; raise AwsError."""

    def close(self) -> None:
        """End it."""


class Whole:
    """An answer that is there."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        """Yield all of it."""
        yield self._body

    def close(self) -> None:
        """Do nothing."""


class Coming:
    """An answer that goes out while it comes, as the container says it.

    What breaks it ends the connection before the answer's end: HTTP has no other word for that.

    Args:
        source: its bytes.
        ends: with what it is to end once its first bytes were there; None for as it ends by itself.
    """

    def __init__(self, source: PieceSource, ends: AwsError | None = None) -> None:
        self._source = source
        self._ends = ends

    def __iter__(self) -> Iterator[bytes]:
        """Yield what goes out."""
        try:
            yield from self._pieces()
        except AwsError as error:
            raise ConnectionAbortedError(f"the stream ends with {error.code}") from error
        finally:
            self.close()

    def _pieces(self) -> Iterator[bytes]:
        for piece in self._source:
            yield piece
            if self._ends is not None:
                raise self._ends
        if self._ends is not None:
            raise self._ends

    def close(self) -> None:
        """End it."""
        self._source.close()

    def ended_by(self, error: AwsError) -> Self:
        """Return it as it is when it breaks in its middle."""
        return type(self)(self._source, error)


class Framed(Coming):
    """The same in AWS's framing, in which an error has a message of its own."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield messages."""
        try:
            for piece in self._pieces():
                yield from parts(piece)
        except AwsError as error:
            yield failure(error)
        finally:
            self.close()


def parts(body: bytes) -> Iterator[bytes]:
    """Give the messages of a body: a PayloadPart for each server-sent event, and for no more than `MOST` bytes."""
    headers = {
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    begin = 0
    while begin < len(body):
        end = body.find(b"\n\n", begin, begin + MOST)
        end = min(begin + MOST, len(body)) if end < 0 else end + 2
        yield message(headers, body[begin:end])
        begin = end
