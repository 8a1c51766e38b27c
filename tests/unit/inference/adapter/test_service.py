"""Turns and cancellations of the adapter's service, to the single step of the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from adapter.service import Exchange, Service

from sealift_contract import Options


def test_who_hangs_up_as_his_turn_comes_does_not_have_it() -> None:
    """His request would be answered to nobody, and the next one would wait for that."""
    began: list[str] = []

    async def ask(service: Service, name: str, entered: asyncio.Event) -> None:
        now = asyncio.get_running_loop().time()
        entered.set()
        async with service._turn(Exchange(now, now + 60)):
            began.append(name)
            await asyncio.Event().wait()

    async def main() -> None:
        life: Any = SimpleNamespace(failure=None, loaded=object())
        loop = asyncio.get_running_loop()
        options = Options(Path("/model"), "127.0.0.1", 0, max_waiting=4)
        service = Service(options, life, lambda *_a, **_k: None, where={}, clock=loop.time)
        now, entered = loop.time(), asyncio.Event()
        async with service._turn(Exchange(now, now + 60)):
            second = asyncio.create_task(ask(service, "second", entered))
            await entered.wait()
        second.cancel()
        await asyncio.wait([second], timeout=5)
        assert second.cancelled()
        assert service._turns.running == 0

    asyncio.run(main())
    assert began == []
