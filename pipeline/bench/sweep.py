"""What is measured: stages of so many callers and so long prompts, and how many calls that is at most.

Pure. Owns how the calls of a stage are divided into rounds where two endpoints are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.bench import comparison
from pipeline.errors import InvalidInput, Problem

ROUNDS: Final = 10
"""Of a stage where two endpoints take turns: as many as there are calls for, and no more than these."""
PROBE_TRIES: Final = 3
"""How often each of them is made where the endpoint fails: one that fails now and then can be measured."""
PROBES: Final = 2
"""Calls that find out how many tokens a word has."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What somebody wants to know."""

    concurrency: tuple[int, ...]
    """Callers at once, of each stage."""
    prompt_tokens: tuple[int, ...]
    max_tokens: int
    """Of an answer."""
    requests: int
    """Calls of a stage to one endpoint, at most."""
    seconds: float
    """Of a stage on one endpoint, after which no call begins."""


@dataclass(frozen=True, slots=True)
class LoadStage:
    """So many callers with so long prompts."""

    concurrency: int
    prompt_tokens: int
    rounds: int
    calls: int
    """Of one round, to one endpoint."""
    seconds: float
    """Of one round."""

    @property
    def most_calls(self) -> int:
        """Calls to one endpoint, with the one of each caller before it is measured."""
        return self.rounds * self.calls + self.concurrency


def stages(sweep: Sweep, *, compared: bool) -> tuple[LoadStage, ...]:
    """Return the stages in the order in which they are run: the shortest prompts and the fewest callers first.

    Args:
        sweep: what is wanted.
        compared: whether two endpoints take turns, in rounds in which each caller makes equally many calls.

    Raises:
        InvalidInput: there are too few calls for that.
    """
    found = []
    for tokens in sorted(set(sweep.prompt_tokens)):
        for callers in sorted(set(sweep.concurrency)):
            rounds, calls = (1, sweep.requests) if not compared else _rounds(sweep.requests, callers)
            found.append(LoadStage(callers, tokens, rounds, calls, sweep.seconds / rounds))
    return tuple(found)


def _rounds(requests: int, callers: int) -> tuple[int, int]:
    each = requests // callers
    """Calls of each caller."""
    rounds = min(ROUNDS, each)
    if rounds < comparison.FEWEST:
        needed = comparison.FEWEST * callers
        raise InvalidInput(
            "--requests",
            [
                Problem(
                    "TooFewRequests",
                    f"{requests} for {callers} callers at once",
                    f"at least {needed}: two endpoints are compared over {comparison.FEWEST} rounds or more, in each "
                    "of which every caller asks",
                    f"say --requests {needed}, or fewer callers in --concurrency",
                )
            ],
        )
    return rounds, each // rounds * callers
