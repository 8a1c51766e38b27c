"""Where a model lies on GPUs: of the type that runs, with the plan's own arithmetic, and called computed."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import shapes
from pipeline import json_codec
from pipeline.limits import MiB
from pipeline.report import document, gpus, page
from pipeline.rollout.answer_speed import AnswerSpeed, ComputedSpeed
from pipeline.sizing import pricing
from tests.unit.sizing.test_gpu_choice import LLAMA_70B, chosen

if TYPE_CHECKING:
    from pipeline.report.document import Document, ReportFacts
    from pipeline.state_data.plan_types import Offer


def results(*offers: Offer, running: dict[str, int] | None = None) -> dict[str, Any]:
    """Return what an execution has of a plan with these offers, the first of them the type."""
    return {
        "plan_deployment": {"instances": {"type": offers[0].name, "offers": json_codec.encode(offers)}},
        "poll_endpoint": {"running": running or {}},
    }


def test_the_picture_is_the_plans_arithmetic() -> None:
    """Each part of the fullest GPU and of the host, against what is there; with its speed."""
    (offer,) = chosen(LLAMA_70B, "ml.g5.12xlarge")

    (one,) = gpus.read(results(offer))

    assert (one.type, one.count, one.gpu, one.layers, one.of_layers, one.left) == (
        "ml.g5.12xlarge",
        4,
        "A10G",
        81,
        81,
        0,
    )
    assert [part.name for part in one.memory.parts] == ["weights", "kv cache", "compute", "CUDA", "margin"]
    parts = " + ".join(f"{part.name} {part.amount / MiB:,.0f}" for part in one.memory.parts)
    whole = f"{parts} = {one.memory.used / MiB:,.0f} MiB of {one.memory.limit / MiB:,.0f} MiB"
    host = " + ".join(f"{part.amount / MiB:,.0f} MiB" for part in one.host.parts)
    assert whole in offer.memory
    assert f"host: {host} of {one.host.limit / MiB:,.0f} MiB" in offer.memory
    assert one.memory.free > 0 < one.host.free
    assert (one.tokens_per_s, one.speed, one.first_token_s) == (
        offer.tokens_per_s,
        offer.speed,
        offer.first_token_s,
    )


def test_the_type_that_runs_is_drawn() -> None:
    """Whatever the plan began with; of a pool that came to several types each of them."""
    first, second, third = chosen(shapes.GEMMA_27B)

    def types(running: dict[str, int]) -> list[str]:
        return [one.type for one in gpus.read(results(first, second, third, running=running))]

    assert types({}) == [first.name]
    assert types({second.name: 1, first.name: 0}) == [second.name]
    assert types({first.name: 1, third.name: 2}) == [first.name, third.name]


def test_a_deployment_without_gpus_has_no_picture() -> None:
    """On CPUs, on serverless, and of a plan that told it in words alone."""
    (cpu, *_) = chosen(shapes.LLAMA_1B)
    (told,) = chosen(LLAMA_70B, "ml.g5.12xlarge")

    assert gpus.read(results(cpu)) == ()
    assert gpus.read(results(dataclasses.replace(told, on_gpus=None))) == ()
    assert gpus.read({"plan_deployment": {"instances": None}}) == ()
    assert gpus.read({}) == ()


@pytest.fixture
def on_gpus(succeeded: ReportFacts) -> Document:
    """Return the report of a deployment on a GPU that holds a part of the layers."""
    (offer,) = chosen(shapes.GEMMA_27B, "ml.g5.2xlarge", n_gpu_layers=20)
    made = document.assemble(succeeded, pricing.LISTED)
    assert made.transcript is not None
    speed = AnswerSpeed(2.0, 0.61, 32, 9.21)
    talk = dataclasses.replace(made.transcript, speed=speed, planned=ComputedSpeed(8.0, 0.42))
    return dataclasses.replace(made, gpus=gpus.read(results(offer)), transcript=talk)


def text(body: bytes) -> str:
    """Return what a page says, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", body.decode()).split())


def test_the_page_has_a_section_for_gpus(on_gpus: Document) -> None:
    """What is measured beside what was computed, each called what it is; a split is told with what it means."""
    said = text(page.render(on_gpus))
    (one,) = on_gpus.gpus

    assert "20 of 63 layers lie on it, 43 layers on the host" in said
    assert "The GPU of ml.g5.2xlarge: computed, not measured" in said
    for part in one.memory.parts:
        assert part.how in said
    assert re.search(rf"Tokens per second {one.tokens_per_s:g} 9\.21 ", said)
    assert "First token after not known 0.61 s" in said
    assert "measured; computed 8" in said
    assert "measured after 0.61 s; the plan computed 0.42 s after a prompt of 512 tokens" in said


def test_a_page_without_gpus_has_no_section_for_them(on_gpus: Document) -> None:
    """Nor a place to go to."""
    assert 'href="#gpus"' in page.render(on_gpus).decode()
    assert "gpus" not in page.render(dataclasses.replace(on_gpus, gpus=())).decode()
