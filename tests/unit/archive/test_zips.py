"""Zips as other tools write them: zip64 records, sizes of 32 bits that were too few, names in other code pages."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.report import Unreadable
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.formats import deflate
from pipeline.archive.formats.zips import EntryDecoder, ZipEntry, read_directory
from pipeline.archive.s3.sources import BytesSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .conftest import Forge

RULES = Rules(zip_deployable=True)
END = struct.Struct("<4s4H2IH")
GIB4 = 1 << 32


def findings(data: bytes) -> list[str]:
    """Return the names of the problems, which both looks have to agree on."""
    quick, thorough = (look(BytesSource(data, "m.zip"), rules=RULES) for look in (inspect, verify))
    assert [problem.error for problem in quick.problems] == [problem.error for problem in thorough.problems]
    return [problem.error for problem in thorough.problems]


def with_zip64(data: bytes, *, saturated: Sequence[bool], off: Sequence[int] = (0,) * 6) -> bytes:
    """Return a zip with a zip64 record; its end record has all ones where `saturated`, and is `off` elsewhere."""
    place = len(data) - END.size
    magic, *numbers, comment = END.unpack_from(data, place)
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, *numbers)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, place, 1)
    ones = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    said = [
        most if full else number + wrong
        for number, full, wrong, most in zip(numbers, saturated, off, ones, strict=True)
    ]
    return data[:place] + record + locator + END.pack(magic, *said, comment)


@given(saturated=st.lists(st.booleans(), min_size=6, max_size=6))
def test_a_zip64_record_is_read_whatever_the_end_record_leaves_to_it(
    forge: Forge, saturated: list[bool]
) -> None:
    """Info-ZIP writes one as soon as a file had more than 4 GiB, also beside an end record with all the numbers."""
    assert findings(with_zip64(forge.zip(forge.good()), saturated=saturated)) == []


@pytest.mark.parametrize("field", range(6))
def test_two_end_records_that_contradict_each_other_are_refused(forge: Forge, field: int) -> None:
    """Readers take one or the other."""
    off = [int(number == field) for number in range(6)]

    assert findings(with_zip64(forge.zip(forge.good()), saturated=[False] * 6, off=off)) == ["ZipDamaged"]


@pytest.mark.parametrize("zeros", [1, 10_240, 60_000])
def test_zeros_after_the_end_say_nothing(forge: Forge, zeros: int) -> None:
    """Bsdtar fills what it writes into a pipe."""
    assert findings(forge.zip(forge.good()) + bytes(zeros)) == []
    assert findings(forge.zip(forge.good()) + bytes(zeros) + b"\1") == ["TrailingGarbage"]


# -- sizes of 32 bits


class Gap:
    """A source with a hole of zeros in the middle."""

    identity: dict[str, str] = {}  # noqa: RUF012 - a source's own

    def __init__(self, head: bytes, hole: int, tail: bytes) -> None:
        self.name = "m.zip"
        self.bytes_read = 0
        self.size = len(head) + hole + len(tail)
        self._head = head
        self._tail = tail

    def read(self, start: int, length: int) -> bytes:
        """Return a range of it."""
        length = min(length, self.size - start)
        self.bytes_read += length
        tail_at = self.size - len(self._tail)
        piece = self._head[start : start + length]
        zeros = min(start + length, tail_at) - start - len(piece)
        piece += bytes(max(zeros, 0))
        return piece + self._tail[max(start - tail_at, 0) : max(start + length - tail_at, 0)]


@pytest.mark.parametrize("turns", [1, 2])
def test_a_zip_whose_offsets_are_kept_modulo_4_gib_is_named(forge: Forge, turns: int) -> None:
    """As macOS's Finder writes it: no reader finds the directory, and copying it again does not help."""
    data = forge.zip(forge.good())
    at = data.index(b"PK\1\2")
    source = Gap(data[:at], turns * GIB4, data[at:])

    (problem,) = inspect(source, rules=RULES).problems

    assert problem.error == "ZipSizesWrapped"
    assert "Finder" in problem.seen
    assert "again" not in problem.fix
    with pytest.raises(Unreadable, match="does not end at"):
        read_directory(Gap(data[:at], turns * GIB4 - 1, data[at:]), RULES)


@pytest.mark.parametrize("padding", [0, 31])
def test_a_model_whose_size_is_kept_modulo_4_gib_is_named(forge: Forge, padding: int) -> None:
    """What its tensors need tells; to say that it was cut short would send people to copy it again, in vain."""
    head = forge.model(tensors=[("w", (2**30 + 8,), 0)], fill=b"")
    data = forge.zip({**forge.code, "m.gguf": head + bytes(32 + padding)})

    assert findings(data) == ["ZipSizesWrapped"]


