"""All that Sealift has deployed, service by service: what serves, who calls it, which alarms fired, what is being done.

`read` gathers, from `account_scan` and beside it, and tells what it was not allowed to see; `arrange` decides, facts
in, services out. Whose tags do not say that Sealift made it is not looked into. Refuses to change anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError

from pipeline import instance_pools
from pipeline.aws import service_errors
from pipeline.errors import ConsumerUnreadable
from pipeline.operations import account_scan, endpoint_images, execution_history, executions
from pipeline.operations.account import MadeKind
from pipeline.operations.account_scan import Scope
from pipeline.planning import alarms, consumer, set_apart
from pipeline.rollout import alarms_api, release_store, releases
from pipeline.sizing import hourly_costs, instance_types
from pipeline.sizing.running_cost import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pipeline.aws.clients import Clients
    from pipeline.operations.account import Account, Made
    from pipeline.operations.endpoint_images import EndpointImage
    from pipeline.operations.executions import ExecutionSummary
    from pipeline.rollout.releases import Consumer, Release
    from pipeline.sizing.instance_types import ListedPrice

    R = TypeVar("R")

SCOPE: Final = Scope(
    kinds=frozenset({MadeKind.ENDPOINT, MadeKind.CONFIG, MadeKind.PARAMETER}),
    users=False,
    described=True,
    consumers=False,
    most=200,
    newest_first=True,
)
"""How much of the account is read."""
MOST_RUNNING: Final = 20


class Role(StrEnum):
    """What a deployment is to its service."""

    SERVES = "serves"
    TRIED = "being tried"
    ROLLBACK_TARGET = "previous"
    """`sealift rollback` can go to it."""
    WITHDRAWN = "withdrawn"
    """It was rolled back."""
    EARLIER = "earlier"
    """Good once, and no rollback target now: its endpoint is being deleted, or has failed."""
    LEFT_OVER = "left over"
    """It never became good, and its execution has ended; `sealift sweep` deletes it."""


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
    image: EndpointImage | None = None
    """What its containers are made of; None where AWS does not tell yet."""
    instance_type: str | None = None
    """None on serverless, and where it could not be read."""
    set_apart: tuple[tuple[str, str], ...] = ()
    """Of its network, its volume's key and its own tags what is set, each with a word for what it is about."""


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
class ParameterStatus:
    """A parameter that names a service's endpoint; each stack has its own."""

    name: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class PausedDeployment:
    """A deployment that was paused, and is not brought back yet."""

    release: Release
    cost: Cost | None
    """What it costs an hour when it is brought back; None when its configuration could not be read."""

    @property
    def endpoint(self) -> str:
        """The name that its endpoint had, and will have."""
        return str(self.release.endpoint)

    @property
    def since(self) -> str:
        """ISO 8601."""
        return str(self.release.paused_at)


@dataclass(frozen=True, slots=True)
class Running:
    """An execution that has not ended."""

    entry: ExecutionSummary
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
    parameters: Mapping[str, tuple[ParameterStatus, ...]] = field(default_factory=dict)
    """By service."""
    alarms: Mapping[str, tuple[AlarmState, ...]] = field(default_factory=dict)
    """By endpoint."""
    paused: Mapping[str, Cost | None] = field(default_factory=dict)
    """What each deployment that was paused costs an hour when it is brought back, by its configuration."""
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
    parameters: tuple[ParameterStatus, ...] = ()
    to_resume: tuple[PausedDeployment, ...] = ()
    """Those that were paused and not brought back since, the newest first; what of them runs already is among the
    deployments too."""

    @property
    def paused(self) -> tuple[PausedDeployment, ...]:
        """Those of which nothing runs."""
        return tuple(one for one in self.to_resume if one.release.is_paused)

    @property
    def astray(self) -> tuple[ParameterStatus, ...]:
        """The parameters that name another endpoint than one that serves, or is to serve again."""
        serving = {one.endpoint.name for one in self.deployments if one.role is Role.SERVES}
        serving |= {one.endpoint for one in self.to_resume}
        return tuple(one for one in self.parameters if one.endpoint not in serving)

    @property
    def well(self) -> bool:
        """Whether everything that serves is in service, and none of its alarms is in ALARM."""
        serving = [one for one in self.deployments if one.role is Role.SERVES]
        alarmed = any(alarm.state == alarms.ALARM for one in serving for alarm in one.alarms)
        return not alarmed and all(one.endpoint.status == "InService" for one in serving)


