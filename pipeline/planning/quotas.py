"""What the account's quotas leave for an endpoint, and what to do when they leave too little.

Owns the meaning of ResourceLimitExceeded, the capacity ladder, and who gives room to whom: facts in, decisions out.
Refuses to make a call (`endpoint_usage` looks, the tasks act), to touch an endpoint that is not the service's own,
to go below what the model needs or above what was requested, and to take a rung of the ladder again, but for room.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline import limits, payload
from pipeline.endpoint_status import MOVING
from pipeline.errors import Problem
from pipeline.quota_refusal import Quota
from pipeline.quota_usage import LEAST, Lowered, describe, in_use
from pipeline.state_data.plan_types import CapacityStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.quota_refusal import QuotaRefusal
    from pipeline.quota_usage import Holder, Situation

SHARED_BY: Final = 3
"""Services that fit side by side on an account whatever its quota is, when none of them asks for a concurrency."""
MOST_UNASKED: Final = 10
"""Concurrent invocations of an endpoint at most whose request asks for none."""


def _step(asked: str, said: str, did: str) -> CapacityStep:
    """Return a step; who is in the way may be many."""
    return CapacityStep(asked=asked, said=payload.cut(said, _SAID), did=payload.cut(did, _SAID))


_SAID: Final = 512
"""Bytes of each part of a step."""


# -- room


@dataclass(frozen=True, slots=True)
class Room:
    """With how much concurrency a new endpoint begins, and who is lowered for it; 0 when there is no room at all."""

    start: int
    lowered: tuple[Lowered, ...] = ()


def make_room(
    asked: int, free: int, own: Sequence[Holder], serving: str | None, *, equal: bool = True
) -> Room:
    """Share out the concurrency between a new endpoint and the service's own older ones.

    Endpoints that do not serve give all but their least. The one that serves gives no more than makes both equal: the
    consumer finds at least half at every moment, before its switch and just after.

    Args:
        asked: what the new endpoint is to have.
        free: what nobody holds.
        own: the service's endpoints that can be lowered, oldest first.
        serving: the one that the consumer calls; the newest when it is none of them.
        equal: whether the one that serves keeps half; else it gives all but its least too.
    """
    names = [one.name for one in own]
    called = serving if serving in names else next(reversed(names), None)
    start = min(asked, max(free, 0))
    lowered = []
    for one in sorted(own, key=lambda one: one.name == called):
        half = equal and one.name == called
        most = one.concurrency - one.least
        spare = min(max(one.concurrency - start, 0) // 2, most) if half else most
        given = min(spare, asked - start)
        if given > 0:
            lowered.append(Lowered(endpoint=one.name, before=one.concurrency, to=one.concurrency - given))
            start += given
    return Room(start, tuple(lowered))


@dataclass(frozen=True, slots=True)
class CapacityStart:
    """What PlanDeployment begins with."""

    concurrency: int
    room: tuple[Lowered, ...] = ()
    steps: tuple[CapacityStep, ...] = ()


def target(quota: int) -> int:
    """Return how many concurrent invocations an endpoint is to have whose request asks for none."""
    return max(min(quota // SHARED_BY, MOST_UNASKED), LEAST)


UNASKED: Final = (
    f"max_concurrency was not requested: it is a third of the account's quota, {MOST_UNASKED} at most, as far as "
    "that is free"
)


def choose(
    asked: int | None, situation: Situation, *, serving: str | None = None, replaced: Holder | None = None
) -> CapacityStart | Stop:
    """Return the concurrency to begin with, from what is seen to be in use; why there is none when none is asked for.

    An assumed quota never cuts what was requested: AWS refuses at once what can never fit, with the true figures.

    Args:
        asked: max_concurrency of the request; None adapts to what there is.
        situation: the endpoints and the quota.
        serving: the endpoint that the consumer calls.
        replaced: the endpoint that is updated in place; what it holds is the new one's.
    """
    if asked is None:
        return adapt(situation, serving=serving, replaced=replaced)
    guessed = not situation.read and asked > situation.quota
    if situation.free is None or situation.quota < LEAST or guessed:
        return CapacityStart(asked)
    wanted = min(asked, situation.quota)
    held = replaced.concurrency if replaced else 0
    own = situation.own(without=replaced.name if replaced else None)
    room = make_room(wanted, situation.free + held, own, None if replaced else serving)
    # With no room at all it is requested anyway: another deployment may end meanwhile.
    begin = room.start or wanted
    if begin == asked and not room.lowered and room.start:
        return CapacityStart(asked)
    if not room.start:
        did = f"ask for {begin} and wait for room"
    else:
        did = f"begin with {begin}" + "".join(f"; {describe(one)}" for one in room.lowered)
    step = _step(f"{asked} concurrent invocations", str(situation), did)
    return CapacityStart(begin, room.lowered, (step,))


def adapt(
    situation: Situation, *, serving: str | None = None, replaced: Holder | None = None
) -> CapacityStart | Stop:
    """Return the concurrency to begin with when none was requested, or why there is none to be had.

    Nothing is waited for but what is being deleted or changed: an endpoint that serves does not go away by itself.
    """
    wanted = target(situation.quota)
    if situation.free is None:
        return CapacityStart(wanted)
    held = replaced.concurrency if replaced else 0
    own = situation.own(without=replaced.name if replaced else None)
    room = borrow(wanted, situation.free + held, own, None if replaced else serving)
    if room.start == wanted and not room.lowered:
        return CapacityStart(wanted)
    # What is assumed of the quota is no reason to refuse: AWS tells its figures when it does.
    if not room.start and situation.read and not leaving(situation, replaced):
        return Stop(_used_up(str(situation), situation), final=True)
    begin = room.start or wanted
    did = f"{'begin with' if room.start else 'ask for'} {begin}"
    did += "".join(f"; {describe(one)}" for one in room.lowered)
    asked = f"{wanted} concurrent invocations, a third of the account's {situation.quota},"
    return CapacityStart(begin, room.lowered, (_step(asked, str(situation), did),))


def borrow(wanted: int, free: int, own: Sequence[Holder], serving: str | None) -> Room:
    """Return what is free of what is wanted; where nothing is, what the service's own endpoints have beyond one."""
    if free >= LEAST:
        return Room(min(wanted, free))
    return make_room(wanted, 0, own, serving, equal=False)


