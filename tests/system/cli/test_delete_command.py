"""`sealift delete`: one service goes with all that was made for it, and nothing of another's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline import cli
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Deployments, DocumentOf


def test_a_service_goes_and_another_stays(
    deployments: Deployments, archive: Path, document_of: DocumentOf
) -> None:
    """Looked at, then deleted, then nothing is left to delete; uploads go only when they are named."""
    cloud = deployments.cloud
    given = settings()
    gone = deployments.upload(archive, "ferry", given)
    stays = deployments.upload(archive, "barge", {**given, "consumer": None})
    assert (gone.status, stays.status) == ("SUCCEEDED", "SUCCEEDED"), gone.cause or stays.cause
    kept = stays.results["plan_deployment"]["names"]["endpoint"]
    endpoint = gone.results["plan_deployment"]["names"]["endpoint"]

    status, document = document_of("delete", "ferry", "--dry-run")
    assert (status, document["status"]) == (cli.OK, "planned")
    assert any(endpoint in caller for caller in document["callers"])
    assert len(deployments.resources()["endpoints"]) == 2

    status, document = document_of("delete", "ferry", "--yes")
    assert (status, document["status"]) == (cli.OK, "deleted")
    assert document["kept"]["versions"] > 0
    left = deployments.resources()
    assert left["endpoints"] == [kept]
    assert not any(name.startswith("ferry") for names in left.values() for name in names)
    alarms = cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"]
    assert {one["AlarmName"] for one in alarms if endpoint in one["AlarmName"]} == set()
    filters = cloud.clients.logs.describe_metric_filters()["metricFilters"]
    assert not any(endpoint in one["filterName"] for one in filters)

    status, document = document_of("delete", "ferry", "--yes", "--archives")
    assert (status, document["status"], document["kept"]) == (cli.OK, "deleted", None)
    bucket = cloud.outputs["UploadBucketName"]
    assert "Versions" not in cloud.clients.s3.list_object_versions(Bucket=bucket, Prefix="models/ferry/")
    assert "Versions" in cloud.clients.s3.list_object_versions(Bucket=bucket, Prefix="models/barge/")

    status, document = document_of("delete", "ferry", "--yes")
    assert (status, document["status"]) == (cli.OK, "nothing")


def test_a_service_that_is_being_deployed_stays(
    deployments: Deployments, archive: Path, document_of: DocumentOf
) -> None:
    """What runs would make what nobody deletes any more."""
    cloud = deployments.cloud
    deployments.fail("sagemaker.DescribeEndpoint=SlowDown:2")
    key = "models/liner/model.tar.gz"
    cloud.clients.s3.put_object(Bucket=deployments.bucket, Key=key, Body=archive.read_bytes())
    started = cloud.clients.stepfunctions.start_execution(
        stateMachineArn=cloud.outputs["StateMachineArn"],
        input=json.dumps({**settings(consumer=None), "archive": {"bucket": deployments.bucket, "key": key}}),
    )

    status, document = document_of("delete", "liner", "--yes")

    assert (status, document) == (cli.FAILED, {})
    for arn in {started["executionArn"], *deployments.executions()}:
        deployments.ended(arn)


def test_nobody_is_taken_for_a_yes(document_of: DocumentOf) -> None:
    """Where there is no terminal to ask at, --yes has to be said."""
    assert document_of("delete", "ferry")[0] == cli.FAILED
