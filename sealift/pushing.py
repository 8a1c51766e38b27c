"""`sealift push` from Python: the command itself, whose events are taken in place of printed.

Owns what of its events becomes the result, and which error a refusal is. Refuses to do anything of a push.
"""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline import errors
from pipeline.cli.commands import push as command
from pipeline.cli.endings import INTERRUPTED, Misuse
from pipeline.cli.following import Events
from pipeline.cli.options import PushOptions
from pipeline.errors import Failed, InvalidArchive, InvalidInput, ModelDoesNotFit, PermanentError, Problem
from pipeline.operations import diagnosis
from sealift.deployed import DeployedService

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from sealift.accounts import NamedAccount

SETTINGS: Final = "settings"
"""What the settings are called in a refusal."""


@dataclass(frozen=True, slots=True)
class ChecklistResult:
    """One line of the checklist, as it stands at the end."""

    group: str
    """before, during or after."""
    line: str
    mark: str
    """done, failed, skipped, running or pending."""
    evidence: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class PushResult:
    """What came of a push."""

    service: DeployedService
    """To be asked."""
    execution_arn: str
    endpoint_name: str | None
    """None where the deployment was not followed."""
    answer: str | None
    """To the smoke test's first prompt; None where the deployment was not followed."""
    checklist: tuple[ChecklistResult, ...] = ()
    notes: tuple[str, ...] = ()
    """What should be known of the request: of its consumers, its container."""
    seconds: float | None = None
    """Of the execution."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """All that `sealift push --json` tells at the end (docs/following.md)."""

    def __str__(self) -> str:
        return self.answer or f"{self.service.name} is being deployed by {self.execution_arn}"


class TakenEvents(Events):
    """The events of a push, kept, and handed on as they come."""

    def __init__(self, progress: Callable[[Mapping[str, Any]], None] | None) -> None:
        super().__init__(io.StringIO())
        self.taken: list[dict[str, Any]] = []
        self._progress = progress

    def write(self, event: dict[str, Any]) -> None:
        """Keep it, and hand it on."""
        self.taken.append(event)
        if self._progress is not None:
            self._progress(event)

    def last(self, kind: str) -> dict[str, Any]:
        """Return the last event of a kind; an empty one where there was none."""
        return next((one for one in reversed(self.taken) if one["type"] == kind), {})

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind."""
        return [one for one in self.taken if one["type"] == kind]


def run(
    model: str | PathLike[str],
    account: NamedAccount,
    *,
    service: str,
    settings: Mapping[str, Any] | None,
    deploy_stack: bool,
    follow: bool,
    progress: Callable[[Mapping[str, Any]], None] | None,
) -> PushResult:
    """Push, and return what came of it; see `sealift.push`."""
    events = TakenEvents(progress)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.json"
        if settings is not None:
            path.write_text(json.dumps(settings), encoding="utf-8")
        options = PushOptions(
            archive=str(model),
            service=service,
            input=path if settings is not None else None,
            stack=account.stack,
            yes=deploy_stack,
            no_follow=not follow,
            json=True,
            quiet=True,
        )
        try:
            # Their own file is gone in a moment; what they name lies beside the model, as with `deployment.json`.
            beside = Path(model).parent
            status = command.run(options, account.clients, events=events, folder=beside)
        except (Misuse, PermanentError) as refusal:
            kind = InvalidInput if isinstance(refusal, Misuse) else type(refusal)
            problems = [replace(one, where=_name(one.where, path)) for one in refusal.problems]
            raise kind(_name(refusal.subject, path), problems) from refusal
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    deployed = DeployedService(service, account.clients, account.stack)
    return result(events, deployed, well=status == 0)


def result(events: TakenEvents, service: DeployedService, *, well: bool) -> PushResult:
    """Return what the events of a push tell.

    Args:
        events: all of them.
        service: that it is of.
        well: whether the command ended well.

    Raises:
        ModelDoesNotFit, InvalidArchive: it was refused before anything was sent.
        SealiftError: the deployment failed, by the name of its error.
    """
    summary, begun = events.last("summary"), events.last("execution")
    if not well:
        raise _refusal(events) if not begun else _failure(summary, service.name)
    stood = {one["line"]: one for one in events.of("line")}
    tested = (summary.get("smoke_test") or {}).get("transcript") or ()
    return PushResult(
        service=service,
        execution_arn=begun["execution_arn"],
        endpoint_name=summary.get("endpoint_name"),
        answer=tested[0]["answer"] if tested else None,
        checklist=tuple(
            ChecklistResult(one["group"], one["line"], one["mark"], one["evidence"], one["seconds"])
            for one in stood.values()
        ),
        notes=tuple(one["text"] for one in events.of("note")),
        seconds=summary.get("seconds"),
        summary=summary,
    )


def _refusal(events: TakenEvents) -> PermanentError:
    """Return why nothing was sent: the last that was looked at is what is wrong."""
    kind = "plan" if events.taken and events.taken[-1]["type"] == "plan" else "check"
    told = events.last(kind)
    known = Problem.__dataclass_fields__
    problems = [
        Problem(**{name: str(value) for name, value in one.items() if name in known})
        for one in told.get("problems", ())
    ]
    return (ModelDoesNotFit if kind == "plan" else InvalidArchive)(str(told.get("file") or "model"), problems)


def _failure(summary: Mapping[str, Any], service: str) -> errors.SealiftError:
    """Return the error of a deployment that failed: what happened, why, and what to do are the lines of its cause."""
    name = str(summary.get("error") or summary.get("status") or "")
    what, why, fix, rest = diagnosis.parts(str(summary.get("cause") or "no cause was told"))
    kind = errors.by_name(name) or Failed
    if issubclass(kind, PermanentError):
        told: errors.SealiftError = kind(
            f"deployment of {service}",
            [Problem(name, what, "a deployment that serves", fix)],
            why=why,
            fix=fix,
        )
    else:
        told = kind(f"the deployment of {service} failed with {name}: {what}", why=why, fix=fix)
    for line in rest:
        told.add_note(line)
    told.add_note(f"execution {summary.get('execution_arn')}; `sealift report` tells all of it")
    return told


def _name(where: str, settings: Path) -> str:
    """Return what stands where in a caller's words: neither an option of the command's nor its file."""
    return where.removeprefix("--").replace(str(settings), SETTINGS)
