"""Whose time is over, and what the topic is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.operations import expiry
from pipeline.operations.expiry import ExpiredDeployment
from tests.unit.rollout.test_releases import gone, release

AT = "2026-01-02T05:00:00.000Z"
NOW = datetime(2026, 1, 2, 5, 0, tzinfo=UTC)
SHORT = release(1, expires_at=AT)


@pytest.mark.parametrize(
    ("now", "busy", "due"),
    [
        pytest.param(NOW, set(), ["harbour"], id="over"),
        pytest.param(NOW - timedelta(seconds=1), set(), [], id="not yet"),
        pytest.param(NOW + timedelta(days=9), set(), ["harbour"], id="long over"),
        pytest.param(NOW, {"harbour"}, [], id="being deployed"),
        pytest.param(NOW, {"quay"}, ["harbour"], id="another is"),
        pytest.param(NOW, {None}, [], id="nobody can tell which is"),
    ],
)
def test_what_is_over_goes_unless_its_service_is_deployed(
    now: datetime, busy: set[str | None], due: list[str]
) -> None:
    """To the second; what has no end never does."""
    found = {"harbour": (SHORT, release(0)), "quay": (release(2),)}

    assert [service for service, _ in expiry.due(found, now, busy)] == due
    assert all(one is SHORT for _, one in expiry.due(found, now, busy))


def test_what_is_paused_does_not_age() -> None:
    """Its life begins anew when it is brought back; what is already gone otherwise is cleared."""
    found = {"harbour": (gone(1, expires_at=AT),), "quay": (replace(SHORT, status=None, serves=False),)}

    assert [service for service, _ in expiry.due(found, NOW, set())] == ["quay"]


def test_the_topic_is_told_once_of_what_was_taken_down() -> None:
    """With who calls it; of what waits, failed, or was cleared behind it nobody is told."""

    def ended(outcome: str, *callers: str) -> ExpiredDeployment:
        return {
            "service": "harbour",
            "endpoint_name": f"harbour-{outcome}",
            "expires_at": AT,
            "outcome": outcome,
            "reason": "",
            "callers": list(callers),
        }

    told = expiry.notification([ended(expiry.TAKEN_DOWN, "X of f names it"), ended(expiry.GONE)]).splitlines()

    assert len(told) == 2
    assert "harbour-taken down was taken down" in told[0]
    assert AT in told[0]
    assert told[1] == "  X of f names it, and its calls fail now"
    assert expiry.notification([ended(expiry.GONE), ended(expiry.WAITING), ended(expiry.FAILED)]) == ""
