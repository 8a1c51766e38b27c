"""`sealift report`: the report of any execution, made anew from what AWS knows of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import reading
from pipeline.cli.endings import Misuse
from pipeline.cli.screen import Screen
from pipeline.errors import InvalidInput, Problem
from pipeline.operations import executions
from pipeline.report import document, page, source
from pipeline.sizing import pricing

if TYPE_CHECKING:
    from pipeline.cli.options import ReportOptions
    from pipeline.report.document import ReportFacts

_ARN = r"arn:aws[a-z-]*:states:[a-z0-9-]+:[0-9]{12}:execution:[^:]+:[^:]+"


def report(arguments: ReportOptions) -> int:
    """Write the page; with --json print its content instead, and write the page only where --output says."""
    listed = _prices(arguments.prices)
    with service_errors.translated():
        facts = _facts(arguments.execution, arguments.stack)
    made = document.assemble(facts, listed)
    body = page.render(made)
    screen = Screen.of(arguments)
    if arguments.json:
        print(json.dumps(made.to_json(), indent=2))
    if arguments.output or not arguments.json:
        target = Path(arguments.output or f"{made.name}.html")
        write(target, body)
        screen.say(f"{made.headline}")
        screen.say(f"report: {target}, {len(body) / 1024:.0f} KB")
    return 0


def write(target: Path, body: bytes) -> None:
    """Write a page.

    Raises:
        InvalidInput: when nothing can be written there.
    """
    try:
        target.write_bytes(body)
    except OSError as error:
        seen = Problem(
            "NotWritten", f"{target}: {error.strerror}", "a file that can be written", "name another one"
        )
        raise InvalidInput("report", [seen]) from error


def _prices(path: Path | None) -> pricing.Prices:
    if path is None:
        return pricing.LISTED
    said = reading.read_object(path, wanted="a JSON object of prices", fix=pricing.EXAMPLE)
    return pricing.changed(pricing.LISTED, said, reading.name_of(path))


def _facts(said: str, stack: str | None) -> ReportFacts:
    """Return what AWS knows of an execution.

    Raises:
        InvalidInput: when it knows none; Misuse when the name of one can be none.
    """
    clients = _clients(said)
    return source.fetch(clients, executions.find(clients.stepfunctions, said, stack))


def _clients(said: str) -> Clients:
    """Return the clients of the region that an ARN names, or of the session's."""
    if said.startswith("arn:") and not re.fullmatch(_ARN, said):
        seen = Problem(
            "WrongArn",
            f"{said!r}",
            "the ARN of an execution, arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME",
            "copy it from the console, or give the execution's name",
        )
        raise Misuse("command line", [seen])
    return Clients(region=said.split(":")[3] if said.startswith("arn:") else settings.region())
