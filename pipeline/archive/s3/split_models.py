"""The files of an uploaded model, by their names alone: its shards, and what lies beside it in its folder.

Owns which of them there are to be, and which have been uploaded. Refuses to open one: `bare` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from inference import sealift_models as models
from pipeline import naming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

MOST_SHARDS: Final = 1000
"""A count is a claim in a name; a model of 1000 files is larger than any volume."""


def shard_names(key: str) -> tuple[str, ...]:
    """Return the keys of all files of a model, in their order, by the key of one of them."""
    return models.shard_names(key)[:MOST_SHARDS]


@dataclass(frozen=True, slots=True)
class Upload:
    """A model in its folder of a bucket, as far as it is there."""

    first: str
    """The key of its first file, which stands for all."""
    there: Mapping[str, str]
    """ETag and time of each of its files, and of what lies beside it, by key."""
    missing: tuple[str, ...] = ()
    """Keys of what is not there yet; a pattern where no one model is there for what lies beside it."""

    @property
    def alone(self) -> bool:
        """Tell whether it is one file and nothing else."""
        return len(self.there) + len(self.missing) == 1


def uploaded(client: S3Client, bucket: str, key: str) -> Upload:
    """Return what has been uploaded of a model.

    Args:
        client: of the bucket.
        bucket: where its folder is.
        key: of any of its files, or of anything that lies beside it.
    """
    folder = key[: key.rfind("/") + 1]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder, Delimiter="/")
    listed = {
        one["Key"]: f"{one['ETag']} {one['LastModified'].isoformat()}"
        for page in pages
        for one in page.get("Contents", ())
        if models.is_model(one["Key"])
    }
    beside = [one for one in sorted(listed) if models.companion_kind(one)]
    if models.companion_kind(key):
        found = models.models(set(listed).difference(beside))
        if len(found) != 1:
            wanted = f"{folder}*{models.SUFFIX}"
            return Upload(wanted, {}, (wanted,))
        key = found[0][0]
    shards = shard_names(key)
    there = {one: listed[one] for one in (*shards, *beside) if one in listed}
    return Upload(shards[0], there, tuple(one for one in shards if one not in listed))


def execution_name(bucket: str, first: str, there: Mapping[str, str]) -> str:
    """Return the name of the one execution for a whole set of files, whichever event finds it whole.

    Args:
        bucket: where they are.
        first: the first one's key.
        there: all of them, as `uploaded` returns them.
    """
    return naming.execution_name(bucket, first, "", naming.digest(there))


def is_shard(name: str) -> bool:
    """Tell whether a file is one of a split model's, by its name."""
    return models.SHARD_NAME.match(name) is not None
