"""The checksums of a multipart upload: compared when it is put together, listed with its parts.

moto keeps what it is given and looks at no checksum. S3 refuses a completion whose checksum is not that of the bytes
(``BadDigest``), and ListParts tells each part's; a part's own is compared when it arrives (`arrivals`). Only CRC-32 is
known here: it is what Sealift sends.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from local_cloud.faults import Response, render
from local_cloud.s3.arrivals import checksum
from local_cloud.s3.contents import ObjectContent
from local_cloud.s3.objects import content_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_cloud.calls import AwsCall

OPERATIONS = frozenset({"ListParts", "CompleteMultipartUpload"})


def answer(
    call: AwsCall, environ: dict[str, Any], ask_moto: Callable[[dict[str, Any]], Response]
) -> Response:
    """Return the answer to one of `OPERATIONS`."""
    upload = _upload(*_named(environ))
    if call.operation == "CompleteMultipartUpload":
        given = environ.get("HTTP_X_AMZ_CHECKSUM_CRC32")
        if given and upload is not None:
            whole = ObjectContent.joined(content_of(upload.parts[number]) for number in upload.partlist)
            if given != checksum(whole, "CRC32"):
                return render(call, "BadDigest")
        return ask_moto(environ)
    response = ask_moto(environ)
    if response.status != 200 or upload is None:
        return response
    if upload.metadata.get("x-amz-checksum-algorithm") != "CRC32":
        return response

    def with_checksum(match: re.Match[bytes]) -> bytes:
        made = checksum(content_of(upload.parts[int(match[1])]), "CRC32")
        return match[0] + f"<ChecksumCRC32>{made}</ChecksumCRC32>".encode()

    body = re.sub(rb"<PartNumber>(\d+)</PartNumber>", with_checksum, response.body)
    return replace(response, body=body)


def _named(environ: dict[str, Any]) -> tuple[str, str]:
    bucket = str(environ["PATH_INFO"]).lstrip("/").partition("/")[0]
    query = parse_qs(str(environ.get("QUERY_STRING", "")))
    return bucket, query.get("uploadId", [""])[0]


def _upload(bucket: str, upload_id: str) -> Any:
    """Return what moto keeps of an upload; None when there is no such upload."""
    found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(bucket)
    return found.multiparts.get(upload_id) if found is not None else None