@dataclass(frozen=True, slots=True)
class Overview:
    """The services as they stand, by name."""

    services: tuple[Service, ...]
    unseen: tuple[str, ...]
    """What could not be looked at, each in a sentence: a service may have more than is known of it."""

    @property
    def well(self) -> bool:
        """Whether all of them are."""
        return all(one.well for one in self.services)

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services)

    def __len__(self) -> int:
        return len(self.services)


# -- deciding


def cost(services: Iterable[Service]) -> Cost:
    """Return what all endpoints cost an hour while nobody calls them; those that cost nothing are not named."""
    found = [one.endpoint for service in services for one in service.deployments]
    unread = Cost(None, "its configuration could not be read")
    paid = [(one.name, one.cost or unread) for one in found if (one.cost or unread).usd_per_hour != 0]
    if not paid:
        return Cost(0.0)
    known = [each.usd_per_hour for _, each in paid if each.usd_per_hour is not None]
    total = round(sum(known), 6) if len(known) == len(paid) else None
    return Cost(total, "; ".join(f"{name}: {each.how}" for name, each in paid))


def arrange(facts: StatusFacts) -> list[Service]:
    """Return the services by name: every one that has an endpoint, a record, a parameter or a running execution."""
    names = {one.service for one in facts.endpoints} | facts.releases.keys() | facts.parameters.keys()
    names |= {one.entry.service for one in facts.running if one.entry.service}
    return [_service(name, facts) for name in sorted(names)]


def _service(name: str, facts: StatusFacts) -> Service:
    found, calls = facts.releases.get(name, ()), facts.calls.get(name, ())
    under_way = frozenset(one.entry.arn for one in facts.running)
    called = {call.endpoint for call in calls if call.endpoint and not call.other}
    newest = max((one for one in found if one.is_rollback_target), key=lambda one: one.age, default=None)
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
    paused = sorted((one for one in found if one.is_to_resume), key=lambda one: one.age, reverse=True)
    to_resume = tuple(PausedDeployment(one, facts.paused.get(one.config)) for one in paused)
    return Service(name, tuple(deployments), calls, running, facts.parameters.get(name, ()), to_resume)


def summarize(
    made: Made,
    described: Mapping[str, Any],
    cost: Cost | None,
    instance_type: str | None = None,
    apart: tuple[tuple[str, str], ...] = (),
) -> EndpointSummary:
    """Return an endpoint that Sealift made.

    Args:
        made: the endpoint.
        described: it, as DescribeEndpoint has it.
        cost: what it costs; None when that could not be read.
        instance_type: of its instances; None on serverless, and where it could not be read.
        apart: what is set of network, key and tags.
    """
    variant: Mapping[str, Any] = next(iter(described.get("ProductionVariants", ())), {})
    sizes = variant.get("CurrentServerlessConfig") or variant.get("DesiredServerlessConfig") or {}
    return EndpointSummary(
        name=made.name,
        status=described["EndpointStatus"],
        config=described.get("EndpointConfigName", ""),
        service=made.service,
        execution=made.execution,
        created=described["CreationTime"],
        memory_mb=sizes.get("MemorySizeInMB"),
        max_concurrency=sizes.get("MaxConcurrency"),
        failure=described.get("FailureReason"),
        cost=cost,
        image=endpoint_images.of(variant),
        instance_type=instance_type,
        set_apart=apart,
    )


def callers(found: Iterable[Release]) -> tuple[Consumer, ...]:
    """Return the consumers of a service: those of its newest deployment that has any."""
    newest = max(
        (one for one in found if one.consumers),
        key=lambda one: (one.deployed_at or "", one.age),
        default=None,
    )
    return newest.consumers if newest else ()


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
    return Role.ROLLBACK_TARGET if release.is_rollback_target else Role.EARLIER


# -- reading


