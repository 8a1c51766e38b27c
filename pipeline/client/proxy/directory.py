"""Which endpoint serves a service, as it was found a moment ago; found again after a while, and when it is gone.

Owns how old such knowledge may be. One look at a time, in a thread of its own: the SDK blocks, and 100 callers of one
service want one look. Refuses to ask an endpoint.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pipeline.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.client.endpoint import ServiceEndpoint
    from pipeline.client.services import ServingService

    T = TypeVar("T")
else:
    T = TypeVar("T")

FRESH_S: Final = 15.0
"""How long is believed what was found."""
OLD_S: Final = 60.0
"""From when on a caller waits for another look; before that it goes on behind the call."""


class Age(Enum):
    """What may be done with what is known."""

    FRESH = auto()
    AGING = auto()
    """It is used, and looked for again."""
    OLD = auto()


def age(seconds: float) -> Age:
    """Return how old knowledge of so many seconds is."""
    if seconds < FRESH_S:
        return Age.FRESH
    return Age.AGING if seconds < OLD_S else Age.OLD


@dataclass(frozen=True, slots=True)
class _Remembered(Generic[T]):
    what: T
    at: float


class ServiceDirectory:
    """The services of a stack.

    Args:
        find: returns the endpoint of a service; blocks.
        list_all: returns the services that serve; blocks.
        now: tells the time, in seconds.
    """

    def __init__(
        self,
        find: Callable[[str], ServiceEndpoint],
        list_all: Callable[[], tuple[ServingService, ...]],
        now: Callable[[], float],
    ) -> None:
        self._endpoints = _Lookups(find, now)
        self._services: _Lookups[tuple[ServingService, ...]] = _Lookups(lambda _all: list_all(), now)

    async def endpoint(self, service: str, *, but: ServiceEndpoint | None = None) -> ServiceEndpoint:
        """Return the endpoint that serves a service.

        Args:
            service: its name.
            but: what was returned before and turned out not to be there, or not to be what it was: look again.

        Raises:
            SealiftError: as `service_endpoint.find` does.
        """
        return await self._endpoints.get(service, but=but)

    async def services(self) -> tuple[ServingService, ...]:
        """Return the services that serve."""
        return await self._services.get("")

    def close(self) -> None:
        """Look no more."""
        self._endpoints.close()
        self._services.close()


class _Lookups(Generic[T]):
    """What a blocking look found, by name."""

    def __init__(self, look: Callable[[str], T], now: Callable[[], float]) -> None:
        self._look = look
        self._now = now
        self._known: dict[str, _Remembered[T]] = {}
        self._looks: dict[str, asyncio.Task[T]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="directory")

    async def get(self, name: str, *, but: T | None = None) -> T:
        known = self._known.get(name)
        usable = known is not None and known.what is not but
        if known is not None and usable:
            how = age(self._now() - known.at)
            if how is not Age.OLD:
                if how is Age.AGING:
                    self._looking(name)
                return known.what
        try:
            # Whoever else waits for the same look goes on when this caller hangs up.
            return await asyncio.shield(self._looking(name))
        except TransientError:
            if known is not None and usable:
                return known.what
            raise

    def close(self) -> None:
        for task in self._looks.values():
            task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _looking(self, name: str) -> asyncio.Task[T]:
        if name not in self._looks:
            task = asyncio.get_running_loop().create_task(self._find(name))
            self._looks[name] = task
            task.add_done_callback(lambda done: self._looked(name, done))
        return self._looks[name]

    async def _find(self, name: str) -> T:
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._look, name)
        self._known[name] = _Remembered(found, self._now())
        return found

    def _looked(self, name: str, task: asyncio.Task[T]) -> None:
        self._looks.pop(name, None)
        if (
            not task.cancelled()
            and task.exception() is not None
            and not isinstance(task.exception(), TransientError)
        ):
            # The service serves no more: nobody may be sent to what it was.
            self._known.pop(name, None)
