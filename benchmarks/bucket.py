"""The local cloud's S3 in a process of its own, for archives larger than memory.

    python benchmarks/bucket.py FOLDER BUCKET/KEY=FILE ...

moto answers, but for three things that it would do in memory, several times over: ranges are read (as in the local
cloud), parts copied and uploads put together from file to file, on this machine's disk. How long such copying took is
written to FOLDER/copying, for S3 does it on other machines. It prints its URL, and ends when its input does.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeKey, S3Backend, s3_backends

from pipeline.local.configurations import Configurations
from pipeline.local.faults import Faults
from pipeline.local.gateway import Backends, Gateway
from pipeline.local.hosting import Quotas

if TYPE_CHECKING:
    from collections.abc import Iterator

PART_OF: Final = 64 << 20


class Stopwatch:
    """Measures for how long at least one of several things was going on, and writes it down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._active = 0
        self._begun = 0.0
        self._seconds = 0.0
        path.write_text("0")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block, once for all that overlap."""
        with self._lock:
            self._active += 1
            if self._active == 1:
                self._begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                if not self._active:
                    self._seconds += time.perf_counter() - self._begun
                    self._path.write_text(str(self._seconds))


def copy(source: int, start: int, end: int, target: int) -> None:
    """Append a range of one file to another."""
    while start < end:
        start += os.copy_file_range(source, target, min(PART_OF, end - start), offset_src=start)


def install(stopwatch: Stopwatch) -> None:
    """Let moto copy from file to file."""

    def upload_part_copy(  # noqa: PLR0917 - the signature is moto's
        self: S3Backend,
        dest_bucket_name: str,
        multipart_id: str,
        part_id: int,
        src_bucket_name: str,
        src_key_name: str,
        src_version_id: str | None,
        start_byte: int,
        end_byte: int,
    ) -> FakeKey:
        source = self.get_object(src_bucket_name, src_key_name, version_id=src_version_id)
        part = self.get_bucket(dest_bucket_name).multiparts[multipart_id].set_part(part_id, b"")
        part._etag = uuid.uuid4().hex  # noqa: SLF001 - S3's ETags need not be MD5 sums
        with stopwatch.running():
            copy(_file(source), start_byte, end_byte + 1, _file(part))
        part.contentsize = end_byte + 1 - start_byte
        return part

    def complete_multipart_upload(self: S3Backend, bucket_name: str, multipart_id: str, body: Any) -> FakeKey:
        multipart = self.get_bucket(bucket_name).multiparts.pop(multipart_id)
        key = self.put_object(
            bucket_name, multipart.key_name, b"", etag=uuid.uuid4().hex, multipart=multipart
        )
        key.set_metadata(multipart.metadata)
        with stopwatch.running():
            for number, _ in body:
                part = multipart.parts[number]
                copy(_file(part), 0, part.contentsize, _file(key))
                key.contentsize += part.contentsize
                # One copy of the archive is enough for the disk.
                part.dispose()
        return key

    S3Backend.upload_part_copy = upload_part_copy
    S3Backend.complete_multipart_upload = complete_multipart_upload


def _file(key: FakeKey) -> int:
    key._value_buffer.flush()  # noqa: SLF001 - there is no other way to a part of it
    return int(key._value_buffer.fileno())  # noqa: SLF001


def main() -> None:
    """Serve until the input ends."""
    install(Stopwatch(Path(sys.argv[1]) / "copying"))
    gateway = Gateway(faults=Faults())
    gateway.start(
        Backends(
            hosting=lambda _environ, _start: [],
            invoke=lambda _name, _qualifier, _body: None,
            configurations=Configurations(update_s=0),
            quotas=Quotas,
            object_created=lambda _operation, _bucket, _key: None,
        )
    )
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for seed in sys.argv[2:]:
        place, _, path = seed.partition("=")
        bucket, _, name = place.partition("/")
        if bucket not in backend.buckets:
            backend.create_bucket(bucket, "us-east-1")
        key = backend.put_object(bucket, name, b"", etag=uuid.uuid4().hex)
        key._value_buffer = Path(path).open("rb")  # noqa: SLF001, SIM115 - moto closes it
        key.contentsize = Path(path).stat().st_size
    backend.create_bucket("artifacts", "us-east-1")
    print(gateway.url, flush=True)
    sys.stdin.read()
    gateway.close()


if __name__ == "__main__":
    main()
