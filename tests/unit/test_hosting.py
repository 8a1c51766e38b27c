"""Where an endpoint runs: the words, and what adapts."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import hosting


@pytest.mark.parametrize(
    ("asked", "adapts"),
    [
        pytest.param({"memory_mb": 2048, "max_concurrency": None}, True, id="none asked for"),
        pytest.param({"memory_mb": 2048, "max_concurrency": 1}, False, id="one"),
        pytest.param({"memory_mb": 2048, "max_concurrency": 5}, False, id="several"),
        pytest.param(None, False, id="on instances"),
    ],
)
def test_what_adapts_asks_for_no_concurrency(asked: dict[str, Any] | None, *, adapts: bool) -> None:
    """It takes what there is; what asked for some waits for it."""
    assert hosting.adapts(asked) is adapts


def test_a_plan_has_come_to_one_of_the_hostings_of_a_request() -> None:
    """Each keeps a number of earlier deployments, which a request that decides for neither has not."""
    assert set(hosting.KEPT) == {*hosting.HOSTINGS} - {hosting.AUTO}
