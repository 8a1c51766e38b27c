"""Least privilege on the local cloud: each action of each policy is needed by something, and a missing one is named.

A handful of deployments, chosen so that every task does all that it may do, leave a record of each permission that was
asked for. Each policy is then judged again without each of its actions: one of its role's requests must be denied.
"""

from __future__ import annotations

import copy
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends

from local_cloud.cloud import CONSUMER, STACK, LocalCloud
from local_cloud.faults import Fault
from local_cloud.iam import policies
from local_cloud.iam.policies import (
    Policy,
    PolicyRequest,
    PolicyVerdict,
)
from pipeline import __version__, naming
from pipeline.archive.build.pack import pack
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.operations.execution_history import Execution
from tests import pushed
from tests.system.conftest import BEFORE, NOTHING, WAIT_S, Deployments, empty
from tests.system.operations.test_sweep import run_schedule, things
from tests.system.rollout.test_canary import Live
from tests.system.rollout.test_capacity import WRONG, ten
from tests.system.workflow.test_deployment import settings
from tools import permissions

ALARM = "consumer-errors"
FROM_SAM = ("StartDeploymentRole", "sqs:SendMessage")
"""Given by SAM for the function's destination: Lambda uses it in the role's name, and here nobody does."""
PATTERN = "sealift-consumer*"
"""The default of the template's ConsumerFunctionPattern."""


@dataclass(frozen=True)
class Used:
    """What the deployments asked for, by the logical id of the role."""

    policies: dict[str, Policy]
    requests: dict[str, list[PolicyRequest]]
    refused: list[str]


@pytest.fixture(scope="module")
def used(
    running_cloud: LocalCloud, archive: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Used:
    """Deploy in every way that there is, and return what was requested."""
    cloud = running_cloud
    cloud.access.decided.clear()
    # Then both ways of changing a concurrency are gone.
    cloud.hosting.rescaling = False
    folder = tmp_path_factory.mktemp("least-privilege")
    try:
        _deploy_in_every_way(Deployments(cloud), archive, model, folder)
        decided = tuple(cloud.access.decided)
    finally:
        cloud.faults.replace([])
        cloud.hosting.rescaling = True
        empty(cloud)
    roles = _roles(cloud)
    names = {name: logical for logical, name in roles.items()}
    requests: dict[str, list[PolicyRequest]] = {logical: [] for logical in roles}
    for one in decided:
        if one.role in names:
            requests[names[one.role]].append(one.request)
    return Used(
        {logical: cloud.access.policy(name) for logical, name in roles.items()},
        {logical: list(dict.fromkeys(found)) for logical, found in requests.items()},
        [f"{one.role}: {one.request}" for one in decided if one.verdict is not PolicyVerdict.ALLOWED],
    )


def _roles(cloud: LocalCloud) -> dict[str, str]:
    pages = cloud.clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for page in pages
        for one in page["StackResourceSummaries"]
        if one["ResourceType"] == "AWS::IAM::Role"
    }


def _deploy_with_a_gate(deployments: Deployments, archive: Path) -> None:
    """Twice: the second time there is an earlier deployment to compare with."""
    suite = json.dumps({"prompt": "What does a sealift do?", "expect": {"similarity": 0}}).encode()
    s3 = deployments.cloud.clients.s3
    s3.put_object(Bucket=deployments.bucket, Key="models/gated/suite.jsonl", Body=suite)
    for _ in range(2):
        gated = settings(consumer=None, quality={"suite": "suite.jsonl"})
        _good(deployments.upload(archive, "gated", gated))
    empty(deployments.cloud)


def _leave_a_broken_one(deployments: Deployments, model: Path, folder: Path) -> None:
    """An endpoint that failed and could not be deleted: the next deployment of the same archive deletes it."""
    broken = folder / "broken.tar.gz"
    pack(model, broken, code={"code/inference.py": b"import os\nos._exit(3)\n"})
    deployments.fail("sagemaker.DeleteEndpoint=AccessDeniedException")
    first = deployments.upload(broken, "broken", settings(code="archive", consumer=None))
    _failed(first, "EndpointFailed")
    deployments.fail()
    where = {
        name: first.results["check_archive"]["archive"][name] for name in ("bucket", "key", "version_id")
    }
    again = deployments.start(
        {**settings(code="archive", consumer=None), "archive": where, "service": "broken"}
    )
    _failed(again, "EndpointFailed")


