"""The alarms of a deployment on the local cloud: made with the endpoint, gone with it, in the checklist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.operations import checklist
from pipeline.planning import alarms
from tests.system.conftest import NOTHING, Deployments
from tests.system.workflow.test_deployment import settings


def there(deployments: Deployments) -> dict[str, dict[str, Any]]:
    """Return the alarms that exist."""
    found = deployments.cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"]
    return {one["AlarmName"]: one for one in found}


def test_a_deployment_is_watched(deployments: Deployments, archive: Path) -> None:
    """Its alarms are on its endpoint and tell the stack's topic, and the checklist names them."""
    ended = deployments.upload(archive, "watched", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    found = there(deployments)
    assert len(found) == 4
    assert set(found) <= set(alarms.names(endpoint))
    for alarm in found.values():
        assert alarm["AlarmActions"] == [deployments.cloud.outputs["TopicArn"]]
        assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == {
            "EndpointName": endpoint,
            "VariantName": "AllTraffic",
        }
    line = next(line for line in checklist.lines(ended) if line.text == "endpoint metrics monitored")
    assert line.mark is checklist.Mark.DONE
    assert line.evidence.startswith(f"4 alarms on {endpoint}: Invocation5XXErrors")


def test_a_failed_deployment_leaves_no_alarm(deployments: Deployments, archive: Path) -> None:
    """The consumer failed after the alarms were made: they are gone with the endpoint, and the first one's stay."""
    first = deployments.upload(archive, "failing", settings())
    served = first.results["plan_deployment"]["names"]["endpoint"]
    consumer = {**settings()["consumer"], "expect": {"contains": "submarine"}}

    ended = deployments.upload(archive, "failing", settings(consumer=consumer))

    assert ended.error == "ConsumerFailed"
    assert deployments.calls("cloudwatch").count("PutMetricAlarm") == 8
    left = there(deployments)
    assert len(left) == 4
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