@pytest.mark.parametrize("size", [31, 64])
def test_a_model_that_lacks_anything_else_was_cut_short(forge: Forge, size: int) -> None:
    """Only whole multiples of 2^32 come from counting in 32 bits."""
    head = forge.model(tensors=[("w", (2**30 + 8,), 0)], fill=b"")

    assert findings(forge.zip({**forge.code, "m.gguf": head + bytes(size)})) == ["ModelCutShort"]


def test_any_other_file_whose_size_is_kept_modulo_4_gib_is_named_once_it_is_decoded() -> None:
    """The checksum over all of it fits, and the length modulo 2^32."""
    encoder = zlib.compressobj(1, zlib.DEFLATED, -15)
    block = encoder.compress(bytes(1 << 20)) + encoder.flush(zlib.Z_FULL_FLUSH)
    count = (GIB4 >> 20) + 1
    data = block * count + encoder.flush()
    one, whole = deflate.crc32(bytes(1 << 20)), 0
    for _ in range(count):
        whole = deflate.crc32_combine(whole, one, 1 << 20)
    entry = ZipEntry(b"notes", "file", 0, 8, whole, len(data), 1 << 20, 0)

    decoder = EntryDecoder(entry, Rules(max_ratio=2000))
    handed_on = sum(map(len, decoder.feed(data)))
    with pytest.raises(Unreadable) as caught:
        decoder.finish()

    assert handed_on <= 1 << 20

    assert caught.value.problem.error == "ZipSizesWrapped"


# -- names


def renamed(data: bytes, name: bytes, *, flag: int = 0) -> bytes:
    """Return a zip whose entry `model.gguf` is called otherwise, in as many bytes, in both its headers."""
    assert len(name) == len(b"model.gguf")
    data = data.replace(b"model.gguf", name)
    out = bytearray(data)
    for magic, names, flags in ((b"PK\3\4", 30, 6), (b"PK\1\2", 46, 8)):
        at = -1
        while (at := data.find(magic, at + 1)) >= 0:
            if data[at + names : at + names + len(name)] == name:
                out[at + flags : at + flags + 2] = struct.pack("<H", flag)
    return bytes(out)


def field(name: bytes, unicode_name: str, *, version: int = 1) -> bytes:
    """Return the extra field that Info-ZIP and WinRAR write for a name in another code page."""
    content = struct.pack("<BI", version, zlib.crc32(name)) + unicode_name.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


LATIN = b"mod\xe8l.gguf"
UTF8 = "mdé".encode() + b"x.gguf"


@pytest.mark.parametrize(
    ("name", "extra", "flag", "path"),
    [
        pytest.param(UTF8, b"", 0, "mdéx.gguf", id="UTF-8 that does not say so"),
        pytest.param(UTF8, b"", 0x800, "mdéx.gguf", id="UTF-8 that says so"),
        pytest.param(LATIN, field(LATIN, "modèle.gguf"), 0, "modèle.gguf", id="a code page, and a field"),
        pytest.param(b"#U0e1.gguf", field(b"#U0e1.gguf", "ก.gguf"), 0, "ก.gguf", id="escaped, and a field"),
        pytest.param(b"other.gguf", field(b"model.gguf", "ก.gguf"), 0, "other.gguf", id="renamed since"),
        pytest.param(
            b"other.gguf", field(b"other.gguf", "ก.gguf", version=2), 0, "other.gguf", id="a later version"
        ),
        pytest.param(UTF8, field(UTF8, "mdéx.gguf"), 0x800, "mdéx.gguf", id="twice the same"),
    ],
)
def test_a_name_is_read_as_what_it_is(forge: Forge, name: bytes, extra: bytes, flag: int, path: str) -> None:
    """In UTF-8, said or not, or in the field that has it in UTF-8, where that is the field of this very name."""
    data = forge.zip({"model.gguf": forge.model()}, extra=extra)
    rules = Rules(zip_deployable=True, code_required=False)

    report = verify(BytesSource(renamed(data, name, flag=flag), "m.zip"), rules=rules)

    assert [problem.error for problem in report.problems] == []
    assert report.model is not None
    assert report.model.path == path


@pytest.mark.parametrize(
    ("name", "extra", "flag", "error"),
    [
        pytest.param(LATIN, b"", 0, "MemberNameEncoding", id="a code page that nobody names"),
        pytest.param(LATIN, field(b"x", "ก.gguf"), 0, "MemberNameEncoding", id="a field of another name"),
        pytest.param(UTF8, field(UTF8, "ก.gguf"), 0x800, "ZipDamaged", id="two names in UTF-8"),
    ],
)
def test_a_name_that_cannot_be_known_is_refused(
    forge: Forge, name: bytes, extra: bytes, flag: int, error: str
) -> None:
    """Guessing a code page would give a name that nobody chose."""
    data = renamed(forge.zip({"model.gguf": forge.model()}, extra=extra), name, flag=flag)

    assert findings(data)[0] == error


