"""What AWS said when an account's quota refused a call: which quota, its limit, what is in use and what was requested.

Owns the facts. Refuses to read AWS's prose (`pipeline.aws.quota_errors` does) and to decide what follows
(`pipeline.planning.quotas` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Quota(StrEnum):
    """Which quota a refusal speaks of."""

    MEMORY = "memory"
    CONCURRENCY = "concurrency"
    ENDPOINTS = "endpoints"
    INSTANCES = "instances"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class QuotaRefusal:
    """A ResourceLimitExceeded, read."""

    text: str
    quota: Quota = Quota.UNKNOWN
    name: str = ""
    """The quota's name in AWS's words; empty when the text has none."""
    limit: int = 0
    used: int = 0
    delta: int = 0

    @property
    def never_fits(self) -> bool:
        """Whether waiting cannot help: what was requested alone exceeds the limit."""
        return bool(self.name) and self.delta > self.limit

    def __str__(self) -> str:
        if not self.name:
            return self.text
        return f"'{self.name}' is {self.limit}: {self.used} in use, {self.delta} more asked for"
