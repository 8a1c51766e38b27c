"""Ranged reads of S3 objects at the disk's speed, and whether an object has tags.

moto answers every ranged GetObject by copying the whole object first; an archive is read in dozens of ranges, and a
gigabyte took minutes. Here moto still decides, as for a HeadObject: whether the object is there, which version, whether
the ETag matches. Only the bytes come straight from the file that moto keeps them in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeKey, s3_backends

from pipeline.local.faults import Response

if TYPE_CHECKING:
    from collections.abc import Callable


def ranged(environ: dict[str, Any], head: Callable[[dict[str, Any]], Response]) -> Response | None:
    """Return the answer to a GetObject of one range; None for what moto should answer itself.

    Args:
        environ: the request.
        head: lets moto answer a request.
    """
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", environ.get("HTTP_RANGE", ""))
    if wanted is None:
        return None
    looked = head(
        {name: value for name, value in environ.items() if name != "HTTP_RANGE"} | {"REQUEST_METHOD": "HEAD"}
    )
    if looked.status != 200:
        # Moto's own refusal of the GetObject has a body, which that of a HeadObject has not.
        return None
    bucket, _, key = str(environ["PATH_INFO"]).lstrip("/").partition("/")
    version = next(iter(parse_qs(str(environ.get("QUERY_STRING", ""))).get("versionId", ())), None)
    found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key, version)
    if not isinstance(found, FakeKey):
        return None
    start, last = int(wanted[1]), min(int(wanted[2] or found.size - 1), found.size - 1)
    if start > last:
        return None
    with found.lock:
        found._value_buffer.seek(start)  # noqa: SLF001 there is no other way to a part of it
        body = found._value_buffer.read(last - start + 1)  # noqa: SLF001
    headers = {name: value for name, value in looked.headers.items() if name.lower() != "content-length"}
    # A checksum of the object is not one of the range.
    headers = {
        name: value for name, value in headers.items() if not name.lower().startswith("x-amz-checksum-")
    }
    headers["Content-Range"] = f"bytes {start}-{last}/{found.size}"
    return Response(206, headers, body)


def tagged(bucket: str, key: str, version: str | None) -> bool:
    """Tell whether an object has tags; one that is not there has none."""
    store = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    if bucket not in store.buckets:
        return False
    found = store.get_object(bucket, key, version)
    return isinstance(found, FakeKey) and bool(store.get_object_tagging(found)["Tags"])
