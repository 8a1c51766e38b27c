"""What objects of the local cloud hold: pieces on the disk that are shared, and gone when nobody needs them."""

from __future__ import annotations

import base64
import copy
import gc
import hashlib
import weakref
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import S3Backend, s3_backends

from local_cloud.calls import AwsCall
from local_cloud.faults import Response
from local_cloud.s3 import objects
from local_cloud.s3.arrivals import (
    LITTLE,
    received,
)
from local_cloud.s3.contents import (
    Disk,
    DiskFull,
    ObjectContent,
)

PUT = AwsCall("s3", "PutObject", "us-east-1")
LARGE = bytes(range(256)) * 8192
"""Twice what stays in memory."""


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Files in the test's own folder."""
    return Disk(str(tmp_path))


def md5(body: bytes) -> str:
    """Return an MD5 in hexadecimal."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


# ------------------------------------------------------------------------- contents


@given(pieces=st.lists(st.binary(max_size=40), max_size=6), data=st.data())
def test_a_content_is_its_bytes_however_they_are_cut(pieces: list[bytes], data: st.DataObject) -> None:
    """Joined, cut, cut again and read: what the bytes themselves would give, and their sums with it."""
    whole = b"".join(pieces)
    content = ObjectContent.joined(ObjectContent.of(piece) for piece in pieces)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole) + 3))
    part = content.part(start, end)
    again = ObjectContent.joined([content.part(0, start), part, content.part(end, len(whole))])

    assert (content.read(), content.size) == (whole, len(whole))
    assert (part.read(), part.size) == (whole[start:end], len(whole[start:end]))
    assert again.read() == whole
    assert (again.crc32(), again.md5()) == (zlib.crc32(whole), md5(whole))


def test_the_sums_of_joined_contents_are_those_of_the_whole(disk: Disk) -> None:
    """What is known of the parts is combined, and nothing is read for it."""
    parts = [disk.write([LARGE]), disk.write([b"x", LARGE]), ObjectContent.of(b"end")]
    parts[-1].crc32()
    joined = ObjectContent.joined(parts)

    assert joined.known_crc == zlib.crc32(LARGE + b"x" + LARGE + b"end")


@pytest.mark.parametrize("stated", [True, False], ids=["of a length that is known", "of any length"])
def test_what_is_written_is_read_again(disk: Disk, stated: bool) -> None:
    """Whoever writes at the same time has other places."""
    bodies = [bytes([n]) * (n * 700_001) for n in range(1, 6)]
    contents = [disk.write([body[:5], body[5:]], len(body) if stated else None) for body in bodies]

    assert [content.read() for content in contents] == bodies
    assert [content.size for content in contents] == [len(body) for body in bodies]
    assert [content.md5() for content in contents] == [md5(body) for body in bodies]
    assert max(len(piece) for content in contents for piece in content.stream()) <= LITTLE


def test_a_file_lasts_as_long_as_somebody_needs_a_piece_of_it(disk: Disk) -> None:
    """The disk's room comes back with the last copy or part, and no file has a name to be left over."""
    content = disk.write([LARGE])
    volume = weakref.ref(content.pieces[0].volume)
    disk._volume = None
    part, same = content.part(5, 9), copy.deepcopy(content)

    assert same is content
    assert list(Path(disk.folder).iterdir()) == []
    del content, same
    gc.collect()
    assert part.read() == LARGE[5:9]
    del part
    gc.collect()
    assert volume() is None


@pytest.fixture
def backend() -> Iterator[S3Backend]:
    """A moto with a bucket of versions and a bucket of none."""
    objects.install()
    with mock_aws():
        made = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for name in ("versions", "plain"):
            made.create_bucket(name, "us-east-1")
        made.put_bucket_versioning("versions", "Enabled")
        yield made


def replaced(backend: S3Backend, content: ObjectContent) -> None:
    """Put an object where there are no versions, and another one in its place."""
    backend.put_object("plain", "a", content)
    backend.put_object("plain", "a", b"newer")


