"""Where an endpoint runs: the words for it."""

from __future__ import annotations

from pipeline import hosting


def test_a_plan_has_come_to_one_of_the_hostings_of_a_request() -> None:
    """Each keeps a number of earlier deployments, which a request that decides for neither has not."""
    assert set(hosting.KEPT) == {*hosting.HOSTINGS} - {hosting.AUTO}
