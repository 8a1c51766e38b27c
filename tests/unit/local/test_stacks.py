"""What the local cloud's CloudFormation adds to moto's: what a change set changes, and values in their place."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.local import stacks
from pipeline.local import template as sam

PARAMETERS = {
    "Email": {"Type": "String", "Default": ""},
    "Days": {"Type": "Number", "Default": 5},
    "Key": {"Type": "String", "Default": ""},
}


def test_a_change_set_tells_what_is_added_changed_replaced_and_removed() -> None:
    """By property, with what is there and what becomes of it; what is the same is not told."""
    before = {
        "Resources": {
            "Same": {"Type": "AWS::SNS::Topic"},
            "Code": {"Type": "AWS::Lambda::Function", "Properties": {"Code": 1, "Timeout": 3}},
            "Named": {
                "Type": "AWS::S3::Bucket",
                "UpdateReplacePolicy": "Retain",
                "Properties": {"BucketName": "a"},
            },
            "Gone": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"},
            "Lost": {"Type": "AWS::SQS::Queue"},
        }
    }
    after = {
        "Resources": {
            "Same": {"Type": "AWS::SNS::Topic"},
            "Code": {"Type": "AWS::Lambda::Function", "Properties": {"Code": 2, "Timeout": 3}},
            "Named": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "b"}},
            "New": {"Type": "AWS::SNS::Topic"},
        }
    }

    told = {one["LogicalResourceId"]: one for one in stacks.changes(before, after, {"Code": "sealift-code"})}

    assert {name: one["Action"] for name, one in told.items()} == {
        "Code": "Modify",
        "Named": "Modify",
        "New": "Add",
        "Gone": "Remove",
        "Lost": "Remove",
    }
    assert [one["Target"]["Name"] for one in told["Code"]["Details"]] == ["Code"]
    assert (told["Code"]["Replacement"], told["Code"]["PhysicalResourceId"]) == ("False", "sealift-code")
    assert (told["Named"]["Replacement"], told["Named"]["PolicyAction"]) == ("True", "ReplaceAndRetain")
    assert (told["Gone"]["PolicyAction"], told["Lost"]["PolicyAction"]) == ("Retain", "Delete")


def test_a_new_stack_adds_everything() -> None:
    """There was no template before."""
    told = list(stacks.changes({}, {"Resources": {"A": {"Type": "T"}}}, {}))

    assert told == [{"Action": "Add", "LogicalResourceId": "A", "ResourceType": "T"}]


@pytest.mark.parametrize(
    ("value", "settled"),
    [
        pytest.param({"Ref": "Days"}, 7, id="a number given as a text"),
        pytest.param({"Fn::Sub": "${Email} ${Other} $$.x"}, {"Fn::Sub": "a@b ${Other} $$.x"}, id="in a text"),
        pytest.param({"Fn::If": ["HasEmail", [{"Ref": "Email"}], 0]}, ["a@b"], id="a condition that holds"),
        pytest.param({"Fn::If": ["HasKey", 1, {"Ref": "Other"}]}, {"Ref": "Other"}, id="one that does not"),
        pytest.param({"a": [{"Ref": "Key"}, {"Ref": "Topic"}]}, {"a": ["", {"Ref": "Topic"}]}, id="nested"),
    ],
)
def test_values_of_parameters_and_conditions_stand_in_their_place(value: Any, settled: Any) -> None:
    """What is no parameter stays a reference."""
    template = {
        "Parameters": PARAMETERS,
        "Conditions": {
            "HasEmail": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Email"}, ""]}]},
            "HasKey": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Key"}, ""]}]},
        },
        "Resources": {
            "One": {"Type": "T", "Properties": {"P": value}},
            "Two": {"Type": "T", "Condition": "HasEmail"},
            "Three": {"Type": "T", "Condition": "HasKey"},
        },
    }

    found = sam.settled(template, {"Email": "a@b", "Days": "7"})

    assert found["Resources"] == {
        "One": {"Type": "T", "Properties": {"P": settled}},
        "Two": {"Type": "T"},
    }
