"""A blob in parts: all of it, nothing twice, whichever way it is read."""

from __future__ import annotations

import io
from functools import partial
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ImageTooLarge, WrongDigest
from pipeline.image import parts
from pipeline.image.manifest import Descriptor
from pipeline.limits import LAYER_PART, LAYER_PARTS, LEAST_LAYER_PART, MiB


@given(size=st.integers(0, 2000), part=st.integers(1, 300), start=st.integers(0, 2000))
def test_parts_cover_what_is_left_and_nothing_twice(size: int, part: int, start: int) -> None:
    """Each follows the one before; all but the last are as large as they may be."""
    found = list(parts.ranges(size, part, start))

    assert [at for first, end in found for at in range(first, end)] == list(range(start, size))
    assert all(end - first == part for first, end in found[:-1])
    assert all(0 < end - first <= part for first, end in found)


@given(size=st.integers(1, LAYER_PARTS.value * LAYER_PART.value), proposed=st.integers(0, 64 * MiB))
def test_a_part_for_ecr_is_within_its_quotas(size: int, proposed: int) -> None:
    """Neither too large, too small nor too many."""
    part = parts.ecr_part(size, proposed)

    assert LEAST_LAYER_PART.value <= part <= LAYER_PART.value
    assert -(-size // part) <= LAYER_PARTS.value
    if LEAST_LAYER_PART.value <= proposed <= LAYER_PART.value and size <= LAYER_PARTS.value * proposed:
        assert part == proposed


def test_a_layer_that_ecr_takes_in_no_parts_is_refused() -> None:
    """One byte more than as many parts hold as there may be."""
    most = LAYER_PARTS.value * LAYER_PART.value

    assert parts.ecr_part(most, 0) == LAYER_PART.value
    with pytest.raises(ImageTooLarge, match=f"a layer of {most + 1} bytes"):
        parts.ecr_part(most + 1, 0)


class Stream(io.BytesIO):
    """A stream that gives what it likes at a time, and may not go back."""

    def __init__(self, content: bytes, step: int, *, seeks: bool) -> None:
        super().__init__(content)
        self._step, self._seeks = step, seeks

    def read(self, size: int | None = -1, /) -> bytes:
        """Return a few bytes."""
        return super().read(min(self._step, size if size is not None and size >= 0 else self._step))

    def seekable(self) -> bool:
        """Return whether it goes back."""
        return self._seeks


@given(
    content=st.binary(max_size=200),
    wanted=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=6),
    step=st.integers(1, 50),
    seeks=st.booleans(),
)
def test_bytes_are_read_from_anywhere(
    content: bytes, wanted: list[tuple[int, int]], step: int, *, seeks: bool
) -> None:
    """In any order, of streams that go back and of those that do not."""
    opened: list[BinaryIO] = []

    def open_it() -> BinaryIO:
        opened.append(Stream(content, step, seeks=seeks))
        return opened[-1]

    with parts.BlobReader(Descriptor("", "sha256:0", len(content)), open_it) as reader:
        for one, other in wanted:
            start, end = sorted((min(one, len(content)), min(other, len(content))))
            assert reader.read(start, end) == content[start:end]

    assert all(stream.closed for stream in opened)
    assert len(opened) <= 1 or not seeks


@pytest.mark.parametrize("seeks", [True, False])
def test_content_that_ends_early_is_told_of(*, seeks: bool) -> None:
    """Wherever it is read from."""
    blob = Descriptor("", "sha256:0", 10)
    for start in (0, 3, 7):
        reader = parts.BlobReader(blob, partial(Stream, b"12345", 2, seeks=seeks))
        with reader, pytest.raises(WrongDigest, match="of 10 bytes"):
            reader.read(start, 10)
