"""The alarms of an endpoint: which metrics, which thresholds and why, and the very requests that make them; no call.

Names are made of the endpoint's name, so that a retry finds its own alarms and whoever deletes an endpoint finds them
with nothing but its name. Metrics, namespaces and units are those that SageMaker publishes: for serverless endpoints
(https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-monitoring.html) none for CPU or disk, for
instances (https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html) none for concurrency; and those
that `pipeline.planning.metrics` makes of the endpoint's log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from inference.sealift_log import IN_COLUMNS, IN_JSON
from pipeline.hosting import INSTANCE, SERVERLESS
from pipeline.planning import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.state_data.plan_types import OnInstances

PREFIX = "sealift-"
"""What the names of all alarms begin with; the tasks' roles allow no others to be made or deleted."""

INVOCATIONS = "AWS/SageMaker"
RESOURCES = "/aws/sagemaker/Endpoints"
"""SageMaker's two namespaces for endpoints."""

PERIOD_S = 60
"""SageMaker publishes every minute; the state of an alarm lasts no less than that."""

PER_SECOND = {"microseconds": 1_000_000, "milliseconds": 1000}
"""By the unit of a metric that is a time."""

ALARM = "ALARM"

_WAKING = "wake"
"""The suffix of the alarm of `copy_scaling`, which is no rule: it speaks of nothing that is wrong."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """One alarm that every endpoint gets."""

    suffix: str
    namespace: str
    metric: str
    statistic: str
    """A statistic, or a percentile such as p90."""
    threshold: float
    """In the metric's unit; in parts of `timeout_s` when `of_timeout`."""
    minutes: int
    """How many minutes at or above the threshold make an alarm."""
    of: int
    """Among how many."""
    unit: str
    meaning: str
    reason: str
    """Why this threshold."""
    of_timeout: bool = False
    of_cpus: bool = False
    """Whether the threshold is for each CPU that an answer keeps busy: CPUUtilization adds them up."""
    on: tuple[str, ...] = (SERVERLESS, INSTANCE)
    """The hostings whose endpoints get it."""
    log_forms: tuple[str, ...] = ()
    """Of a metric of the log: the forms of lines that it is read of; empty for SageMaker's own."""
    share_of: str | None = None
    """The metric whose values, counted, are the calls that this one's sum is set against, in percent of both."""
    judges: bool = True
    """Whether it speaks against a new endpoint that is tried with a part of the calls."""

    def limit(self, timeout_s: float, cpus: int | None = None) -> float:
        """Return the threshold in the metric's unit."""
        if self.of_cpus:
            return self.threshold * (cpus or 1)
        return self.threshold * timeout_s * PER_SECOND[self.unit] if self.of_timeout else self.threshold

    def suits(self, hosting: str, log_form: str | None) -> bool:
        """Return whether an endpoint of a hosting, whose log has lines of a form, gets it."""
        return hosting in self.on and (not self.log_forms or log_form in self.log_forms)


