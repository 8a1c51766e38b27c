"""What a report says, part by part; and what it says where something is missing."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.limits import MiB
from pipeline.report import document
from pipeline.report.costs import StoredImage
from pipeline.report.document import Document, ReportFacts
from pipeline.report.links import Console
from pipeline.rollout.answer_speed import AnswerSpeed
from pipeline.sizing import pricing
from tests.unit.report.conftest import ARN

if TYPE_CHECKING:
    from tests.unit.report.conftest import Story


def made(facts: ReportFacts) -> Document:
    """Return the report of an execution, of which every part could be read."""
    report = document.assemble(facts, pricing.LISTED)
    assert report.unread == ()
    return report


def test_a_good_deployment_has_every_part(succeeded: ReportFacts) -> None:
    """Fit, archive, transcript, resources, costs; and no failure."""
    report = made(succeeded)

    assert report.headline.startswith("harbour is served by harbour-")
    assert (report.service, report.region, report.status) == ("harbour", "eu-central-1", "SUCCEEDED")
    assert report.failure is None
    assert report.fit is not None
    assert report.fit.memory.used + report.fit.memory.free == report.fit.memory_mb * MiB
    assert {fact.name for fact in report.archive} >= {
        "uploaded as",
        "SHA-256",
        "model",
        "deployed as",
        "members",
    }
    assert report.transcript is not None
    assert report.transcript.first_seconds == 12.5
    assert report.transcript.speed == AnswerSpeed(1.675, 0.075, 32, 20.0)
    assert report.transcript.start_seconds == pytest.approx(10.0)
    assert [one.function for one in report.switched] == ["harbour-assistant"]
    assert all(line.mark.value in ("done", "skipped") for line in report.checklist)


SHARED = {"check_archive": {"evidence": {"image_bytes": 44}}}
HELD = {"assemble_archive": {"image": "repository:model-1", "size": 55}}


@pytest.mark.parametrize(
    ("results", "plan", "found"),
    [
        pytest.param(
            {**SHARED, **HELD}, {"image": {"tag": "model-1"}}, StoredImage(55, holds_model=True), id="held"
        ),
        pytest.param(SHARED, {"image": None}, StoredImage(44, holds_model=False), id="Sealift's own"),
        pytest.param(SHARED, {"image": {"tag": "model-1"}}, None, id="not made yet"),
        pytest.param({"check_archive": {"evidence": {}}}, {}, None, id="AWS's, or an older release's"),
        pytest.param({}, {}, None, id="nothing known"),
    ],
)
def test_what_an_image_is_stored_in_is_read_off_the_data(
    results: dict[str, Any], plan: dict[str, Any], found: StoredImage | None
) -> None:
    """Of the one that holds the model where there is one; else of the one that the check chose."""
    assert document._stored_image(results, plan) == found


def test_a_good_deployment_says_how_it_is_asked(succeeded: ReportFacts, failed: ReportFacts) -> None:
    """As AWS has it, in short and by each client; a deployment that does not serve is not asked."""
    asked_by = made(succeeded).asked_by

    assert asked_by is not None
    assert asked_by.ways.ask == 'sealift ask harbour "What does a sealift do?" --region eu-central-1'
    assert asked_by.ways.url.startswith(
        "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/harbour-"
    )
    assert {one.name for one in asked_by.snippets} >= {"boto3", "openai", "curl"}
    assert made(failed).asked_by is None


@pytest.mark.parametrize(
    ("written", "gone", "state"),
    [
        pytest.param(True, False, "made", id="made"),
        pytest.param(False, False, "was there already", id="there already"),
        pytest.param(True, True, "removed again", id="rolled back"),
    ],
)
def test_an_image_that_holds_the_model_is_a_resource(written: bool, gone: bool, state: str) -> None:
    """With its address in the console, and what became of it; its digest is among the facts."""
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/sealift:model-0a"
    assembled = {
        "way": "image",
        "reason": "it holds it",
        "image": image,
        "digest": "sha256:0b",
        "written": written,
    }
    console = Console("aws", "eu-central-1")
    (row,) = document._image(assembled, console, {f"image {image}"} if gone else set())
    facts = {one.name: one.value for one in document._archive({"assemble_archive": assembled})}

    assert (row.kind, row.name, row.state) == ("image", image, state)
    assert row.url.endswith("/ecr/repositories/private/123456789012/sealift?region=eu-central-1")
    assert (facts["deployed as"], facts["digest"]) == (image, "sha256:0b")
    assert document._image({"bucket": "b", "key": "k"}, console, set()) == []


def test_the_same_execution_gives_the_same_report(succeeded: ReportFacts) -> None:
    """No clock and no chance: writing it twice is writing it once."""
    assert made(succeeded) == made(succeeded)


def test_network_key_and_tags_are_told_by_the_plans_requests() -> None:
    """Of what is set alone; Sealift's own tags are no news."""
    plan = {
        "requests": {
            "create_model": {
                "EnableNetworkIsolation": True,
                "Tags": [{"Key": "sealift:service", "Value": "x"}, {"Key": "Owner", "Value": "y"}],
            },
            "create_endpoint_config": {"KmsKeyId": "arn:key"},
        }
    }

    assert {one.name: one.value for one in document._set_apart(plan)} == {
        "network": "isolated: the container has no network",
        "key": "arn:key encrypts the volume",
        "tags": "Owner=y",
    }
    assert list(document._set_apart({})) == []


