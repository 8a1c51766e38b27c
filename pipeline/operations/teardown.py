"""Taking a stack away again, and what its executions made outside of it: looked at, decided, carried out.

Owns what goes and what stays: endpoints with their alarms, models and configurations go, then the stack and its code;
uploads and archives stay unless they are named. Refuses while a deployment runs, and to delete what does not bear
the stack's tags. Each step may be repeated, so what was cut short goes on where it ended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline.aws import paging, service_errors
from pipeline.errors import InvalidInput, Problem
from pipeline.operations import account_scan, removal
from pipeline.operations.account import MadeKind
from pipeline.operations.account_scan import Scope
from pipeline.rollout import alarms_api, metric_filters_api
from pipeline.stack import change_sets, code_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

    from pipeline.aws.clients import Clients, ECRClient
    from pipeline.operations.account import Account, Made
    from pipeline.stack.change_sets import Ended, StackEvent, StackPlace

BUCKET, MACHINE = "AWS::S3::Bucket", "AWS::StepFunctions::StateMachine"
REPOSITORY: Final = "AWS::ECR::Repository"
KEPT: Final = "kept.json"
"""The object, beside the stack's code, that names the buckets of a stack that is gone."""
GONE: Final = (MadeKind.ENDPOINT, MadeKind.PARAMETER, MadeKind.ALARM, MadeKind.MODEL, MadeKind.CONFIG)
"""What goes, in this order: a configuration's tags are what finds the rest again."""
MOST_IMAGES: Final = 10_000
"""Images of a repository that are counted: all that ECR allows by default."""
LOOK_S: Final = 2.0
PATIENCE_S: Final = 900
"""An endpoint that is being made has to be waited for before it can be deleted."""


@dataclass(frozen=True, slots=True)
class TeardownResource:
    """A resource of the stack."""

    name: str
    """Its logical id."""
    type: str
    physical: str


@dataclass(frozen=True, slots=True)
class Holding:
    """A bucket of the stack's, and what is in it."""

    bucket: str
    objects: int
    """Versions of objects, delete markers too."""
    bytes: int


@dataclass(frozen=True, slots=True)
class TeardownPlan:
    """What would go, and what would stay."""

    name: str
    place: StackPlace
    found: Mapping[str, Any] | None
    """The stack as DescribeStacks has it; None when it is gone already."""
    resources: tuple[TeardownResource, ...]
    made: tuple[Made, ...]
    """What its executions made, in the order in which it goes."""
    callers: tuple[str, ...]
    """Who calls an endpoint that goes, in words."""
    buckets: tuple[Holding, ...]
    code: tuple[int, int]
    """Objects of code, and their bytes."""
    images: tuple[int, int]
    """Images in the stack's repository, which go with it, and the bytes that they are stored in."""
    archives: bool
    """Whether the buckets go too."""
    unseen: tuple[str, ...]
    """What could not be looked at, in words."""

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to delete."""
        return (
            self.found is None and not self.made and not self.code[0] and not (self.archives and self.buckets)
        )

    @property
    def inside(self) -> tuple[TeardownResource, ...]:
        """The resources that go with the stack."""
        return tuple(one for one in self.resources if one.type != BUCKET)


def plan_teardown(clients: Clients, name: str, *, archives: bool) -> TeardownPlan:
    """Return what would go.

    Raises:
        InvalidInput: a deployment runs, or the stack is being changed.
    """
    here = change_sets.place(clients)
    found = change_sets.ask(clients.cloudformation, name)
    if found is not None:
        refuse_while_changing(name, found["StackStatus"])
    resources = tuple(_resources(clients, found["StackId"])) if found else ()
    refuse_while_running(name, running(clients, resources))
    account = account_scan.scan(clients, Scope(stack=name, kinds=frozenset(GONE), users=False))
    made = ours(account)
    kept = _kept(clients.s3, here.bucket, name)
    images, unlisted = _images(clients.ecr, resources)
    names = [one.physical for one in resources if one.type == BUCKET and one.physical] or kept
    return TeardownPlan(
        name=name,
        place=here,
        found=found,
        resources=resources,
        made=made,
        callers=tuple(callers(made, account.named)),
        buckets=tuple(one for bucket in names if (one := _holding(clients.s3, here, bucket)) is not None),
        code=_code(clients.s3, here, name, notes=bool(kept)),
        images=images,
        archives=archives,
        unseen=(
            *unlisted,
            *sorted({*account.unseen.values(), *account.unclear.values()}),
            *(f"{one.kind} {one.name}: {one.unreadable}" for one in account.made if one.unreadable),
        ),
    )


def ours(account: Account) -> tuple[Made, ...]:
    """Return what goes: what bears the tags of the stack's executions, in the order in which it goes."""
    found = [one for one in account.made if one.kind in GONE and not one.unreadable]
    return tuple(sorted(found, key=lambda one: (GONE.index(one.kind), one.name)))


