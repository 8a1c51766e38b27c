"""Where the events go that a function failed on each time it was tried: the queue of its OnFailure destination.

moto's Lambda sends nothing. The record's shape is AWS's:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html. All go to queues here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from moto.sqs.models import sqs_backends


def record(arn: str, event: dict[str, Any], answer: Any, attempts: int) -> dict[str, Any]:
    """Return what a destination is sent for an event that was given up."""
    return {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "functionArn": f"{arn}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": answer,
    }


def send(account_id: str, region: str, queue: str, document: dict[str, Any]) -> None:
    """Put a record into a queue."""
    sqs_backends[account_id][region].send_message(queue, json.dumps(document))
