"""A seam is believed only when the second part really stands by itself, behind a first one that has ended."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.archive.build.seams import EXTRA_BYTES, Seam
from pipeline.archive.checks.verify import verify
from pipeline.archive.formats import deflate
from pipeline.archive.s3.sources import BytesSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Forge

HEADER_BYTES = 10 + 2 + EXTRA_BYTES


ORDERS = pytest.mark.parametrize("code_last", [False, True], ids=["code first", "code last"])


def parts(forge: Forge, *, code_last: bool) -> tuple[bytes, bytes]:
    """Return the two parts of a tar."""
    model = forge.tar({"model.gguf": forge.model(fill=b"model_fn")})
    if not code_last:
        return forge.tar(forge.code)[:1024], model
    return model.rstrip(b"\0") + bytes(-len(model.rstrip(b"\0")) % 512), forge.tar(forge.code)


def joined(
    forge: Forge,
    *,
    mode: int = zlib.Z_FULL_FLUSH,
    change: Callable[[Seam], Seam] = lambda seam: seam,
    code_last: bool = False,
) -> tuple[bytes, Seam]:
    """Return an archive whose two parts were deflated one after the other, and its honest seam."""
    first, second = parts(forge, code_last=code_last)
    encoder = deflate.deflater(9)
    head = encoder.compress(first) + encoder.flush(mode)
    body = encoder.compress(second) + encoder.flush()
    crc = zlib.crc32(second if code_last else first)
    seam = Seam(HEADER_BYTES + len(head), len(first), crc, len(second), code_last)
    trailer = deflate.gzip_trailer(zlib.crc32(first + second), len(first + second))
    return deflate.gzip_header(change(seam).to_extra()) + head + body + trailer, seam


@ORDERS
def test_an_honest_seam_is_reported(code_last: bool, forge: Forge) -> None:
    """After the whole pass the seam may be acted upon."""
    data, seam = joined(forge, code_last=code_last)

    report = verify(BytesSource(data))

    assert report.problems == ()
    assert report.seam == seam
    assert report.plain_bytes == seam.plain_length + seam.rest_length


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda seam: replace(seam, offset=seam.offset - 1), id="a byte early"),
        pytest.param(lambda seam: replace(seam, offset=seam.offset + 1), id="a byte late"),
        pytest.param(lambda seam: replace(seam, offset=seam.offset - 5), id="before the flush"),
        pytest.param(lambda seam: replace(seam, offset=0), id="at the start"),
        pytest.param(
            lambda seam: Seam(0, 0, 0, 1, seam.code_last), id="nothing before it, at the wrong place"
        ),
        pytest.param(lambda seam: replace(seam, offset=2**63), id="far behind the end"),
        pytest.param(lambda seam: replace(seam, plain_length=seam.plain_length + 1), id="another length"),
        pytest.param(lambda seam: replace(seam, crc=seam.crc ^ 1), id="another checksum"),
        pytest.param(lambda seam: replace(seam, rest_length=seam.rest_length + 1), id="another rest"),
        pytest.param(lambda seam: replace(seam, rest_length=2**64 - 1), id="a rest beyond all"),
        pytest.param(lambda seam: replace(seam, plain_length=2**64 - 1), id="a length beyond all"),
    ],
)
@ORDERS
def test_a_seam_that_does_not_fit_is_refused(
    code_last: bool, change: Callable[[Seam], Seam], forge: Forge
) -> None:
    """Each of its numbers is compared with what is there."""
    data, _ = joined(forge, change=change, code_last=code_last)

    assert [problem.error for problem in verify(BytesSource(data)).problems] == ["SeamWrong"]


@ORDERS
def test_a_part_that_looks_back_is_refused(code_last: bool, forge: Forge) -> None:
    """After a sync flush the window remains, so the second part would not stand by itself."""
    data, _ = joined(forge, mode=zlib.Z_SYNC_FLUSH, code_last=code_last)

    assert [problem.error for problem in verify(BytesSource(data)).problems] == ["GzipDamaged"]


@ORDERS
def test_a_part_that_continues_a_block_is_refused(code_last: bool, forge: Forge) -> None:
    """Cut in the middle of a stored block, both halves would decode, to different things."""
    first, second = parts(forge, code_last=code_last)
    inner = b"".join(deflate.stored(second, final=True))
    # One stored block that announces the inner stream as its content: a plain decoder unpacks the stream itself.
    head = deflate.stored_header(len(first) + len(inner)) + first
    crc = zlib.crc32(second if code_last else first)
    seam = Seam(HEADER_BYTES + len(head), len(first), crc, len(second), code_last)
    trailer = deflate.gzip_trailer(zlib.crc32(first + second), len(first + second))
    data = deflate.gzip_header(seam.to_extra()) + head + inner + trailer

    assert [problem.error for problem in verify(BytesSource(data)).problems] == ["SeamWrong"]


@pytest.mark.parametrize("prefix", range(1, 12))
def test_only_between_blocks_is_between_blocks(prefix: int) -> None:
    """Any state inside a block, or off a byte's boundary, is told from the end of a block."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = stream.compress(b"abcabcabc\xff") + stream.flush(zlib.Z_FULL_FLUSH)
    decoder = deflate.copyable_inflater()
    cut = data[: len(data) - prefix]

    decoder.decompress(cut)
    inside = deflate.between_blocks(decoder)
    decoder.decompress(data[len(cut) :])

    assert not inside
    assert deflate.between_blocks(decoder)