def deleted(backend: S3Backend, content: ObjectContent) -> None:
    """Delete a version, after its bucket was listed."""
    key = backend.put_object("versions", "a", content)
    backend.list_object_versions("versions")
    backend.delete_object("versions", "a", key.version_id)


def put_together(backend: S3Backend, content: ObjectContent) -> None:
    """Delete what was put together of a part and copied, and the copy."""
    upload = backend.create_multipart_upload("versions", "a", {}, "STANDARD", {}, None, "", "")
    part = upload.set_part(1, content)
    key = backend.complete_multipart_upload("versions", upload.id, iter([(1, part.etag)]))
    backend.copy_object(key, "plain", "b")
    backend.delete_object("plain", "b")
    backend.delete_object("versions", "a", key.version_id)


def aborted(backend: S3Backend, content: ObjectContent) -> None:
    """Abort an upload that has a part."""
    upload = backend.create_multipart_upload("plain", "a", {}, "STANDARD", {}, None, "", "")
    upload.set_part(1, content)
    backend.abort_multipart_upload("plain", upload.id)


@pytest.mark.parametrize("way", [replaced, deleted, put_together, aborted])
def test_what_no_object_holds_any_more_is_gone(
    backend: S3Backend, disk: Disk, way: Callable[[S3Backend, ObjectContent], None]
) -> None:
    """Moto remembers every object that there ever was; the disk would fill up with them."""
    content = disk.write([LARGE])
    there = weakref.ref(content)
    way(backend, content)
    del content
    gc.collect()

    assert there() is None


def test_what_moto_makes_no_object_of_is_gone(disk: Disk) -> None:
    """A bucket that there is not, a precondition that fails: with the request goes its body."""
    seen = received(PUT, request(LARGE), disk)
    assert isinstance(seen, dict)
    there = weakref.ref(seen["sealift.content"])
    del seen
    gc.collect()

    assert there() is None


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """Where, how much there is, how much is needed, and what to do."""
    size = 1 << 30
    enough = size + (256 << 20)
    told = rf"in {tmp_path}, where 1279 MiB are free; wanted 1024 MiB and 256 MiB to spare; .*TMPDIR"

    with pytest.raises(DiskFull, match=told):
        Disk(str(tmp_path), free=lambda _folder: enough - 1).write([b"x"], size)
    assert Disk(str(tmp_path), free=lambda _folder: enough).write([b"x"], size).read() == b"x"


# ------------------------------------------------------------------------- arrivals


def request(body: bytes, **headers: str) -> dict[str, Any]:
    """Return a request as WSGI has it."""
    return {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body)), **headers}


def chunked(pieces: list[bytes], trailers: dict[str, str], *, signed: bool) -> bytes:
    """Return a body in aws-chunked."""
    signature = b";chunk-signature=" + b"0" * 64 if signed else b""
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), signature, piece) for piece in pieces if piece]
    lines = [f"{name}:{value}\r\n".encode() for name, value in trailers.items()]
    return b"".join([*chunks, b"0%b\r\n" % signature, *lines, b"\r\n"])


def digest(body: bytes, algorithm: str) -> str:
    """Return a digest as S3 spells it."""
    return base64.b64encode(hashlib.new(algorithm, body, usedforsecurity=False).digest()).decode()


