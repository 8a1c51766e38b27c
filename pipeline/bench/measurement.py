"""The measurement itself: stage by stage, each endpoint warmed up first, two endpoints in turns.

What there is so far can be read at any time, so that an interrupted measurement is worth what it has cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import TYPE_CHECKING

from pipeline.bench import load, prompts, sweep
from pipeline.bench.exchange import TimedCaller
from pipeline.bench.prompts import PROBES, Lengths
from pipeline.bench.samples import Round
from pipeline.client import calls
from pipeline.errors import EndpointFailed, RequestRejected, ServiceUnavailable
from pipeline.rollout.answers import NotAnAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.aws.clients import Clients
    from pipeline.bench.samples import Sample
    from pipeline.bench.sweep import LoadStage
    from pipeline.bench.targets import LoadTarget

_NO_END_S = 1e9


@dataclass(slots=True)
class Measured:
    """A stage on one endpoint."""

    stage: LoadStage
    target: LoadTarget
    warm_up: Round = field(default_factory=Round)
    """The first call of each caller, all at once: containers start, and nothing of it is in any figure."""
    rounds: list[Round] = field(default_factory=list)
    refused: str = ""
    """Why nothing was measured: the endpoint does not take such a request."""


@dataclass(slots=True)
class Started:
    """What the first two calls of an endpoint were like, which ask for one token each."""

    first_s: float
    """Of the very first, with the start of a container where one had to start."""
    second_s: float


@dataclass(slots=True)
class Results:
    """What was measured so far."""

    stages: list[list[Measured]] = field(default_factory=list)
    """For each stage what was measured of each endpoint, in the order of the endpoints."""
    started: dict[str, Started] = field(default_factory=dict)
    """By the endpoint's name."""
    lengths: Lengths = field(default_factory=Lengths)


class Measurement:
    """Measures endpoints.

    Args:
        clients: of the account, with a connection for each caller.
        targets: the endpoints, two at most.
        stages: what is run.
        max_tokens: of an answer.
        seed: of the prompts; with another one no prompt is the same.
        now: tells the time, in seconds.
        sleep: waits so many seconds.
        look: hears again and again what is done.
    """

    def __init__(
        self,
        clients: Clients,
        targets: Sequence[LoadTarget],
        stages: Sequence[LoadStage],
        max_tokens: int,
        seed: str,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        look: Callable[[str], None],
        pause_s: float = load.PAUSE_S,
    ) -> None:
        self.results = Results()
        self._targets = targets
        self._stages = stages
        self._seed = seed
        self._now = now
        self._look = look
        self._pause_s = pause_s
        self._sleep = sleep
        self._probing = {one.name: TimedCaller(clients, one, 1, now=now, sleep=sleep) for one in targets}
        self._asking = {
            one.name: TimedCaller(clients, one, max_tokens, now=now, sleep=sleep) for one in targets
        }

    def run(self) -> None:
        """Measure all of it.

        Raises:
            SealiftError: an endpoint cannot be asked at all.
            KeyboardInterrupt: as it came.
        """
        # Both are sent the same texts: those that have the length by the first one's tokens.
        self.results.lengths, *_ = [self._probe(one) for one in self._targets]
        for number, stage in enumerate(self._stages, 1):
            measured = [Measured(stage, one) for one in self._targets]
            self.results.stages.append(measured)
            what = f"stage {number} of {len(self._stages)}: {stage.concurrency} at once, {stage.prompt_tokens} tokens"
            for one in measured:
                self._warm_up(one, what)
            able = [one for one in measured if not one.refused]
            for turn in range(stage.rounds):
                # Who comes first has no advantage of it, nor the other of what the first one warmed.
                for one in able if turn % 2 == 0 else able[::-1]:
                    self._measure(one, turn, what)

    def _probe(self, target: LoadTarget) -> Lengths:
        """Call an endpoint for the first time, and return how many tokens the words of a prompt are to it."""
        exchange = self._probing[target.name]
        self._look(f"first call of {target.name}")
        short, long = (
            prompts.prompt(words, f"{self._seed}/{words}", task=target.generates) for words in PROBES
        )
        few = self._answered(exchange, short)
        try:
            many = self._answered(exchange, long)
        except RequestRejected:
            # Longer than the model takes; it may yet take what is to be measured.
            many = replace(few, prompt_tokens=None)
        self.results.started[target.name] = Started(few.seconds, many.seconds)
        return Lengths.of((few.prompt_tokens, many.prompt_tokens))

    def _answered(self, exchange: TimedCaller, prompt: str) -> Sample:
        """Ask until the endpoint does not fail, a few times at the most."""
        return calls.repeatedly(
            lambda: exchange.ask_first(prompt),
            (EndpointFailed, NotAnAnswer, ServiceUnavailable),
            tries=sweep.PROBE_TRIES,
            pause=lambda: self._sleep(self._pause_s),
        )

    def _warm_up(self, one: Measured, what: str) -> None:
        callers = one.stage.concurrency
        load.run(
            self._asking[one.target.name].ask_first,
            islice(self._prompts(one, "first"), callers),
            one.warm_up,
            callers=callers,
            seconds=_NO_END_S,
            now=self._now,
            look=lambda done: self._look(f"{what}: {done} of {callers} callers answered once"),
            pause_s=0,
        )
        refusals = [failure for failure in one.warm_up.failures if failure.kind == RequestRejected.__name__]
        if refusals and not one.warm_up.samples:
            one.refused = refusals[0].text

    def _measure(self, one: Measured, turn: int, what: str) -> None:
        stage, into = one.stage, Round()
        one.rounds.append(into)
        before = sum(each.done for each in one.rounds)
        whole = stage.calls * stage.rounds
        load.run(
            self._asking[one.target.name].ask,
            islice(self._prompts(one, str(turn)), stage.calls),
            into,
            callers=stage.concurrency,
            seconds=stage.seconds,
            now=self._now,
            look=lambda done: self._look(f"{what}: {before + done} of {whole} calls of {one.target.name}"),
            pause_s=self._pause_s,
        )

    def _prompts(self, one: Measured, turn: str) -> Iterator[str]:
        """Yield prompts: the same ones for each endpoint, and never one twice."""
        stage = one.stage
        words = self.results.lengths.words(stage.prompt_tokens)
        seed = f"{self._seed}/{stage.concurrency}/{stage.prompt_tokens}/{turn}"
        for number in count():
            yield prompts.prompt(words, f"{seed}/{number}", task=one.target.generates)
