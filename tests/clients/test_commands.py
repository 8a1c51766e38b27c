"""The stack by `sam` and `aws`, as the documents say it, beside the local cloud's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import package_files
from pipeline.stack import template
from tools import pages

if TYPE_CHECKING:
    from tests.clients.conftest import Desk

pytestmark = pytest.mark.timeout(1800)

PAGE = pages.TOP / "docs" / "get-started.md"
BLOCKS = [block.body for block in pages.blocks(PAGE.read_text(encoding="utf-8")) if block.with_clients]
DEPLOY, UPLOAD, FOLLOW, ASK, LOGS, DELETE = BLOCKS
STARTED = """
until [ "$(aws stepfunctions list-executions --state-machine-arn "$(output StateMachineArn)" \
  --query 'length(executions)')" != 0 ]; do sleep 1; done
"""
"""What a reader does between two blocks: wait for a moment."""
PARAMETERS = len(template.load(package_files.template())["Parameters"])
MINE = "s3://my-code"


def stacks(desk: Desk) -> dict[str, str]:
    """Return the status of each stack."""
    told = desk.runs("aws cloudformation list-stacks --query 'StackSummaries[].[StackName,StackStatus]'")
    return dict(json.loads(told))


def executions(desk: Desk, stack: str) -> list[Any]:
    """Return the executions of a stack's workflow."""
    arn = f"arn:aws:states:us-east-1:123456789012:stateMachine:{stack}-deployment"
    told = desk.runs(f"aws stepfunctions list-executions --state-machine-arn {arn} --query executions")
    return list(json.loads(told))


def test_the_template_is_valid(desk: Desk) -> None:
    """As sam and its linter see it."""
    assert "is a valid SAM Template" in desk.runs("sam validate --lint")


def test_the_documented_commands_deploy_a_model_and_take_the_stack_away(desk: Desk) -> None:
    """From `sam deploy` to an answer; the stack beside it sees nothing of it, and stays when it goes."""
    story = [DEPLOY, UPLOAD, STARTED, FOLLOW, ASK, LOGS]

    said = desk.runs("\n".join(story))

    assert "SUCCEEDED" in said
    answer = json.loads((desk.folder / "answer.json").read_text(encoding="utf-8"))
    assert answer["choices"][0]["message"]["content"].strip()
    assert "start_deployment" in said
    assert executions(desk, "sealift") == []
    assert "No changes to deploy" in desk.tries(DEPLOY)[1]

    desk.runs(DELETE)

    assert stacks(desk) == {
        "sealift": "CREATE_COMPLETE",
        "aws-sam-cli-managed-default": "CREATE_COMPLETE",
        "sealift-sam": "DELETE_COMPLETE",
    }
    kept = desk.runs("aws s3 ls")
    assert "sealift-sam-uploadbucket" in kept


def test_sam_asks_for_what_it_is_not_told(desk: Desk) -> None:
    """`sam deploy --guided`: a name, the defaults of everything else, and no file of settings."""
    enter = "\n"
    typed = f"guided{enter}{enter * (1 + PARAMETERS)}{enter * 3}n{enter}"

    said = desk.runs("sam deploy --guided", typed)

    assert "Successfully created/updated stack - guided in us-east-1" in said
    assert stacks(desk)["guided"] == "CREATE_COMPLETE"


def test_the_aws_cli_alone_deploys_too(desk: Desk) -> None:
    """Roles have to be acknowledged, and a parameter's value is compared with what the template allows."""
    package = (
        f"aws s3 mb {MINE} && aws cloudformation package --template-file template.yaml "
        f"--s3-bucket {MINE.removeprefix('s3://')} --output-template-file packaged.yaml"
    )
    deploy = (
        "aws cloudformation deploy --template-file packaged.yaml --stack-name plain "
        f"--s3-bucket {MINE.removeprefix('s3://')}"
    )
    desk.runs(package)

    unasked = desk.tries(deploy)
    wrong = desk.tries(f"{deploy} --capabilities CAPABILITY_IAM --parameter-overrides SweepState=MAYBE")
    assert unasked[0] != 0
    assert "Requires capabilities : [CAPABILITY_IAM]" in unasked[1]
    assert wrong[0] != 0
    assert "Parameter 'SweepState' must be one of AllowedValues" in wrong[1]
    assert "plain" not in stacks(desk)

    desk.runs(f"{deploy} --capabilities CAPABILITY_IAM")

    assert stacks(desk)["plain"] == "CREATE_COMPLETE"
