"""`sealift bench`: how fast a service answers, and what that costs; one endpoint, or two in turns.

Tells what it may cost before the first call, and asks. What was measured is shown whatever ends it. Refuses to change
anything of a deployment.
"""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.text import Text

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.bench import page, results, spending, sweep, table, targets
from pipeline.bench.measurement import Measurement
from pipeline.bench.sweep import Sweep
from pipeline.cli import asking
from pipeline.cli.commands import report
from pipeline.cli.endings import FAILED, INTERRUPTED, OK
from pipeline.cli.screen import Screen
from pipeline.cli.waiting import WaitingClock
from pipeline.errors import InvalidInput, Problem, SealiftError
from pipeline.report import page as report_page
from pipeline.rollout.answers import NotAnAnswer
from pipeline.time_format import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.bench.results import BenchDocument
    from pipeline.bench.spending import Bound
    from pipeline.bench.targets import LoadTarget
    from pipeline.cli.options import BenchOptions

sleep = time.sleep  # noqa: TID251 the command line is where time passes

_COLD: Final = "leaving it alone"


def bench(arguments: BenchOptions) -> int:
    """Measure, and show what was measured."""
    # A connection for each caller, and one for whoever looks.
    clients = Clients(region=settings.region(), connections=max(arguments.concurrency) + 1)
    return run(arguments, clients)


def run(arguments: BenchOptions, clients: Clients) -> int:
    """Measure with the clients of an account."""
    if not arguments.dry_run:
        asking.must_be_asked("bench", yes=arguments.yes, json=arguments.json)
    screen = Screen.of(arguments)
    wanted = Sweep(
        arguments.concurrency,
        arguments.prompt_tokens,
        arguments.max_tokens,
        arguments.requests,
        arguments.seconds,
    )
    stages = sweep.stages(wanted, compared=arguments.against is not None)
    listed = report.prices(arguments.prices)
    with service_errors.translated():
        with WaitingClock(screen, f"looking for {arguments.service}"):
            found = _targets(arguments, clients)
        price = listed.of("serverless_gb_second", settings.region())
        most = spending.bound(stages, wanted, found, price)
        _tell(screen, found, most, arguments.cold)
        if arguments.dry_run:
            if arguments.json:
                print(json.dumps({"bound": most.to_json()}, indent=2))
            else:
                screen.say("nothing was called: this was a dry run")
            return OK
        if not asking.agreed("Measure that?", yes=arguments.yes):
            screen.say("nothing was called")
            return FAILED
        _check_writable(arguments.html)
        began = datetime.now(UTC)
        work = Measurement(
            clients,
            found,
            stages,
            arguments.max_tokens,
            secrets.token_hex(8),
            now=time.monotonic,
            sleep=sleep,
            look=screen.hint,
        )
        stopped: BaseException | None = None
        try:
            _leave_alone(screen, arguments.cold)
            work.run()
        except (KeyboardInterrupt, SealiftError, NotAnAnswer) as error:
            stopped = error
        screen.clear()
    document = results.assemble(
        work.results,
        found,
        wanted,
        most,
        began=began,
        price=price,
        alone_s=arguments.cold and arguments.cold * 60,
        stopped=_why(stopped),
    )
    return _end(arguments, screen, document, stopped)


def _targets(arguments: BenchOptions, clients: Clients) -> list[LoadTarget]:
    """Return what is measured.

    Raises:
        InvalidInput: it is not there, or cannot be measured as is wanted.
    """
    found = [targets.find(clients, arguments.service, arguments.deployment, arguments.stack)]
    if arguments.against is not None:
        found.append(targets.find_other(clients, arguments.against, arguments.stack))
        one, other = found
        if one.name == other.name:
            raise _refused(
                "--against",
                "SameEndpoint",
                f"both are endpoint {one.name!r}",
                "two endpoints",
                "name another service, or another deployment: `sealift status` lists them",
            )
        if one.generates != other.generates:
            raise _refused(
                "--against",
                "NotAlike",
                f"of {one.name!r} and {other.name!r} one answers in texts and the other in vectors",
                "two that do the same",
                "measure each of them alone",
            )
    if arguments.cold is not None:
        for one in found:
            if one.memory_mb is None:
                raise _refused(
                    "--cold",
                    "NeverCold",
                    f"endpoint {one.name!r} is on instances, whose containers always run",
                    "a serverless endpoint",
                    "leave --cold out",
                )
    return found


