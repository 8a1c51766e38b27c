"""Tars are listed as Python's tarfile lists them, or refused."""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archive.checks.members import Census
from pipeline.archive.checks.report import Findings, Unreadable
from pipeline.archive.checks.rules import Rules
from pipeline.archive.formats.tars import TarReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.archive.checks.report import Member

    from .conftest import Forge

RULES = Rules()


class Listing:
    """A census that also keeps the data of every member."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.census = Census(RULES, self.findings)
        self.data: dict[bytes, bytearray] = {}
        self.census.enter = self._enter  # type: ignore[method-assign]

    def _enter(
        self, name: bytes, size: int, kind: str, at: int | None = None, mode: int | None = None
    ) -> _Kept:
        Census.enter(self.census, name, size, kind, at, mode)  # type: ignore[arg-type]
        self.data[name] = bytearray()
        return _Kept(self.data[name])

    def read(self, tar: bytes, step: int = 1 << 20) -> list[Member]:
        """Return the members of a tar fed in steps."""
        reader = TarReader(self.census, RULES)
        for start in range(0, len(tar), step):
            reader.feed(tar[start : start + step])
        reader.finish()
        return self.census.members


class _Kept:
    def __init__(self, data: bytearray) -> None:
        self._data = data

    def write(self, data: bytes) -> None:
        self._data += data

    def close(self) -> None:
        pass


names = st.lists(
    st.text(st.characters(categories=["L", "N"], include_characters=" -_"), min_size=1, max_size=80),
    min_size=1,
    max_size=4,
).map("/".join)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(names, st.binary(max_size=1500), max_size=6),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 2000),
)
def test_every_format_is_listed_as_tarfile_lists_it(members: dict[str, bytes], form: int, step: int) -> None:
    """Paths, sizes and data agree with tarfile for ustar, GNU and pax, however the bytes arrive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            with suppress(ValueError):  # ustar cannot hold every name
                archive.addfile(info, io.BytesIO(data))
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        theirs = [(info.name, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]
    listing = Listing()

    ours = listing.read(out.getvalue(), step)

    assert all(
        out.getvalue()[m.at : m.at + m.size] == data for m, (_, data) in zip(ours, theirs, strict=True)
    )
    assert [(member.path, member.size) for member in ours] == [(name, len(data)) for name, data in theirs]
    assert [(name.decode(), bytes(data)) for name, data in listing.data.items()] == theirs


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["base-256", "pax size"])
def test_sizes_beyond_octal_are_read(form: int) -> None:
    """A member over 8 GiB has its size in base-256 or in a pax record."""
    info = tarfile.TarInfo("model.gguf")
    info.size = 9 << 30
    listing = Listing()
    reader = TarReader(listing.census, RULES)

    reader.feed(info.tobuf(form))

    assert listing.census.members[0].size == 9 << 30
    assert reader.data_left == 9 << 30


@pytest.mark.parametrize(
    ("typeflag", "kind"),
    [
        pytest.param(tarfile.SYMTYPE, "symlink", id="symlink"),
        pytest.param(tarfile.LNKTYPE, "hardlink", id="hardlink"),
        pytest.param(tarfile.CHRTYPE, "device", id="character device"),
        pytest.param(tarfile.BLKTYPE, "device", id="block device"),
        pytest.param(tarfile.FIFOTYPE, "fifo", id="fifo"),
        pytest.param(tarfile.DIRTYPE, "directory", id="directory"),
        pytest.param(tarfile.CONTTYPE, "file", id="contiguous file"),
        pytest.param(b"V", "special", id="volume label"),
        pytest.param(b"\0", "file", id="old file"),
    ],
)
def test_each_kind_of_member_is_told_apart(typeflag: bytes, kind: str, forge: Forge) -> None:
    """The type flag decides what a member is, and the next member is found."""
    tar = forge.tar([forge.link("first", "x", typeflag), forge.file("second", b"data")])

    members = Listing().read(tar)

    assert [(member.path, member.kind) for member in members] == [("first", kind), ("second", "file")]


def test_an_old_name_with_a_slash_is_a_directory(forge: Forge) -> None:
    """V7 knew no type for directories."""
    tar = forge.tar([forge.link("code/", "", b"\0")])

    assert Listing().read(tar)[0].kind == "directory"


def test_a_tar_without_zeros_at_its_end_is_whole(forge: Forge) -> None:
    """Some writers leave the end out, and every reader takes it."""
    tar = forge.tar({"a": b"1"})[:1024]

    assert [member.path for member in Listing().read(tar)] == ["a"]


