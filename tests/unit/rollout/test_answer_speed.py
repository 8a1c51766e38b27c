"""How fast an endpoint answers: whose clock counts, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import json_codec
from pipeline.rollout import answer_speed
from pipeline.rollout.answer_speed import AnswerSpeed, ComputedSpeed, SpeedComparison

FIRST = "first token after 0.42 s of a prompt of 512 tokens"


@pytest.mark.parametrize(
    ("seconds", "first", "tokens", "timings", "found"),
    [
        pytest.param(9.0, 1.0, 5, {"predicted_per_second": 20.12345}, 20.123, id="the server's clock"),
        pytest.param(9.0, 1.0, 5, {"predicted_per_second": 0.0}, 0.5, id="which tells nothing"),
        pytest.param(9.0, 1.0, 5, {}, 0.5, id="a stream's tokens after the first"),
        pytest.param(9.0, 9.0, 5, {}, None, id="all at once"),
        pytest.param(9.0, 1.0, 1, {}, None, id="the first alone"),
        pytest.param(8.0, None, 4, {}, 0.5, id="a whole answer"),
        pytest.param(8.0, None, 1, {}, 0.125, id="of one token"),
        pytest.param(8.0, None, 0, {}, None, id="of none"),
        pytest.param(0.0, None, 4, {}, None, id="in no time"),
        pytest.param(8.0, None, None, {}, None, id="nobody counted"),
        pytest.param(8.0, None, None, {"predicted_n": 4}, 0.5, id="the server did"),
    ],
)
def test_the_servers_clock_counts_before_the_callers(
    seconds: float, first: float | None, tokens: int | None, timings: dict[str, float], found: float | None
) -> None:
    """Of a stream, the first token took what came before it: it is no part of a rate."""
    speed = answer_speed.measured(seconds, first, tokens, timings)

    assert speed.tokens_per_s == found
    assert (speed.seconds, speed.first_token_s) == (seconds, first)
    assert speed.tokens == (4 if "predicted_n" in timings else tokens)


@pytest.mark.parametrize(
    ("speed", "planned", "told"),
    [
        (
            AnswerSpeed(2.0, 0.214, 32, 14.163),
            ComputedSpeed(14.0),
            "first token after 0.21 s, 14.2 tokens/s; the plan computed about 14 tokens/s",
        ),
        (
            AnswerSpeed(2.0, 0.214, 32, 14.163),
            ComputedSpeed(14.0, 0.42),
            f"first token after 0.21 s, 14.2 tokens/s; the plan computed {FIRST}, about 14 tokens/s",
        ),
        (
            AnswerSpeed(2.0, None, 32, 14.0),
            ComputedSpeed(14.0, 0.42),
            "2.00 s for an answer, 14 tokens/s; the plan computed about 14 tokens/s",
        ),
        (
            AnswerSpeed(2.0, 0.214, 32, None),
            ComputedSpeed(14.0, 0.42),
            f"first token after 0.21 s; the plan computed {FIRST}",
        ),
        (AnswerSpeed(2.0, None, 32, 16.0), None, "2.00 s for an answer, 16 tokens/s"),
        (
            AnswerSpeed(2.0, 0.1, 32, 999.4),
            ComputedSpeed(3400.0),
            "first token after 0.10 s, 999 tokens/s; the plan computed about 3400 tokens/s",
        ),
        (AnswerSpeed(2.0, None, 9, 999.5), None, "2.00 s for an answer, 1000 tokens/s"),
        (AnswerSpeed(2.0, None, None, None), ComputedSpeed(9.0), "2.00 s for an answer"),
        (AnswerSpeed(2.0, 0.0, 1, None), None, "first token after 0.00 s"),
    ],
)
def test_a_speed_is_called_measured_beside_what_was_computed(
    speed: AnswerSpeed, planned: ComputedSpeed | None, told: str
) -> None:
    """Only what both tell of."""
    assert answer_speed.told(speed, planned) == f"measured warm with one caller: {told}"
    assert answer_speed.told(None, planned) == "how fast it answers was not measured"


def test_a_result_gives_its_speed_back() -> None:
    """One of an older release, or of another shape, has none."""
    speed = AnswerSpeed(2.0, 0.25, 32, 14.5)

    assert answer_speed.read({"speed": json_codec.encode(speed)}) == speed
    assert SpeedComparison(speed, ComputedSpeed(3.0, 0.5)).to_json() == {
        **json_codec.encode(speed),
        "planned_first_token_s": 0.5,
        "planned_tokens_per_s": 3.0,
    }
    assert SpeedComparison(speed, None).to_json()["planned_first_token_s"] is None
    for other in (None, {}, {"speed": None}, {"speed": {"seconds": "2"}}, {"warm": {"seconds": 1}}, []):
        assert answer_speed.read(other) is None


OFFERS = [
    {"name": "a", "tokens_per_s": 1, "first_token_s": 0.5},
    {"name": "b", "tokens_per_s": 2},
    {"name": "c"},
]


@pytest.mark.parametrize(
    ("type_", "running", "found"),
    [
        pytest.param("b", None, ComputedSpeed(2), id="the type"),
        pytest.param("b", {}, ComputedSpeed(2), id="the type, without a pool"),
        pytest.param("b", {"a": 1, "b": 0}, ComputedSpeed(1, 0.5), id="what the pool came to"),
        pytest.param("b", {"a": 1, "b": 1}, None, id="several types"),
        pytest.param("b", {"a": 1, "z": 1}, None, id="several types, one of them unplanned"),
        pytest.param("c", None, None, id="none was computed"),
        pytest.param("d", None, None, id="no such offer"),
    ],
)
def test_what_the_plan_computed_is_of_the_type_that_runs(
    type_: str, running: dict[str, int] | None, found: ComputedSpeed | None
) -> None:
    """A quota, or SageMaker's own fall-back, may have made it another than the first offer's."""
    results: dict[str, Any] = {"plan_deployment": {"instances": {"type": type_, "offers": OFFERS}}}
    if running is not None:
        results["poll_endpoint"] = {"running": running}

    assert answer_speed.computed(results) == found


def test_on_serverless_nothing_was_computed() -> None:
    """Nor by a plan that is not there."""
    assert answer_speed.computed({"plan_deployment": {"instances": None}}) is None
    assert answer_speed.computed({}) is None