def test_a_failure_has_its_diagnosis_and_what_became_of_what_was_made(failed: ReportFacts) -> None:
    """What happened, why, what to do; what is gone again and what is left."""
    report = made(failed)
    states = {one.kind: one.state for one in report.resources}

    assert report.failure is not None
    assert report.failure.error == "SmokeTestFailed"
    assert report.failure.why == "the model and its server need more memory than memory_mb gives"
    assert report.failure.evidence == ("MemoryError", "worker died")
    assert states["endpoint"] == states["model"] == "removed again"
    assert states["endpoint configuration"] == "still there: see above"
    assert report.transcript is None
    assert report.costs.per_thousand is None


def test_a_stopped_execution_says_that_nothing_was_undone(stopped: ReportFacts) -> None:
    """Nobody diagnosed it, and what it made is still there: the report says so, and what finds it."""
    report = made(stopped)

    assert report.failure is not None
    assert report.failure.what == "the execution was stopped in WaitForEndpoint"
    assert report.failure.why == "wrong model"
    assert "sealift sweep" in report.failure.fix
    assert ("endpoint", "made") in {(one.kind, one.state) for one in report.resources}


def test_an_execution_that_ran_out_of_time_says_where(story: Story) -> None:
    """Its end is the workflow's own time-out, which no state could tell of."""
    report = made(story.ended("TIMED_OUT"))

    assert report.failure is not None
    assert report.failure.what.startswith("the workflow's time ran out in ")
    assert report.headline == "harbour was not deployed: the workflow ran out of time"


def test_an_execution_that_still_runs_has_a_report(story: Story) -> None:
    """It is what is known so far."""
    report = made(story.ended("RUNNING"))

    assert report.failure is None
    assert report.seconds is None
    assert report.headline == "harbour is being deployed"


def test_a_refused_input_has_a_report_too() -> None:
    """An execution may fail in its first state, with an input of any shape: all that is known is why."""
    for given in ({}, {"archive": None}, {"archive": {"key": 5}, "service": ["x"]}, {"service": "../../etc"}):
        description = {"executionArn": ARN, "status": "FAILED", "error": "InvalidInput", "cause": "a\nb\nc"}
        report = made(ReportFacts({**description, "input": json.dumps(given)}, [], None))

        assert report.service == "unknown"
        assert report.failure is not None
        assert (report.failure.what, report.failure.why, report.failure.fix) == ("a", "b", "c")
        assert document.key(report.name, report.service) == f"reports/unknown/{report.name}.html"


def test_what_has_another_shape_is_left_out_and_said_to_be(succeeded: ReportFacts) -> None:
    """An execution that another version ran: the rest of its report is worth having all the same."""
    output: dict[str, Any] = json.loads(str(succeeded.description["output"]))
    output["smoke_test"] = {"transcript": [7]}
    output["plan_deployment"]["fit"]["lines"] = [{"size": 1}]
    changed = dataclasses.replace(
        succeeded, description={**succeeded.description, "output": json.dumps(output)}
    )

    report = document.assemble(changed, pricing.LISTED)

    assert {"the fit", "the smoke test"} <= set(report.unread)
    assert report.fit is None
    assert report.archive != ()


def test_the_document_is_json(failed: ReportFacts) -> None:
    """`--json` prints it: every part but the places of the graph."""
    plain = json.loads(json.dumps(made(failed).to_json()))

    assert plain["started"] == "2026-01-02T03:04:05.000Z"
    assert plain["failure"]["error"] == "SmokeTestFailed"
    assert plain["transitions"] > 20
    assert "graph" not in plain
