"""What the calls of a stage amount to: percentiles, rates, errors by kind. Pure.

Percentiles are of all answers that were measured, none of them thinned out, put into classes or averaged: the p95 is
the shortest time within which 95 % of the answers were there, which is one that an answer took. A call without an
answer is an error and in no percentile.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.bench.samples import Round, Sample


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest of the values that at least so many percent of them do not exceed.

    Args:
        values: one at least, in any order.
        percent: from 1 to 100.
    """
    if not values or not 1 <= percent <= 100:
        raise ValueError(f"percentile {percent} of {len(values)} values")
    # By whole numbers: 0.95 times 20 is more than 19 to a computer.
    return sorted(values)[-(-percent * len(values) // 100) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """How times are spread, in seconds."""

    p50: float
    p95: float
    p99: float
    longest: float


def spread(values: Sequence[float]) -> Spread | None:
    """Return how values are spread; None where there are none."""
    if not values:
        return None
    return Spread(percentile(values, 50), percentile(values, 95), percentile(values, 99), max(values))


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one stage on one endpoint."""

    answers: int
    errors: Mapping[str, int]
    """How many calls of each kind had no answer."""
    seconds: float
    """That the stage took, warm-up left out."""
    latency: Spread | None
    first_token: Spread | None
    """None where no answer came as a stream."""
    answers_per_second: float | None
    tokens_per_second: float | None
    """Of all callers together."""
    caller_tokens_per_second: float | None
    """As the median answer's caller saw it: its tokens by its whole time."""
    server_tokens_per_second: float | None
    """Of the median answer, by the server's own clock, its prompt left out."""
    prompt_tokens: float | None
    """On average, as the server counts them."""
    completion_tokens: float | None
    evaluated: float | None
    """Share of the prompts' tokens that the server had to read; the rest lay in its cache."""
    prompt_seconds: float | None
    """That the median prompt took, by the server's own clock."""
    billed: tuple[float, str] | None
    """Seconds of one answer for the reckoning of its price, and how they were measured."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "answers": self.answers,
            "errors": dict(self.errors),
            "seconds": round(self.seconds, 3),
            "latency_s": _rounded(self.latency),
            "first_token_s": _rounded(self.first_token),
            "answers_per_second": _short(self.answers_per_second),
            "tokens_per_second": _short(self.tokens_per_second),
            "caller_tokens_per_second": _short(self.caller_tokens_per_second),
            "server_tokens_per_second": _short(self.server_tokens_per_second),
            "prompt_tokens": _short(self.prompt_tokens),
            "completion_tokens": _short(self.completion_tokens),
            "evaluated_share": _short(self.evaluated),
            "server_prompt_s": _short(self.prompt_seconds),
        }


def of(rounds: Iterable[Round]) -> Figures:
    """Return the figures of rounds, taken together."""
    found = list(rounds)
    samples = [sample for one in found for sample in one.samples]
    seconds = sum(one.seconds for one in found)
    tokens = _all(one.completion_tokens for one in samples)
    prompts = _all(one.prompt_tokens for one in samples)
    rates = _all(one.completion_tokens and one.completion_tokens / one.seconds for one in samples)
    firsts = [one.first_s for one in samples if one.first_s is not None]
    return Figures(
        answers=len(samples),
        errors=dict(Counter(failure.kind for one in found for failure in one.failures).most_common()),
        seconds=seconds,
        latency=spread([one.seconds for one in samples]),
        first_token=spread(firsts),
        answers_per_second=len(samples) / seconds if samples and seconds else None,
        tokens_per_second=sum(tokens) / seconds if tokens and seconds else None,
        caller_tokens_per_second=_median(rates),
        server_tokens_per_second=_median(_all(one.server_rate for one in samples)),
        prompt_tokens=statistics.fmean(prompts) if prompts else None,
        completion_tokens=statistics.fmean(tokens) if tokens else None,
        evaluated=_evaluated(samples),
        prompt_seconds=_median(_all(one.prompt_s for one in samples)),
        billed=_billed(samples),
    )


def _all(values: Iterable[float | None]) -> list[float]:
    """Return values where every answer told its own; nothing where one did not."""
    found = list(values)
    return [one for one in found if one is not None] if None not in found else []


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _evaluated(samples: Sequence[Sample]) -> float | None:
    read = _all(one.evaluated_tokens for one in samples)
    whole = _all(one.prompt_tokens for one in samples)
    return min(1.0, sum(read) / sum(whole)) if read and sum(whole) else None


def _billed(samples: Sequence[Sample]) -> tuple[float, str] | None:
    if by_server := _all(one.server_s for one in samples):
        return statistics.fmean(by_server), "by the endpoint's own clock"
    if samples:
        return statistics.fmean(one.seconds for one in samples), "as the caller saw it"
    return None


def _rounded(found: Spread | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {
        "p50": round(found.p50, 4),
        "p95": round(found.p95, 4),
        "p99": round(found.p99, 4),
        "longest": round(found.longest, 4),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
