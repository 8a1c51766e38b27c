"""The figures as rows of texts, for a terminal and for the page alike. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.report import page

if TYPE_CHECKING:
    from pipeline.bench.comparison import Ratio
    from pipeline.bench.figures import Spread
    from pipeline.bench.results import BenchDocument, Line, StageResult

    Row = tuple[str, ...]

NONE: Final = "-"
"""What was not measured."""
FIRST, SECOND = "A", "B"
"""What two endpoints are called where they are compared."""


def head(document: BenchDocument) -> Row:
    """Return what stands above the columns of `rows`."""
    named = ("endpoint",) if len(document.targets) > 1 else ()
    rates = ("tok/s each", "tok/s all") if document.generates else ("texts/s",)
    return (
        *named,
        "at once",
        "prompt",
        "answers",
        *(("first",) if document.generates else ()),
        "p50",
        "p95",
        "p99",
        *rates,
        "errors",
        "USD/1,000",
    )


def rows(document: BenchDocument) -> list[Row]:
    """Return a row for each endpoint in each stage."""
    found = []
    for stage in document.stages:
        for number, line in enumerate(stage.lines):
            named = ((FIRST, SECOND)[number],) if len(document.targets) > 1 else ()
            found.append((*named, *_row(stage, line, generates=document.generates)))
    return found


def _row(stage: StageResult, line: Line, *, generates: bool) -> Row:
    of, latency = line.figures, line.figures.latency
    tokens = str(stage.stage.prompt_tokens) if of.prompt_tokens is None else f"{of.prompt_tokens:.0f}"
    each, together = rate(of.caller_tokens_per_second), rate(of.tokens_per_second)
    return (
        str(stage.stage.concurrency),
        tokens,
        str(of.answers),
        *((_p50(of.first_token),) if generates else ()),
        *(seconds(getattr(latency, name) if latency else None) for name in ("p50", "p95", "p99")),
        *((each, together) if generates else (rate(of.answers_per_second),)),
        str(sum(of.errors.values())),
        NONE if line.cost.usd is None else page.usd(line.cost.usd).removesuffix(" USD"),
    )


def comparison_head(document: BenchDocument) -> Row:
    """Return what stands above the columns of `comparisons`."""
    pair = f"{SECOND} to {FIRST}"
    rates = f"tokens/s, {pair}" if document.generates else f"texts/s, {pair}"
    firsts = (f"first token, {pair}",) if _has_firsts(document) else ()
    return ("at once", "prompt", f"answer's time, {pair}", rates, *firsts)


def comparisons(document: BenchDocument) -> list[Row]:
    """Return a row for each stage in which two endpoints were compared."""
    return [
        (
            str(stage.stage.concurrency),
            str(stage.stage.prompt_tokens),
            compared(stage.compared.latency),
            compared(stage.compared.rate),
            *((compared(stage.compared.first_token),) if _has_firsts(document) else ()),
        )
        for stage in document.stages
        if stage.compared
    ]


def _has_firsts(document: BenchDocument) -> bool:
    return any(stage.compared and stage.compared.first_token for stage in document.stages)


def compared(one: Ratio | None) -> str:
    """Return a ratio with its interval, and whether it is a difference."""
    if one is None:
        return NONE
    if one.low is None or one.high is None:
        return f"{one.ratio:.2f}, too few rounds"
    verdict = "differs" if one.differs else "within noise"
    return f"{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f}), {verdict}"


def seconds(value: float | None) -> str:
    """Return a time with three digits."""
    if value is None:
        return NONE
    return (
        f"{value * 1000:.0f} ms"
        if value < 0.9995
        else f"{value:.2f} s"
        if value < 9.995
        else f"{value:.1f} s"
    )


def rate(value: float | None) -> str:
    """Return how many a second."""
    if value is None:
        return NONE
    return f"{value:.2f}" if value < 9.995 else f"{value:,.1f}" if value < 99.95 else f"{value:,.0f}"


def _p50(found: Spread | None) -> str:
    return seconds(found.p50 if found else None)
