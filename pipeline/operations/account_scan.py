"""The one reading of what Sealift made in the account: AWS's lists and descriptions into an `account.Account`.

Bounded: `Scope.most` things of each kind are read in one scan. What is beyond that, and what AWS does not let be seen,
is told in `Account.unseen` or beside the thing itself. Refuses to decide (`sweep`, `service_status` and `teardown` do)
and to change anything (`removal` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import inference_component, naming
from pipeline.archive.s3.multipart import retired_at
from pipeline.aws import paging, resource_tags, service_errors
from pipeline.aws.resource_tags import (
    TAG_ARCHIVE,
    TAG_CONSUMER,
    TAG_EXECUTION,
    TAG_SCALING,
    TAG_SERVICE,
    tag_value,
)
from pipeline.errors import ConsumerUnreadable
from pipeline.image import image_record, stored_images
from pipeline.operations import executions
from pipeline.operations.account import Account, ExecutionEnd, Made, MadeKind, moment
from pipeline.planning import alarms, consumer
from pipeline.rollout import consumer_references, releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from pipeline.aws.clients import Clients
    from pipeline.rollout.releases import Release

MOST: Final = 1000
"""Things of one kind that are read in one scan: about a minute's calls for each kind."""
MOST_PARAMETERS: Final = 10
"""Of a page of GetParametersByPath (service model)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """How much of the account is read: each part of it costs calls."""

    stack: str | None = None
    """Only what this stack's executions made; None for any stack's."""
    service: str | None = None
    """Only what was made for this one; None for all."""
    kinds: frozenset[MadeKind] = frozenset(MadeKind)
    """What is read; endpoints and configurations always are, since they tell of the deployments."""
    bucket: str | None = None
    """The bucket of artifacts; None: neither archives nor images are read."""
    repository: str | None = None
    """The URI of the repository of images, without a tag; None: they are not read."""
    users: bool = True
    """Whether all of the account is described, Sealift's or not, and every execution that made something: who uses
    what."""
    described: bool = False
    """Whether Sealift's own endpoints are described where `users` does not say so already."""
    consumers: bool = True
    """Whether the functions that may call a service are read."""
    most: int = MOST
    """Things of one kind."""
    newest_first: bool = False
    """Which things are read where there are more: the oldest, among which are the leftovers, or the newest."""


def scan(clients: Clients, scope: Scope) -> Account:
    """Return what there is, within the scope."""
    return _Scan(clients, scope).account()