def leaving(situation: Situation, replaced: Holder | None = None) -> list[Holder]:
    """Return the endpoints that may give room in a moment: any being deleted, and the service's being changed."""
    return [
        one
        for one in situation.holders
        if one is not replaced
        and not one.on_instances
        and (one.status == "Deleting" or (one.ours and one.status in MOVING))
    ]


# -- the ladder


MOST_ROOM: Final = 3
"""How often room is made on the ladder: another deployment of the service takes it when it begins, and again when it is
given what it asked for after its switch; then it is done."""


MOST_FREE: Final = 5
"""How often what is free is taken where no concurrency was requested: several deployments that begin at the same moment
take it from one another, and each then has less to ask for."""


class Rung(StrEnum):
    """The ways down; each is taken once at most, but for what others may take meanwhile, so the ladder ends."""

    MEMORY = "memory"
    """The largest memory size that the quota allows and that holds the model."""
    LIMIT = "limit"
    """The whole quota, since more can never be had."""
    ROOM = "room"
    """A share of what the service's own endpoints hold."""
    FREE = "free"
    """What nobody holds."""
    LEAST = "least"
    """One at a time, to be given more after the switch."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What AWS refused."""

    memory_mb: int
    concurrency: int
    sizes_mb: tuple[int, ...]
    """The memory sizes that hold the model."""
    arithmetic: str
    """What the model needs, line by line."""
    room: tuple[Lowered, ...] = ()
    taken: tuple[str, ...] = ()
    """The rungs so far."""
    adapts: bool = False
    """Whether no concurrency was requested: what is free is taken at once, and nobody is waited for."""

    @property
    def may_take_free(self) -> bool:
        """Whether others were not quicker too often yet."""
        return self.taken.count(Rung.FREE) < MOST_FREE

    @property
    def may_make_room(self) -> bool:
        """Whether room was not made too often yet."""
        return self.taken.count(Rung.ROOM) < MOST_ROOM


@dataclass(frozen=True, slots=True)
class Down:
    """The next thing to ask for."""

    rung: Rung
    memory_mb: int
    concurrency: int
    room: tuple[Lowered, ...]
    step: CapacityStep


