"""`sealift rollback`: moves a service's consumers and its parameter back to the deployment before the one they name.

Asks that one first, by its own smoke test. Refuses to go back while a deployment is being tried, to what does not
answer, and to overrule a hand that changed a consumer; one that cannot be moved keeps no other from it, and is named.
Deletes nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from botocore.exceptions import ClientError

from pipeline import naming, settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.screen import Screen
from pipeline.client import smoke_test
from pipeline.errors import (
    ConsumerBusy,
    ConsumerMoved,
    ConsumerUnreadable,
    InvalidInput,
    ModelNotReady,
    Problem,
    SealiftError,
)
from pipeline.operations import executions, own_test
from pipeline.planning import consumer, consumer_claims
from pipeline.rollout import (
    consumer_switch,
    endpoint_parameter,
    endpoint_usage,
    release_store,
    releases,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.cli.options import RollbackOptions
    from pipeline.rollout.releases import Consumer, Release

    R = TypeVar("R")

sleep = time.sleep  # noqa: TID251 the command line is where time passes

PATIENCE_S: Final = 240
"""A cold start takes 180 s at most, and an answer 60."""
LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where."""

    consumers: tuple[Consumer, ...]
    now: Release
    before: Release


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a consumer, or of the service's parameter."""

    name: str
    """For people."""
    failure: SealiftError | ClientError | None = None
    """Why it was not moved."""


def rollback(arguments: RollbackOptions) -> int:
    """Go back, and say how long it took."""
    screen = Screen.of(arguments)
    clients = Clients(region=settings.region())
    begun = time.monotonic()
    with service_errors.translated():
        way = _way(arguments.service, arguments.stack, clients)
        target = str(way.before.endpoint)
        screen.hint(f"asking {target} ...")
        test, whose = own_test.of(clients, way.before)
        transcript = _patiently(
            lambda: smoke_test.ask(clients, target, test)["transcript"],
            ModelNotReady,
        )
        asked = time.monotonic()
        ends = [_moved(one, way, clients) for one in way.consumers]
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        stuck = [one for one in ends if one.failure is not None]
        # Who finds the endpoint by the parameter follows the consumers, where there are any and one could be moved.
        named = (
            [] if ends and len(stuck) == len(ends) else _parameter_moved(way, arguments.service, now, clients)
        )
        switched = time.monotonic()
        stuck += [one for one in named if one.failure is not None]
        if not [*ends, *named] or len(stuck) < len([*ends, *named]):
            release_store.mark(clients.sagemaker, way.now.config_arn, {releases.TAG_WITHDRAWN: now})
        elif len(stuck) == 1 and stuck[0].failure is not None:
            raise stuck[0].failure
        held = endpoint_usage.holder(clients.sagemaker, target, arguments.service)
    document = {
        "service": arguments.service,
        "consumers": [one.name for one in ends if one.failure is None],
        "parameters": [one.name for one in named if one.failure is None],
        "not_moved": [f"{one.name}: {_why(one)}" for one in stuck],
        "from": way.now.endpoint,
        "to": target,
        "uploaded_at": way.before.uploaded_at,
        "expires_at": way.before.expires_at,
        "max_concurrency": held.concurrency if held and not held.on_instances else None,
        "smoke_test": {"by": whose, "transcript": transcript},
        "check_seconds": round(asked - begun, 3),
        "switch_seconds": round(switched - asked, 3),
    }
    if arguments.json:
        print(json.dumps(document, indent=2))
        return 1 if stuck else 0
    first = transcript[0]
    screen.say(f"asked     {target}: {first['prompt']!r} -> {first['answer'][:60]!r} ({whose})")
    for one in [*ends, *named]:
        if one.failure is None:
            screen.say(f"switched  {one.name}: {way.now.endpoint} -> {target}")
        else:
            screen.say(f"NOT moved {one.name}: {_why(one)}")
    if not ends:
        screen.say(
            f"nobody    is switched by Sealift: whoever calls {way.now.endpoint} calls {target} by its name"
        )
    if way.before.expires_at:
        screen.say(f"goes      by itself at {way.before.expires_at}")
    screen.say(f"took      {asked - begun:.1f} s to look and ask, {switched - asked:.1f} s to switch")
    if held and not held.on_instances:
        screen.say(f"it has    {held.concurrency} concurrent invocations; {way.now.endpoint} keeps its own")
    return 1 if stuck else 0


