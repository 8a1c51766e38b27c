"""Which of a service's deployments is asked: the one that its consumers call, else the newest good one."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.rollout import releases
from pipeline.rollout.releases import Release


def release(number: int, **more: Any) -> Release:
    """Return a good deployment that is in service, the higher the number the newer."""
    given: dict[str, Any] = {
        "config": f"demo-{number}",
        "config_arn": f"arn:{number}",
        "created": f"2026-01-0{number}",
        "execution": f"arn:aws:states:::execution:sealift-deployment:{number}",
        "uploaded_at": f"2026-01-0{number}",
        "deployed_at": f"2026-01-0{number}T01",
        "endpoint": f"demo-{number}",
        "status": "InService",
        "serves": True,
    }
    return Release(**{**given, **more})


GOOD = release(1)
TRIED = release(2, deployed_at=None)
NEWER = release(3)


@pytest.mark.parametrize(
    ("found", "called", "chosen"),
    [
        pytest.param([GOOD, NEWER], set(), NEWER, id="the newest good one, where nobody calls any"),
        pytest.param([GOOD, NEWER], {"demo-1"}, GOOD, id="what is called, after a rollback"),
        pytest.param([GOOD, TRIED], set(), GOOD, id="never what is being tried"),
        pytest.param([GOOD, TRIED], {"demo-1", "demo-2"}, GOOD, id="not the canary's new one"),
        pytest.param([GOOD, TRIED], {"demo-2"}, TRIED, id="unless all calls go there"),
        pytest.param([GOOD, NEWER], {"another"}, NEWER, id="a consumer that calls something else"),
        pytest.param([release(1, withdrawn_at="2026-01-09")], set(), None, id="not what was rolled back"),
        pytest.param([release(1, serves=False)], {"demo-1"}, None, id="not what its endpoint has no more"),
        pytest.param([release(1, status=None, endpoint=None)], set(), None, id="not what is gone"),
        pytest.param([release(1, status="Failed")], set(), None, id="not what failed"),
        pytest.param([], set(), None, id="nothing"),
    ],
)
def test_the_endpoint_that_serves_is_chosen(
    found: list[Release], called: set[str], chosen: Release | None
) -> None:
    """As `sealift status` calls it."""
    assert releases.choose(found, called) == chosen
