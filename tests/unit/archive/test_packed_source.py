"""A model that is packed while it is read is, byte for byte, what `pack` writes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.tiny_companions import write_tiny_lora
from examples.tiny_gguf import write_tiny_gguf
from inference import sealift_models as models
from pipeline.archive.build import pack as packing
from pipeline.archive.build.packed_source import PackedSource
from pipeline.archive.checks.checksum import as_packed
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.formats.deflate import STORED_HEADER_BYTES, STORED_MAX
from pipeline.archive.s3.sources import BytesSource, FileSource
from pipeline.errors import InvalidArchive

if TYPE_CHECKING:
    from pathlib import Path

OWN = Rules(code_required=False)
SLOT = STORED_MAX + STORED_HEADER_BYTES


def packed(model: Path, to: Path, beside: tuple[tuple[str, Path], ...] = ()) -> bytes:
    """Return what `pack` writes of a model without code."""
    packing.pack(model, to / "packed.tar.gz", code={}, beside=beside, rules=OWN)
    return (to / "packed.tar.gz").read_bytes()


@pytest.mark.parametrize("shards", [0, 5])
def test_it_is_what_pack_writes(tmp_path: Path, shards: int) -> None:
    """Of a model of one file or of several, with what lies beside it."""
    write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512, **({"shard_tensors": shards} if shards else {}))
    model = min(tmp_path.glob("m*.gguf"))
    tone = write_tiny_lora(tmp_path / "tone.gguf")
    beside = ((models.LORA, tone),)

    source = PackedSource(
        "m.tar.gz", [(name, FileSource(path)) for name, path in packing.files_of(model, beside)]
    )

    written = packed(model, tmp_path, beside)
    assert source.size == len(written)
    assert source.read(0, source.size) == written
    assert verify(source, rules=OWN).verdict == "accepted"


SIZES = [1, STORED_MAX - 1, STORED_MAX, STORED_MAX + 1, 3 * STORED_MAX + 7]


def described(size: int) -> bytes:
    """Return bytes of which no two places look alike."""
    return b"".join(n.to_bytes(4, "big") for n in range(size // 4 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_part_of_it_is_that_part(size: int, data: st.DataObject) -> None:
    """Wherever it begins and ends, in whatever order parts are read."""
    files = [("a.gguf", described(size)), ("b.gguf", described(size + 5))]
    whole = PackedSource("m.tar.gz", [(name, BytesSource(content, name)) for name, content in files])
    expected = whole.read(0, whole.size)
    other = PackedSource("m.tar.gz", [(name, BytesSource(content, name)) for name, content in files])

    for _ in range(4):
        start = data.draw(st.integers(0, other.size))
        length = data.draw(st.integers(0, other.size))
        assert other.read(start, length) == expected[start : start + length]
    assert b"".join(other.read(at, 1000) for at in range(0, other.size, 1000)) == expected


@pytest.mark.parametrize("step", [1, STORED_HEADER_BYTES, SLOT, SLOT + 1])
def test_pieces_that_end_at_a_block_fit_together(step: int) -> None:
    """The borders of blocks are no border of anything."""
    content = described(SLOT + 3)
    source = PackedSource("m.tar.gz", [("a.gguf", BytesSource(content))])
    expected = source.read(0, source.size)
    for around in (0, SLOT, source.size):
        for start in range(max(around - 700, 0), min(around + 700, source.size), 97):
            assert source.read(start, step) == expected[start : start + step]


def test_a_first_look_sees_all_that_there_is(tmp_path: Path) -> None:
    """So the workflow takes S3's checksum for it, and reads nothing but the header."""
    model = write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512)

    report = inspect(PackedSource("m.tar.gz", [("m.gguf", FileSource(model))]), rules=OWN)

    assert as_packed(report) is not None
    assert not report.code


def test_each_byte_is_read_once_for_both_checksums(tmp_path: Path) -> None:
    """Whoever has read it in order has what the end of it needs."""
    model = write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512)
    file = FileSource(model)
    source = PackedSource("m.tar.gz", [("m.gguf", file)])

    for at in range(0, source.size, 5000):
        source.read(at, 5000)

    assert file.bytes_read == model.stat().st_size
    assert source.bytes_read == source.size


def test_a_file_that_became_shorter_is_refused(tmp_path: Path) -> None:
    """What is uploaded is what was looked at, or nothing."""
    model = write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512)
    source = PackedSource("m.tar.gz", [("m.gguf", FileSource(model))])
    with model.open("r+b") as file:
        file.truncate(1000)

    with pytest.raises(InvalidArchive, match="the file ends after 1000 bytes") as found:
        source.read(0, source.size)
    assert [one.error for one in found.value.problems] == ["ModelChanged"]