@dataclass(frozen=True, slots=True)
class RetryPause:
    """There may be room once the service's own endpoints are done with a change."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of the ladder."""

    problem: Problem
    final: bool
    """Whether a later try cannot succeed either."""


def step_down(
    refusal: QuotaRefusal,
    ask: Ask,
    situation: Situation,
    *,
    serving: str | None = None,
    replaced: Holder | None = None,
) -> Down | RetryPause | Stop:
    """Return what to ask for after a refusal, what to wait for first, or why there is nothing less to ask for.

    Args:
        refusal: what AWS said; its figures go before ours.
        ask: what it refused.
        situation: what is in use now.
        serving: the endpoint that the consumer calls.
        replaced: the endpoint that is updated in place.
    """
    if refusal.quota is Quota.MEMORY:
        return _less_memory(refusal, ask)
    if refusal.quota is Quota.ENDPOINTS:
        deleting = [one for one in leaving(situation, replaced) if one.status == "Deleting"]
        return _pause(refusal, deleting) if ask.adapts and deleting else _no_endpoint(refusal, situation)
    known = refusal.quota is Quota.CONCURRENCY
    free = refusal.limit - refusal.used if known else situation.free
    held = replaced.concurrency if replaced else 0
    # A text without figures may mean the concurrency: only what is seen to be in use can tell.
    if free is None or (not known and (refusal.name or free + held >= ask.concurrency)):
        return Stop(_problem("Quota", refusal, situation, _MORE), final=refusal.never_fits)
    own = situation.own(without=replaced.name if replaced else None)
    if ask.adapts:
        limit = refusal.limit if known else situation.quota
        if free + held < LEAST and situation.complete:
            # Since it was refused, or while it was waited for, somebody may have left.
            free = limit - situation.used
        return _adapt(
            refusal, ask, situation, free + held, limit, own, None if replaced else serving, replaced
        )
    # Room that was made and is gone went to another deployment of the service, so the consumer may call that one by
    # now: the newest is spared then.
    called = None if replaced or ask.room else serving
    down = (
        _to_limit(refusal, ask, make_room(refusal.limit, free + held, own, called))
        if refusal.never_fits
        else _to_room(refusal, ask, free + held, make_room(ask.concurrency, free + held, own, called))
    )
    if down is not None:
        return down
    moving = [one for one in situation.holders if one.ours and one is not replaced and one.status in MOVING]
    if moving and ask.may_make_room and not refusal.never_fits:
        return _pause(refusal, moving)
    return Stop(_used_up(_seen(refusal, situation), situation), final=refusal.never_fits)


def _pause(refusal: QuotaRefusal, moving: Iterable[Holder]) -> RetryPause:
    changes = ", ".join(f"endpoint {one.name!r} is {one.status}" for one in moving)
    return RetryPause(f"{refusal}; {changes}; wanted to know what room it leaves")


def _adapt(  # noqa: PLR0917 the facts of one decision
    refusal: QuotaRefusal,
    ask: Ask,
    situation: Situation,
    free: int,
    limit: int,
    own: Sequence[Holder],
    serving: str | None,
    replaced: Holder | None,
) -> Down | RetryPause | Stop:
    """Return what is free now, what the service's own endpoints give, what is on its way, or who holds it all."""
    room = borrow(target(limit), free, own, serving)
    if room.lowered and ask.may_make_room:
        return _down(refusal, ask, Rung.ROOM, concurrency=room.start, lowered=room.lowered)
    if room.start and not room.lowered and ask.may_take_free:
        return _down(refusal, ask, Rung.FREE, concurrency=room.start)
    moving = leaving(situation, replaced)
    if moving:
        return _pause(refusal, moving)
    return Stop(_used_up(_seen(refusal, situation), situation, limit), final=refusal.never_fits)


