"""The account's quotas for serverless endpoints, and the arithmetic of exceeding one.

Owns numbers and comparison; who holds how much is counted by `fleet`. Not settled by any source, so decided
here: an endpoint that Failed holds its place among the endpoints but no concurrency, and an update counts the
larger of the old and the new concurrency while it lasts.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import texts
from .refusals import AwsError


@dataclass(frozen=True, slots=True)
class Quotas:
    """What an ordinary account may have in one region; new accounts report these applied values."""

    memory_mb: int = 3072
    """'Memory size in MB per serverless endpoint'."""
    total_concurrency: int = 10
    """Across all serverless endpoints (quota L-96300102)."""
    endpoints: int = 5
    """Serverless endpoints."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request would add to what the account already uses."""

    memory_mb: int
    used_concurrency: int
    concurrency_delta: int
    used_endpoints: int
    endpoints_delta: int


def check(quotas: Quotas, demand: Demand) -> None:
    """Raise ResourceLimitExceeded for the first quota that `demand` exceeds."""
    # A quota per endpoint has nothing in use yet: the real message says "utilization of 0 MBs".
    rows = (
        ("Memory size in MB per serverless endpoint", "MBs", quotas.memory_mb, 0, demand.memory_mb),
        (
            "Maximum total concurrency that can be allocated across all serverless endpoints",
            "Units",
            quotas.total_concurrency,
            demand.used_concurrency,
            demand.concurrency_delta,
        ),
        (
            "Maximum number of serverless endpoints",
            "Units",
            quotas.endpoints,
            demand.used_endpoints,
            demand.endpoints_delta,
        ),
    )
    for quota, unit, limit, used, delta in rows:
        if delta > 0 and used + delta > limit:
            raise AwsError("ResourceLimitExceeded", texts.quota_exceeded(quota, unit, limit, used, delta))
