"""What is deployed, decided from facts: roles, order, and what a person reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.cli.commands import history, ls, status
from pipeline.operations import service_status
from pipeline.operations.endpoint_images import EndpointImage
from pipeline.operations.executions import ExecutionSummary
from pipeline.operations.service_status import (
    AlarmState,
    Archive,
    ConsumerCall,
    EndpointSummary,
    Role,
    Running,
    StatusFacts,
)
from pipeline.rollout.answer_speed import AnswerSpeed, ComputedSpeed, SpeedComparison
from pipeline.rollout.releases import Consumer, Release
from pipeline.sizing.running_cost import Cost
from pipeline.time_format import span

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
MACHINE = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment"
WHO = Consumer(function_name="assistant", variable="ENDPOINT_NAME", alias="live")


DIGEST = "sha256:" + "a" * 64
IMAGE = EndpointImage(
    f"123456789012.dkr.ecr.us-east-1.amazonaws.com/mine@{DIGEST}", DIGEST, "custom", "sealift-2"
)


FREE = Cost(0.0, "serverless, nothing while nobody calls")


def endpoint(name: str, state: str = "InService") -> EndpointSummary:
    """Return an endpoint of the service `harbour`."""
    return EndpointSummary(
        name, state, name, "harbour", f"{MACHINE}:{name}", NOW - timedelta(hours=3), 1024, 10, cost=FREE
    )


def release(name: str, uploaded: str, *, good: bool = True, withdrawn: bool = False) -> Release:
    """Return the record of an endpoint."""
    return Release(
        config=name,
        config_arn=f"arn:{name}",
        created=uploaded,
        execution=f"{MACHINE}:{name}",
        uploaded_at=uploaded,
        version="v1234567890",
        deployed_at="2026-01-02T10:00:00Z" if good else None,
        withdrawn_at="2026-01-02T11:00:00Z" if withdrawn else None,
        endpoint=name,
        status="InService",
        serves=True,
        consumers=(WHO,),
    )


def running(name: str, service: str = "harbour") -> Running:
    """Return an execution that runs."""
    entry = ExecutionSummary(
        name=name,
        arn=f"{MACHINE}:{name}",
        stack="sealift",
        status="RUNNING",
        started=NOW - timedelta(seconds=40),
        ended=None,
        service=service,
        archive=None,
        version=None,
        endpoint=None,
        error=None,
        cause=None,
    )
    return Running(entry, "WaitForEndpoint", NOW - timedelta(seconds=12))


OLD, NEW = release("harbour-1", "2026-01-01T00:00:00Z"), release("harbour-2", "2026-01-02T00:00:00Z")


@pytest.mark.parametrize(
    ("releases", "called", "under_way", "roles"),
    [
        pytest.param((OLD, NEW), "harbour-2", (), ["serves", "previous"], id="the newest is called"),
        pytest.param((OLD, NEW), "harbour-1", (), ["previous", "serves"], id="an older one is called"),
        pytest.param((OLD, NEW), None, (), ["serves", "previous"], id="nobody tells: the newest good"),
        pytest.param(
            (OLD, replace(NEW, deployed_at=None)),
            "harbour-1",
            ("harbour-2",),
            ["being tried", "serves"],
            id="the newest is tried",
        ),
        pytest.param(
            (OLD, replace(NEW, deployed_at=None)), "harbour-1", (), ["left over", "serves"], id="left over"
        ),
        pytest.param(
            (OLD, replace(NEW, withdrawn_at="2026-01-02T11:00:00Z")),
            "harbour-1",
            (),
            ["withdrawn", "serves"],
            id="gone back from",
        ),
    ],
)
def test_each_endpoint_has_its_role(
    releases: tuple[Release, ...], called: str | None, under_way: tuple[str, ...], roles: list[str]
) -> None:
    """By who calls it, whether it turned out good, and whether its execution runs."""
    facts = StatusFacts(
        endpoints=(endpoint("harbour-2"), endpoint("harbour-1")),
        releases={"harbour": releases},
        calls={"harbour": (ConsumerCall(WHO, called),)},
        running=tuple(running(name) for name in under_way),
    )

    (service,) = service_status.arrange(facts)

    found = {one.endpoint.name: one.role.value for one in service.deployments}
    assert [found["harbour-2"], found["harbour-1"]] == roles
    assert service.deployments[0].role is Role.SERVES


def test_a_service_without_an_endpoint_is_shown_while_it_is_deployed() -> None:
    """The first deployment of a service has nothing but its execution."""
    (service,) = service_status.arrange(StatusFacts(running=(running("quay-1", "quay"),)))

    assert list(status.lines([service], NOW)) == [
        "quay",
        "  running    quay-1: in WaitForEndpoint for 12 s, begun 40 s ago",
    ]


def test_a_service_is_told_in_full() -> None:
    """Endpoint, sizes, age, archive, alarms with those that ring by name, who calls it, what could not be read."""
    alarms = (
        AlarmState("sealift-harbour-2-5xx", "ALARM", "1 error"),
        AlarmState("sealift-harbour-2-memory", "OK", ""),
    )
    facts = StatusFacts(
        endpoints=(replace(endpoint("harbour-2"), image=IMAGE), endpoint("harbour-1")),
        releases={"harbour": (OLD, NEW)},
        archives={"harbour-2": Archive("uploads/models/harbour/model.tar.gz", "v1234567890", 3 * 1024**2)},
        calls={
            "harbour": (
                ConsumerCall(WHO, "harbour-2"),
                ConsumerCall({**WHO, "alias": None}, None, "not authorised"),
            )
        },
        alarms={"harbour-2": alarms},
    )

    services = service_status.arrange(facts)

    assert list(status.lines(services, NOW)) == [
        "harbour",
        "  serves     harbour-2: InService, 1024 MB, 10 concurrent, deployed 2 h ago",
        "             archive s3://uploads/models/harbour/model.tar.gz, version v1234567, 3.0 MiB, uploaded 12 h ago",
        "             image mine@sha256:aaaaaaaaaaaa (custom)",
        "             its repository has a newer one, sealift-2: the next deployment may take it",
        "             alarms: 1 quiet",
        "             ALARM sealift-harbour-2-5xx: 1 error",
        "  previous   harbour-1: InService, 1024 MB, 10 concurrent, deployed 2 h ago",
        "  called by  ENDPOINT_NAME of assistant:live -> harbour-2",
        "  called by  ENDPOINT_NAME of assistant -> could not be read: not authorised",
        "costs now  nothing while nobody calls",
    ]
    assert not services[0].well
    document = status.document(services[0], NOW)
    assert document["deployments"][0]["archive"]["size"] == 3 * 1024**2
    assert document["deployments"][0]["age_s"] == 7200
    assert document["consumers"][0]["calls"] == "harbour-2"
    assert document["deployments"][0]["image"] == {
        "uri": IMAGE.uri,
        "digest": IMAGE.digest,
        "container": "custom",
        "newer": "sealift-2",
    }
    assert document["deployments"][1]["image"] is None
    assert document["deployments"][0]["speed"] is None


def test_a_speed_stands_with_its_endpoint() -> None:
    """Measured by the smoke test, beside what the plan computed; for machines as figures."""
    facts = StatusFacts(endpoints=(endpoint("harbour-2"),), releases={"harbour": (NEW,)})
    speeds = {"harbour-2": SpeedComparison(AnswerSpeed(2.0, 0.25, 32, 14.5), ComputedSpeed(14.0, 0.3))}

    (service,) = service_status.arrange(facts)

    assert list(status.lines([service], NOW, speeds))[-2] == (
        "             speed measured warm with one caller: first token after 0.25 s, 14.5 tokens/s; the plan computed "
        "first token after 0.30 s of a prompt of 512 tokens, about 14 tokens/s"
    )
    assert status.document(service, NOW, speeds)["deployments"][0]["speed"] == {
        "seconds": 2.0,
        "first_token_s": 0.25,
        "tokens": 32,
        "tokens_per_s": 14.5,
        "planned_first_token_s": 0.3,
        "planned_tokens_per_s": 14.0,
    }


def test_the_history_is_a_line_for_each_with_the_cause_below() -> None:
    """Columns as wide as they need be; a cause no wider than the screen."""
    ended = replace(
        running("harbour-1").entry,
        status="FAILED",
        ended=NOW,
        error="InvalidArchive",
        cause="what happened: " + "x" * 200,
        archive="uploads/models/harbour/model.tar.gz",
        version="v1234567890",
    )

    head, where, cause = history.lines([ended], NOW, 80)

    assert head.split()[2:] == ["harbour", "InvalidArchive", "40", "s", "-"]
    assert where == "  harbour-1  s3://uploads/models/harbour/model.tar.gz version v1234567"
    assert len(cause) == 79


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (12.4, "12 s"), (185, "3 min 5 s"), (7200, "2 h"), (90_061, "1 d 1 h"), (-3, "0 s")],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, told: str) -> None:
    """And never below nothing: two clocks need not agree."""
    assert span(seconds) == told


def test_what_costs_money_is_told_with_its_sum() -> None:
    """Serverless endpoints cost nothing while nobody calls them, and are not listed."""
    cost = Cost(0.302, "1 x ml.r5.xlarge at $0.302")
    paid = replace(endpoint("harbour-1"), cost=cost, memory_mb=None, max_concurrency=None)
    free = replace(endpoint("harbour-0"), cost=Cost(0.0, "serverless"))
    services = service_status.arrange(StatusFacts(endpoints=(paid, free)))
    told = "\n".join(status.lines(services, NOW))

    assert service_status.cost(services) == Cost(0.302, "harbour-1: 1 x ml.r5.xlarge at $0.302")
    assert (
        "costs now  $0.302 an hour, $220 a month, called or not: harbour-1: 1 x ml.r5.xlarge at $0.302"
        in told
    )
    nothing = service_status.cost(service_status.arrange(StatusFacts(endpoints=(free,))))
    assert nothing == Cost(0.0)
    assert nothing.now == "nothing while nobody calls"
    unread = service_status.cost(service_status.arrange(StatusFacts(endpoints=(replace(paid, cost=None),))))
    assert (unread.usd_per_hour, unread.how) == (None, "harbour-1: its configuration could not be read")


def test_a_sum_with_an_unknown_price_is_unknown() -> None:
    """Half a sum would be too good to be true."""
    known, unknown = (
        replace(endpoint(f"harbour-{n}"), cost=cost)
        for n, cost in enumerate((Cost(1.0, "a"), Cost(None, "2 x ml.x9.large, price not known")))
    )
    found = service_status.cost(service_status.arrange(StatusFacts(endpoints=(known, unknown))))

    assert found is not None
    assert found.usd_per_hour is None
    assert "price not known" in found.how


def test_the_callers_are_those_of_the_deployment_that_was_finished_last() -> None:
    """Whatever was uploaded later; those of one that was never finished only where there is no other."""
    other = Consumer(function_name="reports", variable="ENDPOINT_NAME", alias=None)
    again = replace(OLD, deployed_at="2026-01-02T11:00:00Z", consumers=(other,))
    tried = replace(release("harbour-3", "2026-01-03T00:00:00Z", good=False), consumers=(WHO, other))

    assert service_status.callers((NEW, again)) == (other,)
    assert service_status.callers((again, NEW, tried)) == (other,)
    assert service_status.callers((replace(again, consumers=()), NEW)) == (WHO,)
    assert service_status.callers((tried,)) == (WHO, other)
    assert service_status.callers(()) == ()


PAID = Cost(0.23, "2 x ml.m5.large at $0.115")


PAUSED = replace(OLD, status=None, serves=False, paused_at="2026-01-02T11:30:00.000Z")


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        pytest.param(
            StatusFacts((replace(endpoint("harbour-1"), cost=FREE),), {"harbour": (OLD,)}),
            ("harbour", "harbour-1", "InService", "1024 MB x 10", "nothing while nobody calls", "2 h"),
            id="serverless",
        ),
        pytest.param(
            StatusFacts(
                (replace(endpoint("harbour-1"), memory_mb=None, cost=PAID),),
                {"harbour": (OLD,)},
                running=(running("harbour-2"),),
            ),
            (
                "harbour",
                "harbour-1",
                "InService, being deployed",
                "2 x ml.m5.large",
                "$0.23 an hour, $168 a month",
                "2 h",
            ),
            id="instances, and another deployment under way",
        ),
        pytest.param(
            StatusFacts((replace(endpoint("harbour-1", "Failed"), cost=None),), {"harbour": (OLD,)}),
            (
                "harbour",
                "harbour-1",
                "Failed, see status",
                "1024 MB x 10",
                "a price that is not known",
                "2 h",
            ),
            id="failed, and its configuration could not be read",
        ),
        pytest.param(
            StatusFacts(running=(running("harbour-1"),)),
            ("harbour", "-", "being deployed", "-", "-", "-"),
            id="the first deployment",
        ),
        pytest.param(
            StatusFacts(releases={"harbour": (replace(OLD, endpoint=None, status=None),)}),
            ("harbour", "-", "nothing serves", "-", "-", "-"),
            id="nothing is left",
        ),
        pytest.param(
            StatusFacts(releases={"harbour": (PAUSED,)}, paused={"harbour-1": PAID}),
            ("harbour", "harbour-1", "paused", "2 x ml.m5.large", "nothing while nobody calls", "30 min"),
            id="paused",
        ),
        pytest.param(
            StatusFacts(
                (endpoint("harbour-1"),), {"harbour": (replace(OLD, expires_at="2026-01-02T13:00:00.000Z"),)}
            ),
            (
                "harbour",
                "harbour-1",
                "InService, goes at 2026-01-02T13:00Z",
                "1024 MB x 10",
                "nothing while nobody calls",
                "2 h",
            ),
            id="for a time",
        ),
    ],
)
def test_a_service_is_one_line(facts: StatusFacts, row: tuple[str, ...]) -> None:
    """What serves, how it stands, and what it costs."""
    (service,) = service_status.arrange(facts)

    assert ls.row(service, NOW) == row


def test_the_lines_are_a_table() -> None:
    """Each column is as wide as its widest text, and no line ends in spaces."""
    assert ls.table([("A", "LONGER", "B"), ("aaa", "b", ""), ("", "", "c")]) == [
        "A    LONGER  B",
        "aaa  b",
        "             c",
    ]


def test_what_is_paused_is_told_with_the_way_back() -> None:
    """And what it costs then; its parameter names it rightly, and the service is well."""
    named = service_status.ParameterStatus("/sealift/sealift/harbour/endpoint", "harbour-1")
    facts = StatusFacts(
        releases={"harbour": (PAUSED,)}, paused={"harbour-1": PAID}, parameters={"harbour": (named,)}
    )
    (service,) = service_status.arrange(facts)

    assert list(status.lines([service], NOW)) == [
        "harbour",
        "  paused     harbour-1: for 30 min; `sealift resume harbour` brings it back, at $0.23 an hour, $168 a month",
        "costs now  nothing while nobody calls",
    ]
    assert (service.well, service.astray) == (True, ())
    (shown,) = status.document(service, NOW)["paused"]
    assert (shown["endpoint_name"], shown["usd_per_hour_resumed"]) == ("harbour-1", 0.23)


def test_what_comes_back_and_what_goes_is_told_with_its_endpoint() -> None:
    """What was paused or brought back by half has its ways on named; a life, how long it still is."""
    (back,) = service_status.arrange(
        StatusFacts(
            (endpoint("harbour-1", "Creating"),),
            {"harbour": (replace(PAUSED, status="Creating", serves=True),)},
        )
    )
    (short,) = service_status.arrange(
        StatusFacts(
            (endpoint("harbour-1"),), {"harbour": (replace(OLD, expires_at="2026-01-02T13:00:00.000Z"),)}
        )
    )

    half = (
        "  half-way   harbour-1 runs, and is marked as paused: `sealift resume harbour` keeps it, "
        "`sealift pause harbour` takes it away"
    )
    assert half in status.lines([back], NOW)
    assert back.paused == ()
    goes = "             goes by itself in 1 h, at 2026-01-02T13:00:00.000Z"
    assert goes in status.lines([short], NOW)
    late = list(status.lines([short], NOW + timedelta(hours=2)))
    assert any("with the next look, since 2026-01-02T13:00:00.000Z is over" in line for line in late)
