"""The seam in an archive of ours: where ``code/`` and the model's part meet.

Owns the note that `pack` leaves in the gzip header (RFC 1952's extra field), so that the model's part of the
deflate stream can be taken over whole into another archive. At the seam the stream stands between two blocks, at a
byte boundary, and what follows refers to nothing before it. The code lies behind the model, whose header then is
among the first bytes; before it in what older releases packed, and where code is put into somebody else's archive,
whose end of a tar must stay the end. A note is a claim: whoever acts on it has to check it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

SUBFIELD: Final = b"SL"
"""RFC 1952 section 2.3.1.1: two letters name the owner of a subfield."""
_LAYOUT: Final = struct.Struct("<BQQIQ")
_CODE_FIRST: Final = 1
_CODE_LAST: Final = 2
"""The note's versions."""
_HEAD: Final = struct.Struct("<2sH")
EXTRA_BYTES: Final = _HEAD.size + _LAYOUT.size


@dataclass(frozen=True, slots=True)
class Seam:
    """Where the two parts meet, and what is known of them before the model was read."""

    offset: int
    """Bytes of the archive before it."""
    plain_length: int
    """Bytes of the tar before it."""
    crc: int
    """CRC-32 of the plain bytes of the code's part: those before it, or with `code_last` those behind it."""
    rest_length: int
    """Bytes of the tar from there on, its end included."""
    code_last: bool = False
    """Whether the code's part is the second one."""

    def to_extra(self) -> bytes:
        """Return the gzip extra field that says so."""
        version = _CODE_LAST if self.code_last else _CODE_FIRST
        content = _LAYOUT.pack(version, self.offset, self.plain_length, self.crc, self.rest_length)
        return _HEAD.pack(SUBFIELD, len(content)) + content


def find_seam(extra: bytes) -> Seam | None:
    """Return the seam that a gzip extra field notes; None when it notes none that we know."""
    at = 0
    while at + _HEAD.size <= len(extra):
        name, length = _HEAD.unpack_from(extra, at)
        content = extra[at + _HEAD.size : at + _HEAD.size + length]
        at += _HEAD.size + length
        if name == SUBFIELD and len(content) == _LAYOUT.size and content[0] in {_CODE_FIRST, _CODE_LAST}:
            version, offset, plain_length, crc, rest_length = _LAYOUT.unpack(content)
            return Seam(offset, plain_length, crc, rest_length, version == _CODE_LAST)
    return None
