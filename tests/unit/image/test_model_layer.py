"""A model's files as one layer of an image, while they stream by."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.formats import deflate
from pipeline.image import model_layer
from pipeline.image.model_layer import LayerFile, LayerStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.image.model_layer import LayerPart


def streamed(
    content: Mapping[str, bytes], *, part_bytes: int = 1000, received: int = 0, piece: int = 700
) -> tuple[LayerStream, list[LayerPart]]:
    """Return a layer of files that came in pieces, and its parts."""
    stream = LayerStream(
        [LayerFile(name, len(data)) for name, data in content.items()], part_bytes, received=received
    )
    parts: list[LayerPart] = []
    for name, data in content.items():
        stream.begin(name)
        for at in range(0, len(data), piece):
            stream.write(data[at : at + piece])
            parts += stream.take()
    stream.finish()
    return stream, [*parts, *stream.take()]


CONTENTS = st.dictionaries(
    st.text("abcdefgh-.", min_size=1, max_size=12).filter(lambda name: name.strip(".")),
    st.binary(max_size=5000),
    min_size=1,
    max_size=3,
)


@given(content=CONTENTS, part_bytes=st.integers(100, 6000), piece=st.integers(1, 3000))
def test_every_reader_finds_the_files_below_the_folder(
    content: dict[str, bytes], part_bytes: int, piece: int
) -> None:
    """Whatever the pieces and the parts are, Python's gzip and tar read the very files."""
    stream, parts = streamed(content, part_bytes=part_bytes, piece=piece)
    blob = b"".join(one.data for one in parts)
    plain = gzip.decompress(blob)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        found = {
            one.name: tar.extractfile(one).read()  # type: ignore[union-attr]
            for one in tar.getmembers()
            if one.isfile()
        }
        assert tar.getmembers()[0].isdir()
        assert {(one.mode, one.uid, one.mtime) for one in tar.getmembers()} <= {(0o755, 0, 0), (0o644, 0, 0)}

    assert found == {f"opt/sealift/model/{name}": data for name, data in content.items()}
    assert stream.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert stream.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"


@given(content=CONTENTS, part_bytes=st.integers(100, 6000))
def test_its_length_is_known_beforehand(content: dict[str, bytes], part_bytes: int) -> None:
    """What `length` and `plain_length` say of the files is what comes out."""
    files = [LayerFile(name, len(data)) for name, data in content.items()]
    _, parts = streamed(content, part_bytes=part_bytes)
    blob = b"".join(one.data for one in parts)

    assert model_layer.length(files) == len(blob)
    assert model_layer.plain_length(files) == len(gzip.decompress(blob))


@given(content=CONTENTS, part_bytes=st.integers(100, 6000))
def test_parts_follow_each_other_without_a_gap(content: dict[str, bytes], part_bytes: int) -> None:
    """Each part begins where the one before ended, and all but the last have the wanted size."""
    stream, parts = streamed(content, part_bytes=part_bytes)

    assert [one.first for one in parts] == [0, *(one.end for one in parts[:-1])]
    assert parts[-1].end == stream.length == stream.position
    assert {len(one.data) for one in parts[:-1]} <= {part_bytes}
    assert 0 < len(parts[-1].data) <= part_bytes


@given(content=CONTENTS, part_bytes=st.integers(100, 3000), data=st.data())
def test_what_was_received_is_hashed_and_not_given_out_again(
    content: dict[str, bytes], part_bytes: int, data: st.DataObject
) -> None:
    """A layer that goes on has the same names, and its parts are exactly what was missing."""
    whole, parts = streamed(content, part_bytes=part_bytes)
    received = data.draw(st.integers(0, whole.length))
    again, rest = streamed(content, part_bytes=part_bytes, received=received)

    assert (again.digest, again.diff_id) == (whole.digest, whole.diff_id)
    assert b"".join(one.data for one in rest) == b"".join(one.data for one in parts)[received:]
    assert not rest or rest[0].first == received


def test_a_block_that_is_full_at_the_end_is_the_last_one() -> None:
    """512 blocks of 65,535 bytes are 65,535 of a tar: no empty block follows."""
    name = "m.gguf"
    fixed = model_layer.plain_length([LayerFile(name, 0)])
    size = deflate.STORED_MAX * 512 - fixed
    _, parts = streamed({name: bytes(size)}, part_bytes=4 << 20, piece=4 << 20)
    blob = b"".join(one.data for one in parts)

    assert len(gzip.decompress(blob)) == deflate.STORED_MAX * 512
    assert len(blob) == 10 + 512 * (deflate.STORED_MAX + deflate.STORED_HEADER_BYTES) + 8


def test_a_file_over_8_gib_has_a_header_that_says_so() -> None:
    """A size that ustar's octal digits cannot hold stands in a pax record."""
    header = LayerFile("m.gguf", 9 * 10**9).header

    assert tarfile.TarInfo.frombuf(header[-512:], "utf-8", "strict").name == "opt/sealift/model/m.gguf"
    assert b"size=9000000000" in header


def test_a_file_that_is_longer_is_refused() -> None:
    """Bytes beyond the announced size never reach the layer."""
    stream = LayerStream([LayerFile("m.gguf", 3)], 1000)
    stream.begin("m.gguf")
    stream.write(b"abc")

    with pytest.raises(ValueError, match="1 bytes more than was announced"):
        stream.write(b"d")


def test_a_file_that_is_shorter_is_refused() -> None:
    """A layer is not closed over a hole."""
    stream = LayerStream([LayerFile("m.gguf", 3)], 1000)
    stream.begin("m.gguf")
    stream.write(b"ab")

    with pytest.raises(ValueError, match="lacks 1 bytes of 3"):
        stream.finish()


def test_a_file_out_of_order_is_refused() -> None:
    """The announced order is the layer's."""
    stream = LayerStream([LayerFile("a.gguf", 0), LayerFile("b.gguf", 0)], 1000)

    with pytest.raises(ValueError, match=r"'b.gguf' begins; wanted 'a.gguf'"):
        stream.begin("b.gguf")


def test_a_file_that_never_came_is_missed() -> None:
    """All announced files must be in the layer."""
    stream = LayerStream([LayerFile("a.gguf", 0), LayerFile("b.gguf", 0)], 1000)
    stream.begin("a.gguf")

    with pytest.raises(ValueError, match=r"'b.gguf' never came"):
        stream.finish()


def test_whoever_gave_a_buffer_may_write_to_it_again() -> None:
    """What is hashed beside is what was given, whatever is in its place by then."""
    content = {"m.gguf": b"ab" * (1 << 20)}
    whole, parts = streamed(content, part_bytes=1 << 20, piece=1 << 20)
    stream = LayerStream([LayerFile("m.gguf", len(content["m.gguf"]))], 1 << 20)
    stream.begin("m.gguf")
    buffer, again = bytearray(1 << 20), []
    for at in range(0, 2 << 20, 1 << 20):
        buffer[:] = content["m.gguf"][at : at + (1 << 20)]
        stream.write(memoryview(buffer))
        buffer[:] = bytes(1 << 20)
        again += stream.take()
    stream.finish()

    assert (stream.digest, stream.diff_id) == (whole.digest, whole.diff_id)
    assert b"".join(one.data for one in [*again, *stream.take()]) == b"".join(one.data for one in parts)
