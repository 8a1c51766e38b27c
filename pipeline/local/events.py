"""S3 events on their way to EventBridge's targets: what `Object Created` looks like, and who gets it.

moto's own events lack `etag` and a sequencer that varies, and reach no Lambda of ours. The shape is AWS's:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html. Keys are not URL-encoded here, unlike in
S3's own notifications.
"""

from __future__ import annotations

import fnmatch
import json
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws import Clients

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


class S3Events:
    """Turns created objects into events and delivers them.

    Args:
        clients: of the local cloud.
        invoke: runs a function, by ARN, with an event.
        account_id: the account of the events.
        region: the region of the events.
    """

    def __init__(
        self, *, clients: Clients, invoke: Callable[[str, dict[str, Any]], None], account_id: str, region: str
    ) -> None:
        self._clients = clients
        self._invoke = invoke
        self._account_id = account_id
        self._region = region
        self._buckets: set[str] = set()

    def enable(self, bucket: str) -> None:
        """Send the events of a bucket from now on (EventBridgeConfiguration)."""
        self._buckets.add(bucket)

    def created(self, operation: str, bucket: str, key: str) -> None:
        """Deliver the event of an object that was just created, without keeping the caller waiting."""
        if bucket in self._buckets and operation in REASONS:
            event = self.event(operation, bucket, key)
            if event is not None:
                threading.Thread(target=self.deliver, args=(event,), daemon=True).start()

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
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": self._account_id,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self._region,
            "resources": [f"arn:aws:s3:::{bucket}"],
            "detail": {
                "version": "0",
                "bucket": {"name": bucket},
                "object": item,
                "request-id": uuid.uuid4().hex[:16].upper(),
                "requester": self._account_id,
                "source-ip-address": "127.0.0.1",
                "reason": REASONS[operation],
            },
        }

    def deliver(self, event: dict[str, Any]) -> None:
        """Hand an event to the Lambda targets of every enabled rule that matches it."""
        for rule in self._clients.events.list_rules()["Rules"]:
            if rule.get("State") != "ENABLED" or not rule.get("EventPattern"):
                continue
            if matches(json.loads(rule["EventPattern"]), event):
                for target in self._clients.events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                    self._invoke(target["Arn"], event)
