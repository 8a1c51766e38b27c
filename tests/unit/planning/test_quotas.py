"""The capacity ladder and the sharing of room: decisions on what AWS said and on what is in use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from pipeline import endpoint_status, limits, quota_usage
from pipeline.aws import quota_errors, service_errors
from pipeline.errors import QuotaTooSmall, ResourceLimitExceeded
from pipeline.planning import quotas
from pipeline.planning.quotas import Ask, Changes, Down, RetryPause, Rung, Stop
from pipeline.quota_refusal import Quota, QuotaRefusal
from pipeline.quota_usage import Holder, Lowered, Situation

# Verbatim, as boto3 raised it on an ordinary account.
MEMORY = (
    "An error occurred (ResourceLimitExceeded) when calling the CreateEndpoint operation: The account-level service "
    "limit 'Memory size in MB per serverless endpoint' is 3072 MBs, with current utilization of 0 MBs and a request "
    "delta of 4096 MBs. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is "
    "not available, contact AWS support to request an increase for this quota."
)
TOTAL = "Maximum total concurrency that can be allocated across all serverless endpoints"
COUNT = "Maximum number of serverless endpoints"
ASK = Ask(
    memory_mb=2048, concurrency=10, sizes_mb=(2048, 3072, 4096, 5120, 6144), arithmetic="weights 1,500 MiB"
)


def said(quota: str, limit: int, used: int, delta: int, unit: str = "") -> str:
    """Return AWS's message with other figures; some quotas have a unit."""
    figures = [f"{figure} {unit}".strip() for figure in (limit, used, delta)]
    return (
        f"The account-level service limit '{quota}' is {figures[0]}, with current utilization of {figures[1]} and a "
        f"request delta of {figures[2]}. Please use AWS Service Quotas to request an increase for this quota."
    )


def refusal(quota: str = TOTAL, limit: int = 10, used: int = 10, delta: int = 10) -> QuotaRefusal:
    """Return a refusal, read."""
    return quota_errors.read_refusal(said(quota, limit, used, delta))


def ours(name: str, concurrency: int, created: str = "2026-01-01", **more: Any) -> Holder:
    """Return an endpoint of the service."""
    return Holder(name, "InService", name, concurrency, ours=True, created=created, **more)


def theirs(name: str, concurrency: int) -> Holder:
    """Return an endpoint of somebody else."""
    return Holder(name, "InService", name, concurrency)


def account(*holders: Holder, quota: int = 10, read: bool = True) -> Situation:
    """Return an account's situation."""
    return Situation(holders, quota, read)


# ------------------------------------------------------------------ what AWS said


def test_the_memory_quotas_own_words() -> None:
    """The text that an ordinary account gives for 4096 MB: more than it may ever have."""
    found = quota_errors.read_refusal(MEMORY)

    assert (found.quota, found.name) == (Quota.MEMORY, "Memory size in MB per serverless endpoint")
    assert (found.limit, found.used, found.delta) == (3072, 0, 4096)
    assert found.never_fits


@pytest.mark.parametrize(
    ("text", "quota", "never"),
    [
        pytest.param(said(TOTAL, 10, 10, 10), Quota.CONCURRENCY, False, id="concurrency in use"),
        pytest.param(said(TOTAL, 10, 0, 50, "Units"), Quota.CONCURRENCY, True, id="concurrency, never"),
        pytest.param(said(COUNT, 5, 5, 1), Quota.ENDPOINTS, False, id="endpoints"),
        pytest.param(
            said("ml.m5.large for endpoint usage", 0, 0, 1), Quota.INSTANCES, True, id="instances, never"
        ),
        pytest.param(said("Total volume of endpoints", 0, 0, 1), Quota.UNKNOWN, True, id="another quota"),
        pytest.param("You have reached your limit.", Quota.UNKNOWN, False, id="another text"),
        pytest.param("", Quota.UNKNOWN, False, id="no text"),
    ],
)
def test_a_refusal_is_read(text: str, quota: Quota, never: bool) -> None:
    """A text without figures is a quota in use: waiting may help, as far as anybody knows."""
    found = quota_errors.read_refusal(text)

    assert (found.quota, found.never_fits) == (quota, never)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    """AWS may change its words at any time."""
    assert quota_errors.read_refusal(text).text == text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(MEMORY, QuotaTooSmall, id="never fits"),
        pytest.param(said(TOTAL, 10, 4, 7), ResourceLimitExceeded, id="in use"),
        pytest.param("limit exceeded", ResourceLimitExceeded, id="unknown"),
    ],
)
def test_the_state_machine_sees_the_difference_by_class(text: str, error: type[Exception]) -> None:
    """One is never retried, the other is; AWS's text is in both, for StepDown to read."""
    refused = ClientError({"Error": {"Code": "ResourceLimitExceeded", "Message": text}}, "CreateEndpoint")
    raised = service_errors.translate(refused)

    assert type(raised) is error
    assert text in str(raised)
    assert raised.refusal == quota_errors.read_refusal(f"CreateEndpoint: ResourceLimitExceeded: {text}")