def _way(service: str, stack: str | None, clients: Clients) -> Way:
    """Return what the rollback would switch, and to what.

    Raises:
        InvalidInput: when there is none, and why.
    """
    account = release_store.read_releases(clients.sagemaker, service)
    found = [one for one in account.releases if stack is None or f":{stack}-deployment:" in one.execution]
    if not found:
        whose = f" of the stack {stack!r}" if stack else ""
        seen = f"no deployment of {service!r}{whose}"
        fix = f"{_LOOK}{executions.slip(clients.stepfunctions, service, stack)}"
        _refuse(service, "NoDeployment", seen, "a service that was deployed", fix)
    _refuse_paused(service, found)
    called = _called(found, clients)
    served = [releases.serving(found, endpoint) for _, endpoint in called]
    newest = max((one for one in found if one.is_rollback_target), key=lambda one: one.age, default=None)
    if not any(served) and newest is not None and not newest.consumers:
        # It switched none, and nobody can tell who calls it: then the newest good one counts as the one that serves.
        called, served = [], [newest]
    # Where an earlier rollback switched only some of them, the others still call the newest.
    now = max(filter(None, served), key=lambda one: one.age, default=None)
    if now is None:
        _refuse_not_ours(service, called, clients)
    if now.deployed_at is None and release_store.is_running(clients.stepfunctions, now.execution):
        seen = f"{now.endpoint!r} is being tried by execution {now.execution}"
        fix = "wait until it has ended: it goes back by itself if the deployment is not good"
        _refuse(service, "InProgress", seen, "a deployment that has ended", fix)
    before = releases.previous(found, now)
    if before is None:
        seen = f"no good deployment before {now.endpoint!r} has an endpoint of its own in service"
        fix = "upload the earlier archive again; keep_previous says how many earlier deployments stay"
        if any(one.is_paused and one.age < now.age for one in found):
            fix = f"`sealift resume {service}` brings back the one before, which is paused"
        _refuse(service, "NoWayBack", seen, "one that can answer", _given_back(now, clients) or fix)
    return Way(tuple(who for who, _ in called), now, before)


def _refuse_paused(service: str, found: Sequence[Release]) -> None:
    """Refuse where nothing of the service runs because it was paused."""
    paused = max((one for one in found if one.is_paused), key=lambda one: one.age, default=None)
    if paused is None or any(one.is_rollback_target for one in found):
        return
    seen = f"{paused.endpoint!r} is paused since {paused.paused_at}"
    fix = f"`sealift resume {service}`, then go back"
    _refuse(service, "Paused", seen, "a deployment in service", fix)


_LOOK: Final = "check the service's name, AWS_PROFILE and AWS_REGION"


def _refuse_not_ours(service: str, called: Sequence[tuple[Consumer, str]], clients: Clients) -> NoReturn:
    """Say who has the consumers instead, and how they come back from another service of Sealift's."""
    seen, ways = [], []
    for who, endpoint in called:
        other = release_store.owner(clients.sagemaker, endpoint)
        whose = f" of service {other!r}" if other and other != service else ""
        seen.append(f"{who['function_name']} calls {endpoint!r}{whose}")
        if whose:
            ways.append(_take_back(service, who))
    _refuse(
        service,
        "NotOurs",
        ", ".join(seen) or "nothing of it is in service",
        "one of the service's own deployments",
        "; ".join(ways) or _LOOK,
    )


def _take_back(service: str, who: Consumer) -> str:
    entry = consumer_claims.entry(who["function_name"], who["variable"])
    return f"to give it back to service {service!r}, deploy an archive of that service with {entry}"


