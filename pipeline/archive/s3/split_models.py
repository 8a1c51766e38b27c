"""The files of a split model, by their names alone: which there are to be, and which of them have been uploaded.

Refuses to open one: `bare` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inference import sealift_models as models
from pipeline import naming

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_s3 import S3Client

MOST_SHARDS: Final = 1000
"""A count is a claim in a name; a model of 1000 files is larger than any volume."""


def shard_names(key: str) -> tuple[str, ...]:
    """Return the keys of all files of a model, in their order, by the key of one of them."""
    return models.shard_names(key)[:MOST_SHARDS]


def uploaded(client: S3Client, bucket: str, shards: Sequence[str]) -> dict[str, str]:
    """Return the ETag and the time of each shard that is in a bucket, by its key."""
    prefix = shards[0].removesuffix(f"-00001-of-{len(shards):05}.gguf")
    wanted = set(shards)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}-")
    return {
        one["Key"]: f"{one['ETag']} {one['LastModified'].isoformat()}"
        for page in pages
        for one in page.get("Contents", ())
        if one["Key"] in wanted
    }


def execution_name(bucket: str, first: str, there: Mapping[str, str]) -> str:
    """Return the name of the one execution for a whole set of shards, whichever event finds it whole.

    Args:
        bucket: where they are.
        first: the first one's key.
        there: all of them, as `uploaded` returns them.
    """
    return naming.execution_name(bucket, first, "", naming.digest(there))


def is_shard(name: str) -> bool:
    """Tell whether a file is one of a split model's, by its name."""
    return models.SHARD_NAME.match(name) is not None
