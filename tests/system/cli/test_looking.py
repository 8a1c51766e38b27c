"""What a person looks at: status, history, logs and doctor, on a local cloud with deployments good and bad."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import cli
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from pathlib import Path

    from local_cloud.cloud import LocalCloud
    from tests.system.conftest import Deployments

SUMMARY = {
    "service",
    "endpoint_name",
    "archive",
    "model",
    "memory_mb",
    "max_concurrency",
    "asked",
    "answer",
    "answer_seconds",
    "speed",
    "called_by",
    "earlier_deployments",
    "notes",
    "ended",
}


@pytest.fixture
def sealift(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Returns a function that runs a command on the cloud: its exit status and its document."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        status = cli.main([*arguments, "--json"])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return status, document

    return run


PLANNED = ("planned_first_token_s", "planned_tokens_per_s")
"""What no plan for serverless computes."""


def test_a_person_sees_what_serves_what_was_tried_and_what_was_said(
    deployments: Deployments, archive: Path, sealift: Any
) -> None:
    """One good deployment and one that is refused, by every command that looks."""
    cloud = deployments.cloud
    good = deployments.upload(archive, "lookout", settings())
    bad = deployments.upload(b"nonsense", "lookout-too")
    assert (good.status, bad.error) == ("SUCCEEDED", "InvalidArchive")
    endpoint = good.results["plan_deployment"]["names"]["endpoint"]

    output = json.loads(cloud.clients.stepfunctions.describe_execution(executionArn=good.arn)["output"])
    assert set(output) >= SUMMARY | {"check_archive", "plan_deployment", "update_consumer"}
    assert (output["endpoint_name"], output["archive"]["size"]) == (endpoint, archive.stat().st_size)

    status, document = sealift("status")
    (service,) = document["services"]
    (deployment,) = service["deployments"]
    assert status == cli.OK
    assert not document["unseen"]
    assert (service["service"], deployment["role"], deployment["endpoint_name"]) == (
        "lookout",
        "serves",
        endpoint,
    )
    assert deployment["archive"]["size"] == archive.stat().st_size
    assert (deployment["image"]["container"], deployment["image"]["newer"]) == ("pytorch", None)
    assert len(deployment["alarms"]) == 5
    assert [one["calls"] for one in service["consumers"]] == [endpoint]
    assert deployment["speed"] is None  # of a service that is asked for by name alone

    cloud.recorded.clear()
    _, document = sealift("status", "lookout")
    assert [one.call.operation for one in cloud.recorded].count("DescribeExecution") == 1
    speed = document["services"][0]["deployments"][0]["speed"]
    assert speed == output["smoke_test"]["speed"] | dict.fromkeys(PLANNED)
    assert speed["tokens_per_s"] > 0

    status, document = sealift("history")
    rows = {one["service"]: one for one in document["executions"]}
    assert rows["lookout"]["endpoint"] == endpoint
    assert rows["lookout-too"]["outcome"] == "InvalidArchive"

    status, document = sealift("logs", "lookout")
    lines = document["lines"]
    sources = {one["source"] for one in lines}
    assert status == cli.OK
    assert not document["unseen"]
    assert {"CheckArchive", "CreateModel", "UpdateConsumer", "NotifySuccess", "container"} - sources == {
        "NotifySuccess"
    }
    assert [one["time"] for one in lines] == sorted(one["time"] for one in lines)
    (call,) = [one for one in lines if one["message"] == "sagemaker CreateModel: 200"]
    assert call["fields"]["execution"] == good.arn
    assert (call["fields"]["service"], call["source"]) == ("lookout", "CreateModel")

    status, document = sealift("logs", bad.arn)
    told = [one["message"] for one in document["lines"]]
    assert any(one.startswith("CheckArchive failed with InvalidArchive: ") for one in told)
    assert not any("lookout-1" in one["message"] for one in document["lines"])

    status, document = sealift("doctor")
    found = {one["name"]: one for one in document["checks"]}
    assert [one for one in document["checks"] if one["state"] == "broken"] == []
    assert status == cli.OK
    assert found["consumer"]["told"] == f"sealift-consumer may call {endpoint}"
    assert found["image"]["state"] == found["role"]["state"] == found["workflow"]["state"] == "ok"


def test_the_log_of_an_endpoint_that_failed_outlives_it(
    deployments: Deployments, with_code: Any, sealift: Any
) -> None:
    """What its containers wrote is told after the endpoint is gone; so is a task that was killed."""
    broken = with_code("raise RuntimeError('no berth is free')\n")

    ended = deployments.upload(broken, "sunken", {**settings(), "code": "archive"})

    assert ended.status == "FAILED"
    _, document = sealift("logs", "sunken")
    container = [one["message"] for one in document["lines"] if one["source"] == "container"]
    assert any("no berth is free" in one for one in container)
    assert {"Diagnose", "RollBack"} <= {one["source"] for one in document["lines"]}


def test_a_task_that_crashed_is_in_the_log(deployments: Deployments, archive: Path, sealift: Any) -> None:
    """It could not say so itself; the history and Lambda's own line do."""
    deployments.fail("sagemaker.CreateModel=KilledBefore:1")

    ended = deployments.upload(archive, "crashed", settings())

    assert ended.status == "SUCCEEDED"
    _, document = sealift("logs", ended.arn)
    told = [(one["source"], one["message"]) for one in document["lines"] if one["level"] == "ERROR"]
    assert any(source == "CreateModel" and "Runtime.ExitError" in message for source, message in told)


def test_the_doctor_finds_a_consumer_that_may_not_call(
    deployments: Deployments, archive: Path, sealift: Any
) -> None:
    """Its role lost the permission: one broken check, with role and action to fix."""
    cloud = deployments.cloud
    deployments.upload(archive, "barred", settings())
    policy = cloud.clients.iam.get_role_policy(RoleName="sealift-consumer", PolicyName="invoke")
    cloud.clients.iam.delete_role_policy(RoleName="sealift-consumer", PolicyName="invoke")

    try:
        status, document = sealift("doctor")
    finally:
        cloud.clients.iam.put_role_policy(
            RoleName="sealift-consumer",
            PolicyName="invoke",
            PolicyDocument=json.dumps(policy["PolicyDocument"]),
        )

    (broken,) = [one for one in document["checks"] if one["state"] == "broken"]
    assert status == cli.FAILED
    assert broken["fix"] == "allow sealift-consumer sagemaker:InvokeEndpoint on endpoint/barred-*"
