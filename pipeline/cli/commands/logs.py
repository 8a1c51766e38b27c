"""`sealift logs`: what the tasks and the containers of one execution wrote, in order of time.

The endpoint need not exist any more: its log outlives it. Says which log could not be read, and ends with 1 when none
could.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.screen import Screen
from pipeline.operations import execution_logs, executions
from pipeline.plain import lines as lines_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.cli.options import LogsOptions
    from pipeline.operations.execution_logs import Logbook, LogLine

sleep = time.sleep  # noqa: TID251 the command line is where time passes

LOOK_S: Final = 2.0


def logs(arguments: LogsOptions) -> int:
    """Print the log of an execution; with --follow, until it has ended."""
    screen = Screen.of(arguments)
    clients = Clients(region=settings.region())
    with service_errors.translated():
        arn = executions.find(clients.stepfunctions, arguments.execution, arguments.stack)
        screen.hint("reading ...")
        books = followed(clients, arn, sleep=sleep) if arguments.follow else _once(clients, arn)
        shown: set[LogLine] = set()
        for book in books:
            # What was late, and belongs before what is shown already, comes when it comes.
            new = [line for line in book.lines if line not in shown]
            shown.update(new)
            if not arguments.json:
                for text in readable_lines(new):
                    screen.say(text)
    if arguments.json:
        print(json.dumps(_document(book), indent=2))
    else:
        for why in book.unseen:
            screen.say(f"unseen  {why}")
        if not book.lines:
            screen.say(f"no lines of {arn}")
    return 0 if book.lines else 1


def _once(clients: Clients, arn: str) -> Iterator[Logbook]:
    yield execution_logs.gather(clients, arn, datetime.now(UTC))


def followed(clients: Clients, arn: str, *, sleep: Callable[[float], None]) -> Iterator[Logbook]:
    """Yield the log as far as it got, again and again, until the execution has ended."""
    while True:
        book = execution_logs.gather(clients, arn, datetime.now(UTC))
        yield book
        if not book.execution.running:
            return
        sleep(LOOK_S)


def readable_lines(lines: Iterable[LogLine]) -> Iterator[str]:
    """Yield the lines for people: time, state or container, message."""
    for line in lines:
        level = f"{line.level} " if line.level in {"WARNING", "ERROR", "CRITICAL"} else ""
        took = line.fields.get("seconds")
        after = f" ({took:g} s)" if isinstance(took, int | float) else ""
        time_of_day = line.time.astimezone().strftime("%H:%M:%S.%f")[:-3]
        first, *rest = *lines_in(line.message), *line.trace
        yield f"{time_of_day}  {line.source:<20}  {level}{first}{after}"
        for more in rest:
            yield f"{'':<36}{more}"


def _document(book: Logbook) -> dict[str, object]:
    return {
        "execution": book.execution.arn,
        "status": book.execution.status,
        "endpoint_name": book.endpoint,
        "lines": [line.to_json() for line in book.lines],
        "unseen": list(book.unseen),
    }
