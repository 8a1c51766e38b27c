"""EventBridge in the local cloud: what a target is told, and that nothing under way is lost."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from local_cloud.workflow import events
from local_cloud.workflow.events import EventBus
from pipeline.aws.clients import Clients

ARN = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0"
ENDED = events.execution_ended(
    {
        "executionArn": ARN,
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:sealift-deployment",
        "name": "harbour-0",
        "status": "ABORTED",
        "startDate": datetime(2026, 1, 2, tzinfo=UTC),
    },
    account_id="123456789012",
    region="us-east-1",
)
PATTERN = {"source": ["aws.states"], "detail": {"status": ["FAILED", "ABORTED"]}}


def bus(invoke: Any, target: dict[str, Any]) -> EventBus:
    """Return a bus with one rule, which is on the second page of all rules, and one target."""
    rules = [{"Name": "ended", "State": "ENABLED", "EventPattern": json.dumps(PATTERN)}]
    paginators = {"list_rules": SimpleNamespace(paginate=lambda: [{"Rules": []}, {"Rules": rules}])}
    fake = SimpleNamespace(
        get_paginator=paginators.__getitem__,
        list_targets_by_rule=lambda Rule: {"Targets": [{"Arn": "function", **target}]},  # noqa: N803 boto3's
    )
    return EventBus(clients=cast("Clients", SimpleNamespace(events=fake)), invoke=invoke)


def test_the_event_of_an_end_is_awss() -> None:
    """Source and kind as AWS writes them, times in milliseconds; what is not known is null."""
    assert (ENDED["source"], ENDED["detail-type"]) == ("aws.states", "Step Functions Execution Status Change")
    assert ENDED["resources"] == [ARN]
    assert ENDED["detail"]["startDate"] == 1767312000000
    assert ENDED["detail"]["stopDate"] is None


def test_a_target_is_told_what_its_transformer_makes_of_an_event() -> None:
    """Paths are looked up, their values put in as JSON."""
    shape = {"InputPathsMap": {"arn": "$.detail.executionArn"}, "InputTemplate": '{"a": <arn>, "b": "c"}'}

    assert events.target_input({"InputTransformer": shape}, ENDED) == {"a": ARN, "b": "c"}
    assert events.target_input({}, ENDED) == ENDED


def test_a_closed_bus_has_delivered_what_it_took_and_takes_no_more() -> None:
    """The cloud goes down only after what was under way has come to its end."""
    begun, go_on = threading.Event(), threading.Event()
    got: list[str] = []

    def invoke(_arn: str, event: dict[str, Any]) -> None:
        begun.set()
        go_on.wait(5)
        got.append(event["detail"]["name"])

    one = bus(invoke, {})
    one.send(ENDED)
    assert begun.wait(5)
    threading.Timer(0.05, go_on.set).start()
    one.close()
    one.send(ENDED)

    assert got == ["harbour-0"]


def test_what_no_rule_matches_goes_nowhere() -> None:
    """An execution that has begun is no end."""
    got: list[str] = []
    running = {**ENDED, "detail": {**ENDED["detail"], "status": "RUNNING"}}
    bus(lambda arn, _event: got.append(arn), {}).deliver(running)

    assert got == []
