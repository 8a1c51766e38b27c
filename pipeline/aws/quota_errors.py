"""How AWS words a ResourceLimitExceeded.

`service_errors.quota_refusal` calls it, once for each refusal: whoever comes later reads the fields of the error.
Refuses to decide what follows: that is `planning.quotas`.
"""

from __future__ import annotations

import re
from typing import Final

from pipeline.quota_refusal import Quota, QuotaRefusal

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


def read_refusal(text: str) -> QuotaRefusal:
    """Return what AWS's message says; one without figures is a quota that is used up, as far as anybody knows."""
    found = _FIGURES.search(text)
    if found is None:
        return QuotaRefusal(text)
    name = found["quota"]
    kind = next((kind for kind, pattern in _KINDS if pattern.search(name)), Quota.UNKNOWN)
    limit, used, delta = (int(float(found[group].rstrip("."))) for group in ("limit", "used", "delta"))
    return QuotaRefusal(text, kind, name, limit, used, delta)
