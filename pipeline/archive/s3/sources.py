"""Where an archive's bytes come from: a file, an S3 object, or memory.

Owns exact ranged reads of something that cannot change under the reader: a file stays open, an S3 object is
pinned by its version or its ETag. It refuses to interpret the bytes, and it translates only the refusals that
belong to this one object; every other error of the SDK passes through to the task's own translation.
"""

from __future__ import annotations

import os
import stat
import weakref
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol, Self

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from pipeline.archive.checks.lookalikes import folder
from pipeline.errors import AccessDenied, ArchiveNotFound, InvalidArchive, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef, HeadObjectRequestTypeDef

_STREAM_BYTES: Final = 1 << 20
"""What is read of a response at a time: the most that a broken connection makes us read again."""
_STALLS: Final = 4
"""Broken connections in a row that brought no byte."""


class Source(Protocol):
    """An archive's bytes, readable from any place and by several threads, of known size."""

    bytes_read: int
    """How many bytes were read so far."""

    @property
    def name(self) -> str:
        """Return what messages call it: a path, or ``s3://bucket/key``."""

    @property
    def size(self) -> int:
        """Return its length in bytes."""

    @property
    def identity(self) -> dict[str, str]:
        """Return what tells this object from another one under the same name."""

    def read(self, start: int, length: int) -> bytes:
        """Return the `length` bytes from `start` on; fewer only where the archive ends."""


class BytesSource:
    """An archive in memory, for tests and for small archives."""

    def __init__(self, data: bytes, name: str = "model.tar.gz") -> None:
        self.name = name
        self.size = len(data)
        self.identity: dict[str, str] = {}
        self.bytes_read = 0
        self._lock = Lock()
        self._data = data

    def read(self, start: int, length: int) -> bytes:
        """Return the `length` bytes from `start` on; fewer only at the end."""
        piece = self._data[start : start + length]
        with self._lock:
            self.bytes_read += len(piece)
        return piece