# --------------------------------------------------------------------------- room


@pytest.mark.parametrize(
    ("asked", "free", "own", "start", "lowered"),
    [
        pytest.param(10, 10, (), 10, {}, id="all is free"),
        pytest.param(10, 0, (ours("a", 10),), 5, {"a": 5}, id="half and half"),
        pytest.param(10, 5, (ours("a", 5),), 5, {}, id="equal already"),
        pytest.param(10, 8, (ours("a", 2),), 8, {}, id="more than the other"),
        pytest.param(1, 0, (ours("a", 10),), 1, {"a": 9}, id="no more than needed"),
        pytest.param(10, 0, (ours("a", 1, "1"), ours("b", 9, "2")), 4, {"b": 5}, id="one is at the least"),
        pytest.param(10, 0, (ours("a", 5, "1"), ours("b", 5, "2")), 4, {"a": 1}, id="idle ones first"),
        pytest.param(3, 0, (ours("a", 5, "1"), ours("b", 5, "2")), 3, {"a": 2}, id="idle one is enough"),
        pytest.param(10, 0, (ours("a", 1),), 0, {}, id="none to give"),
        pytest.param(10, -3, (ours("a", 2),), 1, {"a": 1}, id="over the quota"),
    ],
)
def test_room_is_shared(
    *, asked: int, free: int, own: tuple[Holder, ...], start: int, lowered: dict[str, int]
) -> None:
    """The endpoint that serves keeps at least as much as the new one gets of it; the others keep one."""
    room = quotas.make_room(asked, free, own, None)

    assert room.start == start
    assert {one.endpoint: one.to for one in room.lowered} == lowered


def test_the_one_that_the_consumer_calls_is_spared() -> None:
    """It need not be the newest."""
    room = quotas.make_room(10, 0, (ours("a", 5, "1"), ours("b", 5, "2")), "a")

    assert room.lowered == (Lowered(endpoint="b", before=5, to=1),)


@pytest.mark.parametrize(
    ("provisioned", "lowered"),
    [
        pytest.param(0, {"old": 1, "new": 7}, id="none"),
        pytest.param(3, {"old": 3, "new": 6}, id="of what does not serve"),
        pytest.param(4, {"new": 6}, id="all of it"),
    ],
)
def test_what_is_provisioned_gives_no_room(provisioned: int, lowered: dict[str, int]) -> None:
    """It is paid for; the rest of the endpoint's concurrency is as any other's."""
    own = (ours("old", 4, "1", provisioned=provisioned), ours("new", 10, "2"))
    room = quotas.make_room(10, 1, own, "new")

    assert {one.endpoint: one.to for one in room.lowered} == lowered
    half = quotas.make_room(10, 0, (ours("new", 10, provisioned=8),), "new")
    assert half.lowered == (Lowered(endpoint="new", before=10, to=8),)


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(theirs("a", 10), id="somebody else's"),
        pytest.param(replace(ours("a", 10), status="Updating"), id="being changed"),
        pytest.param(ours("a", 10, provisioned=10), id="provisioned"),
        pytest.param(ours("a", 1), id="at the least"),
    ],
)
def test_who_gives_no_room(holder: Holder) -> None:
    """Nobody else's endpoint, none that is being changed, none whose concurrency is provisioned."""
    start = quotas.choose(10, account(holder, theirs("x", 9)))

    assert start.room == ()


