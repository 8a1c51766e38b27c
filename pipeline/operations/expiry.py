"""Taking down what was deployed for a time that is over: which deployments that is, and one step nearer for each.

Owns `sealift:expires-at` once it has passed, and what the topic is told of it: once beforehand, when an endpoint was
taken down, and once when that does not come about. A deployment goes as `sealift delete` takes it: first the endpoint
with the parameter that names it; then, with the next look and when the endpoint is gone, alarms, model and
configuration. Consumers are left as they are, and named. Refuses to wait, to touch what is paused, and a service that
is being deployed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from botocore.exceptions import ClientError

from pipeline import naming
from pipeline.aws import service_errors
from pipeline.endpoint_status import UNDELETABLE
from pipeline.errors import ConsumerMoved, ConsumerUnreadable, SealiftError
from pipeline.operations import account_scan, executions
from pipeline.operations.account import MadeKind, moment
from pipeline.operations.account_scan import Scope
from pipeline.rollout import consumer_references, endpoint_parameter, release_store, releases, retirement
from pipeline.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from pipeline.aws.clients import Clients
    from pipeline.operations.account import Account
    from pipeline.rollout.releases import Release

TAKEN_DOWN: Final = "taken down"
"""The endpoint was deleted just now."""
GONE: Final = "gone"
"""What the endpoint left was deleted."""
WAITING: Final = "waiting"
FAILED: Final = "failed"
SOON: Final = "soon"
"""It runs, and its time is over within `NOTICE`."""
NOTICE: Final = timedelta(hours=1)
"""Before its end, in which the topic is told of it; of a shorter life its second half. The schedule looks four times in
it. As long after its end what still runs is told of too."""
SCOPE: Final = Scope(kinds=frozenset(), users=False, described=True, consumers=False)


class ExpiredDeployment(TypedDict):
    """A deployment whose time is over, or nearly, and what became of it with this look."""

    service: str
    endpoint_name: str
    expires_at: str
    """ISO 8601."""
    outcome: str
    """taken down, gone, waiting, failed or soon."""
    reason: str
    """Why it waits, or failed."""
    callers: list[str]
    """Who still calls an endpoint that was taken down, or soon is."""
    records: list[str]
    """The ARNs of its configurations, whose tags say when it goes."""
    tell: bool
    """Whether the topic is to be told: of what was taken down, of what soon is, and of what long ought to be."""


class Look(NamedTuple):
    """What came of one look."""

    ended: list[ExpiredDeployment]
    unseen: list[str]
    """What could not be looked at."""


class Message(NamedTuple):
    """What the topic is told."""

    subject: str
    text: str


def due(
    found: Mapping[str, Iterable[Release]],
    now: datetime,
    busy: AbstractSet[str | None],
    made: Mapping[str, datetime] = MappingProxyType({}),
) -> tuple[tuple[str, Release], ...]:
    """Return the deployments whose time is over, each with its service; those of a service that is deployed wait.

    Args:
        found: the deployments of each service.
        now: with its time zone.
        busy: the services that are being deployed; None for one that nobody can tell.
        made: when each endpoint was made, by its name.
    """
    return tuple((service, one) for service, one, end in _ending(found, busy, made) if end <= now)


def soon(
    found: Mapping[str, Iterable[Release]],
    now: datetime,
    busy: AbstractSet[str | None],
    made: Mapping[str, datetime] = MappingProxyType({}),
) -> tuple[tuple[str, Release], ...]:
    """Return the deployments that run and go soon, and of whose end nobody was told; arguments as of `due`."""
    return tuple(
        (service, one)
        for service, one, end in _ending(found, busy, made)
        if end - _notice(one) <= now < end
        and one.serves
        and one.status != "Deleting"
        and not one.is_to_resume
        and not _is_told(one)
    )


def _is_told(one: Release, what: str = "") -> bool:
    """Return whether the topic was told of the end that a deployment has now: it may have been moved since."""
    return one.expiry_told in {f"{one.expires_at}{what}", f"{one.expires_at}{releases.OVERDUE}"}


def _notice(one: Release) -> timedelta:
    return min(NOTICE, timedelta(seconds=(one.life_s or 0) / 2))


def _ending(
    found: Mapping[str, Iterable[Release]], busy: AbstractSet[str | None], made: Mapping[str, datetime]
) -> Iterator[tuple[str, Release, datetime]]:
    """Yield the deployments that have an end, each with its service and that end; what is paused has none."""
    if None in busy:
        return
    for service, ones in sorted(found.items()):
        for one in sorted(ones, key=lambda one: one.age):
            if service not in busy and one.expires_at and not one.is_paused:
                yield service, one, _end(one, made.get(str(one.endpoint)))


def _end(one: Release, made: datetime | None) -> datetime:
    """Return when a deployment goes.

    One that was marked as paused and still runs, since nobody finished that, has the end that it had; what was made
    anew since, and is not marked as brought back, lives from there on as long as it did.
    """
    end = moment(str(one.expires_at))
    anew = one.is_to_resume and made is not None and made > moment(str(one.paused_at))
    return made + timedelta(seconds=one.life_s or 0) if anew and made is not None else end


def once(clients: Clients, *, now: datetime, stack: str) -> Look:
    """Take what is due a step nearer to its end, and look for what soon is.

    Args:
        clients: AWS's.
        now: with its time zone.
        stack: whose deployments these are.
    """
    account = account_scan.scan(clients, replace(SCOPE, stack=stack))
    if MadeKind.ENDPOINT in account.unseen:
        return Look([], [account.unseen[MadeKind.ENDPOINT]])  # What is not seen would be taken for gone.
    unseen = sorted({*account.unseen.values(), *_unread(account)})
    found, nobody = account.releases, frozenset[str | None]()
    made = {name: one["CreationTime"] for name, one in account.descriptions.items() if one}
    near = [one for _, one in (*due(found, now, nobody, made), *soon(found, now, nobody, made))]
    if not near:
        return Look([], unseen)
    busy = _busy(clients, near)
    ended = [_step(clients, stack, service, one, now) for service, one in due(found, now, busy, made)]
    ended += [_foretold(clients, service, one) for service, one in soon(found, now, busy, made)]
    return Look(ended, unseen)


def mark_told(clients: Clients, ended: Iterable[ExpiredDeployment]) -> list[str]:
    """Write down what the topic was told, so that it is told once; return what could not be written down."""
    failed = []
    for one in ended:
        # What was taken down has no need of it: its record goes next.
        if not one["tell"] or one["outcome"] == TAKEN_DOWN:
            continue
        told = one["expires_at"] + (releases.OVERDUE if one["outcome"] == FAILED else "")
        try:
            with service_errors.translated():
                for record in one["records"]:
                    release_store.mark(clients.sagemaker, record, {releases.TAG_EXPIRY_TOLD: told})
        except SealiftError as error:
            failed.append(f"that the topic was told of {one['endpoint_name']} could not be written: {error}")
    return failed


def _unread(account: Account) -> Iterator[str]:
    """Yield what may be a deployment of the stack whose time is over, and whose tags could not be read."""
    for one in account.made:
        if one.unreadable:
            yield f"whether {one.kind} {one.name} was deployed for a time: {one.unreadable}"


def _busy(clients: Clients, of: Iterable[Release]) -> frozenset[str | None]:
    """Return the services that are being deployed by the state machines that made these."""
    machines = sorted({account_scan.machine_of(one.execution) for one in of} - {""})
    listed = [executions.running(clients.stepfunctions, machine) for machine in machines]
    services: set[str | None] = {one.service for each in listed for one in each.entries}
    return frozenset(services if all(each.complete for each in listed) else {None})


def _entry(service: str, one: Release, outcome: str) -> ExpiredDeployment:
    place = one.config_arn.rpartition("/")[0]
    return {
        "service": service,
        "endpoint_name": one.endpoint or one.config,
        "expires_at": str(one.expires_at),
        "outcome": outcome,
        "reason": "",
        "callers": [],
        "records": [f"{place}/{config}" for config in one.configs],
        "tell": False,
    }


def _foretold(clients: Clients, service: str, one: Release) -> ExpiredDeployment:
    """Return what is told of a deployment that goes soon; who calls it may be left out."""
    done = _entry(service, one, SOON)
    done["tell"] = True
    try:
        with service_errors.translated():
            done["callers"] = _callers(clients, one)
    except SealiftError as error:
        done["callers"] = [f"its consumers could not be read: {error}"]
    return done


def _step(clients: Clients, stack: str, service: str, one: Release, now: datetime) -> ExpiredDeployment:
    done = _entry(service, one, WAITING)
    try:
        with service_errors.translated():
            if one.serves and one.status in UNDELETABLE:
                done["reason"] = f"the endpoint is {one.status}"
            elif one.serves and one.status == "Deleting":
                done["reason"] = "the endpoint is being deleted"
            elif one.serves:
                done["callers"] = _callers(clients, one)
                _delete_parameter(clients, stack, service, one)
                # The component that it hosts goes first, and the endpoint with one of the next runs.
                done["reason"] = retirement.delete_component(clients, one)
                if not done["reason"]:
                    retirement.delete_endpoint(clients, one)
                    done["outcome"], done["tell"] = TAKEN_DOWN, True
            else:
                done["outcome"], done["reason"] = _clear(clients, service, one)
    except SealiftError as error:
        done["outcome"], done["reason"] = FAILED, str(error)
        long_over = now - moment(done["expires_at"]) >= NOTICE
        done["tell"] = long_over and not _is_told(one, releases.OVERDUE)
    return done


def _clear(clients: Clients, service: str, one: Release) -> tuple[str, str]:
    """Delete what is left of a deployment without an endpoint; return what came of that, and why it waits."""
    account = release_store.read_releases(clients.sagemaker, service)
    if why := release_store.configs_in_use(account, [one]).get(one.config):
        return WAITING, why
    retirement.delete_rest(clients, one, service, account)
    return GONE, ""


def _callers(clients: Clients, one: Release) -> list[str]:
    """Return who names the endpoint, in words."""
    try:
        named = consumer_references.referred(clients.lambda_, {who["function_name"] for who in one.consumers})
    except (ClientError, ConsumerUnreadable) as error:
        if isinstance(error, ClientError) and not service_errors.is_access_denied(error):
            raise
        return [f"its consumers could not be read: {error}"]
    return [who for value, who in named.items() if value == one.endpoint]


def _delete_parameter(clients: Clients, stack: str, service: str, one: Release) -> None:
    """Delete the parameter that names the endpoint; one that names another stays."""
    try:
        name = naming.endpoint_parameter(stack, service)
        endpoint_parameter.delete(clients.ssm, name, str(one.endpoint))
    except ConsumerMoved:
        return


def messages(ended: Iterable[ExpiredDeployment], now: datetime) -> list[Message]:
    """Return what the topic is told of a look; nothing of what waits, and of what an endpoint left.

    Args:
        ended: what came of it.
        now: with its time zone.
    """
    told = list(ended)
    kinds = (
        ("Sealift: taken down, as its time was over", TAKEN_DOWN, _of_taken_down),
        ("Sealift: its time is over, and it could not be taken down", FAILED, _of_failed),
        ("Sealift: taken down soon, as its time is over", SOON, lambda one: _of_soon(one, now)),
    )
    found = []
    for subject, outcome, lines in kinds:
        text = [line for one in told if one["outcome"] == outcome and one["tell"] for line in lines(one)]
        if text:
            found.append(Message(subject, "\n".join(text)))
    return found


def _of_taken_down(one: ExpiredDeployment) -> Iterator[str]:
    yield (
        f"service {one['service']}: endpoint {one['endpoint_name']} was taken down, since its time was over at "
        f"{one['expires_at']} (expires_after_h); its upload stays, and pushing it again brings the service back"
    )
    yield from (f"  {caller}, and its calls fail now" for caller in one["callers"])


def _of_failed(one: ExpiredDeployment) -> Iterator[str]:
    yield (
        f"service {one['service']}: {one['endpoint_name']} is not gone, though its time was over at "
        f"{one['expires_at']} (expires_after_h), and may cost money: {one['reason']}"
    )
    yield f"  it is tried again every quarter of an hour; `sealift delete {one['service']}` does it by hand"


def _of_soon(one: ExpiredDeployment, now: datetime) -> Iterator[str]:
    left = span((moment(one["expires_at"]) - now).total_seconds())
    yield (
        f"service {one['service']}: endpoint {one['endpoint_name']} is taken down in {left}, at {one['expires_at']} "
        "(expires_after_h); to keep it, deploy it again without expires_after_h, or run"
    )
    never = f"--tags Key={releases.TAG_EXPIRES},Value={releases.NEVER}"
    yield from (f"  aws sagemaker add-tags --resource-arn {record} {never}" for record in one["records"])
    yield f"  or `sealift pause {one['service']}`, which keeps what brings it back, where it is on instances"
    yield from (f"  {caller}, and its calls fail then" for caller in one["callers"])