def _tell(screen: Screen, found: Sequence[LoadTarget], most: Bound, cold: float | None) -> None:
    """Say what is about to be measured, and what that comes to at most."""
    names = (table.FIRST, table.SECOND) if len(found) > 1 else ("endpoint",)
    for name, one in zip(names, found, strict=True):
        screen.item(f"{name:9}", f"{one.name} of {one.endpoint.service}: {one.runs_on}")
    tokens = f"{most.prompt_tokens:,} tokens of prompts"
    if most.completion_tokens:
        tokens += f" and {most.completion_tokens:,} of answers"
    screen.item(
        "at most  ",
        f"{most.calls:,} calls in {span(most.seconds)} and what containers take to start; {tokens}",
    )
    usd = "not known" if most.usd is None else f"{report_page.usd(most.usd)} at most"
    screen.item("costs    ", f"{usd} ({most.how})")
    if cold is not None:
        screen.item(
            "cold     ", f"nobody may call for {span(cold * 60)} first; AWS does not tell when containers go"
        )


def _leave_alone(screen: Screen, minutes: float | None) -> None:
    """Wait until a container that nobody calls may be gone."""
    if minutes is None:
        return
    with WaitingClock(screen, f"{_COLD} for {span(minutes * 60)}"):
        sleep(minutes * 60)


def _check_writable(target: Path | None) -> None:
    """Make sure that the page can be written before anything is paid for.

    Raises:
        InvalidInput: it cannot.
    """
    if target is None:
        return
    there = target.exists()
    try:
        with target.open("ab"):
            pass
        if not there:
            # Nothing is left of it where nothing is measured.
            target.unlink()
    except OSError as error:
        raise _refused(
            "--html",
            "NotWritten",
            f"{target}: {error.strerror}",
            "a file that can be written",
            "name another one",
        ) from error


def _why(stopped: BaseException | None) -> str:
    if stopped is None:
        return ""
    return "interrupted" if isinstance(stopped, KeyboardInterrupt) else str(stopped)


def _end(
    arguments: BenchOptions, screen: Screen, document: BenchDocument, stopped: BaseException | None
) -> int:
    """Show what was measured, and return the exit status.

    Raises:
        SealiftError: what ended it.
    """
    if arguments.json:
        print(json.dumps(document.to_json(), indent=2))
    else:
        show(screen, document)
    if arguments.html is not None and document.stages:
        body = page.render(document)
        report.write(arguments.html, body)
        screen.say(f"page: {arguments.html}, {len(body) / 1024:.0f} KB")
    if isinstance(stopped, KeyboardInterrupt):
        return INTERRUPTED
    if stopped is not None:
        raise stopped
    return OK if document.answered else FAILED


def show(screen: Screen, document: BenchDocument) -> None:
    """Draw the tables, and what is to be known of them."""
    if document.stages:
        screen.say()
        _draw(screen, table.head(document), table.rows(document))
    if compared := table.comparisons(document):
        screen.say()
        _draw(screen, table.comparison_head(document), compared)
    screen.say()
    for one in document.notes:
        screen.item("- ", one)


def _draw(screen: Screen, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a table, its figures under each other."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(f"{text:>{width}}" for text, width in zip(cells, widths, strict=True))

    screen.say(Text(line(head), "bold"))
    for row in rows:
        screen.say(line(row))


def _refused(subject: str, error: str, seen: str, wanted: str, fix: str) -> InvalidInput:
    return InvalidInput(subject, [Problem(error, seen, wanted, fix)])
