"""The report as one HTML page: no script, nothing loaded, every text escaped, the same bytes for the same document.

Owns how things look and are worded; what they are is `document`'s. What was not measured says so.
"""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING, Final

from pipeline import __version__
from pipeline.limits import MiB
from pipeline.report import style
from pipeline.report.markup import Markup, el, join
from pipeline.report.timeline import Loop, Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from pipeline.report.costs import Line as Cost
    from pipeline.report.document import Document, Failure
    from pipeline.report.graph import Arrow, Graph, Node
    from pipeline.report.markup import Child
    from pipeline.report.memory import Budget, Fit
    from pipeline.report.timeline import Attempt, Timeline
    from pipeline.report.transcript import Exchange, Transcript

NOT_MEASURED: Final = "not measured"
COLOURS: Final = 8
BAR: Final = 1000
"""Units that a bar is wide."""

_BADGES: Final = {"SUCCEEDED": "good", "RUNNING": "wait"}
_MARKS: Final = {
    "done": "\u2713",
    "failed": "\u2717",
    "running": "\u2026",
    "skipped": "\u2013",
    "pending": "\u00b7",
}


def render(document: Document) -> bytes:
    """Return the page."""
    title = f"{document.headline} - Sealift"
    sections = [section for section in _sections(document) if section is not None]
    contents = el(
        "nav",
        el("ul", [el("li", el("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]),
        aria_label="Contents",
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=style.POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="robots", content="noindex"),
        el("link", rel="icon", href="data:,"),
        el("title", title),
        Markup(f"<style>{style.CSS}</style>"),
    )
    body = el(
        "body",
        el("a", "Skip to the report", href="#report", class_="skip"),
        _header(document),
        contents,
        el(
            "main",
            _alert(document.failure),
            [
                el(
                    "section",
                    el("h2", name, id=f"{anchor}-title"),
                    content,
                    id=anchor,
                    aria_labelledby=f"{anchor}-title",
                )
                for anchor, name, content in sections
            ],
            id="report",
            tabindex="-1",
        ),
        _footer(document),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n".encode()


def _sections(document: Document) -> Iterable[tuple[str, str, Markup] | None]:
    yield "glance", "At a glance", _glance(document)
    yield ("checklist", "Checklist", _checklist(document)) if document.checklist else None
    yield ("answers", "Smoke test", _smoke(document.transcript, document)) if document.transcript else None
    yield ("fit", "Memory", _fit(document.fit)) if document.fit else None
    yield "costs", "Costs", _costs(document)
    yield ("workflow", "Workflow", _workflow(document.graph)) if document.graph else None
    yield "timeline", "Timeline", _timeline(document.timeline)
    yield ("archive", "Archive", _archive(document)) if document.archive else None
    yield "resources", "Resources", _resources(document)


# --------------------------------------------------------------------------- head and foot


def _header(document: Document) -> Markup:
    took = "" if document.seconds is None else f", took {_duration(document.seconds)}"
    return el(
        "header",
        el(
            "p",
            el(
                "span",
                document.status.replace("_", " ").lower(),
                class_=f"badge {_BADGES.get(document.status, 'bad')}",
            ),
            class_="soft",
        ),
        el("h1", document.headline, class_="said"),
        el(
            "p",
            "Execution ",
            el("a", document.name, href=document.url, class_="said", rel="noreferrer"),
            f", {document.region}, began {_moment(document.started)}{took}",
            class_="soft",
        ),
    )


def _alert(failure: Failure | None) -> Markup | None:
    if failure is None:
        return None
    undone = [
        (name, texts)
        for name, texts in (
            ("Not undone, remove by hand", failure.not_undone),
            ("Undone", failure.gone),
            ("Put back", failure.restored),
            ("Kept", failure.kept),
        )
        if texts
    ]
    return el(
        "section",
        el("h2", "What went wrong: ", el("span", failure.error, class_="said"), id="failure-title"),
        el(
            "dl",
            [
                (el("dt", name), el("dd", what, class_="said"))
                for name, what in (
                    ("What happened", failure.what),
                    ("Why", failure.why),
                    ("What to do", failure.fix),
                )
            ],
            [(el("dt", name), el("dd", _list(texts))) for name, texts in undone],
        ),
        el(
            "details",
            el("summary", f"Evidence, {_count(len(failure.evidence), 'line')}"),
            el("pre", "\n".join(failure.evidence), tabindex="0"),
        )
        if failure.evidence
        else None,
        class_="alert",
        id="failure",
        aria_labelledby="failure-title",
    )


def _footer(document: Document) -> Markup:
    unread = (
        el(
            "p",
            "Left out, because this execution's data has another shape than this version of Sealift knows: "
            + ", ".join(document.unread),
        )
        if document.unread
        else None
    )
    return el(
        "footer",
        unread,
        el(
            "p",
            f"Written by Sealift {__version__} from the execution's own history. Times are UTC. It loads nothing "
            "and runs no script. Execution ",
            el("code", document.arn, class_="said"),
            class_="soft",
        ),
    )


# ---------------------------------------------------------------------------------- parts


def _glance(document: Document) -> Markup:
    talk, fit = document.transcript, document.fit
    speeds = [one.tokens_per_second for one in talk.exchanges if one.tokens_per_second] if talk else []
    thousand = document.costs.per_thousand
    cards: list[tuple[str, str, str]] = [
        (
            "Took",
            "still running" if document.seconds is None else _duration(document.seconds),
            f"{_duration(document.timeline.waited)} of it waiting",
        )
    ]
    if fit:
        share = fit.memory.used / fit.memory.limit if fit.memory.limit else 0
        cards.append(("Memory", f"{fit.memory_mb} MB", f"{share:.0%} of it needed"))
        cards.append(("Concurrency", f"{fit.max_concurrency}", "invocations at once"))
    if talk:
        cards.append(("First answer", _or_not(talk.first_seconds), "may pay for a cold start"))
        cards.append(
            (
                "Tokens per second",
                f"{sum(speeds) / len(speeds):.1f}" if speeds else NOT_MEASURED,
                "by the endpoint's clock",
            )
        )
    if fit or talk:
        cards.append(
            ("1000 requests", "not known" if thousand is None else _usd(thousand), "like the smoke test's")
        )
    return join(
        [
            el(
                "dl",
                [
                    el("div", el("dt", name), el("dd", value, el("small", more)))
                    for name, value, more in cards
                ],
                class_="cards",
            ),
            el("p", "Not as it was asked for: ") if document.steps else None,
            _list(document.steps) if document.steps else None,
        ]
    )


def _checklist(document: Document) -> Markup:
    groups = dict.fromkeys(line.group for line in document.checklist)
    return join(
        [
            (
                el("h3", group.capitalize()),
                el(
                    "ul",
                    [
                        el(
                            "li",
                            el(
                                "span",
                                _MARKS.get(line.mark.value, ""),
                                class_=f"mark-{line.mark.value}",
                                role="img",
                                aria_label=line.mark.value,
                            ),
                            el("span", line.text),
                            el(
                                "span",
                                "" if line.seconds is None else _duration(line.seconds),
                                class_="n soft",
                            ),
                            el("small", line.evidence, class_="said") if line.evidence else None,
                        )
                        for line in document.checklist
                        if line.group == group
                    ],
                    class_="marks",
                ),
            )
            for group in groups
        ]
    )


def _smoke(talk: Transcript | None, document: Document) -> Markup:
    if talk is None:
        return Markup()
    latency = el(
        "table",
        el("caption", "Latency, as the caller saw it"),
        _head("Call", ("Seconds", "n")),
        el(
            "tbody",
            _row("First answer, which may pay for the start of a container", _or_not(talk.first_seconds)),
            _row(
                "Of it beside the model's own work: transport, queue, perhaps a cold start",
                _or_not(talk.start_seconds),
            ),
            _row("Warm: the same question once more, for one token", _or_not(talk.warm_seconds)),
        ),
    )
    consumers = [
        el(
            "figure",
            el(
                "figcaption",
                "Consumer ",
                el("code", one.function),
                f", {one.variable}: {one.before} \u2192 {one.now}",
                class_="said",
            ),
            el("blockquote", one.answer, class_="said answer", dir="auto"),
        )
        for one in document.switched
    ]
    return join(
        [
            [_exchange(one, number) for number, one in enumerate(talk.exchanges, 1)],
            latency,
            (el("h3", "End to end"), consumers) if consumers else None,
        ]
    )


def _exchange(one: Exchange, number: int) -> Markup:
    figures = [
        ("answered in", _or_not(one.seconds)),
        ("tokens", NOT_MEASURED if one.completion_tokens is None else str(one.completion_tokens)),
        (
            "tokens per second",
            NOT_MEASURED if one.tokens_per_second is None else f"{one.tokens_per_second:.1f}",
        ),
        ("prompt tokens evaluated", NOT_MEASURED if one.prompt_tokens is None else str(one.prompt_tokens)),
        ("ended by", one.finish_reason or "not told"),
    ]
    return el(
        "figure",
        el("h3", f"Question {number}"),
        el("blockquote", one.prompt, class_="said", dir="auto"),
        el("blockquote", one.answer, class_="said answer", dir="auto"),
        el("figcaption", "; ".join(f"{name} {value}" for name, value in figures)),
    )


def _fit(fit: Fit | None) -> Markup:
    if fit is None:
        return Markup()
    memory = fit.memory
    spoken = ", ".join(f"{part.name} {_mib(part.amount)}" for part in memory.parts)
    rows = [
        el(
            "tr",
            el("th", _swatch(f"p{number % COLOURS}"), part.name, scope="row"),
            el("td", _mib(part.amount), class_="n"),
            el("td", _share(part.amount, memory.limit), class_="n"),
            el("td", part.how, class_="soft wide"),
        )
        for number, part in enumerate(memory.parts)
    ]
    free = "free" if memory.free >= 0 else "missing"
    return join(
        [
            el(
                "p",
                f"{fit.memory_mb} MB for {_mib(memory.used)} MiB; {_mib(abs(memory.free))} MiB {free}. Sizes that hold "
                "the model: " + (", ".join(f"{size}" for size in fit.sizes_mb) or "none") + " MB.",
            ),
            el(
                "figure",
                el(
                    "svg",
                    el("title", f"Memory of {fit.memory_mb} MB: {spoken}, {free} {_mib(abs(memory.free))}"),
                    _segments(memory),
                    class_="bar",
                    viewBox=f"0 0 {BAR} 40",
                    preserveAspectRatio="none",
                    role="img",
                ),
            ),
            el(
                "table",
                el("caption", "The same in figures"),
                _head("Part", ("MiB", "n"), ("Share", "n"), ("How it is known", "wide")),
                el("tbody", rows),
                el(
                    "tfoot",
                    el(
                        "tr",
                        el("th", _swatch("free"), free, scope="row"),
                        el("td", _mib(abs(memory.free)), class_="n"),
                        el("td", _share(abs(memory.free), memory.limit), class_="n"),
                        el("td", "", class_="wide"),
                    ),
                ),
            ),
            el(
                "details",
                el("summary", "Disk and start-up"),
                _budget("Disk", "MiB", fit.disk, _mib),
                _budget("A cold start", "Seconds", fit.startup, lambda amount: f"{amount:.1f}"),
            ),
            (el("h3", "Notes"), _list(fit.notes)) if fit.notes else None,
        ]
    )


def _segments(budget: Budget) -> list[Markup]:
    whole = max(budget.limit, budget.used) or 1
    drawn, at = [], 0.0
    for number, part in enumerate(budget.parts):
        wide = BAR * part.amount / whole
        drawn.append(
            el("rect", x=f"{at:.2f}", y=0, width=f"{wide:.2f}", height=40, class_=f"p{number % COLOURS}")
        )
        at += wide
    return drawn


def _budget(name: str, unit: str, budget: Budget, spell: Callable[[float], str]) -> Markup:
    return el(
        "table",
        el("caption", name),
        _head("Part", (unit, "n"), ("How it is known", "wide")),
        el(
            "tbody",
            [
                el(
                    "tr",
                    el("th", part.name, scope="row"),
                    el("td", spell(part.amount), class_="n"),
                    el("td", part.how, class_="soft wide"),
                )
                for part in budget.parts
            ],
        ),
        el(
            "tfoot",
            el(
                "tr",
                el("th", "of at most", scope="row"),
                el("td", spell(budget.limit), class_="n"),
                el("td", f"{spell(budget.used)} needed", class_="wide"),
            ),
        ),
    )


def _costs(document: Document) -> Markup:
    costs = document.costs
    groups = [
        ("A thousand requests like those of the smoke test", costs.requests, costs.per_thousand),
        ("A month without a request", costs.idle, None),
        ("This execution, once", costs.deployment, None),
    ]
    stand_ins = [price for price in costs.prices if not price.exact]
    return join(
        [
            [_cost(title, lines, total) for title, lines, total in groups if lines],
            el(
                "p",
                f"Not listed for {document.region}, so the price of us-east-1 stands in: "
                + "; ".join(price.item.meaning for price in stand_ins)
                + ".",
            )
            if stand_ins
            else None,
            el(
                "p",
                "Without the free tier, the tasks' own Lambda time, logs and taxes. Starts of containers are not "
                "counted.",
                class_="soft",
            ),
            el(
                "details",
                el("summary", "Prices used, with date and source"),
                el(
                    "table",
                    _head("What", ("USD", "n"), "Source"),
                    el(
                        "tbody",
                        [
                            el(
                                "tr",
                                el("th", f"{price.item.meaning}, per {price.item.unit}", scope="row"),
                                el("td", f"{price.usd:.10f}".rstrip("0").rstrip(".") or "0", class_="n"),
                                el(
                                    "td",
                                    f"{price.item.source}; as of {price.item.as_of}; {price.item.confidence}",
                                    class_="soft",
                                ),
                            )
                            for price in costs.prices
                        ],
                    ),
                ),
            ),
        ]
    )


def _cost(title: str, lines: Sequence[Cost], total: float | None) -> Markup:
    rows = [
        el(
            "tr",
            el("th", line.what, el("br"), el("small", line.how), scope="row"),
            el("td", "not known" if line.usd is None else _usd(line.usd), class_="n"),
        )
        for line in lines
    ]
    foot = (
        el("tfoot", el("tr", el("th", "together", scope="row"), el("td", _usd(total), class_="n")))
        if total is not None
        else None
    )
    return el(
        "table",
        el("caption", title),
        _head("What", ("Cost", "n")),
        el("tbody", rows),
        foot,
    )


# -------------------------------------------------------------------------------- workflow


def _workflow(graph: Graph | None) -> Markup:
    if graph is None:
        return Markup()
    visited = [node for node in graph.nodes if node.visits]
    hidden = "; ".join(
        f"failures of {_count(number, 'more state')} lead to {name}" for name, number in graph.hidden.items()
    )
    # What was taken is drawn last, over what was not.
    arrows = sorted(graph.arrows, key=lambda arrow: arrow.taken > 0)
    return join(
        [
            el(
                "p",
                f"{len(visited)} of {len(graph.nodes)} states were visited. Thick arrows were taken, dashed ones "
                f"follow a failure{'; not drawn: ' + hidden if hidden else ''}. A state leads to its line "
                "in the timeline.",
            ),
            el(
                "div",
                el(
                    "svg",
                    [_arrow(arrow) for arrow in arrows],
                    [_node(node) for node in graph.nodes],
                    class_="graph",
                    viewBox=f"0 0 {graph.width} {graph.height}",
                    role="group",
                    aria_label="The state graph with the path taken; the timeline below tells the same in words",
                ),
                class_="scroll",
                tabindex="0",
                role="region",
                aria_label="State graph, scrolls sideways on a narrow screen",
            ),
        ]
    )


def _node(node: Node) -> Markup:
    told: str = node.look
    if node.visits:
        told = f"{told}, {_duration(node.seconds)}"
    if node.visits > 1:
        told += f", visited {node.visits} times"
    if node.retries:
        told += f", {_count(node.retries, 'retry', 'retries')}"
    tags = [f"\u00d7{node.visits}"] if node.visits > 1 else []
    tags += [f"\u21bb{node.retries}"] if node.retries else []
    middle = node.x + _NODE_WIDTH // 2
    shape = join(
        [
            el("title", f"{node.name}: {told}. {node.comment}"),
            el(
                "rect",
                x=node.x,
                y=node.y,
                width=_NODE_WIDTH,
                height=_NODE_HEIGHT,
                rx=15 if node.kind in ("Choice", "Wait") else 5,
            ),
            el("text", node.name, x=middle, y=node.y + 19),
            el("text", " ".join(tags), x=node.x + _NODE_WIDTH - 4, y=node.y - 3, class_="tag")
            if tags
            else None,
        ]
    )
    if node.first_visit is None:
        return el("g", shape, class_=node.look)
    return el(
        "a",
        el("g", shape, class_=node.look),
        href=f"#visit-{node.first_visit}",
        aria_label=f"{node.name}: {told}",
    )


_NODE_WIDTH: Final = 136
_NODE_HEIGHT: Final = 30


def _arrow(arrow: Arrow) -> Markup:
    points = list(arrow.points)
    (x1, y1), (x2, y2) = points[-2], points[-1]
    dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
    looks = f"{' taken' if arrow.taken else ''}{' caught' if arrow.caught else ''}"
    # The line ends where the head begins.
    points[-1] = (x2 - 6 * dx, y2 - 6 * dy)
    line = "M" + "L".join(f"{x} {y}" for x, y in points)
    head = f"M{x2} {y2}L{x2 - 7 * dx - 4 * dy} {y2 - 7 * dy - 4 * dx}L{x2 - 7 * dx + 4 * dy} {y2 - 7 * dy + 4 * dx}Z"
    return join([el("path", d=line, class_=looks.strip() or None), el("path", d=head, class_=f"head{looks}")])


# -------------------------------------------------------------------------------- timeline


def _timeline(timeline: Timeline) -> Markup:
    # Ten short states would hide behind one that waits for an hour, so a bar is never thinner than a hair.
    whole = timeline.seconds or 1.0
    return join(
        [
            el(
                "p",
                f"{_count(len(timeline.visits), 'visit')}, {_count(timeline.transitions, 'state transition')}; "
                f"{_duration(timeline.waited)} of {_duration(timeline.seconds)} was waiting. In the bars green is "
                "work, red an attempt that failed, yellow waiting.",
            ),
            el(
                "table",
                _head("State", ("After", "n"), ("Took", "n")),
                el(
                    "tbody",
                    [
                        _loop(row, whole) if isinstance(row, Loop) else _visit(row, whole)
                        for row in timeline.rows
                    ],
                ),
            ),
        ]
    )


def _visit(visit: Visit, whole: float) -> Markup:
    mark = {"failed": " failed", "running": " running"}.get(visit.outcome, "")
    return el(
        "tr",
        el(
            "th",
            el("span", visit.state),
            el("strong", mark, class_=f"mark-{visit.outcome}") if mark else None,
            _visit_bar([visit], whole),
            _attempts(visit),
            scope="row",
        ),
        el("td", _duration(visit.began), class_="n"),
        el("td", _duration(visit.seconds), class_="n"),
        id=f"visit-{visit.number}",
    )


def _loop(loop: Loop, whole: float) -> Markup:
    # Each visit keeps its anchor, for the graph's sake.
    rounds = [
        el(
            "li",
            f"{visit.state}, after {_duration(visit.began)}, took {_duration(visit.seconds)}",
            id=f"visit-{visit.number}",
        )
        for visit in loop.visits
    ]
    return el(
        "tr",
        el(
            "th",
            f"{loop.rounds} rounds of {', '.join(loop.states)}",
            _visit_bar(loop.visits, whole),
            el("details", el("summary", "Each of them"), el("ol", rounds, class_="plain")),
            scope="row",
        ),
        el("td", _duration(loop.began), class_="n"),
        el("td", _duration(loop.seconds), class_="n"),
    )


def _attempts(visit: Visit) -> Markup | None:
    failed = [attempt for attempt in visit.attempts if attempt.outcome == "failed"]
    if not failed:
        return None
    errors = ", ".join(dict.fromkeys(attempt.error for attempt in failed))
    told = f"{_count(len(visit.attempts), 'attempt')}, {len(failed)} failed: {errors}"
    return el(
        "details",
        el("summary", told),
        el("ol", [el("li", _attempt(one)) for one in visit.attempts], class_="plain"),
    )


def _attempt(attempt: Attempt) -> Markup:
    took = "" if attempt.ended is None else f", took {_duration(attempt.ended - attempt.began)}"
    how = f"{attempt.error}: {attempt.cause}" if attempt.error else attempt.outcome
    return join([f"after {_duration(attempt.began)}{took}: ", el("span", how, class_="said")])


def _visit_bar(visits: Sequence[Visit], whole: float) -> Markup:
    rects: list[Child] = []
    for visit in visits:
        if not visit.attempts:
            rects.append(_rect(visit.began, visit.began + visit.seconds, whole, _fill(visit)))
        rects += [
            _rect(
                attempt.began,
                attempt.ended if attempt.ended is not None else visit.began + visit.seconds,
                whole,
                _FILLS[attempt.outcome],
            )
            for attempt in visit.attempts
        ]
        rects += [_rect(begin, end, whole, "idle") for begin, end in visit.waits if visit.attempts]
    return el(
        "svg",
        rects,
        class_="bar thin",
        viewBox=f"0 0 {BAR} 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


_FILLS: Final = {"succeeded": "ok", "failed": "no", "running": "now"}


def _fill(visit: Visit) -> str:
    return "idle" if visit.kind == "Wait" and visit.outcome == "succeeded" else _FILLS[visit.outcome]


def _rect(begin: float, end: float, whole: float, fill: str) -> Markup:
    at = min(BAR * begin / whole, BAR - 3)
    wide = max(BAR * (end - begin) / whole, 3)
    return el("rect", x=f"{at:.1f}", y=0, width=f"{wide:.1f}", height=10, class_=fill)


# ------------------------------------------------------------------------------- the rest


def _archive(document: Document) -> Markup:
    return el(
        "table",
        _head("Fact", "Value"),
        el(
            "tbody",
            [
                el("tr", el("th", fact.name, scope="row"), el("td", fact.value, class_="said"))
                for fact in document.archive
            ],
        ),
    )


def _resources(document: Document) -> Markup:
    return el(
        "table",
        el("caption", f"Names lead to the AWS console of {document.region}"),
        _head("Kind", "Name", "State"),
        el(
            "tbody",
            [
                el(
                    "tr",
                    el("th", one.kind, scope="row"),
                    el("td", el("a", one.name, href=one.url, rel="noreferrer", class_="said")),
                    el("td", one.state),
                )
                for one in document.resources
            ],
        ),
    )


# ------------------------------------------------------------------------------ small things


def _row(name: str, value: str) -> Markup:
    return el("tr", el("th", name, scope="row"), el("td", value, class_="n"))


def _list(texts: Iterable[str]) -> Markup:
    return el("ul", [el("li", one, class_="said") for one in texts], class_="plain")


def _swatch(look: str) -> Markup:
    return el(
        "svg",
        el("rect", width=10, height=10, class_=look),
        class_="swatch",
        viewBox="0 0 10 10",
        aria_hidden="true",
    )


def _moment(moment: datetime | None) -> str:
    return (
        "at an unknown time" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def _head(*columns: str | tuple[str, str]) -> Markup:
    """Return the head of a table: each column's name, or its name and its class."""
    named = ((one, None) if isinstance(one, str) else one for one in columns)
    return el("thead", el("tr", [el("th", name, scope="col", class_=kind) for name, kind in named]))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _or_not(seconds: float | None) -> str:
    return NOT_MEASURED if seconds is None else _duration(seconds)


def _mib(count: float) -> str:
    return f"{count / MiB:,.1f}" if count < 10 * MiB else f"{count / MiB:,.0f}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _usd(amount: float) -> str:
    """Return an amount with two digits that say something, never fewer than cents."""
    if amount == 0:
        return "0 USD"
    digits = 2 if amount >= 0.1 else 1 - math.floor(math.log10(amount))
    return f"{amount:,.{digits}f} USD"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
