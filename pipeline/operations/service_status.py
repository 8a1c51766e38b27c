"""All that Sealift has deployed, service by service: what serves, who calls it, which alarms fired, what is being done.

`look` gathers, within bounds, and tells what it was not allowed to see; `arrange` decides, facts in, services out.
Whose tags do not say that Sealift made it is not looked into. Refuses to change anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError

from pipeline import naming
from pipeline.aws import resource_tags, service_errors
from pipeline.aws.resource_tags import TAG_ARCHIVE, TAG_EXECUTION, TAG_SERVICE
from pipeline.errors import ConsumerUnreadable
from pipeline.naming import is_named_after
from pipeline.operations import execution_history, ledger
from pipeline.planning import alarms, consumer
from pipeline.rollout import alarms_api, release_store, releases
from pipeline.sizing import costs
from pipeline.sizing.costs import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from pipeline.aws.clients import Clients
    from pipeline.operations.ledger import LedgerEntry
    from pipeline.rollout.releases import Consumer, Release

    R = TypeVar("R")

PAGES: Final = 5
PAGE: Final = 100
"""Rows in a page at most (service model)."""
MOST: Final = 200
"""Endpoints, and as many configurations, that are looked into."""
MOST_RUNNING: Final = 20


class Role(StrEnum):
    """What a deployment is to its service."""

    SERVES = "serves"
    TRIED = "being tried"
    WAY_BACK = "way back"
    WITHDRAWN = "withdrawn"
    """Somebody went back from it."""
    EARLIER = "earlier"
    """Good once, and no way back now: its endpoint is going, or has failed."""
    LEFT_OVER = "left over"
    """Never turned out good, and its execution has ended; `sealift sweep` sees to it."""


@dataclass(frozen=True, slots=True)
class EndpointSummary:
    """An endpoint that Sealift made."""

    name: str
    status: str
    config: str
    service: str
    execution: str
    created: datetime
    memory_mb: int | None
    max_concurrency: int | None
    failure: str | None = None
    cost: Cost | None = None
    """What it costs an hour while nobody calls it; None when its configuration could not be read."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What was uploaded."""

    place: str
    """Bucket and key, as a tag has them."""
    version: str
    size: int | None = None
    unread: str = ""
    """Why the size is not known."""


@dataclass(frozen=True, slots=True)
class AlarmState:
    """One alarm of an endpoint."""

    name: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConsumerCall:
    """What a consumer calls now."""

    consumer: Consumer
    endpoint: str | None
    """None: the variable is not set, or could not be read."""
    unread: str = ""
    other: str = ""
    """The service that has the endpoint, where it is another one."""

    @property
    def name(self) -> str:
        """For people."""
        alias = f":{self.consumer['alias']}" if self.consumer["alias"] else ""
        return f"{self.consumer['variable']} of {self.consumer['function_name']}{alias}"


