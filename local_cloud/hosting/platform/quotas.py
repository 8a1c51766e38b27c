"""The account's quotas for endpoints, and the arithmetic of exceeding one.

Owns numbers and comparison; who holds how much is counted by `fleet`. Not settled by any source, so decided
here: an endpoint that Failed holds its place among the endpoints but no concurrency, and an update counts the
larger of the old and the new concurrency while it lasts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.refusals import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping


_HAS_GPUS: Final = re.compile(r"ml\.[gp]\d")
"""By the families' names, so that it holds for types that nobody here knows."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What an ordinary account may have in one region; new accounts report these applied values."""

    memory_mb: int = 3072
    """'Memory size in MB per serverless endpoint'."""
    total_concurrency: int = 10
    """Across all serverless endpoints (quota L-96300102)."""
    endpoints: int = 5
    """Serverless endpoints."""
    instances: Mapping[str, int] = field(default_factory=dict)
    """'ml.m5.large for endpoint usage' and so on, by type."""
    instances_of_a_type: int = 4
    """Of a type that is not in `instances`. OURS: what accounts are given differs from type to type."""
    gpu_instances_of_a_type: int = 0
    """Of such a type with GPUs: what new accounts are told when they ask for one."""


@dataclass(frozen=True, slots=True)
class QuotaDemand:
    """What a request would add to what the account already uses."""

    memory_mb: int
    used_concurrency: int
    concurrency_delta: int
    used_endpoints: int
    endpoints_delta: int


def check_instances(quotas: Quotas, of_type: str, used: int, delta: int) -> None:
    """Raise ResourceLimitExceeded when so many more instances of a type are too many."""
    usual = quotas.gpu_instances_of_a_type if _HAS_GPUS.match(of_type) else quotas.instances_of_a_type
    limit = quotas.instances.get(of_type, usual)
    if delta > 0 and used + delta > limit:
        quota = f"{of_type} for endpoint usage"
        raise AwsError("ResourceLimitExceeded", texts.quota_exceeded(quota, "Instances", limit, used, delta))


def check(quotas: Quotas, demand: QuotaDemand) -> None:
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
