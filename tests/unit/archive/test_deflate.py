"""The codec: checksums that combine, blocks that store, headers that are read."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.build.seams import EXTRA_BYTES, Seam, find_seam
from pipeline.archive.checks.rules import Rules
from pipeline.archive.formats import deflate
from pipeline.archive.formats.gzips import PIECE_BYTES, GzipDecoder


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_checksums_of_parts_give_that_of_the_whole_and_back(first: bytes, second: bytes) -> None:
    """CRC-32 can be combined, and a part's taken out again, without the bytes."""
    whole = zlib.crc32(first + second)
    a, b = zlib.crc32(first), zlib.crc32(second)

    assert deflate.crc32_combine(a, b, len(second)) == whole
    assert deflate.crc32_rest(whole, a, len(second)) == b
    assert deflate.crc32_first(whole, b, len(second)) == a


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**40))
def test_a_checksum_is_taken_out_whatever_the_length(a: int, b: int, length: int) -> None:
    """Archives are longer than 4 GiB, where a length has passed the order of x."""
    whole = deflate.crc32_combine(a, b, length)

    assert deflate.crc32_first(whole, b, length) == a
    assert deflate.crc32_rest(whole, a, length) == b


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


def decoded(decoder: deflate.Inflater, stream: bytes, step: int, limit: int) -> tuple[str, bytes, bytes]:
    """Return how decoding ends, the plain bytes, and what follows the stream."""
    plain = b""
    for start in range(0, len(stream), step):
        data: bytes = stream[start : start + step]
        full = False
        while (data or full) and not decoder.eof:
            try:
                more = deflate.inflate(decoder, data, limit)
            except deflate.CodecError:
                return "damaged", b"", b""
            plain += more
            full = len(more) == limit
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        if decoder.eof:
            return "ended", plain, data + stream[start + step :]
    return "cut", plain, b""


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return plain bytes and a raw deflate stream of them, of one of many shapes."""
    pieces = draw(
        st.lists(st.binary(max_size=300) | st.text("abc", max_size=300).map(str.encode), max_size=6)
    )
    repeat = draw(st.sampled_from([1, 1, 40]))
    level, strategy = draw(st.integers(0, 9)), draw(st.integers(0, 4))
    encoder = zlib.compressobj(level, zlib.DEFLATED, -15, draw(st.integers(1, 9)), strategy)
    stream = b""
    for piece in pieces:
        stream += encoder.compress(piece * repeat)
        if draw(st.booleans()):
            stream += encoder.flush(draw(st.sampled_from([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH])))
    return b"".join(piece * repeat for piece in pieces), stream + encoder.flush()


STEPS = st.sampled_from([1, 7, 100, 1 << 20])
LIMITS = st.sampled_from([1, 3, 258, 1000, 1 << 20])


@given(streams(), st.binary(max_size=40), STEPS, LIMITS)
def test_both_decoders_read_a_good_stream_alike(
    stream: tuple[bytes, bytes], after: bytes, step: int, limit: int
) -> None:
    """Same bytes and same rest, however the stream is cut into pieces and the output is bounded."""
    plain, compressed = stream

    fast = decoded(deflate.inflater(), compressed + after, step, limit)

    assert fast == ("ended", plain, after)
    assert decoded(deflate.copyable_inflater(), compressed + after, step, limit) == fast


@given(streams(), st.integers(0, 1 << 20), STEPS, LIMITS)
def test_both_decoders_find_a_stream_cut_short(
    stream: tuple[bytes, bytes], cut: int, step: int, limit: int
) -> None:
    """Neither takes a part for the whole; what they have given by then is the beginning."""
    plain, compressed = stream
    part = compressed[: cut % len(compressed)]

    verdict, fast, _ = decoded(deflate.inflater(), part, step, limit)

    assert verdict == decoded(deflate.copyable_inflater(), part, step, limit)[0] == "cut"
    assert plain.startswith(fast)


@given(
    streams(), st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1), STEPS, LIMITS
)
def test_both_decoders_come_to_one_verdict_on_a_damaged_stream(
    stream: tuple[bytes, bytes], changes: list[tuple[int, int]], step: int, limit: int
) -> None:
    """What one reads to its end with the right checksum, so does the other."""
    plain, compressed = stream
    damaged = bytearray(compressed)
    for at, mask in changes:
        damaged[at % len(damaged)] ^= mask

    outcomes = [
        decoded(decoder(), bytes(damaged), step, limit)
        for decoder in (deflate.inflater, deflate.copyable_inflater)
    ]

    good = [outcome for outcome in outcomes if outcome[0] == "ended" and outcome[1] == plain]
    assert len(good) in {0, 2}
    assert good[:1] == good[1:]


@given(st.binary(max_size=300), STEPS, LIMITS)
def test_any_bytes_are_decoded_or_refused(data: bytes, step: int, limit: int) -> None:
    """Nothing but CodecError ever comes out of arbitrary bytes, and where both come to an end it is the same."""
    fast = decoded(deflate.inflater(), data, step, limit)
    slow = decoded(deflate.copyable_inflater(), data, step, limit)

    assert slow[0] != "ended" or fast == slow


def test_incomplete_codes_are_where_the_decoders_differ() -> None:
    """Pins the one known difference: three codes of two bits leave a fourth without a meaning."""
    forged = bytes.fromhex(
        "05e0019024499224490200000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000011000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000100206"
    )

    assert decoded(deflate.inflater(), forged, 100, 100) == ("ended", b"aaab", b"")
    assert decoded(deflate.copyable_inflater(), forged, 100, 100)[0] == "damaged"


@pytest.mark.parametrize("length", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_what_the_decoder_holds_back_is_asked_for(length: int, level: int) -> None:
    """When the output is full just as the input ends, the stream's end is still found."""
    data = gzip.compress(bytes(length), level)
    decoder = GzipDecoder(Rules(max_ratio=deflate.DEFLATE_MAX_RATIO))

    plain = sum(map(len, decoder.feed(data)))
    decoder.finish()

    assert plain == length


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
