"""`sealift proxy`: an OpenAI-compatible server on this machine, before every service, until it is interrupted.

Refuses to listen for other machines without a key, and to begin without credentials that may look.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING

from pipeline import settings
from pipeline.aws.clients import Clients
from pipeline.cli.screen import Screen
from pipeline.client.proxy import running
from pipeline.client.proxy.access import ProxyAccess
from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.cli.options import ProxyOptions


def proxy(arguments: ProxyOptions) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    access = ProxyAccess(arguments.host, arguments.api_key or settings.proxy_key())
    screen = Screen.of(arguments)
    clients = Clients(region=settings.region())
    with _listening(arguments.host, arguments.port) as listening:
        asyncio.run(_run(arguments, clients, listening, access, screen))
    return 0


async def _run(
    arguments: ProxyOptions,
    clients: Clients,
    listening: socket.socket,
    access: ProxyAccess,
    screen: Screen,
) -> None:
    url = _url(listening)
    screen.hint("looking for services ...")
    known = running.directory(clients, arguments.stack)
    names = [one.name for one in await known.services()]
    if arguments.json:
        print(json.dumps({"url": url, "base_url": f"{url}/v1", "services": names}), flush=True)
    else:
        for line in _introduction(url, names, access):
            screen.say(line)
    await running.serve(
        clients,
        listening,
        access,
        known,
        log=lambda line: screen.step(f"{time.strftime('%H:%M:%S')}  {line}"),
    )


def _introduction(url: str, names: Sequence[str], access: ProxyAccess) -> Iterator[str]:
    """Yield what a person needs to use it."""
    yield f"page       {url}"
    yield f"base_url   {url}/v1"
    yield f"api_key    {'as you set it' if access.key else 'any'}"
    yield f"model      {', '.join(names) or 'none yet: no service serves; one that is deployed is found by itself'}"
    yield "Ctrl-C ends it"


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        InvalidInput: nobody can listen there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            # A port whose last user has just ended is free.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        why = error.strerror or str(error)
        fix = "end what uses it, or name another with --port; 0 takes any that is free"
        problem = Problem("PortNotFree", f"{host} port {port}: {why}", "a port that is free", fix)
        raise InvalidInput("--port", [problem]) from error
    return listening


def _url(listening: socket.socket) -> str:
    """Return the URL for clients on this machine."""
    address, port = listening.getsockname()[:2]
    if address in {"0.0.0.0", "::"}:  # noqa: S104 what it is compared with
        address = "127.0.0.1"
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
