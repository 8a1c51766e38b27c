"""Where the record of an image lies that is being made, and is written and read.

By it a call that comes again goes on, and the sweeper and a rollback know who claimed an image last. Refuses records of
another version: the upload then begins again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from pipeline.aws import records, service_errors
from pipeline.state_data.image_types import RECORD_VERSION, ImageRecord

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

PREFIX: Final = "records/images/"


def key(tag: str) -> str:
    """Return the key of an image's record in the artifact bucket."""
    return f"{PREFIX}{tag}.json"


def read(client: S3Client, bucket: str, tag: str) -> ImageRecord | None:
    """Return the record of an image; None where there is none that can be read."""
    return records.read(client, (bucket, key(tag)), ImageRecord, RECORD_VERSION)


def write(client: S3Client, bucket: str, tag: str, record: ImageRecord) -> None:
    """Write the record of an image, in the place of an older one."""
    records.write(client, (bucket, key(tag)), record)


def claimed_at(client: S3Client, bucket: str, tag: str) -> datetime | None:
    """Return when an image was claimed last, or worked on; None where nothing tells."""
    try:
        return client.head_object(Bucket=bucket, Key=key(tag))["LastModified"]
    except ClientError as error:
        if service_errors.is_no_such_key(error):
            return None
        raise
