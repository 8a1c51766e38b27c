"""`sealift doctor`: looks whether everything is ready, line by line; ends with 1 when something is broken."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pipeline import settings
from pipeline.aws.clients import Clients
from pipeline.cli.screen import Screen
from pipeline.operations import doctor
from pipeline.operations.checklist import Mark
from pipeline.operations.doctor import CheckState

if TYPE_CHECKING:
    from pipeline.cli.options import DoctorOptions
    from pipeline.operations.doctor import ReadinessCheck

MARKS: Final = {CheckState.OK: Mark.DONE, CheckState.BROKEN: Mark.FAILED, CheckState.UNKNOWN: Mark.SKIPPED}


def examine(arguments: DoctorOptions) -> int:
    """Examine, and say what to do; return 1 when something is broken."""
    screen = Screen.of(arguments)
    clients = Clients(region=settings.region())
    checks: list[ReadinessCheck] = []
    for check in doctor.examine(
        clients,
        stack=arguments.stack or settings.STACK,
        region=settings.region(),
        today=datetime.now(UTC).date(),
    ):
        checks.append(check)
        if not arguments.json:
            show(check, screen)
        screen.hint("looking ...")
    broken = [check for check in checks if check.state is CheckState.BROKEN]
    if arguments.json:
        print(json.dumps({"ok": not broken, "checks": [check.to_json() for check in checks]}, indent=2))
    else:
        screen.say()
        problems = "1 problem" if len(broken) == 1 else f"{len(broken)} problems"
        screen.say(f"{problems} to fix" if broken else "ready")
    return 1 if broken else 0


def show(check: ReadinessCheck, screen: Screen) -> None:
    """Write a check, and below it what to do."""
    screen.say(f"{check.name:<12}{check.found}", mark=MARKS[check.state])
    if check.fix:
        screen.say(f"  {'':<12}to do: {check.fix}")
