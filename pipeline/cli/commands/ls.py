"""`sealift ls`: one line for each service: its endpoint, how it stands, what it costs, since when.

What `sealift status` tells in full, at a glance. Refuses to change anything, and to tell details.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.commands import status as full
from pipeline.cli.screen import Screen
from pipeline.operations import price_list, service_status
from pipeline.operations.service_status import Role
from pipeline.sizing import running_cost
from pipeline.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.cli.options import LsOptions
    from pipeline.operations.service_status import DeploymentStatus, Service

HEAD = ("SERVICE", "ENDPOINT", "STATUS", "SIZE", "COSTS", "SINCE")


def ls(arguments: LsOptions) -> int:
    """List the services."""
    screen = Screen.of(arguments)
    clients = Clients(region=settings.region())
    screen.hint("looking ...")
    with service_errors.translated():
        prices = price_list.known(settings.cache(), settings.region())
        found = service_status.overview(clients, stack=arguments.stack, prices=prices)
    services, now = found.services, datetime.now(UTC)
    if arguments.json:
        rows = [dict(zip((one.lower() for one in HEAD), row(one, now), strict=True)) for one in services]
        shown = {
            "services": rows,
            "usd_per_hour": service_status.cost(services).usd_per_hour,
            "unseen": list(found.unseen),
        }
        print(json.dumps(shown, indent=2))
        return 0
    if services:
        for line in table([HEAD, *(row(one, now) for one in services)]):
            screen.say(line)
        screen.say(f"costs now  {service_status.cost(services).now}")
    else:
        screen.say(full.nothing(None, arguments.stack))
    for why in found.unseen:
        screen.say(f"unseen     {why}")
    return 0


def row(service: Service, now: datetime) -> tuple[str, ...]:
    """Return what one line tells of a service."""
    serving = next((one for one in service.deployments if one.role is Role.SERVES), None)
    if serving is None and service.paused:
        first = service.paused[0]
        age = span((now - datetime.fromisoformat(first.since)).total_seconds())
        size = first.cost.how.partition(" at ")[0] if first.cost else "-"
        doing = "paused, being deployed" if service.running else "paused"
        return (service.name, first.endpoint, doing, size, running_cost.words(0.0), age)
    if serving is None:
        doing = "being deployed" if service.running else "nothing serves"
        return (service.name, "-", doing, "-", "-", "-")
    endpoint = serving.endpoint
    well = service.well and not service.astray
    status = endpoint.status if well else f"{endpoint.status}, see status"
    if service.running:
        status += ", being deployed"
    if serving.release and serving.release.expires_at:
        status += f", goes at {serving.release.expires_at[:16]}Z"
    age = span((now - datetime.fromisoformat(serving.since)).total_seconds())
    return (service.name, endpoint.name, status, *_size(serving), age)


def _size(serving: DeploymentStatus) -> tuple[str, str]:
    """Return the size of an endpoint, and what it costs while nobody calls it."""
    endpoint = serving.endpoint
    costs = running_cost.words(endpoint.cost.usd_per_hour if endpoint.cost else None)
    if endpoint.memory_mb:
        return f"{endpoint.memory_mb} MB x {endpoint.max_concurrency}", costs
    return (endpoint.cost.how.partition(" at ")[0] if endpoint.cost else "instances"), costs


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines, each column as wide as its widest text."""
    kept = [tuple(one) for one in rows]
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    return [
        "  ".join(f"{text:{width}}" for text, width in zip(one, widths, strict=True)).rstrip() for one in kept
    ]
