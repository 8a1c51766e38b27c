"""Archives in S3, and what other tools make of ours."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import struct
import subprocess
import tarfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from botocore.exceptions import ClientError, ResponseStreamingError
from botocore.stub import Stubber
from moto import mock_aws

from pipeline.archive.inspect import inspect
from pipeline.archive.pack import pack
from pipeline.archive.sources import S3Source
from pipeline.archive.verify import verify
from pipeline.errors import AccessDenied, ArchiveNotFound, InvalidArchive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

BUCKET = "uploads"
KEY = "models/demo/model.tar.gz"


def model(weights: int = 1 << 18) -> bytes:
    """Return a GGUF with one tensor of random weights."""
    key = b"general.architecture"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", len(key)) + key
    head += struct.pack("<IQ", 8, 5) + b"llama"
    head += struct.pack("<Q", 1) + b"w" + struct.pack("<IQIQ", 1, weights, 0, 0)
    return head + bytes(-len(head) % 32) + random.Random(1).randbytes(4 * weights)


def archive(members: dict[str, bytes]) -> bytes:
    """Return a tar.gz of names and contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1)


GOOD = {"code/inference.py": b"pass\n", "model.gguf": model()}


@pytest.fixture
def client() -> Iterator[S3Client]:
    """An S3 in this process, with one versioned bucket."""
    with mock_aws():
        client = boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def plain_client() -> S3Client:
    """A client whose answers a Stubber gives."""
    return boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )


def test_an_object_is_inspected_and_verified_where_it_lies(client: S3Client) -> None:
    """Both looks work on ranged reads, and tell which object they saw."""
    data = archive(GOOD)
    version = client.put_object(Bucket=BUCKET, Key=KEY, Body=data)["VersionId"]
    source = S3Source(client, BUCKET, KEY)

    quick, thorough = inspect(source), verify(source)

    assert quick.verdict == thorough.verdict == "accepted"
    assert quick.name == f"s3://{BUCKET}/{KEY}"
    assert thorough.identity["version_id"] == version
    assert thorough.size == len(data)


def test_a_version_is_read_to_its_end_while_a_newer_one_arrives(client: S3Client) -> None:
    """The reader is pinned to what it saw first."""
    data = archive(GOOD)
    client.put_object(Bucket=BUCKET, Key=KEY, Body=data)
    source = S3Source(client, BUCKET, KEY)
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"newer")

    assert source.read(0, len(data)) == data
    assert verify(source).verdict == "accepted"


def test_an_older_version_can_be_asked_for(client: S3Client) -> None:
    """The input may name the version."""
    old = client.put_object(Bucket=BUCKET, Key=KEY, Body=b"old")["VersionId"]
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"newer")

    source = S3Source(client, BUCKET, KEY, old)

    assert (source.size, source.read(0, 9)) == (3, b"old")


def test_without_versions_a_change_under_the_reader_is_noticed(client: S3Client) -> None:
    """The ETag is asked for with every range."""
    client.create_bucket(Bucket="unversioned")
    client.put_object(Bucket="unversioned", Key=KEY, Body=b"old")
    source = S3Source(client, "unversioned", KEY)
    client.put_object(Bucket="unversioned", Key=KEY, Body=b"new")

    with pytest.raises(InvalidArchive) as refusal:
        source.read(0, 3)

    assert [problem.error for problem in refusal.value.problems] == ["ObjectChanged"]


def test_an_empty_object_is_refused_by_name(client: S3Client) -> None:
    """No range of an empty object can be asked for, and none is."""
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"")

    report = inspect(S3Source(client, BUCKET, KEY))

    assert [problem.error for problem in report.problems] == ["EmptyObject"]


@pytest.mark.parametrize(
    ("bucket", "version"),
    [pytest.param(BUCKET, None, id="no key"), pytest.param("absent", None, id="no bucket")],
)
def test_a_missing_object_is_not_found(client: S3Client, bucket: str, version: str | None) -> None:
    """The message has the whole address."""
    with pytest.raises(ArchiveNotFound, match=f"s3://{bucket}/{KEY}"):
        S3Source(client, bucket, KEY, version)


def test_a_deleted_object_is_not_found(client: S3Client) -> None:
    """A delete marker on top hides the versions below."""
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"x")
    client.delete_object(Bucket=BUCKET, Key=KEY)

    with pytest.raises(ArchiveNotFound):
        S3Source(client, BUCKET, KEY)


