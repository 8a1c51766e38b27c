"""Parts of a layer in any order and of any size, against what ECR says of them."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_cloud.ecr import repositories
from local_cloud.ecr.blobs import Blobs
from local_cloud.ecr.refusals import EcrRefused
from local_cloud.ecr.repositories import RepositoryContents

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST, MOST = 5, 10
"""Bytes of a part, here."""


@dataclass(frozen=True)
class Part:
    """A part that somebody sends."""

    first: int
    data: bytes
    longer: int = 0
    """By how much it says that it is longer."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let parts be a few bytes."""
    monkeypatch.setattr(repositories, "PART_BYTES", MOST)
    monkeypatch.setattr(repositories, "LEAST_PART_BYTES", LEAST)
    return


PARTS = st.lists(
    st.builds(
        Part,
        st.integers(0, 24),
        st.binary(max_size=MOST + 1),
        st.sampled_from([0, 0, 0, 0, -1, 1]),
    ),
    max_size=8,
)
FOLLOWING = st.lists(st.binary(min_size=1, max_size=MOST), max_size=6)


@given(stray=PARTS, following=FOLLOWING, at=st.integers(0, 6))
@settings(deadline=None)
def test_a_layer_is_its_parts_that_followed_each_other(
    stray: list[Part], following: list[bytes], at: int
) -> None:
    """Whatever else is sent is refused, tells where it has to go on, and leaves no byte."""
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(folder)
        held = RepositoryContents("sealift", "123456789012")
        upload = blobs.begin(0.0)
        held.uploads[upload.identity] = upload
        taken: list[bytes] = []
        ahead = [Part(0, data) for data in following]
        sent = [*ahead[:at], *stray, *ahead[at:]]
        for part in sent:
            size = sum(map(len, taken))
            first = size if part in ahead and part.longer == 0 and part.first == 0 else part.first
            last = first + len(part.data) - 1 + part.longer
            good = first == size and part.longer == 0 and 1 <= len(part.data) <= MOST
            if good:
                assert held.append(blobs, upload.identity, first, last, part.data, most=99) == last
                taken.append(part.data)
                continue
            with pytest.raises(EcrRefused) as refused:
                held.append(blobs, upload.identity, first, last, part.data, most=99)
            assert refused.value.code == "InvalidLayerPartException"
            assert refused.value.fields["lastValidByteReceived"] == size - 1
        whole = b"".join(taken)
        digest = f"sha256:{hashlib.sha256(whole).hexdigest()}"
        code = None
        if not taken:
            code = "EmptyUploadException"
        elif any(len(one) < LEAST for one in taken[:-1]):
            code = "LayerPartTooSmallException"
        if code is None:
            assert held.complete(blobs, upload.identity, [digest], 0.0) == digest
            assert held.layers[digest].blob.path.read_bytes() == whole
        else:
            with pytest.raises(EcrRefused) as refused:
                held.complete(blobs, upload.identity, [digest], 0.0)
            assert refused.value.code == code
        held.clear()
        assert list(blobs.place.iterdir()) == [] if blobs.place else True
        blobs.close()


def test_a_part_that_was_not_written_leaves_the_upload_as_it_was(tmp_path: object) -> None:
    """The disk may be full in the middle of a part."""
    blobs = Blobs(str(tmp_path))
    upload = blobs.begin(0.0)
    upload.append(b"first")
    path, upload.path = upload.path, upload.path.with_name("none")

    with pytest.raises(FileNotFoundError):
        upload.append(b"second")

    upload.path = path
    upload.append(b"third")
    assert upload.digest == f"sha256:{hashlib.sha256(b'firstthird').hexdigest()}"
    assert path.read_bytes() == b"firstthird"
