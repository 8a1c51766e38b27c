"""`sealift rollback`: moves a service's consumer back to the deployment before the one that it calls.

Asks that one first, by its own smoke test. Refuses to go back while a deployment is being tried, to what does not
answer, and to overrule a hand that changed the consumer meanwhile. Deletes nothing.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from botocore.exceptions import ClientError

from pipeline import aws, consumer, occupancy, registry, releases, settings, switch
from pipeline.cli.screen import Screen
from pipeline.errors import ConsumerBusy, ConsumerMoved, InvalidInput, ModelNotReady, Problem
from tasks import smoke_test

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.aws import Clients
    from pipeline.cli import Arguments
    from pipeline.errors import SealiftError
    from pipeline.releases import Consumer, Release

    R = TypeVar("R")

sleep = time.sleep  # noqa: TID251 the command line is where time passes

PATIENCE_S: Final = 240
"""A cold start takes 180 s at most, and an answer 60."""
LOOK_S: Final = 1.0
DEFAULT_TEST: Final[dict[str, Any]] = {
    "prompts": ["Hello."],
    "expect": {"min_completion_tokens": 1},
    "max_tokens": 32,
    "timeout_s": 60,
}
"""For a deployment whose execution AWS does not know any more."""


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where."""

    consumer: Consumer
    now: Release
    before: Release


def rollback(arguments: Arguments) -> int:
    """Go back, and say how long it took."""
    screen = Screen(sys.stderr if arguments.json else sys.stdout)
    clients = aws.Clients(region=settings.region())
    begun = time.monotonic()
    with aws.translated():
        way = _way(arguments.service, arguments.stack, clients)
        target = str(way.before.endpoint)
        screen.hint(f"asking {target} ...")
        test, whose = _test(way.before, clients)
        transcript = _patiently(
            lambda: smoke_test.run({"smoke_test": test, "endpoint_name": target}, clients)["transcript"],
            ModelNotReady,
        )
        asked = time.monotonic()
        _patiently(lambda: _switch(way, clients), ConsumerBusy)
        switched = time.monotonic()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        registry.mark(clients.sagemaker, way.now.config_arn, {releases.TAG_WITHDRAWN: now})
        held = occupancy.holder(clients.sagemaker, target, arguments.service)
    document = {
        "service": arguments.service,
        "consumer": way.consumer["function_name"],
        "from": way.now.endpoint,
        "to": target,
        "uploaded_at": way.before.uploaded_at,
        "max_concurrency": held.concurrency if held else None,
        "smoke_test": {"by": whose, "transcript": transcript},
        "check_seconds": round(asked - begun, 3),
        "switch_seconds": round(switched - asked, 3),
    }
    if arguments.json:
        print(json.dumps(document, indent=2))
        return 0
    first = transcript[0]
    screen.say(f"asked     {target}: {first['prompt']!r} -> {first['answer'][:60]!r} ({whose})")
    what = f"{way.consumer['variable']} of {way.consumer['function_name']}"
    screen.say(f"switched  {what}: {way.now.endpoint} -> {target}")
    screen.say(f"took      {asked - begun:.1f} s to look and ask, {switched - asked:.1f} s to switch")
    if held:
        screen.say(f"it has    {held.concurrency} concurrent invocations; {way.now.endpoint} keeps its own")
    return 0


def _way(service: str, stack: str | None, clients: Clients) -> Way:
    """Return the way back.

    Raises:
        InvalidInput: when there is none, and why.
    """
    account = registry.look(clients.sagemaker, service)
    found = [one for one in account.releases if stack is None or f":{stack}-deployment:" in one.execution]
    if not found:
        whose = f" of the stack {stack!r}" if stack else ""
        seen = f"no deployment of {service!r}{whose}"
        _refuse(service, "NoDeployment", seen, "a service that was deployed", _LOOK)
    who, endpoint = _called(service, found, clients)
    now = releases.serving(found, endpoint)
    if now is None:
        seen = f"{who['function_name']} calls {endpoint!r}"
        _refuse(service, "NotOurs", seen, "one of the service's own deployments", _LOOK)
    if now.deployed_at is None and registry.is_running(clients.stepfunctions, now.execution):
        seen = f"{endpoint!r} is being tried by execution {now.execution}"
        fix = "wait until it has ended: it goes back by itself if the deployment is not good"
        _refuse(service, "InProgress", seen, "a deployment that has ended", fix)
    before = releases.previous(found, now)
    if before is None:
        seen = f"no good deployment before {endpoint!r} has an endpoint of its own in service"
        fix = "upload the earlier archive again; keep_previous says how many earlier deployments stay"
        _refuse(service, "NoWayBack", seen, "one that can answer", fix)
    return Way(who, now, before)


_LOOK: Final = "check the service's name, AWS_PROFILE and AWS_REGION"


def _called(service: str, found: Sequence[Release], clients: Clients) -> tuple[Consumer, str]:
    """Return the service's consumer, as the newest good deployment names it, and the endpoint that it calls."""
    marked = (one for one in found if one.consumer is not None and one.deployed_at)
    newest = max(marked, key=lambda one: str(one.deployed_at), default=None)
    if newest is None or newest.consumer is None:
        seen = f"no deployment of {service!r} switched a consumer"
        _refuse(
            service, "NoConsumer", seen, "a consumer to move back", "call the earlier endpoint by its name"
        )
    who = newest.consumer
    now = clients.lambda_.get_function_configuration(FunctionName=who["function_name"])
    value = consumer.Configuration.from_response(now).variables.get(who["variable"])
    return who, value or ""


def _test(before: Release, clients: Clients) -> tuple[dict[str, Any], str]:
    """Return the smoke test that the deployment has passed, and whose it is."""
    try:
        output = clients.stepfunctions.describe_execution(executionArn=before.execution).get("output")
        return json.loads(output or "{}")["plan_deployment"]["smoke_test"], "its own smoke test"
    except (ClientError, KeyError, ValueError):
        return DEFAULT_TEST, "a plain question: its execution is not known any more"


def _switch(way: Way, clients: Clients) -> None:
    who, target = way.consumer, str(way.before.endpoint)
    step = switch.set_variable(
        clients.lambda_, who["function_name"], who["variable"], wanted=target, expected=way.now.endpoint
    )
    if step is consumer.Step.FOREIGN:
        raise ConsumerMoved(
            f"{who['variable']} of {who['function_name']} is not {way.now.endpoint!r} any more; "
            "wanted nobody else to change it meanwhile; try again"
        )
    if who["alias"]:
        version = switch.publish(clients.lambda_, who["function_name"], target)
        switch.move(clients.lambda_, who["function_name"], who["alias"], version)


def _patiently(step: Callable[[], R], patience: type[SealiftError]) -> R:
    """Run a step again while it says "not now", within a bound."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with aws.translated():
                return step()
        except patience:
            if time.monotonic() > deadline:
                raise
            sleep(LOOK_S)


def _refuse(service: str, error: str, seen: str, wanted: str, fix: str) -> NoReturn:
    raise InvalidInput(f"service {service}", [Problem(error, seen, wanted, fix)])
