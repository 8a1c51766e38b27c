"""The process: its sockets, its signals, its log, its end.

Owns start and stop. What happens between is `service`'s and `life`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING

from adapter.connections import Connections, Quiet
from adapter.life import Life
from adapter.reads import read_little
from adapter.service import MAX_WAITING, STREAM_S, Service
from aiohttp import web

from sealift_contract import Log, Options, StartError, whole_number
from sealift_log import place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


async def serve(options: Options, program: Path, environ: Mapping[str, str], log: Callable[..., None]) -> int:
    """Serve until SIGTERM; return the exit status.

    Raises:
        OSError: the port cannot be bound.
    """
    stream_s = whole_number(environ, "SEALIFT_STREAM_TIMEOUT_S", STREAM_S, highest=3600, lowest=1)
    life = Life(options.model_dir, program, environ, log)
    service = Service(options, life, log, where=place(environ), stream_s=stream_s)
    runner = web.ServerRunner(Connections(service.route, service.unreadable), shutdown_timeout=2.0)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port, backlog=128)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await site.start()
    _, port = runner.addresses[0][:2]
    log("listening", host=options.host, port=port, serves=f"the adapter, before {program}")
    watch = asyncio.create_task(life.supervise(service.begin))
    await stop.wait()
    log("stopping")
    await site.stop()
    drained = await service.stop()
    await runner.cleanup()
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    await life.close()
    log("stopped", drained=drained)
    return 0


def main(arguments: Sequence[str], environ: Mapping[str, str], program: Path) -> int:
    """Read the environment, and serve."""
    read_little()
    log = Log()
    logging.getLogger().addHandler(Quiet(log))
    try:
        options = Options.from_environment(environ, arguments, max_waiting=MAX_WAITING)
        return asyncio.run(serve(options, program, environ, log))
    except (StartError, OSError) as error:
        log("start_failed", reason=str(error))
        return 1
