"""RollBack: undoes what this execution made, in reverse order; what another execution made is never touched.

Endpoints of the service that MakeRoom lowered get back what they had, once the new one is gone; an endpoint that was
updated in place gets back its old configuration.

Ownership is read from the tags that every create carries, not from the execution's memory, so that a create
whose answer was lost is undone too. AWS refuses to delete an endpoint that is Creating: that is reported with
EndpointBusy, and the state machine comes back until it is gone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NotRequired, TypedDict

from botocore.exceptions import ClientError

from pipeline import error_codec, payload
from pipeline.aws import lambda_handler, resource_tags, service_errors
from pipeline.aws.permissions import (
    ALARMS,
    ARTIFACT_BUCKET,
    CONSUMER_VERSIONS,
    CONSUMERS,
    COPY_SCALING_ALARMS,
    DELETES_COMPONENTS,
    DELETES_CONSUMER_VERSIONS,
    DELETES_METRIC_FILTERS,
    ENDPOINT_CONFIGS,
    ENDPOINTS,
    EVERYTHING,
    IMAGE_REPOSITORY,
    LOOKS_AT_COMPONENTS,
    MADE_BY_SEALIFT,
    MODELS,
    MOVES_PARAMETER,
    OWN_ALARMS,
    PARAMETERS,
    READS_WHAT_WAS_MADE,
    RECORDS,
    STOPS_SCALING,
    allow,
)
from pipeline.aws.resource_tags import tag_value
from pipeline.endpoint_status import UNDELETABLE
from pipeline.errors import (
    ConsumerBusy,
    ConsumerChanged,
    EndpointBusy,
    NotYetVisible,
    PermanentError,
    ResourceLimitExceeded,
)
from pipeline.image import image_record, stored_images
from pipeline.naming import deployment_of
from pipeline.operations import diagnosis
from pipeline.plain import one_line
from pipeline.planning import consumer
from pipeline.rollout import (
    alarms_api,
    component_api,
    consumer_switch,
    endpoint_concurrency,
    endpoint_parameter,
    metric_filters_api,
    release_store,
)
from pipeline.state_data import switch_types
from pipeline.state_data.plan_types import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws.clients import Clients


class _Report:
    """How things are after the rollback: a retry of the task finds the same, whoever deleted them."""

    def __init__(self) -> None:
        self.gone: list[str] = []
        self.restored: list[str] = []
        self.kept: list[str] = []
        self.not_undone: list[str] = []
        self.spare: list[str] = []
        """What stays and is harmless, with the command that removes it where there is one."""
        self.monitored = False
        """Whether MonitorEndpoint made its alarms."""

    def attempt(self, what: str, step: Callable[[], None]) -> bool:
        """Run one step; one that is refused for good is noted, any other failure ends the task, to be tried again."""
        try:
            step()
        except ClientError as error:
            if not isinstance(service_errors.translate(error), PermanentError):
                raise
            self.not_undone.append(f"{what}: {service_errors.text(error)}")
            return False
        except PermanentError as refusal:
            self.not_undone.append(f"{what}: {refusal}")
            return False
        return True

    def spare_if_refused(self, what: str, step: Callable[[], object], fix: str = "") -> None:
        """Run a step that nothing depends on: one that is refused leaves something harmless."""
        try:
            step()
        except ClientError as error:
            if not _refused(error):
                raise
            reason = f"{what}: {service_errors.text(error)}"
            self.kept.append(reason)
            self.spare.append(f"{reason} ({fix})" if fix else reason)


def _refused(error: ClientError) -> bool:
    # A conflict is the word for a version that an alias has come to refer to; waiting changes nothing.
    return service_errors.code(error) == "ResourceConflictException" or isinstance(
        service_errors.translate(error), PermanentError
    )


class ToldFailure(TypedDict):
    """A failure in words: Diagnose's, or what Undiagnosed says in its place."""

    error: str
    what: str
    why: str
    fix: str


class FailedResults(TypedDict):
    """The execution's data, as far as there is anything to undo."""

    diagnose: ToldFailure
    plan_deployment: NotRequired[Plan]
    monitor_endpoint: NotRequired[object]
    """Only whether there is any counts."""
    read_consumer: NotRequired[switch_types.Read]


class Event(TypedDict):
    """A failed execution that has been diagnosed."""

    results: FailedResults


class Result(TypedDict):
    """How things are after the rollback, and what the execution ends with."""

    gone: list[str]
    restored: list[str]
    kept: list[str]
    not_undone: list[str]
    error: str
    cause: str
    """The diagnosis, and what was undone."""


