"""The checksums of a multipart upload: compared when a part arrives, told when the parts are listed.

moto keeps what it is given and looks at no checksum of a part. S3 refuses a part, and a completion, whose checksum
is not that of the bytes (``BadDigest``), and ListParts tells each part's. Only CRC-32 is known here: it is what
Sealift sends.
"""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from pipeline.local.faults import Response, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.local.calls import Call

OPERATIONS = frozenset({"UploadPart", "ListParts", "CompleteMultipartUpload"})


def answer(call: Call, environ: dict[str, Any], ask_moto: Callable[[dict[str, Any]], Response]) -> Response:
    """Return the answer to one of `OPERATIONS`."""
    bucket, upload_id, number = _named(environ)
    if call.operation == "CompleteMultipartUpload":
        upload = _upload(bucket, upload_id)
        given = environ.get("HTTP_X_AMZ_CHECKSUM_CRC32")
        if given and upload is not None and given != _sum(*(upload.parts[n].value for n in upload.partlist)):
            return render(call, "BadDigest")
        return ask_moto(environ)
    response = ask_moto(environ)
    upload = _upload(bucket, upload_id)
    if response.status != 200 or upload is None:
        return response
    if call.operation == "UploadPart":
        given = environ.get("HTTP_X_AMZ_CHECKSUM_CRC32")
        if given and given != _sum(upload.parts[number].value):
            upload.partlist.remove(number)
            upload.parts.pop(number).dispose()
            return render(call, "BadDigest")
        return response
    if upload.metadata.get("x-amz-checksum-algorithm") != "CRC32":
        return response

    def told(match: re.Match[bytes]) -> bytes:
        checksum = _sum(upload.parts[int(match[1])].value)
        return match[0] + f"<ChecksumCRC32>{checksum}</ChecksumCRC32>".encode()

    body = re.sub(rb"<PartNumber>(\d+)</PartNumber>", told, response.body)
    return replace(response, body=body)


def _named(environ: dict[str, Any]) -> tuple[str, str, int]:
    bucket = str(environ["PATH_INFO"]).lstrip("/").partition("/")[0]
    query = parse_qs(str(environ.get("QUERY_STRING", "")))
    return bucket, query.get("uploadId", [""])[0], int(query.get("partNumber", ["0"])[0])


def _upload(bucket: str, upload_id: str) -> Any:
    """Return what moto keeps of an upload; None when there is no such upload."""
    found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(bucket)
    return found.multiparts.get(upload_id) if found is not None else None


def _sum(*pieces: bytes) -> str:
    total = 0
    for piece in pieces:
        total = zlib.crc32(piece, total)
    return base64.b64encode(total.to_bytes(4, "big")).decode()