def _less_memory(refusal: QuotaRefusal, ask: Ask) -> Down | Stop:
    allowed = [size for size in ask.sizes_mb if size <= refusal.limit and size < ask.memory_mb]
    if allowed and Rung.MEMORY not in ask.taken:
        return _down(refusal, ask, Rung.MEMORY, memory_mb=max(allowed), asked=f"{ask.memory_mb} MB")
    least = min(ask.sizes_mb, default=ask.memory_mb)
    problem = Problem(
        "MemoryQuota",
        f"'{refusal.name}' is {refusal.limit} MB, {ask.memory_mb} MB were asked for, and the model needs "
        f"{ask.arithmetic}, so {least} MB",
        f"a size of at most {refusal.limit} MB that holds the model",
        "lower n_ctx, or use a smaller quantisation (`sealift plan` computes both); or open a support case with AWS to "
        f"raise '{refusal.name}' to {least}: it has no known code in Service Quotas",
    )
    return Stop(problem, final=True)


def _no_endpoint(refusal: QuotaRefusal, situation: Situation) -> Stop:
    ours = ", ".join(one.name for one in situation.holders if one.ours)
    named, left = _named(situation)
    fix = (
        "make room, by one of: "
        + "; ".join([*(f"{_whose(one)}: {_delete(one)}" for one in named), *left])
        + '; or deploy with "strategy": "in_place"'
        + (f", which updates one of this service's ({ours})" if ours else "")
        + f"; or open a support case with AWS to raise '{refusal.name}': it has no known code in Service Quotas"
    )
    return Stop(_problem("EndpointQuota", refusal, situation, fix), final=refusal.never_fits)


def _to_limit(refusal: QuotaRefusal, ask: Ask, room: Room) -> Down | None:
    start = room.start or refusal.limit
    if Rung.LIMIT in ask.taken or not LEAST <= start < ask.concurrency:
        return None
    return _down(refusal, ask, Rung.LIMIT, concurrency=start, lowered=room.lowered)


def _to_room(refusal: QuotaRefusal, ask: Ask, free: int, room: Room) -> Down | None:
    if room.lowered and ask.may_make_room:
        return _down(refusal, ask, Rung.ROOM, concurrency=room.start, lowered=room.lowered)
    if LEAST <= free < ask.concurrency and Rung.FREE not in ask.taken:
        return _down(refusal, ask, Rung.FREE, concurrency=free)
    if free >= LEAST and ask.concurrency > LEAST and Rung.LEAST not in ask.taken:
        return _down(refusal, ask, Rung.LEAST, concurrency=LEAST)
    return None


def _down(
    refusal: QuotaRefusal,
    ask: Ask,
    rung: Rung,
    *,
    memory_mb: int | None = None,
    concurrency: int | None = None,
    lowered: tuple[Lowered, ...] = (),
    asked: str | None = None,
) -> Down:
    memory_mb, concurrency = memory_mb or ask.memory_mb, concurrency or ask.concurrency
    to = f"{memory_mb} MB" if rung is Rung.MEMORY else f"{concurrency} concurrent invocations"
    step = _step(
        asked or f"{ask.concurrency} concurrent invocations",
        str(refusal),
        f"ask for {to}" + "".join(f"; {describe(one)}" for one in lowered),
    )
    return Down(rung, memory_mb, concurrency, together(ask.room, lowered), step)


def together(earlier: Iterable[Lowered], lowered: Iterable[Lowered]) -> tuple[Lowered, ...]:
    """Return one lowering for each endpoint: what it had before the first is what it gets back, if nobody raised it."""
    found = {one.endpoint: one for one in earlier}
    for one in lowered:
        first = found.get(one.endpoint)
        before = first.before if first is not None and first.to == one.before else one.before
        found[one.endpoint] = Lowered(endpoint=one.endpoint, before=before, to=one.to)
    return tuple(found.values())


# -- the ladder of instances


@dataclass(frozen=True, slots=True)
class InstancesAsk:
    """What AWS refused of instances."""

    type: str
    count: int
    asked: int
    """How many were requested."""
    others: tuple[tuple[str, float], ...]
    """Types to step to, each with what one of it costs an hour, in this order."""
    pool: tuple[str, ...] = ()
    """The types that were asked for together; empty for the one."""


@dataclass(frozen=True, slots=True)
class InstancesDown:
    """The next thing to ask for."""

    type: str
    count: int
    step: CapacityStep
    without: str | None = None
    """A type that leaves the pool, where the first of it stays."""


