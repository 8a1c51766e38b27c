"""The page of a measurement: well formed, self-contained, its lines where the figures say."""

from __future__ import annotations

import re

import pytest

from pipeline.bench import page, plot
from pipeline.bench.results import BenchDocument
from pipeline.bench.samples import FailedCall
from pipeline.bench.sweep import Sweep
from pipeline.report import page as report_page
from tests.unit.bench.measured import INSTANCE, SERVERLESS, STREAMED, VECTORS, a_document
from tests.unit.report.test_page import Reader

DOCUMENTS = [
    pytest.param(a_document(SERVERLESS), id="serverless"),
    pytest.param(a_document(INSTANCE, sample=STREAMED), id="instance"),
    pytest.param(a_document(SERVERLESS, INSTANCE, faster=1.5), id="two"),
    pytest.param(a_document(VECTORS), id="vectors"),
    pytest.param(a_document(SERVERLESS, refused="no", stopped="interrupted"), id="nothing"),
]
every = pytest.mark.parametrize("document", DOCUMENTS)


@every
def test_the_page_is_well_formed_and_loads_nothing(document: BenchDocument) -> None:
    """No script, and a policy that forbids all of it; ids once, headings in order."""
    body = page.render(document)
    read = Reader(body)

    assert read.open == []
    assert read.all("html") == [{"lang": "en"}]
    assert not read.all("script")
    assert not re.search(r"url\(|@import|https?:", body.decode())
    (policy,) = [one["content"] for one in read.all("meta") if one.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'")
    ids = [str(one["id"]) for _, one in read.elements if "id" in one]
    assert len(ids) == len(set(ids))
    assert {str(one["aria-labelledby"]) for one in read.all("section")} <= set(ids)
    assert all(one.get("aria-hidden") == "true" or one.get("aria-label") for one in read.all("svg"))
    assert all(one.get("scope") in ("col", "row") for one in read.all("th"))


def test_what_somebody_wrote_is_no_markup() -> None:
    """An error's text is whatever a container said."""
    hostile = "</li><script>alert(1)</script>"
    body = page.render(a_document(SERVERLESS, failures=[FailedCall("EndpointFailed", hostile)]))

    assert not Reader(body).all("script")
    assert hostile in "".join(Reader(body).text)


def test_the_reports_own_page_is_as_it_was() -> None:
    """Another folder's sheet is not in it."""
    sheet = (page.TEMPLATES / "style.css").read_text()

    assert sheet not in report_page.environment().globals["css"]  # type: ignore[operator]
    assert sheet in report_page.environment(page.TEMPLATES).globals["css"]  # type: ignore[operator]


def test_lines_run_as_the_figures_do() -> None:
    """More is higher, more callers are further right, and all of it is within the picture."""
    wanted = Sweep((1, 2, 8), (64, 512), 20, 100, 60)
    rate, latency = plot.plots(a_document(SERVERLESS, INSTANCE, faster=2.0, wanted=wanted))

    assert [one.look for one in rate.lines] == [0, 1, 2, 3]
    first, third = rate.lines[0], rate.lines[2]
    across = [x for x, _ in first.points]
    assert across == sorted(across) == [x for x, _ in rate.across]
    assert [text for _, text in rate.across] == ["1", "2", "8"]
    assert all(fast < slow for (_, fast), (_, slow) in zip(third.points, first.points, strict=True))
    assert [one.dashed for one in latency.lines] == [False, True] * 4
    assert latency.lines[1].label == "A, 64 tokens, p95"
    for one in (rate, latency):
        heights = [y for y, _ in one.upwards]
        assert heights == sorted(heights, reverse=True)
        for line in one.lines:
            assert all(plot.LEFT < x < plot.WIDTH - plot.RIGHT for x, _ in line.points)
            assert all(plot.TOP <= y <= plot.HEIGHT - plot.BOTTOM for _, y in line.points)


@pytest.mark.parametrize(
    ("value", "top"), [(0.9, 1), (1.0, 1), (1.1, 2), (2.3, 2.5), (2.6, 5), (70, 100), (0.03, 0.05), (0, 1)]
)
def test_a_scale_ends_above_all_values(value: float, top: float) -> None:
    """At a number that people read."""
    assert plot._top([value]) == pytest.approx(top)


def test_a_first_token_has_a_plot_where_there_is_one() -> None:
    """And nothing measured has none."""
    assert len(plot.plots(a_document(INSTANCE, sample=STREAMED))) == 3
    assert plot.plots(a_document(SERVERLESS, refused="no")) == ()
