"""`sealift delete`: takes a service away, after saying what goes and who still calls it.

Uploads stay unless `--archives` says otherwise, so that pushing them again brings the service back. Refuses while it is
being deployed.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import asking
from pipeline.cli.commands.destroy import show_made
from pipeline.cli.endings import INTERRUPTED
from pipeline.cli.screen import Screen
from pipeline.limits import MiB
from pipeline.operations import executions, service_removal
from pipeline.stack import change_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cli.options import DeleteOptions
    from pipeline.operations.service_removal import ServiceRemoval, Uploads

sleep = time.sleep  # noqa: TID251 the command line is where time passes


def delete(arguments: DeleteOptions) -> int:
    """Delete the service, and say what is left."""
    return run(arguments, Clients(region=settings.region()))


def run(arguments: DeleteOptions, clients: Clients) -> int:
    """Delete with the clients of an account."""
    service, stack = arguments.service, arguments.stack or settings.STACK
    if not arguments.dry_run:
        asking.must_be_asked("delete", yes=arguments.yes, json=arguments.json)
    screen = Screen.of(arguments)
    deleted: list[str] = []

    def deleted_one(line: str) -> None:
        deleted.append(line)
        screen.step(f"  deleted  {line}")

    with service_errors.translated():
        screen.hint("looking ...")
        found = change_sets.ask(clients.cloudformation, stack)
        outputs = {one["OutputKey"]: one["OutputValue"] for one in (found or {}).get("Outputs", ())}
        removal = service_removal.plan_removal(
            clients, service, stack, bucket=outputs.get("UploadBucketName"), archives=arguments.archives
        )
        if removal.nothing:
            slip = executions.slip(clients.stepfunctions, service, stack)
            screen.say(f"nothing of the service {service!r} of the stack {stack!r} is left{slip}")
            return _concluded("nothing", removal, deleted, arguments, screen)
        show(removal, screen)
        if arguments.dry_run:
            screen.say("nothing was deleted: this was a dry run")
            return _concluded("planned", removal, deleted, arguments, screen)
        if not asking.agreed(_question(removal), yes=arguments.yes):
            screen.say("nothing was deleted")
            return 1
        try:
            service_removal.carry_out(
                clients, removal, on_deleted=deleted_one, sleep=sleep, clock=time.monotonic
            )
        except KeyboardInterrupt:
            screen.say(f"cut short; to delete the rest, run it again: {_again(arguments)}")
            _concluded("interrupted", removal, deleted, arguments, screen)
            return INTERRUPTED
    screen.say(f"service {service}: gone")
    return _concluded("deleted", removal, deleted, arguments, screen)


def _again(arguments: DeleteOptions) -> str:
    stack = f" --stack {arguments.stack}" if arguments.stack else ""
    return f"sealift delete {arguments.service}{' --archives' * arguments.archives}{stack}"


def _question(removal: ServiceRemoval) -> str:
    if removal.archives and removal.uploads and removal.uploads.versions:
        return "Delete all of this, THE UPLOADS FOR GOOD?"
    return "Delete all of this?"


def show(removal: ServiceRemoval, screen: Screen) -> None:
    """Say what would go, and what would stay."""
    screen.say(f"service {removal.service}")
    show_made(removal.made, removal.callers, screen)
    for name in removal.paused:
        screen.item("  paused   ", f"endpoint {name}: nothing brings it back then")
    if removal.uploads:
        screen.item("  DELETE   " if removal.archives else "  keep     ", _held(removal.uploads))
    for why in removal.unseen:
        screen.item("  unseen   ", why)


def _held(one: Uploads) -> str:
    if not one.versions:
        return f"no uploads below s3://{one.bucket}/{one.prefix}"
    noun = "version" if one.versions == 1 else "versions"
    return f"{one.versions} {noun} below s3://{one.bucket}/{one.prefix}, {one.bytes / MiB:,.1f} MiB"


def _concluded(
    status: str, removal: ServiceRemoval, deleted: Sequence[str], arguments: DeleteOptions, screen: Screen
) -> int:
    kept = removal.uploads if removal.uploads and removal.uploads.versions and not removal.archives else None
    if status == "deleted" and kept:
        screen.say(f"kept: {_held(kept)}")
        screen.say(f"to delete these too: sealift delete {removal.service} --archives")
    if arguments.json:
        document = {
            "service": removal.service,
            "status": status,
            "made": [{"kind": str(one.kind), "name": one.name} for one in removal.made],
            "callers": list(removal.callers),
            "paused": list(removal.paused),
            "deleted": list(deleted),
            "kept": {"place": f"{kept.bucket}/{kept.prefix}", "versions": kept.versions, "bytes": kept.bytes}
            if kept
            else None,
            "unseen": list(removal.unseen),
        }
        print(json.dumps(document, indent=2))
    return 0