# -- what readers take out differently


def edited(data: bytes, magic: bytes, *fields: tuple[int, bytes]) -> bytes:
    """Return a zip with other bytes in the first record of a kind, each at its place in the record."""
    out = bytearray(data)
    start = data.index(magic)
    for at, value in fields:
        out[start + at : start + at + len(value)] = value
    return bytes(out)


def attributes(host: int, mode: int, low: int = 0) -> tuple[tuple[int, bytes], ...]:
    """Return the fields of a directory's entry that say of which kind it is."""
    return (5, bytes([host])), (38, struct.pack("<I", mode << 16 | low))


def thorough(data: bytes) -> list[str]:
    """Return the names of the problems of the whole pass, which alone sees what lies beside the model."""
    report = verify(BytesSource(data, "m.zip"), rules=RULES)
    return [problem.error for problem in report.problems]


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"


@pytest.mark.parametrize(
    ("magic", "fields", "error"),
    [
        pytest.param(CENTRAL, [(34, b"\1\0")], "ZipDamaged", id="an entry on another disk"),
        pytest.param(CENTRAL, [(6, b"\x2f\0")], "ZipDamaged", id="a version that unzip does not know"),
        pytest.param(CENTRAL, [(6, b"\x2d\2")], "ZipDamaged", id="a version of VMS's that unzip passes over"),
        pytest.param(
            LOCAL, [(6, b"\x08\0")], "ZipDamaged", id="a descriptor that the directory knows nothing of"
        ),
        pytest.param(LOCAL, [(6, b"\0\x20")], "ZipDamaged", id="a flag for masked headers"),
        pytest.param(CENTRAL, attributes(3, 0o40755), "ZipDamaged", id="a directory without a slash"),
        pytest.param(CENTRAL, attributes(0, 0, 0x10), "ZipDamaged", id="MS-DOS's directory without a slash"),
        pytest.param(CENTRAL, attributes(3, 0o70644), "MemberIsSpecial", id="a type that there is not"),
        pytest.param(CENTRAL, attributes(19, 0o120777), "MemberIsSymlink", id="a link of macOS's"),
        pytest.param(
            CENTRAL, attributes(0, 0o120777), "MemberIsSymlink", id="a link of a host that has none"
        ),
        pytest.param(CENTRAL, attributes(11, 0, 0x08), "MemberIsSpecial", id="a volume's label"),
    ],
)
def test_what_readers_take_out_differently_is_refused(
    forge: Forge, magic: bytes, fields: Sequence[tuple[int, bytes]], error: str
) -> None:
    """By bsdtar, 7-Zip and unzip, with which `make fuzz` compares: some leave it out, some make another thing of it."""
    data = forge.zip({"model.gguf": forge.model(), **forge.code})

    assert thorough(data) == []
    assert error in thorough(edited(data, magic, *fields))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(attributes(0, 0, 0x20), id="MS-DOS"),
        pytest.param(attributes(3, 0o100644), id="Unix"),
        pytest.param(attributes(3, 0o100644, 0x08), id="Unix, and a bit that only others have"),
        pytest.param(attributes(7, 0, 0x10), id="an old Macintosh, whose bits mean something else"),
        pytest.param(attributes(19, 0o100600), id="macOS"),
        pytest.param([(6, b"\x2e\0")], id="the newest version that all know"),
        pytest.param([(6, b"\x2a\2")], id="the newest of VMS's"),
        pytest.param([(6, b"\x2d\3")], id="another system's"),
    ],
)
def test_what_all_readers_take_out_is_accepted(forge: Forge, fields: Sequence[tuple[int, bytes]]) -> None:
    """Whoever wrote it."""
    assert thorough(edited(forge.zip({"model.gguf": forge.model(), **forge.code}), CENTRAL, *fields)) == []


@pytest.mark.parametrize("gap", [b"\0", b"\0\0\0\0", b"hidden bytes", bytes(12), bytes(16), bytes(24)])
def test_nothing_lies_between_two_entries(forge: Forge, gap: bytes) -> None:
    """Readers that go by local headers would meet it."""
    data = forge.zip({"model.gguf": forge.model(), **forge.code})
    second = data.index(LOCAL, 4)
    moved = bytearray(data)
    directory = data.index(CENTRAL)
    entry = data.index(CENTRAL, directory + 4)
    moved[entry + 42 : entry + 46] = struct.pack("<I", second + len(gap))
    end = data.rindex(b"PK\5\6")
    moved[end + 16 : end + 20] = struct.pack("<I", directory + len(gap))
    moved[second:second] = gap

    assert thorough(bytes(moved)) == ["ZipDamaged"]


