"""The alarms of an endpoint, as requests: AWS takes them, they watch what there is, their names lead back."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.calls import service_model
from pipeline.naming import SERVICE_PATTERN
from pipeline.planning import alarms, metrics

TOPIC = "arn:aws:sns:us-east-1:123456789012:sealift"
TAGS = [{"Key": "sealift:service", "Value": "harbour"}]
PUBLISHED = {
    "AWS/SageMaker": {
        "OverheadLatency",
        "Invocations",
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "ModelLatency",
        "ModelSetupTime",
        "ServerlessConcurrentExecutionsUtilization",
    },
    "/aws/sagemaker/Endpoints": {"MemoryUtilization"},
}
"""All that SageMaker publishes for a serverless endpoint without provisioned concurrency."""
ON_INSTANCES = {
    "AWS/SageMaker": PUBLISHED["AWS/SageMaker"]
    - {"ModelSetupTime", "ServerlessConcurrentExecutionsUtilization"},
    "/aws/sagemaker/Endpoints": {"CPUUtilization", "MemoryUtilization", "DiskUtilization"},
}
"""Of what it publishes for one on instances without GPUs, what is looked at here."""


LOGGED = {metrics.NAMESPACE: {one.name for one in metrics.METRICS}}
"""What is made of a log."""


def made(
    timeout_s: float = 60, cpus: int | None = None, log_form: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return the requests for an endpoint by their rule's suffix."""
    requests = alarms.requests(
        "harbour-0", "AllTraffic", timeout_s=timeout_s, topic=TOPIC, tags=TAGS, cpus=cpus, log_form=log_form
    )
    return {request["AlarmName"].removeprefix("sealift-harbour-0-"): request for request in requests}


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.suffix) for rule in alarms.RULES])
def test_aws_takes_the_request(rule: alarms.AlarmRule) -> None:
    """Every parameter is one that botocore's own model of PutMetricAlarm has, with its type and its length."""
    shape = service_model("cloudwatch").operation_model("PutMetricAlarm").input_shape
    request = {**made(), **made(cpus=4, log_form="json")}[rule.suffix]

    assert ParamValidator().validate(request, shape).generate_report() == ""
    assert len(request["AlarmDescription"]) <= 1024
    assert request["DatapointsToAlarm"] <= request["EvaluationPeriods"]


@pytest.mark.parametrize("cpus", [pytest.param(None, id="serverless"), pytest.param(4, id="instance")])
def test_only_what_is_published_is_watched(cpus: int | None) -> None:
    """An alarm on any other metric would be quiet for ever."""
    published = {**(PUBLISHED if cpus is None else ON_INSTANCES), **LOGGED}

    for request in made(cpus=cpus, log_form="json").values():
        watched = [one["MetricStat"]["Metric"] for one in request.get("Metrics", ()) if "MetricStat" in one]
        for metric in watched or [request]:
            assert metric["MetricName"] in published[metric["Namespace"]]
            assert [one["Value"] for one in metric["Dimensions"]] == ["harbour-0", "AllTraffic"]


@pytest.mark.parametrize(
    ("cpus", "log_form", "suffixes"),
    [
        (None, None, set()),
        (None, "columns", {"ttft"}),
        (None, "json", {"ttft"}),
        (4, None, set()),
        (4, "columns", {"ttft"}),
        (4, "json", {"ttft", "refusals"}),
    ],
)
def test_what_is_made_of_the_log_is_watched_where_it_is_there(
    cpus: int | None, log_form: str | None, suffixes: set[str]
) -> None:
    """Not where the lines are not ours; and serverless has one request at a time, which nothing refuses."""
    of_log = {
        suffix
        for suffix in made(cpus=cpus, log_form=log_form)
        if alarms.of_log(f"sealift-harbour-0-{suffix}")
    }

    assert of_log == suffixes
    assert set(made(cpus=cpus, log_form=log_form)) - suffixes == set(made(cpus=cpus))


def test_the_first_token_may_take_half_of_the_time() -> None:
    """In milliseconds, as the log has it."""
    request = made(timeout_s=30, log_form="columns")["ttft"]

    assert (request["Threshold"], request["ExtendedStatistic"]) == (15_000.0, "p90")
    assert (request["Namespace"], request["MetricName"]) == ("Sealift", "TimeToFirstToken")