def run(event: Event, clients: Clients) -> Result:
    """Undo what this execution made.

    Raises:
        EndpointBusy: while an endpoint cannot be changed or deleted, or is not gone or restored yet.
        ResourceLimitExceeded: when somebody else took the room that an endpoint gave.
        ConsumerBusy: while Lambda applies a consumer's update.
    """
    results = event["results"]
    plan = results.get("plan_deployment")
    report = _Report()
    report.monitored = bool(results.get("monitor_endpoint"))
    if plan is not None:
        read = results.get("read_consumer")
        calling = _restore_consumers(read, plan.names.endpoint, clients, report)
        calling += _restore_parameter(read, plan, clients, report)
        if calling:
            names = plan.names
            report.kept.append(
                f"endpoint {names.endpoint}, with configuration {names.endpoint_config} and model "
                f"{' and '.join(_models(plan))}: {', '.join(calling)} may still call it"
            )
            _name_room(plan, report)
        else:
            _undo(plan, clients, report)
    found = results["diagnose"]
    # Where Diagnose failed, the Cause itself is in it.
    reason = diagnosis.lines(error_codec.readable(found["what"]), found["why"], found["fix"])
    return {
        "gone": payload.cut_all(report.gone),
        "restored": payload.cut_all(report.restored),
        "kept": payload.cut_all(report.kept),
        "not_undone": payload.cut_all(report.not_undone),
        "error": found["error"],
        "cause": f"{reason}\n{payload.cut(_summary(report), payload.LIST)}",
    }


def _restore_consumers(
    read: switch_types.Read | None, endpoint: str, clients: Clients, report: _Report
) -> list[str]:
    """Put every consumer back as it was; return those of which that was denied."""
    calling, busy = [], None
    for before in reversed(read.consumers if read is not None else []):
        try:
            if not _restore_consumer(before, endpoint, clients, report):
                calling.append(f"consumer {before.function_name}")
        except ConsumerBusy as still:
            # The others need not wait for it.
            busy = still
    if busy is not None:
        raise busy
    return list(dict.fromkeys(calling))


def _restore_parameter(
    read: switch_types.Read | None, plan: Plan, clients: Clients, report: _Report
) -> list[str]:
    """Put the service's parameter back as it was; return who may call an endpoint that goes, where that was denied."""
    before, endpoint = read.parameter if read is not None else None, plan.names.endpoint
    if before is None:
        return []
    what = f"parameter {before.name}"

    def step() -> None:
        if not endpoint_parameter.restore(clients.ssm, before, endpoint):
            report.kept.append(f"{what}: set by somebody else meanwhile")
        elif before.value is None:
            report.gone.append(what)
        else:
            report.restored.append(f"{what}: {before.value!r} as before")

    # An endpoint that was there before stays, whatever names it.
    stays = before.value == endpoint or plan.updates is not None
    return [] if report.attempt(what, step) or stays else [f"who reads {what}"]


def _restore_consumer(before: switch_types.Before, endpoint: str, clients: Clients, report: _Report) -> bool:
    """Put a consumer back as it was; return False when that was denied."""
    name, variable = before.function_name, before.variable

    def alias() -> None:
        if consumer_switch.restore_alias(clients.lambda_, before, endpoint):
            report.restored.append(f"alias {before.alias} of {name}: back to version {before.alias_version}")

    def value() -> None:
        now = clients.lambda_.get_function_configuration(FunctionName=name)
        was = consumer.Configuration.from_response(now).variables.get(variable)
        step = consumer_switch.set_variable(
            clients.lambda_, name, variable, wanted=before.value, expected=endpoint
        )
        if step is consumer.SwitchStep.FOREIGN:
            report.kept.append(f"{variable} of {name}: set to {was!r} by somebody else meanwhile")
        else:
            report.restored.append(f"{variable} of {name}: {_shown(before.value)} as before")

    steps = ((f"alias {before.alias} of {name}", alias), (f"{variable} of {name}", value))
    # Both are tried even when one is denied: a generator in all() would stop at the first.
    outcomes = [report.attempt(what, _or_missing(step, what, report)) for what, step in steps]
    if all(outcomes) and before.alias:
        # Only now, since until the alias was put back it referred to one of them.
        _delete_versions(before, endpoint, clients, report)
    return all(outcomes)


