"""`sealift pause` and `sealift resume`: take a service's endpoints on instances away, and bring them back as they were.

Both say what it costs before and after, and who calls the service meanwhile. Refuse while it is being deployed.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import asking
from pipeline.cli.screen import Screen
from pipeline.cli.waiting import WaitingClock
from pipeline.client import smoke_test
from pipeline.errors import InvalidInput, Problem, SealiftError
from pipeline.operations import executions, own_test, pausing, price_list
from pipeline.plain import one_line
from pipeline.sizing import running_cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.cli.options import PauseOptions, ResumeOptions
    from pipeline.operations.pausing import PausePlan, ResumePlan
    from pipeline.operations.service_status import PausedDeployment, Service
    from pipeline.sizing.running_cost import Cost

sleep = time.sleep  # noqa: TID251 the command line is where time passes

SHOWN: Final = 60
"""Characters of an answer."""


def pause(arguments: PauseOptions) -> int:
    """Take the endpoints away, and say what that saves."""
    clients, screen = Clients(region=settings.region()), Screen.of(arguments)
    if not arguments.dry_run:
        asking.must_be_asked("pause", yes=arguments.yes, json=arguments.json)
    gone: list[str] = []

    def one_gone(endpoint: str) -> None:
        gone.append(endpoint)
        screen.step(f"  gone     endpoint {endpoint}")

    stack = arguments.stack or settings.STACK
    with service_errors.translated():
        service = _service(clients, arguments.service, stack, screen)
        plan = pausing.plan_pause(service)
        if not plan.going:
            screen.say(f"{service.name} is paused already, since {service.paused[0].since}")
            return _paused("nothing", plan, gone, arguments, screen)
        _show_pause(plan, screen)
        if arguments.dry_run:
            screen.say("nothing was done: this was a dry run")
            return _paused("planned", plan, gone, arguments, screen)
        if not asking.agreed("Pause it?", yes=arguments.yes):
            screen.say("nothing was done")
            return 1
        going = {one.endpoint.name: one.endpoint.cost for one in plan.going}
        ways = f"`{_command('pause', arguments)}` goes on, `{_command('resume', arguments)}` brings it back"
        with (
            _told_where_it_ends(clients, going, screen, ways),
            WaitingClock(screen, f"{service.name}: its endpoints go"),
        ):
            pausing.pause(
                clients,
                plan,
                stack=stack,
                now=_now(),
                on_gone=one_gone,
                sleep=sleep,
                clock=time.monotonic,
            )
    screen.say(f"{service.name} is paused: `{_command('resume', arguments)}` brings it back")
    return _paused("paused", plan, gone, arguments, screen)


def resume(arguments: ResumeOptions) -> int:
    """Bring the endpoints back, and ask each once."""
    clients, screen = Clients(region=settings.region()), Screen.of(arguments)
    if not arguments.dry_run:
        asking.must_be_asked("resume", yes=arguments.yes, json=arguments.json)
    stack = arguments.stack or settings.STACK
    back: list[dict[str, Any]] = []
    with service_errors.translated():
        service = _service(clients, arguments.service, stack, screen)
        plan = pausing.plan_resume(service)
        if not plan.coming:
            screen.say(f"{service.name} is not paused: nothing need be done")
            return _resumed("nothing", plan, back, arguments)
        for one in plan.coming:
            screen.item("  create   ", f"endpoint {one.endpoint}, as it was; paused since {one.since}")
        screen.item("  costs    ", plan.costs.now)
        if arguments.dry_run:
            screen.say("nothing was done: this was a dry run")
            return _resumed("planned", plan, back, arguments)
        if not asking.agreed("Bring it back?", yes=arguments.yes):
            screen.say("nothing was done")
            return 1
        coming = {one.endpoint: one.cost for one in plan.coming}
        ways = (
            f"`{_command('resume', arguments)}` goes on, `{_command('pause', arguments)}` takes it away again"
        )
        with _told_where_it_ends(clients, coming, screen, ways):
            for one in plan.coming:
                pausing.create(clients, one)
            back += [_bring_back(clients, one, screen) for one in plan.coming]
    screen.say(f"costs now  {plan.costs.now}")
    failed = [one for one in back if one["refused"]]
    _resumed("resumed", plan, back, arguments)
    return 1 if failed else 0


def _bring_back(clients: Clients, one: PausedDeployment, screen: Screen) -> dict[str, Any]:
    """Wait for an endpoint that was asked for, let it scale as it did, and ask it once."""
    begun = time.monotonic()
    with WaitingClock(screen, f"{one.endpoint} starts"):
        pausing.wait_until_ready(clients, one)
        pausing.bring_component(clients, one, sleep=sleep, clock=time.monotonic)
    done = pausing.settle(clients, one, _now())
    took = time.monotonic() - begun
    screen.say(f"in service {one.endpoint}, after {took:.1f} s")
    if done["auto_scaling"]:
        screen.say(f"scales     again: {done['auto_scaling']}")
    if done["expires_at"]:
        screen.say(f"goes       by itself at {done['expires_at']}")
    answer, refused = _asked(clients, one, screen)
    return {
        "endpoint_name": one.endpoint,
        "seconds": round(took, 3),
        **done,
        "answer": answer,
        "refused": refused,
    }


def _asked(clients: Clients, one: PausedDeployment, screen: Screen) -> tuple[str | None, str | None]:
    """Ask an endpoint what its deployment was asked; return the answer, or why there is none as expected."""
    test, whose = own_test.of(clients, one.release)
    try:
        with service_errors.translated(), WaitingClock(screen, f"asking {one.endpoint}"):
            first = smoke_test.ask(clients, one.endpoint, test)["transcript"][0]
    except (SealiftError, ClientError) as refusal:
        screen.say(f"NOT as expected: {one_line(str(refusal))}")
        return None, str(refusal)
    screen.say(f"asked      {first['prompt']!r} -> {first['answer'][:SHOWN]!r} ({whose})")
    return first["answer"], None


def _service(clients: Clients, name: str, stack: str, screen: Screen) -> Service:
    """Return the service as it stands.

    Raises:
        InvalidInput: there is none of that name.
    """
    screen.hint("looking ...")
    prices = price_list.known(settings.cache(), settings.region())
    found, unseen = pausing.find(clients, name, stack, prices)
    for why in unseen:
        screen.say(f"unseen     {why}")
    if found is not None:
        return found
    near = executions.slip(clients.stepfunctions, name, stack)
    seen, wanted = f"nothing of {name!r} of the stack {stack!r}", "a service that was deployed"
    fix = f"`sealift status` lists them{near}"
    raise InvalidInput(f"service {name}", [Problem("NoDeployment", seen, wanted, fix)])


def _show_pause(plan: PausePlan, screen: Screen) -> None:
    screen.say(f"service {plan.service.name}")
    for one in plan.going:
        screen.item("  DELETE   ", f"endpoint {one.endpoint.name} ({one.endpoint.status})")
    screen.item("  saves    ", f"{running_cost.words(plan.saves.usd_per_hour)}: {plan.saves.how}")
    screen.item(
        "  keep     ", "model, configuration, archive, alarms, parameter: `sealift resume` makes it again"
    )
    for name in plan.idle:
        screen.item("  keep     ", f"endpoint {name}, which costs nothing while nobody calls it")
    for name in plan.left:
        screen.item("  NOT      ", f"endpoint {name}: it never turned out good; `sealift sweep` shows it")
    for caller in plan.callers:
        screen.item("  FAILS    ", f"until it is back: {caller}")


def _paused(done: str, plan: PausePlan, gone: list[str], arguments: PauseOptions, screen: Screen) -> int:
    if done == "paused":
        screen.say(
            f"costs now  {running_cost.Cost(0.0).now}; saved: {running_cost.words(plan.saves.usd_per_hour)}"
        )
    if arguments.json:
        document = {
            "service": plan.service.name,
            "status": done,
            "endpoints": [one.endpoint.name for one in plan.going],
            "gone": gone,
            "saves_usd_per_hour": plan.saves.usd_per_hour if plan.going else 0.0,
            "callers": list(plan.callers),
            "kept": list(plan.idle),
            "left": list(plan.left),
        }
        print(json.dumps(document, indent=2))
    return 0


def _resumed(done: str, plan: ResumePlan, back: list[dict[str, Any]], arguments: ResumeOptions) -> int:
    if arguments.json:
        document = {
            "service": plan.service.name,
            "status": done,
            "endpoints": [one.endpoint for one in plan.coming],
            "usd_per_hour": plan.costs.usd_per_hour if plan.coming else 0.0,
            "back": back,
        }
        print(json.dumps(document, indent=2))
    return 0


@contextmanager
def _told_where_it_ends(
    clients: Clients, endpoints: Mapping[str, Cost | None], screen: Screen, ways: str
) -> Iterator[None]:
    """Tell how the endpoints stand, and how to go on, where what is done to them ends before its end, as by Ctrl-C."""
    try:
        yield
    except BaseException:
        screen.say("cut short; as it stands now:")
        try:
            with service_errors.translated():
                standing = pausing.standing(clients, endpoints)
        except SealiftError as error:
            standing = dict.fromkeys(endpoints, f"unknown: {one_line(str(error))}")
        for name, status in standing.items():
            screen.item(*_stands(name, status, endpoints[name]))
        screen.say(ways)
        raise


def _stands(endpoint: str, status: str | None, cost: Cost | None) -> tuple[str, str]:
    """Return a word for what becomes of an endpoint, and a line about it."""
    if status is None:
        return "  gone     ", f"endpoint {endpoint}, and costs nothing"
    if status == "Deleting":
        return "  goes     ", f"endpoint {endpoint}, by itself"
    costs = running_cost.words(cost.usd_per_hour if cost else None)
    return "  stays    ", f"endpoint {endpoint} ({status}), at {costs}"


def _command(verb: str, arguments: PauseOptions | ResumeOptions) -> str:
    return f"sealift {verb} {arguments.service}" + (f" --stack {arguments.stack}" if arguments.stack else "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
