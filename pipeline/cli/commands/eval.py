"""`sealift eval`: a suite of cases, asked of a service now, and of another one beside it; a table of what came of it.

The same cases, judged in the same way, as a quality gate before a switch. Refuses to switch anything.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import inference_component, settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import frame, reading, suite_upload
from pipeline.cli.screen import Screen
from pipeline.cli.waiting import WaitingClock
from pipeline.client import calls, service_endpoint
from pipeline.errors import InvalidInput, Problem, ServiceUnavailable
from pipeline.operations.checklist import Mark
from pipeline.plain import one_line
from pipeline.quality import asking, expectations, gate, suite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.cli.options import EvalOptions
    from pipeline.quality.cases import Case, Suite
    from pipeline.quality.expectations import Answered
    from pipeline.state_data.quality_types import CaseReply, Compared

sleep = time.sleep  # noqa: TID251 the command line is where time passes

HEAD: Final = ("CASE", "VERDICT", "SECONDS", "TOKENS/S", "MISSES")
_TRIES: Final = 4
"""How often a case is asked, as the quality gate does, where the service says that it is not available."""
_NARROW: Final = 30
"""Columns of a case's name."""


def evaluate(arguments: EvalOptions) -> int:
    """Ask all cases, and tell what came of them; 1 when one fails."""
    screen = Screen(sys.stderr, quiet=arguments.quiet)
    name, content = reading.name_of(arguments.suite), suite_upload.content(arguments.suite)
    # Before anybody is asked anything.
    suite.parse(content, name)
    target = arguments.save
    if target is not None:
        _check_place(target, arguments.suite)
    clients = Clients(region=settings.region())
    with service_errors.translated():
        with WaitingClock(screen, f"looking for {arguments.service}"):
            endpoint = service_endpoint.find(clients, arguments.service, arguments.stack)
            against = _against(clients, arguments) if arguments.against else None
        found = suite.parse(content, name, suits=endpoint.form)
        asked = _asked(clients, found, (endpoint.name, against), screen)
    compared = [one for one, _, _ in asked]
    document = {
        "service": arguments.service,
        "endpoint_name": endpoint.name,
        "against": against,
        **asdict(gate.weigh(compared)),
        "cases": [_document(*one) for one in asked],
    }
    if target is not None:
        target.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _tell(compared, Screen(sys.stdout))
        if target is not None:
            screen.step(f"all answers: {target}")
    return 0 if all(one.passed for one in compared) else 1


Asked = tuple["Compared", "CaseReply", "CaseReply | None"]
"""What a case came to, and what was said to it, whole."""


def _asked(clients: Clients, cases: Suite, endpoints: tuple[str, str | None], screen: Screen) -> list[Asked]:
    """Return what each case came to; whoever interrupts has no table."""
    endpoint, against = endpoints
    made: list[Asked] = []

    described = {
        name: clients.sagemaker.describe_endpoint(EndpointName=name) for name in (endpoint, against) if name
    }
    hosting = {name: inference_component.is_there(found) for name, found in described.items()}

    def once(name: str, case: Case) -> Answered:
        return calls.patiently(
            lambda: asking.ask(clients, name, case, cases.suits, component=hosting[name]),
            sleep=sleep,
            now=time.monotonic,
        )

    def ask(name: str, case: Case) -> Answered:
        # One call that AWS has no answer to is no reason to lose those of all other cases.
        return calls.repeatedly(
            lambda: once(name, case), ServiceUnavailable, tries=_TRIES, pause=lambda: sleep(calls.LOOK_S)
        )

    for number, case in enumerate(cases.cases, 1):
        with WaitingClock(screen, f"case {number} of {len(cases.cases)}: {one_line(case.name)}"):
            earlier = ask(against, case) if against else None
            now = ask(endpoint, case)
        compared = expectations.compare(case, now, earlier)
        made.append((compared, now.told, earlier.told if earlier else None))
    return made


def _tell(cases: Sequence[Compared], screen: Screen) -> None:
    """Print a row for each case, and what all of them came to."""
    rows = [HEAD, *(_row(one) for one in cases)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEAD) - 1)]
    marks = [None, *(Mark.DONE if one.passed else Mark.FAILED for one in cases)]
    for row, mark in zip(rows, marks, strict=True):
        text = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False))
        screen.say(frame.colored(f"{text}  {row[-1]}".rstrip(), mark))
    screen.say(gate.weigh(cases).told)


def _row(case: Compared) -> tuple[str, ...]:
    name, rate = one_line(case.name), case.now.tokens_per_second
    seconds = "-" if case.now.seconds is None else f"{case.now.seconds:.2f}"
    cut = name if len(name) <= _NARROW else f"{name[: _NARROW - 3]}..."
    return (cut, case.word, seconds, "-" if rate is None else f"{rate:.1f}", one_line(gate.missed(case)))


def _document(case: Compared, now: CaseReply, earlier: CaseReply | None) -> dict[str, Any]:
    return {
        "name": case.name,
        "line": case.line,
        "question": case.question,
        "verdict": case.word,
        "now": asdict(now),
        "against": asdict(earlier) if earlier else None,
        "checks": [asdict(one) for one in case.checks],
    }


def _against(clients: Clients, arguments: EvalOptions) -> str:
    """Return the endpoint to compare with: that of a service, or one by its own name.

    Raises:
        InvalidInput: it is neither.
    """
    name = str(arguments.against)
    try:
        return service_endpoint.find(clients, name, arguments.stack).name
    except InvalidInput as refusal:
        try:
            return str(clients.sagemaker.describe_endpoint(EndpointName=name)["EndpointName"])
        except ClientError as error:
            if service_errors.is_missing_endpoint(error) or service_errors.is_missing(error):
                raise refusal from error
            raise


def _check_place(target: Path, suite_path: Path) -> None:
    """Refuse a file that cannot be written, or that holds the cases, before what takes long."""
    if target.exists() and suite_path.exists() and target.samefile(suite_path):
        seen = "the suite itself, which would be lost"
        raise InvalidInput(
            f"--save {target}", [Problem("SuiteOverwritten", seen, "a file of its own", "name another one")]
        )
    if target.is_dir() or not target.parent.is_dir():
        seen = "a folder" if target.is_dir() else f"no folder {str(target.parent)!r}"
        raise InvalidInput(
            str(target), [Problem("NotWritten", seen, "a file that can be written", "name another one")]
        )
