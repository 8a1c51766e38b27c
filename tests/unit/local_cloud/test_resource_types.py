"""What the local cloud's CloudFormation makes of types that moto has not, or by half."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.stacks import resource_types
from local_cloud.stacks.resource_types import (
    BucketPolicy,
    Effects,
    EventInvokeConfig,
)

TEXT = '{"Resource": "${CheckArn}", "Id.$": "$$.Execution.Id", "Other": "${Unknown}"}'


def read(bucket: str, key: str, version: str | None) -> str:
    """Stand in for S3."""
    return {("code", "deploy.json", None): TEXT, ("code", "deploy.json", "v1"): "{}"}[bucket, key, version]


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        pytest.param({"DefinitionString": TEXT}, TEXT, id="a text"),
        pytest.param({"Definition": {"StartAt": "A"}}, '{"StartAt": "A"}', id="an object"),
        pytest.param({"DefinitionS3Location": {"Bucket": "code", "Key": "deploy.json"}}, TEXT, id="in S3"),
        pytest.param(
            {"DefinitionS3Location": {"Bucket": "code", "Key": "deploy.json", "Version": "v1"}},
            "{}",
            id="a version in S3",
        ),
    ],
)
def test_a_definition_is_found_wherever_it_is(properties: dict[str, Any], text: str) -> None:
    """CloudFormation takes it in three places."""
    assert resource_types.definition(properties, read) == text


def test_substitutions_stand_in_their_place_and_nothing_else_is_touched() -> None:
    """The context object begins with two of what a substitution begins with; what is not named stays."""
    properties = {"DefinitionString": TEXT, "DefinitionSubstitutions": {"CheckArn": "arn:check", "Unused": 1}}

    found = json.loads(resource_types.definition(properties, read))

    assert found == {"Resource": "arn:check", "Id.$": "$$.Execution.Id", "Other": "${Unknown}"}


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What resources have done: bucket policies and queues, by their names."""
    seen: dict[str, Any] = {}
    told = Effects(
        protect=seen.__setitem__,
        unprotect=seen.__delitem__,
        send_events=lambda _bucket: None,
        log=lambda _function, _journal: None,
        hand_on=seen.__setitem__,
    )
    monkeypatch.setattr(resource_types._Held, "effects", told, raising=False)
    return seen


def made(kind: Any, properties: dict[str, Any]) -> Any:
    """Return a resource as CloudFormation makes it."""
    return kind.create_from_cloudformation_json(
        "name", {"Properties": properties}, "123456789012", "us-east-1"
    )


def test_a_bucket_policy_is_in_force_while_it_is_in_the_stack(effects: dict[str, Any]) -> None:
    """It goes with the stack, also where the bucket stays."""
    policy = made(BucketPolicy, {"Bucket": "uploads", "PolicyDocument": {"Statement": []}})
    assert effects == {"uploads": '{"Statement": []}'}

    changed = BucketPolicy.update_from_cloudformation_json(
        original_resource=policy,
        new_resource_name="uploads",
        cloudformation_json={"Properties": {"Bucket": "uploads", "PolicyDocument": {"Statement": [1]}}},
        account_id="123456789012",
        region_name="us-east-1",
    )
    assert effects == {"uploads": '{"Statement": [1]}'}

    changed.delete("123456789012", "us-east-1")
    assert effects == {}


@pytest.mark.parametrize("function", ["start", "arn:aws:lambda:us-east-1:123456789012:function:start"])
def test_a_function_hands_on_what_it_failed_on(function: str, effects: dict[str, Any]) -> None:
    """To a queue; whatever else a destination may be takes nothing here."""
    to = {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:lost"}}}
    elsewhere = {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sns:us-east-1:123456789012:t"}}}

    config = made(EventInvokeConfig, {"FunctionName": function, **to})
    assert effects == {"start": "lost"}

    config.delete("123456789012", "us-east-1")
    assert effects == {"start": None}
    made(EventInvokeConfig, {"FunctionName": function, **elsewhere})
    assert effects == {"start": None}
