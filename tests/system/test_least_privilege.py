"""Least privilege on the local cloud: each action of each policy is needed by something, and a missing one is named.

A handful of deployments, chosen so that every task does all that it may do, leave a record of each permission that was
asked for. Each policy is then judged again without each of its actions: one of its role's requests must be denied.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pipeline import resources
from pipeline.archive.pack import pack
from pipeline.execution import Execution
from pipeline.local import policies
from pipeline.local.cloud import CONSUMER, STACK, LocalCloud
from pipeline.local.policies import Policy, Request, Verdict
from tests.system.conftest import Deployments, _empty
from tests.system.test_canary import Live
from tests.system.test_capacity import WRONG, ten
from tests.system.test_deployment import PROMPT, settings

ALARM = "consumer-errors"
PATTERN = "sealift-consumer*"
"""The default of the template's ConsumerFunctionPattern."""


@dataclass(frozen=True)
class Used:
    """What the deployments asked for, by the logical id of the role."""

    policies: dict[str, Policy]
    requests: dict[str, list[Request]]
    refused: list[str]


@pytest.fixture(scope="module")
def used(running_cloud: LocalCloud, archive: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    """Deploy in every way that there is, and return what was asked for."""
    cloud = running_cloud
    cloud.access.decided.clear()
    folder = tmp_path_factory.mktemp("least-privilege")
    try:
        _deploy_in_every_way(Deployments(cloud), archive, model, folder)
        decided = tuple(cloud.access.decided)
    finally:
        cloud.faults.replace([])
        _empty(cloud)
    roles = _roles(cloud)
    names = {name: logical for logical, name in roles.items()}
    requests: dict[str, list[Request]] = {logical: [] for logical in roles}
    for one in decided:
        if one.role in names:
            requests[names[one.role]].append(one.request)
    yield Used(
        {logical: cloud.access.policy(name) for logical, name in roles.items()},
        {logical: list(dict.fromkeys(found)) for logical, found in requests.items()},
        [f"{one.role}: {one.request}" for one in decided if one.verdict is not Verdict.ALLOWED],
    )


def _roles(cloud: LocalCloud) -> dict[str, str]:
    pages = cloud.clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for page in pages
        for one in page["StackResourceSummaries"]
        if one["ResourceType"] == "AWS::IAM::Role"
    }


def _deploy_in_every_way(deployments: Deployments, archive: Path, model: Path, folder: Path) -> None:
    cloud = deployments.cloud
    live = Live(deployments)
    cloud.clients.cloudwatch.put_metric_alarm(  # type: ignore[attr-defined]
        AlarmName=ALARM, MetricName="Errors", Namespace="AWS/Lambda", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )
    consumer = {**settings()["consumer"], "alias": "live"}
    canary = {**consumer, "canary": {"weight": 0.1, "bake_s": 30, "alarms": [ALARM]}}
    unhappy = {**consumer, "expect": {"contains": "submarine"}}
    try:
        _good(deployments.upload(archive, "proof", ten(consumer=consumer)))
        _good(deployments.upload(archive, "proof", ten(consumer=canary)))
        _failed(deployments.upload(archive, "proof", ten(consumer=unhappy)), "ConsumerFailed")
        _good(deployments.upload(archive, "proof", ten(consumer=consumer, memory_mb=4096, keep_previous=0)))
    finally:
        live.remove()
    # What is not marked as good: whoever comes next asks whether its execution is still running.
    deployments.fail("sagemaker.AddTags=AccessDeniedException")
    _good(deployments.upload(archive, "steady", settings(strategy="in_place")))
    deployments.fail()
    _good(deployments.upload(archive, "steady", settings(strategy="in_place")))
    _failed(deployments.upload(archive, "steady", settings(strategy="in_place", smoke_test=WRONG)), "SmokeTestFailed")
    # An endpoint that failed and could not be deleted: the next deployment of the same archive deletes it.
    broken = folder / "broken.tar.gz"
    pack(model, broken, code={"code/inference.py": b"import os\nos._exit(3)\n"})
    deployments.fail("sagemaker.DeleteEndpoint=AccessDeniedException")
    first = deployments.upload(broken, "broken", settings(code="archive"))
    _failed(first, "EndpointFailed")
    deployments.fail()
    where = {name: first.results["check_archive"]["archive"][name] for name in ("bucket", "key", "version_id")}
    again = deployments.start({**settings(code="archive"), "archive": where, "service": "broken"})
    _failed(again, "EndpointFailed")
    # A rewritten archive whose upload breaks off is aborted.
    bundle = BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write(model, model.name)
    deployments.fail("s3.UploadPart=AccessDenied")
    _failed(deployments.upload(bundle.getvalue(), "bundle", settings(), name="model.zip"), "AccessDenied")
    deployments.fail()
    # SageMaker looks, as the endpoint's role, for an archive that is not there.
    with pytest.raises(Exception, match="Could not find model data"):
        cloud.clients.sagemaker.create_model(
            ModelName="missing",
            ExecutionRoleArn=cloud.outputs["EndpointRoleArn"],
            PrimaryContainer={
                "Image": "image",
                "ModelDataUrl": f"s3://{cloud.outputs['ArtifactBucketName']}/archives/none/model.tar.gz",
            },
        )


def _good(ended: Execution) -> None:
    assert ended.status == "SUCCEEDED", ended.cause


def _failed(ended: Execution, error: str) -> None:
    assert (ended.status, ended.error) == ("FAILED", error), ended.cause


def test_nothing_that_a_deployment_does_is_refused(used: Used) -> None:
    """x."""
    assert used.refused == []


def test_unneeded(used: Used) -> None:
    """x."""
    left = [
        f"{role} {removal.action} {removal.statement.resources}"
        for role, policy in used.policies.items()
        for removal in policies.removals(policy)
        if not policies.needed(removal, used.requests[role])
    ]
    assert left == [], "\n".join(left)
