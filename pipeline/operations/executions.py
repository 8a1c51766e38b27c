"""The executions of Sealift's state machines: their names, which there are, and what each deployed or tried to.

Owns how an execution is named, by the trigger and by a person, and what is told of one in a line. Bounded: `MACHINES`
state machines, `MOST` executions of each. Refuses to start or to stop anything.
"""

from __future__ import annotations

import heapq
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import ClientError

from pipeline import error_codec, naming
from pipeline.aws import paging, service_errors
from pipeline.errors import InvalidInput, Problem, SealiftError
from pipeline.naming import MACHINE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from mypy_boto3_stepfunctions import SFNClient

MACHINES: Final = 10
MOST: Final = 1000
"""Rows of each list."""
LOOKED: Final = 300
"""Executions that are looked into for one answer."""
RECENT: Final = 100
"""Executions among which an upload's is looked for."""

_OURS: Final = re.compile(r"(?P<service>.+)-(?:[0-9a-f]{16}|by-hand-\d{8}-\d{6})")
_NO_SUCH: Final = frozenset({"ExecutionDoesNotExist", "InvalidArn", "StateMachineDoesNotExist"})


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """One execution, in a line."""

    name: str
    arn: str
    stack: str
    status: str
    started: datetime
    ended: datetime | None
    service: str | None
    archive: str | None
    """Bucket and key."""
    version: str | None
    endpoint: str | None
    """None as long as nothing is known of one: before it has ended well."""
    error: str | None
    cause: str | None
    """The first of its lines."""

    @property
    def outcome(self) -> str:
        """The error's name, or the status where there is none."""
        return self.error or self.status.lower().replace("_", " ")

    @property
    def seconds(self) -> float | None:
        """How long it took; None as long as it runs."""
        return (self.ended - self.started).total_seconds() if self.ended else None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **asdict(self),
            "started": self.started.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "outcome": self.outcome,
            "seconds": self.seconds,
        }


class Listed(NamedTuple):
    """What was found, newest first."""

    entries: list[ExecutionSummary]
    complete: bool
    """Whether nothing was left out except as requested."""


def machines(client: SFNClient, stack: str | None) -> list[str]:
    """Return the ARNs of the state machines: of a stack, or of all that are named as Sealift names its own.

    Raises:
        InvalidInput: when the stack has none.
    """
    rows = paging.read(client, "list_state_machines", "stateMachines", most=MOST).rows
    found = [
        str(row["stateMachineArn"])
        for row in rows
        if (row["name"] == f"{stack}{MACHINE_SUFFIX}" if stack else row["name"].endswith(MACHINE_SUFFIX))
    ]
    if stack and not found:
        seen = f"no state machine '{stack}{MACHINE_SUFFIX}'"
        fix = "check --stack, AWS_PROFILE and AWS_REGION (`sealift settings` shows them)"
        raise InvalidInput(f"stack {stack}", [Problem("NoStack", seen, "a stack that is deployed", fix)])
    return found[:MACHINES]


def listed(client: SFNClient, *, stack: str | None, service: str | None, limit: int) -> Listed:
    """Return the newest executions.

    Args:
        client: of Step Functions.
        stack: whose; None for any.
        service: of which; None for any.
        limit: how many at most.
    """
    rows = heapq.merge(
        *(_rows(client, machine) for machine in machines(client, stack)),
        key=lambda row: row["startDate"],
        reverse=True,
    )
    entries: list[ExecutionSummary] = []
    # Most names tell the service, so another one's need not be looked into.
    wanted = (row for row in rows if service is None or named_service(row["name"]) in {None, service})
    for count, row in enumerate(wanted):
        if len(entries) == limit:
            return Listed(entries, complete=True)
        if count == LOOKED:
            return Listed(entries, complete=False)
        entry = describe(client, row["executionArn"])
        if entry is not None and service in {None, entry.service}:
            entries.append(entry)
    return Listed(entries, complete=True)


def running(client: SFNClient, machine: str, *, most: int = MOST) -> Listed:
    """Return the executions of a state machine that run, newest first.

    Args:
        client: of Step Functions.
        machine: the state machine's ARN.
        most: executions that are described.
    """
    rows, complete = paging.read(
        client, "list_executions", "executions", most=most, stateMachineArn=machine, statusFilter="RUNNING"
    )
    found = (describe(client, row["executionArn"]) for row in rows)
    return Listed([one for one in found if one is not None], complete)


def describe(client: SFNClient, arn: str) -> ExecutionSummary | None:
    """Return an execution; None when AWS does not know it (any more)."""
    try:
        return read(client.describe_execution(executionArn=arn))
    except ClientError as error:
        if service_errors.code(error) in _NO_SUCH:
            return None
        raise


