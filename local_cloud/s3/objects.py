"""The objects of the local cloud's S3: moto decides, and their bytes stay on the disk.

moto holds an object in memory several times over whenever it is written, read, copied, listed or put together of parts.
Here moto still decides, as for a HeadObject: whether the object is there, which version, whether the ETag matches. What
an object holds is a `Content`, which is read a little at a time and shared by copies.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs
from weakref import WeakValueDictionary

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML, S3ClientError
from moto.s3.models import S3_UPLOAD_PART_MIN_SIZE, FakeKey, FakeMultipart, S3Backend, s3_backends

from local_cloud.faults import Response, render
from local_cloud.s3.contents import ObjectContent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_cloud.calls import AwsCall

_TICKET: Final = b"sealift-content:"
_HELD: Final = "sealift_content"
"""Where a key keeps its content, when moto does not keep its bytes."""
_LARGEST_COPY: Final = 5 << 30
_SUM: Final = "x-amz-checksum-"
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/")
_tickets: WeakValueDictionary[bytes, ObjectContent] = WeakValueDictionary()


def ticket(content: ObjectContent) -> bytes:
    """Return what moto is handed as a body, for whose object this content is then taken, if somebody still has it."""
    made = _TICKET + secrets.token_hex(16).encode()
    _tickets[made] = content
    return made


def content_of(key: FakeKey) -> ObjectContent:
    """Return what an object or a part holds."""
    held: ObjectContent | None = vars(key).get(_HELD)
    return ObjectContent.of(_value_of(key)) if held is None else held


def answered(
    call: AwsCall, environ: dict[str, Any], ask_moto: Callable[[dict[str, Any]], Response]
) -> Response:
    """Return the answer to a GetObject.

    Args:
        call: the GetObject.
        environ: the request.
        ask_moto: lets moto answer a request.
    """
    bucket, _, name = str(environ["PATH_INFO"]).lstrip("/").partition("/")
    version = next(iter(parse_qs(str(environ.get("QUERY_STRING", ""))).get("versionId", ())), None)
    try:
        key = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, name, version)
    except S3ClientError:
        key = None
    if not isinstance(key, FakeKey) or not (_HELD in vars(key) or environ.get("HTTP_RANGE")):
        return ask_moto(environ)
    head = ask_moto({**environ, "REQUEST_METHOD": "HEAD"})
    if head.status == 416:
        return render(call, "InvalidRange", "The requested range is not satisfiable")
    if head.status not in (200, 206):
        # Moto's own refusal of the GetObject has a body, which that of a HeadObject has not.
        return ask_moto(environ)
    headers = {name: value for name, value in head.headers.items() if name.lower() != "content-length"}
    content = content_of(key)
    if head.status == 206 or key.checksum_type == "COMPOSITE":
        # A checksum of the object is not one of the range; nor is one of parts' sums one of the object, and moto's
        # HeadObject does not say that it is.
        headers = {name: value for name, value in headers.items() if not name.lower().startswith(_SUM)}
    content_range = next((value for name, value in headers.items() if name.lower() == "content-range"), None)
    if head.status == 206 and (found := _RANGE.match(content_range or "")):
        content = content.part(int(found[1]), int(found[2]) + 1)
    return Response(head.status, headers, b"", stream=content)


def install() -> None:
    """Let moto keep what it is handed as a ticket or as a content, and never read it whole without need."""
    # moto remembers each that there ever was, for a dashboard; and they would remember their contents.
    FakeKey.instances_tracked = _Forgetful()
    FakeMultipart.instances_tracked = _Forgetful()
    FakeKey.value = _VALUE
    FakeKey.etag = property(_etag)
    FakeKey.__getstate__ = _state
    FakeKey.dispose = _dispose
    FakeMultipart.complete = _complete
    S3Backend.upload_part_copy = _upload_part_copy
    S3Backend.copy_object = _copy_object


# ------------------------------------------------------------------ in moto's places

_MOTOS_VALUE: Final[Any] = vars(FakeKey)["value"]
_MOTOS_ETAG: Final[Any] = vars(FakeKey)["etag"]
_MOTOS_STATE: Final[Any] = FakeKey.__getstate__
_MOTOS_DISPOSE: Final[Any] = FakeKey.dispose
_MOTOS_COPY: Final[Any] = S3Backend.copy_object


def _value_of(key: FakeKey) -> bytes:
    held: ObjectContent | None = vars(key).get(_HELD)
    value: bytes = _MOTOS_VALUE.fget(key) if held is None else held.read()
    return value


def _set_value(key: FakeKey, value: bytes | ObjectContent) -> None:
    held = value if isinstance(value, ObjectContent) else _tickets.pop(value, None)
    if held is None:
        vars(key).pop(_HELD, None)
        _MOTOS_VALUE.fset(key, value)
        return
    _MOTOS_VALUE.fset(key, b"")
    vars(key)[_HELD] = held
    key.contentsize = held.size


_VALUE: Final = property(_value_of, _set_value)


def _etag(key: FakeKey) -> str:
    held: ObjectContent | None = vars(key).get(_HELD)
    if held is not None and key._etag is None:  # noqa: SLF001 moto has no other way in
        key._etag = held.md5()  # noqa: SLF001
    etag: str = _MOTOS_ETAG.fget(key)
    return etag


def _state(key: FakeKey) -> dict[str, Any]:
    """Return what a copy of a key is made of: ListObjectVersions copies every one of them, and throws them away."""
    held: ObjectContent | None = vars(key).get(_HELD)
    if held is None:
        return {**_MOTOS_STATE(key), "disposed": True}
    left = {name: value for name, value in vars(key).items() if name not in ("_value_buffer", "lock", _HELD)}
    return {**left, "value": held, "disposed": True}


def _dispose(key: FakeKey, garbage: bool = False) -> None:
    # An upload that is aborted leaves its parts to the garbage; moto warns of it, and it is no fault.
    _MOTOS_DISPOSE(key, garbage and not key.disposed and _HELD not in vars(key))
    vars(key).pop(_HELD, None)


class _Forgetful(list[object]):
    """What takes instances and keeps none."""

    def append(self, instance: object, /) -> None:
        """Keep nothing."""


def _complete(
    upload: FakeMultipart, body: Iterator[tuple[int, str]]
) -> tuple[ObjectContent, str, tuple[str, str, int] | None]:
    """Put an upload together as moto does: the same refusals, the same ETag, and nothing is copied."""
    parts: list[FakeKey] = []
    for number, etag in body:
        part = upload.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart
        if parts and parts[-1].contentsize < S3_UPLOAD_PART_MIN_SIZE:
            raise EntityTooSmall
        parts.append(part)
    if not parts:
        raise MalformedXML
    contents = [content_of(part) for part in parts]
    joined = ObjectContent.joined(contents)
    sums = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    etag = f"{hashlib.md5(sums, usedforsecurity=False).hexdigest()}-{len(parts)}"
    return joined, etag, _checksum(upload, contents, joined)


def _checksum(
    upload: FakeMultipart, contents: list[ObjectContent], joined: ObjectContent
) -> tuple[str, str, int] | None:
    """Return type, value and number of parts of an upload's checksum; None of one that is not computed here."""
    algorithm = upload.metadata.get("x-amz-checksum-algorithm")
    if algorithm not in ("CRC32", "SHA1", "SHA256"):
        return None
    if algorithm == "CRC32" and upload.metadata.get("x-amz-checksum-type") == "FULL_OBJECT":
        return "FULL_OBJECT", base64.b64encode(joined.crc32().to_bytes(4, "big")).decode(), 1
    if algorithm == "CRC32":
        whole = ObjectContent.of(b"".join(one.crc32().to_bytes(4, "big") for one in contents))
        made = whole.crc32().to_bytes(4, "big")
    else:
        made = ObjectContent.of(b"".join(one.digest(algorithm) for one in contents)).digest(algorithm)
    return "COMPOSITE", base64.b64encode(made).decode(), len(contents)