def _given_back(now: Release, clients: Clients) -> str:
    """Return how a consumer goes back to the service that it was taken from; empty for one that was not."""
    if not now.taken_from or not now.consumers:
        return ""
    who = now.consumers[0]
    other = release_store.owner(clients.sagemaker, now.taken_from)
    if other is None:
        return ""
    was = f"{who['function_name']} was service {other}'s before (endpoint {now.taken_from})"
    return f"{was}; {_take_back(other, who)}"


def _called(found: Sequence[Release], clients: Clients) -> list[tuple[Consumer, str]]:
    """Return the service's consumers, as the newest good deployment with any names them, each with what it calls."""
    marked = (one for one in found if one.consumers and one.deployed_at)
    newest = max(marked, key=lambda one: str(one.deployed_at), default=None)
    if newest is None:
        return []
    return [(who, _value(who, clients, alone=len(newest.consumers) == 1)) for who in newest.consumers]


def _value(who: Consumer, clients: Clients, *, alone: bool) -> str:
    """Return what a consumer calls; nothing for one of several that cannot be read, which is told when it is moved."""
    try:
        now = clients.lambda_.get_function_configuration(FunctionName=who["function_name"])
    except ClientError as error:
        if alone or not (service_errors.is_missing(error) or service_errors.is_access_denied(error)):
            raise
        return ""
    try:
        return consumer.Configuration.from_response(now).variables.get(who["variable"]) or ""
    except ConsumerUnreadable:
        if alone:
            raise
        return ""


def _moved(who: Consumer, way: Way, clients: Clients) -> Moved:
    """Move one consumer; what keeps it from that keeps no other one."""
    name = f"{who['variable']} of {who['function_name']}"
    try:
        _patiently(lambda: _switch(who, way, clients), ConsumerBusy)
    except (SealiftError, ClientError) as failure:
        return Moved(name, failure)
    return Moved(name)


def _parameter_moved(way: Way, service: str, now: str, clients: Clients) -> list[Moved]:
    """Move the service's parameter; a service that was deployed before there was one has none, and gets none."""
    name = naming.endpoint_parameter(naming.stack_of(way.now.execution), service)
    target = str(way.before.endpoint)
    try:
        with service_errors.translated():
            before = endpoint_parameter.read(clients.ssm, name)
            if before.value is None:
                return []
            if before.value not in (way.now.endpoint, target):
                raise ConsumerMoved(
                    f"it names {before.value!r}; wanted {way.now.endpoint!r}, which serves; look who set it, then "
                    f"`aws ssm put-parameter --name {name} --value {target} --overwrite`"
                )
            tags = endpoint_parameter.tags(service, way.before.execution, now)
            endpoint_parameter.point(clients.ssm, before, target, tags)
    except (SealiftError, ClientError) as failure:
        return [Moved(f"parameter {name}", failure)]
    return [Moved(f"parameter {name}")]


def _why(moved: Moved) -> str:
    return (
        service_errors.text(moved.failure) if isinstance(moved.failure, ClientError) else str(moved.failure)
    )


def _switch(who: Consumer, way: Way, clients: Clients) -> None:
    target = str(way.before.endpoint)
    step = consumer_switch.set_variable(
        clients.lambda_, who["function_name"], who["variable"], wanted=target, expected=way.now.endpoint
    )
    if step is consumer.SwitchStep.FOREIGN:
        raise ConsumerMoved(
            f"{who['variable']} of {who['function_name']} is not {way.now.endpoint!r} any more; "
            "wanted nobody else to change it meanwhile; try again",
            fix="try again",
        )
    if who["alias"]:
        version = consumer_switch.publish(clients.lambda_, who["function_name"], target)
        consumer_switch.move(clients.lambda_, who["function_name"], who["alias"], version)


def _patiently(step: Callable[[], R], patience: type[SealiftError]) -> R:
    """Run a step again while it says "not now", within a bound.

    No waiter of botocore's: function, alias or endpoint may be what is busy, and only the call itself tells.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with service_errors.translated():
                return step()
        except patience:
            if time.monotonic() > deadline:
                raise
            sleep(LOOK_S)


def _refuse(service: str, error: str, seen: str, wanted: str, fix: str) -> NoReturn:
    raise InvalidInput(f"service {service}", [Problem(error, seen, wanted, fix)])
