"""The parts of a file on its way into a bucket."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.s3 import resumable
from pipeline.archive.s3.multipart import MAX_PARTS, MIN_PART
from pipeline.archive.s3.resumable import PART, Cut
from pipeline.archive.s3.sources import BytesSource

GIB = 1 << 30


@given(size=st.integers(1, 48 * 1024 * GIB))
def test_parts_are_within_what_s3_allows(size: int) -> None:
    """At least 5 MiB, at most 10,000 of them, and the same for the same file."""
    part = resumable.part_size(size)

    assert part >= MIN_PART
    assert -(-size // part) <= MAX_PARTS
    assert part % (1 << 20) == 0


def test_an_ordinary_archive_has_parts_that_are_quickly_sent_again() -> None:
    """What is lost with a cut line is one part of each worker."""
    assert resumable.part_size(5 * GIB) == PART


@given(pieces=st.lists(st.binary(min_size=1, max_size=64), min_size=1, max_size=6))
def test_the_checksum_of_the_whole_is_that_of_its_parts(pieces: list[bytes]) -> None:
    """Computed from the parts, without the bytes."""
    length = max(len(piece) for piece in pieces)
    data = b"".join(piece.ljust(length, b"\0") for piece in pieces[:-1]) + pieces[-1]
    sums = tuple(zlib.crc32(data[at : at + length]) for at in range(0, len(data), length))

    assert Cut(len(data), length, sums).whole == zlib.crc32(data)


def test_a_file_is_cut_with_the_checksum_of_each_part() -> None:
    """The last part is what is left, and progress comes to the end."""
    data = bytes(range(256)) * (PART // 256) + b"the rest"
    seen: list[tuple[int, int]] = []
    pieces = resumable.cut(BytesSource(data), progress=lambda done, total: seen.append((done, total)))

    assert pieces == Cut(len(data), PART, (zlib.crc32(data[:PART]), zlib.crc32(b"the rest")))
    assert (pieces.length(1), pieces.length(2)) == (PART, 8)
    assert seen[-1] == (len(data), len(data))


PIECES = Cut(25, 10, (1, 2, 3))


def listed(number: int, *, size: int | None = None, crc: int | None = None) -> dict[str, Any]:
    """Return a part as ListParts tells of it."""
    return {
        "PartNumber": number,
        "Size": PIECES.length(number) if size is None else size,
        "ETag": f'"{number}"',
        "ChecksumCRC32": resumable.spelled(number if crc is None else crc),
    }


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([], {}, id="none yet"),
        pytest.param([listed(1), listed(3)], {1: '"1"', 3: '"3"'}, id="with a gap"),
        pytest.param([listed(1, crc=9)], None, id="another content"),
        pytest.param([listed(1), listed(2, crc=9)], None, id="another content later on"),
        pytest.param([listed(1, size=9)], None, id="cut differently"),
        pytest.param([{**listed(2), "PartNumber": 4}], None, id="longer than the file"),
        pytest.param(
            [{name: value for name, value in listed(1).items() if name != "ChecksumCRC32"}],
            None,
            id="no checksum",
        ),
    ],
)
def test_an_unfinished_upload_is_this_files_when_every_part_is(
    parts: list[dict[str, Any]], expected: dict[int, str] | None
) -> None:
    """One part that differs, and it is somebody else's: it is left alone."""
    assert resumable.kept(PIECES, parts) == expected
