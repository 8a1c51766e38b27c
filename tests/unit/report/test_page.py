"""The page: valid, self-contained, accessible, deterministic, and safe whatever the texts are."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError, meta

from pipeline.limits import MiB
from pipeline.plain import lines
from pipeline.plain import plain as escaped
from pipeline.report import document, page
from pipeline.report.document import ReportFacts
from pipeline.report.links import Console
from pipeline.report.memory import Budget, Part
from pipeline.sizing import pricing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VOID = frozenset({"meta", "link", "br"})
"""Elements without an end; those of SVG are closed in themselves."""
ANY = st.characters(exclude_categories=())
"""Halves of surrogate pairs among them: JSON can hold them, UTF-8 cannot."""
HARD = (
    "</title><script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "\x00\ud800\u202e]]>--><",
)


class Reader(HTMLParser):
    """Reads a page: its elements in order, its text, and whether they are closed in order."""

    def __init__(self, body: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(body.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element that others may be in."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element that is closed in itself."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Hold that it is the innermost one which ends."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """The elements and the names of their attributes, without any text."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]


def drawn(facts: ReportFacts) -> bytes:
    """Return the page of an execution."""
    return page.render(document.assemble(facts, pricing.LISTED))


KEPT = frozenset({"method", "service", "verdict", "hosting", "input", "name", "gone", "not_undone"})
"""The kinds that are compared, and the names that lead from one part to another: they stay what they are."""


def spoilt(value: Any, text: str, name: str = "") -> Any:
    """Return a document with a text in the place of every other one."""
    if isinstance(value, dict):
        return {key: spoilt(one, text, key) for key, one in value.items()}
    if isinstance(value, list):
        return [spoilt(one, text, name) for one in value]
    return text if isinstance(value, str) and name not in KEPT else value


def with_text(facts: ReportFacts, text: str) -> ReportFacts:
    """Return an execution in which whatever anybody may have written is this text."""
    events = []
    for event in facts.events:
        changed = dict(event)
        for field in [name for name in event if name.endswith("EventDetails")]:
            details = {key: text if key in ("error", "cause") else one for key, one in event[field].items()}
            if "State" in field:
                documents = [key for key in ("input", "output") if key in details]
                details |= {key: json.dumps(spoilt(json.loads(details[key]), text)) for key in documents}
            changed[field] = details
        events.append(changed)
    told = {key: text if key in ("error", "cause") else one for key, one in facts.description.items()}
    if "output" in told:
        told["output"] = json.dumps(spoilt(json.loads(told["output"]), text))
    return ReportFacts(told, events, facts.definition)


@pytest.fixture
def facts(request: pytest.FixtureRequest) -> ReportFacts:
    """One of the executions, by the name of its fixture."""
    found: ReportFacts = request.getfixturevalue(request.param)
    return found


every = pytest.mark.parametrize("facts", ["succeeded", "failed", "stopped"], indirect=True)


@every
def test_the_page_is_well_formed_and_says_what_language_it_is_in(facts: ReportFacts) -> None:
    """Every element is closed in order; one title, one main, one h1, a language, a viewport."""
    read = Reader(drawn(facts))

    assert read.open == []
    assert read.all("html") == [{"lang": "en"}]
    assert [len(read.all(tag)) for tag in ("title", "main", "h1", "header", "footer", "nav")][1:] == [1] * 5
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in read.all("meta")