def step_instances(refusal: QuotaRefusal, ask: InstancesAsk, situation: Situation) -> InstancesDown | Stop:
    """Return fewer instances of the type, else as many of the next one, or why there is nothing left to ask for.

    Of a pool AWS looks at the quota of each type before it takes any: one that is only to be taken in place of the
    first leaves the pool. Each step leaves fewer instances or fewer types, so the ladder ends.
    """
    if refusal.quota is Quota.ENDPOINTS:
        return _no_endpoint(refusal, situation)
    if refusal.quota is not Quota.INSTANCES:
        return Stop(_problem("Quota", refusal, situation, _MORE), final=refusal.never_fits)
    refused = next((one for one in ask.pool if refusal.name.startswith(f"{one} ")), ask.type)
    if refused != ask.type:
        did = f"ask for {ask.count} x {ask.type} without {refused} in the pool"
        return InstancesDown(ask.type, ask.count, _instances_step(refusal, ask, did), without=refused)
    free = refusal.limit - refusal.used
    if LEAST <= free < ask.count:
        return InstancesDown(ask.type, free, _instances_step(refusal, ask, f"ask for {free} x {ask.type}"))
    if ask.others:
        (name, price), *_ = ask.others
        did = f"ask for {ask.asked} x {name}, at ${price:g} an hour each"
        return InstancesDown(name, ask.asked, _instances_step(refusal, ask, did))
    ours = ", ".join(one.name for one in situation.holders if one.ours and one.on_instances)
    fix = f"ask for more in Service Quotas: SageMaker, '{refusal.name}'; or name another 'instance_type'" + (
        f"; or delete an endpoint of this service ({ours})" if ours else ""
    )
    problem = Problem("InstanceQuota", str(refusal), f"room for {ask.count} x {ask.type}", fix)
    return Stop(problem, final=refusal.never_fits)


def _instances_step(refusal: QuotaRefusal, ask: InstancesAsk, did: str) -> CapacityStep:
    return _step(f"{ask.count} x {ask.type}", str(refusal), did)


_ROOM: Final = "room in the quota"
_MORE: Final = "wait until somebody's endpoint is deleted, or ask AWS for a higher quota"

MOST_NAMED: Final = 5
"""Holders that a refusal names, each with what makes room: all of them fit into a Cause (`payload.MESSAGE`)."""


def _used_up(seen: str, situation: Situation, limit: int | None = None) -> Problem:
    """Return that nothing is left, with who holds it and the very commands that make room."""
    quota = situation.quota if limit is None else limit
    named, left = _named(situation)
    ways = [f"{_whose(one)} holds {one.concurrency}: {_give(one)}" for one in named] + left
    if any(one.ours for one in situation.holders):
        ways.append('"strategy": "in_place" updates the endpoint that this service has')
    more = quota + MOST_UNASKED
    ways.append(
        "more for the account: `aws service-quotas request-service-quota-increase --service-code sagemaker "
        f"--quota-code {limits.CONCURRENCY_QUOTA_CODE} --desired-value {more}`"
    )
    return Problem("ConcurrencyQuota", seen, _ROOM, "make room, by one of: " + "; ".join(ways))


def _named(situation: Situation) -> tuple[list[Holder], list[str]]:
    """Return the serverless endpoints that are named, those that hold most first, and words for the others."""
    holders = [one for one in situation.holders if not one.on_instances]
    holders.sort(key=lambda one: (-one.concurrency, one.name))
    left = len(holders) - MOST_NAMED
    return holders[:MOST_NAMED], [f"{left} more: `aws sagemaker list-endpoints`"] if left > 0 else []


def _whose(one: Holder) -> str:
    if one.ours:
        return f"{one.name} (this service's)"
    if one.service is None:
        return one.name
    return f"{one.name} (service {one.service!r})" if one.service else f"{one.name} (not Sealift's)"


def _give(one: Holder) -> str:
    """Return the command that lets an endpoint hold less, or nothing."""
    if one.concurrency == LEAST or not one.service:
        return _delete(one)
    return (
        f'`sealift push ARCHIVE --service {one.service} --input FILE` with "max_concurrency": {LEAST} in FILE'
    )


def _delete(one: Holder) -> str:
    delete = f"`aws sagemaker delete-endpoint --endpoint-name {one.name}`"
    seen = f"`sealift status {one.service}` shows that nobody calls it" if one.service else "nobody calls it"
    return f"{delete} if {seen}"


