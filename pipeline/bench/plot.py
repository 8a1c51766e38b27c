"""Where the lines of a plot run: callers at once to the right, a figure upwards. Pure: figures in, coordinates out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.bench import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pipeline.bench.results import BenchDocument, Line

WIDTH, HEIGHT = 480, 290
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 40
"""What is left for the words beside the lines."""
TICKS: Final = 5
LOOKS: Final = 8
"""Colors that style.css has."""


@dataclass(frozen=True, slots=True)
class PlotLine:
    """One line."""

    look: int
    """The number of its color."""
    dashed: bool
    points: tuple[tuple[float, float], ...]
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot."""

    title: str
    lines: tuple[PlotLine, ...]
    across: tuple[tuple[float, str], ...]
    """Where the numbers of callers stand."""
    upwards: tuple[tuple[float, str], ...]


def plots(document: BenchDocument) -> tuple[Plot, ...]:
    """Return the plots of what was measured."""
    rate = "tokens per second, of all callers" if document.generates else "texts per second, of all callers"
    found = [
        _plot(document, rate, [("", _all_rate)], table.rate),
        _plot(
            document,
            "time of an answer: median, and dashed the p95",
            [("p50", _latency("p50")), ("p95", _latency("p95"))],
            table.seconds,
        ),
        _plot(document, "time to the first token: median", [("", _first)], table.seconds),
    ]
    return tuple(one for one in found if one is not None)


def series(document: BenchDocument) -> tuple[tuple[int, str], ...]:
    """Return what each color stands for."""
    return tuple((number % LOOKS, _label(document, key)) for number, key in enumerate(_keys(document)))


def _keys(document: BenchDocument) -> list[tuple[int, int]]:
    """Return a number of endpoint and a length of prompt for each color."""
    lengths = dict.fromkeys(one.stage.prompt_tokens for one in document.stages)
    return [(number, tokens) for number in range(len(document.targets)) for tokens in lengths]


def _label(document: BenchDocument, key: tuple[int, int]) -> str:
    number, tokens = key
    named = f"{(table.FIRST, table.SECOND)[number]}, " if len(document.targets) > 1 else ""
    return f"{named}{tokens} tokens"


def _plot(
    document: BenchDocument,
    title: str,
    figures: Sequence[tuple[str, Callable[[Line], float | None]]],
    spelled: Callable[[float | None], str],
) -> Plot | None:
    callers = sorted({one.stage.concurrency for one in document.stages})
    values: dict[tuple[int, bool, str], list[tuple[int, float]]] = {}
    for look, key in enumerate(_keys(document)):
        for nth, (named, figure) in enumerate(figures):
            for stage in document.stages:
                if stage.stage.prompt_tokens != key[1]:
                    continue
                if (value := figure(stage.lines[key[0]])) is not None:
                    label = _label(document, key) + (f", {named}" if named else "")
                    values.setdefault((look % LOOKS, nth > 0, label), []).append(
                        (stage.stage.concurrency, value)
                    )
    if not values:
        return None
    top = _top(value for points in values.values() for _, value in points)
    right = {one: _between(number, len(callers)) for number, one in enumerate(callers)}
    lines = tuple(
        PlotLine(look, dashed, tuple((right[one], _height(value, top)) for one, value in points), label)
        for (look, dashed, label), points in values.items()
    )
    upwards = tuple((_height(top * n / TICKS, top), spelled(top * n / TICKS)) for n in range(TICKS + 1))
    return Plot(title, lines, tuple((right[one], str(one)) for one in callers), upwards)


def _all_rate(line: Line) -> float | None:
    return line.figures.tokens_per_second or line.figures.answers_per_second


def _latency(name: str) -> Callable[[Line], float | None]:
    return lambda line: getattr(line.figures.latency, name) if line.figures.latency else None


def _first(line: Line) -> float | None:
    return line.figures.first_token.p50 if line.figures.first_token else None


def _top(values: Iterable[float]) -> float:
    """Return the end of the scale: the next of 1, 2, 2.5 and 5 with noughts above all values."""
    most = max(values)
    if most <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(most))
    return next(step * unit for step in (1, 2, 2.5, 5, 10) if most <= step * unit)


def _between(number: int, many: int) -> float:
    wide = WIDTH - LEFT - RIGHT
    return round(LEFT + wide * (number + 0.5) / many, 1)


def _height(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)