class _Scan:
    """One scan, gathered piece by piece: every piece notes what it could not see."""

    def __init__(self, clients: Clients, scope: Scope) -> None:
        self._clients = clients
        self._scope = scope
        self._made: list[Made] = []
        self._unseen: dict[MadeKind, str] = {}
        self._unclear: dict[str, str] = {}
        self._config_rows: list[Mapping[str, Any]] = []
        self._statuses: dict[str, tuple[str, str]] = {}
        self._descriptions: dict[str, Mapping[str, Any]] = {}
        self._configs: dict[str, frozenset[str]] = {}
        self._models: set[str] = set()
        self._archives: dict[str, str] = {}
        self._images: dict[str, str] = {}
        self._releases: dict[str, list[Release]] = {}
        self._consumers: dict[str, set[str]] = {}
        """The functions that may call a service, by the service."""

    def account(self) -> Account:
        scope = self._scope
        self._seen(MadeKind.CONFIG, self._list_configs)
        self._seen(MadeKind.ENDPOINT, self._read_endpoints)
        self._seen(MadeKind.CONFIG, self._read_configs)
        if MadeKind.MODEL in scope.kinds:
            self._seen(MadeKind.MODEL, self._read_models)
        if MadeKind.ALARM in scope.kinds:
            self._seen(MadeKind.ALARM, self._read_alarms)
        if MadeKind.PARAMETER in scope.kinds:
            self._seen(MadeKind.PARAMETER, self._read_parameters)
        if scope.bucket is not None:
            self._seen(MadeKind.ARCHIVE, partial(self._read_archives, scope.bucket))
        if scope.bucket is not None and scope.repository:
            self._seen(MadeKind.IMAGE, partial(self._read_images, scope.repository, scope.bucket))
        named = self._read_consumers() if scope.consumers else {}
        # Last, so that little time is left for an execution to begin after it and before the deleting.
        ends, running = self._read_executions() if scope.users else ({}, {})
        return Account(
            made=tuple(self._made),
            releases={service: releases.together(found) for service, found in self._releases.items()},
            endpoints={name: config for name, (_, config) in self._statuses.items()},
            configs=self._configs,
            models=frozenset(self._models),
            archives=self._archives,
            images=self._images,
            named=named,
            executions=ends,
            running=running,
            unclear=self._unclear,
            descriptions=self._descriptions,
            unseen=self._unseen,
        )

    # -- what there is

    def _seen(self, kind: MadeKind, piece: Callable[[], None]) -> None:
        try:
            piece()
        except ClientError as error:
            self._note_unseen(kind, error)

    def _note_unseen(self, kind: MadeKind, error: ClientError) -> None:
        if not service_errors.is_access_denied(error):
            raise error
        why = service_errors.text(error) or "access denied"
        self._unseen.setdefault(kind, f"not every {kind} could be looked at: {why}")

    def _list_configs(self) -> None:
        self._config_rows = self._rows(MadeKind.CONFIG, "list_endpoint_configs", "EndpointConfigs")

    def _read_endpoints(self) -> None:
        # One that is updated in place has its service's name, which tells nothing; its configurations' names do.
        in_place = {naming.service_within(row["EndpointConfigName"]) for row in self._config_rows}
        for row in self._rows(MadeKind.ENDPOINT, "list_endpoints", "Endpoints"):
            name, arn, status = row["EndpointName"], row["EndpointArn"], row["EndpointStatus"]
            whose = self._sagemaker_tags(name, arn, in_place=name in in_place)
            if whose is None:
                continue
            tags, why = whose
            described: Mapping[str, Any] = {}
            if self._scope.users or (self._scope.described and self._is_wanted(tags)):
                ask = self._clients.sagemaker.describe_endpoint
                found = self._described(MadeKind.ENDPOINT, ask, EndpointName=name)
                if found is None:
                    continue
                described = found
            config, status = described.get("EndpointConfigName", ""), described.get("EndpointStatus", status)
            self._statuses[name] = (status, config)
            changed = max(row["CreationTime"], row["LastModifiedTime"])
            if self._note(
                MadeKind.ENDPOINT, name, changed, tags, why, arn=arn, uses=(config,), status=status
            ):
                self._descriptions[name] = described

    def _read_configs(self) -> None:
        for row in self._config_rows:
            name, arn, created = row["EndpointConfigName"], row["EndpointConfigArn"], row["CreationTime"]
            if self._scope.users:
                found = self._described(
                    MadeKind.CONFIG,
                    self._clients.sagemaker.describe_endpoint_config,
                    EndpointConfigName=name,
                )
                if found is None:
                    continue
                self._configs[name] = inference_component.models(found)
            whose = self._sagemaker_tags(name, arn)
            if whose is None:
                continue
            tags, why = whose
            models = tuple(sorted(self._configs.get(name, ())))
            if self._note(MadeKind.CONFIG, name, created, tags, why, arn=arn, uses=models) and not why:
                one = releases.read(name, arn, created.isoformat(), tags, self._statuses)
                if one is not None:
                    self._releases.setdefault(tags[TAG_SERVICE], []).append(one)

    def _read_models(self) -> None:
        for row in self._rows(MadeKind.MODEL, "list_models", "Models"):
            name, arn = row["ModelName"], row["ModelArn"]
            # Only a model's description tells which archive it reads, and which image it has.
            if self._scope.bucket is not None:
                found = self._described(
                    MadeKind.MODEL, self._clients.sagemaker.describe_model, ModelName=name
                )
                if found is None:
                    continue
                self._archives |= dict.fromkeys(_urls(found), name)
                self._images |= dict.fromkeys(_images(found), name)
            whose = self._sagemaker_tags(name, arn)
            if whose is None:
                continue
            tags, why = whose
            self._models.add(name)
            self._note(MadeKind.MODEL, name, row["CreationTime"], tags, why, arn=arn)

    def _read_alarms(self) -> None:
        client = self._clients.cloudwatch
        rows, complete = paging.read(
            client, "describe_alarms", "MetricAlarms", most=self._scope.most, AlarmNamePrefix=alarms.PREFIX
        )
        for row in rows:
            endpoint = alarms.endpoint_of(row["AlarmName"])
            if endpoint is None or endpoint in self._statuses:
                continue
            arn, changed = row["AlarmArn"], row["AlarmConfigurationUpdatedTimestamp"]
            whose = _readable(lambda arn=arn: _tags(client.list_tags_for_resource(ResourceARN=arn)))  # type: ignore[misc]
            if whose is None:
                continue
            tags, why = whose
            self._note(MadeKind.ALARM, row["AlarmName"], changed, tags, why, uses=(endpoint,))
        if not complete:
            self._note_bound(MadeKind.ALARM)

    def _read_parameters(self) -> None:
        # Their names tell whose they are: the stack's path is its own.
        stack, service = self._scope.stack, self._scope.service
        path = naming.parameters_of(stack) if stack else naming.PARAMETERS
        rows, complete = paging.read(
            self._clients.ssm,
            "get_parameters_by_path",
            "Parameters",
            most=self._scope.most,
            page_size=MOST_PARAMETERS,
            Path=path,
            Recursive=True,
        )
        for row in rows:
            whose = naming.named_by(row["Name"])
            if whose is None or service not in {None, whose[1]}:
                continue
            self._made.append(
                Made(
                    kind=MadeKind.PARAMETER,
                    name=row["Name"],
                    changed=row["LastModifiedDate"],
                    service=whose[1],
                    arn=row["ARN"],
                    uses=(row["Value"],),
                )
            )
        if not complete:
            self._note_bound(MadeKind.PARAMETER)

    def _read_archives(self, bucket: str) -> None:
        s3, reads = self._clients.s3, 0
        listed = paging.read(
            s3,
            "list_object_versions",
            "Versions",
            most=self._scope.most * 10,
            page_size=1000,
            Bucket=bucket,
            Prefix="archives/",
        )
        for row in listed.rows:
            url = f"s3://{bucket}/{row['Key']}"
            # A model that is no archive is read by its folder.
            urls = (url, f"s3://{bucket}/{'/'.join(row['Key'].split('/')[:2])}/")
            if not row["IsLatest"] or reads >= self._scope.most:
                continue
            marked = None
            if not any(one in self._archives for one in urls):
                reads += 1
                marked_at = retired_at(s3, bucket, row["Key"], row["VersionId"])
                marked = moment(marked_at) if marked_at else None
            self._made.append(
                Made(
                    kind=MadeKind.ARCHIVE,
                    name=row["Key"],
                    changed=row["LastModified"],
                    uses=urls,
                    version=row["VersionId"],
                    marked=marked,
                )
            )

    def _read_images(self, repository: str, bucket: str) -> None:
        for found in stored_images.listed(self._clients.registry, repository, most=self._scope.most):
            claimed = image_record.claimed_at(self._clients.s3, bucket, found.tag)
            self._made.append(
                Made(
                    kind=MadeKind.IMAGE,
                    name=found.tag,
                    changed=max(found.pushed, claimed or found.pushed),
                    uses=(f"{repository}@{found.digest}", f"{repository}:{found.tag}"),
                    version=found.digest,
                    bucket=bucket,
                )
            )

    # -- who refers to it

    def _read_consumers(self) -> dict[str, str]:
        """Return who names what; note whose consumers cannot be read, and the versions that were published for us."""
        services: dict[str, list[str]] = {}
        for service, functions in self._consumers.items():
            for function in functions:
                services.setdefault(function, []).append(service)
        named: dict[str, str] = {}
        for function, served in sorted(services.items()):
            try:
                found = consumer_references.read(self._clients.lambda_, function)
                named |= found.named
                if MadeKind.VERSION in self._scope.kinds:
                    self._read_versions(function, served[0], found.aliased)
            except (ClientError, ConsumerUnreadable) as error:
                if isinstance(error, ClientError) and not service_errors.is_access_denied(error):
                    raise
                reason = service_errors.text(error) if isinstance(error, ClientError) else str(error)
                why = f"{function}, which may call it, could not be read: {reason}"
                self._unclear |= dict.fromkeys(served, why)
        return named

    def _read_versions(self, function: str, service: str, aliased: frozenset[str]) -> None:
        try:
            versions = consumer_references.versions(self._clients.lambda_, function)
        except ClientError as error:
            if service_errors.is_missing(error):
                return
            raise
        for one in versions[: self._scope.most]:
            endpoint = consumer.marked(one.get("Description"))
            if endpoint is None or not one["Version"].isdigit():
                continue
            if endpoint in consumer.Configuration.from_response(one).variables.values():
                self._made.append(
                    Made(
                        kind=MadeKind.VERSION,
                        name=f"{one['Version']} of {function}",
                        changed=moment(one["LastModified"]),
                        service=service,
                        uses=(endpoint,),
                        function=function,
                        version=one["Version"],
                        aliased=one["Version"] in aliased,
                    )
                )

    def _read_executions(self) -> tuple[dict[str, ExecutionEnd], dict[str, str]]:
        """Return the executions that made something, and of those that are running what they work on."""
        client = self._clients.stepfunctions
        made_by = sorted({one.execution for one in self._made if one.execution})
        running: dict[str, str] = {}
        for machine in sorted({machine_of(arn) for arn in made_by} - {""}):
            try:
                found = executions.running(client, machine)
            except ClientError as error:
                if service_errors.code(error) == "StateMachineDoesNotExist":
                    continue
                if not service_errors.is_access_denied(error):
                    raise
                # Which of them would take over what lies about here cannot be told.
                why = f"the executions of {machine} could not be looked at: {service_errors.text(error)}"
                self._unseen[MadeKind.ENDPOINT] = why
                continue
            running |= {one.arn: tag_value(one.archive or "") for one in found.entries}
            if not found.complete:
                why = f"more than {executions.MOST} executions of {machine} are running"
                self._unseen[MadeKind.ENDPOINT] = why
        ends = {arn: ExecutionEnd(running=True) if arn in running else self._end(arn) for arn in made_by}
        return ends, running

    def _end(self, arn: str) -> ExecutionEnd:
        try:
            found = self._clients.stepfunctions.describe_execution(executionArn=arn)
        except ClientError as error:
            if service_errors.code(error) in {"ExecutionDoesNotExist", "InvalidArn"}:
                return ExecutionEnd()
            if service_errors.is_access_denied(error):
                return ExecutionEnd(unreadable=service_errors.text(error))
            raise
        return ExecutionEnd(running=found["status"] == "RUNNING", ended=found.get("stopDate"))

    # -- rows and tags

    def _note(
        self, kind: MadeKind, name: str, changed: datetime, tags: Mapping[str, str], why: str, **more: Any
    ) -> bool:
        """Note a thing if Sealift made it within the scope, or if nobody can tell; return whether it was noted."""
        if not why and not self._is_wanted(tags):
            return False
        service = tags.get(TAG_SERVICE, "")
        for key, value in tags.items():
            # All of them, whatever their number: one that called an earlier deployment may call it still.
            if (key == TAG_CONSUMER or key.startswith(f"{TAG_CONSUMER}-")) and value:
                self._consumers.setdefault(service, set()).add(value.split(" ")[0])
        self._made.append(
            Made(
                kind=kind,
                name=name,
                changed=changed,
                service=service,
                execution=tags.get(TAG_EXECUTION, ""),
                archive=tags.get(TAG_ARCHIVE, ""),
                scales=kind is MadeKind.ENDPOINT and TAG_SCALING in tags,
                to_zero=kind is MadeKind.ENDPOINT and resource_tags.scales_to_none(tags),
                unreadable=why,
                own_tags=resource_tags.own(tags) if kind is MadeKind.ENDPOINT else {},
                **more,
            )
        )
        return True

    def _is_wanted(self, tags: Mapping[str, str]) -> bool:
        """Return whether tags are those of what Sealift made, within the scope."""
        execution, service, scope = tags.get(TAG_EXECUTION), tags.get(TAG_SERVICE), self._scope
        if not execution or not service or scope.service not in {None, service}:
            return False
        return scope.stack is None or f":{scope.stack}{naming.MACHINE_SUFFIX}:" in execution

    def _sagemaker_tags(
        self, name: str, arn: str, *, in_place: bool = False
    ) -> tuple[dict[str, str], str] | None:
        """Return the tags of what may be Sealift's by its name, of anything else none; None for what is gone by now.

        What was listed a moment ago and has no tags any more would be taken for an endpoint that serves nothing.
        """
        only = self._scope.service
        if not (in_place or naming.may_be_ours(name)) or (only and not naming.is_named_after(name, only)):
            return {}, ""
        return _readable(lambda: resource_tags.read(self._clients.sagemaker, arn))

    def _described(
        self, kind: MadeKind, ask: Callable[..., Mapping[str, Any]], **name: str
    ) -> Mapping[str, Any] | None:
        """Return a description; None for what is gone, or may not be described, which is noted."""
        try:
            return service_errors.or_none(ask, **name)
        except ClientError as error:
            self._note_unseen(kind, error)
            return None

    def _rows(self, kind: MadeKind, operation: str, member: str) -> list[Mapping[str, Any]]:
        """Return the rows of one of SageMaker's lists, as far as the bound."""
        named: dict[str, Any] = {}
        if self._scope.service:
            if not naming.may_be_in_a_name(self._scope.service):
                return []
            named["NameContains"] = self._scope.service
        rows, complete = paging.read(
            self._clients.sagemaker,
            operation,
            member,
            most=self._scope.most,
            SortBy="CreationTime",
            SortOrder="Descending" if self._scope.newest_first else "Ascending",
            **named,
        )
        if not complete:
            self._note_bound(kind)
        return rows

    def _note_bound(self, kind: MadeKind) -> None:
        self._unseen[kind] = f"there are more than {self._scope.most} of this kind in the account: {kind}"


