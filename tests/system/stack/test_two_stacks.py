"""Two stacks in one account: each has its own functions, buckets, roles and workflow, and neither sees the other's."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import cli
from tests.system.cli.test_stack_commands import Person

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = "sealift", "sealift-two"
"""The one's name begins the other's: what looks for a stack's own by its name's beginning alone finds both."""

STATE_MACHINE = "StateMachineArn"
PATIENCE_S = 240


class Account(Person):
    """The account, and what a person does to it at the command line."""

    def deploys(self, *words: str) -> dict[str, Any]:
        """Return what `sealift deploy` says of itself."""
        return self.document("deploy", "--yes", *words)[1]

    def asks(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Return the exit status of another command, and its document."""
        self._capsys.readouterr()
        status = cli.main([*words, "--json"])
        document: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return status, document

    def outputs(self, stack: str) -> dict[str, str]:
        """Return the outputs of a stack."""
        (found,) = self.clients.cloudformation.describe_stacks(StackName=stack)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}

    def physical(self, stack: str, kind: str) -> set[str]:
        """Return the physical ids of a stack's resources of one type."""
        pages = self.clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        rows = [one for page in pages for one in page["StackResourceSummaries"]]
        return {one["PhysicalResourceId"] for one in rows if one["ResourceType"] == kind}

    def executions(self, stack: str) -> list[Any]:
        """Return the executions of a stack's workflow."""
        machine = self.outputs(stack)[STATE_MACHINE]
        listed = self.clients.stepfunctions.list_executions(stateMachineArn=machine)["executions"]
        return list(listed)

    def uploads(self, stack: str, archive: Path, service: str) -> dict[str, Any]:
        """Upload an archive to a stack; return the output of the deployment that comes of it."""
        bucket = self.outputs(stack)["UploadBucketName"]
        # All of them share the account's quota of ten.
        asked = json.dumps({"max_concurrency": 2})
        self.clients.s3.put_object(
            Bucket=bucket, Key=f"models/{service}/deployment.json", Body=asked.encode()
        )
        ended = self._uploaded(stack, service, archive.read_bytes())
        assert ended["status"] == "SUCCEEDED", ended.get("cause")
        output: dict[str, Any] = json.loads(ended["output"])
        return output

    def refuses(self, stack: str, service: str) -> str:
        """Upload to a stack what is no archive; return the error that its deployment ends with."""
        return str(self._uploaded(stack, service, b"nonsense")["error"])

    def _uploaded(self, stack: str, service: str, body: bytes) -> Any:
        before = len(self.executions(stack))
        bucket = self.outputs(stack)["UploadBucketName"]
        self.clients.s3.put_object(Bucket=bucket, Key=f"models/{service}/model.tar.gz", Body=body)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            rows = self.executions(stack)
            if len(rows) > before and all(one["status"] != "RUNNING" for one in rows):
                return self.clients.stepfunctions.describe_execution(executionArn=rows[0]["executionArn"])
            assert time.monotonic() < deadline, f"the deployment has not ended: {rows}"
            time.sleep(0.1)

    def answer(self, endpoint: str) -> str:
        """Return what an endpoint says."""
        body = json.dumps({"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 4})
        told = self.clients.sagemaker_runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=body.encode()
        )
        return str(json.loads(told["Body"].read())["choices"][0]["message"]["content"])


@pytest.fixture
def account(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Account:
    """Return the account, which the commands find as they would AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return Account(url, capsys)


@pytest.mark.timeout(600)
def test_two_stacks_stand_side_by_side(account: Account, archive: Path) -> None:
    """Each deployment is its own stack's from the upload to the answer, and what goes with one is only that one's."""
    words = ("--stack", SECOND, "--parameter", "ConsumerFunctionName=", "--parameter", "LogRetentionDays=5")
    made = account.deploys(*words)
    assert made["status"] == "deployed"

    ours = {stack: account.uploads(stack, archive, service) for stack, service in SERVICES.items()}

    for stack, service in SERVICES.items():
        is_its_own(account, stack, service, ours[stack])
    looks_at_its_own(account, ours)

    status, gone = account.asks("destroy", "--stack", SECOND, "--yes")

    assert (status, gone["status"]) == (0, "destroyed")
    assert [one["name"] for one in gone["made"] if one["kind"] == "endpoint"] == [
        ours[SECOND]["endpoint_name"]
    ]
    assert account.answer(ours[FIRST]["endpoint_name"])
    assert account.deploys()["status"] == "unchanged"
    assert account.refuses(FIRST, "harbour-again") == "InvalidArchive"


SERVICES = {FIRST: "harbour", SECOND: "quay"}


def is_its_own(account: Account, stack: str, service: str, output: dict[str, Any]) -> None:
    """Assert that nothing of a deployment was another stack's."""
    outputs = account.outputs(stack)
    (execution,) = account.executions(stack)
    assert execution["executionArn"].split(":")[6] == f"{stack}-deployment"
    assert account.answer(output["endpoint_name"])
    sagemaker = account.clients.sagemaker
    (model,) = [
        one for one in sagemaker.list_models()["Models"] if one["ModelName"].startswith(f"{service}-")
    ]
    described = sagemaker.describe_model(ModelName=model["ModelName"])
    assert described["ExecutionRoleArn"] == outputs["EndpointRoleArn"]
    assert outputs["ArtifactBucketName"] in json.dumps(described["PrimaryContainer"])
    streams = account.clients.logs.describe_log_streams(logGroupName=outputs["TaskLogGroup"])["logStreams"]
    functions = account.physical(stack, "AWS::Lambda::Function")
    callers = {one["logStreamName"].rpartition("[")[0].rpartition("/")[2] for one in streams}
    assert callers
    assert callers <= functions
    reports = account.clients.s3.list_objects_v2(Bucket=outputs["ArtifactBucketName"], Prefix="reports/")
    assert all(f"/{service}-" in one["Key"] for one in reports.get("Contents", ()))


def looks_at_its_own(account: Account, ours: dict[str, dict[str, Any]]) -> None:
    """Assert that each command shows the stack that is named, and no other."""
    for stack, service in SERVICES.items():
        _, seen = account.asks("status", "--stack", stack)
        assert [one["service"] for one in seen["services"]] == [service]
        _, listed = account.asks("history", "--stack", stack)
        assert {one["service"] for one in listed["executions"]} == {service}
        _, checked = account.asks("doctor", "--stack", stack)
        states = {one["name"]: one["state"] for one in checked["checks"]}
        assert (states["stack"], states["workflow"]) == ("ok", "ok")
        said = account.asks("logs", service, "--stack", stack)[1]
        assert ours[stack]["endpoint_name"] in json.dumps(said)
