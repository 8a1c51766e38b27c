"""Rules with a ScheduleExpression: their targets are invoked at each turn, as EventBridge does and moto does not.

`rate(...)` alone is known; the first turn is one period after the rule was first seen, and what the local cloud is told
about waits (`time_scale`) does not hold here: whoever says fifteen minutes means them. Source:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

from local_cloud.workflow.events import envelope, target_input

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from pipeline.aws.clients import Clients

LOOK_S: Final = 60.0
"""Between two looks at the rules: no rate is shorter than a minute."""
_RATE: Final = re.compile(r"rate\((?P<count>[1-9][0-9]*) (?P<unit>minute|hour|day)s?\)")
_UNITS: Final = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}


def period(expression: str) -> float | None:
    """Return the seconds between two turns; None for an expression that is none, or none that is known here."""
    found = _RATE.fullmatch(expression)
    return int(found["count"]) * _UNITS[found["unit"]] if found else None


class Schedules:
    """Invokes the targets of scheduled rules.

    Args:
        clients: of the local cloud.
        invoke: runs a function, by ARN, with an event.
        account_id: the account of the events.
        region: the region of the events.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        *,
        clients: Clients,
        invoke: Callable[[str, dict[str, Any]], None],
        account_id: str,
        region: str,
        clock: Callable[[], float],
    ) -> None:
        self._clients = clients
        self._invoke = invoke
        self._where = (account_id, region)
        self._clock = clock
        self._last: dict[tuple[str, str], float] = {}
        """When a rule's last turn was, by its ARN and its expression; at first, when it was seen."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Look at the rules from now on."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; an invocation that is under way ends by itself."""
        self._ended.set()

    def look(self) -> None:
        """Invoke the targets of every enabled rule whose turn has come."""
        now = self._clock()
        pages = self._clients.events.get_paginator("list_rules").paginate()
        rules = [one for page in pages for one in page["Rules"] if one.get("State") == "ENABLED"]
        seen = {}
        for rule in rules:
            expression = rule.get("ScheduleExpression", "")
            every = period(expression)
            if every is None:
                continue
            key = (rule["Arn"], expression)
            last = seen[key] = self._last.get(key, now)
            if now - last >= every:
                seen[key] = now
                self._turn(rule)
        # A rule that is gone, or was switched off, begins anew.
        self._last = seen

    def _turn(self, rule: Mapping[str, Any]) -> None:
        account_id, region = self._where
        event = envelope(
            "aws.events", "Scheduled Event", {}, account_id=account_id, region=region, about=rule["Arn"]
        )
        for target in self._clients.events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            self._invoke(target["Arn"], target_input(target, event))

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.look()