def output(client: SFNClient, arn: str) -> Mapping[str, Any]:
    """Return what an execution left that has ended well; empty of any other, and where nobody may look."""
    try:
        found = json.loads(client.describe_execution(executionArn=arn).get("output") or "{}")
    except (ClientError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def find(client: SFNClient, said: str, stack: str | None) -> str:
    """Return the ARN of the execution that a person names: by ARN, by name, or by the service that it is the newest of.

    Raises:
        InvalidInput: when there is none.
    """
    if said.startswith("arn:"):
        if describe(client, said) is not None:
            return said
    else:
        for machine in machines(client, stack):
            if (arn := named(client, machine, said)) is not None:
                return arn
        newest = listed(client, stack=stack, service=said, limit=1).entries
        if newest:
            return newest[0].arn
    seen = f"no execution {said!r}" + (f" of the stack {stack!r}" if stack else "")
    wanted = "the name or ARN of an execution, or a service that was deployed; AWS forgets executions after 90 days"
    fix = "`sealift history` lists them; check --stack, AWS_PROFILE and AWS_REGION"
    if not said.startswith("arn:"):
        fix += slip(client, said, stack)
    raise InvalidInput("execution", [Problem("NoSuchExecution", seen, wanted, fix)])


def slip(client: SFNClient, service: str, stack: str | None) -> str:
    """Return the question whether a service that nothing is known of is a slip of another; empty where none is near.

    Args:
        client: of Step Functions.
        service: as it was said.
        stack: whose executions tell of services, by their names; None for any.
    """
    return naming.slip(service, tried(client, stack))


def tried(client: SFNClient, stack: str | None) -> set[str]:
    """Return the services that the latest executions tell of, by their names; none where they may not be listed.

    Args:
        client: of Step Functions.
        stack: whose executions count; None for any.
    """
    try:
        with service_errors.translated():
            rows = [row for machine in machines(client, stack) for row in _rows(client, machine, paging.PAGE)]
    except SealiftError:
        return set()  # Nothing hangs on it.
    return {name for row in rows if (name := named_service(row["name"]))}


def read(description: Mapping[str, Any]) -> ExecutionSummary:
    """Return what a DescribeExecution response tells."""
    asked, came = _document(description.get("input")), _document(description.get("output"))
    plan = came.get("plan_deployment") or {}
    archive = (came.get("check_archive") or {}).get("archive") or asked.get("archive")
    if not isinstance(archive, dict):
        archive = {}
    place = f"{archive['bucket']}/{archive['key']}" if {"bucket", "key"} <= archive.keys() else None
    cause = error_codec.readable(str(description.get("cause") or "")).splitlines()
    arn = description["executionArn"]
    return ExecutionSummary(
        name=description["name"],
        arn=arn,
        stack=naming.stack_of(arn),
        status=description["status"],
        started=description["startDate"],
        ended=description.get("stopDate"),
        service=plan.get("service") or naming.service_of(asked),
        archive=place,
        version=archive.get("version_id"),
        endpoint=(plan.get("names") or {}).get("endpoint"),
        error=description.get("error"),
        # What happened, and why; what to do is the last of the three lines, and a line has no room for it.
        cause="; ".join(cause[:2]) or None,
    )


def _rows(client: SFNClient, machine: str, most: int = MOST) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of ListExecutions, newest first, as far as the bound; the next page only when it is needed."""
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=machine, PaginationConfig={"MaxItems": most, "PageSize": min(most, paging.PAGE)}
    )
    return (row for page in pages for row in page["executions"])


def _document(text: str | None) -> dict[str, Any]:
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def by_hand_name(service: str, now: datetime) -> str:
    """Return the name of an execution that a person starts: whose it is, and when."""
    return f"{service}-by-hand-{now:%Y%m%d-%H%M%S}"


def named_service(name: str) -> str | None:
    """Return the service that an execution's name tells of; None when its input has to tell."""
    match = _OURS.fullmatch(name)
    return match["service"] if match and match["service"] != "upload" else None


def of_upload(client: SFNClient, machine_arn: str, archive: Mapping[str, str], seen: set[str]) -> str | None:
    """Return the ARN of the execution that an upload's event has started; None while there is none.

    Args:
        client: of Step Functions.
        machine_arn: of the state machine that the event starts.
        archive: bucket, key and version_id, as the trigger puts them into the input.
        seen: executions that were looked at and are others; grows.
    """
    wanted = naming.service_from_key(archive["key"])
    for one in _rows(client, machine_arn, RECENT):
        arn = one["executionArn"]
        if arn in seen:
            continue
        # The trigger names it after the key, so another service's need not be asked.
        if named_service(one["name"]) in {wanted, None}:
            asked = _document(client.describe_execution(executionArn=arn).get("input"))
            if asked.get("archive") == dict(archive):
                return str(arn)
        seen.add(arn)
    return None


def named(client: SFNClient, machine_arn: str, name: str) -> str | None:
    """Return the ARN of the execution of that name; None while there is none."""
    arn = f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
    return arn if describe(client, arn) is not None else None