def _delete_versions(before: switch_types.Before, endpoint: str, clients: Clients, report: _Report) -> None:
    """Delete the versions that were published for the endpoint; those that stay call an endpoint that is gone.

    Nobody calls them, so one that cannot be deleted is reported, and the rest is still deleted.
    """
    name = before.function_name

    def versions() -> None:
        for version in consumer_switch.published(clients.lambda_, before, endpoint):
            remove = f"aws lambda delete-function --function-name {name} --qualifier {version}"
            report.spare_if_refused(
                f"version {version} of {name}, which nobody calls",
                partial(delete, version),
                remove,
            )

    def delete(version: str) -> None:
        clients.lambda_.delete_function(FunctionName=name, Qualifier=version)
        report.gone.append(f"version {version} of {name}")

    what = f"versions of {name} that were published for {endpoint}, if any"
    report.spare_if_refused(what, _or_missing(versions, what, report))


def _undo(plan: Plan, clients: Clients, report: _Report) -> None:
    """Undo what was made, and then what was lowered for it: before that there is no room."""
    if plan.updates is not None and not _put_back(plan, clients, report):
        report.kept.append(_in_use(plan))
        _name_room(plan, report)
    elif _delete_all(plan, clients, report):
        _restore_room(plan, clients, report)
    else:
        _name_room(plan, report)


def _name_room(plan: Plan, report: _Report) -> None:
    """Name what stays lowered, since what it was lowered for lives on and holds the room."""
    for one in plan.room:
        report.kept.append(f"concurrency of {one.endpoint}: {one.to}, lowered from {one.before}")


def _put_back(plan: Plan, clients: Clients, report: _Report) -> bool:
    """Put the old configuration back into service; return False when that cannot be done."""
    previous, sagemaker = plan.updates, clients.sagemaker
    name, new = plan.names.endpoint, plan.names.endpoint_config
    if previous is None:
        return True
    old, had = previous.endpoint_config, previous.max_concurrency

    def step() -> None:
        found = sagemaker.describe_endpoint(EndpointName=name)
        status, config = found["EndpointStatus"], found["EndpointConfigName"]
        # Of either deployment the endpoint may have a configuration of another concurrency.
        mine, theirs = (deployment_of(config) == deployment_of(one) for one in (new, old))
        if mine and status == "InService":
            sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=old)
            status = "Updating"
        if status in UNDELETABLE:
            reason = f"endpoint {name!r} is {status}"
            raise EndpointBusy(f"{reason}; wanted it InService on {old!r}", waiting=reason)
        if status != "InService":
            reason = (
                f"endpoint {name}: {status}, and AWS can then only delete it; its configuration was {old}"
            )
            report.not_undone.append(reason)
        elif theirs and not had:
            report.restored.append(f"endpoint {name}: configuration {old} as before")
        elif theirs:
            come = endpoint_concurrency.set_concurrency(sagemaker, plan.service, name, to=had)
            if come.waiting:
                raise EndpointBusy(come.waiting, waiting=come.waiting)
            report.restored.append(
                f"endpoint {name}: configuration {old} and a concurrency of {had} as before"
            )
        else:
            report.kept.append(f"endpoint {name}: updated to {config!r} by somebody else meanwhile")

    what = f"endpoint {name}: configuration {old}"
    told = len(report.not_undone)
    # What failed to come back still needs the new configuration and the new model.
    return report.attempt(what, _or_missing(step, what, report)) and len(report.not_undone) == told


def _restore_room(plan: Plan, clients: Clients, report: _Report) -> None:
    """Give the lowered endpoints back what they had; what somebody else changed meanwhile stays as it is."""
    waiting = []
    for one in plan.room:
        name, before, lowered = one.endpoint, one.before, one.to

        def step(name: str = name, before: int = before, lowered: int = lowered) -> None:
            come = endpoint_concurrency.set_concurrency(
                clients.sagemaker,
                plan.service,
                name,
                to=before,
                unless=lambda now, _to: now != lowered,
            )
            if come.waiting:
                waiting.append(come.waiting)
            elif come.concurrency == before:
                report.restored.append(f"concurrency of {name}: {before} as before")
            else:
                now = "gone" if come.concurrency is None else come.concurrency
                report.kept.append(f"concurrency of {name}: {now}, changed by somebody else meanwhile")

        report.attempt(f"concurrency of {name}, lowered from {before} to {lowered}", step)
    if waiting:
        reason = "; ".join(waiting)
        raise EndpointBusy(reason, waiting=reason)