def _readable(ask: Callable[[], dict[str, str]]) -> tuple[dict[str, str], str] | None:
    """Return tags, and why they could not be read; None when what has them is gone."""
    try:
        return ask(), ""
    except ClientError as error:
        if service_errors.is_missing(error):
            return None
        if service_errors.is_access_denied(error):
            return {}, f"its tags could not be read: {service_errors.text(error) or 'access denied'}"
        raise


def _tags(response: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in response["Tags"]}


def _urls(described: Any) -> Iterator[str]:
    """Yield every place in S3 that a model's description names."""
    if isinstance(described, dict):
        for value in described.values():
            yield from _urls(value)
    elif isinstance(described, list):
        for value in described:
            yield from _urls(value)
    elif isinstance(described, str) and described.startswith("s3://"):
        yield described


def _images(described: Mapping[str, Any]) -> Iterator[str]:
    """Yield the image of each container that a model's description names."""
    for container in (described.get("PrimaryContainer"), *described.get("Containers", ())):
        if container and container.get("Image"):
            yield container["Image"]


def machine_of(execution: str) -> str:
    """Return the state machine of an execution, by their ARNs; empty for what is no execution's."""
    arn, _, name = execution.rpartition(":")
    return arn.replace(":execution:", ":stateMachine:") if name and ":execution:" in arn else ""
