"""How long is believed which endpoint serves, and when it is looked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipeline.client.endpoint import ServiceEndpoint
from pipeline.client.proxy.directory import FRESH_S, OLD_S, Age, ServiceDirectory, age
from pipeline.errors import InvalidInput, Problem, ServiceUnavailable


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0, Age.FRESH),
        (FRESH_S - 0.1, Age.FRESH),
        (FRESH_S, Age.AGING),
        (OLD_S - 0.1, Age.AGING),
        (OLD_S, Age.OLD),
    ],
)
def test_knowledge_ages(seconds: float, wanted: Age) -> None:
    """Fresh, then used while it is looked for again, then old."""
    assert age(seconds) is wanted


class Harbor:
    """A service whose endpoint changes, and a clock."""

    def __init__(self) -> None:
        self.at = 0.0
        self.looks = 0
        self.serves: str | Exception = "demo-1"
        self.directory = ServiceDirectory(self.find, tuple, lambda: self.at)

    def find(self, service: str) -> ServiceEndpoint:
        """Look."""
        self.looks += 1
        if isinstance(self.serves, Exception):
            raise self.serves
        return ServiceEndpoint(service, self.serves, streams=False)

    async def name(self, but: ServiceEndpoint | None = None) -> str:
        """Return the endpoint's name."""
        return (await self.directory.endpoint("demo", but=but)).name

    async def settled(self, looks: int) -> None:
        """Wait for a look that goes on behind a call."""
        while self.looks < looks or self.directory._endpoints._looks:  # noqa: ASYNC110 it has no event
            await asyncio.sleep(0.001)


def run(test: Callable[[Harbor], Coroutine[Any, Any, None]]) -> None:
    """Run a test, bounded."""

    async def bounded() -> None:
        harbor = Harbor()
        async with asyncio.timeout(10):
            await test(harbor)
        harbor.directory.close()

    asyncio.run(bounded())


def test_a_moment_ago_is_believed() -> None:
    """And not looked for."""

    async def test(harbor: Harbor) -> None:
        await harbor.name()
        harbor.serves, harbor.at = "demo-2", FRESH_S - 0.1
        assert await harbor.name() == "demo-1"
        assert harbor.looks == 1

    run(test)


def test_a_while_ago_is_used_once_more() -> None:
    """The look goes on behind the call, and the next one has its outcome."""

    async def test(harbor: Harbor) -> None:
        await harbor.name()
        harbor.serves, harbor.at = "demo-2", FRESH_S
        assert await harbor.name() == "demo-1"
        await harbor.settled(2)
        assert await harbor.name() == "demo-2"

    run(test)


def test_long_ago_is_not_used() -> None:
    """A caller waits for another look."""

    async def test(harbor: Harbor) -> None:
        await harbor.name()
        harbor.serves, harbor.at = "demo-2", OLD_S
        assert await harbor.name() == "demo-2"

    run(test)


def test_many_wait_for_one_look() -> None:
    """And who hangs up meanwhile takes it from nobody."""

    async def test(harbor: Harbor) -> None:
        waiting = [asyncio.create_task(harbor.name()) for _ in range(20)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert found[1:] == ["demo-1"] * 19
        assert harbor.looks == 1

    run(test)


def test_what_is_not_there_is_looked_for_once_by_all() -> None:
    """Whoever comes later with the same bad news gets what was found meanwhile."""

    async def test(harbor: Harbor) -> None:
        bad = await harbor.directory.endpoint("demo")
        harbor.serves = "demo-2"
        assert await harbor.name(bad) == "demo-2"
        assert await harbor.name(bad) == "demo-2"
        assert harbor.looks == 2

    run(test)


def test_while_aws_is_away_the_old_will_do() -> None:
    """But for one that is known to be bad, and for a service that serves no more."""

    async def test(harbor: Harbor) -> None:
        known = await harbor.directory.endpoint("demo")
        harbor.serves, harbor.at = ServiceUnavailable("x"), OLD_S
        assert await harbor.name() == "demo-1"
        with pytest.raises(ServiceUnavailable):
            await harbor.name(known)
        harbor.serves = InvalidInput("demo", [Problem("NothingServes", "a", "b", "c")])
        with pytest.raises(InvalidInput):
            await harbor.name()
        harbor.serves = ServiceUnavailable("x")
        with pytest.raises(ServiceUnavailable):
            await harbor.name()

    run(test)


def test_bad_news_behind_a_call_reaches_the_next_one() -> None:
    """A service that was deleted is asked no more."""

    async def test(harbor: Harbor) -> None:
        await harbor.name()
        harbor.serves = InvalidInput("demo", [Problem("NoDeployment", "a", "b", "c")])
        harbor.at = FRESH_S
        assert await harbor.name() == "demo-1"
        await harbor.settled(2)
        with pytest.raises(InvalidInput):
            await harbor.name()

    run(test)
