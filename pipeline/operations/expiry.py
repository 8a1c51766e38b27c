"""Taking down what was deployed for a time that is over: which deployments that is, and one step nearer for each.

Owns `sealift:expires-at` once it has passed. A deployment goes as `sealift delete` takes it: first the endpoint with
the parameter that names it; then, with the next look and when the endpoint is gone, alarms, model and configuration.
Consumers are left as they are, and named. Refuses to wait, to touch what is paused, and a service that is being
deployed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypedDict

from botocore.exceptions import ClientError

from pipeline import naming
from pipeline.aws import service_errors
from pipeline.endpoint_status import UNDELETABLE
from pipeline.errors import ConsumerMoved, ConsumerUnreadable, SealiftError
from pipeline.operations import account_scan, executions
from pipeline.operations.account import MadeKind, moment
from pipeline.operations.account_scan import Scope
from pipeline.rollout import consumer_references, endpoint_parameter, release_store, retirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from pipeline.aws.clients import Clients
    from pipeline.rollout.releases import Release

TAKEN_DOWN: Final = "taken down"
"""The endpoint was deleted just now."""
GONE: Final = "gone"
"""What the endpoint left was deleted."""
WAITING: Final = "waiting"
FAILED: Final = "failed"
SCOPE: Final = Scope(kinds=frozenset(), users=False, described=True, consumers=False)


class ExpiredDeployment(TypedDict):
    """A deployment whose time is over, and what became of it with this look."""

    service: str
    endpoint_name: str
    expires_at: str
    """ISO 8601."""
    outcome: str
    """taken down, gone, waiting or failed."""
    reason: str
    """Why it waits, or failed."""
    callers: list[str]
    """Who still calls an endpoint that was taken down."""


def due(
    found: Mapping[str, Iterable[Release]], now: datetime, busy: AbstractSet[str | None]
) -> tuple[tuple[str, Release], ...]:
    """Return the deployments whose time is over, each with its service; those of a service that is deployed wait.

    Args:
        found: the deployments of each service.
        now: with its time zone.
        busy: the services that are being deployed; None for one that nobody can tell.
    """
    if None in busy:
        return ()
    return tuple(
        (service, one)
        for service, ones in sorted(found.items())
        if service not in busy
        for one in sorted(ones, key=lambda one: one.age)
        if one.expires_at and not one.is_to_resume and moment(one.expires_at) <= now
    )


def once(clients: Clients, *, now: datetime, stack: str) -> tuple[list[ExpiredDeployment], list[str]]:
    """Take what is due a step nearer to its end; return what was done, and what could not be looked at.

    Args:
        clients: AWS's.
        now: with its time zone.
        stack: whose deployments these are.
    """
    account = account_scan.scan(clients, replace(SCOPE, stack=stack))
    if MadeKind.ENDPOINT in account.unseen:
        return [], [account.unseen[MadeKind.ENDPOINT]]  # What is not seen would be taken for gone.
    unseen = sorted(set(account.unseen.values()))
    over = due(account.releases, now, frozenset())
    ended = due(account.releases, now, _busy(clients, [one for _, one in over])) if over else ()
    return [_step(clients, stack, service, one) for service, one in ended], unseen


def _busy(clients: Clients, of: Iterable[Release]) -> frozenset[str | None]:
    """Return the services that are being deployed by the state machines that made these."""
    machines = sorted({account_scan.machine_of(one.execution) for one in of} - {""})
    listed = [executions.running(clients.stepfunctions, machine) for machine in machines]
    services: set[str | None] = {one.service for each in listed for one in each.entries}
    return frozenset(services if all(each.complete for each in listed) else {None})


def _step(clients: Clients, stack: str, service: str, one: Release) -> ExpiredDeployment:
    done: ExpiredDeployment = {
        "service": service,
        "endpoint_name": one.endpoint or one.config,
        "expires_at": str(one.expires_at),
        "outcome": WAITING,
        "reason": "",
        "callers": [],
    }
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
                    done["outcome"] = TAKEN_DOWN
            else:
                done["outcome"], done["reason"] = _clear(clients, service, one)
    except SealiftError as error:
        done["outcome"], done["reason"] = FAILED, str(error)
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


def notification(ended: Iterable[ExpiredDeployment]) -> str:
    """Return what the topic is told; empty where no endpoint was taken down."""
    lines = []
    for one in ended:
        if one["outcome"] != TAKEN_DOWN:
            continue
        lines.append(
            f"service {one['service']}: endpoint {one['endpoint_name']} was taken down, since its time was over at "
            f"{one['expires_at']} (expires_after_h); its upload stays, and pushing it again brings the service back"
        )
        lines += [f"  {caller}, and its calls fail now" for caller in one["callers"]]
    return "\n".join(lines)
