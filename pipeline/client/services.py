"""Every service that serves now, by its name: what a client may choose from.

Reads what `sealift ls` reads, without costs and alarms. Refuses to ask any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.aws import service_errors
from pipeline.client import service_endpoint
from pipeline.operations import account_scan, service_status
from pipeline.rollout import releases

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


@dataclass(frozen=True, slots=True)
class ServingService:
    """A service, and the endpoint that serves it."""

    name: str
    endpoint: str
    since: int
    """When the deployment turned out good, else when it was made; seconds since 1970."""


def serving(clients: Clients, stack: str | None) -> tuple[ServingService, ...]:
    """Return the services that serve, by name.

    Args:
        clients: of the account.
        stack: whose deployments count; None for any.

    Raises:
        AccessDenied: nothing may be seen.
    """
    account = account_scan.scan(clients, replace(service_status.SCOPE, stack=stack))
    if account.unseen and not account.releases:
        raise service_errors.access_denied("ListEndpoints", next(iter(account.unseen.values())))
    found = []
    for name, there in sorted(account.releases.items()):
        called = {service_endpoint.called_by(clients, one) for one in service_status.callers(there)}
        now = releases.choose(there, {one for one in called if one})
        if now is not None and now.endpoint and now.status in service_endpoint.SERVING:
            since = datetime.fromisoformat(now.deployed_at or now.created)
            found.append(ServingService(name, now.endpoint, int(since.timestamp())))
    return tuple(found)