@every
def test_the_page_refers_to_nothing_outside_itself(facts: ReportFacts) -> None:
    """No script, no image, no font, no sheet; the policy in it forbids them, the links lead to the console only."""
    body = drawn(facts)
    read = Reader(body)

    assert not read.all("script")
    assert not [one for tag, one in read.elements if "src" in one or any(key.startswith("on") for key in one)]
    assert not re.search(r"url\(|@import", body.decode())
    assert read.all("link") == [{"rel": "icon", "href": "data:,"}]
    (policy,) = [one["content"] for one in read.all("meta") if one.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'")
    for link in read.all("a"):
        href = str(link["href"])
        assert href.startswith(("#", "https://eu-central-1.console.aws.amazon.com/")), href


@every
def test_every_anchor_leads_somewhere_and_every_id_is_one(facts: ReportFacts) -> None:
    """The contents, the graph's states and the labels refer to what is there."""
    read = Reader(drawn(facts))
    ids = [str(one["id"]) for _, one in read.elements if "id" in one]
    referred = {str(one["href"])[1:] for one in read.all("a") if str(one["href"]).startswith("#")}
    referred |= {str(one["aria-labelledby"]) for _, one in read.elements if "aria-labelledby" in one}

    assert len(ids) == len(set(ids))
    assert referred <= set(ids)


@every
def test_tables_and_pictures_can_be_read_aloud(facts: ReportFacts) -> None:
    """Header cells say what they head; a picture has a title or is told beside; headings skip no level."""
    read = Reader(drawn(facts))

    assert all(one.get("scope") in ("col", "row") for one in read.all("th"))
    for picture in read.all("svg"):
        assert picture.get("aria-hidden") == "true" or picture.get("role") in ("img", "group")
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later - sooner <= 1 for sooner, later in pairwise(levels))


@every
def test_the_same_execution_gives_the_same_bytes(facts: ReportFacts) -> None:
    """So an event that comes twice changes nothing."""
    assert drawn(facts) == drawn(facts)


def test_the_diagnosis_stands_before_everything_else(failed: ReportFacts) -> None:
    """Whoever opens the page of a failure reads first what to do."""
    text = drawn(failed).decode()

    assert text.index("raise memory_mb") < text.index('id="glance"')
    assert text.index("Not undone, remove by hand") < text.index('id="glance"')


def test_what_was_not_measured_says_so(succeeded: ReportFacts) -> None:
    """An endpoint that tells no timings: no figure is made up for it."""
    output = json.loads(str(succeeded.description["output"]))
    for one in output["smoke_test"]["transcript"]:
        del one["timings"], one["bytes_in"], one["bytes_out"]
    output["smoke_test"]["speed"] = None
    bare = dataclasses.replace(succeeded, description={**succeeded.description, "output": json.dumps(output)})

    said = " ".join(Reader(drawn(bare)).text)

    assert said.count("not measured") >= 5
    assert "first token" not in said
    assert "tokens per second 20.0" not in said
    assert "tokens per second 20.0" in " ".join(Reader(drawn(succeeded)).text)


@every
@pytest.mark.parametrize("text", HARD)
def test_hostile_text_stays_text(facts: ReportFacts, text: str) -> None:
    """It changes not one element of the page, and can be read on it as it was written."""
    spoilt, plain = Reader(drawn(with_text(facts, text))), Reader(drawn(with_text(facts, "harmless")))

    assert spoilt.shape == plain.shape
    assert spoilt.open == []
    assert escaped(text) in "".join(spoilt.text)


@pytest.mark.parametrize("name", ["succeeded", "failed"])
def test_no_text_becomes_markup(name: str, request: pytest.FixtureRequest) -> None:
    """Any text at all, surrogates and control characters among it: the page's elements are the same."""
    # Without the graph, which takes no text from the execution and most of the time.
    facts = dataclasses.replace(request.getfixturevalue(name), definition=None)
    plain = Reader(drawn(with_text(facts, "harmless"))).shape

    # A role's name is what stands behind the last slash; no role has none.
    @given(st.text(ANY, min_size=1, max_size=30).filter(lambda text: text.rpartition("/")[2].strip()))
    @example("</code>")
    @settings(max_examples=40, deadline=None)
    def spoil(text: str) -> None:
        assert Reader(drawn(with_text(facts, text))).shape == plain

    spoil()


TEMPLATES = sorted(page.TEMPLATES.rglob("*.j2"), key=str)
every_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name.partition(".")[0])


def shown(source: str, **values: object) -> str:
    """Return what a template of one line makes of values."""
    return page.environment().from_string(source).render(**values)


