"""What kind of file begins with these bytes.

Owns the magic numbers. It refuses to look further than the first block.
"""

from __future__ import annotations

from typing import Final

BLOCK: Final = 512
"""POSIX: the unit of a tar."""
_LOW: Final = bytes(range(128))
_MAGICS: Final = (
    (b"\x1f\x8b", "a gzip stream"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"GGUF", "a bare GGUF"),
    (b"BZh", "a bzip2 stream"),
    (b"\xfd7zXZ\0", "an xz stream"),
    (b"\x28\xb5\x2f\xfd", "a zstd stream"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\x04\x22\x4d\x18", "an lz4 stream"),
)


def tar_checksum_fits(block: bytes) -> bool:
    """Tell whether a block of 512 bytes is a tar header, by its own checksum."""
    digits = block[148:156].split(b"\0", 1)[0].strip(b" ")
    if not digits or digits.strip(b"01234567"):
        return False
    said = int(digits, 8)
    # The checksum counts its own field as eight spaces. Some old writers summed signed bytes.
    rest = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(rest)
    return said == unsigned or said == unsigned - 256 * len(rest.translate(None, _LOW))


def described(head: bytes) -> str:
    """Return in words what begins with these bytes."""
    for magic, what in _MAGICS:
        if head.startswith(magic):
            return what
    if len(head) >= BLOCK and tar_checksum_fits(head[:BLOCK]):
        return "a tar archive"
    if not head:
        return "nothing"
    return f"data that begins with {head[:8].hex(' ')!r}"
