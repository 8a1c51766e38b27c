"""The log of one execution: the lines of its tasks, of its endpoint's containers, and what only its history tells.

Owns which lines belong to an execution and how one is told; `gather` asks for them within its time, `PAGES` pages of
each log at most. A task's line is found by the execution that it names, and what Lambda itself wrote beside it by its
stream and request. Refuses to interpret a container's lines: they are whatever the image writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import errors, inference_component, naming
from pipeline.aws import service_errors
from pipeline.operations import execution_history

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.aws.clients import Clients
    from pipeline.operations.execution_history import Execution

PAGES: Final = 20
STREAMS: Final = 100
"""Names that FilterLogEvents takes at once (service model)."""

MARGIN: Final = timedelta(seconds=5)
"""What was logged about an execution's end may bear a later time than the end."""

CONTAINER: Final = "container"
HISTORY: Final = "history"

_KNOWN: Final = frozenset({"timestamp", "level", "message", "logger", "requestId", "stackTrace"})


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line."""

    time: datetime
    source: str
    """The state, or `container`; where a function does not know its state, its task."""
    message: str
    level: str = ""
    trace: tuple[str, ...] = ()
    """Where an error was raised, for an unexpected one."""
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What else the line has."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "time": self.time.isoformat(),
            "source": self.source,
            "level": self.level or None,
            "message": self.message,
            **({"trace": list(self.trace)} if self.trace else {}),
            **({"fields": dict(self.fields)} if self.fields else {}),
        }


@dataclass(frozen=True, slots=True)
class Logbook:
    """What there is of an execution's log."""

    execution: Execution
    endpoint: str | None
    lines: tuple[LogLine, ...]
    """In order of time."""
    unseen: tuple[str, ...]
    """What is missing, and why."""


def gather(clients: Clients, arn: str, now: datetime) -> Logbook:
    """Return the log of an execution as far as it got."""
    client = clients.stepfunctions
    description = client.describe_execution(executionArn=arn)
    events = execution_history.history(client, arn)
    found = execution_history.read(description, events)
    plan = found.results.get("plan_deployment") or {}
    endpoint = (plan.get("names") or {}).get("endpoint")
    begun = (found.started or now) - MARGIN
    until = (found.ended or now) + MARGIN
    reader = _LogReader(clients, begun, until)
    lines = [*failures(events), *reader.tasks(arn), *(reader.containers(plan) if endpoint else ())]
    lines.sort(key=lambda line: line.time)
    return Logbook(found, endpoint, tuple(lines), tuple(reader.unseen))


class _LogReader:
    """The calls, within one span of time."""

    def __init__(self, clients: Clients, begun: datetime, until: datetime) -> None:
        self._client = clients.logs
        self._span: dict[str, Any] = {"startTime": _milliseconds(begun), "endTime": _milliseconds(until)}
        self.unseen: list[str] = []

    def tasks(self, arn: str) -> list[LogLine]:
        group = f"/aws/lambda/{naming.stack_of(arn)}"
        named = list(self._events(group, "the tasks", filterPattern=json.dumps(arn)))
        streams = sorted({event["logStreamName"] for event in named})
        events = [
            event
            for n in range(0, len(streams), STREAMS)
            for event in self._events(group, "the tasks", logStreamNames=streams[n : n + STREAMS])
        ]
        return of_tasks(arn, events)

    def containers(self, plan: Mapping[str, Any]) -> list[LogLine]:
        endpoint = plan["names"]["endpoint"]
        group = inference_component.log_group(endpoint, component=inference_component.of_plan(plan))
        events = self._events(group, f"the containers of {endpoint}")
        return [
            LogLine(_time(event["timestamp"]), CONTAINER, event["message"].rstrip("\n")) for event in events
        ]

    def _events(self, group: str, whose: str, **which: Any) -> Iterator[Mapping[str, Any]]:
        token: dict[str, Any] = {}
        for _ in range(PAGES):
            try:
                page = self._client.filter_log_events(logGroupName=group, **self._span, **which, **token)
            except ClientError as error:
                if service_errors.is_missing(error):
                    self._note(f"the log of {whose}: there is no group {group} (any more)")
                elif service_errors.is_access_denied(error):
                    self._note(
                        f"the log of {whose} may not be read: {service_errors.text(error) or 'access denied'}"
                    )
                else:
                    raise
                return
            yield from page["events"]
            if not page.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}
        self._note(f"the log of {whose} is longer than was read: {PAGES} pages of {group}")

    def _note(self, why: str) -> None:
        if why not in self.unseen:
            self.unseen.append(why)


def of_tasks(arn: str, events: Iterable[Mapping[str, Any]]) -> list[LogLine]:
    """Return the lines of an execution among those of the streams that have some.

    Args:
        arn: the execution's.
        events: of FilterLogEvents; a stream's own in order.
    """
    parsed = [(event, _document(event["message"])) for event in events]
    states = {
        document["requestId"]: str(document.get("state") or document.get("task") or "")
        for _, document in parsed
        if document.get("execution") == arn and document.get("requestId")
    }
    lines: list[LogLine] = []
    now: dict[str, str] = {}
    """The request that each stream is at."""
    for event, document in parsed:
        stream = event["logStreamName"]
        record = document.get("record")
        if isinstance(record, dict):
            request = now[stream] = str(record.get("requestId", ""))
        else:
            request = str(document.get("requestId") or now.get(stream, ""))
        if request in states:
            line = _task_line(event, document, states[request])
            if line is not None:
                lines.append(line)
    return lines


def _task_line(event: Mapping[str, Any], document: Mapping[str, Any], state: str) -> LogLine | None:
    time = _time(event["timestamp"])
    if not document:
        return LogLine(time, state, event["message"].rstrip("\n"))
    if "type" in document and isinstance(document.get("record"), dict):
        record = document["record"]
        # That a function began, and ended well, its own lines say.
        if document["type"] != "platform.report" or record.get("status", "success") in {"success", "error"}:
            return None
        took = record.get("metrics", {}).get("durationMs", 0) / 1000
        return LogLine(time, state, f"the function ended with {record['status']} after {took:.1f} s", "ERROR")
    message = document.get("message")
    if message is None:
        message = f"{document.get('errorType', 'error')}: {document.get('errorMessage', '')}"
        # One that was foreseen the line before tells of; where it was raised is of no interest.
        if document.get("errorType") in errors.names():
            return None
    raised = document.get("stackTrace")
    parts = raised if isinstance(raised, list) else ()
    trace = tuple(line for part in parts for line in str(part).rstrip().splitlines())
    more = {name: value for name, value in document.items() if name not in _KNOWN}
    return LogLine(time, state, str(message), str(document.get("level", "")), trace, more)


def failures(events: Iterable[Mapping[str, Any]]) -> list[LogLine]:
    """Return what went wrong where no function could write a line of it: crashes, time-outs, Lambda's own trouble."""
    lines, state = [], HISTORY
    known = set(errors.names())
    for event in events:
        kind = event["type"]
        if kind.endswith("StateEntered"):
            state = event["stateEnteredEventDetails"]["name"]
        elif kind in execution_history.FAILURES:
            details: Mapping[str, Any] = next(
                (value for name, value in event.items() if name.endswith("EventDetails")), {}
            )
            error = details.get("error") or kind
            if error not in known:
                cause = " ".join(str(details.get("cause") or "").split())[:500]
                lines.append(LogLine(event["timestamp"], state, f"{error}: {cause}".rstrip(": "), "ERROR"))
    return lines


def _document(message: str) -> dict[str, Any]:
    try:
        document = json.loads(message)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