holders = st.lists(
    st.builds(
        Holder,
        name=st.sampled_from("abcdefgh"),
        status=st.sampled_from(["InService", "Updating", "Creating", "Failed"]),
        config=st.just("c"),
        concurrency=st.integers(1, 20),
        ours=st.booleans(),
        provisioned=st.integers(0, 20),
        created=st.sampled_from("123"),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)
situations = st.builds(Situation, holders=holders.map(tuple), quota=st.integers(0, 60), read=st.booleans())


@given(asked=st.integers(1, 200), situation=situations, serving=st.sampled_from([None, "a", "b"]))
def test_a_beginning_is_within_bounds(asked: int, situation: Situation, serving: str | None) -> None:
    """Never above what was requested nor below one; only our own are lowered, none below one, no more than is freed."""
    start = quotas.choose(asked, situation, serving=serving)

    assert 1 <= start.concurrency <= asked
    for one in start.room:
        holder = situation.holder(one.endpoint)
        assert holder is not None
        assert holder.lowerable
        assert holder.least <= one.to < one.before == holder.concurrency
    freed = sum(one.before - one.to for one in start.room)
    if start.room:
        assert situation.free is not None
        assert start.concurrency == situation.free + freed
    if start.concurrency < asked or start.room:
        assert start.steps


@pytest.mark.parametrize(
    ("asked", "situation", "start"),
    [
        pytest.param(50, account(), 10, id="known quota: the whole of it"),
        pytest.param(50, account(read=False), 50, id="assumed quota: AWS is asked"),
        pytest.param(10, account(theirs("x", 40), read=False), 10, id="refuted assumption: AWS is asked"),
        pytest.param(10, account(theirs("x", 8)), 2, id="what is free"),
        pytest.param(10, account(theirs("x", 10)), 10, id="nothing is free: it is waited for"),
        pytest.param(10, account(quota=1000), 10, id="plenty"),
        pytest.param(10, account(quota=0), 10, id="a quota of none: AWS refuses it by name"),
    ],
)
def test_the_beginning_without_own_endpoints(asked: int, situation: Situation, start: int) -> None:
    """An assumption never cuts what was requested."""
    assert quotas.choose(asked, situation).concurrency == start


def test_in_place_what_is_replaced_is_free() -> None:
    """The endpoint's own concurrency is the new configuration's; it is not lowered first."""
    old = ours("harbour", 10)
    start = quotas.choose(10, account(old), replaced=old)

    assert (start.concurrency, start.room, start.steps) == (10, (), ())


# ------------------------------------------------------- where none is asked for


@pytest.mark.parametrize(
    ("quota", "share"),
    [(0, 1), (1, 1), (2, 1), (3, 1), (5, 1), (6, 2), (10, 3), (29, 9), (30, 10), (33, 10), (1000, 10)],
)
def test_the_share_lets_three_services_fit(quota: int, share: int) -> None:
    """A third, rounded down, ten at most and one at least."""
    assert quotas.target(quota) == share


@pytest.mark.parametrize(
    ("situation", "start", "lowered"),
    [
        pytest.param(account(), 3, {}, id="alone"),
        pytest.param(account(quota=1000), 10, {}, id="a large account"),
        pytest.param(account(theirs("x", 7)), 3, {}, id="just free"),
        pytest.param(account(theirs("x", 8)), 2, {}, id="what is free"),
        pytest.param(account(theirs("x", 7), ours("a", 2)), 1, {}, id="free goes first"),
        pytest.param(
            account(theirs("x", 7), ours("a", 3)), 2, {"a": 1}, id="the one that serves, but for one"
        ),
        pytest.param(account(ours("a", 10)), 3, {"a": 7}, id="no more than its share"),
        pytest.param(
            account(theirs("x", 5), ours("a", 2, "1"), ours("b", 3, "2")),
            3,
            {"a": 1, "b": 1},
            id="the ways back first",
        ),
        pytest.param(account(theirs("x", 11), read=False), 3, {}, id="refuted assumption: AWS is asked"),
        pytest.param(account(theirs("x", 10), read=False), 3, {}, id="assumed to be full: AWS is asked"),
        pytest.param(
            account(replace(theirs("x", 10), status="Deleting")), 3, {}, id="on its way out: it is asked for"
        ),
        pytest.param(
            account(replace(ours("a", 10), status="Updating")),
            3,
            {},
            id="ours, being changed: it is asked for",
        ),
    ],
)
def test_what_one_that_asks_for_none_begins_with(
    situation: Situation, start: int, lowered: dict[str, int]
) -> None:
    """Its share, what is free of it, and where nothing is what the service's own have beyond one."""
    found = quotas.choose(None, situation)

    assert isinstance(found, quotas.CapacityStart)
    assert found.concurrency == start
    assert {one.endpoint: one.to for one in found.room} == lowered
    if start < quotas.target(situation.quota) or lowered:
        (step,) = found.steps
        assert step.did.startswith(f"begin with {start}")


def test_in_place_it_keeps_what_it_has() -> None:
    """What is replaced is its own."""
    old = ours("harbour", 2)

    found = quotas.choose(None, account(theirs("x", 8), old), replaced=old)

    assert isinstance(found, quotas.CapacityStart)
    assert (found.concurrency, found.room) == (2, ())


def test_what_nobody_will_ever_free_is_refused_at_once_with_the_commands() -> None:
    """Who holds how much, whose it is, and what makes room: all that a person can run as it stands."""
    situation = account(
        replace(ours("a-1", 1), service="a"),
        replace(theirs("b-1", 8), service="b"),
        replace(theirs("by-hand", 1), service=""),
    )

    found = quotas.choose(None, situation)

    assert isinstance(found, Stop)
    assert found.final
    assert "a-1 1, b-1 8, by-hand 1" in found.problem.seen
    fix = found.problem.fix
    assert (
        "b-1 (service 'b') holds 8: `sealift push ARCHIVE --service b --input FILE` with \"max_concurrency\": 1 in FILE"
        in fix
    )
    assert (
        "a-1 (this service's) holds 1: `aws sagemaker delete-endpoint --endpoint-name a-1` "
        "if `sealift status a` shows that nobody calls it" in fix
    )
    assert "by-hand (not Sealift's) holds 1: `aws sagemaker delete-endpoint --endpoint-name by-hand`" in fix
    assert '"strategy": "in_place"' in fix
    assert f"--service-code sagemaker --quota-code {limits.CONCURRENCY_QUOTA_CODE} --desired-value 20`" in fix


def test_of_many_holders_the_largest_are_named() -> None:
    """The message is for a person."""
    many = tuple(theirs(f"x-{n}", 1 + (n == 8)) for n in range(9))

    found = quotas.choose(None, account(*many))

    assert isinstance(found, Stop)
    assert found.problem.fix.count("delete-endpoint") == quotas.MOST_NAMED
    assert "x-8 holds 2" in found.problem.fix
    assert "4 more: `aws sagemaker list-endpoints`" in found.problem.fix
    assert found.problem.seen.endswith("x-7 1, 1 more")


ADAPTS = replace(ASK, concurrency=3, adapts=True)


@pytest.mark.parametrize(
    ("told", "situation", "rung", "concurrency"),
    [
        pytest.param(refusal(used=9, delta=3), account(theirs("x", 9)), Rung.FREE, 1, id="others were first"),
        pytest.param(refusal(used=8, delta=3), account(theirs("x", 8)), Rung.FREE, 2, id="what they left"),
        pytest.param(
            refusal(limit=2, used=0, delta=3), account(), Rung.FREE, 1, id="never: the share of less"
        ),
        pytest.param(refusal(delta=3), account(theirs("x", 6)), Rung.FREE, 3, id="somebody left since"),
        pytest.param(
            refusal(delta=3), account(theirs("x", 7), ours("a", 3)), Rung.ROOM, 2, id="our own, but for one"
        ),
    ],
)
def test_one_that_asks_for_none_takes_what_is_left(
    told: QuotaRefusal, situation: Situation, rung: Rung, concurrency: int
) -> None:
    """At once, be it one."""
    down = quotas.step_down(told, ADAPTS, situation)

    assert isinstance(down, Down)
    assert (down.rung, down.concurrency) == (rung, concurrency)


def test_what_is_being_deleted_is_waited_for_and_nothing_else() -> None:
    """Whosever it is: it goes in a moment. What serves does not."""
    going = replace(theirs("x", 10), status="Deleting")

    assert isinstance(quotas.step_down(refusal(delta=3), ADAPTS, account(going)), RetryPause)
    assert isinstance(quotas.step_down(refusal(delta=3), ASK, account(going)), Stop)
    found = quotas.step_down(refusal(delta=3), ADAPTS, account(theirs("x", 10)))
    assert isinstance(found, Stop)
    assert "x holds 10" in found.problem.fix


def test_the_endpoint_quota_names_who_has_them_and_the_commands() -> None:
    """Five endpoints are taken; one that is being deleted is waited for where nothing else is."""
    told = refusal(COUNT, 5, 5, 1)
    situation = account(*(replace(theirs(f"x-{n}", 1), service="x") for n in range(5)))

    found = quotas.step_down(told, ADAPTS, situation)

    assert isinstance(found, Stop)
    for n in range(5):
        assert (
            f"x-{n} (service 'x'): `aws sagemaker delete-endpoint --endpoint-name x-{n}`" in found.problem.fix
        )
    going = account(replace(theirs("x", 1), status="Deleting"))
    assert isinstance(quotas.step_down(told, ADAPTS, going), RetryPause)
    assert isinstance(quotas.step_down(told, ASK, going), Stop)


def test_others_may_be_quicker_a_few_times() -> None:
    """Then it is refused, however much seems to be free."""
    free = account(theirs("x", 8))
    taken = ("free",) * quotas.MOST_FREE

    assert isinstance(
        quotas.step_down(refusal(used=8, delta=3), replace(ADAPTS, taken=taken[1:]), free), Down
    )
    assert isinstance(quotas.step_down(refusal(used=8, delta=3), replace(ADAPTS, taken=taken), free), Stop)


# --------------------------------------------------------------------- the ladder


@pytest.mark.parametrize(
    ("told", "ask", "situation", "rung", "sizes"),
    [
        pytest.param(
            quota_errors.read_refusal(MEMORY),
            replace(ASK, memory_mb=4096),
            account(),
            Rung.MEMORY,
            (3072, 10),
            id="memory: the largest that is allowed",
        ),
        pytest.param(
            refusal(used=0, delta=50),
            replace(ASK, concurrency=50),
            account(),
            Rung.LIMIT,
            (2048, 10),
            id="never: the quota",
        ),
        pytest.param(
            refusal(used=4, delta=50),
            replace(ASK, concurrency=50),
            account(theirs("x", 4)),
            Rung.LIMIT,
            (2048, 6),
            id="never: what others leave of the quota",
        ),
        pytest.param(
            refusal(used=10, delta=50),
            replace(ASK, concurrency=50),
            account(ours("a", 10)),
            Rung.LIMIT,
            (2048, 5),
            id="never: with room of our own",
        ),
        pytest.param(refusal(), ASK, account(ours("a", 10)), Rung.ROOM, (2048, 5), id="busy: room first"),
        pytest.param(
            refusal(delta=5),
            replace(ASK, concurrency=5, room=(Lowered(endpoint="a", before=10, to=5),)),
            account(ours("a", 1), ours("b", 9, "2026-01-02")),
            Rung.ROOM,
            (2048, 4),
            id="busy: the room that was made is somebody else's by now",
        ),
        pytest.param(
            refusal(used=7), ASK, account(theirs("x", 7)), Rung.FREE, (2048, 3), id="busy: what is free"
        ),
        pytest.param(
            refusal(used=7, delta=3),
            replace(ASK, concurrency=3, taken=("free",)),
            account(theirs("x", 7)),
            Rung.LEAST,
            (2048, 1),
            id="busy again: one",
        ),
        pytest.param(
            quota_errors.read_refusal("limit exceeded"),
            ASK,
            account(theirs("x", 8)),
            Rung.FREE,
            (2048, 2),
            id="unknown text: what is seen",
        ),
    ],
)
def test_the_next_rung(
    *, told: QuotaRefusal, ask: Ask, situation: Situation, rung: Rung, sizes: tuple[int, int]
) -> None:
    """AWS's figures go before ours, room goes before less, and each step says why."""
    down = quotas.step_down(told, ask, situation)

    assert isinstance(down, Down)
    assert (down.rung, (down.memory_mb, down.concurrency)) == (rung, sizes)
    assert down.step.said == str(told)


def test_the_one_that_took_the_room_is_taken_for_the_one_that_is_called() -> None:
    """It came after the plan was made, and gives no more than makes both equal."""
    ask = replace(ASK, concurrency=5, room=(Lowered(endpoint="a", before=10, to=5),))
    situation = account(ours("a", 1), ours("b", 9, "2026-01-02"))

    down = quotas.step_down(refusal(delta=5), ask, situation, serving="a")

    assert isinstance(down, Down)
    assert down.room == (*ask.room, Lowered(endpoint="b", before=9, to=5))


def test_room_is_made_again_as_often_as_another_deployment_can_take_it() -> None:
    """It takes it when it begins, and again after its switch; a third taker is nobody that ends by itself."""
    took = account(ours("a", 1), ours("b", 9, "2026-01-02"))
    ask = replace(ASK, concurrency=2, taken=("room", "room"))

    down = quotas.step_down(refusal(delta=2), ask, took)

    assert isinstance(down, Down)
    assert down.rung is Rung.ROOM
    assert isinstance(quotas.step_down(refusal(delta=2), replace(ask, taken=("room",) * 3), took), Stop)


def test_an_endpoint_that_is_being_changed_may_give_room_then() -> None:
    """Another deployment of the service is just taking what is free: what it comes to can be shared."""
    busy = replace(ours("a", 9), status="Updating")

    found = quotas.step_down(refusal(delta=5), replace(ASK, concurrency=5), account(busy, theirs("x", 1)))

    assert isinstance(found, RetryPause)
    assert "endpoint 'a' is Updating" in found.reason


@pytest.mark.parametrize(("now", "before"), [(5, 10), (9, 9)], ids=["as it was lowered", "raised meanwhile"])
def test_an_endpoint_that_is_lowered_twice_gets_back_what_it_had(now: int, before: int) -> None:
    """What it had before the first time, unless somebody has given it something else since."""
    ask = replace(ASK, concurrency=5, room=(Lowered(endpoint="a", before=10, to=5),))

    down = quotas.step_down(refusal(delta=5), ask, account(ours("a", now)))

    assert isinstance(down, Down)
    (lowered,) = down.room
    assert (lowered.endpoint, lowered.before) == ("a", before)
    assert lowered.to < now


@pytest.mark.parametrize(
    ("told", "ask", "situation", "final", "parts"),
    [
        pytest.param(
            quota_errors.read_refusal(MEMORY),
            replace(ASK, memory_mb=4096, sizes_mb=(4096, 5120, 6144)),
            account(),
            True,
            ("is 3072 MB", "4096 MB were asked for", "weights 1,500 MiB", "so 4096 MB", "support case"),
            id="memory",
        ),
        pytest.param(
            refusal(),
            ASK,
            account(theirs("x", 10)),
            False,
            (
                "10 in use",
                "x holds 10: `aws sagemaker delete-endpoint --endpoint-name x` if nobody calls it",
                f"--quota-code {limits.CONCURRENCY_QUOTA_CODE} --desired-value 20`",
            ),
            id="nothing free",
        ),
        pytest.param(
            refusal(COUNT, 5, 5, 1),
            ASK,
            account(theirs("x", 1), ours("a", 1)),
            False,
            (COUNT, "in use: x 1, a 1", "in_place", "(a)", "support case"),
            id="endpoints",
        ),
        pytest.param(
            quota_errors.read_refusal(said("another", 0, 0, 1)),
            ASK,
            account(),
            True,
            ("another",),
            id="another",
        ),
        pytest.param(
            quota_errors.read_refusal("limit exceeded"),
            ASK,
            account(),
            False,
            ("limit exceeded",),
            id="unknown",
        ),
    ],
)
def test_the_end_of_the_ladder(
    *, told: QuotaRefusal, ask: Ask, situation: Situation, final: bool, parts: tuple[str, ...]
) -> None:
    """Which quota, who holds it, what was needed, and how to ask for more."""
    stop = quotas.step_down(told, ask, situation)

    assert isinstance(stop, Stop)
    assert stop.final is final
    assert all(part in str(stop.problem) for part in parts), str(stop.problem)


refusals = st.one_of(
    st.builds(
        refusal,
        st.sampled_from([TOTAL, COUNT, "Memory size in MB per serverless endpoint", "another"]),
        st.sampled_from([1, 5, 10, 50, 1024, 3072, 4096]),
        st.integers(0, 60),
        st.sampled_from([1, 5, 10, 50, 200, 4096, 6144]),
    ),
    st.just(QuotaRefusal("no figures")),
)


MOST_STEPS = len(Rung) - 1 + quotas.MOST_ROOM


@given(
    answers=st.lists(refusals, min_size=MOST_STEPS + 1, max_size=MOST_STEPS + 1),
    seen=st.lists(situations, min_size=MOST_STEPS + 1, max_size=MOST_STEPS + 1),
    asked=st.integers(1, 200),
    memory_mb=st.sampled_from(limits.MEMORY_SIZES_MB),
    needed=st.sampled_from(limits.MEMORY_SIZES_MB),
    in_place=st.booleans(),
)
def test_the_ladder_ends_and_stays_within_bounds(  # noqa: PLR0917 hypothesis passes by name
    answers: list[QuotaRefusal],
    seen: list[Situation],
    asked: int,
    memory_mb: int,
    needed: int,
    in_place: bool,
) -> None:
    """Whatever AWS says each time: each rung once but for room, never more than asked for, never less than needed."""
    sizes = tuple(size for size in limits.MEMORY_SIZES_MB if size >= min(needed, memory_mb))
    ask = Ask(memory_mb, asked, sizes, "sum")
    for told, situation in zip(answers, seen, strict=True):
        replaced = situation.holder("a") if in_place else None
        down = quotas.step_down(told, ask, situation, serving="b", replaced=replaced)
        if isinstance(down, Stop):
            return
        if isinstance(down, RetryPause):
            assert any(one.status in endpoint_status.MOVING for one in situation.holders)
            continue
        assert down.rung.value not in ask.taken or down.rung is Rung.ROOM
        assert min(sizes) <= down.memory_mb <= ask.memory_mb
        assert 1 <= down.concurrency <= ask.concurrency
        # The same again only where an endpoint has what it had given: somebody took it back, or it was never lowered.
        again = {one.endpoint: one.before for one in ask.room}
        back = any(again.get(one.name) == one.concurrency for one in situation.holders)
        assert (down.memory_mb, down.concurrency, down.room) != (
            ask.memory_mb,
            ask.concurrency,
            ask.room,
        ) or (down.rung is Rung.ROOM and back)
        assert all(1 <= one.to < one.before for one in down.room)
        assert {one.endpoint for one in ask.room} <= {one.endpoint for one in down.room}
        assert len({one.endpoint for one in down.room}) == len(down.room)
        ask = replace(
            ask,
            memory_mb=down.memory_mb,
            concurrency=down.concurrency,
            room=down.room,
            taken=(*ask.taken, down.rung.value),
        )
    pytest.fail("the ladder has more rungs than there are")


@given(
    answers=st.lists(refusals, min_size=MOST_STEPS * 2, max_size=MOST_STEPS * 2),
    seen=st.lists(situations, min_size=MOST_STEPS * 2, max_size=MOST_STEPS * 2),
    in_place=st.booleans(),
)
def test_the_ladder_of_one_that_asks_for_none_ends_too(
    answers: list[QuotaRefusal], seen: list[Situation], *, in_place: bool
) -> None:
    """Never more than ten, never less than one; only what is on its way is waited for, and only ours is lowered."""
    ask = ADAPTS
    for told, situation in zip(answers, seen, strict=True):
        replaced = situation.holder("a") if in_place else None
        down = quotas.step_down(told, ask, situation, serving="b", replaced=replaced)
        if isinstance(down, Stop):
            return
        if isinstance(down, RetryPause):
            assert quotas.leaving(situation, replaced)
            continue
        assert 1 <= down.concurrency <= quotas.MOST_UNASKED
        for one in down.room:
            if one not in ask.room:
                assert situation.holder(one.endpoint) in situation.own()
        ask = replace(
            ask,
            memory_mb=down.memory_mb,
            concurrency=down.concurrency,
            room=down.room,
            taken=(*ask.taken, down.rung.value),
        )
    pytest.fail("the ladder has more rungs than there are")


# --------------------------------------------------------------- after the switch


@pytest.mark.parametrize(
    ("situation", "limit", "switched", "changes"),
    [
        pytest.param(account(ours("new", 10)), 10, True, Changes(), id="has it"),
        pytest.param(account(ours("a", 5), ours("new", 5)), 10, True, Changes((("a", 1),)), id="lower first"),
        pytest.param(
            account(ours("a", 1), ours("new", 5)), 10, True, Changes((("new", 9),)), id="then raise"
        ),
        pytest.param(account(ours("a", 1), ours("new", 9)), 10, True, Changes(), id="as far as it goes"),
        pytest.param(account(ours("a", 5), ours("new", 5)), 10, False, Changes(), id="nobody was switched"),
        pytest.param(
            account(ours("a", 5), ours("new", 1)),
            1,
            True,
            Changes((("a", 1),)),
            id="a quota that was lowered",
        ),
        pytest.param(account(ours("new", 5)), 10, False, Changes((("new", 10),)), id="free meanwhile"),
        pytest.param(
            account(ours("a", 5, provisioned=3), ours("new", 5)),
            10,
            True,
            Changes((("a", 3),)),
            id="but for what is provisioned",
        ),
        pytest.param(
            account(ours("a", 5), ours("new", 5)), None, True, Changes((("new", 10),)), id="ask AWS"
        ),
        pytest.param(account(theirs("x", 5), ours("new", 5)), 10, True, Changes(), id="not somebody else's"),
        pytest.param(
            account(replace(ours("a", 5), status="Updating"), ours("new", 5)),
            10,
            True,
            Changes(wait_for=("a",)),
            id="wait for one that gives",
        ),
        pytest.param(
            account(replace(ours("new", 9), status="Updating")),
            10,
            True,
            Changes(wait_for=("new",)),
            id="wait for itself",
        ),
        pytest.param(
            account(replace(ours("new", 10), status="Updating")),
            10,
            True,
            Changes(wait_for=("new",)),
            id="what it is being given it has only when that is done",
        ),
        pytest.param(account(), 10, True, Changes(), id="gone"),
    ],
)
def test_giving_back(*, situation: Situation, limit: int | None, switched: bool, changes: Changes) -> None:
    """Lower the others, wait, raise the new one, wait, done: each computed from how things are."""
    assert quotas.give_back(10, "new", situation, limit=limit, switched=switched) == changes


@pytest.mark.parametrize(
    ("situation", "limit", "changes"),
    [
        pytest.param(
            account(ours("a", 3), ours("new", 3)), 10, Changes((("a", 1),)), id="lower, though it has it"
        ),
        pytest.param(
            account(ours("a", 3), ours("new", 1)), None, Changes((("a", 1),)), id="before AWS is asked"
        ),
        pytest.param(
            account(ours("a", 1), ours("new", 1)), 10, Changes((("new", 3),)), id="no more than its share"
        ),
        pytest.param(account(ours("a", 1), ours("new", 3)), 10, Changes(), id="has it"),
        pytest.param(
            account(ours("a", 3, provisioned=2), ours("new", 1)),
            10,
            Changes((("a", 2),)),
            id="what is provisioned stays",
        ),
        pytest.param(
            account(theirs("x", 7), ours("new", 1)), 10, Changes((("new", 3),)), id="all that is free"
        ),
        pytest.param(account(theirs("x", 9), ours("new", 1)), 10, Changes(), id="nothing is free"),
    ],
)
def test_where_none_was_asked_for_the_older_ones_keep_one_each(
    situation: Situation, limit: int | None, changes: Changes
) -> None:
    """Whether the new one needs it or not: another service does."""
    assert quotas.give_back(3, "new", situation, limit=limit, switched=False, spare=True) == changes


@given(
    situation=situations,
    asked=st.integers(1, 200),
    limit=st.integers(1, 60),
    switched=st.booleans(),
    spare=st.booleans(),
)
def test_giving_back_comes_to_an_end(
    *,
    situation: Situation,
    asked: int,
    limit: int,
    switched: bool,
    spare: bool,
) -> None:
    """Applied again and again, it settles, within the quota and never above what was requested."""
    mine = ours("new", 1)
    state = replace(situation, holders=(*situation.holders, mine))
    start = state.used
    for _ in range(4):
        changes = quotas.give_back(asked, "new", state, limit=limit, switched=switched, spare=spare)
        if changes.wait_for or not changes.concurrency:
            break
        wanted = dict(changes.concurrency)
        assert all(value >= 1 for value in wanted.values())
        assert set(wanted) <= {one.name for one in state.own()} | {"new"}
        state = replace(
            state,
            holders=tuple(
                replace(one, concurrency=wanted.get(one.name, one.concurrency)) for one in state.holders
            ),
        )
    else:
        pytest.fail("it goes on and on")
    found = state.holder("new")
    assert found is not None
    assert 1 <= found.concurrency <= max(asked, 1)
    assert state.used <= max(limit, start)


# ----------------------------------------------------------------------- forecast


@pytest.mark.parametrize(
    ("memory_mb", "concurrency", "did"),
    [
        pytest.param(3072, 10, [], id="an ordinary account's"),
        pytest.param(4096, 10, ["step down to 3072 MB"], id="memory"),
        pytest.param(1024, 50, ["step down to 10, or to what is free of it"], id="concurrency"),
    ],
)
def test_what_can_be_known_beforehand(memory_mb: int, concurrency: int, did: list[str]) -> None:
    """`sealift plan` has no account to look at, and says what an ordinary one will do."""
    assert [one.did for one in quotas.forecast(memory_mb, concurrency, ASK.sizes_mb)] == did


def test_a_model_that_needs_more_than_the_quota_is_foretold() -> None:
    """There is no step down then."""
    (step,) = quotas.forecast(4096, 10, (4096, 5120))

    assert step.did == "fail: the model needs more"


# ------------------------------------------------------------------- instances


def instances_refused(used: int, limit: int, delta: int = 2) -> QuotaRefusal:
    """Return a refusal of instances."""
    return quota_errors.read_refusal(said("ml.r5.xlarge for endpoint usage", limit, used, delta, "Instances"))


def instances_ask(count: int = 2, others: tuple[tuple[str, float], ...] = (("ml.m5.2xlarge", 0.461),)) -> Any:
    """Return what was asked of instances."""
    return quotas.InstancesAsk("ml.r5.xlarge", count, 2, others)


@pytest.mark.parametrize(
    ("used", "limit", "ask", "to"),
    [
        pytest.param(0, 1, instances_ask(), ("ml.r5.xlarge", 1), id="fewer"),
        pytest.param(1, 2, instances_ask(), ("ml.r5.xlarge", 1), id="what is free"),
        pytest.param(2, 2, instances_ask(), ("ml.m5.2xlarge", 2), id="another type, as many as requested"),
        pytest.param(0, 0, instances_ask(1), ("ml.m5.2xlarge", 2), id="none of that type ever"),
    ],
)
def test_fewer_instances_come_before_another_type(
    used: int, limit: int, ask: quotas.InstancesAsk, to: tuple[str, int]
) -> None:
    """What is free of the type first; the step says what the next one costs."""
    down = quotas.step_instances(instances_refused(used, limit), ask, quota_usage.Situation())

    assert isinstance(down, quotas.InstancesDown)
    assert (down.type, down.count) == to
    assert "'ml.r5.xlarge for endpoint usage'" in down.step.said
    assert ("$0.461 an hour" in down.step.did) == (to[0] != "ml.r5.xlarge")


@pytest.mark.parametrize(
    ("refused", "count", "to"),
    [
        pytest.param("ml.m5.2xlarge", 2, ("ml.r5.xlarge", 2, "ml.m5.2xlarge"), id="one to fall back to"),
        pytest.param("ml.m5.2xlarge", 1, ("ml.r5.xlarge", 1, "ml.m5.2xlarge"), id="after fewer"),
        pytest.param("ml.r5.xlarge", 2, ("ml.r5.xlarge", 1, None), id="the first, of which one is free"),
        pytest.param("ml.r5.xlarge", 1, ("ml.m5.2xlarge", 2, None), id="the first, of which none is free"),
        pytest.param("ml.m5.2x", 2, ("ml.r5.xlarge", 1, None), id="a name that only begins alike"),
    ],
)
def test_a_type_without_quota_leaves_the_pool(
    refused: str, count: int, to: tuple[str, int, str | None]
) -> None:
    """AWS looks at each type's quota; what is only to be fallen back to costs no instance of the first."""
    ask = replace(instances_ask(count), pool=("ml.r5.xlarge", "ml.m5.2xlarge"))
    text = said(f"{refused} for endpoint usage", 1, 0, 2, "Instances")

    down = quotas.step_instances(quota_errors.read_refusal(text), ask, quota_usage.Situation())

    assert isinstance(down, quotas.InstancesDown)
    assert (down.type, down.count, down.without) == to
    assert f"'{refused} for endpoint usage'" in down.step.said
    if to[2]:
        assert down.step.did == f"ask for {count} x ml.r5.xlarge without ml.m5.2xlarge in the pool"


def test_the_ladder_of_instances_has_an_end() -> None:
    """Without another type it says whose quota to raise; a type that the account may never have is final."""
    for limit, final in ((0, True), (2, False)):
        stop = quotas.step_instances(
            instances_refused(limit, limit, 1), instances_ask(1, ()), quota_usage.Situation()
        )

        assert isinstance(stop, quotas.Stop)
        assert stop.final is final
        assert "Service Quotas: SageMaker, 'ml.r5.xlarge for endpoint usage'" in stop.problem.fix


def test_endpoints_on_instances_hold_nothing_of_the_concurrency() -> None:
    """They are not named among those who do, and give no room."""
    holder = Holder("harbour-1", "InService", "c", 0, ours=True, on_instances=True)
    situation = quota_usage.Situation((holder,))

    assert (situation.used, quota_usage.in_use(situation.holders), situation.own()) == (0, "none", ())
