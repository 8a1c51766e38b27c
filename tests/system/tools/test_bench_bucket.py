"""The benchmarks' bucket: a process that serves objects from files, and goes when it is no longer wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3

from pipeline.archive.s3.multipart import MIN_PART

TOP = Path(__file__).resolve().parents[3]


def test_an_object_is_read_and_copied_from_file_to_file(tmp_path: Path) -> None:
    """What the benchmark measures are these calls; a bucket that does not start would measure nothing."""
    content = os.urandom(MIN_PART + 5)
    (tmp_path / "seed").write_bytes(content)
    command = [
        sys.executable,
        str(TOP / "benchmarks" / "bucket.py"),
        str(tmp_path),
        f"uploads/a={tmp_path}/seed",
    ]
    environment = {"PYTHONPATH": str(TOP), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        try:
            client = boto3.client(
                "s3",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
            ranged = client.get_object(Bucket="uploads", Key="a", Range="bytes=2-6")["Body"].read()
            upload = client.create_multipart_upload(Bucket="artifacts", Key="b")["UploadId"]
            part = client.upload_part_copy(
                Bucket="artifacts",
                Key="b",
                UploadId=upload,
                PartNumber=1,
                CopySource="uploads/a",
                CopySourceRange=f"bytes=0-{len(content) - 1}",
            )
            parts = [{"ETag": part["CopyPartResult"]["ETag"], "PartNumber": 1}]
            client.complete_multipart_upload(
                Bucket="artifacts", Key="b", UploadId=upload, MultipartUpload={"Parts": parts}
            )
            copied = client.get_object(Bucket="artifacts", Key="b")["Body"].read()
        finally:
            process.communicate()

    assert (ranged, copied == content) == (content[2:7], True)
    assert process.returncode == 0
