"""The rows of one of AWS's lists, as far as a bound, by botocore's paginators.

Owns the bound and whether it was met. Refuses to read the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE: Final = 100
"""Rows in a page: the most that SageMaker and CloudWatch give (service models)."""


class Rows(NamedTuple):
    """What was listed."""

    rows: list[Mapping[str, Any]]
    complete: bool
    """Whether that is all there is."""


def read(
    client: Any, operation: str, member: str, *, most: int, page_size: int = PAGE, **request: Any
) -> Rows:
    """Return the rows of a list.

    AWS may leave a page half empty, or empty, and go on: so the pages are bounded too, to those that `most` full ones
    would be and one more.

    Args:
        client: of the service. boto3's stubs type each paginator by its operation's name alone, so it is any client.
        operation: as a method of the client is called.
        member: of the response, which has the rows.
        most: rows that are read.
        page_size: rows in a page.
        request: of the operation.

    Raises:
        ClientError: as AWS answers.
    """
    pages = client.get_paginator(operation).paginate(
        **request, PaginationConfig={"MaxItems": most, "PageSize": min(most, page_size)}
    )
    rows: list[Mapping[str, Any]] = []
    for number, page in enumerate(pages):
        rows += page.get(member, ())
        if number * page_size >= most:
            return Rows(rows, complete=False)
    return Rows(rows, complete=pages.resume_token is None)
