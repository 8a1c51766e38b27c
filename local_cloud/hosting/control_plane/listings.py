"""One page of a list: filter, sort, cut, and the token of the next page.

Owns what the three List operations have in common; pure. What a row looks like is in `descriptions`.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, TypeVar

from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_cloud.hosting.platform.resources import Resource

    R = TypeVar("R", bound=Resource)
    Row = TypeVar("Row")

PAGE = 10
"""MaxResults when none is given (service model, ListEndpoints)."""

_SORT_KEYS = {"Name": "name", "CreationTime": "created", "Status": "status"}


def page(records: Iterable[R], request: Mapping[str, Any]) -> tuple[list[R], str | None]:
    """Return the page that a List request asks for, and the token of the next one."""
    chosen = sorted(
        (record for record in records if _matches(record, request)),
        key=lambda record: (_sort_value(record, request.get("SortBy", "CreationTime")), record.name),
        reverse=request.get("SortOrder", "Descending") == "Descending",
    )
    return cut(chosen, request.get("NextToken"), request.get("MaxResults", PAGE))


def cut(rows: list[Row], token: str | None, size: int) -> tuple[list[Row], str | None]:
    """Return the rows after `token`, at most `size`, and the next token."""
    start = _offset(token)
    end = start + size
    return rows[start:end], _token(end) if end < len(rows) else None


def _matches(record: Resource, request: Mapping[str, Any]) -> bool:
    status = getattr(record, "status", None)
    modified = getattr(record, "modified", record.created)
    checks = (
        ("NameContains", lambda wanted: wanted in record.name),
        ("CreationTimeBefore", lambda limit: record.created < limit),
        ("CreationTimeAfter", lambda limit: record.created >= limit),
        ("LastModifiedTimeBefore", lambda limit: modified < limit),
        ("LastModifiedTimeAfter", lambda limit: modified > limit),
        ("StatusEquals", lambda wanted: status is not None and status.value == wanted),
    )
    return all(check(request[member]) for member, check in checks if request.get(member) is not None)


def _sort_value(record: Resource, sort_by: str) -> Any:
    value = getattr(record, _SORT_KEYS[sort_by])
    return value.value if sort_by == "Status" else value


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"offset:{offset}".encode()).decode()


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        label, _, digits = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except (binascii.Error, UnicodeError):
        raise invalid(texts.bad_token()) from None
    if label != "offset" or not digits.isascii() or not digits.isdigit():
        raise invalid(texts.bad_token())
    return int(digits)
