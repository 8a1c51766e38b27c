"""The bodies of PutObject and UploadPart on their way to the disk, a little at a time.

Owns the reading of a request's body: its length, its chunks, its checksums, each of which S3 compares (moto compares
none, and takes what was cut off for the whole). What is more than a little is written to the disk, and moto gets a
ticket in its place, which `objects` takes back when moto makes the object of it. Refuses to know of buckets and keys.
"""

from __future__ import annotations

import base64
import re
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from local_cloud.faults import Response, render
from local_cloud.s3 import objects
from local_cloud.s3.contents import (
    STEP,
    Disk,
    DiskFull,
    ObjectContent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_cloud.calls import AwsCall

OPERATIONS: Final = frozenset({"PutObject", "UploadPart"})
LITTLE: Final = STEP
"""Up to here moto gets the body itself, as it always did."""
_LARGEST: Final = 5 << 30
"""Of one request (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""
_CHECKSUM: Final = "HTTP_X_AMZ_CHECKSUM_"
_COMPUTED: Final = {"CRC32", "SHA1", "SHA256"}
"""The algorithms that are compared; the others' values are taken as they are."""
_OF_CHUNKS: Final = (
    "HTTP_X_AMZ_DECODED_CONTENT_LENGTH",
    "HTTP_X_AMZ_TRAILER",
    "HTTP_TRANSFER_ENCODING",
    "wsgi.input_terminated",
)


class _CutShort(Exception):
    """The body ended before it should."""


def received(call: AwsCall, environ: dict[str, Any], disk: Disk) -> dict[str, Any] | Response:
    """Read the body of one of `OPERATIONS`; return the request as moto is to see it, or S3's refusal."""
    chunked = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "").startswith("STREAMING-")
    stated = environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH" if chunked else "CONTENT_LENGTH")
    size = int(stated) if stated else None
    if size is None and not chunked and not environ.get("wsgi.input_terminated"):
        size = 0
    if size is not None and size > _LARGEST:
        return render(
            call, "EntityTooLarge", f"Your proposed upload of {size} bytes exceeds the maximum of {_LARGEST}"
        )
    trailers: dict[str, str] = {}
    body = environ["wsgi.input"]
    pieces = _chunks(body, trailers) if chunked else _plain(body, size)
    try:
        content = _kept(pieces, size, disk)
    except _CutShort:
        return render(
            call,
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        )
    except DiskFull as full:
        return render(call, "InsufficientStorage", str(full))
    if size is not None and content.size != size:
        return render(call, "IncompleteBody", f"{content.size} bytes came; wanted {size}")
    sums = _stated(environ, trailers)
    wrong = [name for name, value in sums.items() if name in _COMPUTED and value != checksum(content, name)]
    if wrong:
        message = f"The {wrong[0]} you specified did not match the calculated checksum."
        return render(call, "BadDigest", message)
    md5 = environ.get("HTTP_CONTENT_MD5")
    if md5 and md5 != base64.b64encode(bytes.fromhex(content.md5())).decode():
        return render(call, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    return _for_moto(environ, content, sums, chunked=chunked)


def checksum(content: ObjectContent, algorithm: str) -> str:
    """Return one of the checksums that are computed here, as S3 spells it."""
    if algorithm == "CRC32":
        return base64.b64encode(content.crc32().to_bytes(4, "big")).decode()
    return base64.b64encode(content.digest(algorithm.lower())).decode()


def _kept(pieces: Iterator[bytes], size: int | None, disk: Disk) -> ObjectContent:
    """Keep a little in memory, and more on the disk."""
    little = bytearray()
    for piece in pieces:
        little += piece
        if len(little) > LITTLE:
            return disk.write(_then(bytes(little), pieces), size)
    return ObjectContent.of(bytes(little))


def _then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _plain(body: Any, size: int | None) -> Iterator[bytes]:
    left = size
    while left is None or left:
        piece = body.read(STEP if left is None else min(STEP, left))
        if not piece:
            if left is None:
                return
            raise _CutShort
        left = None if left is None else left - len(piece)
        yield piece


def _chunks(body: Any, trailers: dict[str, str]) -> Iterator[bytes]:
    """Yield the data of aws-chunked, and note the trailers.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """
    while True:
        match = re.match(rb"([0-9a-fA-F]+)(?:;[^\r\n]*)?\r?\n", body.readline(1024))
        if match is None:
            raise _CutShort
        size = int(match[1], 16)
        if not size:
            break
        yield from _plain(body, size)
        body.readline(2)
    while (line := body.readline(8192)).strip():
        name, _, value = line.decode("latin-1").partition(":")
        trailers[name.strip().lower()] = value.strip()


def _stated(environ: dict[str, Any], trailers: dict[str, str]) -> dict[str, str]:
    """Return the checksums that come with a body, by algorithm."""
    found = {
        name.removeprefix(_CHECKSUM): str(value)
        for name, value in environ.items()
        if name.startswith(_CHECKSUM)
    }
    found |= {
        name.removeprefix("x-amz-checksum-").upper(): value
        for name, value in trailers.items()
        if name.startswith("x-amz-checksum-")
    }
    return {name: value for name, value in found.items() if name not in ("ALGORITHM", "TYPE")}


def _for_moto(
    environ: dict[str, Any], content: ObjectContent, sums: dict[str, str], *, chunked: bool
) -> dict[str, Any]:
    asked = str(environ.get("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", "")).upper()
    if asked in _COMPUTED and asked not in sums:
        sums = {**sums, asked: checksum(content, asked)}
    body = content.read() if content.size <= LITTLE else objects.ticket(content)
    seen = {
        **environ,
        "wsgi.input": BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        # For as long as the request lasts: what moto makes no object of goes with it.
        "sealift.content": content,
        **{_CHECKSUM + name: value for name, value in sums.items()},
    }
    if asked and asked not in sums:
        # moto would compute it, of the ticket.
        del seen["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"]
    if chunked:
        seen["HTTP_X_AMZ_CONTENT_SHA256"] = "UNSIGNED-PAYLOAD"
        coding = str(seen.pop("HTTP_CONTENT_ENCODING", ""))
        others = [one for one in re.split(r"\s*,\s*", coding) if one and one != "aws-chunked"]
        if others:
            seen["HTTP_CONTENT_ENCODING"] = ",".join(others)
    return {name: value for name, value in seen.items() if name not in _OF_CHUNKS}
