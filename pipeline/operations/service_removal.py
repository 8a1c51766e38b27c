"""Taking one service away: its endpoints with all that was made for them, and its uploads where that is wanted.

Looked at, decided, carried out, as `teardown` does for a whole stack. Refuses while a deployment of the service runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline import naming
from pipeline.aws import service_errors
from pipeline.errors import InvalidInput, Problem
from pipeline.operations import account_scan, executions, teardown
from pipeline.operations.account_scan import Scope
from pipeline.stack import change_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

    from pipeline.aws.clients import Clients
    from pipeline.operations.account import Made
    from pipeline.operations.executions import ExecutionSummary


@dataclass(frozen=True, slots=True)
class Uploads:
    """What was uploaded for a service."""

    bucket: str
    prefix: str
    owner: str
    """The account whose bucket it must be."""
    versions: int = 0
    """Of objects, delete markers too."""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ServiceRemoval:
    """What would go, and what would stay."""

    service: str
    stack: str
    made: tuple[Made, ...]
    """In the order in which it goes."""
    callers: tuple[str, ...]
    """Who calls an endpoint that goes, in words."""
    uploads: Uploads | None
    """None where the stack is gone, and with it the place of the uploads."""
    archives: bool
    """Whether the uploads go too."""
    paused: tuple[str, ...] = ()
    """The endpoints of deployments that are paused, which nothing brings back then."""
    unseen: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to delete."""
        return not self.made and not (self.archives and self.uploads and self.uploads.versions)


def plan_removal(
    clients: Clients, service: str, stack: str, *, bucket: str | None, archives: bool
) -> ServiceRemoval:
    """Return what would go.

    Args:
        clients: of the account.
        service: its name.
        stack: the one whose executions made it.
        bucket: the stack's for uploads; None where there is none any more.
        archives: whether the uploads go too.

    Raises:
        InvalidInput: a deployment of the service runs.
    """
    refuse_while_deployed(service, running(clients, stack))
    scope = Scope(stack=stack, service=service, kinds=frozenset(teardown.GONE), users=False)
    account = account_scan.scan(clients, scope)
    made = teardown.ours(account)
    paused = tuple(sorted(str(one.endpoint) for one in account.releases.get(service, ()) if one.is_paused))
    waiting = [f"{name}: {account.named[name]}" for name in paused if name in account.named]
    uploads = None
    if bucket:
        place = Uploads(bucket, naming.uploads_of(service), change_sets.place(clients).account_id)
        uploads = _counted(clients.s3, place)
    return ServiceRemoval(
        service=service,
        stack=stack,
        made=made,
        callers=(*teardown.callers(made, account.named), *waiting),
        uploads=uploads,
        archives=archives,
        paused=paused,
        unseen=(
            *sorted({*account.unseen.values(), *account.unclear.values()}),
            *(f"{one.kind} {one.name}: {one.unreadable}" for one in account.made if one.unreadable),
        ),
    )


def refuse_while_deployed(service: str, running: Iterable[ExecutionSummary]) -> None:
    """Refuse while the service is being deployed: that would make what nobody deletes any more.

    Raises:
        InvalidInput: it is; or nobody can tell of one that runs.
    """
    problems = [
        Problem(
            "DeploymentRunning",
            f"deployment {one.name} is running",
            "none of the service that runs",
            f"wait until it has ended (`sealift watch {one.name}`), or "
            f"`aws stepfunctions stop-execution --execution-arn {one.arn}`",
        )
        for one in running
        if one.service in (service, None)
    ]
    if problems:
        raise InvalidInput(f"service {service}", problems)


def carry_out(
    clients: Clients,
    removal: ServiceRemoval,
    *,
    on_deleted: Callable[[str], None],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    """Delete what the plan says; each step may be repeated.

    Args:
        clients: of the account.
        removal: what is to go.
        on_deleted: takes a line about what was deleted.
        sleep: waits between two looks.
        clock: returns seconds.

    Raises:
        InvalidInput: a deployment of the service has begun meanwhile.
    """
    refuse_while_deployed(removal.service, running(clients, removal.stack))
    teardown.clear(
        clients,
        removal.made,
        on_deleted=on_deleted,
        sleep=sleep,
        deadline=clock() + teardown.PATIENCE_S,
        clock=clock,
    )
    uploads = removal.uploads
    if removal.archives and uploads and uploads.versions:
        for page in _versions(clients.s3, uploads):
            teardown.delete_versions(
                clients.s3, uploads.bucket, [version for version, _ in page], uploads.owner
            )
        on_deleted(f"{uploads.versions} versions below s3://{uploads.bucket}/{uploads.prefix}")


def running(clients: Clients, stack: str) -> list[ExecutionSummary]:
    """Return the executions of a stack that run; none of one that is gone."""
    try:
        machines = executions.machines(clients.stepfunctions, stack)
    except InvalidInput:
        return []  # The stack is gone, and so is whatever could run.
    return [one for machine in machines for one in executions.running(clients.stepfunctions, machine).entries]


def _counted(client: S3Client, place: Uploads) -> Uploads:
    """Return how much lies there; nothing where the bucket is gone."""
    versions = size = 0
    try:
        for page in _versions(client, place):
            versions += len(page)
            size += sum(each for _, each in page)
    except ClientError as error:
        if not service_errors.is_no_such_key(error):
            raise
    return replace(place, versions=versions, bytes=size)


def _versions(client: S3Client, place: Uploads) -> Iterator[list[tuple[ObjectIdentifierTypeDef, int]]]:
    """Yield the versions of objects with their bytes, page by page of at most a thousand."""
    pages = client.get_paginator("list_object_versions").paginate(
        Bucket=place.bucket, Prefix=place.prefix, ExpectedBucketOwner=place.owner
    )
    for page in pages:
        rows = [
            *((one, int(one["Size"])) for one in page.get("Versions", ())),
            *((one, 0) for one in page.get("DeleteMarkers", ())),
        ]
        if rows:
            yield [({"Key": one["Key"], "VersionId": one["VersionId"]}, size) for one, size in rows]
