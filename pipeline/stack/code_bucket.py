"""The bucket for code: where CloudFormation finds the functions' zips and the template of a deployment.

One for an account and a region, whatever the number of stacks: it must be there before the first of them. It has no
versions, since every key is made of its content. Refuses a bucket of its name that belongs to another account.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.errors import NameConflict, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import CreateBucketRequestTypeDef

    from pipeline.stack.bundles import Code

AT_ONCE: Final = 4
"""Objects that are uploaded side by side."""
KEYS: Final = 1000
"""Keys in a page, and in a call that deletes (service model)."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The bucket of an account and a region."""

    account_id: str
    region: str
    partition: str = "aws"

    @property
    def name(self) -> str:
        """Its name."""
        return f"sealift-code-{self.account_id}-{self.region}"

    def policy(self) -> str:
        """Return its policy: nobody comes in by plain HTTP."""
        arn = f"arn:{self.partition}:s3:::{self.name}"
        refusal = {
            "Sid": "RefusePlainHttp",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return json.dumps({"Version": "2012-10-17", "Statement": [refusal]})


def prefix(stack: str) -> str:
    """Return what a stack's keys begin with."""
    return f"{stack}/"


def ensure(client: S3Client, bucket: Bucket) -> bool:
    """Make the bucket if it is not there; return whether it was made.

    Its settings are only made with it, so what somebody has set since stays.

    Raises:
        NameConflict: the name is another account's.
    """
    try:
        client.head_bucket(Bucket=bucket.name, ExpectedBucketOwner=bucket.account_id)
    except ClientError as error:
        if service_errors.status(error) != 404:
            raise _foreign(bucket) if service_errors.is_access_denied(error) else error from error
    else:
        return False
    request: CreateBucketRequestTypeDef = {"Bucket": bucket.name, "ObjectOwnership": "BucketOwnerEnforced"}
    # The one region that is not to be named.
    if bucket.region != "us-east-1":
        region: BucketLocationConstraintType = bucket.region  # type: ignore[assignment]
        request["CreateBucketConfiguration"] = {"LocationConstraint": region}
    try:
        client.create_bucket(**request)
    except ClientError as error:
        if service_errors.code(error) == "BucketAlreadyExists":
            raise _foreign(bucket) from error
        if service_errors.code(error) != "BucketAlreadyOwnedByYou":
            raise
    client.put_public_access_block(
        Bucket=bucket.name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
        ExpectedBucketOwner=bucket.account_id,
    )
    client.put_bucket_policy(
        Bucket=bucket.name, Policy=bucket.policy(), ExpectedBucketOwner=bucket.account_id
    )
    return True


def _foreign(bucket: Bucket) -> NameConflict:
    seen = f"the bucket {bucket.name} may not be used by this account's credentials"
    wanted = f"a bucket of account {bucket.account_id}, or none"
    fix = (
        "allow s3:ListBucket on it; if it is another account's, deploy from another region and tell its owner"
    )
    return NameConflict(f"s3://{bucket.name}", [Problem("ForeignBucket", seen, wanted, fix)])


def upload(
    client: S3Client,
    bucket: Bucket,
    stack: str,
    codes: Mapping[str, Code],
    progress: Callable[[int, int], None],
) -> dict[str, str]:
    """Upload the zips that are not there yet; return the key of each.

    Args:
        client: of S3.
        bucket: the one for code.
        stack: whose they are.
        codes: the zips, by whatever they are known by.
        progress: takes the bytes that were sent, and how many there are to send.
    """
    keys = {name: f"{prefix(stack)}{code.key}" for name, code in codes.items()}
    there = _there(client, bucket, stack)
    missing = {keys[name]: code.body for name, code in codes.items() if keys[name] not in there}
    total, sent = sum(map(len, missing.values())), 0

    def send(item: tuple[str, bytes]) -> int:
        put(client, bucket, *item)
        return len(item[1])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for size in pool.map(send, missing.items()):
            sent += size
            progress(sent, total)
    return keys


def put_template(client: S3Client, bucket: Bucket, stack: str, body: str) -> str:
    """Upload a template and return the URL by which CloudFormation takes it."""
    content = body.encode()
    key = f"{prefix(stack)}template/{hashlib.sha256(content).hexdigest()[:32]}.json"
    put(client, bucket, key, content)
    return f"{client.meta.endpoint_url.rstrip('/')}/{bucket.name}/{key}"


def put(client: S3Client, bucket: Bucket, key: str, body: bytes) -> None:
    """Write an object, into this account's bucket or nowhere."""
    client.put_object(Bucket=bucket.name, Key=key, Body=body, ExpectedBucketOwner=bucket.account_id)


def _there(client: S3Client, bucket: Bucket, stack: str) -> dict[str, tuple[int, datetime]]:
    """Return size and age of a stack's objects by their keys; none where there is no bucket."""
    found: dict[str, tuple[int, datetime]] = {}
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket.name, Prefix=prefix(stack), ExpectedBucketOwner=bucket.account_id
    )
    try:
        for page in pages:
            found |= {row["Key"]: (row["Size"], row["LastModified"]) for row in page.get("Contents", ())}
    except ClientError as error:
        if not service_errors.is_no_such_key(error):
            raise
    return found


def sizes(client: S3Client, bucket: Bucket, stack: str) -> tuple[int, int]:
    """Return how many objects a stack has in the bucket, and their bytes."""
    there = _there(client, bucket, stack)
    return len(there), sum(size for size, _ in there.values())


def prune(
    client: S3Client,
    bucket: Bucket,
    stack: str,
    *,
    keep: frozenset[str] = frozenset(),
    older_than: datetime | None = None,
) -> int:
    """Delete a stack's objects but those whose keys are to be kept and those that are newer; return how many."""
    going = [
        key
        for key, (_, written) in sorted(_there(client, bucket, stack).items())
        if key not in keep and (older_than is None or written < older_than)
    ]
    for n in range(0, len(going), KEYS):
        client.delete_objects(
            Bucket=bucket.name,
            Delete={"Objects": [{"Key": key} for key in going[n : n + KEYS]], "Quiet": True},
            ExpectedBucketOwner=bucket.account_id,
        )
    return len(going)