@pytest.mark.parametrize(
    ("source", "whole"),
    [
        pytest.param("{{ text }}", "TEXT", id="a value"),
        pytest.param("{{ 'said: ' ~ text }}", "said: TEXT", id="with other text"),
        pytest.param("{{ [text, text] | join('; ') }}", "TEXT; TEXT", id="joined"),
        pytest.param("{% macro one(a) %}{{ a }}{% endmacro %}{{ one(text) }}", "TEXT", id="through a macro"),
        pytest.param("{% set one %}{{ text }}{% endset %}{{ one }}", "TEXT", id="set"),
    ],
)
@given(text=st.text(ANY, max_size=40))
@example("</p><script>")
@example('" onload="')
@settings(deadline=None)
def test_a_value_is_one_text_wherever_it_stands(source: str, whole: str, text: str) -> None:
    """In an element and in an attribute: what is read back is what was written, but for what HTML cannot hold."""
    read = Reader(shown(f'<p title="{source}">{source}</p>', text=text).encode())

    assert read.open == []
    assert [(tag, list(attributes)) for tag, attributes in read.elements] == [("p", ["title"])]
    assert "".join(read.text) == "\n".join(lines(whole.replace("TEXT", text)))
    assert (read.elements[0][1]["title"] or "") == "".join(read.text)


@every_template
def test_no_template_goes_around_the_escaping(template: Path) -> None:
    """No value is called safe, each attribute that has one is quoted, and there is nothing that runs or is loaded."""
    text = template.read_text(encoding="utf-8")

    assert not re.search(r"\|\s*(safe|escape|e|forceescape|xmlattr|urlize)\b|autoescape|Markup", text)
    assert not re.search(r"=\s*\{[{%]", re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL))
    assert not re.search(r"<script|<img|<iframe|<object|<form|javascript:|\s(on\w+|style|src)=", text)


def test_the_library_is_loaded_when_a_page_is_drawn_and_not_before() -> None:
    """`sealift --help` and the start of the Lambda wait for none of it."""
    loaded = "'jinja2' in sys.modules"
    script = f"import sys, pipeline.cli.commands.report, tasks.write_report; print({loaded}); "
    script += f"from pipeline.report import page; page.environment(); print({loaded})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]


@every_template
def test_a_template_asks_for_nothing_that_is_not_there(template: Path) -> None:
    """Its names are the document, what the page is told, what its own file sets, and the graph of the one around it."""
    environment = page.environment()
    asked = meta.find_undeclared_variables(environment.parse(template.read_text(encoding="utf-8")))

    assert asked <= {
        "document",
        *environment.globals,
        *({"graph"} if template.name == "graph.svg.j2" else ()),
    }


def test_a_misspelt_name_is_an_error_and_no_gap() -> None:
    """A page that leaves out what went wrong would be worse than none, and a test that draws it sees it."""
    with pytest.raises(UndefinedError, match="erorr"):
        shown("{{ document.erorr }}", document=document.Fact("name", "value"))


def test_what_is_none_is_nothing() -> None:
    """Nobody reads None on a page."""
    assert shown("<p>{{ one }}{{ 0 }}</p>", one=None) == "<p>0</p>"


