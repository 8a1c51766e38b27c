"""Runs the server until it is asked to end, and lets those finish who are being answered.

Owns the socket and the drain. Refuses to know what a request is.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pipeline import payload
from pipeline.aws import service_errors
from pipeline.client import service_endpoint, services
from pipeline.client.proxy import upstream
from pipeline.client.proxy.application import Application
from pipeline.client.proxy.directory import ServiceDirectory
from pipeline.client.proxy.upstream import Upstream
from pipeline.plain import one_line

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from concurrent.futures import Future

    from pipeline.aws.clients import Clients
    from pipeline.client.endpoint import ServiceEndpoint
    from pipeline.client.proxy.access import ProxyAccess
    from pipeline.client.services import ServingService

_LOGGER: Final = logging.getLogger(__name__)
_SHOWN: Final = 200
"""Bytes of what came and was no request."""
DRAIN_S: Final = 60.0
"""How long those who are being answered may take once the server is to end: an answer's time."""


def directory(clients: Clients, stack: str | None) -> ServiceDirectory:
    """Return the services of a stack, or of all."""

    def find(service: str) -> ServiceEndpoint:
        with service_errors.translated():
            return service_endpoint.find(clients, service, stack)

    def list_all() -> tuple[ServingService, ...]:
        with service_errors.translated():
            return services.serving(clients, stack)

    return ServiceDirectory(find, list_all, time.monotonic)


async def serve(
    clients: Clients,
    listening: socket.socket,
    access: ProxyAccess,
    known: ServiceDirectory,
    *,
    log: Callable[[str], None],
    ended: Future[None] | None = None,
) -> None:
    """Answer until SIGINT or SIGTERM comes, or `ended` is done; then let those finish who are being answered.

    Args:
        clients: of the account.
        listening: a socket that listens.
        access: who may ask.
        known: the services.
        log: takes lines for people.
        ended: for whoever runs it elsewhere than in the main thread, where there are no signals.
    """
    loop = asyncio.get_running_loop()
    stop, at_once = asyncio.Event(), asyncio.Event()

    def end() -> None:
        (at_once if stop.is_set() else stop).set()

    if ended is None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
    else:
        ended.add_done_callback(lambda _done: loop.call_soon_threadsafe(end))
    async with upstream.session() as session:
        application = Application(
            known, Upstream.of(session, clients, time.monotonic), access, now=time.monotonic, log=log
        )
        runner = web.AppRunner(
            application.routes(),
            # A client that hangs up ends its call.
            handler_cancellation=True,
            access_log=None,
            logger=_logger(log),
            shutdown_timeout=DRAIN_S,
        )
        await runner.setup()
        await web.SockSite(runner, listening).start()
        try:
            await stop.wait()
            if left := application.answering:
                what = f"{left} answers that are" if left > 1 else "1 answer that is"
                log(f"ending after {what} under way; Ctrl-C ends at once")
        finally:
            await _first(runner.cleanup, at_once.wait)
            known.close()


class _Told(logging.Handler):
    """Tells in a line what is no HTTP, of which aiohttp has a traceback; all else goes where logs go."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            _LOGGER.handle(record)
            return
        why = payload.cut(one_line(error.message), _SHOWN)
        self._log(f"no HTTP  400  {why}")


def _logger(log: Callable[[str], None]) -> logging.Logger:
    """Return what aiohttp logs with; not one that other servers of the process have."""
    made = logging.Logger("proxy", logging.ERROR)  # noqa: LOG001 one of its own
    made.addHandler(_Told(log))
    return made


async def _first(*steps: Callable[[], object]) -> None:
    """Run steps side by side until one has ended."""
    tasks = [asyncio.ensure_future(step()) for step in steps]  # type: ignore[call-overload]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
