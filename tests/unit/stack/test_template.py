"""What the stack keeps and for how long, what it does with uploads that start nothing, and what the sweeper may do."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from local_cloud.stacks import template as sam
from pipeline import package_files
from pipeline.archive.build import assembly
from pipeline.cli import program
from pipeline.planning import metrics
from pipeline.report import document
from pipeline.sizing import images
from pipeline.stack import bundles, template

TEMPLATE = template.load(package_files.template())
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


def properties(name: str) -> dict[str, Any]:
    """Return the properties of one of the template's resources."""
    found: dict[str, Any] = RESOURCES[name]["Properties"]
    return found


def rules(bucket: str) -> list[dict[str, Any]]:
    """Return the lifecycle rules of a bucket that are in force."""
    listed: list[dict[str, Any]] = properties(bucket)["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in listed)
    return listed


@pytest.fixture(scope="module")
def translated() -> dict[str, dict[str, Any]]:
    """The resources as CloudFormation gets them."""
    keys = dict.fromkeys(bundles.functions(TEMPLATE), "lambda/1.zip")
    definition = json.loads(package_files.definition().read_text(encoding="utf-8"))
    resolved = template.resolve(TEMPLATE, bucket="code", keys=keys, definition=definition)
    found: dict[str, dict[str, Any]] = sam.translate(resolved, {}, "us-east-1")["Resources"]
    return found


# ----------------------------------------------------------------------- lifecycle


@pytest.mark.parametrize("bucket", ["UploadBucket", "ArtifactBucket"])
def test_nothing_that_can_be_in_use_expires(bucket: str) -> None:
    """By age, nothing but records: an endpoint reads its archive at every cold start, however old that is."""
    expiring = [
        rule for rule in rules(bucket) if {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(rule)
    ]

    prefixes = [rule.get("Prefix", "") for rule in expiring]
    assert prefixes == (["records/"] if bucket == "ArtifactBucket" else [])
    assert not any(assembly.PREFIX.startswith(prefix) for prefix in prefixes)


@pytest.mark.parametrize("bucket", ["UploadBucket", "ArtifactBucket"])
def test_what_was_replaced_or_never_finished_does_not_stay(bucket: str) -> None:
    """Versions that nobody reads any more, and the parts of uploads that were cut short."""
    assert any("NoncurrentVersionExpiration" in rule for rule in rules(bucket))
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules(bucket))


def test_what_a_redriven_execution_reads_is_still_there() -> None:
    """Step Functions redrives a failed execution within 14 days: it reads its upload's version, and its record."""
    (records,) = [rule for rule in rules("ArtifactBucket") if rule.get("Prefix") == "records/"]

    assert records["ExpirationInDays"] > 14
    assert TEMPLATE["Parameters"]["ReplacedUploadDays"]["MinValue"] > 14


# ------------------------------------------------------------------- lost uploads


def test_an_event_that_nobody_could_take_lies_in_the_queue(translated: dict[str, dict[str, Any]]) -> None:
    """What EventBridge could not deliver, and what the function failed on each time: both come to one queue."""
    queue = {"Fn::GetAtt": ["LostUploads", "Arn"]}
    (target,) = translated["StartDeploymentUpload"]["Properties"]["Targets"]
    (config,) = [
        one["Properties"] for one in translated.values() if one["Type"] == "AWS::Lambda::EventInvokeConfig"
    ]

    assert target["DeadLetterConfig"]["Arn"] == queue
    assert config["FunctionName"] == {"Ref": "StartDeployment"}
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == queue
    role = json.dumps(translated["StartDeploymentRole"]["Properties"]["Policies"])
    assert '"sqs:SendMessage"' in role.replace("sqs:sendMessage", "sqs:SendMessage")


def test_only_the_rule_may_write_to_the_queue() -> None:
    """By the queue's policy; the function by its role. It is encrypted and refuses plain HTTP."""
    allowed, denied = properties("LostUploadsPolicy")["PolicyDocument"]["Statement"]

    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert allowed["Condition"] == {
        "ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["StartDeploymentUpload", "Arn"]}}
    }
    assert allowed["Action"] == "sqs:SendMessage"
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert properties("LostUploads")["SqsManagedSseEnabled"] is True


def test_somebody_is_told_of_lost_uploads_and_of_executions_that_did_not_succeed() -> None:
    """By alarms on the topic: also of those that could not tell it themselves."""
    lost, failed = properties("UploadsLost"), properties("DeploymentsFailed")

    assert lost["AlarmActions"] == failed["AlarmActions"] == [{"Ref": "Notifications"}]
    assert lost["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["LostUploads", "QueueName"]}
    metrics = {
        one["Id"]: one["MetricStat"]["Metric"]["MetricName"]
        for one in failed["Metrics"]
        if "MetricStat" in one
    }
    (whole,) = [one["Expression"] for one in failed["Metrics"] if "Expression" in one]
    assert whole == " + ".join(f"FILL({name}, 0)" for name in metrics)
    assert set(metrics.values()) == {
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "ExecutionsAborted",
        "ExecutionThrottled",
    }


# -------------------------------------------------------------------- the sweeper


def test_the_sweeper_deletes_nothing_unless_it_is_told_to() -> None:
    """It looks every day, and only tells: deleting is a parameter."""
    parameters = TEMPLATE["Parameters"]

    assert parameters["SweepDelete"]["Default"] == "false"
    assert parameters["SweepState"]["Default"] == "ENABLED"
    assert properties("SweepSchedule")["State"] == {"Ref": "SweepState"}
    (target,) = properties("SweepSchedule")["Targets"]
    text = target["InputTransformer"]["InputTemplate"]["Fn::Sub"]
    event = json.loads(text.replace("<now>", '"2026-01-02T03:04:05Z"'))
    assert event["delete"] == "${SweepDelete}"
    assert set(event) == {
        "now",
        "delete",
        "grace_hours",
        "stack",
        "artifact_bucket",
        "topic",
        "image_repository",
    }


def test_the_sweeper_may_delete_only_what_this_stack_made() -> None:
    """In SageMaker by the tag of its executions; only versions, archives and the stack's own images."""
    deleting = [
        statement
        for statement in properties("Sweep")["Policies"][0]["Statement"]
        if "Delete" in json.dumps(statement["Action"])
    ]
    sagemaker, alarms, filters, scaling, versions, parameters, archives, images = deleting

    assert sagemaker["Condition"] == {
        "StringLike": {
            "aws:ResourceTag/sealift:execution": {"Fn::Sub": "*:execution:${AWS::StackName}-deployment:*"}
        }
    }
    assert alarms["Resource"]["Fn::Sub"].endswith(":alarm:sealift-*")
    kinds = ("Endpoints", "InferenceComponents")
    assert [one["Fn::Sub"].rpartition("log-group:")[2] for one in filters["Resource"]] == [
        f"/aws/sagemaker/{kind}/*" for kind in kinds
    ]
    assert [one["Fn::Sub"].rpartition("alarm:")[2] for one in scaling["Resource"]] == [
        "TargetTracking-endpoint/*",
        "TargetTracking-inference-component/*",
    ]
    assert versions["Resource"]["Fn::Sub"].endswith("${ConsumerFunctionPattern}:*")
    assert parameters["Resource"]["Fn::Sub"].endswith(":parameter/sealift/${AWS::StackName}/*")
    assert archives["Resource"]["Fn::Sub"] == "${ArtifactBucket.Arn}/archives/*"
    assert "s3:DeleteObject" not in archives["Action"]
    assert images["Action"] == "ecr:BatchDeleteImage"
    assert images["Resource"] == {"Fn::GetAtt": ["ImageRepository", "Arn"]}


# -------------------------------------------------------------------- the reports


def test_every_end_of_an_execution_has_a_report() -> None:
    """Also a time-out and a stop, of which no state could tell; of this stack's state machine, and no other."""
    pattern = properties("ExecutionEnded")["EventPattern"]

    assert pattern["source"] == ["aws.states"]
    assert pattern["detail-type"] == ["Step Functions Execution Status Change"]
    assert pattern["detail"]["stateMachineArn"] == [{"Ref": "Deployment"}]
    assert set(pattern["detail"]["status"]) == {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


def test_who_writes_reports_may_write_nothing_else() -> None:
    """And read nothing but executions of this stack, and the answers of its quality gates."""
    reading, records, writing = properties("WriteReport")["Policies"][0]["Statement"]

    assert all(action.startswith("states:") for action in reading["Action"])
    assert reading["Resource"]["Fn::Sub"].endswith(":execution:${AWS::StackName}-deployment:*")
    assert records == {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": {"Fn::Sub": "${ArtifactBucket.Arn}/records/*"},
    }
    assert writing == {
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": {"Fn::Sub": "${ArtifactBucket.Arn}/reports/*"},
    }
    assert document.FOLDER == "reports"


def test_only_buckets_outlive_the_stack() -> None:
    """`sealift destroy` says what it keeps, and archives are all that it does not make."""
    kept = {one["Type"] for one in RESOURCES.values() if one.get("DeletionPolicy") == "Retain"}

    assert kept == {"AWS::S3::Bucket"}


def test_every_container_can_be_asked_for() -> None:
    """By the stack's parameter and by the command that plans."""
    names = {"auto", *images.PROFILES}

    assert set(TEMPLATE["Parameters"]["Container"]["AllowedValues"]) == names
    for name in names:
        assert program.read(["plan", "model.gguf", "--container", name]).options.container == name


# -------------------------------------------------------------------- the dashboard


def test_the_dashboard_shows_every_metric_of_the_log() -> None:
    """By the namespace, the names and the dimensions that the filters have, each for the service that is typed in."""
    body = json.loads(properties("Dashboard")["DashboardBody"]["Fn::Sub"])
    found = [
        (set(dimensions.split(",")), name, token)
        for widget in body["widgets"]
        for row in widget["properties"]["metrics"]
        for dimensions, name, token in re.findall(
            r"\{Sealift,([^}]*)\} MetricName=\"(\w+)\" (\w+)'", row[0]["expression"]
        )
    ]

    assert {name for _, name, _ in found} == {one.name for one in metrics.METRICS}
    for request in metrics.requests("harbour-0", "json"):
        dimensions = set(request["metricTransformations"][0]["dimensions"])
        assert all(dimensions == shown for shown, _, _ in found)
    assert {token for _, _, token in found} == {body["variables"][0]["pattern"]}
