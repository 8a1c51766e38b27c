"""What a measurement says: the figures of each stage, two endpoints beside each other, and what to know of them.

Pure: what was measured in, what the table, the JSON and the page show out.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.bench import comparison, figures, spending
from pipeline.errors import Throttled
from pipeline.sizing import pricing
from pipeline.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pipeline.bench.comparison import Ratio
    from pipeline.bench.figures import Figures
    from pipeline.bench.measurement import Measured, Results, Started
    from pipeline.bench.samples import Round
    from pipeline.bench.spending import Bound
    from pipeline.bench.sweep import Stage, Sweep
    from pipeline.bench.targets import Target
    from pipeline.report.costs import CostLine
    from pipeline.sizing.pricing import Price

START_S: Final = 1.0
"""A first call that took so much longer than others of its kind started a container."""
MANY: Final = 100
"""Answers of which one in a hundred can be told."""
_CACHED: Final = 0.1
"""Share of the prompts in a cache that is worth a word: a chat template is less of any but the shortest."""
_AT_ONCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Line:
    """A stage on one endpoint, as it is shown."""

    target: Target
    figures: Figures
    cost: CostLine
    """Of a thousand answers."""
    warm_up_s: float | None
    """Of the slowest first call; None where none was answered."""
    refused: str
    texts: Mapping[str, str]
    """What the first error of each kind said."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The second endpoint against the first, in one stage; None where a figure was not measured of both."""

    latency: Ratio | None
    """Of the median answer; below 1 is faster."""
    rate: Ratio | None
    """Of the tokens, or the answers where those are no texts, per second; above 1 is faster."""
    first_token: Ratio | None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        named = {"latency_p50": self.latency, "rate": self.rate, "first_token_p50": self.first_token}
        return {name: _ratio(one) for name, one in named.items()}


@dataclass(frozen=True, slots=True)
class StageResult:
    """A stage."""

    stage: Stage
    lines: tuple[Line, ...]
    compared: Compared | None


