"""What is paused and what is brought back, decided from a service as it stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import InvalidInput
from pipeline.operations import pausing, service_status
from pipeline.operations.service_status import ConsumerCall, ParameterStatus, Service, StatusFacts
from pipeline.rollout.releases import Release
from pipeline.sizing.running_cost import Cost
from tests.unit.operations.test_service_status import FREE, PAID, WHO, endpoint, release, running

OLD, NEW = release("harbour-1", "2026-01-01T00:00:00Z"), release("harbour-2", "2026-01-02T00:00:00Z")
PAUSED = replace(NEW, status=None, serves=False, paused_at="2026-01-02T11:00:00.000Z")


def stands(facts: StatusFacts) -> Service:
    """Return the service."""
    (service,) = service_status.arrange(facts)
    return service


def costly(name: str, state: str = "InService") -> service_status.EndpointSummary:
    """Return an endpoint on instances."""
    return replace(endpoint(name, state), cost=PAID, memory_mb=None, max_concurrency=None)


def test_what_costs_money_goes_and_who_calls_it_is_named() -> None:
    """All good deployments on instances; a serverless one stays, and so does what never turned out good."""
    tried = replace(release("harbour-3", "2026-01-03T00:00:00Z", good=False))
    free = release("harbour-0", "2026-01-01T00:00:00Z")
    facts = StatusFacts(
        endpoints=(costly("harbour-1"), costly("harbour-2"), costly("harbour-3"), endpoint("harbour-0")),
        releases={"harbour": (OLD, NEW, tried, free)},
        calls={
            "harbour": (
                ConsumerCall(WHO, "harbour-2"),
                ConsumerCall(WHO, "harbour-0"),
                ConsumerCall(WHO, None, "no"),
            )
        },
        parameters={"harbour": (ParameterStatus("/p", "harbour-2"), ParameterStatus("/q", "harbour-0"))},
    )
    plan = pausing.plan_pause(stands(facts))

    assert {one.endpoint.name for one in plan.going} == {"harbour-1", "harbour-2"}
    assert (plan.idle, plan.left) == (("harbour-0",), ("harbour-3",))
    assert plan.saves == Cost(0.46, PAID.how)
    assert plan.callers == (
        "ENDPOINT_NAME of assistant:live calls harbour-2",
        "ENDPOINT_NAME of assistant:live may call it: no",
        "whoever reads parameter /p calls harbour-2",
    )


def test_a_sum_with_an_unknown_price_is_unknown() -> None:
    """An endpoint whose configuration cannot be read goes too: it may cost money."""
    facts = StatusFacts((replace(costly("harbour-2"), cost=None),), {"harbour": (NEW,)})

    assert pausing.plan_pause(stands(facts)).saves.usd_per_hour is None


@pytest.mark.parametrize(
    ("facts", "seen"),
    [
        pytest.param(
            StatusFacts((endpoint("harbour-2"),), {"harbour": (NEW,)}),
            "costs nothing while nobody calls",
            id="serverless",
        ),
        pytest.param(
            StatusFacts((costly("harbour-2"),), {"harbour": (replace(NEW, deployed_at=None),)}),
            "never turned out good",
            id="never good",
        ),
        pytest.param(
            StatusFacts(releases={"harbour": (replace(NEW, status=None),)}), "nothing of it runs", id="gone"
        ),
        pytest.param(
            StatusFacts((costly("harbour-2"),), {"harbour": (NEW,)}, running=(running("harbour-3"),)),
            "deployment harbour-3 is running",
            id="being deployed",
        ),
    ],
)
def test_what_cannot_be_paused_is_refused_with_its_reason(facts: StatusFacts, seen: str) -> None:
    """Nothing is guessed: each tells what was seen."""
    with pytest.raises(InvalidInput) as refusal:
        pausing.plan_pause(stands(facts))

    assert seen in refusal.value.problems[0].seen
    assert refusal.value.problems[0].fix


def test_a_second_pause_does_nothing_and_one_that_was_cut_short_goes_on() -> None:
    """By the mark, and by whether the endpoint is there."""
    done = StatusFacts(releases={"harbour": (PAUSED,)}, paused={"harbour-2": PAID})
    begun = StatusFacts(
        (costly("harbour-2"),), {"harbour": (replace(PAUSED, status="InService", serves=True),)}
    )

    assert pausing.plan_pause(stands(done)).going == ()
    assert [one.endpoint.name for one in pausing.plan_pause(stands(begun)).going] == ["harbour-2"]


def test_what_was_paused_comes_back_the_newest_first() -> None:
    """What was rolled back before does not, unless there is nothing else; of what runs nothing is to do."""
    older = replace(PAUSED, config="harbour-1", endpoint="harbour-1", uploaded_at="2026-01-01T00:00:00Z")
    withdrawn = replace(
        PAUSED,
        config="harbour-3",
        endpoint="harbour-3",
        uploaded_at="2026-01-03T00:00:00Z",
        withdrawn_at="2026-01-02T10:30:00Z",
    )

    def coming(*found: Release) -> list[str]:
        facts = StatusFacts(
            releases={"harbour": found}, paused=dict.fromkeys(("harbour-1", "harbour-2"), PAID)
        )
        return [one.endpoint for one in pausing.plan_resume(stands(facts)).coming]

    assert coming(older, withdrawn, PAUSED) == ["harbour-2", "harbour-1"]
    assert coming(withdrawn) == ["harbour-3"]
    runs = StatusFacts((costly("harbour-2"),), {"harbour": (NEW,)})
    assert pausing.plan_resume(stands(runs)).coming == ()
    both = StatusFacts(releases={"harbour": (older, PAUSED)}, paused={"harbour-1": PAID, "harbour-2": FREE})
    assert pausing.plan_resume(stands(both)).costs.usd_per_hour == PAID.usd_per_hour
    with pytest.raises(InvalidInput, match="nothing of it is paused"):
        pausing.plan_resume(stands(StatusFacts(releases={"harbour": (replace(NEW, status=None),)})))
    with pytest.raises(InvalidInput, match="is running"):
        pausing.plan_resume(
            stands(StatusFacts(releases={"harbour": (PAUSED,)}, running=(running("harbour-4"),)))
        )


@pytest.mark.parametrize(
    ("deployed", "resumed", "expires", "anew"),
    [
        pytest.param("2026-01-02T10:00:00.000Z", None, None, None, id="for good"),
        pytest.param(
            "2026-01-02T10:00:00.000Z",
            None,
            "2026-01-02T18:00:00.000Z",
            "2026-01-05T08:00:00.000Z",
            id="eight hours",
        ),
        pytest.param(
            "2026-01-02T10:00:00.000Z",
            "2026-01-03T00:00:00.000Z",
            "2026-01-03T02:00:00.000Z",
            "2026-01-05T02:00:00.000Z",
            id="resumed before",
        ),
    ],
)
def test_a_life_begins_anew(
    deployed: str, resumed: str | None, expires: str | None, anew: str | None
) -> None:
    """As long as it was at first, from the moment that it is back."""
    one = replace(PAUSED, deployed_at=deployed, resumed_at=resumed, expires_at=expires)

    assert pausing.life_anew(one, "2026-01-05T00:00:00.000Z") == anew
