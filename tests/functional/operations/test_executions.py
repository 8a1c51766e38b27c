"""Executions as a person names and lists them, in a moto in this process."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from pipeline import cli
from pipeline.aws.clients import Clients
from pipeline.errors import InvalidInput
from pipeline.operations import executions

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "arn:aws:iam::123456789012:role/workflow"
DEFINITION = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})


@pytest.fixture
def clients() -> Iterator[Clients]:
    """An account with two stacks' state machines, and one of somebody else's."""
    with mock_aws():
        own = Clients(region="us-east-1")
        for name in ("sealift-deployment", "test-deployment", "payroll"):
            own.stepfunctions.create_state_machine(name=name, definition=DEFINITION, roleArn=ROLE)
        yield own


def start(clients: Clients, stack: str, name: str, service: str) -> str:
    """Start an execution as an upload does; return its ARN."""
    machine = f"arn:aws:states:us-east-1:123456789012:stateMachine:{stack}"
    document = {"archive": {"bucket": "uploads", "key": f"models/{service}/model.tar.gz"}}
    time.sleep(0.002)  # a start is told in whole milliseconds, and of two in the same one neither is newer
    started = clients.stepfunctions.start_execution(
        stateMachineArn=machine, name=name, input=json.dumps(document)
    )
    return started["executionArn"]


def test_the_history_is_of_all_stacks_newest_first(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one stack or one service when it is asked for; never what is not Sealift's."""
    start(clients, "sealift-deployment", "harbour-1", "harbour")
    start(clients, "test-deployment", "quay-1", "quay")
    start(clients, "sealift-deployment", "harbour-2", "harbour")
    start(clients, "payroll", "harbour-3", "harbour")

    def names(*options: str) -> list[str]:
        assert cli.main(["history", "--json", *options]) == cli.OK
        return [one["name"] for one in json.loads(capsys.readouterr().out)["executions"]]

    assert names() == ["harbour-2", "quay-1", "harbour-1"]
    assert names("--limit", "1") == ["harbour-2"]
    assert names("harbour") == ["harbour-2", "harbour-1"]
    assert names("--stack", "test") == ["quay-1"]


def test_an_execution_is_found_by_arn_name_or_service(clients: Clients) -> None:
    """The service stands for its newest."""
    first = start(clients, "sealift-deployment", "harbour-1", "harbour")
    newest = start(clients, "test-deployment", "harbour-2", "harbour")

    assert executions.find(clients.stepfunctions, first, None) == first
    assert executions.find(clients.stepfunctions, "harbour-1", None) == first
    assert executions.find(clients.stepfunctions, "harbour", None) == newest
    assert executions.find(clients.stepfunctions, "harbour", "sealift") == first


def test_an_execution_leaves_its_output_when_it_has_ended_well(clients: Clients) -> None:
    """One that is not known, or runs, leaves nothing; so nobody who looks fails for it."""
    known = start(clients, "sealift-deployment", "harbour-1", "harbour")

    assert isinstance(executions.output(clients.stepfunctions, known), dict)
    assert executions.output(clients.stepfunctions, f"{known}-2") == {}


@pytest.mark.parametrize(
    "said",
    ["nobody", "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:nobody"],
)
def test_an_execution_that_is_not_there_is_refused(clients: Clients, said: str) -> None:
    """What was looked for, and how to list what there is."""
    with pytest.raises(InvalidInput, match=r"no execution '.*nobody'.*sealift history"):
        executions.find(clients.stepfunctions, said, None)


def test_a_stack_without_a_state_machine_is_refused(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is somebody else's, or not in this region."""
    assert clients
    assert cli.main(["history", "--stack", "nope"]) == cli.FAILED

    assert "no state machine 'nope-deployment'" in capsys.readouterr().err


def test_an_empty_account_is_told_as_such(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither command has anything to show, and says so."""
    assert clients
    assert cli.main(["history"]) == cli.OK
    assert cli.main(["status", "harbour"]) == cli.OK

    told = capsys.readouterr().out
    assert "no deployment in the last 90 days" in told
    assert "nothing of the service 'harbour' in this account and region" in told


@pytest.mark.parametrize(
    ("command", "status"),
    [
        pytest.param(["status", "harbuor"], cli.OK, id="status"),
        pytest.param(["history", "harbuor"], cli.OK, id="history"),
        pytest.param(["watch", "harbuor"], cli.FAILED, id="watch"),
        pytest.param(["logs", "harbuor"], cli.FAILED, id="logs"),
        pytest.param(["rollback", "harbuor"], cli.FAILED, id="rollback"),
        pytest.param(["sweep", "--service", "harbuor"], cli.OK, id="sweep"),
    ],
)
def test_the_service_that_was_meant_is_told(
    clients: Clients, capsys: pytest.CaptureFixture[str], command: list[str], status: int
) -> None:
    """By the executions' names, wherever a command finds nothing of the one that was named."""
    start(clients, "sealift-deployment", "harbour-0123456789abcdef", "harbour")
    start(clients, "sealift-deployment", "quay-0123456789abcdef", "quay")

    assert cli.main(command) == status
    printed = capsys.readouterr()
    assert "did you mean 'harbour'?" in printed.out + printed.err


@pytest.mark.parametrize("limit", ["0", "301"])
def test_a_limit_that_is_none_is_refused(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From 1 to as many as are looked at."""
    assert cli.main(["history", "--limit", limit]) == cli.USAGE

    assert f"--limit {limit}; wanted a number of rows from 1 to 300" in capsys.readouterr().err