@dataclass(frozen=True, slots=True)
class Document:
    """All that is said."""

    targets: tuple[Target, ...]
    sweep: Sweep
    bound: Bound
    began: datetime
    stages: tuple[StageResult, ...]
    started: Mapping[str, Started]
    alone_s: float | None
    """How long nobody called before the first call, as far as this command knows."""
    price: Price | None
    stopped: str
    """Why it ended before its end; empty where it did not."""
    guessed: bool
    """Whether no answer told how many tokens its prompt had."""

    @property
    def generates(self) -> bool:
        """Whether the answers are texts."""
        return all(one.generates for one in self.targets)

    @property
    def answered(self) -> bool:
        """Whether anything was measured."""
        return any(line.figures.answers for stage in self.stages for line in stage.lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the figures, a sentence each."""
        return tuple(dict.fromkeys(_notes(self)))

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object; times in seconds."""
        return {
            "began": self.began.isoformat(timespec="seconds"),
            "complete": not self.stopped,
            "stopped": self.stopped or None,
            "endpoints": [self._endpoint(one) for one in self.targets],
            "max_tokens": self.sweep.max_tokens if self.generates else None,
            "requests": self.sweep.requests,
            "seconds": self.sweep.seconds,
            "bound": self.bound.to_json(),
            "stages": [
                {
                    "concurrency": one.stage.concurrency,
                    "prompt_tokens": one.stage.prompt_tokens,
                    "results": [_line(line) for line in one.lines],
                    "compared": one.compared and one.compared.to_json(),
                }
                for one in self.stages
            ],
            "notes": list(self.notes),
        }

    def _endpoint(self, one: Target) -> dict[str, Any]:
        started = self.started.get(one.name)
        return {
            "service": one.endpoint.service,
            "endpoint_name": one.name,
            "runs_on": one.runs_on,
            "streams": one.endpoint.streams,
            "first_call_s": started and round(started.first_s, 3),
            "second_call_s": started and round(started.second_s, 3),
            "alone_s": self.alone_s,
        }


def assemble(
    results: Results,
    targets: Sequence[Target],
    sweep: Sweep,
    bound: Bound,
    *,
    began: datetime,
    price: Price | None,
    alone_s: float | None = None,
    stopped: str = "",
) -> Document:
    """Return what a measurement says, as far as it has come."""
    return Document(
        tuple(targets),
        sweep,
        bound,
        began,
        tuple(_stage(one, price) for one in results.stages),
        dict(results.started),
        alone_s,
        price,
        stopped,
        guessed=bool(results.started) and not results.lengths.measured,
    )


def _stage(measured: Sequence[Measured], price: Price | None) -> StageResult:
    lines = []
    for one in measured:
        found = figures.of(one.rounds)
        cost = spending.per_thousand(one.target, found, price)
        waited = max((each.seconds for each in one.warm_up.samples), default=None)
        failures = [failure for each in one.rounds for failure in each.failures]
        texts = {failure.kind: failure.text for failure in reversed(failures)}
        lines.append(Line(one.target, found, cost, waited, one.refused, texts))
    compared = _compared(*measured) if len(measured) == 2 else None
    return StageResult(measured[0].stage, tuple(lines), compared)


def _compared(first: Measured, second: Measured) -> Compared:
    pairs = [
        (one, other)
        for one, other in zip(first.rounds, second.rounds, strict=False)
        if one.whole and other.whole and one.samples and other.samples
    ]
    return Compared(
        latency=_ratio_of(pairs, _median_latency),
        rate=_ratio_of(pairs, _rate),
        first_token=_ratio_of(pairs, _median_first),
    )


def _ratio_of(pairs: Sequence[tuple[Round, Round]], figure: Any) -> Ratio | None:
    found = [(figure(one), figure(other)) for one, other in pairs]
    return comparison.ratio(found) if all(all(pair) for pair in found) else None


def _median_latency(one: Round) -> float:
    return statistics.median(each.seconds for each in one.samples)


def _median_first(one: Round) -> float | None:
    firsts = [each.first_s for each in one.samples if each.first_s is not None]
    return statistics.median(firsts) if len(firsts) == len(one.samples) else None


def _rate(one: Round) -> float | None:
    found = figures.of([one])
    return found.tokens_per_second or found.answers_per_second


def _line(line: Line) -> dict[str, Any]:
    return {
        "endpoint_name": line.target.name,
        **line.figures.to_json(),
        "slowest_first_call_s": None if line.warm_up_s is None else round(line.warm_up_s, 3),
        "usd_per_1000": None if line.cost.usd is None else round(line.cost.usd, 6),
        "usd_per_1000_how": line.cost.how,
        "refused": line.refused or None,
    }


def _ratio(one: Ratio | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "ratio": round(one.ratio, 4),
        "low": None if one.low is None else round(one.low, 4),
        "high": None if one.high is None else round(one.high, 4),
        "rounds": one.rounds,
        "differs": one.differs,
    }


def _notes(document: Document) -> Iterator[str]:
    if document.stopped:
        yield f"{document.stopped}: these are the results so far"
    for one in document.targets:
        yield from _of_endpoint(document, one)
    for stage in document.stages:
        for line in stage.lines:
            yield from _of_line(document, stage.stage, line)
    found = [line.figures for stage in document.stages for line in stage.lines]
    if any(0 < one.answers < MANY for one in found):
        yield f"a p99 of fewer than {MANY} answers is the slowest of them"
    if document.guessed:
        yield "the endpoint does not tell the tokens of a prompt: their lengths are guesses"
    yield from _of_costs(document)
    if len(document.targets) > 1:
        yield (
            "a ratio is the mean of rounds in which both took turns, with the interval that holds the truth 19 times "
            "of 20: of twenty ratios of equal endpoints one is called a difference all the same"
        )


def _of_endpoint(document: Document, one: Target) -> Iterator[str]:
    if one.generates and not one.endpoint.streams:
        seconds = _prompt_seconds(document, one)
        told = f"; by its own clock a prompt took {seconds}" if seconds else ""
        yield (
            f"{one.name}: no time to the first token, since SageMaker streams nothing from a serverless endpoint{told}"
        )
    if (started := document.started.get(one.name)) is None:
        return
    alone = f" after {span(document.alone_s)} alone" if document.alone_s is not None else ""
    if (more := started.first_s - started.second_s) > START_S:
        yield (
            f"{one.name}: the first call{alone} took {started.first_s:.1f} s and the second {started.second_s:.1f} s: "
            f"a container's start of about {more:.1f} s"
        )
    elif document.alone_s is not None:
        yield f"{one.name}: the first call{alone} took {started.first_s:.1f} s: a container was up, nothing started"


def _prompt_seconds(document: Document, one: Target) -> str:
    found: dict[int, float] = {}
    for stage in document.stages:
        for line in stage.lines:
            seconds = line.figures.prompt_seconds
            if line.target is one and seconds is not None:
                # Of the fewest callers, who do not wait for each other.
                found.setdefault(stage.stage.prompt_tokens, seconds)
    return ", ".join(f"{seconds:.2f} s of {tokens} tokens" for tokens, seconds in found.items())


def _of_line(document: Document, stage: Stage, line: Line) -> Iterator[str]:
    found = line.figures
    at = f"{line.target.name}, {stage.concurrency} at once, {stage.prompt_tokens} tokens"
    if line.refused:
        yield f"{at}: not measured, since it was refused: {line.refused}"
        return
    latency = found.latency
    if line.warm_up_s is not None and latency and line.warm_up_s - latency.longest > START_S:
        yield (
            f"{at}: the slowest first call took {line.warm_up_s:.1f} s, {line.warm_up_s - latency.longest:.1f} s more "
            "than any later one: a container started"
        )
    if throttled := found.errors.get(Throttled.__name__):
        most = line.target.max_concurrency
        room = f"; it takes {most} at once (max_concurrency)" if most and most < stage.concurrency else ""
        yield f"{at}: {throttled} calls were throttled{room}"
    for kind, times in found.errors.items():
        if kind != Throttled.__name__:
            yield f"{at}: {times} x {kind}: {line.texts[kind]}"
    if found.first_token and latency and found.first_token.p50 > _AT_ONCE * latency.p50:
        yield f"{at}: the stream came in one piece, so the time to the first token is that of the whole answer"
    if found.evaluated is not None and found.evaluated < 1 - _CACHED:
        yield f"{at}: {1 - found.evaluated:.0%} of the prompts' tokens lay in the server's cache"
    planned = stage.rounds * stage.calls
    if not document.stopped and found.answers + sum(found.errors.values()) < planned:
        yield f"{at}: the time of the stage ({span(stage.seconds * stage.rounds)}) ended it before {planned} calls"


def _of_costs(document: Document) -> Iterator[str]:
    for target in document.targets:
        costs = [line.cost for stage in document.stages for line in stage.lines if line.target is target]
        if not costs:
            continue
        known = next((one for one in costs if one.usd is not None), None)
        if known is None:
            yield f"{target.name}: no costs of 1,000 answers: {costs[0].how}"
            continue
        told = f"{target.name}: 1,000 answers cost {known.how}, in the first line that has them; data is left out"
        if target.memory_mb is None:
            yield f"{told}. They cost more by each minute in which nobody asks"
            continue
        price = document.price
        when = (
            f", a price of {price.item.as_of} and {price.region if price.exact else pricing.HOME}"
            if price
            else ""
        )
        yield f"{told}{when}. AWS's answer does not tell what it bills"
