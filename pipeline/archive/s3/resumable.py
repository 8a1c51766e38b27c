"""A file's way into a bucket, in parts with checksums: one that was cut off is resumed.

Owns which parts of a file S3 has already. An unfinished upload tells neither what it is made of nor by whom, so its
parts are compared with the file's by size and checksum: one part that differs, and it is somebody else's. Unlike
`multipart`, which is for archives made on the way, it never aborts: what was sent is worth keeping. The bucket's
lifecycle removes what nobody comes back for.
"""

from __future__ import annotations

import base64
import io
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.archive.checks.checksum import PACKED
from pipeline.archive.formats import deflate
from pipeline.archive.s3.multipart import MAX_PARTS
from pipeline.aws import service_errors
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from pipeline.archive.s3.sources import Source

PART: Final = 16 * MiB
"""What is lost of a part when it is cut off, and what each worker holds in memory."""
WORKERS: Final = 4
_READ: Final = 4 * MiB


@dataclass(frozen=True, slots=True)
class Cut:
    """A file in parts, each with its CRC-32."""

    size: int
    part: int
    """Bytes of every part but the last."""
    sums: tuple[int, ...]

    @property
    def whole(self) -> int:
        """Return the CRC-32 of the whole file."""
        total = self.sums[0]
        for number in range(2, len(self.sums) + 1):
            total = deflate.crc32_combine(total, self.sums[number - 1], self.length(number))
        return total

    def length(self, number: int) -> int:
        """Return how many bytes a part has; the first one is 1."""
        return min(self.part, self.size - (number - 1) * self.part)


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload that is not finished."""

    upload_id: str
    parts: Mapping[int, str] = field(default_factory=dict)
    """The ETags of the parts that S3 has, by their numbers."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An object that was uploaded."""

    bucket: str
    key: str
    version_id: str | None
    size: int
    resumed: int = 0
    """Bytes that were there already."""