RULES: tuple[AlarmRule, ...] = (
    AlarmRule(
        "5xx",
        INVOCATIONS,
        "Invocation5XXErrors",
        "Sum",
        1,
        1,
        1,
        "errors",
        "the model, or SageMaker for it, answered 5xx",
        "a request that cannot be answered gets 4xx, so there is no number of 5xx that is usual",
    ),
    AlarmRule(
        "latency",
        INVOCATIONS,
        "ModelLatency",
        "p90",
        0.9,
        3,
        5,
        "microseconds",
        "one in ten answers takes nearly all the time that it may take",
        "an answer that reaches timeout_s ends unfinished; the start of a container is not in this metric",
        of_timeout=True,
    ),
    AlarmRule(
        "memory",
        RESOURCES,
        "MemoryUtilization",
        "Maximum",
        98,
        3,
        5,
        "percent",
        "the container is about to be killed for want of memory",
        "a size is chosen so that 3 % of what is needed stay in reserve, so a full one may rightly stand at 97",
    ),
    AlarmRule(
        "concurrency",
        INVOCATIONS,
        "ServerlessConcurrentExecutionsUtilization",
        "Maximum",
        1,
        5,
        5,
        "of max_concurrency, as a fraction",
        "all concurrent invocations are in use, and further ones are refused with 4xx",
        "a short peak is what concurrency is for; five minutes on end are too little of it",
        on=(SERVERLESS,),
        # It says that there is much to do, and the new endpoint may have half until the switch is over.
        judges=False,
    ),
    AlarmRule(
        "cpu",
        RESOURCES,
        "CPUUtilization",
        "Average",
        95,
        15,
        15,
        "percent, of all CPUs together",
        "the instances answer without a pause, and further calls wait",
        "an answer takes all CPUs that it may have, for seconds; a quarter of an hour on end is too much to do",
        of_cpus=True,
        on=(INSTANCE,),
        judges=False,
    ),
    AlarmRule(
        "disk",
        RESOURCES,
        "DiskUtilization",
        "Maximum",
        90,
        3,
        5,
        "percent",
        "the volume is nearly full",
        "the volume is a tenth larger than what lies on it after the start, so something grows",
        on=(INSTANCE,),
    ),
    AlarmRule(
        "ttft",
        metrics.NAMESPACE,
        metrics.FIRST_TOKEN.name,
        "p90",
        0.5,
        3,
        5,
        "milliseconds",
        "one in ten requests waits half of its time for the first token",
        "the other half is for the answer, which ends unfinished then; whether the queue or the prompt takes it, "
        "QueueTime and EvaluatedPromptTokens tell",
        of_timeout=True,
        log_forms=(IN_JSON, IN_COLUMNS),
        # It follows from how long the prompts are and how many come, which a new endpoint does not choose.
        judges=False,
    ),
    AlarmRule(
        "refusals",
        metrics.NAMESPACE,
        metrics.REFUSALS.name,
        "Sum",
        10,
        3,
        5,
        "percent of the requests",
        "one in ten requests is refused with 429 or 503, since the queue is full or moves too slowly",
        "clients try again after a short peak; minutes on end are too few instances or slots",
        log_forms=(IN_JSON,),
        share_of=metrics.QUEUE.name,
        # A container on serverless gets one request at a time: there the concurrency is what refuses.
        on=(INSTANCE,),
        judges=False,
    ),
)


class Alarm(TypedDict):
    """One alarm as the execution's output tells of it."""

    name: str
    metric: str
    threshold: float
    unit: str


def name_of(endpoint: str, rule: AlarmRule) -> str:
    """Return the name of one alarm of an endpoint."""
    return f"{PREFIX}{endpoint}-{rule.suffix}"


def waking(endpoint: str) -> str:
    """Return the name of the alarm that starts an endpoint which scaled to none, and tells nobody."""
    return f"{PREFIX}{endpoint}-{_WAKING}"


def names(endpoint: str) -> list[str]:
    """Return the names of all alarms that an endpoint has, or may have had."""
    return [*(name_of(endpoint, rule) for rule in RULES), waking(endpoint)]


def of_log(name: str) -> bool:
    """Return whether an alarm watches a metric that is made of its endpoint's log, by the alarm's name."""
    endpoint = endpoint_of(name)
    return endpoint is not None and any(
        name == name_of(endpoint, rule) for rule in RULES if rule.namespace == metrics.NAMESPACE
    )


def endpoint_of(name: str) -> str | None:
    """Return the endpoint that an alarm is of, by the alarm's name; None when it is none of these."""
    bare = name.removeprefix(PREFIX)
    suffixes = [*(rule.suffix for rule in RULES), _WAKING]
    found = (bare.removesuffix(f"-{one}") for one in suffixes if bare.endswith(f"-{one}"))
    return next(found, None) if bare != name else None


def judging(endpoint: str, hosting: str | None = None, log_form: str | None = None) -> list[str]:
    """Return the names of those that speak against a new endpoint; of any hosting and log when that is None."""
    return [
        name_of(endpoint, rule)
        for rule in RULES
        if rule.judges and (hosting is None or rule.suits(hosting, log_form))
    ]