@every
def test_the_policy_allows_the_one_sheet_by_its_hash(facts: ReportFacts) -> None:
    """As a browser reckons it: of all that stands between the tags."""
    body = drawn(facts).decode()
    (sheet,) = re.findall(r"<style>(.*?)</style>", body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    (policy,) = [one["content"] for one in Reader(body.encode()).all("meta") if one.get("http-equiv")]

    assert f"style-src 'sha256-{digest}';" in str(policy)
    assert sheet == (page.TEMPLATES / "style.css").read_text(encoding="utf-8")


@every
def test_the_sheet_knows_each_class_of_the_page(facts: ReportFacts) -> None:
    """One that it does not know is a slip of whoever wrote the template, or of the sheet."""
    sheet = re.sub(
        r"/\*.*?\*/", "", (page.TEMPLATES / "style.css").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    known = set(re.findall(r"\.([a-z][\w-]*)", sheet)) | {"unvisited", "mark-succeeded"}
    used = {name for _, one in Reader(drawn(facts)).elements for name in str(one.get("class", "")).split()}

    assert used <= known


def picture(body: bytes, after: str, kind: str) -> list[dict[str, str | None]]:
    """Return the pieces of the first bar of a kind behind a text."""
    text = body.decode()
    found = re.compile(rf'<svg class="{kind}".*?</svg>', re.DOTALL).search(text, text.index(after))
    assert found is not None
    return Reader(found[0].encode()).all("rect")


def test_a_states_bar_tells_work_failures_and_waiting(failed: ReportFacts) -> None:
    """Each attempt has its color and its time, and so has each pause; the whole is a thousand units wide."""
    body = drawn(failed)
    fills = {
        name: [one["class"] for one in picture(body, f"<span>{name}</span>", "bar thin")]
        for name in ("CheckArchive", "CreateEndpoint", "SmokeTest", "DeploymentFailed")
    }
    rounds = picture(body, "5 rounds of WaitForEndpoint", "bar thin")

    assert fills == {
        "CheckArchive": ["ok"],
        "CreateEndpoint": ["no", "no", "ok", "idle", "idle"],
        "SmokeTest": ["no"],
        "DeploymentFailed": ["no"],
    }
    assert [one["class"] for one in rounds] == ["idle", "ok", "ok"] * 5
    (first,) = picture(body, "<span>CheckArchive</span>", "bar thin")
    seconds = document.assemble(failed, pricing.LISTED).timeline.seconds
    assert (first["x"], first["width"]) == ("0.0", f"{4000 / seconds:.1f}")
    (last,) = picture(body, "<span>DeploymentFailed</span>", "bar thin")
    assert (last["x"], last["width"]) == ("997.0", "3.0")


def test_what_runs_yet_has_a_color_of_its_own(failed: ReportFacts) -> None:
    """An attempt that has not ended fills no time that is not over."""
    cut = next(n for n, one in enumerate(failed.events) if one["type"] == "TaskScheduled")
    told = {**failed.description, "status": "RUNNING"}
    body = drawn(ReportFacts(told, failed.events[: cut + 1], None))

    assert [one["class"] for one in picture(body, "<span>CheckArchive</span>", "bar thin")] == ["now"]
    assert '<strong class="mark-running"> running</strong>' in body.decode()


@pytest.mark.parametrize(("limit", "word"), [(400 * MiB, "free"), (100 * MiB, "missing")])
def test_the_memory_bar_is_filled_part_by_part(succeeded: ReportFacts, limit: float, word: str) -> None:
    """One after the other, to scale; parts that are more than there is fill it all, and it says what is missing."""
    made = document.assemble(succeeded, pricing.LISTED)
    assert made.fit is not None
    parts = tuple(Part(f"part {number}", 20 * MiB, "measured") for number in range(10))
    budget = Budget(parts, limit)
    whole = max(limit, 200 * MiB)
    body = page.render(dataclasses.replace(made, fit=dataclasses.replace(made.fit, memory=budget)))

    drawn_parts = picture(body, 'id="fit"', "bar")

    assert [one["class"] for one in drawn_parts] == [f"p{number % 8}" for number in range(10)]
    widths = [float(str(one["width"])) for one in drawn_parts]
    assert widths == [pytest.approx(1000 * 20 * MiB / whole, abs=0.01)] * 10
    assert [float(str(one["x"])) for one in drawn_parts] == [
        pytest.approx(number * widths[0], abs=0.05) for number in range(10)
    ]
    missing = abs(limit - 200 * MiB) / MiB
    assert f"part 9 20, {word} {missing:.0f}</title>" in body.decode()
    assert f"{missing:.0f} MiB {word}." in body.decode()


def words(body: bytes, section: str) -> str:
    """Return what a section says, in one line."""
    found = re.search(rf'<section id="{section}".*?(?=</section>)', body.decode(), re.DOTALL)
    assert found is not None
    return " ".join(" ".join(Reader(found[0].encode()).text).split())


def test_a_failure_is_told_whole(failed: ReportFacts) -> None:
    """What, why, what to do, what is left and what is gone, each under its name; what there is none of has no name."""
    said = Reader(drawn(failed))
    terms = re.findall(r"<dt>(.*?)</dt>", drawn(failed).decode())

    assert terms[:5] == ["What happened", "Why", "What to do", "Not undone, remove by hand", "Undone"]
    assert terms[5] == "Took"
    assert {"class": "badge bad"} in said.all("span")
    assert "Evidence, 2 lines" in said.text
    assert "MemoryError\nworker died" in said.text


def test_a_good_end_has_a_good_badge(succeeded: ReportFacts, stopped: ReportFacts) -> None:
    """Words for the status, and its color."""
    assert '<span class="badge good">succeeded</span>' in drawn(succeeded).decode()
    assert '<span class="badge bad">aborted</span>' in drawn(stopped).decode()
    running = ReportFacts({**stopped.description, "status": "RUNNING"}, stopped.events[:-1], None)
    assert '<span class="badge wait">running</span>' in drawn(running).decode()


@pytest.mark.parametrize(
    ("facts", "until", "cards"),
    [
        (
            "succeeded",
            None,
            [
                "Took",
                "Memory",
                "Concurrency",
                "First answer",
                "First token",
                "Tokens per second",
                "1000 requests",
            ],
        ),
        ("failed", None, ["Took", "Memory", "Concurrency", "1000 requests"]),
        ("failed", 3, ["Took"]),
    ],
    indirect=["facts"],
)
def test_the_glance_has_the_figures_that_there_are(
    facts: ReportFacts, until: int | None, cards: list[str]
) -> None:
    """Of a plan without answers, those of the plan."""
    body = drawn(ReportFacts(facts.description, facts.events[:until], None)).decode()

    assert re.findall(r"<div><dt>(.*?)</dt>", body) == cards


def test_the_checklist_marks_what_was_done_and_what_failed(failed: ReportFacts) -> None:
    """By a sign that is told aloud as a word."""
    marks = set(
        re.findall(
            r'<span class="mark-(\w+)" role="img" aria-label="(\w+)">(.)</span>', drawn(failed).decode()
        )
    )

    assert {("done", "done", "\u2713"), ("failed", "failed", "\u2717")} <= marks
    assert all(kind == label for kind, label, _ in marks)


def test_costs_have_a_sum_where_there_is_one_and_stand_ins_are_named(succeeded: ReportFacts) -> None:
    """A price that is not the region's is told to be none, and no other."""
    costs = document.assemble(succeeded, pricing.LISTED).costs
    said = words(drawn(succeeded), "costs")

    assert costs.per_thousand is not None
    assert f"together {page.usd(costs.per_thousand)}" in said
    assert said.count("together") == 1
    stand_in = re.findall(r"stands in: (.*?)\. Without", said)
    assert stand_in == ["; ".join(one.item.meaning for one in costs.prices if not one.exact)]


def test_an_answer_has_its_figures(succeeded: ReportFacts) -> None:
    """As they were measured, in one sentence."""
    said = words(drawn(succeeded), "answers")

    assert (
        "answered in 12.5 s; tokens 40; tokens per second 20.0; prompt tokens evaluated 12; ended by stop"
        in said
    )
    assert "Warm, one caller: one more answer 1.68 s Of it to the first token 0.07 s" in said
    assert "Tokens per second, warm with one caller: measured 20." in said


def test_a_measured_speed_stands_beside_what_the_plan_computed(succeeded: ReportFacts) -> None:
    """Each under its name; an answer that was streamed tells its first token too."""
    output = json.loads(str(succeeded.description["output"]))
    output["plan_deployment"]["instances"] = {
        "type": "ml.g5.xlarge",
        "offers": [
            {"name": "ml.g6.xlarge", "tokens_per_s": 14},
            {"name": "ml.g5.xlarge", "tokens_per_s": 27},
        ],
    }
    output["smoke_test"]["transcript"][0]["first_token_s"] = 11.0
    body = drawn(
        dataclasses.replace(succeeded, description={**succeeded.description, "output": json.dumps(output)})
    )

    said = words(body, "answers")
    assert "answered in 12.5 s, the first token after 11.0 s; tokens 40" in said
    assert "measured 20; the plan computed 27." in said
    assert "measured; computed 27" in words(body, "glance")


def test_the_graph_draws_the_path_over_the_rest_and_counts(failed: ReportFacts) -> None:
    """A taken arrow lies over one that was not; a state tells its visits and its retries, and leads to its line."""
    read = Reader(drawn(failed))
    graph = document.assemble(failed, pricing.LISTED).graph
    assert graph is not None
    heads = [str(one["class"]) for one in read.all("path") if str(one.get("class")).startswith("head")]
    taken = ["taken" in one for one in heads]
    tags = re.findall(r'class="tag">(.*?)</text>', drawn(failed).decode())

    assert len(heads) == len(graph.arrows)
    assert taken == sorted(taken)
    assert {True, False} == set(taken)
    assert sorted(tags) == ["\u00d75", "\u00d75", "\u00d75", "\u21bb2"]
    assert (
        f"{sum(1 for node in graph.nodes if node.visits)} of {len(graph.nodes)} states were visited"
        in words(drawn(failed), "workflow")
    )
    labels = [str(one["aria-label"]) for one in read.all("a") if "aria-label" in one]
    assert any(re.fullmatch(r"CreateEndpoint: succeeded, [\d.]+ s, 2 retries", one) for one in labels)
    assert any(re.fullmatch(r"PollEndpoint: succeeded, [\d.]+ s, visited 5 times", one) for one in labels)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (0.0, "0.00 s"),
        (9.994, "9.99 s"),
        (10.0, "10.0 s"),
        (59.94, "59.9 s"),
        (60.0, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3600.0, "1 h 0 min"),
        (7260.0, "2 h 1 min"),
    ],
)
def test_a_duration_has_the_digits_that_matter(seconds: float | None, said: str) -> None:
    """Hundredths below ten seconds, no seconds from an hour on."""
    assert page.duration(seconds) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (None, ""),
        (0, "0 USD"),
        (0.0000123, "0.000012 USD"),
        (0.0999, "0.100 USD"),
        (0.1, "0.10 USD"),
        (1234.5, "1,234.50 USD"),
    ],
)
def test_an_amount_has_two_digits_that_say_something(amount: float | None, said: str) -> None:
    """Never fewer than cents."""
    assert page.usd(amount) == said