def patched(at: int, value: bytes, *, fix: bool = True) -> Callable[[bytes], bytes]:
    """Return a function that writes `value` into the first header, its checksum made to fit."""

    def patch(tar: bytes) -> bytes:
        block = bytearray(tar[:512])
        block[at : at + len(value)] = value
        if fix:
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block) + tar[512:]

    return patch


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    """Return an extended header of ready records."""
    info = tarfile.TarInfo("x")
    info.type = kind
    info.size = len(records)
    return info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        pytest.param(lambda tar: tar[:100], "NotATar", id="a piece of a header"),
        pytest.param(lambda _: b"", "NotATar", id="nothing"),
        pytest.param(lambda _: b"x" * 1024, "NotATar", id="text"),
        pytest.param(patched(0, b"X", fix=False), "NotATar", id="wrong checksum"),
        pytest.param(lambda tar: tar[:600], "TarCutShort", id="cut in the data"),
        pytest.param(lambda tar: tar[:1020], "TarCutShort", id="cut in the padding"),
        pytest.param(lambda tar: tar[:1024] + b"x" * 512, "TarDamaged", id="a wrong second header"),
        pytest.param(lambda tar: tar + tar, "DataAfterEnd", id="two tars in a row"),
        pytest.param(lambda tar: tar[:1024] + bytes(512) + tar, "DataAfterEnd", id="a lone block of zeros"),
        pytest.param(patched(124, b"\xff" * 12), "TarDamaged", id="a negative size"),
        pytest.param(patched(124, b"\x80" + b"\xff" * 11), "TarDamaged", id="a size of 2^88"),
        pytest.param(patched(124, b"99999999999\0"), "TarDamaged", id="a size that is not octal"),
        pytest.param(patched(124, b"-0000000001\0"), "TarDamaged", id="a size with a sign"),
        pytest.param(patched(124, b"77777777777\0"), "TarCutShort", id="a size of 8 GiB"),
        pytest.param(patched(156, b"5"), "TarDamaged", id="a directory with data"),
        pytest.param(patched(156, b"S"), "TarDamaged", id="an old sparse file"),
        pytest.param(patched(257, b"ustar  \0" + b"\0" * 80 + b"12345"), "TarDamaged", id="a GNU prefix"),
        pytest.param(patched(0, b"model.gguf/"), "TarDamaged", id="a file called like a directory"),
        pytest.param(lambda tar: pax(b"20 path=a\n") + tar, "TarDamaged", id="a pax length that is wrong"),
        pytest.param(lambda tar: pax(b"x path=a\n") + tar, "TarDamaged", id="a pax length that is none"),
        pytest.param(lambda tar: pax(b"9 path a\n") + tar, "TarDamaged", id="a pax record without ="),
        pytest.param(lambda tar: pax(b"11 size=-1\n") + tar, "TarDamaged", id="a negative pax size"),
        pytest.param(
            lambda tar: pax(b"28 size=" + b"9" * 19 + b"\n") + tar, "TarDamaged", id="a pax size of 2^63"
        ),
        pytest.param(lambda tar: pax(b"10 path=a\n") * 2 + tar, "TarDamaged", id="two pax headers in a row"),
        pytest.param(lambda tar: pax(b"10 path=a\n", b"g") + tar, "TarDamaged", id="a path for all members"),
        pytest.param(lambda tar: pax(b"") + tar, "TarHeaderTooLong", id="an empty pax header"),
        pytest.param(
            lambda tar: pax(b"70000 a=" + b"b" * 69991 + b"\n") + tar, "TarHeaderTooLong", id="70 kB of pax"
        ),
        pytest.param(
            lambda tar: pax(b"name\0", b"L") + pax(b"10 path=a\n") + tar,
            "TarDamaged",
            id="two names for one member",
        ),
        pytest.param(lambda _: pax(b"10 path=a\n") + bytes(1024), "TarDamaged", id="a pax header for nobody"),
        pytest.param(
            lambda tar: tar[:1024] + pax(b"10 path=a\n"), "TarCutShort", id="a pax header at the end"
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_bad_tar_is_refused_by_name(
    damage: Callable[[bytes], bytes], error: str, step: int, forge: Forge
) -> None:
    """Each kind of damage has its own name, however the bytes arrive."""
    tar = damage(forge.tar({"model.gguf": b"x" * 300}, form=tarfile.USTAR_FORMAT))

    with pytest.raises(Unreadable) as refusal:
        Listing().read(tar, step)

    assert refusal.value.problem.error == error
    assert all(refusal.value.problem.to_json().values())


def test_pax_sparse_files_are_told_apart(forge: Forge) -> None:
    """GNU tar and others unpack them to different sizes."""
    listing = Listing()

    listing.read(pax(b"22 GNU.sparse.major=1\n") + forge.tar({"model.gguf": b"x"}))

    assert [problem.error for problem in listing.findings.all()] == ["MemberIsSparse"]


def test_members_are_bounded(forge: Forge) -> None:
    """An archive of a million empty files ends at the limit."""
    reader = TarReader(Census(Rules(max_members=3), Findings()), Rules(max_members=3))

    with pytest.raises(Unreadable, match="more than 3 members"):
        reader.feed(forge.tar({f"f{n}": b"" for n in range(4)}))


def test_extended_headers_are_bounded() -> None:
    """Headers that announce no member are counted as well."""
    reader = TarReader(Census(Rules(max_members=3), Findings()), Rules(max_members=3))

    with pytest.raises(Unreadable, match="more than 12 headers"):
        reader.feed(pax(b"8 a=bcd\n", b"g") * 13)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=1600), st.integers(1, 700))