def busy_cpus(on: OnInstances, running: Mapping[str, int]) -> int:
    """Return the CPUs of one instance that an answer keeps busy, of the smallest type that runs.

    Args:
        on: what was planned.
        running: how many of each type run; empty where it is the planned one.
    """
    if on.busy_cpus != on.offers[0].vcpus:
        return on.busy_cpus
    return min((one.vcpus for one in on.offers if one.name in running), default=on.busy_cpus)


def requests(
    endpoint: str,
    variant: str,
    *,
    timeout_s: float,
    topic: str,
    tags: Sequence[Mapping[str, str]],
    cpus: int | None = None,
    log_form: str | None = None,
) -> list[dict[str, Any]]:
    """Return the parameters of PutMetricAlarm for each alarm of an endpoint.

    Args:
        endpoint: its name.
        variant: the name of its one variant.
        timeout_s: seconds that one answer may take.
        topic: the ARN of the topic that is told.
        tags: those of the endpoint.
        cpus: of an instance, those that an answer keeps busy; None on serverless.
        log_form: of the lines in the endpoint's log; None where they are not ours.
    """
    dimensions = [
        {"Name": "EndpointName", "Value": endpoint},
        {"Name": "VariantName", "Value": variant},
    ]
    return [
        {
            "AlarmName": name_of(endpoint, rule),
            "AlarmDescription": f"Endpoint {endpoint}: {rule.meaning}. Threshold: {rule.reason}.",
            **_measured(rule, dimensions),
            "EvaluationPeriods": rule.of,
            "DatapointsToAlarm": rule.minutes,
            "Threshold": float(rule.limit(timeout_s, cpus)),
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            # An idle endpoint publishes nothing of its calls, and that is no fault.
            "TreatMissingData": "notBreaching",
            "AlarmActions": [topic],
            "OKActions": [topic],
            "Tags": [dict(tag) for tag in tags],
        }
        for rule in _rules(cpus, log_form)
    ]


def _measured(rule: AlarmRule, dimensions: list[dict[str, str]]) -> dict[str, Any]:
    """Return what of PutMetricAlarm's parameters says what is watched."""

    def metric(name: str) -> dict[str, Any]:
        return {"Namespace": rule.namespace, "MetricName": name, "Dimensions": dimensions}

    if rule.share_of is None:
        kind = "ExtendedStatistic" if rule.statistic.startswith("p") else "Statistic"
        return {**metric(rule.metric), kind: rule.statistic, "Period": PERIOD_S}

    def counted(identity: str, name: str, statistic: str) -> dict[str, Any]:
        stat = {"Metric": metric(name), "Period": PERIOD_S, "Stat": statistic}
        return {"Id": identity, "MetricStat": stat, "ReturnData": False}

    return {
        "Metrics": [
            counted("some", rule.metric, rule.statistic),
            counted("others", rule.share_of, "SampleCount"),
            # A minute without the others is one in which there was nothing else; without any of these it has no data.
            {
                "Id": "share",
                "Expression": "100 * some / (some + FILL(others, 0))",
                "Label": f"{rule.metric}, {rule.unit}",
                "ReturnData": True,
            },
        ]
    }


def _rules(cpus: int | None, log_form: str | None) -> tuple[AlarmRule, ...]:
    """Return the rules of an endpoint: those of instances when it has CPUs."""
    hosting = SERVERLESS if cpus is None else INSTANCE
    return tuple(rule for rule in RULES if rule.suits(hosting, log_form))


def summaries(
    endpoint: str, timeout_s: float, cpus: int | None = None, log_form: str | None = None
) -> list[Alarm]:
    """Return the alarms of an endpoint for the execution's output."""
    return [
        Alarm(
            name=name_of(endpoint, rule),
            metric=rule.metric,
            threshold=rule.limit(timeout_s, cpus),
            unit=rule.unit,
        )
        for rule in _rules(cpus, log_form)
    ]


def ringing(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the alarms of a DescribeAlarms response say that are in ALARM, one line each."""
    return [
        f"{alarm['AlarmName']}: {alarm.get('StateReason') or 'no reason told'}"
        for alarm in found
        if alarm.get("StateValue") == ALARM
    ]
