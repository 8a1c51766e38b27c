"""Records in the artifact bucket, by which a task that comes again goes on: JSON of a dataclass with a `version`.

Owns reading and writing them. Refuses a record that cannot be read, or of another version: whoever asks begins again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from pipeline import json_codec
from pipeline.aws import service_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Versioned(Protocol):
    """What a record is."""

    @property
    def version(self) -> int:
        """Of its form."""


R = TypeVar("R", bound=Versioned)


def read(client: S3Client, place: tuple[str, str], kind: type[R], version: int) -> R | None:
    """Return a record; None where there is none of this version that can be read.

    Args:
        client: of S3.
        place: bucket and key.
        kind: the record's class.
        version: the one that is understood.
    """
    try:
        body = client.get_object(Bucket=place[0], Key=place[1])["Body"].read()
    except ClientError as error:
        if service_errors.is_no_such_key(error):
            return None
        raise
    try:
        document: Any = json.loads(body)
        found = json_codec.decode(kind, document)
    except (ValueError, RecursionError):  # a Mismatch is a ValueError
        return None
    return found if found.version == version else None


def write(client: S3Client, place: tuple[str, str], record: Versioned) -> None:
    """Write a record in the place of an older one; `place` as `read` has it."""
    body = json.dumps(json_codec.encode(record)).encode()
    client.put_object(Bucket=place[0], Key=place[1], Body=body, ContentType="application/json")
