"""`expires_after_h` on the local cloud: a deployment whose time is over goes with all that was made for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from pathlib import Path

    from local_cloud.cloud import LocalCloud
    from tests.system.conftest import Deployments


def look(cloud: LocalCloud, now: datetime) -> dict[str, Any]:
    """Invoke what the schedule invokes, with its input, at a time; return what was done."""
    (target,) = cloud.clients.events.list_targets_by_rule(Rule=cloud.physical_id("ExpirySchedule"))["Targets"]
    shape = target["InputTransformer"]
    event = json.loads(shape["InputTemplate"].replace("<now>", json.dumps(now.isoformat())))
    answer = cloud.clients.lambda_.invoke(FunctionName=target["Arn"], Payload=json.dumps(event).encode())
    result: dict[str, Any] = json.load(answer["Payload"])
    assert "FunctionError" not in answer, result
    return result


def test_what_was_deployed_for_a_time_goes_when_it_is_over(deployments: Deployments, archive: Path) -> None:
    """Told an hour before, once; then the endpoint with its parameter, and at the next look the rest. Another stays."""
    cloud = deployments.cloud
    shown = deployments.upload(archive, "regatta", settings(expires_after_h=2))
    stays = deployments.upload(archive, "liner", settings(consumer=None))
    assert (shown.status, stays.status) == ("SUCCEEDED", "SUCCEEDED"), shown.cause or stays.cause
    endpoint, kept = (one.results["plan_deployment"]["names"]["endpoint"] for one in (shown, stays))
    at = datetime.fromisoformat(shown.results["retire_previous"]["expires_at"])
    assert timedelta(hours=1.9) < at - datetime.now(UTC) < timedelta(hours=2)
    assert shown.results["expires_at"] == shown.results["retire_previous"]["expires_at"]
    parameter = "/sealift/sealift/regatta/endpoint"
    assert cloud.clients.ssm.get_parameter(Name=parameter)["Parameter"]["Value"] == endpoint

    assert look(cloud, at - timedelta(hours=1, seconds=1))["expired"] == []
    (soon,) = look(cloud, at - timedelta(minutes=59))["expired"]
    assert (soon["endpoint_name"], soon["outcome"]) == (endpoint, "soon")
    (record,) = soon["records"]
    assert look(cloud, at - timedelta(seconds=1))["expired"] == []
    # As the notice says how it is kept.
    for value in ("never", shown.results["expires_at"]):
        cloud.clients.sagemaker.add_tags(
            ResourceArn=record, Tags=[{"Key": "sealift:expires-at", "Value": value}]
        )
        if value == "never":
            assert look(cloud, at)["expired"] == []
    assert sorted(deployments.resources()["endpoints"]) == sorted([endpoint, kept])

    first = look(cloud, at)
    (one,) = first["expired"]
    assert (one["service"], one["endpoint_name"], one["outcome"]) == ("regatta", endpoint, "taken down"), one
    assert any("ENDPOINT_NAME of sealift-consumer" in caller for caller in one["callers"])
    assert first["found"] == []
    assert parameter not in {
        row["Name"]
        for row in cloud.clients.ssm.get_parameters_by_path(Path="/sealift", Recursive=True)["Parameters"]
    }
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while True:
        (again,) = look(cloud, at)["expired"]
        if again["outcome"] == "gone" or datetime.now(UTC) > deadline:
            break
        assert (again["outcome"], again["reason"]) == ("waiting", "the endpoint is being deleted")
    assert again["outcome"] == "gone"
    left = deployments.resources()
    assert [name for names in left.values() for name in names if name.startswith("regatta")] == []
    assert left["endpoints"] == [kept]
    alarms = cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"]
    assert not any(endpoint in one["AlarmName"] for one in alarms)
    assert look(cloud, at)["expired"] == []