def refuse_while_changing(name: str, status: str) -> None:
    """Refuse a stack that somebody is changing; one that is being deleted already may go on.

    Raises:
        InvalidInput: it is being changed.
    """
    if status.endswith("_IN_PROGRESS") and status not in {"DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"}:
        fix = "wait until that has ended, then run this again"
        seen = Problem("StackBusy", f"it is {status}", "a stack that nobody is changing", fix)
        raise InvalidInput(f"stack {name}", [seen])


def refuse_while_running(name: str, executions: Iterable[str]) -> None:
    """Refuse while deployments run: they would make what nobody deletes any more.

    Raises:
        InvalidInput: some run.
    """
    problems = [
        Problem(
            "DeploymentRunning",
            f"deployment {arn.rpartition(':')[2]} is running",
            "none that runs",
            f"wait until it has ended, or `aws stepfunctions stop-execution --execution-arn {arn}`",
        )
        for arn in executions
    ]
    if problems:
        raise InvalidInput(f"stack {name}", problems)


def running(clients: Clients, resources: Iterable[TeardownResource]) -> list[str]:
    """Return the executions of the stack's state machine that run."""
    found = []
    for machine in [one.physical for one in resources if one.type == MACHINE and one.physical]:
        pages = clients.stepfunctions.get_paginator("list_executions").paginate(
            stateMachineArn=machine, statusFilter="RUNNING"
        )
        try:
            found += [row["executionArn"] for page in pages for row in page["executions"]]
        except ClientError as error:
            if service_errors.code(error) != "StateMachineDoesNotExist":
                raise
    return found


# ---------------------------------------------------------------------------- carrying out