def test_amounts_and_counts_are_spelled_as_they_are_read() -> None:
    """Bytes, shares, numbers of things, prices and moments."""
    assert [page.mib(count) for count in (0, 10 * MiB - 1, 10 * MiB, 2048 * MiB)] == [
        "0.0",
        "10.0",
        "10",
        "2,048",
    ]
    assert [page.percent(1, 8), page.percent(1, 8, 0), page.percent(1, 0)] == ["12.5%", "12%", ""]
    assert [page.counted(number, "retry", "retries") for number in (0, 1, 2)] == [
        "0 retries",
        "1 retry",
        "2 retries",
    ]
    assert page.counted(2, "line") == "2 lines"
    assert [page.decimal(number) for number in (0.0, 10.0, 0.000020, 1e-11)] == ["0", "10", "0.00002", "0"]
    east = timezone(timedelta(hours=2))
    assert page.moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=east)) == "2026-01-02 01:04:05 UTC"
    assert page.moment(None) == ""


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        pytest.param("aws", "eu-west-1", "eu-west-1.console.aws.amazon.com", id="commercial"),
        pytest.param("aws-cn", "cn-north-1", "console.amazonaws.cn", id="China"),
        pytest.param("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com", id="GovCloud"),
    ],
)
def test_links_lead_to_the_console_of_the_region(partition: str, region: str, host: str) -> None:
    """Of the partition too."""
    console = Console(partition, region)

    assert (
        console.endpoint("harbour-0") == f"https://{host}/sagemaker/home?region={region}#/endpoints/harbour-0"
    )


@given(st.text(ANY, max_size=30))
def test_no_name_leads_elsewhere(name: str) -> None:
    """Whatever a thing is called, the link stays at the console."""
    console = Console("aws", "us-east-1")
    pages: list[Callable[[str], str]] = [
        console.execution,
        console.endpoint,
        console.endpoint_config,
        console.model,
        console.function,
        console.alarm,
        console.log_group,
        console.role,
        lambda key: console.object(key, key),
    ]
    for one in pages:
        assert re.fullmatch(r"https://us-east-1\.console\.aws\.amazon\.com/[!-~]+", one(name))