class Pipe:
    """A stream that cannot go back."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        return self.data.write(data)

    def flush(self) -> None:
        """Nothing is kept back."""


@pytest.mark.parametrize("wide", [False, True])
def test_a_data_descriptor_says_what_the_directory_says(forge: Forge, wide: bool) -> None:
    """As a zip that was written into a pipe has it, of 32 or 64 bits; a bit that is off in any field is refused."""
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, content in forge.good().items():
            with archive.open(name, "w", force_zip64=wide) as entry:
                entry.write(content)
    data = pipe.data.getvalue()
    at = data.index(b"PK\7\x08")

    assert thorough(data) == []
    for place in (0, 4, 8, 16 if wide else 12):
        spoilt = bytearray(data)
        spoilt[at + place] ^= 1
        assert thorough(bytes(spoilt)) == ["ZipDamaged"], place


def with_extra(data: bytes, magic: bytes, extra: bytes) -> bytes:
    """Return a zip whose first entry has this extra field in one of its two headers, and nothing else changed."""
    length, fixed = (26, 30) if magic == LOCAL else (28, 46)
    start = data.index(magic)
    names, extras = struct.unpack_from("<HH", data, start + length)
    out = bytearray(data)
    struct.pack_into("<H", out, start + length + 2, extras + len(extra))
    directory, end = data.index(CENTRAL), data.rindex(b"PK\5\6")
    if magic == LOCAL:
        entry = data.index(CENTRAL, directory + 4)
        (offset,) = struct.unpack_from("<I", data, entry + 42)
        struct.pack_into("<I", out, entry + 42, offset + len(extra))
        struct.pack_into("<I", out, end + 16, directory + len(extra))
    else:
        struct.pack_into("<I", out, end + 12, end - directory + len(extra))
    at = start + fixed + names + extras
    out[at:at] = extra
    return bytes(out)


NAME = b"model.gguf"


@pytest.mark.parametrize(
    ("local", "central", "errors"),
    [
        pytest.param(b"", b"", [], id="none"),
        pytest.param(field(NAME, "\u0e01.gguf"), field(NAME, "\u0e01.gguf"), [], id="one name"),
        pytest.param(field(NAME, "\u0e01.gguf"), b"", ["ZipDamaged"], id="a name in the local header alone"),
        pytest.param(b"", field(NAME, "\u0e01.gguf"), ["ZipDamaged"], id="a name in the directory alone"),
        pytest.param(field(NAME, "x.gguf"), field(NAME, "y.gguf"), ["ZipDamaged"], id="two names"),
        pytest.param(field(NAME, "model.gguf"), b"", [], id="the same name"),
        pytest.param(field(b"x", "y.gguf"), b"", [], id="of another name"),
        pytest.param(b"\0\0\0", b"\0", [], id="zeros that fill up"),
        pytest.param(b"\1", b"", ["ZipDamaged"], id="half a field, locally"),
        pytest.param(b"", b"\0\1", ["ZipDamaged"], id="half a field, in the directory"),
        pytest.param(b"\x55\x54\xff\0abc", b"", ["ZipDamaged"], id="a field longer than all of them"),
    ],
)
def test_extra_fields_of_both_headers_agree(
    forge: Forge, local: bytes, central: bytes, errors: list[str]
) -> None:
    """Bsdtar goes by the local ones, most others by the directory's."""
    data = forge.zip({NAME.decode(): forge.model(), **forge.code})

    assert thorough(with_extra(with_extra(data, LOCAL, local), CENTRAL, central)) == errors


def test_a_name_in_a_code_page_may_be_known_by_the_directory_alone(forge: Forge) -> None:
    """Without the field it is no name at all, so nobody reads another one."""
    data = renamed(forge.zip({NAME.decode(): forge.model(), **forge.code}), LATIN)

    assert thorough(with_extra(data, CENTRAL, field(LATIN, "mod\u00e8l.gguf"))) == []


@pytest.mark.parametrize("place", [4, 12])
def test_sizes_in_a_local_zip64_field_agree(forge: Forge, place: int) -> None:
    """A reader of a stream has no others."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in forge.good().items():
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(content)
    data = out.getvalue()
    at = data.index(struct.pack("<HH", 1, 16))
    spoilt = data[: at + place] + bytes([data[at + place] ^ 1]) + data[at + place + 1 :]

    assert thorough(data) == []
    assert thorough(spoilt) == ["ZipDamaged"]
