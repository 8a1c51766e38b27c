"""A function's log in the local cloud: Lambda's names and forms."""

from __future__ import annotations

import json
import re

import pytest

from local_cloud.functions.journals import Journal


def test_a_function_that_says_nothing_has_a_group_of_its_own_and_text() -> None:
    """Streams bear the version only."""
    journal = Journal.usual("harbour-assistant")

    assert journal.group == "/aws/lambda/harbour-assistant"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[7\][0-9a-f]{32}", journal.stream("harbour-assistant", "7"))
    assert journal.start("r-1", "7") == "START RequestId: r-1 Version: 7"
    report = journal.report("r-1", took_ms=12.345, memory_mb=256, peak_mb=40, status="success")
    assert report == "REPORT RequestId: r-1 Duration: 12.35 ms Memory Size: 256 MB Max Memory Used: 40 MB"


def test_json_is_told_as_the_platform_tells_it() -> None:
    """One object per line with time, type and record; what is not known is left out."""
    journal = Journal("/aws/lambda/sealift", shared=True, form="JSON")

    start = json.loads(journal.start("r-1", "$LATEST"))
    report = json.loads(journal.report("r-1", took_ms=3.0, memory_mb=256, peak_mb=None, status="timeout"))
    assert (start["type"], start["record"]) == ("platform.start", {"requestId": "r-1", "version": "$LATEST"})
    assert report["record"] == {
        "requestId": "r-1",
        "metrics": {"durationMs": 3.0, "memorySizeMB": 256},
        "status": "timeout",
    }
    assert re.fullmatch(
        r"[0-9/]+/sealift-Sweep-X\[\$LATEST\][0-9a-f]{32}", journal.stream("sealift-Sweep-X", "$LATEST")
    )


@pytest.mark.parametrize(
    ("config", "journal"),
    [
        pytest.param({}, Journal("/aws/lambda/sweep"), id="nothing"),
        pytest.param({"LogFormat": "JSON"}, Journal("/aws/lambda/sweep", form="JSON"), id="a form"),
        pytest.param({"LogGroup": "/own"}, Journal("/own", shared=True), id="a group"),
        pytest.param(
            {"LogGroup": "/own", "LogFormat": "JSON"}, Journal("/own", shared=True, form="JSON"), id="both"
        ),
    ],
)
def test_a_function_logs_as_its_logging_config_says(config: dict[str, str], journal: Journal) -> None:
    """What it does not say is Lambda's default."""
    assert Journal.configured("sweep", config) == journal