def carry_out(
    clients: Clients,
    plan: TeardownPlan,
    *,
    on_deleted: Callable[[str], None],
    on_event: Callable[[StackEvent], None],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Ended:
    """Delete what the plan says; return how it ended.

    Args:
        clients: of the account.
        plan: what is to go.
        on_deleted: takes a line about what was deleted.
        on_event: takes what happens to the stack.
        sleep: waits between two looks.
        clock: returns seconds.

    Raises:
        InvalidInput: a deployment has begun meanwhile.
    """
    clear(clients, plan.made, on_deleted=on_deleted, sleep=sleep, deadline=clock() + PATIENCE_S, clock=clock)
    ended = change_sets.Ended("DELETE_COMPLETE")
    if plan.found is not None:
        refuse_while_running(plan.name, running(clients, plan.resources))
        _keep(clients.s3, plan)
        ended = change_sets.delete(clients.cloudformation, plan.found, on_event=on_event, sleep=sleep)
        if not ended.good:
            return ended
    if plan.archives:
        for one in plan.buckets:
            empty(clients.s3, one.bucket, plan.place.account_id)
            clients.s3.delete_bucket(Bucket=one.bucket, ExpectedBucketOwner=plan.place.account_id)
            on_deleted(f"bucket {one.bucket}")
    _clear_code(clients.s3, plan)
    return ended


def clear(
    clients: Clients,
    made: Iterable[Made],
    *,
    on_deleted: Callable[[str], None],
    sleep: Callable[[float], None],
    deadline: float,
    clock: Callable[[], float],
) -> None:
    """Delete what executions made: endpoints first, and what they use when they are gone."""
    things = list(made)

    def gone(one: Made) -> None:
        metric_filters_api.delete(clients.logs, one.name)
        alarms_api.delete(clients.cloudwatch, one.name)
        on_deleted(f"endpoint {one.name} and its alarms")

    endpoints = [one for one in things if one.kind is MadeKind.ENDPOINT]
    clear_endpoints(clients, endpoints, on_gone=gone, sleep=sleep, deadline=deadline, clock=clock)
    for one in things:
        if one.kind is not MadeKind.ENDPOINT:
            while not removal.delete(clients, one) and clock() < deadline:
                sleep(LOOK_S)
            on_deleted(f"{one.kind} {one.name}")


def clear_endpoints(
    clients: Clients,
    endpoints: Iterable[Made],
    *,
    on_gone: Callable[[Made], None],
    sleep: Callable[[float], None],
    deadline: float,
    clock: Callable[[], float],
) -> None:
    """Delete endpoints, and return when they are gone.

    No waiter of botocore's: endpoints go at the same time, each is told when it has gone, and one that is being made is
    asked for again until AWS takes its deletion, whatever becomes of it.
    """
    going = list(endpoints)
    asked: set[str] = set()
    while going:
        for one in going:
            if one.name not in asked and _deleted(clients, one):
                asked.add(one.name)
        left = [
            one
            for one in going
            if service_errors.or_none(clients.sagemaker.describe_endpoint, EndpointName=one.name) is not None
        ]
        for one in [one for one in going if one not in left]:
            on_gone(one)
        going = left
        if going and clock() > deadline:
            fix = "look at it in the SageMaker console, then run this again"
            raise InvalidInput(
                f"endpoint {going[0].name}",
                [Problem("EndpointStays", f"it is still there after {PATIENCE_S} s", "it to go", fix)],
            )
        if going:
            sleep(LOOK_S)


def _deleted(clients: Clients, endpoint: Made) -> bool:
    """Ask for an endpoint's deletion; return whether that was taken: one that is being made cannot go yet."""
    try:
        return removal.delete_endpoint(clients, endpoint)
    except ClientError as error:
        if service_errors.is_missing(error):
            return True
        if service_errors.is_in_progress(error):
            return False
        raise


def empty(client: S3Client, bucket: str, owner: str) -> None:
    """Delete every version of every object of a bucket, and what uploads that never ended have left."""
    unfinished = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, ExpectedBucketOwner=owner
    )
    for uploads in unfinished:
        for one in uploads.get("Uploads", ()):
            client.abort_multipart_upload(
                Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"], ExpectedBucketOwner=owner
            )
    for page in client.get_paginator("list_object_versions").paginate(
        Bucket=bucket, ExpectedBucketOwner=owner
    ):
        # A page has a thousand, which is what DeleteObjects takes.
        versions: list[ObjectIdentifierTypeDef] = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for rows in (page.get("Versions", []), page.get("DeleteMarkers", []))
            for one in rows
        ]
        if versions:
            delete_versions(client, bucket, versions, owner)


def delete_versions(
    client: S3Client, bucket: str, versions: list[ObjectIdentifierTypeDef], owner: str
) -> None:
    """Delete versions of objects.

    Args:
        client: of S3.
        bucket: that has them.
        versions: a thousand at most.
        owner: the account whose bucket it must be.

    Raises:
        InvalidInput: one of them stays.
    """
    answer = client.delete_objects(
        Bucket=bucket, Delete={"Objects": versions, "Quiet": True}, ExpectedBucketOwner=owner
    )
    if errors := answer.get("Errors"):
        seen = f"{errors[0].get('Key')}: {errors[0].get('Message')} (and {len(errors) - 1} more)"
        fix = "allow s3:DeleteObjectVersion, or lift the retention that keeps it"
        raise InvalidInput(f"s3://{bucket}", [Problem("NotEmpty", seen, "a bucket that can be emptied", fix)])


