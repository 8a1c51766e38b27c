"""RetirePrevious: marks the deployment as good, keeps the last good ones as ways back, and deletes older ones.

Auto scaling where there is any, endpoint, its alarms, model, configuration, in this order: the configuration bears the
tags, so a try that was cut short goes on where it ended. Refuses to delete what a consumer, an endpoint or another
configuration still refers to.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from botocore.exceptions import ClientError

from pipeline import naming, payload, time_format
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.permissions import (
    ALARMS,
    CONSUMER_VERSIONS,
    CONSUMERS,
    DELETES_COMPONENTS,
    DELETES_METRIC_FILTERS,
    DELETES_SCALING_ALARMS,
    ENDPOINT_CONFIGS,
    ENDPOINTS,
    EVERYTHING,
    EXECUTIONS,
    LOOKS_AT_COMPONENTS,
    MADE_BY_SEALIFT,
    MODELS,
    OWN_ALARMS,
    PARAMETERS,
    STOPS_SCALING,
    allow,
)
from pipeline.aws.resource_tags import tag_value
from pipeline.errors import EndpointBusy
from pipeline.naming import deployment_of
from pipeline.plain import one_line
from pipeline.rollout import consumer_references, endpoint_parameter, release_store, releases, retirement
from pipeline.state_data.plan_types import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_sagemaker import SageMakerClient

    from pipeline.aws.clients import Clients
    from pipeline.rollout.release_store import AccountReleases
    from pipeline.rollout.releases import Release


class Event(TypedDict):
    """The plan, and when the deployment is good."""

    plan: Plan
    now: str
    """ISO 8601."""


class Result(TypedDict):
    """What of the service's deployments is left."""

    retired: list[str]
    """Endpoint configurations that are gone, with their models and, where they had one, their endpoints."""
    kept: list[str]
    """The ways back, newest first."""
    not_retired: list[str]
    """What should have been deleted, with the reason why it was not."""
    expires_at: str | None
    """When the deployment is taken down by itself, ISO 8601; None: it stays."""
    told: str
    """All of it in one sentence, for the notification."""


def run(event: Event, clients: Clients) -> Result:
    """Mark this deployment as good, and retire what is no longer a rollback target.

    Raises:
        EndpointBusy: while an endpoint that goes is not gone yet.
    """
    plan = event["plan"]
    expires_at = _expires_at(plan, event["now"])
    _mark(plan, event["now"], expires_at, clients.sagemaker)
    account = release_store.read_releases(clients.sagemaker, plan.service)
    own, keep = plan.names.endpoint_config, plan.keep_previous
    chosen = releases.retire(account.releases, own=own, keep=keep)
    if chosen.going:
        chosen = releases.retire(
            account.releases,
            own=own,
            keep=keep,
            referred=_referred(plan, account.releases, clients),
            needed=_needed(plan, account, chosen.going, clients),
        )
    not_retired = [f"{one.config}: {why}" for one, why in chosen.spared]
    with _denial_noted(own, not_retired):
        retirement.delete_spare_models(clients.sagemaker, plan)
    retired: list[str] = []
    waiting = []
    # Every endpoint goes before any configuration does: a try after a wait tells of what still has its record.
    without_endpoint = []
    for one in chosen.going:
        with _denial_noted(one.config, not_retired):
            if wait := retirement.delete_endpoint(clients, one):
                waiting.append(wait)
            else:
                without_endpoint.append(one)
    if waiting:
        reason = "; ".join(waiting)
        raise EndpointBusy(reason, waiting=reason)
    for one in without_endpoint:
        with _denial_noted(one.config, not_retired):
            retirement.delete_rest(clients, one, plan.service, account)
            retired.extend(one.configs)
    return _result(retired, [one.config for one in chosen.kept], not_retired, expires_at)


def _expires_at(plan: Plan, now: str) -> str | None:
    """Return when a deployment that is good now is taken down by itself."""
    hours = plan.expires_after_h
    return None if hours is None else time_format.later(datetime.fromisoformat(now), hours * 3600)


def _result(
    retired: list[str], kept: list[str], not_retired: list[str], expires_at: str | None = None
) -> Result:
    return {
        "retired": payload.cut_all(retired),
        "kept": payload.cut_all(kept),
        "not_retired": payload.cut_all(not_retired),
        "expires_at": expires_at,
        "told": payload.cut(_summary(retired, kept, not_retired, expires_at)),
    }