def crc(body: bytes) -> str:
    """Return a CRC-32 as S3 spells it."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def of_chunks(body: bytes, size: int) -> dict[str, Any]:
    """Return the request of a body in aws-chunked."""
    headers = {
        "HTTP_X_AMZ_CONTENT_SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "HTTP_X_AMZ_DECODED_CONTENT_LENGTH": str(size),
        "HTTP_CONTENT_ENCODING": "gzip, aws-chunked",
        "HTTP_X_AMZ_TRAILER": "x-amz-checksum-crc32",
    }
    return request(body, **headers)


def refused(found: dict[str, Any] | Response) -> str:
    """Return the code of a refusal."""
    assert isinstance(found, Response)
    return found.body.decode().partition("<Code>")[2].partition("<")[0]


@given(pieces=st.lists(st.binary(max_size=50), max_size=5), signed=st.booleans(), data=st.data())
def test_chunks_are_put_together_or_refused(pieces: list[bytes], signed: bool, data: st.DataObject) -> None:
    """Whatever they are cut into; and a body that ends before its end is never taken for the whole."""
    whole = b"".join(pieces)
    body = chunked(pieces, {"x-amz-checksum-crc32": crc(whole)}, signed=signed)
    seen = received(PUT, of_chunks(body, len(whole)), Disk())
    kept = body.rindex(b"0", 0, body.rindex(b"\r\n", 0, body.index(b"x-amz")))
    cut = data.draw(st.integers(0, max(kept - 1, 0)))
    short = received(PUT, of_chunks(body[:cut], len(whole)), Disk())

    assert isinstance(seen, dict)
    assert seen["wsgi.input"].read() == whole
    assert seen["HTTP_X_AMZ_CHECKSUM_CRC32"] == crc(whole)
    assert seen["HTTP_CONTENT_ENCODING"] == "gzip"
    assert "HTTP_X_AMZ_DECODED_CONTENT_LENGTH" not in seen
    assert refused(short) == "IncompleteBody"


@pytest.mark.parametrize("body", [b"", b"little", LARGE], ids=["nothing", "little", "large"])
@pytest.mark.parametrize(
    ("header", "right"),
    [
        pytest.param("HTTP_X_AMZ_CHECKSUM_CRC32", crc, id="CRC-32"),
        pytest.param(
            "HTTP_X_AMZ_CHECKSUM_SHA256",
            lambda body: digest(body, "sha256"),
            id="SHA-256",
        ),
        pytest.param(
            "HTTP_X_AMZ_CHECKSUM_SHA1",
            lambda body: digest(body, "sha1"),
            id="SHA-1",
        ),
        pytest.param(
            "HTTP_CONTENT_MD5",
            lambda body: digest(body, "md5"),
            id="MD5",
        ),
    ],
)
def test_a_checksum_is_compared(disk: Disk, body: bytes, header: str, right: Any) -> None:
    """As S3 does, whatever the size; moto compares none."""
    assert isinstance(received(PUT, request(body, **{header: right(body)}), disk), dict)
    assert refused(received(PUT, request(body, **{header: right(body + b"x")}), disk)) == "BadDigest"


def test_a_checksum_that_is_only_named_is_computed_of_the_body(disk: Disk) -> None:
    """Not of what moto gets in its place; one that is not known here is not told at all."""
    named = received(PUT, request(LARGE, HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM="CRC32"), disk)
    unknown = received(PUT, request(LARGE, HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM="CRC64NVME"), disk)

    assert isinstance(named, dict)
    assert named["HTTP_X_AMZ_CHECKSUM_CRC32"] == crc(LARGE)
    assert isinstance(unknown, dict)
    assert "HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM" not in unknown


@pytest.mark.parametrize("body", [b"little", LARGE], ids=["little", "large"])
def test_a_body_that_is_cut_off_is_refused(disk: Disk, body: bytes) -> None:
    """The connection ended; moto would take what came for the whole."""
    cut = {**request(body[:-1]), "CONTENT_LENGTH": str(len(body))}

    assert refused(received(PUT, cut, disk)) == "IncompleteBody"


def test_what_is_too_large_for_one_request_is_refused_unread(disk: Disk) -> None:
    """S3 takes 5 GiB at once."""
    limit = 5 << 30
    body: dict[str, Any] = {**request(b""), "wsgi.input": None, "CONTENT_LENGTH": str(limit + 1)}

    assert refused(received(PUT, body, disk)) == "EntityTooLarge"


def test_a_full_disk_is_a_refusal_that_is_not_tried_again(tmp_path: Path) -> None:
    """An SDK tries 5xx again and again, and the disk stays full."""
    found = received(PUT, request(LARGE), Disk(str(tmp_path), free=lambda _folder: 0))

    assert refused(found) == "InsufficientStorage"
    assert isinstance(found, Response)
    assert found.status == 400
