"""The `deployment.json` beside an archive in a bucket: read whole or refused, by its own place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.errors import InvalidInput, Problem
from pipeline.planning import request_sources

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def place(bucket: str, key: str) -> str:
    """Return what the settings beside an archive are called in a message."""
    return f"s3://{bucket}/{request_sources.sidecar_key(key)}"


def read(client: S3Client, bucket: str, key: str) -> Any:
    """Return the settings beside an archive; None when there are none.

    Args:
        client: of S3.
        bucket: the archive's.
        key: the archive's.

    Raises:
        InvalidInput: they are no JSON, or more than settings are.
    """
    try:
        body = client.get_object(Bucket=bucket, Key=request_sources.sidecar_key(key))["Body"].read(
            request_sources.SIDECAR_LIMIT + 1
        )
    except ClientError as error:
        if service_errors.is_no_such_key(error):
            return None
        raise
    where = place(bucket, key)
    if len(body) > request_sources.SIDECAR_LIMIT:
        seen, wanted = (
            f"more than {request_sources.SIDECAR_LIMIT} bytes",
            f"at most {request_sources.SIDECAR_LIMIT}",
        )
        raise InvalidInput(where, [Problem("TooLarge", seen, wanted, "keep only settings in it")])
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        seen, wanted = f"no JSON ({error})", "a JSON object of settings"
        raise InvalidInput(where, [Problem("NotJson", seen, wanted, "correct or delete it")]) from error
