"""The line of a request: what it says, and what no caller can put into it."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import sealift_log as log

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
NOW = datetime(2026, 11, 29, 21, 0, tzinfo=timezone.utc)  # noqa: UP017 the containers' Python is 3.10


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (200, "answered"),
        (399, "answered"),
        (400, "refused"),
        (429, "refused"),
        (498, "refused"),
        (499, "gone"),
        (500, "failed"),
        (502, "failed"),
        (503, "refused"),
        (504, "failed"),
    ],
)
def test_a_status_says_what_came_of_a_request(status: int, event: str) -> None:
    """429 and 503 are refusals: the caller may come again."""
    assert log.event_of(status) == event


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        pytest.param([("traceparent", PARENT)], TRACE, id="W3C's header"),
        pytest.param([("Traceparent", PARENT)], TRACE, id="in other letters"),
        pytest.param([("X-Amzn-SageMaker-Custom-Attributes", PARENT)], TRACE, id="as the only attribute"),
        pytest.param(
            [("x-amzn-sagemaker-custom-attributes", f"tenant=7,traceparent={PARENT};x=1")],
            TRACE,
            id="among attributes",
        ),
        pytest.param(
            [
                (
                    "X-Amzn-Trace-Id",
                    "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1",
                )
            ],
            TRACE,
            id="X-Ray's header",
        ),
        pytest.param(
            [("X-Amzn-Trace-Id", f"Root=1-{'a' * 8}-{'b' * 24}"), ("traceparent", PARENT)],
            TRACE,
            id="W3C's before X-Ray's",
        ),
        pytest.param(
            [("traceparent", "nonsense"), ("X-Amzn-SageMaker-Custom-Attributes", PARENT)],
            TRACE,
            id="one that is none does not hide the next",
        ),
        pytest.param([("traceparent", f"00-{'0' * 32}-00f067aa0ba902b7-01")], None, id="zeros"),
        pytest.param([("traceparent", f"ff-{TRACE}-00f067aa0ba902b7-01")], None, id="the forbidden version"),
        pytest.param([("traceparent", PARENT.upper())], None, id="capitals"),
        pytest.param([("traceparent", f"a{PARENT}")], None, id="longer"),
        pytest.param([("traceparent", f"{PARENT}0")], None, id="longer at the end"),
        pytest.param([("traceparent", " " * 1100 + PARENT)], None, id="behind what is read"),
        pytest.param([("traceparent", f"00-{TRACE[:-1]}\n-00f067aa0ba902b7-01")], None, id="a line's end"),
        pytest.param([("X-Amzn-Trace-Id", f"Root=1-{'0' * 8}-{'0' * 24}")], None, id="X-Ray's zeros"),
        pytest.param([], None, id="none"),
    ],
)
def test_the_trace_of_a_caller(headers: list[tuple[str, str]], trace: str | None) -> None:
    """The first header that has a valid one counts."""
    assert log.trace_of(headers) == ({} if trace is None else {"trace_id": trace})


@given(st.lists(st.tuples(st.sampled_from([*log.TRACE_HEADERS, "other"]), st.text(max_size=200))))
def test_no_header_gets_anything_else_into_the_log(headers: list[tuple[str, str]]) -> None:
    """32 hexadecimal digits, or nothing."""
    told = log.trace_of(headers)

    assert told == {} or (list(told) == ["trace_id"] and re.fullmatch(r"[0-9a-f]{32}", told["trace_id"]))


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        (
            {"SEALIFT_ENDPOINT": "demo-1", "SEALIFT_VARIANT": "AllTraffic"},
            {"endpoint": "demo-1", "variant": "AllTraffic"},
        ),
        ({"SEALIFT_ENDPOINT": ""}, {}),
        ({}, {}),
    ],
)
def test_a_line_says_where_it_was_written(environ: dict[str, str], place: dict[str, str]) -> None:
    """Outside an endpoint nothing."""
    assert log.place(environ) == place


def test_a_line_in_columns_begins_with_its_figures() -> None:
    """They are separated by single spaces, what there is not is a dash, and the JSON has all of it once more."""
    details: dict[str, Any] = {
        "endpoint": "demo-1",
        "ttft_ms": 12.5,
        "cache_n": 0,
        "queue_ms": None,
        "id": "cmpl-1",
    }
    line = log.line_in_columns("answered", now=NOW, **details)

    assert line.startswith("sealift answered demo-1 - 12.5 - - - - 0 {")
    assert json.loads(line[line.index("{") :]) == json.loads(log.line("answered", now=NOW, **details))
    assert len(line[: line.index("{")].split()) == 1 + len(log.COLUMNS)


@given(
    st.dictionaries(
        st.sampled_from([*log.COLUMNS[1:], "id"]), st.none() | st.integers() | st.floats(allow_nan=False)
    )
)
def test_columns_stay_where_they_are(details: dict[str, Any]) -> None:
    """Whatever is absent."""
    head, _, tail = log.line_in_columns("answered", now=NOW, **details).partition(" {")

    assert len(head.split(" ")) == 1 + len(log.COLUMNS)
    assert json.loads("{" + tail)["event"] == "answered"