def test_refusals_are_a_share_of_all_requests() -> None:
    """Of those that were refused and those that had a turn, by CloudWatch's own arithmetic."""
    request = made(cpus=4, log_form="json")["refusals"]

    refused, others, share = request["Metrics"]
    assert (refused["MetricStat"]["Metric"]["MetricName"], refused["MetricStat"]["Stat"]) == (
        "Refusals",
        "Sum",
    )
    assert (others["MetricStat"]["Metric"]["MetricName"], others["MetricStat"]["Stat"]) == (
        "QueueTime",
        "SampleCount",
    )
    assert share["Expression"] == "100 * some / (some + FILL(others, 0))"
    assert [one["ReturnData"] for one in request["Metrics"]] == [False, False, True]
    assert request["Threshold"] == 10
    assert not {"Namespace", "MetricName", "Dimensions", "Period", "Statistic", "ExtendedStatistic"} & set(
        request
    )


def test_the_cpus_of_an_instance_are_added_up() -> None:
    """SageMaker's CPUUtilization of four CPUs goes to 400."""
    assert made(cpus=4)["cpu"]["Threshold"] == 380
    assert set(made(cpus=4)) == {"5xx", "latency", "memory", "cpu", "disk"}


def test_the_alarms_are_these() -> None:
    """5xx, latency in microseconds of the time-out, memory in percent, concurrency as a fraction."""
    seen = {
        suffix: (
            request["Namespace"],
            request["MetricName"],
            request.get("Statistic") or request["ExtendedStatistic"],
            request["Threshold"],
            f"{request['DatapointsToAlarm']} of {request['EvaluationPeriods']}",
        )
        for suffix, request in made().items()
    }

    assert seen == {
        "5xx": ("AWS/SageMaker", "Invocation5XXErrors", "Sum", 1.0, "1 of 1"),
        "latency": ("AWS/SageMaker", "ModelLatency", "p90", 54_000_000.0, "3 of 5"),
        "memory": ("/aws/sagemaker/Endpoints", "MemoryUtilization", "Maximum", 98.0, "3 of 5"),
        "concurrency": (
            "AWS/SageMaker",
            "ServerlessConcurrentExecutionsUtilization",
            "Maximum",
            1.0,
            "5 of 5",
        ),
    }


def test_an_idle_endpoint_is_no_fault() -> None:
    """It publishes nothing; the topic is told of the alarm and of its end, and the endpoint's tags are on it."""
    for request in made().values():
        assert request["TreatMissingData"] == "notBreaching"
        assert request["AlarmActions"] == request["OKActions"] == [TOPIC]
        assert request["Tags"] == TAGS
        assert request["Dimensions"] == [
            {"Name": "EndpointName", "Value": "harbour-0"},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ]


def test_the_latency_follows_the_time_out() -> None:
    """A service that gives its answers 10 s is late after 9."""
    assert made(10)["latency"]["Threshold"] == 9_000_000


def test_what_is_told_is_what_is_made() -> None:
    """Names and thresholds in the execution's output are those of the requests."""
    for cpus in (None, 4):
        told = {
            one["name"]: (one["metric"], one["threshold"]) for one in alarms.summaries("harbour-0", 60, cpus)
        }

        assert told == {
            one["AlarmName"]: (one["MetricName"], one["Threshold"]) for one in made(cpus=cpus).values()
        }


@given(
    one=st.from_regex(SERVICE_PATTERN, fullmatch=True), other=st.from_regex(SERVICE_PATTERN, fullmatch=True)
)
def test_no_two_endpoints_share_an_alarm(one: str, other: str) -> None:
    """Whatever their names are, so that deleting by name never takes somebody else's."""
    assert one == other or not set(alarms.names(one)) & set(alarms.names(other))
    assert all(name.startswith(alarms.PREFIX) and len(name) <= 255 for name in alarms.names(one))


def test_being_busy_does_not_speak_against_an_endpoint() -> None:
    """A new endpoint may have half the concurrency until the switch is over, and CPUs are there to be used."""
    quiet = {f"sealift-a-{suffix}" for suffix in ("concurrency", "cpu", "ttft", "refusals", "wake")}
    assert set(alarms.names("a")) - set(alarms.judging("a")) == quiet


def test_an_alarm_that_rings_says_why() -> None:
    """CloudWatch's own reason; the others are left out."""
    found = [
        {"AlarmName": "a", "StateValue": "ALARM", "StateReason": "Threshold Crossed: 1 datapoint"},
        {"AlarmName": "b", "StateValue": "OK", "StateReason": "fine"},
        {"AlarmName": "c", "StateValue": "INSUFFICIENT_DATA"},
        {"AlarmName": "d", "StateValue": "ALARM"},
    ]

    assert alarms.ringing(found) == ["a: Threshold Crossed: 1 datapoint", "d: no reason told"]
