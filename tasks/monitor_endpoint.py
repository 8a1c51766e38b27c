"""MonitorEndpoint: alarms on the new endpoint, before anybody depends on it. They go when the endpoint goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from pipeline.aws import lambda_handler
from pipeline.aws.permissions import OWN_ALARMS, allow
from pipeline.naming import VARIANT
from pipeline.planning import alarms
from pipeline.rollout import alarms_api
from pipeline.state_data.plan_types import Plan

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from pipeline.planning.alarms import Alarm


class Event(TypedDict):
    """The plan, and whom alarms tell."""

    plan: Plan
    topic: str
    """An ARN."""


class Result(TypedDict):
    """The alarms that there are."""

    endpoint_name: str
    alarms: list[Alarm]
    judging: list[str]
    """The names of those that speak against the endpoint while a part of the calls goes there: WatchConsumer, which may
    run another release's code, watches those that were made."""


def run(event: Event, clients: Clients) -> Result:
    """Make the alarms."""
    plan = event["plan"]
    endpoint, timeout_s = plan.names.endpoint, plan.smoke_test.timeout_s
    on = plan.instances
    cpus = on.busy_cpus if on else None
    wanted = alarms.requests(
        endpoint,
        VARIANT,
        timeout_s=timeout_s,
        cpus=cpus,
        topic=event["topic"],
        tags=plan.requests.create_model["Tags"],
    )
    alarms_api.put(clients.cloudwatch, wanted)
    return {
        "endpoint_name": endpoint,
        "alarms": alarms.summaries(endpoint, timeout_s, cpus),
        "judging": alarms.judging(endpoint, plan.hosting),
    }


handler = lambda_handler.Task(
    run, may=(allow("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", on=OWN_ALARMS),)
)
