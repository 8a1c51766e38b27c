"""One call to one endpoint, timed: whole, or as a stream where the endpoint has one.

What is asked for is an answer of the full length, whatever the model would rather do (`ignore_eos`): answers of other
lengths could not be compared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.bench import samples
from pipeline.client import calls, replies, requests
from pipeline.client.replies import Reply
from pipeline.client.requests import Conversation, Sampling, Turn
from pipeline.errors import NotYetVisible, SealiftError, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws.clients import Clients
    from pipeline.bench.samples import Sample
    from pipeline.bench.targets import LoadTarget


class TimedCaller:
    """Asks one endpoint.

    Args:
        clients: of its account.
        target: the endpoint.
        max_tokens: of an answer.
        now: tells the time, in seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        clients: Clients,
        target: LoadTarget,
        max_tokens: int,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._clients = clients
        self._target = target
        self._max_tokens = max_tokens
        self._now = now
        self._sleep = sleep

    def ask(self, prompt: str) -> Sample:
        """Ask once.

        Raises:
            SealiftError, NotAnAnswer: as `calls.invoke` and `replies.whole` do.
        """
        streams = self._target.endpoint.streams and self._target.generates
        body = calls.encoded(self.body(prompt, stream=streams))
        begun = self._now()
        if streams:
            return self._streamed(body, begun)
        reply = replies.whole(
            calls.invoke(self._clients, self._target.name, body, component=self._target.endpoint.component)
        )
        return samples.sample(reply, self._now() - begun)

    def ask_first(self, prompt: str) -> Sample:
        """Ask once, and wait for a container that starts; its start is in the seconds.

        Raises:
            SealiftError: what waiting does not help against; that the endpoint has its hands full is told at once.
        """
        begun = self._now()

        def step() -> Sample | SealiftError:
            try:
                return self.ask(prompt)
            except (Throttled, NotYetVisible) as error:
                return error

        found = calls.patiently(step, sleep=self._sleep, now=self._now)
        if isinstance(found, SealiftError):
            raise found
        return replace(found, seconds=self._now() - begun)

    def body(self, prompt: str, *, stream: bool) -> dict[str, Any]:
        """Return what is sent."""
        asked = Conversation((Turn("user", prompt),))
        if not self._target.generates:
            return requests.body(self._target.endpoint.form, asked, Sampling())
        sampling = Sampling(max_tokens=self._max_tokens)
        return {
            **requests.body(self._target.endpoint.form, asked, sampling, stream=stream),
            "ignore_eos": True,
        }

    def _streamed(self, body: bytes, begun: float) -> Sample:
        reply, first = Reply(), None
        for event in calls.stream(
            self._clients, self._target.name, body, component=self._target.endpoint.component
        ):
            replies.take(reply, event)
            if first is None and (reply.text or reply.reasoning):
                first = self._now() - begun
        return samples.sample(reply, self._now() - begun, first)
