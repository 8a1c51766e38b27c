"""`sealift destroy`: takes the stack away, and every endpoint that its deployments made, after saying what goes.

Uploads and archives stay unless `--archives` says otherwise. Refuses while a deployment runs.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import asking
from pipeline.cli.commands.deploy import StackProgress
from pipeline.cli.screen import Screen
from pipeline.limits import MiB
from pipeline.operations import teardown
from pipeline.operations.account import MadeKind
from pipeline.stack import changes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.cli.options import DestroyOptions
    from pipeline.operations.account import Made
    from pipeline.operations.teardown import Holding, TeardownPlan

sleep = time.sleep  # noqa: TID251 the command line is where time passes


def destroy(arguments: DestroyOptions) -> int:
    """Destroy the stack, and say what is left."""
    return run(arguments, Clients(region=settings.region()))


def run(arguments: DestroyOptions, clients: Clients) -> int:
    """Destroy with the clients of an account."""
    name = arguments.stack or settings.STACK
    if not arguments.dry_run:
        asking.must_be_asked("destroy", yes=arguments.yes, json=arguments.json)
    screen = Screen.of(arguments)
    deleted: list[str] = []

    def deleted_one(line: str) -> None:
        deleted.append(line)
        screen.step(f"  deleted  {line}")

    with service_errors.translated():
        screen.hint("looking ...")
        plan = teardown.plan_teardown(clients, name, archives=arguments.archives)
        if plan.nothing:
            screen.say(f"{name} in {plan.place}: nothing to delete")
            return _concluded("nothing", plan, deleted, arguments, screen)
        show(plan, screen)
        if arguments.dry_run:
            screen.say("nothing was deleted: this was a dry run")
            return _concluded("planned", plan, deleted, arguments, screen)
        if not asking.agreed(_question(plan), yes=arguments.yes):
            screen.say("nothing was deleted")
            return 1
        ended = teardown.carry_out(
            clients,
            plan,
            on_deleted=deleted_one,
            on_event=StackProgress(screen, len(plan.inside)),
            sleep=sleep,
            clock=time.monotonic,
        )
    if ended.good:
        screen.say(f"{name} in {plan.place}: gone")
        return _concluded("destroyed", plan, deleted, arguments, screen)
    screen.say(f"{name} in {plan.place}: {ended.status}")
    for reason in ended.reasons:
        screen.say(f"  {reason}")
    screen.say("correct that, then run this again")
    return _concluded("failed", plan, deleted, arguments, screen)


def _question(plan: TeardownPlan) -> str:
    if plan.archives and any(one.objects for one in plan.buckets):
        return "Delete all of this, THE UPLOADS AND ARCHIVES FOR GOOD?"
    return "Delete all of this?"


def show(plan: TeardownPlan, screen: Screen) -> None:
    """Say what would go, and what would stay."""
    screen.say(f"{plan.name} in {plan.place}")
    show_made(plan.made, plan.callers, screen)
    for noun, names in _by_noun(plan):
        screen.item("  delete   ", f"{changes.counted(noun, len(names))} {changes.listed(names)}")
    images, size = plan.images
    if images:
        screen.item("  delete   ", f"{changes.counted('container image', images)}, {size / MiB:,.1f} MiB")
    objects, size = plan.code
    if objects:
        screen.item("  delete   ", f"{changes.counted('object', objects)} of code, {size / MiB:,.1f} MiB")
    for one in plan.buckets:
        screen.item("  DELETE   " if plan.archives else "  keep     ", _held(one))
    for why in plan.unseen:
        screen.item("  unseen   ", why)


def show_made(made: Iterable[Made], callers: Iterable[str], screen: Screen) -> None:
    """Say what goes of that which deployments made, and who still calls it."""
    things = list(made)
    for kind in teardown.GONE:
        if found := [one for one in things if one.kind is kind]:
            names = ", ".join(one.name for one in found)
            screen.item("  delete   ", f"{changes.counted(str(kind), len(found))} {names}{_with_it(found)}")
    for caller in callers:
        screen.item("           ", f"STILL CALLED: {caller}, which fails from then on")


def _with_it(found: Iterable[Made]) -> str:
    """Return what goes with endpoints, in words; nothing goes with anything else."""
    endpoints = [one for one in found if one.kind is MadeKind.ENDPOINT]
    if not endpoints:
        return ""
    scaled = [one for one in endpoints if one.scales and not one.to_zero]
    parts = ["alarms", "metric filters", *(["auto scaling"] if scaled else [])]
    parts += ["inference component"] if any(one.to_zero for one in endpoints) else []
    return f", with {', '.join(parts[:-1])} and {parts[-1]}"


def _by_noun(plan: TeardownPlan) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for one in plan.inside:
        found.setdefault(changes.NOUNS.get(one.type, one.type), []).append(one.name)
    return sorted(found.items())


def _held(one: Holding) -> str:
    if not one.objects:
        return f"bucket {one.bucket}: empty"
    versions = f"{one.objects} {'version' if one.objects == 1 else 'versions'} of objects"
    return f"bucket {one.bucket}: {versions}, {one.bytes / MiB:,.1f} MiB"


def _concluded(
    status: str, plan: TeardownPlan, deleted: Iterable[str], arguments: DestroyOptions, screen: Screen
) -> int:
    kept = () if plan.archives and status == "destroyed" else plan.buckets
    if status == "destroyed" and kept:
        screen.say("kept:")
        for one in kept:
            screen.say(f"  {_held(one)}")
        screen.say(f"to delete these too: sealift destroy --stack {plan.name} --archives")
    if arguments.json:
        document: dict[str, Any] = {
            "stack": plan.name,
            "account_id": plan.place.account_id,
            "region": plan.place.region,
            "status": status,
            "resources": [one.name for one in plan.inside],
            "made": [{"kind": str(one.kind), "name": one.name} for one in plan.made],
            "images": {"count": plan.images[0], "bytes": plan.images[1]},
            "callers": list(plan.callers),
            "deleted": list(deleted),
            "kept": [{"bucket": one.bucket, "versions": one.objects, "bytes": one.bytes} for one in kept],
            "unseen": list(plan.unseen),
        }
        print(json.dumps(document, indent=2))
    return 1 if status == "failed" else 0
