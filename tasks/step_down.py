"""StepDown: the next rung of the capacity ladder, after a quota refused what was requested.

The decision is `quotas`'s. The result is the whole plan with other sizes, which takes the first one's place;
the workflow goes back to CreateEndpointConfig with it, since a configuration cannot be changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypedDict

from botocore.exceptions import ClientError

from pipeline import error_codec
from pipeline.aws import lambda_handler, quota_errors, resource_tags, service_errors
from pipeline.aws.permissions import (
    COUNTS_USAGE,
    ENDPOINT_CONFIGS,
    ENDPOINTS,
    MADE_BY_SEALIFT,
    allow,
)
from pipeline.errors import EndpointBusy, QuotaTooSmall, QuotaUsedUp, ResourceLimitExceeded
from pipeline.planning import quotas, sizes
from pipeline.rollout import endpoint_usage
from pipeline.state_data.plan_types import Plan, adapts

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from pipeline.quota_refusal import QuotaRefusal
    from pipeline.quota_usage import Situation
    from pipeline.state_data.plan_types import OnInstances


class CaughtRefusal(TypedDict):
    """An error as a Catch gives it."""

    Error: str
    Cause: str


class Event(TypedDict):
    """The plan, and what a quota said to it."""

    plan: Plan
    refusal: CaughtRefusal


Result: TypeAlias = Plan


def run(event: Event, clients: Clients) -> Result:
    """Return the lowered plan.

    Raises:
        EndpointBusy: while an endpoint of the service is being changed that may give room then.
        QuotaTooSmall: when nothing less will do, ever.
        QuotaUsedUp: when no concurrency was requested, and there is none.
        ResourceLimitExceeded: when nothing less will do as long as others hold what they hold.
    """
    made = event["plan"]
    caught = error_codec.read(event["refusal"]["Cause"], event["refusal"]["Error"])
    # One that another release wrote has AWS's text alone.
    refusal = caught.refusal or quota_errors.read_refusal(caught.sentence)
    situation = endpoint_usage.read_usage(clients, made.service)
    if made.instances:
        stepped = quotas.step_instances(refusal, _instances_ask(made.instances), situation)
        if isinstance(stepped, quotas.Stop):
            raise _stopped(made, stepped)
        return _stepped(made, sizes.step_instances(made, stepped), clients)
    decision = _decide(made, refusal, situation)
    if isinstance(decision, quotas.RetryPause):
        raise EndpointBusy(decision.reason)
    if isinstance(decision, quotas.Stop):
        # Whose endpoints hold it is looked at only now that it is to be said.
        named = _decide(made, refusal, endpoint_usage.name_owners(clients.sagemaker, situation))
        raise _stopped(made, named if isinstance(named, quotas.Stop) else decision)
    return _stepped(made, sizes.lower(made, decision), clients)


def _decide(
    made: Plan, refusal: QuotaRefusal, situation: Situation
) -> quotas.Down | quotas.RetryPause | quotas.Stop:
    return quotas.step_down(
        refusal,
        sizes.ask(made),
        situation,
        serving=made.serving,
        replaced=situation.holder(made.names.endpoint) if made.updates else None,
    )


def _instances_ask(on: OnInstances) -> quotas.InstancesAsk:
    others = tuple((one.name, one.usd_per_hour) for one in on.offers[1:])
    pool = sizes.types_of(on.offers, pooled=on.pooled)
    return quotas.InstancesAsk(on.type, on.count, on.asked.count, others, pool)


def _stopped(made: Plan, stop: quotas.Stop) -> Exception:
    if stop.final:
        return QuotaTooSmall(f"service {made.service}", [stop.problem])
    if adapts(made.asked):
        return QuotaUsedUp(f"service {made.service}", [stop.problem])
    problem = stop.problem
    return ResourceLimitExceeded(
        f"service {made.service}: {problem}", cause=problem.error, why=problem.why, fix=problem.fix
    )


def _stepped(made: Plan, lowered: Plan, clients: Clients) -> Plan:
    if lowered.names.endpoint_config != made.names.endpoint_config:
        _delete_config(made, clients)
    return lowered


def _delete_config(made: Plan, clients: Clients) -> None:
    """Delete the configuration that no endpoint will ever have; one of another execution stays."""
    name = made.names.endpoint_config
    try:
        found = clients.sagemaker.describe_endpoint_config(EndpointConfigName=name)
        owner = resource_tags.owner(clients.sagemaker, found["EndpointConfigArn"])
        if owner == resource_tags.tag_value(made.execution):
            clients.sagemaker.delete_endpoint_config(EndpointConfigName=name)
    except ClientError as error:
        if not service_errors.is_missing(error):
            raise


handler = lambda_handler.Task(
    run,
    errors=(EndpointBusy,),
    may=(
        COUNTS_USAGE,
        allow("sagemaker:DescribeEndpoint", "sagemaker:ListTags", on=ENDPOINTS),
        allow(
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:ListTags",
            on=ENDPOINT_CONFIGS,
            why="The configuration that no endpoint will have.",
        ),
        allow("sagemaker:DeleteEndpointConfig", on=ENDPOINT_CONFIGS, when=MADE_BY_SEALIFT),
    ),
)
