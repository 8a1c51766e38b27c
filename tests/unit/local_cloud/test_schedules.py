"""Scheduled rules in the local cloud: whose turn it is, and what their targets are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from local_cloud.workflow import schedules
from local_cloud.workflow.schedules import Schedules
from pipeline.aws.clients import Clients


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(15 minutes)", 900),
        ("rate(1 minute)", 60),
        ("rate(2 hours)", 7200),
        ("rate(1 day)", 86_400),
        ("rate(0 minutes)", None),
        ("cron(0 12 * * ? *)", None),
        ("", None),
    ],
)
def test_a_rate_is_so_many_seconds(expression: str, seconds: float | None) -> None:
    """What is none, or is not known here, has no turns."""
    assert schedules.period(expression) == seconds


class Rules:
    """EventBridge with rules, each with one target; and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rules = [
            {
                "Name": "often",
                "Arn": "arn:often",
                "State": "ENABLED",
                "ScheduleExpression": "rate(15 minutes)",
            },
            {"Name": "off", "Arn": "arn:off", "State": "DISABLED", "ScheduleExpression": "rate(1 minute)"},
            {"Name": "event", "Arn": "arn:event", "State": "ENABLED", "EventPattern": "{}"},
        ]
        self.told: list[tuple[str, dict[str, Any]]] = []
        shape = {"InputPathsMap": {"now": "$.time"}, "InputTemplate": '{"now": <now>, "only": "expired"}'}
        events = SimpleNamespace(
            get_paginator=lambda _name: SimpleNamespace(paginate=lambda: [{"Rules": self.rules}]),
            list_targets_by_rule=lambda Rule: {"Targets": [{"Arn": f"to {Rule}", "InputTransformer": shape}]},  # noqa: N803 boto3's
        )
        self.schedules = Schedules(
            clients=cast("Clients", SimpleNamespace(events=events)),
            invoke=lambda arn, event: self.told.append((arn, event)),
            account_id="123456789012",
            region="us-east-1",
            clock=lambda: self.now,
        )

    def look(self, now: float) -> int:
        """Look at a time; return how many turns there were up to it."""
        self.now = now
        self.schedules.look()
        return len(self.told)


def test_the_first_turn_is_a_period_after_the_rule_was_seen() -> None:
    """And each other one a period after the last; a disabled rule has none."""
    rules = Rules()

    assert [rules.look(now) for now in (0, 899, 900, 960, 1799, 1800)] == [0, 0, 1, 1, 1, 2]
    (arn, event), _ = rules.told
    assert arn == "to often"
    assert event["only"] == "expired"
    assert event["now"].endswith("Z")


def test_a_rule_that_was_switched_off_begins_anew() -> None:
    """As one that was changed does."""
    rules = Rules()
    rules.look(0)
    rules.rules[0]["State"] = "DISABLED"
    rules.look(600)
    rules.rules[0]["State"] = "ENABLED"

    assert [rules.look(now) for now in (900, 1799, 1800)] == [0, 0, 1]
