"""A ResourceLimitExceeded, read: which quota, its limit, what is in use and what was requested.

Owns how AWS words it. Refuses to decide what follows: that is `planning.quotas`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Quota(StrEnum):
    """Which quota a refusal speaks of."""

    MEMORY = "memory"
    CONCURRENCY = "concurrency"
    ENDPOINTS = "endpoints"
    INSTANCES = "instances"
    UNKNOWN = "unknown"


_KINDS: Final = (
    (Quota.MEMORY, re.compile("memory size", re.IGNORECASE)),
    (Quota.CONCURRENCY, re.compile("concurrency", re.IGNORECASE)),
    # 'ml.m5.large for endpoint usage': each type has a quota of its own.
    (Quota.INSTANCES, re.compile("for endpoint usage|number of instances", re.IGNORECASE)),
    (Quota.ENDPOINTS, re.compile("number of .*endpoints", re.IGNORECASE)),
)

_FIGURES: Final = re.compile(
    r"limit '(?P<quota>[^']+)' is (?P<limit>[\d.]+)[^,]*, "
    r"with current utilization of (?P<used>[\d.]+).*? and a request delta of (?P<delta>\d+(?:\.\d+)?)"
)


ROOM: Final = "room in the quota"
"""What a refusal by a quota that others hold wanted; what follows on it are the ways out."""


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


def read_refusal(text: str) -> QuotaRefusal:
    """Return what AWS's message says; one without figures is a quota that is used up, as far as anybody knows."""
    found = _FIGURES.search(text)
    if found is None:
        return QuotaRefusal(text)
    name = found["quota"]
    kind = next((kind for kind, pattern in _KINDS if pattern.search(name)), Quota.UNKNOWN)
    limit, used, delta = (int(float(found[group].rstrip("."))) for group in ("limit", "used", "delta"))
    return QuotaRefusal(text, kind, name, limit, used, delta)
