"""Which execution is meant: by its ARN or its name, by the upload that started it, or as the newest of a service.

Owns the executions' names that people give and read. An upload's execution is named by the trigger from what only S3
knows (`pipeline.naming`), so its uploader finds it by its input: the version of the archive that was uploaded.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import aws, naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

_OURS: Final = re.compile(r"(?P<service>.+)-(?:[0-9a-f]{16}|by-hand-\d{8}-\d{6})")
MOST_ASKED: Final = 25
"""Executions whose names tell nothing, and which are asked for their input."""
MOST_LISTED: Final = 1000
RECENT: Final = 100


def by_hand_name(service: str, now: datetime) -> str:
    """Return the name of an execution that a person starts: whose it is, and when."""
    return f"{service}-by-hand-{now:%Y%m%d-%H%M%S}"


def arn_of(machine_arn: str, name: str) -> str:
    """Return the ARN of a state machine's execution."""
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


def named_service(name: str) -> str | None:
    """Return the service that an execution's name tells of; None when its input has to tell."""
    match = _OURS.fullmatch(name)
    return match["service"] if match and match["service"] != "upload" else None


def input_service(document: Any) -> str | None:
    """Return the service that an execution's input is about; None when it names none."""
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("service"), str):
        return str(document["service"])
    key = (document.get("archive") or {}).get("key")
    return naming.service_from_key(key) if isinstance(key, str) else None


def exists(client: SFNClient, arn: str) -> bool:
    """Tell whether there is such an execution."""
    try:
        client.describe_execution(executionArn=arn)
    except ClientError as error:
        if aws.code(error) in {"ExecutionDoesNotExist", "InvalidArn", "ValidationException"}:
            return False
        raise
    return True


def newest(client: SFNClient, machine_arn: str, service: str) -> str | None:
    """Return the ARN of a service's newest execution; None when none is known."""
    asked = 0
    for one in _listed(client, machine_arn, MOST_LISTED):
        named = named_service(one["name"])
        if named is None and asked < MOST_ASKED:
            asked += 1
            named = input_service(_input(client, one["executionArn"]))
        if named == service:
            return one["executionArn"]
    return None


def of_upload(client: SFNClient, machine_arn: str, archive: Mapping[str, str], seen: set[str]) -> str | None:
    """Return the ARN of the execution that an upload's event has started; None while there is none.

    Args:
        client: of Step Functions.
        machine_arn: of the state machine that the event starts.
        archive: bucket, key and version_id, as the trigger puts them into the input.
        seen: executions that were looked at and are others; grows.
    """
    wanted = naming.service_from_key(archive["key"])
    for one in _listed(client, machine_arn, RECENT):
        arn = one["executionArn"]
        if arn in seen:
            continue
        # The trigger names it after the key, so another service's need not be asked.
        if named_service(one["name"]) in {wanted, None}:
            document = _input(client, arn)
            if isinstance(document, dict) and document.get("archive") == dict(archive):
                return arn
        seen.add(arn)
    return None


def _listed(client: SFNClient, machine_arn: str, most: int) -> Iterable[ExecutionListItemTypeDef]:
    """Return the newest executions, newest first, as ListExecutions orders them."""
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=machine_arn, PaginationConfig={"MaxItems": most, "PageSize": min(most, 1000)}
    )
    return (one for page in pages for one in page["executions"])


def _input(client: SFNClient, arn: str) -> Any:
    try:
        return json.loads(client.describe_execution(executionArn=arn).get("input") or "null")
    except ValueError:
        return None