def _upload_part_copy(  # noqa: PLR0917 the signature is moto's
    self: S3Backend,
    dest_bucket_name: str,
    multipart_id: str,
    part_id: int,
    src_bucket_name: str,
    src_key_name: str,
    src_version_id: str | None,
    start_byte: int | None,
    end_byte: int | None,
) -> FakeKey:
    upload = self.get_bucket(dest_bucket_name).multiparts[multipart_id]
    content = content_of(self.get_object(src_bucket_name, src_key_name, version_id=src_version_id))
    if start_byte is not None and end_byte is not None:
        content = content.part(start_byte, end_byte + 1)
    return upload.set_part(part_id, content)


def _copy_object(self: S3Backend, src_key: FakeKey, *arguments: Any, **named: Any) -> None:
    if src_key.size > _LARGEST_COPY:
        raise S3ClientError(
            "InvalidRequest",
            f"The specified copy source is larger than the maximum allowable size for a copy source: {_LARGEST_COPY}",
        )
    _MOTOS_COPY(self, _Source(src_key) if _HELD in vars(src_key) else src_key, *arguments, **named)
    made = self.get_object(*arguments[:2])
    if src_key.checksum_type == "COMPOSITE" and isinstance(made, FakeKey):
        # moto hands the sum of the parts' sums on as that of the copy, which is none of parts.
        made.checksum_value = made.checksum_algorithm = None


class _Source:
    """A key as CopyObject sees it: its value is its content."""

    def __init__(self, key: FakeKey) -> None:
        self._key = key

    @property
    def value(self) -> ObjectContent:
        return content_of(self._key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)


def tagged(bucket: str, key: str, version: str | None) -> bool:
    """Tell whether an object has tags; one that is not there has none."""
    store = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    if bucket not in store.buckets:
        return False
    found = store.get_object(bucket, key, version)
    return isinstance(found, FakeKey) and bool(store.get_object_tagging(found)["Tags"])
