"""What the local cloud's CloudFormation adds to moto's: what a change set changes, and values in their place."""

from __future__ import annotations

from typing import Any

import pytest

from local_cloud.stacks import cloudformation as stacks
from local_cloud.stacks import template as sam

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


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        pytest.param({"Fn::Equals": [{"Ref": "Days"}, "5"]}, True, id="a number and a text"),
        pytest.param({"Fn::And": [{"Condition": "Five"}, {"Condition": "Mail"}]}, False, id="and"),
        pytest.param({"Fn::Or": [{"Condition": "Five"}, {"Condition": "Mail"}]}, True, id="or"),
        pytest.param({"Fn::Not": [{"Condition": "Mail"}]}, True, id="not another"),
    ],
)
def test_conditions_are_decided_as_cloudformation_decides_them(condition: Any, holds: bool) -> None:
    """Each kind of them, and those that name others."""
    template = {
        "Parameters": PARAMETERS,
        "Conditions": {
            "Five": {"Fn::Equals": [{"Ref": "Days"}, 5]},
            "Mail": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Email"}, ""]}]},
            "It": condition,
        },
        "Resources": {"One": {"Type": "T", "Condition": "It"}},
    }

    assert bool(sam.settled(template, {})["Resources"]) is holds


def test_sams_types_need_sams_transform() -> None:
    """A template that does not name it is refused by CloudFormation; one without such types needs none."""
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"Handler": "a.b", "Runtime": "python3.13"},
    }
    topic = {"Type": "AWS::SNS::Topic"}

    with pytest.raises(sam.UnknownTypes, match=r"Unrecognized resource types: \[AWS::Serverless::Function\]"):
        sam.processed({"Resources": {"F": function}}, {}, "us-east-1")

    assert sam.processed({"Resources": {"T": topic}}, {}, "us-east-1")["Resources"] == {"T": topic}
    for transform in ("AWS::Serverless-2016-10-31", ["AWS::Serverless-2016-10-31"]):
        code = {"CodeUri": {"Bucket": "b", "Key": "k"}, **function["Properties"]}  # type: ignore[dict-item]
        source = {"Transform": transform, "Resources": {"F": {**function, "Properties": code}}}
        found = sam.processed(source, {}, "us-east-1")["Resources"]
        assert {one["Type"] for one in found.values()} == {"AWS::Lambda::Function", "AWS::IAM::Role"}


# ------------------------------------------------------------------------- what is refused


RULES = {
    "Needed": {"Type": "String"},
    "State": {"Type": "String", "Default": "ENABLED", "AllowedValues": ["ENABLED", "DISABLED"]},
    "Key": {"Type": "String", "Default": "", "AllowedPattern": "(arn:.*)?"},
    "Hours": {"Type": "Number", "Default": 24, "MinValue": 1},
    "Keys": {"Type": "CommaDelimitedList", "Default": "", "AllowedPattern": "(arn:[a-z]+)?"},
}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"Needed": "x"}, "", id="all that is needed"),
        pytest.param({}, "Parameters: [Needed] must have values", id="missing"),
        pytest.param(
            {"Needed": "x", "No": "1"}, "Parameters: [No] do not exist in the template", id="unknown"
        ),
        pytest.param({"Needed": "x", "State": "DISABLED"}, "", id="an allowed value"),
        pytest.param(
            {"Needed": "x", "State": "OFF"},
            "Parameter 'State' must be one of AllowedValues",
            id="no such value",
        ),
        pytest.param({"Needed": "x", "Key": "arn:a"}, "", id="the pattern"),
        pytest.param(
            {"Needed": "x", "Key": "an arn:"},
            "Parameter 'Key' must match pattern (arn:.*)?",
            id="another form",
        ),
        pytest.param({"Needed": "x", "Keys": "arn:a, arn:b"}, "", id="each of a list"),
        pytest.param({"Needed": "x", "Keys": ["arn:a", "arn:b"]}, "", id="a list that was kept"),
        pytest.param(
            {"Needed": "x", "Keys": "arn:a,no"},
            "Parameter 'Keys' must match pattern (arn:[a-z]+)?",
            id="one of a list",
        ),
        pytest.param({"Needed": "x", "Hours": 1}, "", id="the least"),
        pytest.param(
            {"Needed": "x", "Hours": "0"}, "Parameter 'Hours' must be a number not less than 1", id="less"
        ),
        pytest.param({"Needed": "x", "Hours": "soon"}, "Parameter 'Hours' must be a number", id="no number"),
    ],
)
def test_parameters_are_compared_with_their_rules(given: dict[str, Any], said: str) -> None:
    """In AWS's words, before a change set is made."""
    assert stacks.wrong_parameters(RULES, given) == said


@pytest.mark.parametrize(
    ("resources", "needed"),
    [
        pytest.param([{"Type": "AWS::SNS::Topic"}], "", id="none"),
        pytest.param([{"Type": "AWS::IAM::Role"}], stacks.IAM, id="a role"),
        pytest.param(
            [{"Type": "AWS::IAM::Role", "Properties": {"RoleName": "mine"}}], stacks.NAMED, id="with a name"
        ),
        pytest.param(
            [{"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "p"}}], stacks.IAM, id="a policy"
        ),
    ],
)
def test_roles_have_to_be_acknowledged(resources: list[dict[str, Any]], needed: str) -> None:
    """Those with a name of their own by another capability than the rest."""
    assert stacks.capability({"Resources": dict(enumerate(resources))}) == needed