def part_size(size: int) -> int:
    """Return the size of the parts of a file, the same for the same file, so that an upload can be resumed."""
    least = -(-size // MAX_PARTS)
    return max(PART, -(-least // MiB) * MiB)


def cut(source: Source, *, progress: Callable[[int, int], None] | None = None) -> Cut:
    """Return a file's parts with their checksums; reads all of it."""
    part = part_size(source.size)
    sums = []
    for start in range(0, source.size, part):
        crc, end = 0, min(start + part, source.size)
        for at in range(start, end, _READ):
            crc = deflate.crc32(source.read(at, min(_READ, end - at)), crc)
            if progress:
                progress(min(at + _READ, end), source.size)
        sums.append(crc)
    return Cut(source.size, part, tuple(sums))


def spelled(crc: int) -> str:
    """Return a CRC-32 as S3 spells it."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def kept(pieces: Cut, listed: Iterable[Mapping[str, Any]]) -> dict[int, str] | None:
    """Return the ETags of the parts that S3 has of a file, by number; None when the upload is of something else.

    Args:
        pieces: the file's parts.
        listed: the parts that ListParts tells of.
    """
    found = {}
    for one in listed:
        number = int(one["PartNumber"])
        if not 1 <= number <= len(pieces.sums) or one["Size"] != pieces.length(number):
            return None
        if one.get("ChecksumCRC32") != spelled(pieces.sums[number - 1]):
            return None
        found[number] = str(one["ETag"])
    return found


def is_there(client: S3Client, bucket: str, key: str, pieces: Cut) -> bool:
    """Tell whether a bucket has this very file, by the checksum that S3 compared when it was uploaded."""
    try:
        head = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        # Without s3:ListBucket a missing key reads as 403.
        if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey", "403"}:
            return False
        raise
    sums = (head.get("ChecksumType"), head.get("ChecksumCRC32"))
    return head["ContentLength"] == pieces.size and sums == ("FULL_OBJECT", spelled(pieces.whole))


def unfinished(client: S3Client, bucket: str, key: str, pieces: Cut) -> Begun | None:
    """Return the unfinished upload that has most of this file; None when none has any of it."""
    best: Begun | None = None
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
        for upload in page.get("Uploads", ()):
            sums = (upload.get("ChecksumAlgorithm"), upload.get("ChecksumType"))
            if upload["Key"] != key or sums != ("CRC32", "FULL_OBJECT"):
                continue
            parts = _parts(client, bucket, key, upload["UploadId"])
            found = kept(pieces, parts) if parts else None
            if found and len(found) > (len(best.parts) if best else 0):
                best = Begun(upload["UploadId"], found)
    return best


def begin(client: S3Client, bucket: str, key: str, metadata: Mapping[str, str]) -> Begun:
    """Begin an upload whose checksum is one of the full object, which S3 compares with what arrives."""
    reply = client.create_multipart_upload(
        Bucket=bucket,
        Key=key,
        Metadata=dict(metadata),
        ContentType="application/gzip" if key.endswith(".gz") else "application/zip",
        ChecksumAlgorithm="CRC32",
        ChecksumType="FULL_OBJECT",
    )
    return Begun(reply["UploadId"])


def packed_metadata(pieces: Cut) -> dict[str, str]:
    """Return the record that an archive is what `pack` writes and was read whole here (`archive.checks.checksum`)."""
    return {PACKED: spelled(pieces.whole)}


class Transfer:
    """The parts of a file on their way, several at a time."""

    def __init__(
        self, client: S3Client, place: tuple[str, str], source: Source, pieces: Cut, begun: Begun
    ) -> None:
        self._client = client
        self._bucket, self._key = place
        self._source = source
        self._pieces = pieces
        self._begun = begun
        self._stop = threading.Event()
        self._under_way: dict[int, _PartBody] = {}
        self._done = self.kept

    @property
    def kept(self) -> int:
        """Return how many bytes are there already."""
        return sum(self._pieces.length(number) for number in self._begun.parts)

    @property
    def done(self) -> int:
        """Return how many bytes are there, those on their way included."""
        return self._done + sum(body.tell() for body in list(self._under_way.values()))

    def run(self, *, tell: Callable[[int], None], every_s: float = 0.25) -> Sent:
        """Send what is missing and put the object together.

        Args:
            tell: called with the bytes done, every `every_s` seconds.
            every_s: how often.
        """
        etags = dict(self._begun.parts)
        missing = [n for n in range(1, len(self._pieces.sums) + 1) if n not in etags]
        pool = ThreadPoolExecutor(WORKERS, "transfer")
        try:
            pending = {pool.submit(self._send, number): number for number in missing}
            while pending:
                try:
                    for future in as_completed(list(pending), timeout=every_s):
                        number = pending.pop(future)
                        etags[number] = future.result()
                except TimeoutError:
                    pass
                tell(self.done)
        finally:
            # A part that is cut off is sent again; waiting for it to arrive could take minutes.
            self._stop.set()
            pool.shutdown(cancel_futures=True)
        version = self._complete(etags)
        return Sent(self._bucket, self._key, version, self._pieces.size, self.kept)

    def _send(self, number: int) -> str:
        start, length = (number - 1) * self._pieces.part, self._pieces.length(number)
        body = _PartBody(self._source.read(start, length), self._stop)
        self._under_way[number] = body
        try:
            reply = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._begun.upload_id,
                PartNumber=number,
                Body=body,
                ContentLength=length,
                ChecksumCRC32=spelled(self._pieces.sums[number - 1]),
            )
            self._done += length
        finally:
            del self._under_way[number]
        return reply["ETag"]

    def _complete(self, etags: Mapping[int, str]) -> str | None:
        parts: list[CompletedPartTypeDef] = [
            {
                "PartNumber": number,
                "ETag": etags[number],
                "ChecksumCRC32": spelled(self._pieces.sums[number - 1]),
            }
            for number in sorted(etags)
        ]
        try:
            reply = self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._begun.upload_id,
                MultipartUpload={"Parts": parts},
                ChecksumCRC32=spelled(self._pieces.whole),
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=self._pieces.size,
            )
        except (ClientError, BotoCoreError):
            # The answer may have been lost, and a repeated completion finds the upload gone: the object itself says.
            head = self._client.head_object(Bucket=self._bucket, Key=self._key, ChecksumMode="ENABLED")
            if head.get("ChecksumCRC32") != spelled(self._pieces.whole):
                raise
            return head.get("VersionId")
        return reply.get("VersionId")


class _Stopped(BaseException):
    """The upload was given up; nothing between here and there may take it for an error and try again."""


class _PartBody(io.BytesIO):
    """A part's bytes, which say how far they were read, and end when they are told to."""

    def __init__(self, content: bytes, stop: threading.Event) -> None:
        super().__init__(content)
        self._stop = stop

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        if self._stop.is_set():
            raise _Stopped
        return super().read(size)


def _parts(client: S3Client, bucket: str, key: str, upload_id: str) -> Sequence[Mapping[str, Any]]:
    try:
        pages = client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload_id)
        return [part for page in pages for part in page.get("Parts", ())]
    except ClientError as error:
        if service_errors.code(error) == "NoSuchUpload":
            return ()
        raise
