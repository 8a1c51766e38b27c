"""Bringing an endpoint back, against botocore's own waiters: what fails is taken away again, and told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.errors import InvalidInput
from pipeline.operations import pausing
from pipeline.operations.service_status import PausedDeployment
from pipeline.rollout.releases import Release
from pipeline.sizing.running_cost import Cost

NAME = "tug-4e0ca7a42f18"
CONFIG = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/{NAME}"
ENDPOINT = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{NAME}"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
ONE = PausedDeployment(
    Release(
        config=NAME,
        config_arn=CONFIG,
        created="2026-01-01T00:00:00Z",
        execution="arn:e",
        deployed_at="2026-01-01T00:00:00Z",
        endpoint=NAME,
        paused_at="2026-01-01T01:00:00Z",
    ),
    Cost(0.1, "1 x ml.c5.large at $0.1"),
)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Stubber]]:
    """Clients whose SageMaker says what it is told to say, and its stubber; no look is waited for."""
    monkeypatch.setattr(pausing, "LOOK_S", 0.001)
    client = boto3.client(
        "sagemaker", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubber:
        yield SimpleNamespace(sagemaker=client), stubber
        stubber.assert_no_pending_responses()


def described(status: str, **more: Any) -> dict[str, Any]:
    """Return DescribeEndpoint's answer."""
    return {
        "EndpointName": NAME,
        "EndpointArn": ENDPOINT,
        "EndpointConfigName": NAME,
        "EndpointStatus": status,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **more,
    }


def missing(stubber: Stubber) -> None:
    """Let the endpoint not be there."""
    stubber.add_client_error("describe_endpoint", "ValidationException", f'Could not find endpoint "{NAME}".')


def test_it_is_made_of_its_configuration_with_the_tags_of_the_deployment(stub: tuple[Any, Stubber]) -> None:
    """All but those that only the record has, and AWS's own."""
    clients, stubber = stub
    missing(stubber)
    tags = {
        "sealift:service": "tug",
        "team": "harbour",
        "aws:cloudformation:x": "y",
        "sealift:paused-at": "2026",
        "sealift:deployed-at": "2026",
        "sealift:expires-at": "never",
    }
    stubber.add_response("list_tags", {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]})
    given = [{"Key": "sealift:service", "Value": "tug"}, {"Key": "team", "Value": "harbour"}]
    asked = {"EndpointName": NAME, "EndpointConfigName": NAME, "Tags": given}
    stubber.add_response("create_endpoint", {"EndpointArn": ENDPOINT}, asked)

    assert pausing.create(clients, ONE)


def test_one_that_is_there_is_gone_on_with(stub: tuple[Any, Stubber]) -> None:
    """Nothing is asked for twice; one that is on its way out is waited for, and made anew."""
    clients, stubber = stub
    stubber.add_response("describe_endpoint", described("Creating"))
    assert not pausing.create(clients, ONE)

    for _ in range(2):
        stubber.add_response("describe_endpoint", described("Deleting"))
    missing(stubber)
    stubber.add_response("list_tags", {"Tags": []})
    stubber.add_response("create_endpoint", {"EndpointArn": ENDPOINT})
    assert pausing.create(clients, ONE)


def test_a_quota_is_told_and_nothing_is_left(stub: tuple[Any, Stubber]) -> None:
    """In AWS's words, with what to do."""
    clients, stubber = stub
    missing(stubber)
    stubber.add_response("list_tags", {"Tags": []})
    stubber.add_client_error(
        "create_endpoint", "ResourceLimitExceeded", "The account-level service limit is 0"
    )

    with pytest.raises(InvalidInput, match="service limit is 0") as refusal:
        pausing.create(clients, ONE)

    assert "paused as before" in refusal.value.problems[0].fix


def test_an_endpoint_that_fails_is_taken_away_again(stub: tuple[Any, Stubber]) -> None:
    """As where there is no instance to be had: its reason is told, and it is paused as before."""
    clients, stubber = stub
    stubber.add_response("describe_endpoint", described("Creating"))
    why = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
    stubber.add_response("describe_endpoint", described("Failed", FailureReason=why))
    stubber.add_response("delete_endpoint", {}, {"EndpointName": NAME})
    stubber.add_response("describe_endpoint", described("Deleting"))
    missing(stubber)

    with pytest.raises(InvalidInput, match="InsufficientInstanceCapacity") as refusal:
        pausing.wait_until_ready(clients, ONE)

    assert "paused as before" in refusal.value.problems[0].fix


def test_one_that_takes_too_long_is_left_to_go_on(stub: tuple[Any, Stubber]) -> None:
    """It is not deleted: the same command waits for it again."""
    clients, stubber = stub
    stubber.add_response("describe_endpoint", described("Creating"))

    with pytest.raises(InvalidInput, match="it is Creating") as refusal:
        pausing.wait_until_ready(clients, ONE, most_s=0.001)

    assert "run this again" in refusal.value.problems[0].fix
