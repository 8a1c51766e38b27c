"""Events on their way to EventBridge's targets: what an upload and an execution's end look like, and who gets them.

moto's own events of S3 lack `etag` and a sequencer that varies, and reach no Lambda of ours; of executions it sends
none. The shapes are AWS's: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html (keys are not
URL-encoded here, unlike in S3's own notifications) and
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html.
"""

from __future__ import annotations

import fnmatch
import json
import re
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.aws.clients import Clients

REASONS = {
    "PutObject": "PutObject",
    "PostObject": "POST Object",
    "CopyObject": "CopyObject",
    "CompleteMultipartUpload": "CompleteMultipartUpload",
}
"""The operations that create an object, with the reason that the event gives."""


class UnknownPattern(ValueError):
    """A rule uses an event pattern that this emulation does not know; better refused than wrongly matched."""


def matches(pattern: Any, event: Any) -> bool:
    """Return whether an event matches an EventBridge pattern: exact values, prefix, suffix, wildcard.

    Raises:
        UnknownPattern: for any other kind of matcher.
    """
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            matches(inner, event.get(name)) for name, inner in pattern.items()
        )
    return any(_matches_one(wanted, event) for wanted in pattern)


def _matches_one(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted == value)
    if len(wanted) != 1:
        raise UnknownPattern(f"{wanted!r} has {len(wanted)} matchers; wanted one")
    ((kind, text),) = wanted.items()
    if kind == "prefix":
        return isinstance(value, str) and value.startswith(text)
    if kind == "suffix":
        return isinstance(value, str) and value.endswith(text)
    if kind == "wildcard":
        literal = text.replace("[", "[[]").replace("?", "[?]")
        return isinstance(value, str) and fnmatch.fnmatchcase(value, literal)
    raise UnknownPattern(f"matcher {kind!r}; wanted prefix, suffix or wildcard")


def target_input(target: Mapping[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """Return what a target gets of an event: the event itself, or what its InputTransformer makes of it."""
    shape = target.get("InputTransformer")
    if shape is None:
        return event
    values = {name: json.dumps(_at(event, path)) for name, path in shape.get("InputPathsMap", {}).items()}
    text = re.sub(r"<(\w+)>", lambda match: values[match[1]], shape["InputTemplate"])
    document: dict[str, Any] = json.loads(text)
    return document


def _at(event: Any, path: str) -> Any:
    for name in path.removeprefix("$").strip(".").split("."):
        event = event[name]
    return event


class EventBus:
    """Hands events to the Lambda targets of the rules that match them, without keeping whoever sends them waiting.

    Args:
        clients: of the local cloud.
        invoke: runs a function, by ARN, with an event.
    """

    def __init__(self, *, clients: Clients, invoke: Callable[[str, dict[str, Any]], None]) -> None:
        self._clients = clients
        self._invoke = invoke
        self._under_way: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._open = True

    def send(self, event: dict[str, Any]) -> None:
        """Deliver an event in a thread of its own; nothing once the bus is closed."""
        with self._lock:
            if not self._open:
                return
            self._under_way = {thread for thread in self._under_way if thread.is_alive()}
            thread = threading.Thread(target=self.deliver, args=(event,), daemon=True)
            # Under the lock: `close` waits only for threads that were started.
            thread.start()
            self._under_way.add(thread)

    def deliver(self, event: dict[str, Any]) -> None:
        """Hand an event to the Lambda targets of every enabled rule that matches it."""
        pages = self._clients.events.get_paginator("list_rules").paginate()
        for rule in (one for page in pages for one in page["Rules"]):
            if rule.get("State") != "ENABLED" or not rule.get("EventPattern"):
                continue
            if matches(json.loads(rule["EventPattern"]), event):
                for target in self._clients.events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                    self._invoke(target["Arn"], target_input(target, event))

    def close(self, patience_s: float = 10.0) -> None:
        """Take no event any more, and wait a while for those that are under way."""
        with self._lock:
            self._open = False
            waiting = tuple(self._under_way)
        deadline = time.monotonic() + patience_s
        for thread in waiting:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))


def envelope(
    source: str, kind: str, detail: dict[str, Any], *, account_id: str, region: str, about: str
) -> dict[str, Any]:
    """Return an event as EventBridge passes it on.

    Args:
        source: the service, for instance `aws.s3`.
        kind: the detail-type.
        detail: what the service tells.
        account_id: of the event.
        region: of the event.
        about: the ARN of what it is about.
    """
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": source,
        "account": account_id,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [about],
        "detail": detail,
    }


def execution_ended(description: Mapping[str, Any], *, account_id: str, region: str) -> dict[str, Any]:
    """Return the event of an execution that has ended.

    Args:
        description: what DescribeExecution says of it.
        account_id: of the execution.
        region: of the execution.
    """
    copied = ("executionArn", "stateMachineArn", "name", "status", "input", "output", "error", "cause")
    detail: dict[str, Any] = {name: description.get(name) for name in copied}
    for name in ("startDate", "stopDate"):
        moment = description.get(name)
        detail[name] = int(moment.timestamp() * 1000) if moment is not None else None
    return envelope(
        "aws.states",
        "Step Functions Execution Status Change",
        detail,
        account_id=account_id,
        region=region,
        about=str(description["executionArn"]),
    )


class S3Events:
    """Turns created objects into events.

    Args:
        clients: of the local cloud.
        bus: takes the events.
        account_id: the account of the events.
        region: the region of the events.
    """

    def __init__(self, *, clients: Clients, bus: EventBus, account_id: str, region: str) -> None:
        self._clients = clients
        self._bus = bus
        self._account_id = account_id
        self._region = region
        self._buckets: set[str] = set()

    def enable(self, bucket: str) -> None:
        """Send the events of a bucket from now on (EventBridgeConfiguration)."""
        self._buckets.add(bucket)

    def created(self, operation: str, bucket: str, key: str) -> None:
        """Send the event of an object that was just created."""
        if bucket in self._buckets and operation in REASONS:
            event = self.event(operation, bucket, key)
            if event is not None:
                self._bus.send(event)

    def event(self, operation: str, bucket: str, key: str) -> dict[str, Any] | None:
        """Return the event of an object, or None when it is gone again."""
        try:
            head = self._clients.s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            return None
        item = {
            "key": key,
            "size": head["ContentLength"],
            "etag": head["ETag"].strip('"'),
            "sequencer": f"{time.time_ns():018X}",
        }
        if head.get("VersionId"):
            item["version-id"] = head["VersionId"]
        detail = {
            "version": "0",
            "bucket": {"name": bucket},
            "object": item,
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": self._account_id,
            "source-ip-address": "127.0.0.1",
            "reason": REASONS[operation],
        }
        return envelope(
            "aws.s3",
            "Object Created",
            detail,
            account_id=self._account_id,
            region=self._region,
            about=f"arn:aws:s3:::{bucket}",
        )