def _clear_code(client: S3Client, plan: TeardownPlan) -> None:
    """Delete the stack's code, and the bucket with it when nothing else is in it."""
    bucket = plan.place.bucket
    kept = f"{code_bucket.prefix(plan.name)}{KEPT}"
    stays = frozenset({kept}) if plan.buckets and not plan.archives else frozenset()
    code_bucket.prune(client, bucket, plan.name, keep=stays)
    try:
        if not client.list_objects_v2(
            Bucket=bucket.name, MaxKeys=1, ExpectedBucketOwner=bucket.account_id
        ).get("KeyCount"):
            client.delete_bucket(Bucket=bucket.name, ExpectedBucketOwner=bucket.account_id)
    except ClientError as error:
        # Another stack's deployment has just put something there.
        if not (service_errors.is_no_such_key(error) or service_errors.code(error) == "BucketNotEmpty"):
            raise


# ----------------------------------------------------------------------------- looking


def _resources(clients: Clients, stack_id: str) -> Iterator[TeardownResource]:
    for page in clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id):
        for row in page["StackResourceSummaries"]:
            if row["ResourceStatus"] != "DELETE_COMPLETE":
                yield TeardownResource(
                    row["LogicalResourceId"], row["ResourceType"], row.get("PhysicalResourceId", "")
                )


def callers(made: Iterable[Made], named: Mapping[str, str]) -> Iterator[str]:
    """Yield who calls an endpoint that goes, or that is gone and of which the rest goes, in words.

    Args:
        made: what goes.
        named: who names what, by the value of a consumer's variable.
    """
    endpoints: list[str] = []
    for one in made:
        # Of one that is gone already its model has the name, and its alarms and the parameter know it.
        endpoints += one.uses if one.kind in {MadeKind.PARAMETER, MadeKind.ALARM} else (one.name,)
    for name in dict.fromkeys(endpoints):
        if name in named:
            yield f"{name}: {named[name]}"


def _holding(client: S3Client, here: StackPlace, bucket: str) -> Holding | None:
    """Return what is in a bucket; None when it is gone."""
    objects = size = 0
    pages = client.get_paginator("list_object_versions").paginate(
        Bucket=bucket, ExpectedBucketOwner=here.account_id
    )
    try:
        for page in pages:
            versions = page.get("Versions", ())
            objects += len(versions) + len(page.get("DeleteMarkers", ()))
            size += sum(one["Size"] for one in versions)
    except ClientError as error:
        if service_errors.is_no_such_key(error):
            return None
        raise
    return Holding(bucket, objects, size)


def _images(client: ECRClient, resources: Iterable[TeardownResource]) -> tuple[tuple[int, int], list[str]]:
    """Return the images of the stack's repositories, and their bytes; and why they could not be counted."""
    count = size = 0
    unseen = []
    for name in [one.physical for one in resources if one.type == REPOSITORY and one.physical]:
        try:
            found = paging.read(
                client, "describe_images", "imageDetails", most=MOST_IMAGES, repositoryName=name
            ).rows
        except ClientError as error:
            if service_errors.is_access_denied(error):
                unseen.append(f"images of {name}, which go with it: {service_errors.text(error)}")
            elif not service_errors.is_no_such_image(error):
                raise
            continue
        count += len(found)
        size += sum(one.get("imageSizeInBytes", 0) for one in found)
    return (count, size), unseen


def _code(client: S3Client, here: StackPlace, name: str, *, notes: int) -> tuple[int, int]:
    """Return the objects of code, and their bytes; the note of what was kept is none."""
    objects, size = code_bucket.sizes(client, here.bucket, name)
    return max(objects - notes, 0), size if objects > notes else 0


def _keep(client: S3Client, plan: TeardownPlan) -> None:
    """Write down which buckets stay: when the stack is gone, nothing else tells whose they were."""
    if plan.buckets:
        bucket = plan.place.bucket
        code_bucket.ensure(client, bucket)
        body = json.dumps({"buckets": [one.bucket for one in plan.buckets]}).encode()
        code_bucket.put(client, bucket, f"{code_bucket.prefix(plan.name)}{KEPT}", body)


def _kept(client: S3Client, bucket: code_bucket.Bucket, name: str) -> list[str]:
    try:
        found = client.get_object(
            Bucket=bucket.name,
            Key=f"{code_bucket.prefix(name)}{KEPT}",
            ExpectedBucketOwner=bucket.account_id,
        )
    except ClientError as error:
        if service_errors.is_no_such_key(error):
            return []
        raise
    listed: list[str] = json.loads(found["Body"].read())["buckets"]
    return listed
