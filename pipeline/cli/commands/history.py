"""`sealift history`: the deployments that were tried, newest first, and how each ended.

Step Functions remembers an execution for 90 days. Refuses a limit that is no number of rows; says when it did not look
at all of them.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.endings import Misuse
from pipeline.cli.screen import Screen
from pipeline.errors import Problem
from pipeline.operations import executions
from pipeline.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.cli.options import HistoryOptions
    from pipeline.operations.executions import ExecutionSummary


def history(arguments: HistoryOptions) -> int:
    """List the deployments."""
    if not 1 <= arguments.limit <= executions.LOOKED:
        seen, wanted = f"--limit {arguments.limit}", f"a number of rows from 1 to {executions.LOOKED}"
        raise Misuse("command line", [Problem("WrongValue", seen, wanted, "leave it out for 20")])
    screen = Screen.of(arguments)
    clients = Clients(region=settings.region())
    screen.hint("looking ...")
    with service_errors.translated():
        found = executions.listed(
            clients.stepfunctions, stack=arguments.stack, service=arguments.only, limit=arguments.limit
        )
    if arguments.json:
        document = {"executions": [one.to_json() for one in found.entries], "complete": found.complete}
        print(json.dumps(document, indent=2))
        return 0
    for line in lines(found.entries, datetime.now(UTC), shutil.get_terminal_size((120, 24)).columns):
        screen.say(line)
    if not found.entries:
        whose = f" of {arguments.only!r}" if arguments.only else ""
        near = (
            executions.slip(clients.stepfunctions, arguments.only, arguments.stack) if arguments.only else ""
        )
        screen.say(f"no deployment{whose} in the last 90 days{near}")
    if not found.complete:
        screen.say(f"only the newest {executions.LOOKED} executions were looked at")
    return 0


def lines(entries: Sequence[ExecutionSummary], now: datetime, width: int) -> Iterator[str]:
    """Yield a line for each deployment, and its cause below it when it failed.

    Args:
        entries: newest first.
        now: the time.
        width: columns that a cause may take.
    """
    services = max((len(one.service or "?") for one in entries), default=0)
    outcomes = max((len(one.outcome) for one in entries), default=0)
    for one in entries:
        took = one.seconds if one.seconds is not None else (now - one.started).total_seconds()
        when = one.started.astimezone().strftime("%Y-%m-%d %H:%M")
        head = f"{when}  {one.service or '?':<{services}}  {one.outcome:<{outcomes}}  {span(took):>12}"
        yield f"{head}  {one.endpoint or '-'}".rstrip()
        yield f"  {one.name}  {_archive(one)}".rstrip()
        if one.cause:
            yield f"  {one.cause}"[: max(width, 60) - 1]


def _archive(one: ExecutionSummary) -> str:
    if one.archive is None:
        return ""
    return f"s3://{one.archive}" + (f" version {one.version[:8]}" if one.version else "")