def overview(
    clients: Clients,
    *,
    stack: str | None,
    service: str | None = None,
    prices: Mapping[str, ListedPrice] = instance_types.LISTED,
) -> Overview:
    """Return the services as they stand; of `service` that one alone, and none where there is nothing of it.

    Args:
        clients: of the account.
        stack: whose deployments count; None for any.
        service: the only one that is read; None for all.
        prices: of instances, by type.
    """
    facts = read(clients, stack=stack, service=service, prices=prices)
    return Overview(tuple(arrange(facts)), facts.unseen)


def read(
    clients: Clients,
    *,
    stack: str | None,
    service: str | None,
    prices: Mapping[str, ListedPrice] = instance_types.LISTED,
) -> StatusFacts:
    """Return what there is.

    Args:
        clients: of the account.
        stack: whose executions made it; None for any.
        service: the only one that is read; None for all.
        prices: of instances, by type.
    """
    account = account_scan.scan(clients, replace(SCOPE, stack=stack, service=service))
    return _Reader(clients, account, prices).facts(stack, service)


class _Reader:
    """What the scan does not have: costs, running executions, what consumers call, alarms and sizes of uploads."""

    def __init__(self, clients: Clients, account: Account, prices: Mapping[str, ListedPrice]) -> None:
        self._clients = clients
        self._prices = prices
        self._account = account
        self._unseen = [*account.unseen.values()]
        self._unseen += [
            f"whether {one.kind} {one.name} is Sealift's: {one.unreadable}"
            for one in account.made
            if one.unreadable
        ]

    def facts(self, stack: str | None, service: str | None) -> StatusFacts:
        account = self._account
        ours = [one for one in account.made if not one.unreadable]
        endpoints = tuple(self._endpoint(one) for one in ours if one.kind is MadeKind.ENDPOINT)
        versions = {
            config: one.version
            for each in account.releases.values()
            for one in each
            for config in one.configs
        }
        archives = {
            one.name: Archive(one.archive, versions.get(one.name, ""))
            for one in ours
            if one.kind is MadeKind.CONFIG
        }
        running = self._seen("executions", lambda: self._running(stack, service)) or ()
        calls = self._calls()
        parameters: dict[str, tuple[ParameterStatus, ...]] = {}
        for made in ours:
            if made.kind is MadeKind.PARAMETER:
                known = parameters.get(made.service, ())
                parameters[made.service] = (*known, ParameterStatus(made.name, made.uses[0]))
        paused = {
            one.config: self._when_resumed(one)
            for each in account.releases.values()
            for one in each
            if one.is_to_resume
        }
        facts = StatusFacts(
            endpoints, account.releases, archives, calls, parameters, paused=paused, running=running
        )
        shown = [one for each in arrange(facts) for one in each.deployments]
        alarmed = self._seen("alarms", lambda: self._alarms([one.endpoint.name for one in shown])) or {}
        looked = {}
        for one in shown:
            if one.role not in {Role.SERVES, Role.TRIED}:
                continue
            looked[one.endpoint.name] = replace(one.endpoint, image=self._image(one.endpoint))
            if one.archive and one.release:
                archives[one.release.config] = self._sized(one.archive)
        endpoints = tuple(looked.get(one.name, one) for one in endpoints)
        unseen = tuple(dict.fromkeys(self._unseen))
        return replace(facts, endpoints=endpoints, alarms=alarmed, unseen=unseen)

    def _image(self, endpoint: EndpointSummary) -> EndpointImage | None:
        """Return an endpoint's image with what its repository tells."""
        image = endpoint.image
        if image is None:
            return None
        architecture = instance_types.image_architecture(endpoint.instance_type)
        return (
            self._seen(
                f"the repository of endpoint {endpoint.name}'s image",
                lambda: endpoint_images.look(self._clients.ecr, image, architecture),
            )
            or image
        )

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

    def _endpoint(self, made: Made) -> EndpointSummary:
        found = self._account.descriptions[made.name]
        variants = found.get("ProductionVariants", ())
        if all("CurrentServerlessConfig" in one for one in variants):
            apart = set_apart.describe({}, {}, made.own_tags)
            return summarize(made, found, hourly_costs.per_hour(variants), apart=apart)
        config = self._config(made.name, found)
        configured: Sequence[Mapping[str, Any]] = config.get("ProductionVariants", ())
        cost = hourly_costs.per_hour(variants, configured, self._prices) if configured else None
        # Of a pool the type that runs; while none does, the first that was asked for.
        running = (name for one in variants for name in instance_pools.running(one))
        asked = (name for one in configured for name in instance_pools.types(one))
        model = self._model(made.name, configured)
        apart = set_apart.describe(model, config, made.own_tags)
        return summarize(made, found, cost, next(chain(running, asked), None), apart)

    def _when_resumed(self, release: Release) -> Cost | None:
        """Return what a deployment that was paused costs when it is brought back."""
        config = self._config(str(release.endpoint), {"EndpointConfigName": release.config})
        configured: Sequence[Mapping[str, Any]] = config.get("ProductionVariants", ())
        return hourly_costs.per_hour(configured, prices=self._prices) if configured else None

    def _config(self, name: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an endpoint's configuration, where alone the types of its instances stand; empty when it is gone."""
        describe = self._clients.sagemaker.describe_endpoint_config
        config = self._seen(
            f"the configuration of endpoint {name}",
            lambda: service_errors.or_none(describe, EndpointConfigName=found["EndpointConfigName"]),
        )
        return config or {}

    def _model(self, name: str, configured: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the model of an endpoint on instances, where alone its network stands; empty when it is gone."""
        model = next((one.get("ModelName") for one in configured), None)
        if model is None:
            return {}
        describe = self._clients.sagemaker.describe_model
        found = self._seen(
            f"the model of endpoint {name}", lambda: service_errors.or_none(describe, ModelName=model)
        )
        return found or {}

    def _running(self, stack: str | None, service: str | None) -> tuple[Running, ...]:
        client = self._clients.stepfunctions
        found = []
        for machine in executions.machines(client, stack):
            for entry in executions.running(client, machine, most=MOST_RUNNING).entries:
                if entry.service is None or service not in {None, entry.service}:
                    continue
                states = execution_history.fetch(client, entry.arn).states
                now = next((state for state in reversed(states) if state.status == "running"), None)
                found.append(Running(entry, now.name if now else "", now.entered if now else None))
        return tuple(found)

    def _calls(self) -> dict[str, tuple[ConsumerCall, ...]]:
        """Return what the consumers of each service call now, and whose that is."""
        read = cache(self._variables)
        calls = {}
        for service, found in self._account.releases.items():
            own = {one.endpoint for one in found}
            calls[service] = tuple(
                replace(call, other=self._other(call.endpoint, service))
                if call.endpoint and call.endpoint not in own
                else call
                for call in (_call(who, read(who["function_name"], who["alias"])) for who in callers(found))
            )
        return calls

    def _other(self, endpoint: str, service: str) -> str:
        """Return the other service that has an endpoint; empty when none has."""
        known = (
            one.service
            for one in self._account.made
            if one.kind is MadeKind.ENDPOINT and one.name == endpoint
        )
        found = next(known, None) or self._seen(
            f"endpoint {endpoint}", lambda: release_store.owner(self._clients.sagemaker, endpoint)
        )
        return found if found and found != service else ""

    def _variables(self, function: str, alias: str | None) -> Mapping[str, str] | str:
        """Return the variables of a function, or why they could not be read."""
        qualifier = {"Qualifier": alias} if alias else {}
        try:
            now = self._clients.lambda_.get_function_configuration(FunctionName=function, **qualifier)
            return consumer.Configuration.from_response(now).variables
        except ConsumerUnreadable as refusal:
            return str(refusal)
        except ClientError as error:
            if service_errors.is_missing(error):
                return "there is no such function, or no such alias"
            if service_errors.is_access_denied(error):
                return service_errors.text(error) or "access denied"
            raise

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
            missing = service_errors.is_no_such_key(error) or service_errors.code(error) == "400"
            return replace(archive, unread="the upload is gone" if missing else "its size may not be read")
        return replace(archive, size=head["ContentLength"])


def _call(who: Consumer, found: Mapping[str, str] | str) -> ConsumerCall:
    if isinstance(found, str):
        return ConsumerCall(who, None, found)
    return ConsumerCall(who, found.get(who["variable"]) or None)