def _problem(error: str, refusal: QuotaRefusal, situation: Situation, fix: str) -> Problem:
    return Problem(error, _seen(refusal, situation), _ROOM, fix)


def _seen(refusal: QuotaRefusal, situation: Situation) -> str:
    return f"{refusal} (in use: {in_use(situation.holders)})"


# -- after the switch


@dataclass(frozen=True, slots=True)
class Changes:
    """What to do next so that an endpoint has what was requested; nothing at all when that is all that can be done."""

    concurrency: tuple[tuple[str, int], ...] = ()
    """Endpoint and its new concurrency."""
    wait_for: tuple[str, ...] = ()
    """Endpoints that are being changed; before they are done nobody knows what is free."""


def give_back(
    asked: int,
    endpoint: str,
    situation: Situation,
    *,
    limit: int | None,
    switched: bool,
    spare: bool = False,
) -> Changes:
    """Return what brings the endpoint to what was requested, as far as the quota reaches.

    Computed from how things are, so a repetition goes on where the last one ended.

    Args:
        asked: max_concurrency of the request.
        endpoint: the new endpoint.
        situation: what is in use now.
        limit: the concurrency of the account; None while AWS has not told it, and then AWS is asked.
        switched: whether the consumer calls the new endpoint, so that the others need no more than one each.
        spare: whether the others have no more than their least each, whoever needs it: other services do.
    """
    mine = situation.holder(endpoint)
    moving = tuple(
        one.name for one in situation.holders if one.status in MOVING and (one.ours or one is mine)
    )
    others = situation.own(without=endpoint) if spare else ()
    if mine is None:
        return Changes()
    if mine.concurrency >= asked and not others:
        # While it is changed it counts with the larger of both; it has that only when the change is done.
        return Changes(wait_for=(endpoint,) if mine.status in MOVING else ())
    if moving:
        return Changes(wait_for=moving)
    if others:
        return Changes(concurrency=tuple((one.name, one.least) for one in others))
    if limit is None:
        return Changes(concurrency=((endpoint, asked),))
    # Below zero where more is in use than the quota allows by now: that has to be freed first.
    free = limit - situation.used
    missing = asked - mine.concurrency - free
    if missing > 0 and switched:
        lowered = []
        for one in situation.own(without=endpoint):
            given = min(one.concurrency - one.least, missing)
            missing -= given
            if given:
                lowered.append((one.name, one.concurrency - given))
        if lowered:
            return Changes(concurrency=tuple(lowered))
    return Changes(concurrency=((endpoint, min(asked, mine.concurrency + free)),)) if free > 0 else Changes()


def has(requested: int | None, wanted: int, now: int, situation: Situation) -> str:
    """Return what an endpoint has at the end and why, in one sentence.

    Args:
        requested: max_concurrency of the request.
        wanted: that, or the share of one that asks for none.
        now: what it has.
        situation: what was in use.
    """
    if requested is not None:
        return f"{now} concurrent invocations, {'as' if now == requested else f'of {requested} that were'} requested"
    if now >= wanted:
        return f"{now} of the account's {situation.quota} concurrent invocations, its share as none were requested"
    return (
        f"{now} concurrent invocations, which were free; its share of the account's {situation.quota} would be "
        f"{wanted}, as none were requested"
    )


# -- before anything is asked of an account


def forecast(memory_mb: int, concurrency: int | None, sizes_mb: Sequence[int]) -> tuple[CapacityStep, ...]:
    """Return the steps that a deployment will take on an ordinary account that has no other endpoint.

    A concurrency of None adapts, and is no step.
    """
    steps = []
    quota = limits.MEMORY_QUOTA_MB.value
    if memory_mb > quota:
        allowed = [size for size in sizes_mb if size <= quota]
        did = f"step down to {max(allowed)} MB" if allowed else "fail: the model needs more"
        steps.append(
            CapacityStep(asked=f"{memory_mb} MB", said=f"an ordinary account allows {quota} MB", did=did)
        )
    most = limits.CONCURRENCY_QUOTA.value
    if concurrency is not None and concurrency > most:
        said = f"an ordinary account allows {most} in all"
        asked = f"{concurrency} concurrent invocations"
        steps.append(
            CapacityStep(asked=asked, said=said, did=f"step down to {most}, or to what is free of it")
        )
    return tuple(steps)
