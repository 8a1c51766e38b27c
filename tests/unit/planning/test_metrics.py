"""The metrics of an endpoint's log: AWS takes the filters, and they match the very lines that containers write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from inference import sealift_log
from inference.sealift_log import IN_COLUMNS, IN_JSON
from local_cloud.calls import service_model
from local_cloud.logs.metric_filters import made_of
from pipeline.naming import VARIANT
from pipeline.planning import metrics
from pipeline.sizing import images

NOW = datetime(2026, 11, 29, 21, 0, tzinfo=UTC)
PLACE = sealift_log.place(metrics.environment("harbour-0"))
FIGURES = {
    "ttft_ms": 120.5,
    "queue_ms": 0.0,
    "predicted_per_second": 31.25,
    "predicted_n": 2,
    "prompt_n": 7,
    "cache_n": 40,
}
EXPECTED = {
    "TimeToFirstToken": (120.5, "Milliseconds"),
    "QueueTime": (0.0, "Milliseconds"),
    "TokensPerSecond": (31.25, "Count/Second"),
    "GeneratedTokens": (2.0, "Count"),
    "EvaluatedPromptTokens": (7.0, "Count"),
    "CachedPromptTokens": (40.0, "Count"),
}


def written(form: str, event: str, **details: Any) -> str:
    """Return a line as it comes to the log: TorchServe puts words of its own before it."""
    if form == IN_JSON:
        return sealift_log.line(event, now=NOW, **details)
    line = sealift_log.line_in_columns(event, now=NOW, **details)
    return f"2026-11-29T21:00:00,123 [INFO ] W-9000-model_1.0-stdout MODEL_LOG - {line}"


def measured(form: str, line: str) -> dict[str, tuple[float, str]]:
    """Return what the filters make of a line: values and units by the metrics' names."""
    found = list(made_of(metrics.requests("harbour-0", form), line))
    for namespace, datum in found:
        assert namespace == "Sealift"
        assert datum["Dimensions"] == [
            {"Name": "EndpointName", "Value": "harbour-0"},
            {"Name": "VariantName", "Value": VARIANT},
        ]
    return {datum["MetricName"]: (datum["Value"], datum["Unit"]) for _, datum in found}


@pytest.mark.parametrize("form", [IN_JSON, IN_COLUMNS])
def test_aws_takes_the_request(form: str) -> None:
    """Every parameter is one of botocore's own model, within its length, and each filter has a name of its own."""
    shape = service_model("logs").operation_model("PutMetricFilter").input_shape
    requests = metrics.requests("harbour-0", form)

    for request in requests:
        assert ParamValidator().validate(request, shape).generate_report() == ""
        assert len(request["filterPattern"]) <= 1024
        assert request["logGroupName"] == "/aws/sagemaker/Endpoints/harbour-0"
        (made,) = request["metricTransformations"]
        units = service_model("logs").shape_for("StandardUnit").enum
        assert made["unit"] in units
    assert len({request["filterName"] for request in requests}) == len(requests)


@pytest.mark.parametrize("form", [IN_JSON, IN_COLUMNS])
def test_an_answer_makes_its_metrics(form: str) -> None:
    """Of every figure of the line, with the endpoint and the variant that it names."""
    line = written(form, "answered", **PLACE, **FIGURES, id="cmpl-1", finish_reason="stop", status=200)

    assert measured(form, line) == EXPECTED
    assert {*EXPECTED, "Refusals"} == {one.name for one in metrics.METRICS}


@pytest.mark.parametrize(
    ("forms", "changed", "without"),
    [
        pytest.param((IN_JSON, IN_COLUMNS), {"ttft_ms": None}, {"TimeToFirstToken"}, id="no token"),
        pytest.param((IN_JSON, IN_COLUMNS), {"predicted_n": 1}, {"TokensPerSecond"}, id="one has no speed"),
        pytest.param((IN_JSON,), {"endpoint": None}, set(EXPECTED), id="outside an endpoint"),
        pytest.param((IN_JSON,), {"variant": None}, set(EXPECTED), id="no variant"),
    ],
)
def test_what_a_line_lacks_makes_no_metric(
    forms: tuple[str, ...], changed: dict[str, Any], without: set[str]
) -> None:
    """Not a zero either, which would be an answer that took no time."""
    details = {name: value for name, value in {**PLACE, **FIGURES, **changed}.items() if value is not None}
    for form in forms:
        assert set(measured(form, written(form, "answered", **details))) == set(EXPECTED) - without


@pytest.mark.parametrize(
    ("event", "status", "count"),
    [
        ("refused", 429, 1),
        ("refused", 503, 1),
        ("refused", 400, 0),
        ("refused", 428, 0),
        ("refused", 430, 0),
        ("refused", 502, 0),
        ("failed", 500, 0),
        ("gone", 499, 0),
        ("answered", 200, 0),
    ],
)
def test_a_request_that_finds_no_place_counts(event: str, status: int, count: int) -> None:
    """Not one that is wrong, nor a failure, which SageMaker counts itself."""
    line = written(IN_JSON, event, **PLACE, status=status, code="queue_full")

    assert measured(IN_JSON, line) == ({"Refusals": (1.0, "Count")} if count else {})


@pytest.mark.parametrize("form", [IN_JSON, IN_COLUMNS])
@pytest.mark.parametrize("event", ["model_loaded", "loading", "health", "refused"])
def test_other_lines_make_none(form: str, event: str) -> None:
    """Also where they have figures of the same names."""
    assert measured(form, written(form, event, **PLACE, **FIGURES)) == {}


@given(st.text(max_size=200))
def test_what_a_log_has_beside_makes_none(text: str) -> None:
    """Tracebacks, warnings, whatever."""
    for form in (IN_JSON, IN_COLUMNS):
        assert measured(form, text) == {}


@given(
    st.fixed_dictionaries(
        {
            name: st.floats(0, 1e9) | st.integers(0, 10**9)
            for name in ("ttft_ms", "queue_ms", "prompt_n", "cache_n")
        }
    )
)
def test_every_figure_arrives_as_it_is(figures: dict[str, float]) -> None:
    """In both forms."""
    for form in (IN_JSON, IN_COLUMNS):
        seen = measured(form, written(form, "answered", **PLACE, **figures))

        assert {name: value for name, (value, _) in seen.items()} == {
            "TimeToFirstToken": figures["ttft_ms"],
            "QueueTime": figures["queue_ms"],
            "EvaluatedPromptTokens": figures["prompt_n"],
            "CachedPromptTokens": figures["cache_n"],
        }


@pytest.mark.parametrize(
    ("profile", "code", "form"),
    [
        ("pytorch", "sealift", IN_COLUMNS),
        ("custom", "sealift", IN_JSON),
        ("llama-cpp", "sealift", None),
        ("pytorch", "archive", None),
        ("custom", "archive", None),
    ],
)
def test_whose_log_is_measured(profile: str, code: str, form: str | None) -> None:
    """AWS's llama.cpp image writes llama-server's own lines, and an archive's code what it likes."""
    assert images.PROFILES[profile].log_lines(code) == form
    assert bool(metrics.requests("harbour-0", form)) == (form is not None)
