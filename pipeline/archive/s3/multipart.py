"""A multipart upload to S3 that is either complete or gone.

Owns the parts, their order and limits, and the two ways in which S3 can leave one in doubt: a completion that
fails after it has worked, and an upload that nobody completes. It refuses to know what the parts contain.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

    from pipeline.archive.s3.sources import S3Source
    from pipeline.state_data.checked_types import TargetFacts

MIN_PART: Final = 5 * MiB
"""Amazon S3 multipart upload limits: every part but the last."""
MAX_PARTS: Final = 10_000
COPY_PART: Final = 256 * MiB
"""S3 copies a part in one go; this many bytes keep several copies busy for an ordinary archive."""
WORKERS: Final = 8
"""Below boto3's pool of ten connections."""
CONTENT: Final = "sealift-content"
"""The object's metadata: what it was made of."""
RETIRED: Final = "sealift:retired-at"
"""The tag of an archive that no model reads any more; it may be deleted at any time from a while later on."""
_CONTENT_TYPE: Final = "application/gzip"
_FORMAT: Final = 2
"""Goes up when equal content would give other bytes."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an archive is to lie: under a key made of its content, so that it never changes."""

    bucket: str
    key: str
    content: str
    """A digest of what the archive is made of; also in the object's metadata."""

    def to_json(self) -> TargetFacts:
        """Return it as one state hands it to another."""
        return {"bucket": self.bucket, "key": self.key, "content": self.content}

    @property
    def metadata(self) -> dict[str, str]:
        """Return what the object says of itself."""
        return {CONTENT: self.content}

    def holds(self, client: S3Client, size: int) -> bool:
        """Tell whether the archive is there already, to stay: one that is marked as retired is written again."""
        try:
            head = client.head_object(Bucket=self.bucket, Key=self.key)
        except ClientError as error:
            # Without s3:ListBucket a missing key reads as 403.
            if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey", "403"}:
                return False
            raise
        if head["ContentLength"] != size or head["Metadata"].get(CONTENT) != self.content:
            return False
        return retired_at(client, self.bucket, self.key, head.get("VersionId")) is None

    def put(self, client: S3Client, body: bytes) -> None:
        """Write a small archive in one go."""
        client.put_object(
            Bucket=self.bucket, Key=self.key, Body=body, Metadata=self.metadata, ContentType=_CONTENT_TYPE
        )

    def copy(self, client: S3Client, source: S3Source) -> None:
        """Let S3 copy an archive of at most 5 GiB in one go."""
        client.copy_object(
            Bucket=self.bucket,
            Key=self.key,
            CopySource=_origin(source),
            CopySourceIfMatch=source.etag,
            MetadataDirective="REPLACE",
            Metadata=self.metadata,
            # The default copies the upload's tags, which takes a permission to read them and one to write them.
            TaggingDirective="REPLACE",
            ContentType=_CONTENT_TYPE,
        )


def retired_at(client: S3Client, bucket: str, key: str, version: str | None) -> str | None:
    """Return when a version of an archive was marked as retired; None when it was not, or is gone."""
    which: dict[str, Any] = {"VersionId": version} if version else {}
    try:
        tags = client.get_object_tagging(Bucket=bucket, Key=key, **which)["TagSet"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey", "NoSuchVersion"}:
            return None
        raise
    return next((tag["Value"] for tag in tags if tag["Key"] == RETIRED), None)


def target_for(bucket: str, prefix: str, origin: str, code: str) -> Target:
    """Return the target of what is made of this origin and this code, each named by its content."""
    content = hashlib.sha256(f"{_FORMAT} {origin} {code}".encode()).hexdigest()
    return Target(bucket, f"{prefix}{content[:40]}/model.tar.gz", content)


class MultipartUpload:
    """Parts written and copied in parallel; leaving the block without `complete` aborts the upload."""

    def __init__(self, client: S3Client, target: Target) -> None:
        self._client = client
        self._target = target
        self._bucket = target.bucket
        self._key = target.key
        self._upload_id = ""
        self._pool = ThreadPoolExecutor(WORKERS, "upload")
        self._parts: list[Future[CompletedPartTypeDef]] = []
        self._completed = False

    def __enter__(self) -> Self:
        reply = self._client.create_multipart_upload(
            Bucket=self._bucket, Key=self._key, Metadata=self._target.metadata, ContentType=_CONTENT_TYPE
        )
        self._upload_id = reply["UploadId"]
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Parts under way would outlive an abort, and be paid for: first they have to end.
        self._pool.shutdown(cancel_futures=True)
        if self._completed:
            return
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
        except (ClientError, BotoCoreError) as refusal:
            if error is not None:
                error.add_note(f"the multipart upload {self._upload_id} could not be aborted: {refusal}")

    def put(self, body: bytes) -> None:
        """Upload the next part."""
        self._add(self._pool.submit(self._put, len(self._parts) + 1, body))

    def copy(self, source: S3Source, start: int, end: int) -> None:
        """Let S3 copy the next part out of an object."""
        self._add(self._pool.submit(self._copy, len(self._parts) + 1, source, start, end))

    def settle(self, most: int) -> None:
        """Wait until at most `most` parts are under way; raise what a part has raised."""
        while len(under_way := [part for part in self._parts if not part.done()]) > most:
            wait(under_way, return_when="FIRST_COMPLETED")
        for part in self._parts:
            if part.done():
                part.result()

    def complete(self, size: int) -> None:
        """Put the parts together; `size` is what the object must have."""
        parts = [part.result() for part in self._parts]
        try:
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": parts},
            )
        except (ClientError, BotoCoreError) as error:
            # S3 may answer 200 and then an error, and a repeated completion finds the upload gone. The object
            # itself says whether it worked.
            if _means_no(error) or not self._target.holds(self._client, size):
                raise
        self._completed = True

    def _add(self, part: Future[CompletedPartTypeDef]) -> None:
        self._parts.append(part)

    def _put(self, number: int, body: bytes) -> CompletedPartTypeDef:
        reply = self._client.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=self._upload_id, PartNumber=number, Body=body
        )
        return {"ETag": reply["ETag"], "PartNumber": number}

    def _copy(self, number: int, source: S3Source, start: int, end: int) -> CompletedPartTypeDef:
        reply = self._client.upload_part_copy(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            CopySource=_origin(source),
            CopySourceIfMatch=source.etag,
            CopySourceRange=f"bytes={start}-{end - 1}",
        )
        return {"ETag": reply["CopyPartResult"]["ETag"], "PartNumber": number}


def copy_ranges(start: int, end: int, *, part: int = COPY_PART) -> Iterator[tuple[int, int]]:
    """Yield ranges of nearly equal length that make up the whole, each fit to be a part.

    The whole must have at least `MIN_PART` bytes.
    """
    length = end - start
    count = max(1, min(-(-length // part), length // MIN_PART, MAX_PARTS - 2))
    for number in range(count):
        yield start + length * number // count, start + length * (number + 1) // count


def _origin(source: S3Source) -> CopySourceTypeDef:
    origin: CopySourceTypeDef = {"Bucket": source.bucket, "Key": source.key}
    if source.version_id:
        origin["VersionId"] = source.version_id
    return origin


def _means_no(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code", "")
    return 400 <= status < 500 and code != "NoSuchUpload"