@dataclass(frozen=True, slots=True)
class Running:
    """An execution that has not ended."""

    entry: LedgerEntry
    state: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What was seen."""

    endpoints: tuple[EndpointSummary, ...] = ()
    releases: Mapping[str, tuple[Release, ...]] = field(default_factory=dict)
    """By service."""
    archives: Mapping[str, Archive] = field(default_factory=dict)
    """By configuration."""
    calls: Mapping[str, tuple[ConsumerCall, ...]] = field(default_factory=dict)
    """By service."""
    alarms: Mapping[str, tuple[AlarmState, ...]] = field(default_factory=dict)
    """By endpoint."""
    running: tuple[Running, ...] = ()
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """One deployment of a service that has an endpoint."""

    role: Role
    endpoint: EndpointSummary
    release: Release | None
    archive: Archive | None
    alarms: tuple[AlarmState, ...] = ()

    @property
    def since(self) -> str:
        """When it turned out good, else when it was made; ISO 8601."""
        good = self.release.deployed_at if self.release else None
        return good or self.endpoint.created.isoformat()


@dataclass(frozen=True, slots=True)
class Service:
    """One service as it stands."""

    name: str
    deployments: tuple[DeploymentStatus, ...]
    """What serves first, then the newest first."""
    calls: tuple[ConsumerCall, ...]
    running: tuple[Running, ...]


# -- deciding


def cost(services: Iterable[Service]) -> Cost | None:
    """Return what all endpoints that run instances cost an hour; None when there is none of them."""
    found = [one.endpoint for service in services for one in service.deployments]
    paid = [(one.name, one.cost) for one in found if one.cost is not None and one.cost.usd_per_hour != 0]
    if not paid:
        return None
    known = [each.usd_per_hour for _, each in paid if each.usd_per_hour is not None]
    total = round(sum(known), 6) if len(known) == len(paid) else None
    return Cost(total, "; ".join(f"{name}: {each.how}" for name, each in paid))


def arrange(facts: StatusFacts) -> list[Service]:
    """Return the services by name: every one that has an endpoint, a record or a running execution."""
    names = {one.service for one in facts.endpoints} | facts.releases.keys()
    names |= {one.entry.service for one in facts.running if one.entry.service}
    return [_service(name, facts) for name in sorted(names)]


def _service(name: str, facts: StatusFacts) -> Service:
    found, calls = facts.releases.get(name, ()), facts.calls.get(name, ())
    under_way = frozenset(one.entry.arn for one in facts.running)
    called = {call.endpoint for call in calls if call.endpoint and not call.other}
    newest = max((one for one in found if one.way_back), key=lambda one: one.age, default=None)
    deployments = []
    for endpoint in facts.endpoints:
        if endpoint.service != name:
            continue
        release = releases.serving(found, endpoint.name) or _newest_of(found, endpoint)
        role = _role(endpoint, release, called, newest, under_way)
        archive = facts.archives.get(release.config) if release else None
        deployments.append(
            DeploymentStatus(role, endpoint, release, archive, facts.alarms.get(endpoint.name, ()))
        )
    deployments.sort(key=lambda one: one.since, reverse=True)
    deployments.sort(key=lambda one: one.role is not Role.SERVES)
    running = tuple(one for one in facts.running if one.entry.service == name)
    return Service(name, tuple(deployments), calls, running)


def _newest_of(found: tuple[Release, ...], endpoint: EndpointSummary) -> Release | None:
    return next((one for one in found if endpoint.config in one.configs), None)


def _role(
    endpoint: EndpointSummary,
    release: Release | None,
    called: set[str],
    newest: Release | None,
    under_way: frozenset[str],
) -> Role:
    if endpoint.name in called:
        return Role.SERVES
    if release is None or release.deployed_at is None:
        by = release.execution if release else endpoint.execution
        return Role.TRIED if by in under_way else Role.LEFT_OVER
    if not release.good:
        return Role.WITHDRAWN
    # Nobody can tell who calls an endpoint by its name: then the newest good one counts as the one that serves.
    if not called and release is newest:
        return Role.SERVES
    return Role.WAY_BACK if release.way_back else Role.EARLIER


# -- looking


def look(clients: Clients, *, stack: str | None, service: str | None) -> StatusFacts:
    """Return what there is.

    Args:
        clients: of the account.
        stack: whose executions made it; None for any.
        service: the only one that is looked at; None for all.
    """
    return _Look(clients, stack, service).facts()


class _Look:
    """One look, piece by piece; each notes what it could not see."""

    def __init__(self, clients: Clients, stack: str | None, service: str | None) -> None:
        self._clients = clients
        self._stack = stack
        self._only = service
        self._unseen: list[str] = []

    def facts(self) -> StatusFacts:
        statuses: dict[str, tuple[str, str]] = {}
        endpoints = tuple(self._seen("endpoints", lambda: list(self._endpoints(statuses))) or ())
        archives: dict[str, Archive] = {}
        found = self._seen("endpoint configurations", lambda: self._releases(statuses, archives)) or {}
        running = self._seen("executions", self._running) or ()
        calls = {name: self._calls(name, ones) for name, ones in found.items()}
        facts = StatusFacts(endpoints, found, archives, calls, running=running)
        shown = [one for each in arrange(facts) for one in each.deployments]
        alarmed = self._seen("alarms", lambda: self._alarms([one.endpoint.name for one in shown])) or {}
        for one in shown:
            if one.role in {Role.SERVES, Role.TRIED} and one.archive and one.release:
                archives[one.release.config] = self._sized(one.archive)
        return replace(facts, alarms=alarmed, unseen=tuple(dict.fromkeys(self._unseen)))

    def _seen(self, what: str, piece: Callable[[], R]) -> R | None:
        try:
            return piece()
        except ClientError as error:
            if not service_errors.is_access_denied(error):
                raise
            self._unseen.append(
                f"{what} could not be looked at: {service_errors.text(error) or 'access denied'}"
            )
            return None

    def _endpoints(self, statuses: dict[str, tuple[str, str]]) -> Iterator[EndpointSummary]:
        client = self._clients.sagemaker
        named = {"NameContains": self._only} if self._only else {}
        for row in self._rows("endpoints", client.list_endpoints, "Endpoints", **named):
            name = row["EndpointName"]
            tags = self._tags("endpoint", name, row["EndpointArn"])
            if not self._is_wanted(tags):
                continue
            found = self._seen(
                f"endpoint {name}",
                lambda name=name: service_errors.or_none(client.describe_endpoint, EndpointName=name),  # type: ignore[misc]
            )
            if found is None:
                continue
            statuses[name] = (found["EndpointStatus"], found.get("EndpointConfigName", ""))
            variants = [*found.get("ProductionVariants", ()), {}]
            sizes = (
                variants[0].get("CurrentServerlessConfig") or variants[0].get("DesiredServerlessConfig") or {}
            )
            yield EndpointSummary(
                name=name,
                status=found["EndpointStatus"],
                config=found.get("EndpointConfigName", ""),
                service=tags[TAG_SERVICE],
                execution=tags[TAG_EXECUTION],
                created=found["CreationTime"],
                memory_mb=sizes.get("MemorySizeInMB"),
                max_concurrency=sizes.get("MaxConcurrency"),
                failure=found.get("FailureReason"),
                cost=self._cost(name, found),
            )

    def _cost(self, name: str, found: Mapping[str, Any]) -> Cost | None:
        """Return what an endpoint costs; the types of its instances stand in its configuration alone."""
        variants = found.get("ProductionVariants", ())
        if all("CurrentServerlessConfig" in one for one in variants):
            return costs.per_hour(variants)
        describe = self._clients.sagemaker.describe_endpoint_config
        config = self._seen(
            f"the configuration of endpoint {name}",
            lambda: service_errors.or_none(describe, EndpointConfigName=found["EndpointConfigName"]),
        )
        return costs.per_hour(variants, config["ProductionVariants"]) if config else None

    def _releases(
        self, statuses: Mapping[str, tuple[str, str]], archives: dict[str, Archive]
    ) -> dict[str, tuple[Release, ...]]:
        client = self._clients.sagemaker
        named = {"NameContains": self._only} if self._only else {}
        found: dict[str, list[Release]] = {}
        rows = self._rows("endpoint configurations", client.list_endpoint_configs, "EndpointConfigs", **named)
        for row in rows:
            name, arn = row["EndpointConfigName"], row["EndpointConfigArn"]
            if not naming.may_be_ours(name):
                continue
            tags = self._tags("configuration", name, arn)
            if not self._is_wanted(tags):
                continue
            one = releases.read(name, arn, row["CreationTime"].isoformat(), tags, statuses)
            if one is not None:
                found.setdefault(tags[TAG_SERVICE], []).append(one)
                archives[name] = Archive(tags.get(TAG_ARCHIVE, ""), one.version)
        return {service: releases.together(ones) for service, ones in found.items()}

    def _running(self) -> tuple[Running, ...]:
        client = self._clients.stepfunctions
        found = []
        for machine in ledger.machines(client, self._stack):
            for entry in ledger.running(client, machine)[:MOST_RUNNING]:
                if entry.service is None or self._only not in {None, entry.service}:
                    continue
                states = execution_history.fetch(client, entry.arn).states
                now = next((state for state in reversed(states) if state.status == "running"), None)
                found.append(Running(entry, now.name if now else "", now.entered if now else None))
        return tuple(found)

    def _calls(self, service: str, found: tuple[Release, ...]) -> tuple[ConsumerCall, ...]:
        """Return what the consumers of the newest deployment that has any call now, and whose that is."""
        with_consumers = (one for one in found if one.consumers)
        newest = max(with_consumers, key=lambda one: (one.deployed_at or "", one.age), default=None)
        calls = [self._call(who) for who in newest.consumers] if newest else []
        own = {one.endpoint for one in found}
        return tuple(
            replace(call, other=self._other(call.endpoint, service))
            if call.endpoint and call.endpoint not in own
            else call
            for call in calls
        )

    def _other(self, endpoint: str, service: str) -> str:
        """Return the other service that has an endpoint; empty when none has."""
        found = self._seen(
            f"endpoint {endpoint}", lambda: release_store.owner(self._clients.sagemaker, endpoint)
        )
        return found if found and found != service else ""

    def _call(self, who: Consumer) -> ConsumerCall:
        qualifier = {"Qualifier": who["alias"]} if who["alias"] else {}
        try:
            now = self._clients.lambda_.get_function_configuration(
                FunctionName=who["function_name"], **qualifier
            )
        except ClientError as error:
            if service_errors.is_missing(error):
                return ConsumerCall(who, None, "there is no such function, or no such alias")
            if service_errors.is_access_denied(error):
                return ConsumerCall(who, None, service_errors.text(error) or "access denied")
            raise
        try:
            variables = consumer.Configuration.from_response(now).variables
        except ConsumerUnreadable as refusal:
            return ConsumerCall(who, None, str(refusal))
        return ConsumerCall(who, variables.get(who["variable"]) or None)

    def _alarms(self, endpoints: list[str]) -> dict[str, tuple[AlarmState, ...]]:
        names = [name for endpoint in endpoints for name in alarms.names(endpoint)]
        found: dict[str, list[AlarmState]] = {}
        for one in alarms_api.found(self._clients.cloudwatch, names) if names else ():
            alarm = AlarmState(
                str(one["AlarmName"]), str(one["StateValue"]), str(one.get("StateReason") or "")
            )
            found.setdefault(alarms.endpoint_of(alarm.name) or "", []).append(alarm)
        return {endpoint: tuple(ones) for endpoint, ones in found.items()}

    def _sized(self, archive: Archive) -> Archive:
        """Return an archive with its size, where its upload may still be looked at."""
        bucket, _, key = archive.place.partition("/")
        which: dict[str, Any] = {"VersionId": archive.version} if archive.version else {}
        try:
            head = self._clients.s3.head_object(Bucket=bucket, Key=key, **which)
        except ClientError as error:
            gone = service_errors.is_no_such_key(error) or service_errors.code(error) == "400"
            return replace(archive, unread="the upload is gone" if gone else "its size may not be read")
        return replace(archive, size=head["ContentLength"])

    def _is_wanted(self, tags: Mapping[str, str]) -> bool:
        if TAG_SERVICE not in tags or TAG_EXECUTION not in tags:
            return False
        if self._only and tags[TAG_SERVICE] != self._only:
            return False
        return self._stack is None or f":{self._stack}{ledger.SUFFIX}:" in tags[TAG_EXECUTION]

    def _tags(self, what: str, name: str, arn: str) -> dict[str, str]:
        if self._only and not is_named_after(name, self._only):
            return {}
        try:
            return resource_tags.read(self._clients.sagemaker, arn)
        except ClientError as error:
            if service_errors.is_missing(error):
                return {}
            if not service_errors.is_access_denied(error):
                raise
            why = service_errors.text(error) or "access denied"
            self._unseen.append(f"whether {what} {name} is Sealift's: its tags could not be read: {why}")
            return {}

    def _rows(
        self, what: str, ask: Callable[..., Any], member: str, **named: str
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a list, newest first, as far as the bound."""
        token: dict[str, Any] = {}
        count = 0
        for _ in range(PAGES):
            page = ask(MaxResults=PAGE, SortBy="CreationTime", SortOrder="Descending", **named, **token)
            for row in page[member]:
                count += 1
                if count > MOST:
                    break
                yield row
            token = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
            if not token or count > MOST:
                break
        if token or count > MOST:
            self._unseen.append(f"more than the newest {MOST} {what} of the account")