def _deploy_in_every_way(deployments: Deployments, archive: Path, model: Path, folder: Path) -> None:
    cloud = deployments.cloud
    live = Live(deployments)
    cloud.clients.cloudwatch.put_metric_alarm(  # type: ignore[attr-defined]
        AlarmName=ALARM,
        MetricName="Errors",
        Namespace="AWS/Lambda",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    consumer = {**settings()["consumer"], "alias": "live"}
    canary = {**consumer, "canary": {"weight": 0.1, "bake_s": 30, "alarms": [ALARM]}}
    unhappy = {**consumer, "expect": {"contains": "submarine"}}
    try:
        # The first that is retired: its scalable target goes before it does.
        _good(deployments.upload(archive, "proof", _scaled(consumer=consumer)))
        _good(deployments.upload(archive, "proof", ten(consumer=consumer)))
        _good(deployments.upload(archive, "proof", ten(consumer=canary)))
        _failed(deployments.upload(archive, "proof", ten(consumer=unhappy)), "ConsumerFailed")
        _good(deployments.upload(archive, "proof", ten(consumer=consumer, memory_mb=4096, keep_previous=0)))
    finally:
        live.remove()
    # The account has ten concurrent invocations, and the first service holds them.
    empty(cloud)
    _deploy_with_a_gate(deployments, archive)
    # What is not marked as good: whoever comes next asks whether its execution is still running.
    deployments.fail("sagemaker.AddTags=AccessDeniedException")
    _good(deployments.upload(archive, "steady", settings(strategy="in_place")))
    deployments.fail()
    _good(deployments.upload(archive, "steady", settings(strategy="in_place")))
    _failed(
        deployments.upload(archive, "steady", settings(strategy="in_place", smoke_test=WRONG)),
        "SmokeTestFailed",
    )
    _leave_a_broken_one(deployments, model, folder)
    # A rewritten archive whose upload breaks off is aborted.
    bundle = BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as zipped:
        # Of another name than elsewhere: an archive that is there already is not rewritten.
        zipped.write(model, "least-privilege.gguf")
    deployments.fail("s3.UploadPart=AccessDenied")
    by_hand = {"bucket": deployments.bucket, "key": "by-hand/bundle/model.zip"}
    cloud.clients.s3.put_object(Bucket=by_hand["bucket"], Key=by_hand["key"], Body=bundle.getvalue())
    _failed(
        deployments.start({**settings(consumer=None), "archive": by_hand, "service": "bundle"}),
        "AccessDenied",
    )
    deployments.fail()
    _failed(
        deployments.start({"archive": {"bucket": deployments.bucket, "key": "models/none/model.tar.gz"}}),
        "ArchiveNotFound",
    )
    # Whoever updates instances in place looks which of the alarms there are.
    taken_over = {**settings()["consumer"], "take_over": True}
    on_instances = {**_scaled(consumer=taken_over), "auto_scaling": None, "strategy": "in_place", "bake_s": 1}
    for n_ctx in (256, 512):
        asked = {**on_instances, "inference": {"n_ctx": n_ctx}, "expires_after_h": 1}
        _good(deployments.upload(archive, "instances", asked))
    soon = (datetime.now(UTC) + timedelta(minutes=45)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [one["outcome"] for one in run_schedule(cloud, now=soon, only="expired")["expired"]] == ["soon"]
    # A shard of a split model: whether the others are there is looked at, and they are not.
    cloud.clients.s3.put_object(
        Bucket=deployments.bucket, Key="models/split/model-00001-of-00002.gguf", Body=b"GGUF"
    )
    _inherit(deployments, archive)
    _put_parameters_back(deployments, archive)
    _sweep(deployments, archive, unhappy)
    _scale_to_none(deployments, archive)
    _hold_in_images(deployments, archive, model)
    # SageMaker looks, as the endpoint's role, for an archive that is not there.
    with pytest.raises(ClientError, match="Could not find model data"):
        cloud.clients.sagemaker.create_model(
            ModelName="missing",
            ExecutionRoleArn=cloud.outputs["EndpointRoleArn"],
            PrimaryContainer={
                "Image": "image",
                "ModelDataUrl": f"s3://{cloud.outputs['ArtifactBucketName']}/archives/none/model.tar.gz",
            },
        )


def _scaled(**more: Any) -> dict[str, Any]:
    """Return the settings of a small deployment on instances that scale."""
    return {
        **{name: value for name, value in settings(**more).items() if name != "max_concurrency"},
        "hosting": "instance",
        "auto_scaling": {"max": 2, "invocations_per_instance": 20},
    }


def _scale_to_none(deployments: Deployments, archive: Path) -> None:
    """Endpoints that host a component: one is retired, one rolled back, and one that could not be is swept."""
    cloud = deployments.cloud
    empty(cloud)
    asked = {**_scaled(consumer=None, container="pytorch"), "auto_scaling": None, "scale_to_zero": True}
    for n_ctx in (256, 512):
        _good(deployments.upload(archive, "tern", {**asked, "inference": {"n_ctx": n_ctx}}))
    _failed(deployments.upload(archive, "tern", {**asked, "smoke_test": WRONG}), "SmokeTestFailed")
    empty(cloud)
    deployments.fail("sagemaker.DeleteInferenceComponent=AccessDeniedException")
    _failed(deployments.upload(archive, "tern", {**asked, "smoke_test": WRONG}), "SmokeTestFailed")
    deployments.fail()
    (name,) = deployments.resources()["endpoints"]
    for minutes in (1, 2):
        assert ("endpoint", name) in _swept(cloud, timedelta(minutes=minutes))
        while cloud.clients.sagemaker.list_inference_components()["InferenceComponents"]:
            time.sleep(0.05)
    _await_none(deployments)
    empty(cloud)


def _put_parameters_back(deployments: Deployments, archive: Path) -> None:
    """Let a switch fail after the parameter was moved, and after it was made: it is put back, or deleted."""
    cloud = deployments.cloud
    empty(cloud)
    name, asked = naming.endpoint_parameter(STACK, "named"), settings(consumer=None)
    by_hand = "somebodys"
    cloud.clients.ssm.put_parameter(Name=name, Value=by_hand, Type="String")
    unmarked = Fault("ssm", "AddTagsToResource", "AccessDenied", caller=cloud.physical_id("UpdateConsumer"))
    cloud.faults.replace([unmarked])
    _failed(deployments.upload(archive, "named", asked), "AccessDenied")
    assert cloud.clients.ssm.get_parameter(Name=name)["Parameter"]["Value"] == by_hand
    cloud.clients.ssm.delete_parameter(Name=name)
    cloud.faults.replace([unmarked, Fault("ssm", "PutParameter", "AnswerLost", times=1)])
    _failed(deployments.upload(archive, "named", asked), "AccessDenied")
    with pytest.raises(ClientError, match="ParameterNotFound"):
        cloud.clients.ssm.get_parameter(Name=name)
    deployments.fail()


def _sweep(deployments: Deployments, archive: Path, consumer: dict[str, Any]) -> None:
    """Leave whatever a failed deployment can leave, and let the sweeper take it away, its archive half a day later."""
    cloud = deployments.cloud
    empty(cloud)
    live = Live(deployments)
    deployments.fail(
        "sagemaker.DeleteEndpoint=AccessDeniedException", "lambda.DeleteFunction=AccessDeniedException"
    )
    # One whose log is measured, so that its filters are swept with it.
    _failed(
        deployments.upload(archive, "swept", _scaled(consumer=consumer, container="pytorch")),
        "ConsumerFailed",
    )
    deployments.fail()
    live.remove()
    (name,) = deployments.resources()["endpoints"]
    parameter = naming.endpoint_parameter(STACK, "gone")
    cloud.clients.ssm.put_parameter(Name=parameter, Value="gone-0123456789ab", Type="String")
    first = _swept(cloud, timedelta(minutes=1))
    assert {("endpoint", name), ("parameter", parameter)} <= set(first), first
    _await_none(deployments)
    second = _swept(cloud, timedelta(minutes=2))
    assert {kind for kind, _ in second} >= {"endpoint configuration", "model", "alarm", "version"}, second
    assert "archive" in {kind for kind, _ in _swept(cloud, timedelta(hours=12))}


def _hold_in_images(deployments: Deployments, archive: Path, model: Path) -> None:
    """Let the image hold the model: of an archive and of a bare one, in vain, and until the sweeper takes it."""
    cloud = deployments.cloud
    empty(cloud)
    ecr, name = cloud.clients.ecr, cloud.outputs["ImageRepository"].partition("/")[2]
    pushed.push(ecr, name, naming.image_tag(__version__, "x86_64"))
    asked = {"container": "custom", "artifact": "image", "consumer": None}
    try:
        _good(deployments.upload(archive, "packed", settings(**asked)))
        by_hand = {"bucket": deployments.bucket, "key": "by-hand/bare/bare.gguf"}
        cloud.clients.s3.put_object(Bucket=by_hand["bucket"], Key=by_hand["key"], Body=model.read_bytes())
        bare = {**settings(**asked, smoke_test=WRONG), "archive": by_hand, "service": "bare"}
        _failed(deployments.start(bare), "SmokeTestFailed")
        # Before anything was written down of the image, so that a rollback finds no record.
        assembles = cloud.physical_id("AssembleImage")
        cloud.faults.replace([Fault("s3", "PutObject", "AccessDenied", caller=assembles)])
        _failed(
            deployments.upload(model, "early", settings(**asked), name="early.gguf"),
            "AccessDenied",
        )
        deployments.fail()
        # Of one image the record is gone, as after the bucket's lifecycle.
        pushed.push(ecr, name, "model-forgotten")
        empty(cloud)
        assert "image" in {kind for kind, _ in _swept(cloud, timedelta(hours=12))}
    finally:
        found = ecr.describe_images(repositoryName=name)["imageDetails"]
        ecr.batch_delete_image(
            repositoryName=name, imageIds=[{"imageDigest": one["imageDigest"]} for one in found]
        )


def _inherit(deployments: Deployments, archive: Path) -> None:
    """Let a consumer call an endpoint that is gone: whose it is, its configuration tells."""
    empty(deployments.cloud)
    _good(deployments.upload(archive, "gone", settings()))
    for name in deployments.resources()["endpoints"]:
        deployments.cloud.clients.sagemaker.delete_endpoint(EndpointName=name)
    _await_none(deployments)
    _failed(deployments.upload(archive, "heir", settings()), "ConsumerTaken")


def _await_none(deployments: Deployments) -> None:
    deadline = time.monotonic() + WAIT_S
    while deployments.resources()["endpoints"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _swept(cloud: LocalCloud, later: timedelta) -> set[tuple[str, str]]:
    """Let the sweeper delete, as if that time had passed; return the kinds and names of what went or is going."""
    now = (datetime.now(UTC) + later).strftime("%Y-%m-%dT%H:%M:%SZ")
    swept = run_schedule(cloud, now=now, grace_hours="0", delete="true")
    return things(swept, "deleting") | things(swept, "deleted")


def _good(ended: Execution) -> None:
    assert ended.status == "SUCCEEDED", ended.cause


def _failed(ended: Execution, error: str) -> None:
    assert (ended.status, ended.error) == ("FAILED", error), ended.cause


def _unneeded(policy: Policy, requests: list[PolicyRequest]) -> list[str]:
    removals = policies.removals(policy)
    return [removal.left_out for removal in removals if not policies.needed(removal, requests)]


def _exact(policy: Policy) -> Policy:
    """Return a policy as it is when ConsumerFunctionPattern is the name of one function."""
    return tuple(
        replace(one, resources=tuple(text.replace(PATTERN, CONSUMER) for text in one.resources))
        for one in policy
    )


def test_nothing_that_a_deployment_does_is_refused(used: Used) -> None:
    """Every permission that was requested, by a task, the workflow, SageMaker or the consumer, was given."""
    assert used.refused == []


def test_every_action_and_every_resource_is_needed(used: Used) -> None:
    """Without any one of them something that a deployment does would be denied; what only AWS needs has its reason."""
    unneeded = {
        (role, left_out)
        for role, policy in used.policies.items()
        for left_out in _unneeded(_exact(policy), used.requests[role])
        # The resources of statements whose every action only AWS needs.
        if not left_out.startswith("arn:aws:sqs:")
    }

    assert unneeded == {*permissions.AWS_ONLY, FROM_SAM}


def test_the_consumers_pattern_may_be_one_name(used: Used) -> None:
    """A version and an alias have ARNs of their own, which the function's own does not match."""
    denied = {
        (role, request.action, request.resource)
        for role, requests in used.requests.items()
        for request in requests
        if policies.judge(_exact(used.policies[role]), request) is not PolicyVerdict.ALLOWED
    }

    assert denied == set()


# ---------------------------------------------------------------- actions really removed


@pytest.fixture
def without(cloud: LocalCloud) -> Iterator[Callable[[str, str], None]]:
    """Return a function that takes an action from a deployed role; at the end the role has it back."""
    before: list[tuple[dict[str, Any], str, Any]] = []

    def remove(role: str, action: str) -> None:
        # Not by IAM's API: moto tells what CloudFormation gave it in a form that cannot be read.
        there: dict[str, Any] = iam_backends[cloud.account_id]["aws"].get_role(role).policies
        for name, given in list(there.items()):
            document = json.loads(given) if isinstance(given, str) else copy.deepcopy(given)
            before.append((there, name, given))
            for statement in document["Statement"]:
                statement["Action"] = [
                    one for one in permissions.listed(statement["Action"]) if one != action
                ]
            there[name] = json.dumps(document)

    yield remove
    for there, name, given in reversed(before):
        there[name] = given


@pytest.mark.parametrize(
    ("role", "action"),
    [
        pytest.param("CreateModelRole", "sagemaker:AddTags", id="tags at a create"),
        pytest.param("CreateModelRole", "iam:PassRole", id="handing a role on"),
        pytest.param("SmokeTestRole", "sagemaker:InvokeEndpoint", id="an endpoint that is there"),
        pytest.param("AssembleArchiveRole", "s3:GetObject", id="S3"),
        pytest.param("MonitorEndpointRole", "cloudwatch:PutMetricAlarm", id="CloudWatch"),
        pytest.param("UpdateConsumerRole", "lambda:InvokeFunction", id="Lambda"),
    ],
)
def test_a_missing_action_fails_the_deployment_by_name(
    deployments: Deployments, archive: Path, without: Callable[[str, str], None], *, role: str, action: str
) -> None:
    """AWS's own words reach the cause: which action, of which role; and nothing is left."""
    without(deployments.cloud.physical_id(role), action)

    ended = deployments.upload(archive, "robbed", settings())

    assert (ended.status, ended.error) == ("FAILED", "AccessDenied")
    assert f"is not authorized to perform: {action} on resource: " in str(ended.cause)
    assert f"assumed-role/{deployments.cloud.physical_id(role)}/" in str(ended.cause)
    assert f"add {action} to the policies of" in str(ended.cause)
    assert deployments.resources() == NOTHING
    assert deployments.consumer_variables() == BEFORE


def test_an_endpoint_role_that_may_not_read_is_named(
    deployments: Deployments, archive: Path, without: Callable[[str, str], None]
) -> None:
    """SageMaker looks at the archive in the role's name, and the diagnosis says what the role needs."""
    role = deployments.cloud.physical_id("EndpointRole")
    without(role, "s3:GetObject")

    ended = deployments.upload(archive, "unread", settings())

    assert (ended.status, ended.error) == ("FAILED", "RequestRejected")
    assert "Could not access model data" in str(ended.cause)
    assert f"role/{role}" in str(ended.cause)
    assert "allow the role s3:GetObject and s3:ListBucket" in str(ended.cause)
    assert deployments.resources() == NOTHING


def test_a_workflow_that_may_not_invoke_says_so(
    deployments: Deployments, archive: Path, without: Callable[[str, str], None]
) -> None:
    """Not even the diagnosis runs; the cause is AWS's refusal."""
    without(deployments.cloud.physical_id("DeploymentRole"), "lambda:InvokeFunction")

    ended = deployments.upload(archive, "stuck", settings())

    assert ended.status == "FAILED"
    assert "is not authorized to perform: lambda:InvokeFunction" in str(ended.cause)


def test_what_may_not_be_deleted_is_named(
    deployments: Deployments, archive: Path, without: Callable[[str, str], None]
) -> None:
    """A rollback that lacks an action undoes the rest, and says what is left and why."""
    without(deployments.cloud.physical_id("RollBackRole"), "sagemaker:DeleteEndpoint")

    ended = deployments.upload(archive, "stays", settings(smoke_test=WRONG))

    assert (ended.status, ended.error) == ("FAILED", "SmokeTestFailed")
    (name,) = deployments.resources()["endpoints"]
    assert f"NOT undone, remove by hand: endpoint {name}" in str(ended.cause)
    assert "is not authorized to perform: sagemaker:DeleteEndpoint" in str(ended.cause)


def test_who_may_not_list_a_bucket_is_not_told_that_a_key_is_missing(
    deployments: Deployments, without: Callable[[str, str], None]
) -> None:
    """As in AWS: 404 with s3:ListBucket, 403 without; that is what the template's statements about it are for."""
    cloud = deployments.cloud
    name = cloud.physical_id("CheckArchiveRole")
    client = _session(cloud, f"arn:aws:iam::{cloud.account_id}:role/{name}").s3

    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(Bucket=deployments.bucket, Key="models/none/model.tar.gz")
    without(name, "s3:ListBucket")
    with pytest.raises(ClientError, match="is not authorized to perform: s3:ListBucket on resource"):
        client.get_object(Bucket=deployments.bucket, Key="models/none/model.tar.gz")
    with pytest.raises(ClientError, match="403"):
        client.head_object(Bucket=deployments.bucket, Key="models/none/model.tar.gz")


# --------------------------------------------------------------- whoever else may call


def _session(cloud: LocalCloud, role_arn: str) -> Clients:
    given = cloud.clients.sts.assume_role(RoleArn=role_arn, RoleSessionName="somebody")["Credentials"]
    credentials = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    return Clients(endpoint_url=cloud.url, region=cloud.region, credentials=credentials)


def test_a_role_of_another_account_is_refused_by_the_bucket(deployments: Deployments) -> None:
    """Whatever its own policies are: the bucket's denies it."""
    stranger = _session(deployments.cloud, "arn:aws:iam::999999999999:role/stranger")

    with pytest.raises(ClientError, match="with an explicit deny in a resource-based policy") as refusal:
        stranger.s3.put_object(Bucket=deployments.bucket, Key="models/x/model.tar.gz", Body=b"")
    assert service_errors.is_access_denied(refusal.value)


def test_a_role_may_not_do_what_nobody_has_written_down(deployments: Deployments) -> None:
    """An operation whose permissions are unknown here is refused, and the refusal says what to do."""
    role = deployments.cloud.outputs["EndpointRoleArn"]

    with pytest.raises(ClientError, match=r"what lambda\.DeleteAlias needs is not written down"):
        _session(deployments.cloud, role).lambda_.delete_alias(FunctionName=CONSUMER, Name="live")


def test_temporary_credentials_of_nobody_are_refused(deployments: Deployments) -> None:
    """They are not the administrator's."""
    cloud = deployments.cloud
    unknown = {
        "aws_access_key_id": "ASIAAAAAAAAAAAAAAAAA",
        "aws_secret_access_key": "x",
        "aws_session_token": "x",
    }

    with pytest.raises(ClientError, match="security token included in the request is invalid"):
        Clients(endpoint_url=cloud.url, region=cloud.region, credentials=unknown).sagemaker.list_models()
