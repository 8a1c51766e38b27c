"""The seam in an archive of ours: where ``code/`` ends and the model begins.

Owns the note that `pack` leaves in the gzip header (RFC 1952's extra field), so that the model's part of the
deflate stream can be taken over whole into another archive. The part begins at a byte boundary, in a new
block, and refers to nothing before it. A note is a claim: whoever acts on it has to check it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

SUBFIELD: Final = b"SL"
"""RFC 1952 section 2.3.1.1: two letters name the owner of a subfield."""
_LAYOUT: Final = struct.Struct("<BQQIQ")
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<2sH")
EXTRA_BYTES: Final = _HEAD.size + _LAYOUT.size


@dataclass(frozen=True, slots=True)
class Seam:
    """What stands before the model's part."""

    offset: int
    """Bytes of the archive before it."""
    plain_length: int
    """Bytes of the tar before it."""
    crc: int
    """CRC-32 of these plain bytes."""
    rest_length: int
    """Bytes of the tar from there on, its end included."""

    def to_extra(self) -> bytes:
        """Return the gzip extra field that says so."""
        content = _LAYOUT.pack(_VERSION, self.offset, self.plain_length, self.crc, self.rest_length)
        return _HEAD.pack(SUBFIELD, len(content)) + content


def find_seam(extra: bytes) -> Seam | None:
    """Return the seam that a gzip extra field notes; None when it notes none that we know."""
    at = 0
    while at + _HEAD.size <= len(extra):
        name, length = _HEAD.unpack_from(extra, at)
        content = extra[at + _HEAD.size : at + _HEAD.size + length]
        at += _HEAD.size + length
        if name == SUBFIELD and len(content) == _LAYOUT.size and content[0] == _VERSION:
            _, offset, plain_length, crc, rest_length = _LAYOUT.unpack(content)
            return Seam(offset, plain_length, crc, rest_length)
    return None
