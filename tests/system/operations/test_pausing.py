"""`sealift pause` and `resume` on the local cloud: an endpoint on an instance goes, and comes back as it was."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from pipeline import cli
from tests.system.rollout.test_instances import CHEAPEST, on_instances

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from local_cloud.calls import AwsCall
    from local_cloud.cloud import LocalCloud
    from tests.system.conftest import Deployments, DocumentOf


def _interrupt(
    cloud: LocalCloud, operation: str, capsys: pytest.CaptureFixture[str], command: str, *told: str
) -> None:
    """Interrupt a command on the service while it waits for an answer, and see what it tells."""

    def press(_caller: str, call: AwsCall) -> None:
        if call.operation == operation:
            cloud.before_call(None)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    cloud.before_call(press)
    status = cli.main([command, "tug", "--yes"])
    said = "".join(capsys.readouterr())
    assert status == cli.INTERRUPTED
    for words in told:
        assert words in said


def test_a_service_is_paused_and_comes_back(
    deployments: Deployments, archive: Path, document_of: DocumentOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same name, tags, scaling, alarms and parameter; meanwhile it costs nothing, and its consumer is named.

    Both commands are interrupted first: they tell how things stand, and the next run goes on.
    """
    cloud = deployments.cloud
    asked = {"max": 3, "invocations_per_instance": 20}
    ended = deployments.upload(archive, "tug", on_instances(auto_scaling=asked))
    assert ended.status == "SUCCEEDED", ended.cause
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    before = _seen(cloud, endpoint)
    variables = deployments.consumer_variables()

    status, dry = document_of("pause", "tug", "--dry-run")
    assert (status, dry["status"], dry["endpoints"]) == (cli.OK, "planned", [endpoint])
    assert dry["saves_usd_per_hour"] > 0
    assert any(endpoint in caller and "ENDPOINT_NAME" in caller for caller in dry["callers"])
    assert deployments.resources()["endpoints"] == [endpoint]

    _interrupt(
        cloud,
        "AddTags",
        capsys,
        "pause",
        f"stays    endpoint {endpoint} (InService), at $",
        "`sealift pause tug` goes on, `sealift resume tug` brings it back",
    )
    assert deployments.resources()["endpoints"] == [endpoint]

    status, paused = document_of("pause", "tug", "--yes")
    assert (status, paused["status"], paused["gone"]) == (cli.OK, "paused", [endpoint])
    left = deployments.resources()
    assert left == {"endpoints": [], "configs": [endpoint], "models": [endpoint]}
    assert _targets(cloud) == []
    assert deployments.consumer_variables() == variables

    status, shown = document_of("status", "tug")
    (service,) = shown["services"]
    assert status == cli.OK
    assert (shown["usd_per_hour"], service["deployments"]) == (0.0, [])
    (one,) = service["paused"]
    assert one["endpoint_name"] == endpoint
    assert one["usd_per_hour_resumed"] == dry["saves_usd_per_hour"]
    _, listed = document_of("ls")
    assert [(row["service"], row["status"]) for row in listed["services"]] == [("tug", "paused")]
    status, again = document_of("pause", "tug", "--yes")
    assert (status, again["status"]) == (cli.OK, "nothing")
    status, _ = document_of("rollback", "tug")
    assert status == cli.FAILED
    swept = document_of("sweep", "--grace", "0", "--delete", "--service", "tug")[1]
    assert {one["outcome"] for one in swept["found"]} == {"kept"}

    _, removal = document_of("delete", "tug", "--dry-run")
    assert removal["paused"] == [endpoint]
    assert any(endpoint in caller for caller in removal["callers"])

    goes_on = "`sealift resume tug` goes on, `sealift pause tug` takes it away again"
    _interrupt(cloud, "CreateEndpoint", capsys, "resume", f"endpoint {endpoint}", goes_on)

    status, resumed = document_of("resume", "tug", "--yes")
    assert (status, resumed["status"]) == (cli.OK, "resumed"), resumed
    (back,) = resumed["back"]
    assert "cargo" in back["answer"].lower()
    assert _seen(cloud, endpoint) == before
    status, again = document_of("resume", "tug", "--yes")
    assert (status, again["status"]) == (cli.OK, "nothing")
    assert document_of("status", "tug")[1]["services"][0]["paused"] == []


def test_what_has_no_room_stays_paused_and_a_new_deployment_takes_its_place(
    deployments: Deployments, archive: Path, document_of: DocumentOf
) -> None:
    """A quota that refuses the endpoint is told, nothing is changed; a new deployment retires what is paused."""
    cloud = deployments.cloud
    first = deployments.upload(archive, "tug", on_instances(consumer=None))
    assert first.status == "SUCCEEDED", first.cause
    endpoint = first.results["plan_deployment"]["names"]["endpoint"]
    assert document_of("pause", "tug", "--yes")[0] == cli.OK
    before = cloud.hosting.quotas
    try:
        cloud.hosting.quotas = _without(before, CHEAPEST)
        status, refused = document_of("resume", "tug", "--yes")
    finally:
        cloud.hosting.quotas = before
    assert (status, refused) == (cli.FAILED, {})
    assert deployments.resources() == {"endpoints": [], "configs": [endpoint], "models": [endpoint]}
    assert len(document_of("status", "tug")[1]["services"][0]["paused"]) == 1

    second = deployments.upload(archive, "tug", on_instances(consumer=None, inference={"n_ctx": 256}))
    assert second.status == "SUCCEEDED", second.cause
    new = second.results["plan_deployment"]["names"]["endpoint"]
    assert deployments.resources() == {"endpoints": [new], "configs": [new], "models": [new]}
    assert second.results["retire_previous"]["retired"] == [endpoint]
    alarms = cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"]
    assert not any(endpoint in one["AlarmName"] for one in alarms)

    assert document_of("pause", "tug", "--yes")[0] == cli.OK
    assert document_of("delete", "tug", "--yes")[0] == cli.OK
    assert deployments.resources() == {"endpoints": [], "configs": [], "models": []}
    assert cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"] == []


def _without(quotas: Any, instance_type: str) -> Any:
    from dataclasses import replace

    return replace(quotas, instances={instance_type: 0})


def _targets(cloud: LocalCloud) -> list[dict[str, Any]]:
    scaling: Any = cloud.clients.autoscaling
    found: list[dict[str, Any]] = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")[
        "ScalableTargets"
    ]
    return found


def _seen(cloud: LocalCloud, endpoint: str) -> dict[str, Any]:
    """Return all of an endpoint that is to come back as it was."""
    sagemaker, scaling = cloud.clients.sagemaker, cloud.clients.autoscaling
    described = sagemaker.describe_endpoint(EndpointName=endpoint)
    (target,) = _targets(cloud)
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    tags = sagemaker.list_tags(ResourceArn=described["EndpointArn"])["Tags"]
    alarms = cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"]
    return {
        "config": described["EndpointConfigName"],
        "status": described["EndpointStatus"],
        "tags": {tag["Key"]: tag["Value"] for tag in tags},
        "bounds": (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]),
        "policies": [
            (one["PolicyName"], one["TargetTrackingScalingPolicyConfiguration"]) for one in policies
        ],
        "alarms": sorted(one["AlarmName"] for one in alarms if one["AlarmName"].startswith("sealift-")),
    }
