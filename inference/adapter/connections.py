"""Connections to the adapter: how long one may be silent, and what is said on one that speaks no HTTP.

Owns what aiohttp would answer and log by itself: it quotes what came, which may be a part of a prompt, and tells of a
traceback in many lines. Refuses to know what is asked.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sealift_contract import IDLE_S
from sealift_log import raised_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NAME = "sealift"
"""What replies say of the software."""


class Connections(web.Server):
    """Makes a connection for each client.

    Args:
        answer: answers a request, whatever it asks for.
        refuse: answers what is no request, by its status and why it is none.
    """

    def __init__(
        self,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        refuse: Callable[[int, str], web.Response],
    ) -> None:
        async def answered(request: web.BaseRequest) -> web.StreamResponse:
            response = await answer(request)
            if not response.prepared:
                response.headers["Server"] = NAME
            return response

        super().__init__(answered, handler_cancellation=True)
        self._refuse = refuse

    def __call__(self) -> web.RequestHandler:
        """Return a new one."""
        return _Connection(self, self._refuse)


class _Connection(web.RequestHandler):
    __slots__ = ("_refuse",)

    def __init__(self, manager: Connections, refuse: Callable[[int, str], web.Response]) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_S,
            access_log=None,  # type: ignore[arg-type] # its own word for none
        )
        self._refuse = refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp cannot read, without what it quotes of it."""
        if request.writer.output_size > 0:
            raise ConnectionError("a reply has begun already")
        if status >= 500:
            logging.getLogger(__name__).error("a request failed", exc_info=exc)
        response = self._refuse(status, (message or "").partition(":")[0].strip().rstrip("."))
        response.headers["Server"] = NAME
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what is unforeseen; a body that cannot be read has been answered, and has its line."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


class Quiet(logging.Handler):
    """What libraries log, as lines of ours: where it was, and no words, which may hold a text of somebody's."""

    def __init__(self, log: Callable[..., None]) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        error = record.exc_info[1] if record.exc_info else None
        told = {"error": type(error).__name__, "where": raised_at(error)} if error is not None else {}
        self._log("error", logger=record.name, at=f"{record.filename}:{record.lineno}", **told)