def test_a_denied_object_names_the_permission(plain_client: S3Client) -> None:
    """403 says who needs what on which object, and that a missing key looks the same."""
    with Stubber(plain_client) as stub:
        stub.add_client_error("head_object", "403", http_status_code=403)

        with pytest.raises(AccessDenied) as refusal:
            S3Source(plain_client, BUCKET, KEY)

    (problem,) = refusal.value.problems
    assert f"s3:GetObject on arn:aws:s3:::{BUCKET}/{KEY}" in problem.wanted
    assert "missing key" in problem.fix


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        pytest.param("AccessDenied", 403, AccessDenied, id="denied between two reads"),
        pytest.param("NoSuchVersion", 404, ArchiveNotFound, id="deleted between two reads"),
        pytest.param("PreconditionFailed", 412, InvalidArchive, id="changed between two reads"),
        pytest.param("InvalidObjectState", 403, InvalidArchive, id="archived"),
        pytest.param("SlowDown", 503, ClientError, id="somebody else's"),
    ],
)
def test_errors_about_the_object_are_ours_and_others_pass(
    plain_client: S3Client, code: str, status: int, error: type[Exception]
) -> None:
    """Only what concerns this object is translated here."""
    with Stubber(plain_client) as stub:
        stub.add_response(
            "head_object",
            {"ContentLength": 10, "ETag": '"e"', "LastModified": datetime(2026, 1, 1, tzinfo=UTC)},
            {"Bucket": BUCKET, "Key": KEY},
        )
        stub.add_client_error(
            "get_object",
            code,
            http_status_code=status,
            expected_params={"Bucket": BUCKET, "Key": KEY, "Range": "bytes=2-4", "IfMatch": '"e"'},
        )
        source = S3Source(plain_client, BUCKET, KEY)

        with pytest.raises(error):
            source.read(2, 3)


class Flaky:
    """A response body that breaks after some bytes."""

    def __init__(self, data: bytes, breaks_after: int | None) -> None:
        self._data = data
        self._left = breaks_after

    def read(self, amount: int) -> bytes:
        """Return the next bytes, or break."""
        if self._left is not None:
            if self._left <= 0:
                raise ResponseStreamingError(error="reset by peer")
            amount = min(amount, self._left)
            self._left -= amount
        piece, self._data = self._data[:amount], self._data[amount:]
        return piece

    def close(self) -> None:
        """Nothing to close."""


class FlakyClient:
    """As much of S3 as a source needs, over connections that break."""

    def __init__(self, data: bytes, breaks: list[int | None]) -> None:
        self.ranges: list[str] = []
        self._data = data
        self._breaks = breaks

    def head_object(self, **_: str) -> dict[str, object]:
        """Describe the object."""
        return {
            "ContentLength": len(self._data),
            "ETag": '"e"',
            "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        }

    def get_object(self, *, Range: str, **_: str) -> dict[str, object]:  # noqa: N803 - boto3's spelling
        """Return a body that may break."""
        self.ranges.append(Range)
        start, _, end = Range.removeprefix("bytes=").partition("-")
        return {"Body": Flaky(self._data[int(start) : int(end) + 1], self._breaks.pop(0))}


def test_a_broken_read_goes_on_where_it_stopped() -> None:
    """Bytes that arrived are not asked for again."""
    data = random.Random(2).randbytes(5000)
    client = FlakyClient(data, [3000, 0, 1000, None])
    source = S3Source(cast("S3Client", client), BUCKET, KEY)

    assert source.read(500, 4500) == data[500:]
    assert client.ranges == ["bytes=500-4999", "bytes=3500-4999", "bytes=3500-4999", "bytes=4500-4999"]
    assert source.bytes_read == 4500


def test_reading_that_never_gets_on_is_given_up() -> None:
    """Some connections in a row without a byte, and the error is the caller's."""
    client = FlakyClient(b"x" * 100, [0] * 9)
    source = S3Source(cast("S3Client", client), BUCKET, KEY)

    with pytest.raises(ResponseStreamingError):
        source.read(0, 100)

    assert len(client.ranges) == 4


@pytest.mark.parametrize("compress", [0, 6])
def test_gnu_tar_and_gzip_read_what_pack_writes(tmp_path: Path, compress: int) -> None:
    """Tools that share no code with us take the archive, and give the model back byte for byte."""
    (tmp_path / "tiny.gguf").write_bytes(model())
    code = {"code/inference.py": b"pass\n", f"code/{'long' * 30}/x.so": b"x"}
    pack(tmp_path / "tiny.gguf", tmp_path / "model.tar.gz", code=code, compress=compress)
    out = tmp_path / "out"
    out.mkdir()

    subprocess.run([_tool("gzip"), "-t", str(tmp_path / "model.tar.gz")], check=True)
    subprocess.run([_tool("tar"), "-xzf", str(tmp_path / "model.tar.gz"), "-C", str(out)], check=True)

    assert (out / "tiny.gguf").read_bytes() == model()
    assert {path: (out / path).read_bytes() for path in code} == code


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_every_format_of_gnu_tar_is_read(tmp_path: Path, form: str) -> None:
    """Whatever format the customer's tar defaults to, the archive is accepted."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_bytes(b"pass\n")
    (tmp_path / "model.gguf").write_bytes(model())
    archive = tmp_path / "model.tar.gz"
    subprocess.run(
        [_tool("tar"), f"--format={form}", "-czf", str(archive), "-C", str(tmp_path), "code", "model.gguf"],
        check=True,
    )

    with mock_aws():
        client = boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        client.create_bucket(Bucket=BUCKET)
        client.upload_file(str(archive), BUCKET, KEY)
        report = verify(S3Source(client, BUCKET, KEY))

    assert report.problems == ()
    assert [member.path for member in report.members] == ["code", "code/inference.py", "model.gguf"]


def _tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is needed to compare with"
    return found
