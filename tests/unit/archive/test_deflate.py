"""The codec: checksums that combine, blocks that store, headers that are read."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive import deflate
from pipeline.archive.seams import EXTRA_BYTES, Seam, find_seam


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_checksums_of_parts_give_that_of_the_whole_and_back(first: bytes, second: bytes) -> None:
    """CRC-32 can be combined, and a part's taken out again, without the bytes."""
    whole = zlib.crc32(first + second)
    a, b = zlib.crc32(first), zlib.crc32(second)

    assert deflate.crc32_combine(a, b, len(second)) == whole
    assert deflate.Shift(len(second))(a) ^ b == whole
    assert deflate.crc32_rest(whole, a, len(second)) == b


@pytest.mark.parametrize("length", [0, 1, 65534, 65535, 65536, 200_000])
def test_stored_blocks_inflate_to_what_was_stored(length: int) -> None:
    """Any inflater reads stored blocks, and their length is known beforehand."""
    data = bytes(range(256)) * (length // 256 + 1)

    stored = b"".join(deflate.stored(data[:length], final=True))

    assert zlib.decompress(stored, -15) == data[:length]
    assert len(stored) == deflate.stored_length(length)


@given(st.binary(max_size=40), st.text("abc", max_size=9), st.binary(max_size=3000))
def test_gzip_headers_of_all_shapes_are_read(extra: bytes, name: str, data: bytes) -> None:
    """The deflate data begins where the header says, whatever fields it has."""
    plain = deflate.gzip_header(extra)
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=out) as file:
        file.write(data)

    ours = deflate.read_gzip_header(plain + data)
    theirs = deflate.read_gzip_header(out.getvalue())

    assert ours == deflate.GzipHeader(len(plain), extra)
    assert theirs is not None
    assert zlib.decompressobj(-15).decompress(out.getvalue()[theirs.length :]) == data


COMMENTED = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\0abc" + b"name\0" + b"comment\0"
CHECKED = COMMENTED + (zlib.crc32(COMMENTED) & 0xFFFF).to_bytes(2, "little")


def test_a_header_with_every_field_is_read_when_it_is_complete() -> None:
    """Each shorter beginning asks for more; the header's own checksum is compared."""
    assert all(deflate.read_gzip_header(CHECKED[:cut]) is None for cut in range(1, len(CHECKED)))
    assert deflate.read_gzip_header(CHECKED + b"rest") == deflate.GzipHeader(len(CHECKED), b"abc")


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"PK", id="a zip"),
        pytest.param(b"\x1f\x8b\x07", id="another method"),
        pytest.param(b"\x1f\x8b\x08\x20" + bytes(6), id="a reserved flag"),
        pytest.param(CHECKED[:-1] + b"\0\0", id="a wrong checksum"),
    ],
)
def test_what_is_no_gzip_header_is_refused(header: bytes) -> None:
    """RFC 1952's musts are kept."""
    with pytest.raises(deflate.CodecError):
        deflate.read_gzip_header(header)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_header_or_none_or_refused(data: bytes) -> None:
    """Nothing but CodecError ever comes out of arbitrary bytes."""
    with suppress(deflate.CodecError):
        deflate.read_gzip_header(b"\x1f\x8b\x08" + data)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=9))
def test_a_seam_is_found_again_among_other_subfields(offset: int, plain: int, crc: int, other: bytes) -> None:
    """The note survives in the extra field beside somebody else's."""
    seam = Seam(offset, plain, crc, offset ^ plain)
    foreign = b"BC" + len(other).to_bytes(2, "little") + other

    assert len(seam.to_extra()) == EXTRA_BYTES
    assert find_seam(foreign + seam.to_extra()) == seam
    assert find_seam(foreign) is None


@given(st.binary(max_size=60))
def test_any_extra_field_holds_a_seam_or_none(extra: bytes) -> None:
    """Arbitrary bytes never crash the search."""
    find_seam(extra)
    find_seam(b"SL" + extra)
