"""`sealift sweep`: shows what Sealift made and nobody refers to any more, and deletes it when asked to.

The same look and the same rules as those of the stack's schedule (`tasks/sweep.py`). Only here somebody waits: an
endpoint takes a while to go, and what it used goes after it. Refuses a grace that is no number of hours.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.endings import Misuse
from pipeline.cli.screen import Screen
from pipeline.errors import Problem
from pipeline.operations import executions, removal, sweeping
from pipeline.stack import change_sets

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.options import SweepOptions
    from pipeline.operations.sweeping import Swept, SweptThing

PATIENCE_S: Final = 300
"""An endpoint is gone within a minute or two."""


def sweep(arguments: SweepOptions) -> int:
    """Sweep, and say what was found; return 1 when something could not be deleted."""
    if not (math.isfinite(arguments.grace) and arguments.grace >= 0):
        seen = Problem(
            "WrongValue", f"--grace {arguments.grace:g}", "hours, 0 or more", "leave it out for 24"
        )
        raise Misuse("command line", [seen])
    screen = Screen.of(arguments)
    clients = Clients(region=settings.region())
    with service_errors.translated():
        outputs = change_sets.outputs(clients, arguments.stack) if arguments.stack else {}
        screen.hint("looking ...")
        once = partial(
            sweeping.once,
            clients,
            grace=timedelta(hours=arguments.grace),
            delete=arguments.delete,
            stack=arguments.stack,
            bucket=outputs.get("ArtifactBucketName"),
            repository=outputs.get("ImageRepository"),
            service=arguments.only,
        )
        wait = partial(removal.wait_until_deleted, clients.sagemaker)
        result = sweep_until_deleted(once, wait=wait, clock=time.monotonic)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        _show(result, screen, arguments)
        if arguments.only and not result["found"]:
            near = executions.slip(clients.stepfunctions, arguments.only, arguments.stack)
            screen.say(f"nothing was made for the service {arguments.only!r}{near}")
    return 1 if result["counts"].get("failed") or result["counts"].get("waiting") else 0


def sweep_until_deleted(
    once: Callable[..., Swept],
    *,
    wait: Callable[[str, float], bool],
    clock: Callable[[], float],
) -> Swept:
    """Sweep again when endpoints have gone, within a bound; return all that was done, each thing once, as it ended.

    Args:
        once: sweeps.
        wait: waits for an endpoint to go, so many seconds at most; returns whether it is gone.
        clock: returns seconds.
    """
    deadline = clock() + PATIENCE_S
    lines: dict[tuple[str, str], SweptThing] = {}
    while True:
        result = once(now=datetime.now(UTC))
        there = {(one["kind"], one["name"]): one for one in result["found"]}
        for key, one in lines.items():
            if one["outcome"] == "deleting" and key not in there:
                one["outcome"] = "deleted"
        # What is kept now because it is going already is still going.
        lines |= {
            key: one
            for key, one in there.items()
            if not (one["outcome"] == "kept" and lines.get(key, one)["outcome"] == "deleting")
        }
        going = [one["name"] for one in lines.values() if one["outcome"] == "deleting"]
        if not going or not all(wait(name, deadline - clock()) for name in going):
            break
    found = list(lines.values())
    return {**result, "found": found, "counts": dict(Counter(one["outcome"] for one in found))}


def _show(result: Swept, screen: Screen, arguments: SweepOptions) -> None:
    for one in result["found"]:
        screen.say(f"{one['outcome']:<9} {one['kind']} {one['name']}")
        screen.say(f"          {one['reason']}")
    for why in result["unseen"]:
        screen.say(f"unseen    {why}")
    counts = result["counts"]
    found = counts.get("found", 0)
    screen.say(
        ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "nothing of Sealift's"
    )
    if found:
        screen.say(f"nothing was deleted; `sealift sweep --delete` deletes the {found} that were found")
    if not arguments.stack:
        screen.say("archives were not looked at: name their stack with --stack")
