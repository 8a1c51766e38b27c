"""The local cloud's S3 in a process of its own, for archives larger than memory.

    python benchmarks/bucket.py FOLDER BUCKET/KEY=FILE ...

Objects are on the disk, as in the local cloud, and a part that is copied shares the bytes of its source; what is left
to do for one is its sum. How long that took is written to FOLDER/copying, for S3 does it on other machines. It prints
its URL, and ends when its input does.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeKey, S3Backend, s3_backends

from local_cloud.faults import Faults
from local_cloud.functions.configurations import Configurations
from local_cloud.gateway import Backends, Gateway
from local_cloud.hosting import Quotas
from local_cloud.s3.contents import ObjectContent

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def install(stopwatch: Stopwatch) -> None:
    """Measure what the storage itself does for a copied part."""
    copied = S3Backend.upload_part_copy

    def upload_part_copy(self: S3Backend, *arguments: Any, **named: Any) -> FakeKey:
        with stopwatch.running():
            part: FakeKey = copied(self, *arguments, **named)
            # Its ETag, which is all that there is to do.
            _ = part.etag
        return part

    S3Backend.upload_part_copy = upload_part_copy


def main() -> None:
    """Serve until the input ends."""
    gateway = Gateway(faults=Faults())
    install(Stopwatch(Path(sys.argv[1]) / "copying"))
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
        # S3's ETags need not be MD5 sums.
        backend.put_object(bucket, name, ObjectContent.of_file(Path(path)), etag=uuid.uuid4().hex)
    backend.create_bucket("artifacts", "us-east-1")
    print(gateway.url, flush=True)
    sys.stdin.read()
    gateway.close()


if __name__ == "__main__":
    main()