def _delete_all(plan: Plan, clients: Clients, report: _Report) -> bool:
    """Delete what this execution made; return whether the endpoint's capacity is free."""
    names, execution, sagemaker = plan.names, plan.execution, clients.sagemaker

    def config(name: str) -> None:
        found = sagemaker.describe_endpoint_config(EndpointConfigName=name)
        if _ours(found["EndpointConfigArn"], execution, clients, report):
            sagemaker.delete_endpoint_config(EndpointConfigName=name)
            report.gone.append(f"endpoint configuration {name}")

    def model(name: str) -> None:
        found = sagemaker.describe_model(ModelName=name)
        if _ours(found["ModelArn"], execution, clients, report):
            sagemaker.delete_model(ModelName=name)
            report.gone.append(f"model {name}")

    # Of an endpoint that was updated in place nothing is deleted, and its alarms are its own.
    if plan.updates is None and not _delete_endpoint(plan, clients, report):
        # An endpoint that lives on needs its configuration and its model at every cold start.
        report.kept.append(_in_use(plan))
        return False
    more: list[str] = []

    def delete_other_configs() -> None:
        # Those of another concurrency: what was planned first, or what somebody has lowered it to.
        found = release_store.configs_of(sagemaker, names.model)
        more.extend(one for one in found if one != names.endpoint_config)

    def attempt(what: str, step: Callable[[], None]) -> None:
        report.attempt(what, _or_missing(step, what, report))

    attempt(f"endpoint configuration {names.endpoint_config}", partial(config, names.endpoint_config))
    report.attempt(f"other endpoint configurations of {names.model}", delete_other_configs)
    for name in more:
        attempt(f"endpoint configuration {name}", partial(config, name))
    for name in _models(plan):
        attempt(f"model {name}", partial(model, name))
    _delete_image(plan, clients, report)
    return True


def _models(plan: Plan) -> tuple[str, ...]:
    """Return the names of the plan's models, those of types that have left it too."""
    return tuple(one["ModelName"] for one in plan.requests.create_models)


def _in_use(plan: Plan) -> str:
    """Return what an endpoint that lives on needs at every cold start."""
    names = plan.names
    needed = [f"endpoint configuration {names.endpoint_config}", *(f"model {one}" for one in _models(plan))]
    if plan.image is not None:
        needed.append(f"image {plan.image.uri}")
    return f"{', '.join(needed[:-1])} and {needed[-1]}: in use"


def _delete_image(plan: Plan, clients: Clients, report: _Report) -> None:
    """Delete the image if this execution has made it and nobody has claimed it since: the sweeper takes any other."""
    image, execution = plan.image, plan.execution
    if image is None:
        return
    what = f"image {image.uri}"

    def step() -> None:
        known = image_record.read(clients.s3, image.bucket, image.tag)
        if known is None or known.maker != execution:
            return
        if known.execution != execution:
            report.kept.append(f"{what}: claimed by {known.execution} since")
        elif stored_images.delete(clients.registry, image.repository, image.tag):
            report.gone.append(what)

    report.spare_if_refused(what, step, "the sweeper removes it")


def _delete_endpoint(plan: Plan, clients: Clients, report: _Report) -> bool:
    """Delete the endpoint, and its alarms when it is gone; return False when it lives on though it is ours."""
    name = plan.names.endpoint
    foreign = False

    def endpoint() -> None:
        nonlocal foreign
        found = clients.sagemaker.describe_endpoint(EndpointName=name)
        if not _ours(found["EndpointArn"], plan.execution, clients, report):
            foreign = True
            return
        status = found["EndpointStatus"]
        _delete_component(plan, clients)
        if status not in UNDELETABLE and status != "Deleting":
            clients.sagemaker.delete_endpoint(EndpointName=name)
        reason = f"endpoint {name!r} is {status}"
        raise EndpointBusy(f"{reason}; wanted it to be gone", waiting=reason)

    def alarms() -> None:
        if alarms_api.delete(clients.cloudwatch, name) or report.monitored:
            report.gone.append(f"alarms of endpoint {name}")

    what = f"endpoint {name}"
    if not report.attempt(what, _or_missing(endpoint, what, report)):
        return False
    if not foreign:
        # One whose endpoint somebody else deleted is left behind.
        report.attempt(f"inference component of {what}", partial(_delete_component, plan, clients))
        report.attempt(f"alarms of {what}", alarms)
        filters = partial(metric_filters_api.delete, clients.logs, name)
        report.spare_if_refused(f"metric filters of the log of {what}", filters)
    return True


