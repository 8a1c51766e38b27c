"""What a measurement may cost at most, told before its first call, and what a thousand answers cost by its figures.

Pure. A serverless endpoint is paid for by the memory it has and the time it takes; one on instances by the hour,
whether anybody asks or not. Data in and out is left out: next to nothing for text (`docs/costs.md`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.bench import sweep
from pipeline.report import costs
from pipeline.report.costs import CostLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.bench.figures import Figures
    from pipeline.bench.sweep import LoadStage, Sweep
    from pipeline.bench.targets import LoadTarget
    from pipeline.sizing.pricing import Price

LONGEST_S: Final = 60
"""That SageMaker waits for an answer that is not a stream; a call that began in time may end so much later."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a measurement comes to at most."""

    calls: int
    seconds: float
    """Until it ends; the start of containers is not in it."""
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    """None where a price is not known."""
    how: str

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "calls": self.calls,
            "seconds": round(self.seconds),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": None if self.usd is None else round(self.usd, 6),
            "how": self.how,
        }


def bound(
    stages: Sequence[LoadStage], wanted: Sweep, targets: Sequence[LoadTarget], second: Price | None
) -> Bound:
    """Return what a measurement comes to at most.

    Args:
        stages: what is run.
        wanted: what they were made of.
        targets: the endpoints that are measured.
        second: the price of a GB and second of a serverless endpoint.
    """
    each = sum(one.most_calls for one in stages)
    calls = (sweep.PROBES * sweep.PROBE_TRIES + each) * len(targets)
    seconds = sum(one.rounds * one.seconds + LONGEST_S for one in stages) * len(targets)
    tokens = sum(one.most_calls * one.prompt_tokens for one in stages) * len(targets)
    lines = [_spent(one, stages, second) for one in targets]
    known = [usd for usd, _ in lines if usd is not None]
    return Bound(
        calls,
        seconds,
        tokens,
        (calls if any(one.generates for one in targets) else 0) * wanted.max_tokens,
        sum(known) if len(known) == len(lines) else None,
        "; ".join(f"{one.name}: {how}" for one, (_, how) in zip(targets, lines, strict=True)),
    )


def _spent(target: LoadTarget, stages: Iterable[LoadStage], second: Price | None) -> tuple[float | None, str]:
    """Return what one endpoint's calls cost at most, and how that is reckoned."""
    if target.memory_mb is None:
        usd = target.cost.usd_per_hour
        told = "price not known" if usd is None else f"{usd:g} USD an hour"
        return (0.0, f"nothing beside what its instances cost anyway, {told}")
    if second is None:
        return None, "no price is listed"
    busy = float(sweep.PROBES * sweep.PROBE_TRIES * LONGEST_S)
    for one in stages:
        # Each caller keeps a container busy until the stage ends, or until all calls are made.
        by_time = one.concurrency * one.rounds * (one.seconds + LONGEST_S)
        busy += min(by_time, one.most_calls * LONGEST_S)
    gb = target.memory_mb / 1024
    return busy * gb * second.usd, f"{busy:,.0f} s x {gb:g} GB x {second.usd:.7f} USD"


def per_thousand(target: LoadTarget, found: Figures, second: Price | None) -> CostLine:
    """Return what a thousand answers like those of a stage cost."""
    if target.memory_mb is not None:
        if target.cost.usd_per_hour is None:
            return CostLine(costs.TIME, None, target.cost.how)
        if found.billed is None:
            return CostLine(costs.TIME, None, "not measured: nothing was answered")
        return costs.serverless_time(target.memory_mb, *found.billed, second)
    what = "its instances"
    if target.cost.usd_per_hour is None:
        return CostLine(what, None, target.cost.how)
    if not found.answers_per_second:
        return CostLine(what, None, "not measured: nothing was answered")
    an_hour = found.answers_per_second * 3600
    return CostLine(
        what,
        costs.REQUESTS * target.cost.usd_per_hour / an_hour,
        f"{costs.REQUESTS} answers at {an_hour:,.0f} an hour x {target.cost.usd_per_hour:g} USD an hour",
    )