class FileSource:
    """An archive on disk, held open; a context manager, though the last reference closes it as well."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.identity: dict[str, str] = {}
        self.bytes_read = 0
        self._lock = Lock()
        try:
            # Of a pipe, which nobody may ever write to, it would wait for the other end.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ArchiveNotFound(self.name, [_no_file(path)]) from error
        except PermissionError as error:
            raise AccessDenied(self.name, [_no_permission(path)]) from error
        self._close = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise ArchiveNotFound(self.name, [_no_file(path)])
        self.size = status.st_size

    def read(self, start: int, length: int) -> bytes:
        """Return the `length` bytes from `start` on; fewer only at the end."""
        pieces = []
        while length > 0:
            # One call may return less than asked for: Linux stops at 2 GiB, a signal sooner.
            piece = os.pread(self._descriptor, length, start)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
            length -= len(piece)
            with self._lock:
                self.bytes_read += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file; reads fail afterwards."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class S3Source:
    """An archive in a bucket: one HeadObject, then ranged GetObjects pinned to what it described."""

    def __init__(self, client: S3Client, bucket: str, key: str, version_id: str | None = None) -> None:
        self.bucket = bucket
        self.key = key
        self.name = f"s3://{bucket}/{key}"
        self.bytes_read = 0
        self._lock = Lock()
        self._client = client
        request: HeadObjectRequestTypeDef = {"Bucket": bucket, "Key": key}
        if version_id:
            request["VersionId"] = version_id
        try:
            head = client.head_object(**request)
        except ClientError as error:
            self._translate(error, version_id)
            raise
        self.size = head["ContentLength"]
        self.etag = head["ETag"]
        self.last_modified = head["LastModified"]
        """When it was uploaded; the task that checks an archive passes it on."""
        # A bucket without versioning answers no version, one whose versioning was suspended answers "null",
        # and a "null" version can be overwritten in place: only the ETag pins that.
        self.version_id = head.get("VersionId") or version_id
        self.identity = {"etag": self.etag.strip('"')}
        if self.version_id:
            self.identity["version_id"] = self.version_id

    def read(self, start: int, length: int) -> bytes:
        """Return the `length` bytes from `start` on, of the very object that was described."""
        end = min(start + length, self.size)
        pieces: list[bytes] = []
        stalls = 0
        while start < end:
            before = start
            try:
                for piece in self._stream(start, end):
                    pieces.append(piece)
                    start += len(piece)
            except (HTTPClientError, IncompleteReadError):
                # The SDK retries requests, not the reading of their bodies: go on where this one stopped.
                stalls = 0 if start > before else stalls + 1
                if stalls >= _STALLS:
                    raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def head(self) -> HeadObjectOutputTypeDef:
        """Return what S3 says of this very object, its checksum included."""
        request: HeadObjectRequestTypeDef = {
            "Bucket": self.bucket,
            "Key": self.key,
            "IfMatch": self.etag,
            "ChecksumMode": "ENABLED",
        }
        if self.version_id:
            request["VersionId"] = self.version_id
        try:
            return self._client.head_object(**request)
        except ClientError as error:
            self._translate(error, self.version_id)
            raise

    def _stream(self, start: int, end: int) -> Iterator[bytes]:
        byte_range = f"bytes={start}-{end - 1}"
        try:
            if self.version_id:
                reply = self._client.get_object(
                    Bucket=self.bucket,
                    Key=self.key,
                    Range=byte_range,
                    IfMatch=self.etag,
                    VersionId=self.version_id,
                )
            else:
                reply = self._client.get_object(
                    Bucket=self.bucket, Key=self.key, Range=byte_range, IfMatch=self.etag
                )
        except ClientError as error:
            self._translate(error, self.version_id)
            raise
        with closing(reply["Body"]) as body:
            while start < end:
                piece = body.read(min(_STREAM_BYTES, end - start))
                if not piece:
                    raise IncompleteReadError(actual_bytes=0, expected_bytes=end - start)
                with self._lock:
                    self.bytes_read += len(piece)
                start += len(piece)
                yield piece

    def _translate(self, error: ClientError, version_id: str | None) -> None:
        """Raise ours when the error is about this object; return when it is somebody else's."""
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        # HeadObject has no body, so its codes are the bare statuses; GetObject's are names.
        code = error.response.get("Error", {}).get("Code", "")
        version = f" version {version_id!r}" if version_id else ""
        if code in {"404", "NoSuchKey", "NoSuchVersion", "405", "MethodNotAllowed"}:
            raise ArchiveNotFound(
                self.name,
                [
                    Problem(
                        "NoSuchObject",
                        f"bucket {self.bucket!r} has no object {self.key!r}{version}",
                        "the uploaded archive",
                        f"check the key's spelling, or upload it: aws s3 cp model.tar.gz {self.name}",
                    )
                ],
            ) from error
        if code == "NoSuchBucket":
            raise ArchiveNotFound(
                self.name,
                [
                    Problem(
                        "NoSuchBucket",
                        f"there is no bucket {self.bucket!r}",
                        "the bucket that holds the archive",
                        "check the bucket's name and the region",
                    )
                ],
            ) from error
        if code == "InvalidObjectState":
            raise InvalidArchive(
                self.name,
                [
                    Problem(
                        "ObjectArchived",
                        f"object {self.key!r} lies in an archive storage class",
                        "a storage class that can be read at once",
                        f"restore it, or upload it again: aws s3 cp model.tar.gz {self.name}",
                    )
                ],
            ) from error
        if status == 403 or code in {"403", "AccessDenied"}:
            raise AccessDenied(self.name, [self._denied(version)]) from error
        if status == 412 or code in {"412", "PreconditionFailed"}:
            raise InvalidArchive(
                self.name,
                [
                    Problem(
                        "ObjectChanged",
                        f"object {self.key!r} is no longer the one with ETag {self.etag}",
                        "one object for the whole reading",
                        "start again, when the upload has ended; with versioning on, both could be read",
                    )
                ],
            ) from error

    def _denied(self, version: str) -> Problem:
        action = "s3:GetObjectVersion" if version else "s3:GetObject"
        resource = f"arn:{self._client.meta.partition}:s3:::{self.bucket}/{self.key}"
        return Problem(
            "ObjectDenied",
            f"S3 refused (403) to show object {self.key!r}{version} of bucket {self.bucket!r}",
            f"{action} on {resource}",
            f"allow the role {action} on {resource}, and kms:Decrypt if a KMS key encrypts it; without "
            f"s3:ListBucket on the bucket S3 says 403 for a missing key too, so check the key's spelling",
        )


def _no_file(path: Path) -> Problem:
    if path.is_dir() and os.access(path, os.R_OK | os.X_OK):
        return folder(path)
    what = "a directory" if path.is_dir() else "not a regular file" if path.exists() else "no such file"
    return Problem("NoSuchFile", f"{what}: {str(path)!r}", "a file", "check the path's spelling")


def _no_permission(path: Path) -> Problem:
    return Problem(
        "FileDenied", f"no permission to read {str(path)!r}", "a readable file", "chmod +r, or ask its owner"
    )
