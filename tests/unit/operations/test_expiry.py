"""Whose time is over, and what the topic is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.operations import expiry
from pipeline.operations.expiry import ExpiredDeployment
from pipeline.rollout.releases import Release
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


PAUSED_AT = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
LONG = replace(SHORT, deployed_at="2026-01-02T01:00:00.000Z", paused_at=PAUSED_AT.isoformat())
"""Deployed for four hours, marked as paused after three, and its endpoint is there."""


@pytest.mark.parametrize(
    ("made", "now", "is_due"),
    [
        pytest.param(PAUSED_AT - timedelta(hours=3), NOW, True, id="never taken away"),
        pytest.param(
            PAUSED_AT - timedelta(hours=3), NOW - timedelta(seconds=1), False, id="its time is not over"
        ),
        pytest.param(NOW, NOW + timedelta(hours=4), True, id="made anew, and its life is over"),
        pytest.param(NOW, NOW + timedelta(hours=3.9), False, id="made anew"),
    ],
)
def test_what_was_paused_by_half_has_an_end(*, made: datetime, now: datetime, is_due: bool) -> None:
    """It costs money: marked and never taken away it has the old one, made anew and not marked as back a whole life."""
    found = {"harbour": (LONG,)}

    assert bool(expiry.due(found, now, set(), {"harbour-1": made})) is is_due
    assert expiry.soon(found, NOW - timedelta(minutes=1), set(), {"harbour-1": made}) == ()


DAY = replace(SHORT, deployed_at="2026-01-01T05:00:00.000Z")
BRIEF = replace(SHORT, deployed_at="2026-01-02T04:30:00.000Z")


@pytest.mark.parametrize(
    ("one", "before", "is_soon"),
    [
        pytest.param(DAY, timedelta(hours=1), True, id="an hour before"),
        pytest.param(DAY, timedelta(hours=1, seconds=1), False, id="more than an hour"),
        pytest.param(DAY, timedelta(seconds=1), True, id="a moment before"),
        pytest.param(DAY, timedelta(0), False, id="its time is over"),
        pytest.param(BRIEF, timedelta(minutes=15), True, id="half of a short life"),
        pytest.param(BRIEF, timedelta(minutes=16), False, id="more than half of a short life"),
        pytest.param(replace(DAY, expiry_told=AT), timedelta(minutes=5), False, id="told"),
        pytest.param(
            replace(DAY, expiry_told="2026-01-02T09:00:00.000Z"), timedelta(minutes=5), True, id="moved"
        ),
        pytest.param(replace(DAY, status="Deleting"), timedelta(minutes=5), False, id="goes"),
        pytest.param(replace(DAY, status=None, serves=False), timedelta(minutes=5), False, id="gone"),
        pytest.param(replace(DAY, serves=False), timedelta(minutes=5), False, id="updated in place since"),
        pytest.param(replace(DAY, expires_at=None), timedelta(minutes=5), False, id="stays"),
    ],
)
def test_who_goes_soon_is_told_of_once(*, one: Release, before: timedelta, is_soon: bool) -> None:
    """Where it still runs, and for the end that it has now; while its service is deployed that waits."""
    found = {"harbour": (one,)}

    assert expiry.soon(found, NOW - before, set()) == ((("harbour", one),) if is_soon else ())
    assert expiry.soon(found, NOW - before, {"harbour"}) == ()


def ended(outcome: str, *callers: str, tell: bool = True) -> ExpiredDeployment:
    """Return what became of a deployment."""
    return {
        "service": "harbour",
        "endpoint_name": f"harbour-{outcome}",
        "expires_at": AT,
        "outcome": outcome,
        "reason": "no DeleteEndpoint" if outcome == expiry.FAILED else "",
        "callers": list(callers),
        "records": ["arn:config/harbour-1", "arn:config/harbour-1-0"],
        "tell": tell,
    }


def test_the_topic_is_told_once_of_what_was_taken_down() -> None:
    """With who calls it; of what waits, or was cleared behind it nobody is told."""
    (message,) = expiry.messages([ended(expiry.TAKEN_DOWN, "X of f names it"), ended(expiry.GONE)], NOW)
    told = message.text.splitlines()

    assert len(told) == 2
    assert "harbour-taken down was taken down" in told[0]
    assert AT in told[0]
    assert told[1] == "  X of f names it, and its calls fail now"
    quiet = [ended(expiry.GONE), ended(expiry.WAITING), ended(expiry.FAILED, tell=False)]
    assert expiry.messages(quiet, NOW) == []


def test_the_topic_is_told_beforehand_how_a_deployment_is_kept() -> None:
    """When it goes, what keeps each of its records, and who calls it."""
    (message,) = expiry.messages([ended(expiry.SOON, "X of f names it")], NOW - timedelta(minutes=40))
    told = message.text.splitlines()

    assert "soon" in message.subject
    assert f"endpoint harbour-soon is taken down in 40 min, at {AT}" in told[0]
    assert told[1:3] == [
        f"  aws sagemaker add-tags --resource-arn {record} --tags Key=sealift:expires-at,Value=never"
        for record in ("arn:config/harbour-1", "arn:config/harbour-1-0")
    ]
    assert "`sealift pause harbour`" in told[3]
    assert told[4] == "  X of f names it, and its calls fail then"


def test_the_topic_is_told_of_what_cannot_be_taken_down() -> None:
    """It may cost money: why, and what a person can do. What was taken down beside it is a message of its own."""
    taken, failed = expiry.messages([ended(expiry.FAILED), ended(expiry.TAKEN_DOWN)], NOW)

    assert "harbour-taken down" in taken.text
    assert "no DeleteEndpoint" in failed.text
    assert "`sealift delete harbour`" in failed.text