def _mark(plan: Plan, now: str, expires_at: str | None, client: SageMakerClient) -> None:
    """Mark the deployment's configuration, and the one that its endpoint has where that is another one of its own."""
    names = plan.names

    def mark(config: str) -> None:
        found = client.describe_endpoint_config(EndpointConfigName=config)
        tags = releases.marks(
            names.endpoint,
            plan.consumers,
            now,
            plan.keep_previous,
            taken_from=plan.taken_from,
            expires_at=expires_at,
        )
        release_store.mark(client, found["EndpointConfigArn"], tags)

    planned = names.endpoint_config
    mark(planned)
    # Another deployment of the service may have lowered it while it was tried, which can take another configuration.
    endpoint = service_errors.or_none(client.describe_endpoint, EndpointName=names.endpoint)
    present = endpoint["EndpointConfigName"] if endpoint else planned
    if present != planned and deployment_of(present) == deployment_of(planned):
        mark(present)


def _referred(plan: Plan, found: Iterable[Release], clients: Clients) -> dict[str, str]:
    """Return who names which endpoint: consumers, and the service's parameter."""
    name = naming.endpoint_parameter(naming.stack_of(plan.execution), plan.service)
    named = endpoint_parameter.value(clients.ssm, name)
    by_parameter = {named: f"parameter {name} names it"} if named else {}
    return by_parameter | consumer_references.referred(clients.lambda_, _consumers(plan, found))


def _consumers(plan: Plan, found: Iterable[Release]) -> set[str]:
    """Return the functions that may call a deployment of the service."""
    names = {consumer["function_name"] for one in found for consumer in one.consumers}
    return names | {consumer.function_name for consumer in plan.consumers}


def _needed(
    plan: Plan, account: AccountReleases, going: Iterable[Release], clients: Clients
) -> dict[str, str]:
    """Return why configurations are needed, by their names: another endpoint has one, or its execution is running."""
    found = release_store.configs_in_use(account, going)
    for one in going:
        if one.execution == tag_value(plan.execution):
            continue
        try:
            if release_store.is_running(clients.stepfunctions, one.execution):
                found[one.config] = f"execution {one.execution} is still running"
        except ClientError as error:
            if not service_errors.is_access_denied(error):
                raise
            found[one.config] = (
                f"execution {one.execution} could not be looked at: {service_errors.text(error)}"
            )
    return found


@contextlib.contextmanager
def _denial_noted(config: str, not_retired: list[str]) -> Iterator[None]:
    """Note what AWS denies: a good deployment does not fail because an old one stays."""
    try:
        yield
    except ClientError as error:
        if not service_errors.is_access_denied(error):
            raise
        not_retired.append(f"{config}: {service_errors.text(error)}")


def _summary(retired: list[str], kept: list[str], not_retired: list[str], expires_at: str | None) -> str:
    parts = [
        f"retired {', '.join(retired)}" if retired else "nothing to retire",
        f"kept {', '.join(kept)} as a rollback target" if kept else "",
        f"NOT retired: {'; '.join(not_retired)}" if not_retired else "",
        f"this one is taken down by itself at {expires_at}" if expires_at else "",
    ]
    return one_line("; ".join(part for part in parts if part))


handler = lambda_handler.Task(
    run,
    errors=(EndpointBusy,),
    may=(
        allow(
            "sagemaker:ListEndpoints",
            "sagemaker:ListEndpointConfigs",
            on=EVERYTHING,
            why="Which deployments there are, and who has what in use; the actions know no resource.",
        ),
        allow(
            "sagemaker:DescribeEndpoint",
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:DescribeModel",
            on=(ENDPOINTS, ENDPOINT_CONFIGS, MODELS),
        ),
        allow("sagemaker:ListTags", on=(ENDPOINT_CONFIGS, MODELS)),
        allow(
            "sagemaker:AddTags",
            "sagemaker:DeleteEndpointConfig",
            on=ENDPOINT_CONFIGS,
            when=MADE_BY_SEALIFT,
            why="Only what Sealift made; the task itself looks that it is the service's own.",
        ),
        allow(
            "sagemaker:DeleteEndpoint", "sagemaker:DeleteModel", on=(ENDPOINTS, MODELS), when=MADE_BY_SEALIFT
        ),
        allow(
            "cloudwatch:DescribeAlarms",
            on=ALARMS,
            why="Which of an endpoint's alarms there are; the answer is a list, so any alarm may "
            "be looked at.",
        ),
        allow("cloudwatch:DeleteAlarms", on=OWN_ALARMS),
        DELETES_METRIC_FILTERS,
        LOOKS_AT_COMPONENTS,
        DELETES_COMPONENTS,
        STOPS_SCALING,
        DELETES_SCALING_ALARMS,
        allow(
            "lambda:GetFunctionConfiguration",
            "lambda:ListAliases",
            on=(CONSUMERS, CONSUMER_VERSIONS),
            why="Who still names an endpoint, and whose execution is still running.",
        ),
        allow("states:DescribeExecution", on=EXECUTIONS),
        allow("ssm:GetParameter", on=PARAMETERS),
    ),
)
