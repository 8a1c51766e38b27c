"""Objects that are larger than the local cloud's memory may grow: written, put together, copied, listed and read."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

TOP = Path(__file__).resolve().parents[3]
MIB = 1 << 20
SIZE = 300 * MIB
GROWTH = 100 * MIB
"""A third of the object, of which moto alone would hold three and more copies."""


class Cloud:
    """The gateway with its S3 in a process of its own, whose memory can be told."""

    def __init__(self, process: subprocess.Popen[bytes], client: S3Client) -> None:
        self._status = Path(f"/proc/{process.pid}/status")
        self.client = client

    @property
    def peak(self) -> int:
        """The bytes that were resident at most, ever."""
        found = re.search(r"^VmHWM:\s+(\d+) kB$", self._status.read_text(), re.MULTILINE)
        assert found
        return int(found[1]) * 1024


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A bucket "artifacts", warm."""
    command = [sys.executable, str(TOP / "benchmarks" / "bucket.py"), str(tmp_path)]
    environment = {"PYTHONPATH": str(TOP), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        client: Any = boto3.client(
            "s3",
            endpoint_url=process.stdout.readline().decode().strip(),
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        versions = {"Bucket": "artifacts", "VersioningConfiguration": {"Status": "Enabled"}}
        client.put_bucket_versioning(**versions)
        client.put_object(Bucket="artifacts", Key="little", Body=b"little")
        try:
            yield Cloud(process, client)
        finally:
            process.communicate()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of which no two mebibytes are alike."""
    path = tmp_path / "large"
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for n in range(SIZE // MIB):
            file.write(n.to_bytes(8, "big") + block[8:])
    return path


def md5(pieces: Any) -> str:
    """Return the MD5 of what comes in pieces."""
    made = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        made.update(piece)
    return made.hexdigest()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell a peak here")
def test_memory_does_not_grow_with_an_object(cloud: Cloud, large: Path) -> None:
    """By one PutObject, in parts, by parts that S3 copies, by CopyObject; listed with its versions, and read whole."""
    client, before = cloud.client, cloud.peak
    with large.open("rb") as file:
        wanted = md5(iter(lambda: file.read(MIB), b""))
        file.seek(0)
        tag = client.put_object(Bucket="artifacts", Key="plain", Body=file)["ETag"]
    client.upload_file(
        str(large),
        "artifacts",
        "parts",
        Config=TransferConfig(multipart_chunksize=64 * MIB, max_concurrency=2),
    )
    client.copy_object(Bucket="artifacts", Key="copied", CopySource="artifacts/parts")
    upload = client.create_multipart_upload(Bucket="artifacts", Key="spliced")["UploadId"]
    half = SIZE // 2
    parts: Any = [
        {
            "PartNumber": number,
            "ETag": client.upload_part_copy(
                Bucket="artifacts",
                Key="spliced",
                UploadId=upload,
                PartNumber=number,
                CopySource="artifacts/parts",
                CopySourceRange=f"bytes={start}-{start + half - 1}",
            )["CopyPartResult"]["ETag"],
        }
        for number, start in ((1, half), (2, 0))
    ]
    client.complete_multipart_upload(
        Bucket="artifacts", Key="spliced", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    versions = client.list_object_versions(Bucket="artifacts")["Versions"]
    with large.open("rb") as file:
        file.seek(half)
        turned = hashlib.md5(usedforsecurity=False)
        turned.update(file.read(half))
        file.seek(0)
        turned.update(file.read(half))
    read = {
        name: md5(client.get_object(Bucket="artifacts", Key=name)["Body"].iter_chunks(MIB))
        for name in ("plain", "parts", "copied", "spliced")
    }
    last = client.get_object(Bucket="artifacts", Key="parts", Range="bytes=-7")

    assert tag.strip('"') == wanted
    assert read == {"plain": wanted, "parts": wanted, "copied": wanted, "spliced": turned.hexdigest()}
    assert {one["Key"]: one["Size"] for one in versions} == {"little": 6, **dict.fromkeys(read, SIZE)}
    assert last["ContentRange"] == f"bytes {SIZE - 7}-{SIZE - 1}/{SIZE}"
    assert last["Body"].read() == large.read_bytes()[-7:]
    assert cloud.peak - before < GROWTH


def test_what_s3_refuses_of_a_large_object_is_refused(cloud: Cloud) -> None:
    """A wrong checksum leaves nothing behind; a range after the end is no reason to read it."""
    client, body = cloud.client, os.urandom(2 * MIB)
    client.put_object(Bucket="artifacts", Key="large", Body=body)

    with pytest.raises(client.exceptions.ClientError, match="BadDigest"):
        client.put_object(Bucket="artifacts", Key="wrong", Body=body, ChecksumCRC32="AAAAAA==")
    with pytest.raises(client.exceptions.ClientError, match="InvalidRange"):
        client.get_object(Bucket="artifacts", Key="large", Range=f"bytes={2 * MIB}-")
    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        client.get_object(Bucket="artifacts", Key="large", IfMatch='"0"')

    found = client.list_objects_v2(Bucket="artifacts")["Contents"]
    assert sorted(one["Key"] for one in found) == ["large", "little"]
