"""`sealift report`: the report of any execution, made anew from what AWS knows of it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline import aws, prices, settings
from pipeline.cli.screen import Screen
from pipeline.errors import InvalidInput, Problem
from pipeline.report import document, page, source

if TYPE_CHECKING:
    from pipeline.aws import Clients
    from pipeline.cli import Arguments
    from pipeline.report.document import Facts

STACK = "sealift"
_ARN = r"arn:aws[a-z-]*:states:[a-z0-9-]+:[0-9]{12}:execution:[^:]+:[^:]+"
_MISSING = frozenset({"ExecutionDoesNotExist", "InvalidArn", "ValidationException"})


def report(arguments: Arguments) -> int:
    """Write the page; with --json print its content instead, and write the page only where --output says."""
    listed = _prices(arguments.prices)
    with aws.translated():
        facts = _facts(arguments.execution, arguments.stack or STACK)
    made = document.assemble(facts, listed)
    body = page.render(made)
    screen = Screen(sys.stderr if arguments.json else sys.stdout)
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


def _prices(path: Path | None) -> prices.Prices:
    if path is None:
        return prices.LISTED
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        seen = Problem("NotRead", str(error), "a JSON file of prices", "see pipeline/prices.py")
        raise InvalidInput(str(path), [seen]) from error
    return prices.changed(prices.LISTED, text, str(path))


def _facts(said: str, stack: str) -> Facts:
    """Return what AWS knows of an execution.

    Raises:
        InvalidInput: when it knows none.
    """
    clients = _clients(said)
    arn = said if said.startswith("arn:") else _arn(said, stack, clients)
    try:
        return source.fetch(clients.stepfunctions, arn)
    except ClientError as error:
        if aws.code(error) not in _MISSING:
            raise
        seen = Problem(
            "NoExecution",
            f"no execution {arn}: {aws.text(error)}",
            "one that Step Functions knows; it forgets them 90 days after their end",
            "check the name, --stack, AWS_PROFILE and AWS_REGION",
        )
        raise InvalidInput(f"execution {said}", [seen]) from error


def _clients(said: str) -> Clients:
    """Return the clients of the region that an ARN names, or of the session's."""
    if said.startswith("arn:") and not re.fullmatch(_ARN, said):
        seen = Problem(
            "WrongArn",
            f"{said!r}",
            "the ARN of an execution, arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME",
            "copy it from the console, or give the execution's name",
        )
        raise InvalidInput("command line", [seen])
    return aws.Clients(region=said.split(":")[3] if said.startswith("arn:") else settings.region())


def _arn(name: str, stack: str, clients: Clients) -> str:
    caller = clients.sts.get_caller_identity()
    partition = caller["Arn"].split(":")[1]
    return (
        f"arn:{partition}:states:{settings.region()}:{caller['Account']}:execution:{stack}-deployment:{name}"
    )
