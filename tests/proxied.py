"""A proxy that runs in a thread, before a stand-in for SageMaker's runtime whose answers a test holds back."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from pipeline.aws.clients import Clients
from pipeline.client.endpoint import ServiceEndpoint
from pipeline.client.proxy import running
from pipeline.client.proxy.access import ProxyAccess
from pipeline.client.proxy.directory import ServiceDirectory
from pipeline.client.services import ServingService
from tests import fake_runtime
from tests.fake_runtime import DONE, IDENTIFIED, REGION, Call, FakeRuntime, event, framed

USAGE = (
    b'data: {"choices": [], "usage": {"completion_tokens": 3}, "timings": {"predicted_per_second": 12.5}}\n\n'
)


@dataclass
class Harbor:
    """A proxy that runs in a thread, with two services: `tug` on instances, `barge` on serverless."""

    url: str = ""
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    going_on: threading.Event = field(default_factory=threading.Event)
    """What an answer waits for in its middle."""
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when an answer's caller has hung up."""
    log: list[str] = field(default_factory=list)
    ended: Future[None] = field(default_factory=Future)
    """Whose result ends the proxy."""

    def __post_init__(self) -> None:
        self.runtime.answers = {"tug-1": self.slowly, "barge-1": self.at_once}

    async def slowly(self, call: Call) -> web.StreamResponse:
        """Say a word, wait, say the rest."""
        try:
            response = await fake_runtime.begun(call)
            await response.write(framed(event("Heavy ")))
            while not self.going_on.is_set():  # noqa: ASYNC110 another thread sets it
                await asyncio.sleep(0.01)
            await response.write(framed(event("cargo <b>")) + framed(USAGE) + framed(DONE))
        except asyncio.CancelledError:
            self.hung_up.set()
            raise
        return response

    async def at_once(self, _call: Call) -> web.StreamResponse:
        """Say all of it in one list of events."""
        body = event("Heavy ") + event("cargo") + USAGE + DONE
        return web.Response(body=body, content_type="text/event-stream", headers=IDENTIFIED)

    @property
    def messages(self) -> list[dict[str, str]]:
        """What was asked last."""
        found: list[dict[str, str]] = self.asked["messages"]
        return found

    @property
    def asked(self) -> dict[str, Any]:
        """The last request."""
        document: dict[str, Any] = json.loads(self.runtime.calls[-1].body)
        return document


def listening() -> socket.socket:
    """Return a socket of 127.0.0.1."""
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


@contextmanager
def harbor(key: str | None = None) -> Iterator[Harbor]:
    """Run one until the block ends."""
    here, behind, before = Harbor(), listening(), listening()
    here.url = f"http://127.0.0.1:{before.getsockname()[1]}"
    clients = Clients(endpoint_url=f"http://127.0.0.1:{behind.getsockname()[1]}", region=REGION)

    async def run() -> None:
        runner = web.AppRunner(here.runtime.application(), handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, behind).start()
        known = ServiceDirectory(
            lambda name: ServiceEndpoint(name, f"{name}-1", streams=name == "tug"),
            lambda: (ServingService("barge", "barge-1", 1), ServingService("tug", "tug-1", 1)),
            time.monotonic,
        )
        await running.serve(
            clients, before, ProxyAccess("127.0.0.1", key), known, log=here.log.append, ended=here.ended
        )
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        yield here
    finally:
        here.going_on.set()
        if not here.ended.done():
            here.ended.set_result(None)
        thread.join()
