"""MonitorEndpoint: metrics of the new endpoint's log, and alarms, before anybody depends on it; they go when it goes.

An endpoint that nobody watches is not handed to a consumer; one whose log is not measured is, and the output says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from botocore.exceptions import ClientError

from pipeline import payload
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.permissions import ENDPOINT_LOGS, OWN_ALARMS, allow
from pipeline.errors import PermanentError
from pipeline.naming import VARIANT
from pipeline.planning import alarms, metrics
from pipeline.rollout import alarms_api, metric_filters_api
from pipeline.state_data.plan_types import Plan

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from pipeline.planning.alarms import Alarm


MOST_REASON = 256
"""Bytes of why the log is not measured."""


class Event(TypedDict):
    """The plan, and whom alarms tell."""

    plan: Plan
    topic: str
    """An ARN."""
    running: NotRequired[dict[str, int]]
    """Instances by their type, where the endpoint has a pool. An execution of an older release does not tell."""


class Result(TypedDict):
    """The alarms that there are."""

    endpoint_name: str
    alarms: list[Alarm]
    judging: list[str]
    """The names of those that speak against the endpoint while a part of the calls goes there: WatchConsumer, which may
    run another release's code, watches those that were made."""
    unmeasured: str | None
    """Why no metrics are made of the log, where it could have them."""


def run(event: Event, clients: Clients) -> Result:
    """Make the metric filters and the alarms."""
    plan = event["plan"]
    endpoint, timeout_s = plan.names.endpoint, plan.smoke_test.timeout_s
    on = plan.instances
    cpus = alarms.busy_cpus(on, event.get("running", {})) if on else None
    measured = metrics.requests(endpoint, plan.log_form, component=plan.smoke_test.component)
    unmeasured = _measure(measured, clients)
    log_form = None if unmeasured else plan.log_form
    wanted = alarms.requests(
        endpoint,
        VARIANT,
        timeout_s=timeout_s,
        cpus=cpus,
        log_form=log_form,
        topic=event["topic"],
        tags=plan.requests.create_model["Tags"],
    )
    alarms_api.put(clients.cloudwatch, wanted)
    return {
        "endpoint_name": endpoint,
        "alarms": alarms.summaries(endpoint, timeout_s, cpus, log_form),
        "judging": alarms.judging(endpoint, plan.hosting, log_form),
        "unmeasured": unmeasured,
    }


def _measure(wanted: list[dict[str, Any]], clients: Clients) -> str | None:
    """Make the metric filters; return the reason when AWS refuses one for good."""
    try:
        metric_filters_api.put(clients.logs, wanted)
    except ClientError as error:
        if not isinstance(service_errors.translate(error), PermanentError):
            raise
        return payload.cut(service_errors.text(error), MOST_REASON)
    return None


handler = lambda_handler.Task(
    run,
    may=(
        allow("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", on=OWN_ALARMS),
        allow(
            "logs:PutMetricFilter",
            "logs:CreateLogGroup",
            on=ENDPOINT_LOGS,
            why="The endpoint's log group is there with the first line of a container, and is made where it is not.",
        ),
    ),
)
