"""Stand-ins for boto3's paginators, for the clients that tests write by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Pages:
    """The pages of one operation: all that it returns, in one."""

    resume_token = None

    def __init__(self, page: Callable[[], dict[str, Any]]) -> None:
        self._page = page

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Make the call."""
        yield self._page()


class Paginated:
    """A client whose lists come in one page: an operation's paginator calls the method of its name."""

    def get_paginator(self, operation: str) -> Any:
        """Return the paginator of an operation."""
        return _Paginator(getattr(self, operation))


class _Paginator:
    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask

    def paginate(self, **request: Any) -> Pages:
        """Return the pages; how many rows one has is not passed on."""
        request.pop("PaginationConfig", None)
        return Pages(lambda: self._ask(**request))
