"""MonitorEndpoint and its undoing: alarms come with the endpoint and go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import AccessDenied, Throttled
from pipeline.planning import alarms
from pipeline.rollout import alarms_api
from tests.plans import a_plan, on_instances

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from tests.functional.tasks.conftest import Script, Task

TOPIC = "arn:aws:sns:us-east-1:123456789012:sealift"
TAGS = [{"Key": "sealift:service", "Value": "harbour"}]
PLAN: dict[str, Any] = a_plan()
PLAN["requests"]["create_model"]["Tags"] = TAGS


def names(endpoint: str) -> set[str]:
    """Return the names of the alarms of a serverless endpoint."""
    return {one["name"] for one in alarms.summaries(endpoint, 60)}


def test_the_alarms_are_made(do: Task, moto_clients: Clients) -> None:
    """A second run finds its own by their names, and CloudWatch has what was requested."""
    first = do("MonitorEndpoint", moto_clients, plan=PLAN, topic=TOPIC, running={})
    second = do("MonitorEndpoint", moto_clients, plan=PLAN, topic=TOPIC, running={})

    there = {one["AlarmName"]: one for one in moto_clients.cloudwatch.describe_alarms()["MetricAlarms"]}
    assert first == second
    assert first["endpoint_name"] == "harbour-0"
    assert set(there) == {one["name"] for one in first["alarms"]} == names("harbour-0")
    assert set(first["judging"]) == set(there) - {"sealift-harbour-0-concurrency"}
    latency = there["sealift-harbour-0-latency"]
    assert (latency["ExtendedStatistic"], latency["Threshold"]) == ("p90", 54_000_000)
    assert latency["AlarmActions"] == [TOPIC]
    assert latency["TreatMissingData"] == "notBreaching"


def test_an_endpoint_on_instances_has_alarms_of_its_own(do: Task, moto_clients: Clients) -> None:
    """CPU and disk, which serverless does not publish; the CPUs of an instance are added up."""
    plan = {**PLAN, "hosting": "instance", "instances": on_instances(busy_cpus=4)}
    made = do("MonitorEndpoint", moto_clients, plan=plan, topic=TOPIC, running={})
    told = made["alarms"]

    there = {
        one["AlarmName"]: one["Threshold"]
        for one in moto_clients.cloudwatch.describe_alarms()["MetricAlarms"]
    }
    assert there == {one["name"]: one["threshold"] for one in told}
    assert there["sealift-harbour-0-cpu"] == 380
    assert "sealift-harbour-0-disk" in there
    assert "sealift-harbour-0-concurrency" not in there
    assert set(made["judging"]) == set(there) - {"sealift-harbour-0-cpu"}
    assert set(alarms_api.delete(moto_clients.cloudwatch, "harbour-0")) == set(there)


def test_they_are_tagged_like_the_endpoint(do: Task, moto_clients: Clients) -> None:
    """Whoever looks for what nobody needs any more finds them by their tags."""
    do("MonitorEndpoint", moto_clients, plan=PLAN, topic=TOPIC, running={})

    cloudwatch: Any = moto_clients.cloudwatch
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == TAGS


def test_the_cpus_of_the_type_that_runs_are_watched(do: Task, moto_clients: Clients) -> None:
    """SageMaker may have taken another type of the pool, which has more of them."""
    plan = {**PLAN, "hosting": "instance", "instances": on_instances(pooled=True)}

    do("MonitorEndpoint", moto_clients, plan=plan, topic=TOPIC, running={"ml.r5.2xlarge": 2})

    found = moto_clients.cloudwatch.describe_alarms(AlarmNames=["sealift-harbour-0-cpu"])["MetricAlarms"]
    assert [one["Threshold"] for one in found] == [760]


def test_what_is_deleted_is_the_endpoints_own(do: Task, moto_clients: Clients) -> None:
    """Others keep theirs, and a second delete finds nothing to do."""
    for name in ("harbour-0", "harbour-1"):
        do(
            "MonitorEndpoint",
            moto_clients,
            plan={**PLAN, "names": {**PLAN["names"], "endpoint": name}},
            topic=TOPIC,
            running={},
        )

    assert set(alarms_api.delete(moto_clients.cloudwatch, "harbour-0")) == names("harbour-0")
    assert alarms_api.delete(moto_clients.cloudwatch, "harbour-0") == []
    left = moto_clients.cloudwatch.describe_alarms()["MetricAlarms"]
    assert {one["AlarmName"] for one in left} == names("harbour-1")


def test_some_of_the_alarms_are_deleted_too(script: Script) -> None:
    """DeleteAlarms deletes none when one name is unknown, so only those that exist are named."""
    script.cloudwatch.alarms["sealift-harbour-0-5xx"] = {"AlarmName": "sealift-harbour-0-5xx"}

    assert alarms_api.delete(script.clients.cloudwatch, "harbour-0") == ["sealift-harbour-0-5xx"]
    assert script.cloudwatch.alarms == {}
    assert script.cloudwatch.types == {"MetricAlarm"}


def test_many_names_are_asked_for_in_parts(script: Script) -> None:
    """DescribeAlarms takes a hundred."""
    names = [f"alarm-{n}" for n in range(150)]
    script.cloudwatch.alarms |= {name: {"AlarmName": name} for name in names}

    assert [one["AlarmName"] for one in alarms_api.found(script.clients.cloudwatch, names)] == names
    assert script.cloudwatch.calls == ["DescribeAlarms"] * 2


@pytest.mark.parametrize(
    ("hosting", "log_form", "made_of_log"),
    [
        pytest.param("serverless", "columns", (6, {"ttft"}), id="TorchServe"),
        pytest.param("serverless", "json", (7, {"ttft"}), id="our server"),
        pytest.param("instance", "json", (7, {"ttft", "refusals"}), id="our server on an instance"),
        pytest.param("instance", None, (0, set()), id="somebody else's log"),
    ],
)
def test_the_log_is_measured(
    do: Task, script: Script, hosting: str, log_form: str | None, made_of_log: tuple[int, set[str]]
) -> None:
    """By a filter for each metric in the endpoint's own group, which is made where SageMaker has not yet."""
    on = on_instances(busy_cpus=4) if hosting == "instance" else None
    plan = {**PLAN, "hosting": hosting, "instances": on, "log_form": log_form}
    made = [do("MonitorEndpoint", script.clients, plan=plan, topic=TOPIC, running={}) for _ in range(2)]

    count, suffixes = made_of_log
    there = {name for _, name in script.logs.filters}
    assert made[0] == made[1]
    assert made[0]["unmeasured"] is None
    assert len(there) == count
    assert {group for group, _ in script.logs.filters} <= {"/aws/sagemaker/Endpoints/harbour-0"}
    of_log = {one for one in script.cloudwatch.alarms if alarms.of_log(one)}
    assert of_log == {f"sealift-harbour-0-{suffix}" for suffix in suffixes}


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "LimitExceededException", "InvalidParameterException"]
)
def test_a_log_that_cannot_be_measured_is_told_and_deployed_all_the_same(
    do: Task, script: Script, code: str
) -> None:
    """Nothing is watched then that would be quiet for ever."""
    script.logs.groups.add("/aws/sagemaker/Endpoints/harbour-0")
    script.logs.refused["PutMetricFilter"] = code

    made = do("MonitorEndpoint", script.clients, plan={**PLAN, "log_form": "json"}, topic=TOPIC, running={})

    assert made["unmeasured"] == f"{code}: PutMetricFilter"
    assert set(script.cloudwatch.alarms) == names("harbour-0")


@pytest.mark.parametrize("code", ["ThrottlingException", "OperationAbortedException"])
def test_what_may_pass_is_tried_again(do: Task, script: Script, code: str) -> None:
    """By the state machine."""
    script.logs.refused["PutMetricFilter"] = code

    with pytest.raises(Throttled):
        do("MonitorEndpoint", script.clients, plan={**PLAN, "log_form": "json"}, topic=TOPIC, running={})


def test_a_denied_alarm_is_told(do: Task, script: Script) -> None:
    """An endpoint that nobody watches is not handed to a consumer."""
    script.cloudwatch.denied.add("PutMetricAlarm")

    with pytest.raises(AccessDenied, match="not authorized: PutMetricAlarm"):
        do("MonitorEndpoint", script.clients, plan=PLAN, topic=TOPIC, running={})
