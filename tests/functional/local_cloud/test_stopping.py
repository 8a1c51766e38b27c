"""An execution that is stopped right after its start, when its thread has not come to its first state."""

from __future__ import annotations

import json
import time

import pytest
from moto import mock_aws
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from local_cloud.workflow import interpreter
from pipeline.aws.clients import Clients

BEGINS_S, WAIT_S = 0.2, 10.0
WAITS = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}


def test_it_is_aborted_with_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop is neither refused nor lost, however early it comes."""
    interpreter.install(
        url="http://127.0.0.1:1", credentials=lambda _role: {}, time_scale=1.0, ended=lambda _told: None
    )
    program = ExecutionWorker._get_evaluation_entrypoint

    def late(worker: ExecutionWorker) -> object:
        time.sleep(BEGINS_S)
        return program(worker)

    monkeypatch.setattr(ExecutionWorker, "_get_evaluation_entrypoint", late)
    with mock_aws():
        client = Clients(region="us-east-1").stepfunctions
        machine = client.create_state_machine(
            name="early", definition=json.dumps(WAITS), roleArn="arn:aws:iam::123456789012:role/workflow"
        )["stateMachineArn"]
        arn = client.start_execution(stateMachineArn=machine, name="one", input="{}")["executionArn"]

        client.stop_execution(executionArn=arn, error="Operator", cause="the wrong model")

        deadline = time.monotonic() + WAIT_S
        while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
    assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Operator", "the wrong model")
