"""What failed deployments leave on the local cloud, what the sweeper makes of it, and uploads that start nothing."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local_cloud.cloud import LocalCloud
from pipeline import inference_component
from pipeline.operations.execution_history import Execution
from tests.system.cli.test_command_line import sealift
from tests.system.conftest import WAIT_S, Deployments
from tests.system.rollout.test_capacity import endpoint_of
from tests.system.rollout.test_releases import asked
from tests.system.workflow.test_deployment import PROMPT, settings

WRONG = {"prompts": [PROMPT], "expect": {"contains": "no model says this"}}


def leave(deployments: Deployments, archive: Path, service: str) -> Execution:
    """Deploy what fails its smoke test and cannot be deleted; return the ended execution."""
    deployments.fail("sagemaker.DeleteEndpoint=AccessDeniedException")
    failed = deployments.upload(archive, service, settings(smoke_test=WRONG))
    deployments.fail()
    assert failed.error == "SmokeTestFailed"
    return failed


def things(document: dict[str, Any], outcome: str) -> set[tuple[str, str]]:
    """Return the kinds and names of what had this outcome."""
    return {(one["kind"], one["name"]) for one in document["found"] if one["outcome"] == outcome}


def run_schedule(cloud: LocalCloud, **changed: Any) -> dict[str, Any]:
    """Invoke the sweeper with what its rule sends; return its result."""
    rule = cloud.clients.events.list_targets_by_rule(Rule=cloud.physical_id("SweepSchedule"))
    (target,) = rule["Targets"]
    shape = target["InputTransformer"]
    assert shape["InputPathsMap"] == {"now": "$.time"}
    # EventBridge tells whole seconds: without a moment's distance a thing of this second would be of the future.
    now = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = json.loads(shape["InputTemplate"].replace("<now>", json.dumps(now)))
    payload = json.dumps({**event, **changed}).encode()
    answer = cloud.clients.lambda_.invoke(FunctionName=target["Arn"], Payload=payload)
    result: dict[str, Any] = json.load(answer["Payload"])
    assert "FunctionError" not in answer, result
    return result


def test_what_could_not_be_undone_is_swept_and_nothing_else(
    deployments: Deployments, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leftover is named when it is left, shown without a word of deleting, and then exactly it goes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployments.cloud.url)
    good = deployments.upload(archive, "swept", settings())
    failed = leave(deployments, archive, "swept")
    left = failed.results["plan_deployment"]["names"]["endpoint"]
    assert left in failed.cause
    leftovers = {("endpoint", left), ("endpoint configuration", left), ("model", left)}

    shown = sealift("sweep", "--service", "swept", "--grace", "0", "--json")
    young = sealift("sweep", "--service", "swept")

    assert shown.returncode == 0, shown.stderr
    assert things(json.loads(shown.stdout), "found") >= leftovers
    kept = things(json.loads(shown.stdout), "kept")
    assert {name for kind, name in kept if kind not in {"alarm", "parameter"}} == {endpoint_of(good)}
    assert ("parameter", "/sealift/sealift/swept/endpoint") in kept
    assert "grace is 24 h" in young.stdout
    assert left in deployments.resources()["endpoints"]

    swept = sealift("sweep", "--service", "swept", "--grace", "0", "--delete", "--json")

    assert swept.returncode == 0, swept.stdout
    assert things(json.loads(swept.stdout), "deleted") >= leftovers
    name = endpoint_of(good)
    assert deployments.resources() == {"endpoints": [name], "configs": [name], "models": [name]}
    assert asked(deployments)["endpoint_name"] == name


def test_the_schedule_tells_and_deletes_only_when_it_is_told_to(
    deployments: Deployments, archive: Path
) -> None:
    """By default it publishes what it found; with SweepDelete one run deletes the endpoint, the next one the rest."""
    cloud = deployments.cloud
    good = endpoint_of(deployments.upload(archive, "daily", settings()))
    left = endpoint_of(leave(deployments, archive, "daily"))

    assert things(run_schedule(cloud), "found") & {("endpoint", left)} == set()
    told = run_schedule(cloud, grace_hours="0")

    assert ("endpoint", left) in things(told, "found")
    notes = sns_backends[cloud.account_id][cloud.region].topics[cloud.outputs["TopicArn"]].sent_notifications
    assert f"found: endpoint {left}: its execution has ended" in notes[-1][1]
    assert left in deployments.resources()["endpoints"]

    first = run_schedule(cloud, grace_hours="0", delete="true")
    assert ("endpoint", left) in things(first, "deleting")
    assert ("endpoint configuration", left) in things(first, "waiting")
    deadline = time.monotonic() + WAIT_S
    while left in deployments.resources()["endpoints"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    second = run_schedule(cloud, grace_hours="0", delete="true")

    assert {("endpoint configuration", left), ("model", left)} <= things(second, "deleted")
    assert deployments.resources() == {"endpoints": [good], "configs": [good], "models": [good]}
    filters = cloud.clients.logs.describe_metric_filters()["metricFilters"]
    assert {one["logGroupName"] for one in filters} == {inference_component.log_group(good, component=False)}


def test_an_archive_that_was_retired_is_deployed_again(deployments: Deployments, archive: Path) -> None:
    """Nobody's archive is marked; a deployment of it in between writes it anew, and that is not what is deleted."""
    cloud = deployments.cloud
    upload = deployments.upload(archive, "again", settings(consumer=None))
    where = upload.results["assemble_archive"]
    url = {"Bucket": where["bucket"], "Key": where["key"]}
    name = endpoint_of(upload)
    sagemaker = cloud.clients.sagemaker
    sagemaker.delete_endpoint(EndpointName=name)
    for one in deployments.resources()["configs"]:
        sagemaker.delete_endpoint_config(EndpointConfigName=one)
    for one in deployments.resources()["models"]:
        sagemaker.delete_model(ModelName=one)
    deadline = time.monotonic() + WAIT_S
    while deployments.resources()["endpoints"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    marked = run_schedule(cloud, grace_hours="0", delete="true")
    assert ("archive", where["key"]) in things(marked, "marked")
    version = cloud.clients.s3.head_object(**url)["VersionId"]
    again = deployments.upload(archive, "again", settings(consumer=None))
    assert again.status == "SUCCEEDED", again.cause
    assert again.results["assemble_archive"]["key"] == where["key"]
    assert again.results["assemble_archive"]["written"]

    # A sweeper that had looked before would delete the version that it saw.
    cloud.clients.s3.delete_object(**url, VersionId=version)
    later = run_schedule(cloud, grace_hours="0", delete="true")

    assert ("archive", where["key"]) in things(later, "kept")
    assert cloud.clients.s3.head_object(**url)["ContentLength"] == where["size"]


def test_an_upload_that_starts_nothing_is_not_lost(deployments: Deployments, archive: Path) -> None:
    """The trigger fails for good: the event lies in the queue, and is all that is needed to start."""
    cloud = deployments.cloud
    deployments.fail("stepfunctions.StartExecution=AccessDeniedException")
    key = "models/lost/model.tar.gz"
    cloud.clients.s3.put_object(Bucket=deployments.bucket, Key=key, Body=archive.read_bytes())

    name = cloud.physical_id("LostUploads").rpartition("/")[2]
    queue = sqs_backends[cloud.account_id][cloud.region].queues[name]
    deadline = time.monotonic() + WAIT_S
    while not queue.messages:
        assert time.monotonic() < deadline, "the queue stayed empty"
        time.sleep(0.1)
    told = json.loads(queue.messages[0].body)
    queue._messages.clear()

    assert told["requestPayload"]["detail"]["object"]["key"] == key
    assert told["responsePayload"]["errorType"] == "AccessDenied"
