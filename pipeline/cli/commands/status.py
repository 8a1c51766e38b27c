"""`sealift status`: every service of the account as it stands, by what AWS has of it.

Lists only what Sealift's tags are on, and says what it was not allowed to see. Refuses to change anything; ends with 1
when something that serves is not in service, or one of its alarms is in ALARM.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.screen import Screen
from pipeline.client import service_endpoint, ways_in
from pipeline.errors import SealiftError
from pipeline.limits import MiB
from pipeline.operations import executions, price_list, service_status
from pipeline.operations.service_status import Role
from pipeline.planning import alarms, scale_to_zero
from pipeline.rollout import answer_speed, own_image
from pipeline.rollout.answer_speed import SpeedComparison
from pipeline.sizing import images, running_cost
from pipeline.stack import budget, change_sets
from pipeline.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.cli.options import StatusOptions
    from pipeline.client.service_endpoint import Output
    from pipeline.client.ways_in import WaysIn
    from pipeline.operations.service_status import (
        AlarmState,
        DeploymentStatus,
        PausedDeployment,
        Service,
    )
    from pipeline.planning.container_choice import OwnImage

FULL = frozenset({Role.SERVES, Role.TRIED})
"""Those that are told of in full; of the others a line says that they are there."""


def status(arguments: StatusOptions) -> int:
    """Show the services; return 1 when one is unhealthy."""
    screen = Screen.of(arguments)
    clients = Clients(region=settings.region())
    screen.hint("looking ...")
    with service_errors.translated():
        prices = price_list.known(settings.cache(), settings.region())
        found = service_status.overview(clients, stack=arguments.stack, service=arguments.only, prices=prices)
    # Both ask for the same execution, and it has a whole plan in it.
    output = cache(lambda arn: executions.output(clients.stepfunctions, arn))
    ways = _ways_in(clients, arguments.only, arguments.stack, output) if arguments.only and found else None
    speeds = _speeds(found, output) if arguments.only else {}
    stack = None if arguments.stack is None or arguments.only else _stack(clients, arguments.stack)
    image = _image(clients, stack) if stack else None
    limit = budget.read(clients.budgets, stack) if stack else None
    services, now = found.services, datetime.now(UTC)
    if arguments.json:
        shown: dict[str, Any] = {
            "services": [document(one, now, speeds) for one in services],
            "usd_per_hour": service_status.cost(services).usd_per_hour,
            "budget": limit and limit.to_json(),
            "image": image and {"tag": image.tag, "digest": image.digest, "repository": image.repository},
            "unseen": list(found.unseen),
        }
        if arguments.only:
            shown["ways_in"] = ways and asdict(ways)
        print(json.dumps(shown, indent=2))
    else:
        for line in lines(services, now, speeds):
            screen.say(line)
        for line in _told(ways) if ways else ():
            screen.say(line)
        if not services:
            near = (
                executions.slip(clients.stepfunctions, arguments.only, arguments.stack)
                if arguments.only
                else ""
            )
            screen.say(nothing(arguments.only, arguments.stack) + near)
        if limit is not None:
            screen.say(f"budget     {limit}")
        if image is not None:
            there = "is in the stack's repository" if image.digest else f"is not there: `{images.PUSH}`"
            screen.say(f"image      {image.tag} {there}")
        for why in found.unseen:
            screen.say(f"unseen     {why}")
    return 0 if found.well else 1


def _stack(clients: Clients, name: str) -> Mapping[str, Any] | None:
    """Return a stack as DescribeStacks has it; None where there is none, or nobody may look."""
    try:
        with service_errors.translated():
            return change_sets.ask(clients.cloudformation, name)
    except SealiftError:
        return None  # No service depends on it.


def _image(clients: Clients, stack: Mapping[str, Any]) -> OwnImage | None:
    """Return Sealift's own image of this version in a stack's repository; None where nobody can tell."""
    try:
        with service_errors.translated():
            repository = change_sets.outputs_of(stack).get("ImageRepository", "")
            return own_image.find(clients.ecr, own_image.wanted(repository)) if repository else None
    except SealiftError:
        return None  # No service depends on it.


def _ways_in(clients: Clients, service: str, stack: str | None, output: Output) -> WaysIn | None:
    """Return how a service is asked; None where nothing of it serves, or nobody may look."""
    try:
        with service_errors.translated():
            endpoint = service_endpoint.find(clients, service, stack, output=output)
    except SealiftError:
        return None  # What is wrong stands above.
    meta = clients.sagemaker_runtime.meta
    return ways_in.of(
        service,
        endpoint.name,
        endpoint.form,
        region=meta.region_name,
        runtime=meta.endpoint_url,
        streams=endpoint.streams,
        stack=stack,
        component=endpoint.component,
    )


def _speeds(found: Iterable[Service], output: Output) -> dict[str, SpeedComparison]:
    """Return how fast the smoke tests of those that are told of in full were answered, by endpoint."""
    speeds = {}
    for one in (each for service in found for each in service.deployments if each.role in FULL):
        left = output(one.release.execution if one.release else one.endpoint.execution)
        if speed := answer_speed.read(left.get("smoke_test")):
            speeds[one.endpoint.name] = SpeedComparison(speed, answer_speed.computed(left))
    return speeds


def _told(ways: WaysIn) -> Iterator[str]:
    if ways.ask:
        yield f"  {'ask it':<11}{ways.ask}"
    yield f"  {'code':<11}{ways.connect}"
    yield f"  {'base_url' if ways.url.endswith('/v1') else 'URL':<11}{ways.url}"


def nothing(service: str | None, stack: str | None) -> str:
    """Return what is said where there is no service to show."""
    whose = f" of the stack {stack!r}" if stack else " in this account and region"
    if service:
        return f"nothing of the service {service!r}{whose}; `sealift history` lists what was tried"
    return f"nothing is deployed{whose}; upload an archive as models/<service>/model.tar.gz"


def lines(
    services: Sequence[Service], now: datetime, speeds: Mapping[str, SpeedComparison] = MappingProxyType({})
) -> Iterator[str]:
    """Yield what a person reads; `speeds` is by endpoint."""
    for service in services:
        yield service.name
        for one in service.deployments:
            yield from _deployment(one, now)
            if tested := speeds.get(one.endpoint.name):
                yield f"  {'':<11}speed {tested}"
        for one_paused in service.to_resume:
            yield from _paused(service.name, one_paused, now)
        for call in service.calls:
            whose = f" (of service {call.other})" if call.other else ""
            came = (call.endpoint and call.endpoint + whose) or (
                f"could not be read: {call.unread}" if call.unread else "not set"
            )
            yield f"  {'called by':<11}{call.name} -> {came}"
        for one_astray in service.astray:
            yield f"  {'named by':<11}{one_astray.name} -> {one_astray.endpoint}, which does not serve"
        for running in service.running:
            begun = span((now - running.entry.started).total_seconds())
            since = f" for {span((now - running.since).total_seconds())}" if running.since else ""
            where = f"in {running.state}{since}, " if running.state else ""
            yield f"  {'running':<11}{running.entry.name}: {where}begun {begun} ago"
        if not service.deployments and not service.running and not service.to_resume:
            yield "  no endpoint is left; `sealift history` lists its deployments"
    if any(one.deployments or one.to_resume for one in services):
        yield f"costs now  {service_status.cost(services).now}"


def _paused(service: str, one: PausedDeployment, now: datetime) -> Iterator[str]:
    if not one.release.is_paused:
        # Paused half, or brought back half: what runs costs money, and nothing but these two commands ends it.
        yield (
            f"  {'half-way':<11}{one.endpoint} runs, and is marked as paused: `sealift resume {service}` keeps it, "
            f"`sealift pause {service}` takes it away"
        )
        return
    age = span((now - datetime.fromisoformat(one.since)).total_seconds())
    costs = running_cost.words(one.cost.usd_per_hour if one.cost else None)
    yield f"  {'paused':<11}{one.endpoint}: for {age}; `sealift resume {service}` brings it back, at {costs}"


def _deployment(one: DeploymentStatus, now: datetime) -> Iterator[str]:
    endpoint, release = one.endpoint, one.release
    sizes = f", {endpoint.memory_mb} MB, {endpoint.max_concurrency} concurrent" if endpoint.memory_mb else ""
    if endpoint.cost is not None and endpoint.cost.usd_per_hour != 0:
        sizes = f", {endpoint.cost.how}"
    age = span((now - datetime.fromisoformat(one.since)).total_seconds())
    verb = "deployed" if release and release.deployed_at else "made"
    yield f"  {one.role.value:<11}{endpoint.name}: {endpoint.status}{sizes}, {verb} {age} ago"
    if endpoint.failure:
        yield f"  {'':<11}failed: {endpoint.failure}"
    if release and release.expires_at and not release.is_to_resume:
        yield f"  {'':<11}{goes(release.expires_at, now)}"
    if one.role in FULL:
        yield from _in_full(one, now)


def _in_full(one: DeploymentStatus, now: datetime) -> Iterator[str]:
    endpoint, release = one.endpoint, one.release
    if one.archive:
        version = f", version {one.archive.version[:8]}" if one.archive.version else ""
        size = f"{one.archive.size / MiB:,.1f} MiB" if one.archive.size is not None else one.archive.unread
        uploaded = ""
        if release and release.uploaded_at:
            ago = span((now - datetime.fromisoformat(release.uploaded_at)).total_seconds())
            uploaded = f", uploaded {ago} ago"
        yield f"  {'':<11}archive s3://{one.archive.place}{version}, {size}{uploaded}"
    if endpoint.image:
        whose = f" ({endpoint.image.container})" if endpoint.image.container else ""
        yield f"  {'':<11}image {endpoint.image.short}{whose}"
        if endpoint.image.newer:
            yield f"  {'':<11}its repository has a newer one, {endpoint.image.newer}: the next deployment may take it"
    for word, text in endpoint.set_apart:
        yield f"  {'':<11}{word} {text}"
    if release and release.to_zero and endpoint.cost is not None:
        yield f"  {'':<11}{scale_to_zero.now(at_none=endpoint.cost.usd_per_hour == 0)}"
    yield from _alarms(one.alarms)


def _alarms(found: Sequence[AlarmState]) -> Iterator[str]:
    quiet = sum(alarm.state != alarms.ALARM for alarm in found)
    yield f"  {'':<11}alarms: {quiet} quiet" if found else f"  {'':<11}alarms: none"
    for alarm in found:
        if alarm.state == alarms.ALARM:
            yield f"  {'':<11}ALARM {alarm.name}: {alarm.reason or 'no reason told'}"


def goes(expires_at: str, now: datetime) -> str:
    """Return in words when a deployment is taken down by itself."""
    left = (datetime.fromisoformat(expires_at) - now).total_seconds()
    when = (
        f"in {span(left)}, at {expires_at}" if left > 0 else f"with the next look, since {expires_at} is over"
    )
    return f"goes by itself {when}"


def document(
    service: Service, now: datetime, speeds: Mapping[str, SpeedComparison] = MappingProxyType({})
) -> dict[str, Any]:
    """Return a service for machines; `speeds` is by endpoint."""
    return {
        "service": service.name,
        "well": service.well,
        "deployments": [
            {
                "role": one.role.value,
                "endpoint_name": one.endpoint.name,
                "status": one.endpoint.status,
                "failure": one.endpoint.failure,
                "memory_mb": one.endpoint.memory_mb,
                "max_concurrency": one.endpoint.max_concurrency,
                "usd_per_hour": one.endpoint.cost.usd_per_hour if one.endpoint.cost else None,
                "instance_type": one.endpoint.instance_type,
                "set_apart": dict(one.endpoint.set_apart),
                "image": {
                    "uri": one.endpoint.image.uri,
                    "digest": one.endpoint.image.digest,
                    "container": one.endpoint.image.container,
                    "newer": one.endpoint.image.newer or None,
                }
                if one.endpoint.image
                else None,
                "endpoint_config_name": one.endpoint.config,
                "execution": one.release.execution if one.release else one.endpoint.execution,
                "uploaded_at": (one.release.uploaded_at or None) if one.release else None,
                "deployed_at": one.release.deployed_at if one.release else None,
                "expires_at": one.release.expires_at if one.release else None,
                "age_s": round((now - datetime.fromisoformat(one.since)).total_seconds()),
                "archive": {
                    "place": one.archive.place,
                    "version_id": one.archive.version or None,
                    "size": one.archive.size,
                }
                if one.archive
                else None,
                "speed": tested.to_json() if (tested := speeds.get(one.endpoint.name)) else None,
                "alarms": [
                    {"name": alarm.name, "state": alarm.state, "reason": alarm.reason} for alarm in one.alarms
                ],
            }
            for one in service.deployments
        ],
        "paused": [
            {
                "endpoint_name": one.endpoint,
                "endpoint_config_name": one.release.config,
                "paused_at": one.since,
                "usd_per_hour_resumed": one.cost.usd_per_hour if one.cost else None,
            }
            for one in service.paused
        ],
        "consumers": [
            {
                **call.consumer,
                "calls": call.endpoint,
                "of_service": call.other or None,
                "unread": call.unread or None,
            }
            for call in service.calls
        ],
        "parameters": [
            {"name": one.name, "endpoint_name": one.endpoint, "serves": one not in service.astray}
            for one in service.parameters
        ],
        "running": [
            {
                "execution": one.entry.arn,
                "started": one.entry.started.isoformat(),
                "state": one.state or None,
            }
            for one in service.running
        ],
    }
