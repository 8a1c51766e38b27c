"""A look at everything that Sealift made in the account, and the deleting of one thing: the calls of the sweeper.

Bounded: `PAGES` of each list are looked into in one run; what is beyond that is told in `SweepFacts.unseen`, and
keeps whatever it may refer to. What AWS does not let it see it reports as unseen or unreadable. Refuses to decide
(`pipeline.operations.sweep` does).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError

from pipeline import naming
from pipeline.archive.s3.multipart import RETIRED, retired_at
from pipeline.aws import resource_tags, service_errors
from pipeline.aws.resource_tags import (
    TAG_ARCHIVE,
    TAG_CONSUMER,
    TAG_EXECUTION,
    TAG_SCALING,
    TAG_SERVICE,
    tag_value,
)
from pipeline.errors import ConsumerUnreadable
from pipeline.operations.sweep import ExecutionEnd, Made, MadeKind, SweepFacts, moment
from pipeline.planning import alarms, consumer
from pipeline.rollout import autoscaling_api, consumer_references, releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from pipeline.aws.clients import Clients
    from pipeline.rollout.releases import Release

    R = TypeVar("R")

PAGES: Final = 10
PAGE: Final = 100
"""Rows in a page at most (service model)."""
MOST: Final = PAGES * PAGE
"""Things of one kind that are looked into in one run: about a minute's calls for each kind."""


def look(clients: Clients, *, stack: str | None, bucket: str | None) -> SweepFacts:
    """Return what there is.

    Args:
        clients: of the account.
        stack: the stack whose executions made it; None for any.
        bucket: the bucket of artifacts; None: archives are not looked at.
    """
    return _Look(clients, stack, bucket).facts()


def delete(clients: Clients, made: Made) -> bool:
    """Delete a thing; return whether it is gone now. An endpoint takes a while, and is gone in a later run."""
    sagemaker = clients.sagemaker
    try:
        if made.kind is MadeKind.ENDPOINT:
            if made.scales:
                autoscaling_api.deregister(clients.autoscaling, made.name)
            sagemaker.delete_endpoint(EndpointName=made.name)
            return False
        if made.kind is MadeKind.CONFIG:
            sagemaker.delete_endpoint_config(EndpointConfigName=made.name)
        elif made.kind is MadeKind.MODEL:
            sagemaker.delete_model(ModelName=made.name)
        elif made.kind is MadeKind.ALARM:
            clients.cloudwatch.delete_alarms(AlarmNames=[made.name])
        elif made.kind is MadeKind.VERSION:
            clients.lambda_.delete_function(FunctionName=made.function, Qualifier=made.version)
        else:
            place, key = _place(made)
            # This version and no other: what was written since is somebody's who found it marked.
            clients.s3.delete_object(Bucket=place, Key=key, VersionId=made.version)
    except ClientError as error:
        if not service_errors.is_missing(error):
            raise
    return True


def mark(clients: Clients, made: Made, now: datetime) -> None:
    """Mark an archive that no model reads: whoever wants to deploy it from now on writes it again."""
    place, key = _place(made)
    tags = [{"Key": RETIRED, "Value": now.isoformat(timespec="seconds")}]
    clients.s3.put_object_tagging(
        Bucket=place,
        Key=key,
        VersionId=made.version,
        Tagging={"TagSet": tags},  # type: ignore[typeddict-item]
    )


def _place(made: Made) -> tuple[str, str]:
    bucket, _, key = made.uses[0].removeprefix("s3://").partition("/")
    return bucket, key


