"""A history in pages, as the local cloud gives it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from local_cloud.workflow import histories


@given(count=st.integers(0, 30), more=st.integers(0, 10), most=st.integers(1, 12), newest=st.booleans())
def test_pages_make_up_the_history_though_it_grows(count: int, more: int, most: int, *, newest: bool) -> None:
    """From either end; what comes between two pages moves nothing that was to come."""
    events: list[int] = list(range(count))
    request: dict[str, Any] = {"maxResults": most, "reverseOrder": newest}
    seen: list[int] = []
    while True:
        page = histories.page(events, request)
        assert len(page["events"]) <= most
        seen += page["events"]
        if "nextToken" not in page:
            break
        request = {**request, "nextToken": page["nextToken"]}
        events = [*events, *range(len(events), len(events) + more)][:60]

    assert seen[:count] == (list(range(count))[::-1] if newest else list(range(count)))


def test_an_answer_has_times_in_seconds_and_nothing_that_is_not_there() -> None:
    """The protocol's form, which the SDK reads as AWS's."""
    kept = {"id": 1, "timestamp": "2026-01-02T03:04:05.500000+00:00", "x": {"a": None, "b": "c"}, "y": None}
    answer = histories.answered(b'{"executionArn": "arn"}', [kept])

    assert json.loads(answer.body) == {"events": [{"id": 1, "timestamp": 1767323045.5, "x": {"b": "c"}}]}
