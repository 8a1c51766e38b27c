"""What a report says of a quality gate: both answers side by side, and every expectation of each case."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.quality import expectations
from pipeline.quality.cases import Case, Expected
from pipeline.quality.expectations import Answered
from pipeline.report import document, page, source
from pipeline.report.document import ReportFacts
from pipeline.sizing import pricing
from pipeline.state_data.quality_types import CaseReply, QualityRecord

if TYPE_CHECKING:
    from pipeline.state_data.quality_types import Compared

GATE = {
    "suite": "suite.jsonl",
    "bucket": "artifacts",
    "key": "records/suites/0.json",
    "cases": 4,
    "allow_worse": 0,
    "allow_failed": 2,
    "deadline_s": 600,
    "record_key": "records/quality/e.json",
}


def compared(name: str, now: str, earlier: str | None, **expect: Any) -> Compared:
    """Return one case that was asked."""
    case = Case(name, 1, f"What is {name}?", (), None, 128, None, {}, Expected(**expect))

    def said(text: str) -> Answered:
        return Answered(CaseReply(text, seconds=1.25, completion_tokens=12, tokens_per_second=9.6))

    return expectations.compare(case, said(now), None if earlier is None else said(earlier))


RECORD = QualityRecord(
    endpoint="harbour-new",
    suite="records/suites/0.json",
    began="2026-01-02T03:04:05+00:00",
    against="harbour-old",
    asks_earlier=False,
    notes=("endpoint 'harbour-old' could not be compared with from case 4 on: busy",),
    cases=(
        compared(
            "a pilot", "Whoever guides ships.", "Who guides a ship.", contains=("guides",), similarity=0.5
        ),
        compared(
            "<b>cargo</b>", "Fish & <script>alert(1)</script>", "What a ship carries.", contains=("carries",)
        ),
        compared("a berth", "I do not know.", "No idea.", contains=("place",)),
    ),
)


def drawn(facts: ReportFacts, record: QualityRecord | None, gate: dict[str, Any] | None) -> tuple[Any, str]:
    """Return the section and the page of an execution whose plan has a gate."""
    events = [dict(one) for one in facts.events]
    text = '"quality": null'
    for one in events:
        for kind, name in (("stateEnteredEventDetails", "input"), ("stateExitedEventDetails", "output")):
            if kind in one:
                one[kind] = {
                    **one[kind],
                    name: one[kind][name].replace(text, f'"quality": {json.dumps(gate)}'),
                }
    description = dict(facts.description)
    if "output" in description:
        description["output"] = description["output"].replace(text, f'"quality": {json.dumps(gate)}')
    made = document.assemble(ReportFacts(description, events, facts.definition, record), pricing.LISTED)
    assert made.unread == ()
    return made.quality, page.render(made).decode()


def test_both_answers_stand_side_by_side(succeeded: ReportFacts) -> None:
    """With what came of each case, what it was judged by, and the notes; and it is markup of ours alone."""
    section, body = drawn(succeeded, RECORD, GATE)

    assert [one.word for one in section.cases] == ["passed", "worse", "failed"]
    assert section.told == "1 of 3 cases passed, 1 worse than before, 1 failed as before; 1 not asked"
    assert section.allowed == "0 may be worse than before, 2 may fail at all"
    for text in (
        "Who guides a ship.",
        "Whoever guides ships.",
        "What a ship carries.",
        "harbour-old",
        "could not be compared with from case 4 on",
        "contains &#39;carries&#39;",
        "Fish &amp; &lt;script&gt;alert(1)&lt;/script&gt;",
        "&lt;b&gt;cargo&lt;/b&gt;",
    ):
        assert text in body, text
    assert "<script>" not in body
    # What failed is open, what passed can be opened.
    assert body.count('<details class="case" open>') == 2
    assert body.count('<details class="case">') == 1


def test_a_record_that_cannot_be_read_is_said_to_be_so(succeeded: ReportFacts) -> None:
    """It is kept for some days, and not everybody may read it."""
    section, body = drawn(succeeded, None, GATE)

    assert section.cases == ()
    assert "what both deployments answered is not there, or may not be read" in body


def test_a_deployment_without_a_gate_has_no_such_section(succeeded: ReportFacts) -> None:
    """Nor does the contents' list name one."""
    section, body = drawn(succeeded, RECORD, None)

    assert section is None
    assert "Quality gate" not in body


def test_an_answer_that_is_not_there_is_told_by_its_reason(succeeded: ReportFacts) -> None:
    """In the place of the answer."""
    case = RECORD.cases[0]
    failed = replace(case, now=CaseReply("", error="status 500: no room"), earlier=None)
    _, body = drawn(succeeded, replace(RECORD, cases=(failed,)), GATE)

    assert "status 500: no room" in body
    assert "Earlier" not in body


@pytest.mark.parametrize("gate", [None, "text", {}, {"bucket": "b"}])
def test_what_is_no_gate_has_no_record(gate: Any) -> None:
    """Another version may have written anything."""
    assert source._gate(None, {"plan_deployment": {"quality": gate}}) is None  # type: ignore[arg-type]
