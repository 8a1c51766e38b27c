"""AWS's framing of a response stream: application/vnd.amazon.eventstream.

Owns the bytes of its messages (botocore reads them, and writes none). Source: the Smithy specification,
amazon-eventstream: lengths, CRC-32 of both, headers, payload, CRC-32 of all.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

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
