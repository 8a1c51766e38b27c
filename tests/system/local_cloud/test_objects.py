"""Ranged reads of the local cloud's S3: moto's answer, without moto's copy of the whole object."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from local_cloud.cloud import LocalCloud

BODY = bytes(range(256)) * 64


@pytest.fixture
def key(cloud: LocalCloud) -> str:
    """An object with an older version."""
    bucket = cloud.outputs["UploadBucketName"]
    cloud.clients.s3.put_object(Bucket=bucket, Key="plain/object", Body=b"older")
    cloud.clients.s3.put_object(Bucket=bucket, Key="plain/object", Body=BODY, Metadata={"kind": "test"})
    return "plain/object"


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        pytest.param("bytes=0-0", BODY[:1], id="first byte"),
        pytest.param("bytes=100-299", BODY[100:300], id="middle"),
        pytest.param("bytes=16000-", BODY[16000:], id="open end"),
        pytest.param("bytes=16000-99999", BODY[16000:], id="beyond the end"),
        pytest.param("bytes=-10", BODY[-10:], id="suffix, which moto answers"),
    ],
)
def test_a_range_is_just_these_bytes(cloud: LocalCloud, key: str, wanted: str, body: bytes) -> None:
    """Bytes, Content-Range, ETag and metadata are what S3 gives."""
    bucket = cloud.outputs["UploadBucketName"]

    reply = cloud.clients.s3.get_object(Bucket=bucket, Key=key, Range=wanted)

    assert reply["Body"].read() == body
    assert reply["ContentLength"] == len(body)
    assert reply["ContentRange"].endswith(f"/{len(BODY)}")
    assert reply["Metadata"] == {"kind": "test"}
    assert reply["ETag"] == cloud.clients.s3.head_object(Bucket=bucket, Key=key)["ETag"]


def test_a_range_of_an_older_version(cloud: LocalCloud, key: str) -> None:
    """The version that was requested is read, not the newest."""
    bucket = cloud.outputs["UploadBucketName"]
    versions = cloud.clients.s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    older = next(one["VersionId"] for one in versions if one["Size"] == 5)

    reply = cloud.clients.s3.get_object(Bucket=bucket, Key=key, VersionId=older, Range="bytes=1-2")

    assert reply["Body"].read() == b"ld"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param({"Range": "bytes=99999-"}, "InvalidRange", id="after the end"),
        pytest.param({"Range": "bytes=0-1", "IfMatch": '"0"'}, "PreconditionFailed", id="another ETag"),
        pytest.param({"Range": "bytes=0-1", "Key": "plain/none"}, "NoSuchKey", id="no such object"),
    ],
)
def test_what_s3_refuses_is_refused(
    cloud: LocalCloud, key: str, arguments: dict[str, str], code: str
) -> None:
    """With the error of a GetObject, not the bare status of a HeadObject."""
    bucket = cloud.outputs["UploadBucketName"]

    with pytest.raises(ClientError) as refused:
        cloud.clients.s3.get_object(**{"Bucket": bucket, "Key": key, **arguments})

    assert refused.value.response["Error"]["Code"] == code
