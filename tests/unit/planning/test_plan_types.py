"""The plan as data: what its parts say of themselves."""

from __future__ import annotations

import pytest

from pipeline.state_data import plan_types
from pipeline.state_data.plan_types import Asked


@pytest.mark.parametrize(
    ("asked", "adapts"),
    [
        pytest.param(Asked(2048, None), True, id="none asked for"),
        pytest.param(Asked(2048, 1), False, id="one"),
        pytest.param(Asked(2048, 5), False, id="several"),
        pytest.param(None, False, id="on instances"),
    ],
)
def test_what_adapts_asks_for_no_concurrency(asked: Asked | None, *, adapts: bool) -> None:
    """It takes what there is; what asked for some waits for it."""
    assert plan_types.adapts(asked) is adapts
