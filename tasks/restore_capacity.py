"""RestoreCapacity: after the consumer's switch, the new endpoint gets what was requested, as far as the quota reaches.

The older endpoints, which are rollback targets, are lowered first, to one invocation each. On instances it
is auto scaling that is set up here, where it is requested: what serves already need not be undone because of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

from botocore.exceptions import ClientError

from pipeline import instance_pools, payload, quota_usage
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.permissions import (
    ALARMS,
    COMPONENTS,
    COUNTS_USAGE,
    ENDPOINT_CONFIGS,
    ENDPOINTS,
    MADE_BY_SEALIFT,
    OWN_ALARMS,
    SCALABLE_TARGETS,
    SCALES_SAGEMAKER,
    SCALING_ALARMS,
    SCALING_ROLE,
    SETS_CONCURRENCY,
    allow,
)
from pipeline.errors import EndpointBusy
from pipeline.planning import autoscaling, quotas
from pipeline.quota_refusal import Quota
from pipeline.rollout import autoscaling_api, component_api, endpoint_concurrency, endpoint_usage
from pipeline.state_data.plan_types import Plan, adapts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """The plan, and what runs."""

    plan: Plan
    running: NotRequired[dict[str, int]]
    """Instances by their type, where the endpoint has a pool. An execution of an older release does not tell."""


class Result(TypedDict):
    """What the endpoint has."""

    max_concurrency: int | None
    """What the new endpoint has now; None on instances."""
    steps: list[str]
    """In words, how that came about, and between how many instances it scales; empty when it is what was requested and
    always was."""
    told: str
    """What it has, and why, in one sentence for the notification."""


def run(event: Event, clients: Clients) -> Result:
    """Bring the endpoint to what was requested.

    Where no concurrency was requested it is brought to its share, and the older endpoints have one each at any rate.

    Raises:
        EndpointBusy: while an endpoint is being changed.
    """
    plan = event["plan"]
    if plan.asked is None:
        running = event.get("running", {})
        steps = [*_instance_steps(plan, running), *_scaled(plan, clients)]
        summary = "; ".join([_instances(plan, running), *steps[-1:]])
        return {"max_concurrency": None, "steps": payload.cut_all(steps), "told": payload.cut(summary)}
    name, requested = plan.names.endpoint, plan.asked.max_concurrency
    begun = plan.max_concurrency or 0
    if requested is not None and begun >= requested and _has(requested, plan, clients):
        summary = f"{requested} concurrent invocations, as requested"
        return {"max_concurrency": requested, "steps": [], "told": summary}
    situation = endpoint_usage.read_usage(clients, plan.service)
    limit = situation.quota if situation.read else None
    asked = quotas.target(situation.quota) if requested is None else requested
    spare, switched = requested is None, bool(plan.consumers)
    changes = quotas.give_back(asked, name, situation, limit=limit, switched=switched, spare=spare)
    try:
        _apply(plan, changes, clients)
    except ClientError as error:
        if not service_errors.is_over_quota(error):
            raise
        # The quota was not known, or somebody was quicker: AWS's own figure is the truth.
        refusal = service_errors.quota_refusal(error)
        if refusal.quota is Quota.CONCURRENCY and limit != refusal.limit:
            asked = quotas.target(refusal.limit) if requested is None else asked
            changes = quotas.give_back(
                asked, name, situation, limit=refusal.limit, switched=switched, spare=spare
            )
            _apply(plan, changes, clients)
    mine = situation.holder(name)
    now = mine.concurrency if mine else begun
    steps = payload.cut_all(_steps(plan, asked, begun, now, situation))
    return {"max_concurrency": now, "steps": steps, "told": quotas.has(requested, asked, now, situation)}


def _instances(plan: Plan, running: Mapping[str, int]) -> str:
    on = plan.instances
    return instance_pools.describe(running or {on.type: on.count}) if on else ""


def _instance_steps(plan: Plan, running: Mapping[str, int]) -> list[str]:
    """Return in words what differs from the request: instances are not given back, since each one costs money."""
    on = plan.instances
    if on is None:
        return []
    now, asked = _instances(plan, running), f"{on.asked.count} x {on.asked.type}"
    if now == asked:
        return []
    short = f", since SageMaker had no capacity of {on.type}" if running and {*running} != {on.type} else ""
    return [f"runs on {now} instead of {asked}{short}"]


def _scaled(plan: Plan, clients: Clients) -> list[str]:
    """Set up auto scaling where it is requested; return it in words."""
    on = plan.instances
    wanted = on.auto_scaling if on else None
    if on is None or wanted is None:
        return []
    if on.to_zero:
        component_api.scale(clients, plan.names.endpoint, wanted, plan.requests.create_model["Tags"])
        return [autoscaling.describe(wanted)]
    granted = autoscaling.within(wanted, on.count)
    autoscaling_api.register(clients.autoscaling, plan.names.endpoint, granted)
    return [autoscaling.describe(granted)]


def _has(asked: int, plan: Plan, clients: Clients) -> bool:
    """Return whether the endpoint has all that was requested, so that nobody else need be looked at."""
    mine = endpoint_usage.holder(clients.sagemaker, plan.names.endpoint, plan.service)
    return mine is not None and mine.status == "InService" and mine.concurrency == asked


def _apply(plan: Plan, changes: quotas.Changes, clients: Clients) -> None:
    waiting = [f"endpoint {name!r} is being changed" for name in changes.wait_for]
    for name, to in changes.concurrency:
        kept = plan.asked.provisioned if plan.asked and name == plan.names.endpoint else None
        come = endpoint_concurrency.set_concurrency(
            clients.sagemaker, plan.service, name, to=to, provisioned=kept
        )
        if come.waiting:
            waiting.append(come.waiting)
    if waiting:
        reason = "; ".join(waiting)
        raise EndpointBusy(reason, waiting=reason)


def _steps(plan: Plan, asked: int, begun: int, now: int, situation: quota_usage.Situation) -> list[str]:
    if now == begun == asked:
        return []
    others = quota_usage.in_use(one for one in situation.holders if one.name != plan.names.endpoint)
    of = "its share of" if adapts(plan.asked) else "the"
    wanted = f"{of} {asked} concurrent invocations" + ("" if of != "the" else " asked for")
    return [f"began with {begun} and has {now} of {wanted}; others: {others}"]


handler = lambda_handler.Task(
    run,
    errors=(EndpointBusy,),
    may=(
        COUNTS_USAGE,
        allow("sagemaker:DescribeEndpoint", "sagemaker:ListTags", on=ENDPOINTS),
        SETS_CONCURRENCY,
        allow(
            "sagemaker:CreateEndpointConfig",
            "sagemaker:AddTags",
            "sagemaker:ListTags",
            on=ENDPOINT_CONFIGS,
            why="Where AWS refuses that: a configuration of another concurrency, with the tags of "
            "the present one.",
        ),
        allow("sagemaker:UpdateEndpoint", on=(ENDPOINTS, ENDPOINT_CONFIGS), when=MADE_BY_SEALIFT),
        allow(
            "application-autoscaling:RegisterScalableTarget",
            "application-autoscaling:PutScalingPolicy",
            on=SCALABLE_TARGETS,
            when=SCALES_SAGEMAKER,
            why="Auto scaling of instances: the target and its policy. A target's ARN has a "
            "number that AWS gives it.",
        ),
        allow(
            "sagemaker:DescribeEndpointConfig",
            on=ENDPOINT_CONFIGS,
            why="What AWS asks of whoever sets it up, beside what stands above: the endpoint's "
            "configuration is looked at, and the policy's alarms are made in the caller's "
            "name.",
        ),
        allow(
            "sagemaker:DescribeInferenceComponent",
            "sagemaker:UpdateInferenceComponentRuntimeConfig",
            on=COMPONENTS,
            why="The same of an inference component, whose copies are scaled.",
        ),
        allow(
            "cloudwatch:PutMetricAlarm",
            "cloudwatch:TagResource",
            on=OWN_ALARMS,
            why="The alarm that brings a component back which scaled to none.",
        ),
        allow("cloudwatch:DescribeAlarms", on=ALARMS),
        allow("cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", on=SCALING_ALARMS),
        allow(
            "iam:CreateServiceLinkedRole",
            on=SCALING_ROLE,
            when=("StringEquals", "iam:AWSServiceName", "sagemaker.application-autoscaling.amazonaws.com"),
            why="The role that scales is AWS's own; it is made once in an account, by the first "
            "who sets up auto scaling.",
        ),
    ),
)
