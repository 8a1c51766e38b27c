"""The endpoint of a service, found by the name that somebody gives: also by one that is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from pipeline import naming
from pipeline.client import service_endpoint
from pipeline.errors import InvalidInput, Problem

AT = "2026-01-01T00:00:00Z"
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:sealift-deployment"
EXECUTION = {
    "executionArn": MACHINE.replace("stateMachine", "execution") + ":demo-0123456789abcdef",
    "stateMachineArn": MACHINE,
    "name": "demo-0123456789abcdef",
    "status": "SUCCEEDED",
    "startDate": AT,
}


def client(name: str) -> Any:
    """Return a client of the SDK that calls nobody."""
    return boto3.client(  # type: ignore[call-overload]
        name, region_name="eu-west-1", aws_access_key_id="any", aws_secret_access_key="any"
    )


def refusal(service: str, execution: dict[str, Any]) -> Problem:
    """Return why a service is not found where no endpoint is, and one execution was."""
    sagemaker, stepfunctions = client("sagemaker"), client("stepfunctions")
    clients: Any = SimpleNamespace(sagemaker=sagemaker, stepfunctions=stepfunctions)
    machine = {
        "stateMachineArn": MACHINE,
        "name": "sealift-deployment",
        "type": "STANDARD",
        "creationDate": AT,
    }
    with Stubber(sagemaker) as stubbed, Stubber(stepfunctions) as states:
        stubbed.add_response("list_endpoints", {"Endpoints": []})
        if naming.may_be_in_a_name(service):
            stubbed.add_response(
                "list_endpoint_configs", {"EndpointConfigs": []}, {"NameContains": service, "MaxResults": ANY}
            )
        states.add_response("list_state_machines", {"stateMachines": [machine]})
        states.add_response("list_executions", {"executions": [execution]})
        with pytest.raises(InvalidInput) as refused:
            service_endpoint.find(clients, service, None)
    (problem,) = refused.value.problems
    return problem


@pytest.mark.parametrize(
    ("service", "near"),
    [
        pytest.param("gpt-4.1", "", id="a model of somebody else's"),
        pytest.param("openai/demo", "", id="as a library has it"),
        pytest.param("", "", id="none"),
        pytest.param("x" * 64, "", id="too long"),
        pytest.param("d\u00e9mo", "did you mean 'demo'?", id="a slip"),
    ],
)
def test_what_no_service_can_be_called_is_not_there(service: str, near: str) -> None:
    """AWS, which refuses to look for it, is not asked: the answer would be of its patterns."""
    problem = refusal(service, EXECUTION)

    assert problem.error == "NoDeployment"
    assert near in problem.fix


@pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
def test_what_was_only_tried_is_not_called_unknown(status: str) -> None:
    """One that is under way is followed; how one ended is where all ends are."""
    problem = refusal("demo", {**EXECUTION, "status": status})

    assert problem.error == "NothingServes"
    assert "`sealift watch demo`" in problem.fix
    assert "`sealift history demo`" in problem.fix