class _Look:
    """One look, gathered piece by piece: every piece notes what it could not see."""

    def __init__(self, clients: Clients, stack: str | None, bucket: str | None) -> None:
        self._clients = clients
        self._stack = stack
        self._bucket = bucket
        self._made: list[Made] = []
        self._unseen: dict[MadeKind, str] = {}
        self._unclear: dict[str, str] = {}
        self._statuses: dict[str, tuple[str, str]] = {}
        self._configs: dict[str, frozenset[str]] = {}
        self._models: set[str] = set()
        self._archives: dict[str, str] = {}
        self._releases: dict[str, list[Release]] = {}
        self._consumers: dict[str, set[str]] = {}
        """The functions that may call a service, by the service."""

    def facts(self) -> SweepFacts:
        self._see(MadeKind.ENDPOINT, self._look_at_endpoints)
        self._see(MadeKind.CONFIG, self._look_at_configs)
        self._see(MadeKind.MODEL, self._look_at_models)
        self._see(MadeKind.ALARM, self._look_at_alarms)
        self._see(MadeKind.ARCHIVE, self._look_at_archives)
        named = self._look_at_consumers()
        # Last, so that little time is left for an execution to begin after it and before the deleting.
        executions, running = self._look_at_executions()
        return SweepFacts(
            made=tuple(self._made),
            releases={service: releases.together(found) for service, found in self._releases.items()},
            endpoints={name: config for name, (_, config) in self._statuses.items()},
            configs=self._configs,
            models=frozenset(self._models),
            archives=self._archives,
            named=named,
            executions=executions,
            running=running,
            unclear=self._unclear,
            unseen=self._unseen,
        )

    # -- what there is

    def _see(self, kind: MadeKind, piece: Callable[[], None]) -> None:
        try:
            piece()
        except ClientError as error:
            if not service_errors.is_access_denied(error):
                raise
            self._unseen[kind] = f"not every {kind} could be looked at: {service_errors.text(error)}"

    def _look_at_endpoints(self) -> None:
        client = self._clients.sagemaker
        for row in self._rows(MadeKind.ENDPOINT, client.list_endpoints, "Endpoints"):
            name = row["EndpointName"]
            found = service_errors.or_none(client.describe_endpoint, EndpointName=name)
            if found is None:
                continue
            status, config = found["EndpointStatus"], found["EndpointConfigName"]
            self._statuses[name] = (status, config)
            made = max(row["CreationTime"], row["LastModifiedTime"])
            self._take(MadeKind.ENDPOINT, name, found["EndpointArn"], made, uses=(config,), status=status)

    def _look_at_configs(self) -> None:
        client = self._clients.sagemaker
        for row in self._rows(MadeKind.CONFIG, client.list_endpoint_configs, "EndpointConfigs"):
            name, arn, created = row["EndpointConfigName"], row["EndpointConfigArn"], row["CreationTime"]
            found = service_errors.or_none(client.describe_endpoint_config, EndpointConfigName=name)
            if found is None:
                continue
            models = frozenset(variant["ModelName"] for variant in found["ProductionVariants"])
            self._configs[name] = models
            if not naming.may_be_ours(name):
                continue
            tags = self._take(MadeKind.CONFIG, name, arn, created, uses=tuple(sorted(models)))
            one = releases.read(name, arn, created.isoformat(), tags, self._statuses) if tags else None
            if one is not None:
                self._releases.setdefault(tags[TAG_SERVICE], []).append(one)

    def _look_at_models(self) -> None:
        client = self._clients.sagemaker
        for row in self._rows(MadeKind.MODEL, client.list_models, "Models"):
            name = row["ModelName"]
            found = service_errors.or_none(client.describe_model, ModelName=name)
            if found is None:
                continue
            self._models.add(name)
            self._archives |= dict.fromkeys(_urls(found), name)
            if naming.may_be_ours(name):
                self._take(MadeKind.MODEL, name, row["ModelArn"], row["CreationTime"])

    def _look_at_alarms(self) -> None:
        client = self._clients.cloudwatch
        token: dict[str, Any] = {}
        for _ in range(PAGES):
            page = client.describe_alarms(AlarmNamePrefix=alarms.PREFIX, MaxRecords=PAGE, **token)
            for row in page.get("MetricAlarms", ()):
                endpoint = alarms.endpoint_of(row["AlarmName"])
                if endpoint is None or endpoint in self._statuses:
                    continue
                tags, why = self._tags(
                    lambda row=row: {  # type: ignore[misc]
                        tag["Key"]: tag["Value"]
                        for tag in client.list_tags_for_resource(ResourceARN=row["AlarmArn"])["Tags"]
                    }
                )
                changed = row["AlarmConfigurationUpdatedTimestamp"]
                self._add(MadeKind.ALARM, row["AlarmName"], changed, tags, why, uses=(endpoint,))
            token = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
            if not token:
                return

    def _look_at_archives(self) -> None:
        if self._bucket is None:
            return
        s3, looked = self._clients.s3, 0
        token: dict[str, Any] = {}
        for _ in range(PAGES):
            page: Mapping[str, Any] = s3.list_object_versions(
                Bucket=self._bucket, Prefix="archives/", **token
            )
            for row in page.get("Versions", ()):
                url = f"s3://{self._bucket}/{row['Key']}"
                # A model that is no archive is read by its folder.
                urls = (url, f"s3://{self._bucket}/{'/'.join(row['Key'].split('/')[:2])}/")
                if not row["IsLatest"] or looked >= MOST:
                    continue
                marked = None
                if not any(one in self._archives for one in urls):
                    looked += 1
                    told = retired_at(s3, self._bucket, row["Key"], row["VersionId"])
                    marked = moment(told) if told else None
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
            if not page.get("IsTruncated"):
                return
            token = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    # -- who refers to it

    def _look_at_consumers(self) -> dict[str, str]:
        """Return who names what; note whose consumers cannot be read, and the versions that were published for us."""
        services: dict[str, list[str]] = {}
        for service, functions in self._consumers.items():
            for function in functions:
                services.setdefault(function, []).append(service)
        named: dict[str, str] = {}
        for function, served in sorted(services.items()):
            try:
                named |= consumer_references.referred(self._clients.lambda_, [function])
                self._look_at_versions(function, served[0])
            except (ClientError, ConsumerUnreadable) as error:
                if isinstance(error, ClientError) and not service_errors.is_access_denied(error):
                    raise
                told = service_errors.text(error) if isinstance(error, ClientError) else str(error)
                why = f"{function}, which may call it, could not be read: {told}"
                self._unclear |= dict.fromkeys(served, why)
        return named

    def _look_at_versions(self, function: str, service: str) -> None:
        client = self._clients.lambda_
        try:
            versions = consumer_references.versions(client, function)
            aliased = {
                version
                for alias in consumer_references.aliases(client, function)
                for version in consumer.Alias.from_response(alias).versions
            }
        except ClientError as error:
            if service_errors.is_missing(error):
                return
            raise
        for one in versions[:MOST]:
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

    def _look_at_executions(self) -> tuple[dict[str, ExecutionEnd], dict[str, str]]:
        """Return the executions that made something, and of those that are running what they work on."""
        client = self._clients.stepfunctions
        made_by = sorted({one.execution for one in self._made if one.execution})
        running: dict[str, str] = {}
        for machine in sorted({_machine(arn) for arn in made_by} - {""}):
            try:
                for arn in self._running(machine):
                    running[arn] = _archive(client.describe_execution(executionArn=arn).get("input"))
            except ClientError as error:
                if service_errors.code(error) == "StateMachineDoesNotExist":
                    continue
                if not service_errors.is_access_denied(error):
                    raise
                # Which of them would take over what lies about here cannot be told.
                why = f"the executions of {machine} could not be looked at: {service_errors.text(error)}"
                self._unseen[MadeKind.ENDPOINT] = why
        return {arn: self._execution(arn) for arn in made_by}, running

    def _running(self, machine: str) -> Iterator[str]:
        client = self._clients.stepfunctions
        token: dict[str, Any] = {}
        for _ in range(PAGES):
            page = client.list_executions(
                stateMachineArn=machine, statusFilter="RUNNING", maxResults=PAGE, **token
            )
            yield from (row["executionArn"] for row in page["executions"])
            token = {"nextToken": page["nextToken"]} if page.get("nextToken") else {}
            if not token:
                return
        self._unseen[MadeKind.ENDPOINT] = f"more than {PAGES * PAGE} executions of {machine} are running"

    def _execution(self, arn: str) -> ExecutionEnd:
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

    def _take(
        self,
        kind: MadeKind,
        name: str,
        arn: str,
        changed: datetime,
        *,
        uses: tuple[str, ...] = (),
        status: str = "",
    ) -> dict[str, str]:
        """Note a thing if Sealift made it, or if nobody can tell; return its tags."""
        tags, why = self._tags(lambda: resource_tags.read(self._clients.sagemaker, arn))
        return self._add(kind, name, changed, tags, why, arn=arn, uses=uses, status=status)

    def _add(
        self, kind: MadeKind, name: str, changed: datetime, tags: dict[str, str], why: str, **more: Any
    ) -> dict[str, str]:
        execution, service = tags.get(TAG_EXECUTION, ""), tags.get(TAG_SERVICE, "")
        foreign = not why and not (execution and service)
        if foreign or (execution and self._stack and f":{self._stack}-deployment:" not in execution):
            return {}
        for key, value in tags.items():
            # All of them, whatever their number: one that called an earlier deployment may call it still.
            if (key == TAG_CONSUMER or key.startswith(f"{TAG_CONSUMER}-")) and value:
                self._consumers.setdefault(service, set()).add(value.split(" ")[0])
        archive = tags.get(TAG_ARCHIVE, "")
        self._made.append(
            Made(
                kind=kind,
                name=name,
                changed=changed,
                service=service,
                execution=execution,
                archive=archive,
                scales=kind is MadeKind.ENDPOINT and TAG_SCALING in tags,
                unreadable=why,
                **more,
            )
        )
        return tags

    def _tags(self, ask: Callable[[], dict[str, str]]) -> tuple[dict[str, str], str]:
        try:
            return ask(), ""
        except ClientError as error:
            if service_errors.is_missing(error):
                return {}, ""
            if service_errors.is_access_denied(error):
                return {}, f"its tags could not be read: {service_errors.text(error)}"
            raise

    def _rows(self, kind: MadeKind, ask: Callable[..., Any], member: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a list, the oldest first, as far as the bound."""
        token: dict[str, Any] = {}
        for _ in range(PAGES):
            page = ask(MaxResults=PAGE, SortBy="CreationTime", SortOrder="Ascending", **token)
            yield from page[member]
            token = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
            if not token:
                return
        self._unseen[kind] = f"there are more than {MOST} of this kind in the account: {kind}"


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


def _machine(execution: str) -> str:
    """Return the state machine of an execution, by their ARNs; empty for what is no execution's."""
    arn, _, name = execution.rpartition(":")
    return arn.replace(":execution:", ":stateMachine:") if name and ":execution:" in arn else ""


def _archive(document: str | None) -> str:
    """Return the archive of an execution's input, as a tag has it; empty when the input names none."""
    try:
        where = json.loads(document or "{}")["archive"]
        return tag_value(f"{where['bucket']}/{where['key']}")
    except (ValueError, KeyError, TypeError):
        return ""
