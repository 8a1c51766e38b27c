"""Which execution an upload has started, and what one that a person starts is called.

Owns the executions' names that people read. An upload's execution is named by the trigger from what only S3 knows
(`pipeline.naming`), so its uploader finds it by its input: the version of the archive that was uploaded.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from pipeline import naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

_OURS: Final = re.compile(r"(?P<service>.+)-(?:[0-9a-f]{16}|by-hand-\d{8}-\d{6})")
RECENT: Final = 100


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


def named(client: SFNClient, machine_arn: str, name: str) -> str | None:
    """Return the ARN of the execution of that name; None while there is none."""
    arn = f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
    try:
        client.describe_execution(executionArn=arn)
    except client.exceptions.ExecutionDoesNotExist:
        return None
    return arn


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
