"""A suite beside its archive in the upload bucket: read whole, or refused by its own place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.errors import InvalidInput, Problem
from pipeline.quality import suite

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """One that is right by itself."""

    name: str
    place: str
    """Its URL."""
    content: bytes


def key(archive_key: str, name: str) -> str:
    """Return the key of a suite beside an archive."""
    folder, _, _ = archive_key.rpartition("/")
    return f"{folder}/{name}" if folder else name


def read(client: S3Client, bucket: str, archive_key: str, name: str) -> SuiteFile:
    """Return the suite beside an archive.

    Args:
        client: of S3.
        bucket: the archive's.
        archive_key: the archive's.
        name: of the suite, as the request has it.

    Raises:
        InvalidInput: there is none, or with every mistake in it.
    """
    own = key(archive_key, name)
    place = f"s3://{bucket}/{own}"
    try:
        content = client.get_object(Bucket=bucket, Key=own)["Body"].read(suite.LARGEST + 1)
    except ClientError as error:
        if not service_errors.is_no_such_key(error):
            raise
        fix = "upload it there, as `sealift push --input FILE` does, or leave 'quality' out"
        problem = Problem("NoSuite", "no such object", "the suite of the quality gate", fix)
        raise InvalidInput(place, [problem]) from error
    suite.parse(content, place)
    return SuiteFile(name, place, content)
