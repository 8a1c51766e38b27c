"""The alarms of a deployment on the local cloud: made with the endpoint, gone with it, in the checklist."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import inference_component
from pipeline.operations import checklist
from pipeline.planning import alarms, metrics
from tests.system.conftest import NOTHING, Deployments
from tests.system.local_cloud.test_containers import OWN_IMAGE
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from collections.abc import Callable


def there(deployments: Deployments) -> dict[str, dict[str, Any]]:
    """Return the alarms that exist."""
    found = deployments.cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"]
    return {one["AlarmName"]: one for one in found}


def filters(deployments: Deployments) -> dict[str, set[str]]:
    """Return the names of the metric filters that exist, by their log groups."""
    logs = deployments.cloud.clients.logs
    found: dict[str, set[str]] = {}
    for one in logs.describe_metric_filters()["metricFilters"]:
        found.setdefault(one["logGroupName"], set()).add(one["filterName"])
    return found


def values(deployments: Deployments, endpoint: str, metric: str) -> list[float]:
    """Return what CloudWatch has of a metric of an endpoint: count and sum of all time."""
    cloudwatch: Any = deployments.cloud.clients.cloudwatch
    now = datetime.now(UTC)
    points = cloudwatch.get_metric_statistics(
        Namespace=metrics.NAMESPACE,
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["SampleCount", "Sum"],
    )["Datapoints"]
    return [sum(one["SampleCount"] for one in points), sum(one["Sum"] for one in points)]


def test_the_log_of_an_endpoint_is_measured(deployments: Deployments, archive: Path) -> None:
    """What its container writes is what the filters match: each answer is measured, and so is a refusal, by its name.

    After a switch the new endpoint has metrics of its own, and what retires the old one takes its filters along.
    """
    own = settings(container="custom", image_uri=OWN_IMAGE, keep_previous=0)
    ended = deployments.upload(archive, "measured", own)

    assert ended.status == "SUCCEEDED", ended.cause
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    names = {f"{metrics.PREFIX}{one.name}" for one in metrics.of_form("json")}
    assert filters(deployments)[inference_component.log_group(endpoint, component=False)] == names
    runtime: Any = deployments.cloud.clients.sagemaker_runtime
    for body in ({"prompt": "What does a sealift do?", "max_tokens": 5}, {"colour": 1}):
        with contextlib.suppress(ClientError):
            runtime.invoke_endpoint(
                EndpointName=endpoint, ContentType="application/json", Body=json.dumps(body).encode()
            )
    until(lambda: values(deployments, endpoint, "GeneratedTokens")[0] >= 1)
    answers, tokens = values(deployments, endpoint, "GeneratedTokens")
    assert tokens >= 5
    assert values(deployments, endpoint, "TimeToFirstToken")[1] > 0
    assert values(deployments, endpoint, "TokensPerSecond")[1] > 0
    assert values(deployments, endpoint, "QueueTime")[0] == answers
    # A request that is wrong is no refusal for want of room.
    assert values(deployments, endpoint, "Refusals") == [0, 0]

    again = deployments.upload(archive, "measured", {**own, "inference": {"max_tokens": 77}})
    newer = again.results["plan_deployment"]["names"]["endpoint"]
    assert again.status == "SUCCEEDED", again.cause
    assert endpoint in " ".join(again.results["retire_previous"]["retired"])
    groups = set(filters(deployments))
    assert inference_component.log_group(newer, component=False) in groups
    assert inference_component.log_group(endpoint, component=False) not in groups


def until(seen: Callable[[], bool]) -> None:
    """Wait until something is seen, for a while: a log line takes its way."""
    deadline = time.monotonic() + 20
    while not seen() and time.monotonic() < deadline:
        threading.Event().wait(0.1)


def test_a_log_that_may_not_be_measured_is_told(deployments: Deployments, archive: Path) -> None:
    """The deployment is good all the same, and no alarm watches what is not there."""
    deployments.fail("logs.PutMetricFilter=AccessDeniedException")

    ended = deployments.upload(archive, "unmeasured", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    assert len(there(deployments)) == 4
    line = next(line for line in checklist.lines(ended) if line.text == "endpoint metrics monitored")
    assert "its log is not measured" in line.evidence


def test_a_deployment_is_watched(deployments: Deployments, archive: Path) -> None:
    """Its alarms are on its endpoint and tell the stack's topic, and the checklist names them."""
    ended = deployments.upload(archive, "watched", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    found = there(deployments)
    assert len(found) == 5
    assert set(found) <= set(alarms.names(endpoint))
    for alarm in found.values():
        assert alarm["AlarmActions"] == [deployments.cloud.outputs["TopicArn"]]
        assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == {
            "EndpointName": endpoint,
            "VariantName": "AllTraffic",
        }
    line = next(line for line in checklist.lines(ended) if line.text == "endpoint metrics monitored")
    assert line.mark is checklist.Mark.DONE
    assert line.evidence.startswith(f"5 alarms on {endpoint}: Invocation5XXErrors")


def test_a_failed_deployment_leaves_no_alarm(deployments: Deployments, archive: Path) -> None:
    """The consumer failed after the alarms were made: they are gone with the endpoint, and the first one's stay."""
    first = deployments.upload(archive, "failing", settings())
    served = first.results["plan_deployment"]["names"]["endpoint"]
    consumer = {**settings()["consumer"], "expect": {"contains": "submarine"}}

    ended = deployments.upload(archive, "failing", settings(consumer=consumer))

    assert ended.error == "ConsumerFailed"
    assert deployments.calls("cloudwatch").count("PutMetricAlarm") == 10
    left = there(deployments)
    assert len(left) == 5
    assert set(filters(deployments)) == {inference_component.log_group(served, component=False)}
    assert set(left) <= set(alarms.names(served))
    assert "alarms of endpoint" in " ".join(ended.results["roll_back"]["gone"])


def test_alarms_that_may_not_be_made_fail_the_deployment(deployments: Deployments, archive: Path) -> None:
    """A fault speaks CloudWatch's protocol; the cause names the action, and nothing is left."""
    deployments.fail("cloudwatch.PutMetricAlarm=AccessDeniedException")

    ended = deployments.upload(archive, "unwatched", settings())

    assert (ended.status, ended.error) == ("FAILED", "AccessDenied")
    assert "cloudwatch:PutMetricAlarm" in str(ended.cause)
    assert deployments.resources() == NOTHING
    assert there(deployments) == {}


def test_the_dashboard_is_made_with_the_stack(deployments: Deployments) -> None:
    """Its body is JSON that CloudWatch has, and it finds endpoints instead of naming any."""
    cloudwatch: Any = deployments.cloud.clients.cloudwatch
    (entry,) = cloudwatch.list_dashboards()["DashboardEntries"]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"])

    assert all("SEARCH(" in json.dumps(widget) for widget in body["widgets"] if widget["type"] == "metric")
