"""Archives changed where it tells: a field of a header, what lies between two records, an extra field, an attribute.

A byte that is changed anywhere mostly breaks a checksum, and is refused for that. What these give is whole but for one
contradiction, of the kinds that readers are known to take differently.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

LOCAL: Final = b"PK\3\4"
CENTRAL: Final = b"PK\1\2"
END: Final = b"PK\5\6"
DESCRIPTOR: Final = b"PK\7\x08"
ZIP_FIELDS: Final = {
    LOCAL: (
        (4, 2),
        (6, 2),
        (8, 2),
        (10, 4),
        (14, 4),
        (18, 4),
        (22, 4),
        (26, 2),
        (28, 2),
        (40, 4),
        (44, 4),
        (52, 4),
    ),
    CENTRAL: (
        *((at, 2) for at in (4, 6, 8, 10, 28, 30, 32, 34, 36)),
        *((at, 4) for at in (12, 16, 20, 24, 38, 42)),
    ),
    END: ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    DESCRIPTOR: ((4, 4), (8, 4), (12, 4)),
}
"""Where the fields of a zip's records are, and their bytes; the local ones from 40 on are its zip64 field's."""
ZIP_VALUES: Final = (
    0,
    1,
    2,
    3,
    8,
    10,
    20,
    45,
    0x10,
    0x31E,
    0x800,
    0x808,
    0x1314,
    0x81A4,
    0xFFFF,
    0xA1FF0000,
    0x81FF0000,
)
NAMES: Final = (
    b"MODEL.gguf",
    b"./mod.gguf",
    b"a//od.gguf",
    b"code/./a.p",
    b"a/../m.ggu",
    b"model.ggu/",
    b"mod\xc3\xa9l.ggu",
)
HOSTS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 16, 18, 19, 30)
MODES: Final = (0, 0o100644, 0o120777, 0o40755, 0o20644, 0o10644, 0o140644, 0o70644, 0o110644, 0o150000)
TAR_FIELDS: Final = (
    (0, 12), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 8),
    (257, 6), (263, 2), (265, 8), (329, 8), (337, 8), (345, 10), (500, 12),
)  # fmt: skip
"""Of a tar's header: name, mode, owners, size, time, type, link, magic, version, owner's name, device, prefix, rest."""


class _Pipe:
    """A stream that cannot go back: what is zipped into it has descriptors behind its data."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, data: bytes) -> int:
        return self.data.write(data)

    def flush(self) -> None:
        """Nothing is kept back."""


def zipped(files: Mapping[str, bytes], chance: random.Random) -> bytes:
    """Return a zip: as written to a file or into a pipe, with zip64 fields or without, perhaps with a directory."""
    pipe = _Pipe()
    way = chance.randrange(4)
    with zipfile.ZipFile(pipe if way == 1 else pipe.data, "w") as archive:  # type: ignore[arg-type]
        for number, (name, data) in enumerate(files.items()):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if number % 2 else zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=way == 2) as entry:
                entry.write(data)
        if way == 3:
            archive.writestr("code/d/", b"")
    return pipe.data.getvalue()


def places(data: bytes, magic: bytes) -> list[int]:
    """Return where a signature stands."""
    found, at = [], data.find(magic)
    while at >= 0:
        found.append(at)
        at = data.find(magic, at + 4)
    return found


