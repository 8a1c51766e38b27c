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
    from pipeline.bench.sweep import LoadStage, Sweep
    from pipeline.bench.targets import LoadTarget
    from pipeline.report.costs import CostLine
    from pipeline.sizing.pricing import Price

    Lines = Sequence[tuple[LoadStage, "Line"]]

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

    target: LoadTarget
    figures: Figures
    cost: CostLine
    """Of a thousand answers."""
    warm_up_s: float | None
    """Of the slowest first call; None where none was answered."""
    refused: str
    texts: Mapping[str, str]
    """What the first error of each kind said."""


@dataclass(frozen=True, slots=True)
class Comparison:
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

    stage: LoadStage
    lines: tuple[Line, ...]
    compared: Comparison | None


@dataclass(frozen=True, slots=True)
class BenchDocument:
    """All that is said."""

    targets: tuple[LoadTarget, ...]
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

    def _endpoint(self, one: LoadTarget) -> dict[str, Any]:
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
    targets: Sequence[LoadTarget],
    sweep: Sweep,
    bound: Bound,
    *,
    began: datetime,
    price: Price | None,
    alone_s: float | None = None,
    stopped: str = "",
) -> BenchDocument:
    """Return what a measurement says, as far as it has come."""
    return BenchDocument(
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


def _compared(first: Measured, second: Measured) -> Comparison:
    pairs = [
        (one, other)
        for one, other in zip(first.rounds, second.rounds, strict=False)
        if one.whole and other.whole and one.samples and other.samples
    ]
    return Comparison(
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


def _notes(document: BenchDocument) -> Iterator[str]:
    if document.stopped:
        yield f"{document.stopped}: these are the results so far"
    for number, one in enumerate(document.targets):
        lines = [(stage.stage, stage.lines[number]) for stage in document.stages]
        yield from _of_first_calls(document, one)
        yield from _of_warm_up(one, lines)
        yield from _of_tokens(one, lines)
        yield from _of_short_answers(one, lines, document.sweep.max_tokens)
        yield from _of_errors(one, lines)
        if not document.stopped:
            yield from _of_short_stages(one, lines)
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


def _of_first_calls(document: BenchDocument, one: LoadTarget) -> Iterator[str]:
    """Tell of the very first call. On instances nothing starts; on serverless a start is the likely reason."""
    started = document.started.get(one.name)
    if started is None or one.memory_mb is None:
        return
    alone = f" after {span(document.alone_s)} alone" if document.alone_s is not None else ""
    if (more := started.first_s - started.second_s) > START_S:
        yield (
            f"{one.name}: the first call{alone} took {started.first_s:.1f} s, the second {started.second_s:.1f} s: "
            f"it may have started a container, in about {more:.1f} s"
        )
    elif document.alone_s is not None:
        yield f"{one.name}: the first call{alone} took {started.first_s:.1f} s: a container was still up"


def _of_warm_up(one: LoadTarget, lines: Lines) -> Iterator[str]:
    """Tell of containers that more callers than before likely made start; each takes one caller on serverless."""
    most = 0
    for stage, line in lines:
        latency = line.figures.latency
        slow = line.warm_up_s is not None and latency and line.warm_up_s > 2 * latency.longest + START_S
        if slow and latency and one.memory_mb is not None and stage.concurrency > most:
            yield (
                f"{one.name}, {_at(stage)}: the slowest first call took {line.warm_up_s:.1f} s, later ones "
                f"{latency.longest:.1f} s at most: containers may have started"
            )
        most = max(most, stage.concurrency)


def _of_tokens(one: LoadTarget, lines: Lines) -> Iterator[str]:
    if one.generates and not one.endpoint.streams:
        prompts: dict[int, float] = {}
        for stage, line in lines:
            if line.figures.prompt_seconds is not None:
                # Of the fewest callers, who do not wait for each other.
                prompts.setdefault(stage.prompt_tokens, line.figures.prompt_seconds)
        read = ", ".join(f"{seconds:.2f} s of {tokens} tokens" for tokens, seconds in prompts.items())
        told = f"; by its own clock a prompt took {read}" if read else ""
        yield (
            f"{one.name}: no time to the first token, since SageMaker streams nothing from a serverless endpoint{told}"
        )
    whole = [stage for stage, line in lines if _came_whole(line.figures)]
    if whole:
        yield (
            f"{one.name}, {_places(whole, lines)}: the stream came in one piece, so the time to the first token is "
            "that of the whole answer"
        )
    for stage, line in lines:
        share = line.figures.evaluated
        if share is not None and share < 1 - _CACHED:
            yield f"{one.name}, {_at(stage)}: {1 - share:.0%} of the prompts' tokens lay in the server's cache"


def _came_whole(found: Figures) -> bool:
    first, latency = found.first_token, found.latency
    return first is not None and latency is not None and first.p50 > _AT_ONCE * latency.p50


def _of_short_answers(one: LoadTarget, lines: Lines, max_tokens: int) -> Iterator[str]:
    """Tell of answers that ended before they had as many tokens as was asked for: the context was full."""
    for stage, line in lines:
        tokens = line.figures.completion_tokens
        if one.generates and tokens is not None and tokens < max_tokens:
            yield (
                f"{one.name}, {_at(stage)}: answers had {tokens:.0f} tokens on average and not {max_tokens}: a context "
                "holds prompt and answer"
            )


def _of_errors(one: LoadTarget, lines: Lines) -> Iterator[str]:
    for stage, line in lines:
        if line.refused:
            yield f"{one.name}, {_at(stage)}: not measured, since it was refused: {line.refused}"
        for kind, times in line.figures.errors.items():
            text = line.texts[kind]
            if kind == Throttled.__name__:
                most = one.max_concurrency
                full = most is not None and most < stage.concurrency
                text = f"it takes {most} at once (max_concurrency)" if full else text
                calls = "1 call was" if times == 1 else f"{times} calls were"
                yield f"{one.name}, {_at(stage)}: {calls} throttled: {text}"
            else:
                yield f"{one.name}, {_at(stage)}: {times} x {kind}: {text}"


def _of_short_stages(one: LoadTarget, lines: Lines) -> Iterator[str]:
    short = [
        stage
        for stage, line in lines
        if not line.refused
        and line.figures.answers + sum(line.figures.errors.values()) < stage.rounds * stage.calls
    ]
    if short:
        seconds = span(short[0].seconds * short[0].rounds)
        yield f"{one.name}, {_places(short, lines)}: its time of {seconds} was over before all its calls were made"


def _at(stage: LoadStage) -> str:
    return f"{stage.concurrency} at once, {stage.prompt_tokens} tokens"


def _places(found: Sequence[LoadStage], lines: Lines) -> str:
    return "every stage" if len(found) == len(lines) > 1 else "; ".join(map(_at, found))


def _of_costs(document: BenchDocument) -> Iterator[str]:
    for target in document.targets:
        costs = [line.cost for stage in document.stages for line in stage.lines if line.target is target]
        if not costs:
            continue
        known = next((one for one in costs if one.usd is not None), None)
        if known is None:
            yield f"{target.name}: no costs of 1,000 answers: {costs[0].how}"
            continue
        told = f"{target.name}: USD/1,000 is {known.how}, in the first line that has them; data is left out"
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
