"""The addresses of layers, and what is behind them: a bucket of AWS's own that only presigned URLs open.

Owns their form, how long they are good for, and ranges. Refuses to know who may have one (`service`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode

from local_cloud.ecr import repositories
from local_cloud.faults import Response, render
from local_cloud.s3.contents import ObjectContent

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_cloud.calls import AwsCall

EXPIRES_S: Final = 3600
"""Seconds that an address is good for (assumed: it is what addresses of ECR's that were published say)."""
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


def bucket(region: str) -> str:
    """Return the bucket that a region's layers are in."""
    return f"prod-{region}-starport-layer-bucket"


def is_layer(path: str) -> bool:
    """Return whether a path of S3 is one of a layer."""
    return re.match(r"/prod-[a-z0-9-]+-starport-layer-bucket/", path) is not None


@dataclass(slots=True)
class Downloads:
    """The addresses that were given.

    Args:
        clock: returns seconds since 1970.
    """

    clock: Callable[[], float]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def address(self, host: str, region: str, registry: str, name: str, digest: str) -> str:
        """Return where a layer of a repository can be had, from a host, for `EXPIRES_S`."""
        until = int(self.clock()) + EXPIRES_S
        path = f"/{bucket(region)}/{registry}/{name}/{digest}"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Expires": str(EXPIRES_S),
            "sealift-until": str(until),
            "X-Amz-Signature": self._signature(path, str(until)),
        }
        return f"http://{host}{path}?{urlencode(query)}"

    def answer(self, call: AwsCall, environ: dict[str, Any]) -> Response:
        """Return the answer to a GET or HEAD of an address, or S3's refusal."""
        path, given = str(environ["PATH_INFO"]), parse_qs(str(environ.get("QUERY_STRING", "")))
        until = given.get("sealift-until", [""])[0]
        signature = given.get("X-Amz-Signature", [""])[0]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or not hmac.compare_digest(
            signature, self._signature(path, until)
        ):
            return render(call, "AccessDenied")
        if self.clock() >= int(until):
            return render(call, "AccessDenied", "Request has expired")
        place, registry, rest = path.removeprefix("/").split("/", 2)
        name, _, digest = rest.rpartition("/")
        region = place.removeprefix("prod-").removesuffix("-starport-layer-bucket")
        held = repositories.find(registry, region, name)
        layer = held.layers.get(digest) if held is not None else None
        if layer is None:
            return render(call, "NoSuchKey", "The specified key does not exist.")
        # The content has the blob's file open: it can be read to its end though the layer goes meanwhile.
        content = ObjectContent.of_file(layer.blob.path)
        return ranged(call, content, environ.get("HTTP_RANGE"), head=environ["REQUEST_METHOD"] == "HEAD")

    def _signature(self, path: str, until: str) -> str:
        return hmac.new(self._key, f"{path} {until}".encode(), hashlib.sha256).hexdigest()


def ranged(call: AwsCall, content: ObjectContent, asked: str | None, *, head: bool) -> Response:
    """Return a content, or the range of it that was requested, as S3 answers a GetObject."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    match = _RANGE.fullmatch(asked or "")
    if match is None or match[0] == "bytes=-":
        return _response(200, headers, content, head=head)
    first, last = match.groups()
    start = int(first) if first else max(content.size - int(last), 0)
    end = min(int(last), content.size - 1) if first and last else content.size - 1
    if start > end:
        return render(call, "InvalidRange", "The requested range is not satisfiable")
    headers["Content-Range"] = f"bytes {start}-{end}/{content.size}"
    return _response(206, headers, content.part(start, end + 1), head=head)


def _response(status: int, headers: dict[str, str], content: ObjectContent, *, head: bool) -> Response:
    headers["Content-Length"] = str(content.size)
    return Response(status, headers, b"", stream=None if head else content)