def zip_changed(data: bytes, chance: random.Random) -> bytes:
    """Return a zip with one contradiction, or two."""
    way = chance.randrange(8)
    if way == 0:
        return _with_attributes(bytearray(data), chance)
    if way == 1:
        at = places(data, LOCAL)[-1]
        return _inserted(
            data, at, chance.choice((bytes, chance.randbytes))(chance.choice((1, 4, 12, 16, 24)))
        )
    if way in {2, 3}:
        return _with_extra(data, chance)
    if way == 4 and chance.random() < 0.5:
        return chance.choice((b"#!/bin/sh\n", b"\0")) + data
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2))):
        magic = chance.choice([one for one in ZIP_FIELDS if places(data, one)])
        start = chance.choice(places(data, magic))
        if chance.random() < 0.1 and magic in {LOCAL, CENTRAL}:
            name = start + (30 if magic == LOCAL else 46)
            out[name : name + 10] = chance.choice(NAMES)[:10]
            continue
        at, width = chance.choice(ZIP_FIELDS[magic])
        value = chance.choice((*ZIP_VALUES, chance.randrange(1 << 32), -1, -1, -1))
        if value < 0:
            out[start + at + chance.randrange(width)] ^= 1 << chance.randrange(8)
        else:
            out[start + at : start + at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return bytes(out)


def _with_attributes(out: bytearray, chance: random.Random) -> bytes:
    at = chance.choice(places(bytes(out), CENTRAL))
    out[at + 5] = chance.choice(HOSTS)
    low = chance.choice((0, 0, 1, 8, 0x10, 0x20, 0x40))
    out[at + 38 : at + 42] = struct.pack("<I", chance.choice(MODES) << 16 | low)
    return bytes(out)


def _with_extra(data: bytes, chance: random.Random) -> bytes:
    """Return a zip whose first entry has a further extra field in one header, or one in each."""
    name = b"model.gguf"
    crc = struct.pack("<I", zlib.crc32(name))
    fields = (
        *(_field(0x7075, b"\1" + crc + other) for other in (name, b"other.gguf", b"m\xc3\xa9.gguf")),
        _field(0x7075, b"\1\0\0\0\0other.gguf"),
        _field(1, struct.pack("<QQ", 1, 1)),
        _field(1, b""),
        _field(0x5455, b"\3" + bytes(8)),
        _field(0x9901, bytes(7)),
        _field(0x756E, struct.pack("<IHIHH", 0, 0o120777, 0, 0, 0) + b"x"),
        _field(0x000D, bytes(12) + b"/etc/passwd"),
        chance.randbytes(chance.choice((1, 3, 4, 9))),
        bytes(3),
    )
    for magic, length, fixed in ((LOCAL, 26, 30), (CENTRAL, 28, 46)):
        if chance.random() < 0.6:
            at = data.find(magic)
            extra = chance.choice(fields)
            names, extras = struct.unpack_from("<HH", data, at + length)
            grown = bytearray(_inserted(data, at + fixed + names + extras, extra))
            struct.pack_into("<H", grown, at + length + 2, extras + len(extra))
            data = bytes(grown)
    return data


def _field(tag: int, content: bytes) -> bytes:
    return struct.pack("<HH", tag, len(content)) + content


def _inserted(data: bytes, at: int, more: bytes) -> bytes:
    """Return a zip with bytes inserted; offsets and the directory's length are made to fit."""
    out = bytearray(data)
    end = data.rfind(END)
    length, offset = struct.unpack_from("<2I", data, end + 12)
    if at <= offset:
        for entry in places(data, CENTRAL):
            (place,) = struct.unpack_from("<I", data, entry + 42)
            if place >= at:
                struct.pack_into("<I", out, entry + 42, place + len(more))
        struct.pack_into("<I", out, end + 16, offset + len(more))
    else:
        struct.pack_into("<I", out, end + 12, length + len(more))
    out[at:at] = more
    return bytes(out)


def tar_changed(plain: bytes, chance: random.Random) -> bytes:
    """Return a tar with another value in a field of one header, and perhaps another byte in a pax record."""
    out = bytearray(plain)
    headers = [at for at in range(0, len(out) - 511, 512) if out[at + 257 : at + 262] == b"ustar"]
    start = chance.choice(headers)
    at, width = chance.choice(TAR_FIELDS)
    value = chance.choice(
        (
            bytes(width),
            b"0" * width,
            b"7" * width,
            b" " * width,
            b"\x80" + bytes(width - 1),
            b"\xff" * width,
            chance.randbytes(width),
            b"./a//b/../c.py\0"[:width],
            bytes([chance.choice(b"01234567LKxgSVMNDA\0")]) + bytes(width - 1),
            None,
            None,
        )
    )
    if value is None:
        out[start + at + chance.randrange(width)] ^= 1 << chance.randrange(8)
    else:
        out[start + at : start + at + len(value)] = value
    pax = [one for one in headers if out[one + 156 : one + 157] == b"x"]
    if pax and chance.random() < 0.3:
        out[pax[0] + 512 + chance.randrange(60)] = chance.choice(b" =\n0123456789a/\0")
    return bytes(out)