def _delete_component(plan: Plan, clients: Clients) -> None:
    """Delete the inference component where the plan has one, before its endpoint goes.

    Raises:
        EndpointBusy: until it is gone.
    """
    if plan.requests.create_inference_component and (
        waits := component_api.take_away(clients, plan.names.endpoint)
    ):
        raise EndpointBusy(waits, waiting=waits)


def _or_missing(step: Callable[[], None], what: str, report: _Report) -> Callable[[], None]:
    """Return the step, with "could not find" as success: deleted by an earlier try, or never made."""

    def tolerant() -> None:
        try:
            step()
        except ClientError as error:
            if not service_errors.is_missing(error):
                raise
            report.gone.append(what)

    return tolerant


def _ours(arn: str, execution: str, clients: Clients, report: _Report) -> bool:
    made_by = resource_tags.owner(clients.sagemaker, arn)
    if made_by == tag_value(execution):
        return True
    report.kept.append(f"{arn}: made by {made_by or 'somebody else'}")
    return False


def _shown(value: str | None) -> str:
    return "not set" if value is None else repr(value)


def _summary(report: _Report) -> str:
    if report.not_undone:
        kept = f"; kept: {'; '.join(report.kept)}" if report.kept else ""
        return one_line(f"NOT undone, remove by hand: {'; '.join(report.not_undone)}{kept}")
    spare = f"; stays, and is harmless: {'; '.join(report.spare)}" if report.spare else ""
    return one_line(f"undone: everything that this execution made; what served before still serves{spare}")


handler = lambda_handler.Task(
    run,
    errors=(EndpointBusy, ConsumerBusy, ConsumerChanged, ResourceLimitExceeded, NotYetVisible),
    may=(
        READS_WHAT_WAS_MADE,
        allow(
            "sagemaker:DeleteEndpoint",
            "sagemaker:DeleteEndpointConfig",
            "sagemaker:DeleteModel",
            on=(ENDPOINTS, ENDPOINT_CONFIGS, MODELS),
            when=MADE_BY_SEALIFT,
            why="Only what Sealift made; the task itself looks that this very execution did.",
        ),
        allow(
            "sagemaker:ListEndpointConfigs",
            on=EVERYTHING,
            why="Configurations of another concurrency: those of this deployment, and one to give "
            "an endpoint back what it had. The list knows no resource.",
        ),
        allow("sagemaker:CreateEndpointConfig", "sagemaker:AddTags", on=ENDPOINT_CONFIGS),
        allow(
            "sagemaker:UpdateEndpoint",
            "sagemaker:UpdateEndpointWeightsAndCapacities",
            on=(ENDPOINTS, ENDPOINT_CONFIGS),
            when=MADE_BY_SEALIFT,
            why="What was lowered or updated in place is put back: endpoints that Sealift made, "
            "of earlier executions too.",
        ),
        allow(
            "cloudwatch:DescribeAlarms",
            on=ALARMS,
            why="Which of the endpoint's alarms there are; the answer is a list, so any alarm may "
            "be looked at.",
        ),
        allow("cloudwatch:DeleteAlarms", on=OWN_ALARMS),
        LOOKS_AT_COMPONENTS,
        DELETES_COMPONENTS,
        STOPS_SCALING,
        allow(
            "cloudwatch:DeleteAlarms",
            on=COPY_SCALING_ALARMS,
            why="Application Auto Scaling deletes the alarms of the component's policy in the caller's name.",
        ),
        DELETES_METRIC_FILTERS,
        allow(
            "lambda:GetFunctionConfiguration",
            "lambda:UpdateFunctionConfiguration",
            "lambda:GetAlias",
            "lambda:UpdateAlias",
            "lambda:ListAliases",
            "lambda:ListVersionsByFunction",
            on=(CONSUMERS, CONSUMER_VERSIONS),
            why="Versions and aliases have ARNs of their own.",
        ),
        DELETES_CONSUMER_VERSIONS,
        MOVES_PARAMETER,
        allow("ssm:DeleteParameter", "ssm:RemoveTagsFromResource", on=PARAMETERS),
        allow("s3:GetObject", on=RECORDS),
        allow(
            "s3:ListBucket",
            on=ARTIFACT_BUCKET,
            why='Without ListBucket, the record of an image that has none reads as "access denied".',
        ),
        allow(
            "ecr:BatchDeleteImage",
            on=IMAGE_REPOSITORY,
            why="An image that holds a model, and that this very execution made: its record tells.",
        ),
    ),
    timeout_s=290,
)