def test_any_bytes_become_members_or_a_named_problem(data: bytes, step: int) -> None:
    """Nothing but Unreadable ever comes out of arbitrary bytes."""
    with suppress(Unreadable):
        Listing().read(data, step)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 511), st.binary(min_size=1, max_size=12))
def test_a_damaged_header_becomes_a_member_or_a_named_problem(at: int, value: bytes) -> None:
    """Any header with a checksum that fits is read or refused."""
    info = tarfile.TarInfo("code/inference.py")
    info.size = 700
    tar = info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024) + bytes(1024)

    with suppress(Unreadable):
        Listing().read(patched(at, value[: 512 - at])(tar))


NUMBERS = {
    "mode": (100, 8),
    "user": (108, 8),
    "group": (116, 8),
    "size": (124, 12),
    "time": (136, 12),
    "device": (329, 8),
}
BINARY = {"user", "group", "time"}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    ("value", "taken"),
    [
        pytest.param("0000644\0", set(NUMBERS), id="octal"),
        pytest.param("  644 \0", set(NUMBERS), id="spaces around it"),
        pytest.param("\0", set(NUMBERS), id="nothing"),
        pytest.param(" ", set(), id="spaces alone"),
        pytest.param("\0" + "7", set(), id="digits behind a zero"),
        pytest.param("644\0" + "4", set(), id="digits behind the end"),
        pytest.param("644 \0 ", set(NUMBERS), id="a space behind the end"),
        pytest.param("0000648\0", set(), id="no octal digit"),
        pytest.param("+1\0", set(), id="a sign"),
        pytest.param("\x80", {*BINARY, "size"}, id="base-256"),
        pytest.param("\xff", {"time"}, id="base-256, below zero"),
        pytest.param("\x81", set(), id="more than anything can be"),
        pytest.param("\x80\0\0\0\xff\xff\xff\xff", {"user", "group"}, id="the largest owner"),
        pytest.param("\x80\0\0\1", set(), id="one more than that"),
    ],
)
def test_numbers_in_a_header_are_numbers_to_all_readers(name: str, value: str, taken: set[str]) -> None:
    """GNU tar fails where there is none, bsdtar sees no tar, and 7-Zip ends in silence at base-256 in a mode."""
    at, width = NUMBERS[name]
    raw = value.encode("latin-1")
    filled = raw.ljust(width, b"\xff" if raw == b"\xff" else b" " if raw == b" " else b"\0")
    info = tarfile.TarInfo("model.gguf")
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[at : at + width] = filled
    # 420 bytes, if the size says so, are there.
    tar = patched(0, b"")(bytes(header)) + bytes(2048)

    if name in taken:
        assert [member.path for member in Listing().read(tar)] == ["model.gguf"]
        return
    with pytest.raises(Unreadable) as refusal:
        Listing().read(tar)

    assert refusal.value.problem.error == "TarDamaged"


LONGEST = b"code/" + b"/".join([b"d" * 100] * 5) + b"ee"
"""With the zero behind it, a whole block."""


@pytest.mark.parametrize(
    ("name", "size", "taken"),
    [
        pytest.param(b"code/long.py", 13, True, id="an end that is counted"),
        pytest.param(b"code/long.py", 12, True, id="an end that is not counted"),
        pytest.param(b"code/long.py", 4, False, id="an end further on"),
        pytest.param(LONGEST, 512, True, id="an end in the last byte"),
        pytest.param(LONGEST, 511, True, id="an end in the last byte, not counted"),
        pytest.param(LONGEST + b"e", 512, False, id="no end in a whole block"),
    ],
)
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_long_name_ends_where_all_readers_end_it(
    *, name: bytes, size: int, taken: bool, kind: bytes, step: int, forge: Forge
) -> None:
    """GNU tar and Python read on to a zero, whatever the size says; others stop at the size."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, size
    tar = header.tobuf(tarfile.GNU_FORMAT) + name.ljust(512, b"\0") + forge.tar({"x": b"1"})
    if taken:
        wanted = name.decode() if kind == tarfile.GNUTYPE_LONGNAME else "x"
        assert [member.path for member in Listing().read(tar, step)] == [wanted]
        return
    with pytest.raises(Unreadable, match="a long name that does not end where its size says"):
        Listing().read(tar, step)


@pytest.mark.parametrize("at", [386, 398, 482, 494])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_map_of_holes_in_the_header_of_a_plain_file_is_refused(at: int, form: int, forge: Forge) -> None:
    """Bsdtar goes by it whatever the type is, where the header is GNU's; in others a directory's name may be there."""
    tar = patched(at, b"7")(forge.tar({"model.gguf": b"x" * 300}, form=form))
    if form == tarfile.GNU_FORMAT:
        with pytest.raises(Unreadable, match="GNU tar and others read differently"):
            Listing().read(tar)
        return
    assert [member.path for member in Listing().read(tar)] == ["model.gguf"]
