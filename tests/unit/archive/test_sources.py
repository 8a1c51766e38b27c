"""Files and bytes, read in ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.archive.s3.sources import BytesSource, FileSource
from pipeline.errors import ArchiveNotFound

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.archive.s3.sources import Source


@pytest.fixture(params=["bytes", "file"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """Ten bytes, in memory and on disk."""
    if request.param == "bytes":
        return BytesSource(b"0123456789")
    (tmp_path / "f").write_bytes(b"0123456789")
    return FileSource(tmp_path / "f")


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        pytest.param(0, 10, b"0123456789", id="all"),
        pytest.param(3, 4, b"3456", id="inside"),
        pytest.param(8, 9, b"89", id="over the end"),
        pytest.param(10, 5, b"", id="at the end"),
        pytest.param(99, 5, b"", id="behind the end"),
        pytest.param(2, 0, b"", id="nothing"),
    ],
)
def test_a_range_is_exact_and_short_only_at_the_end(
    source: Source, start: int, length: int, expected: bytes
) -> None:
    """Every range gives its bytes, and they are counted."""
    assert source.read(start, length) == expected
    assert source.bytes_read == len(expected)
    assert source.size == 10


def test_a_file_stays_the_same_when_its_name_is_taken_over(tmp_path: Path) -> None:
    """The open file is read, not whatever is called so now."""
    path = tmp_path / "f"
    path.write_bytes(b"old")

    with FileSource(path) as source:
        (tmp_path / "g").write_bytes(b"new")
        (tmp_path / "g").replace(path)

        assert source.read(0, 3) == b"old"


@pytest.mark.parametrize("name", ["absent", "."])
def test_what_is_no_file_is_not_found(name: str, tmp_path: Path) -> None:
    """A missing file and a directory are refused with their path."""
    with pytest.raises(ArchiveNotFound, match=str(tmp_path)):
        FileSource(tmp_path / name)
