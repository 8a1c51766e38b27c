"""The stack's template as it is read and sent, and its parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from pipeline import package_files
from pipeline.errors import InvalidInput
from pipeline.stack import bundles, template

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = template.load(package_files.template())


def test_it_is_read_as_sam_reads_it() -> None:
    """The short forms of CloudFormation mean the same to us as to AWS's own reader."""
    assert yaml_parse(package_files.template().read_text(encoding="utf-8")) == TEMPLATE


def test_every_short_form_is_spelt_out(tmp_path: Path) -> None:
    """Of scalars, lists and mappings."""
    path = tmp_path / "t.yaml"
    path.write_text(
        "a: !Ref B\nc: !GetAtt D.E.F\ng: !Sub ['${H}', {H: !Ref I}]\nj: !If [K, 1, !Ref L]\nm: !Condition N\n"
        "o: !Transform {Name: P}\n"
    )

    assert template.load(path) == {
        "a": {"Ref": "B"},
        "c": {"Fn::GetAtt": ["D", "E.F"]},
        "g": {"Fn::Sub": ["${H}", {"H": {"Ref": "I"}}]},
        "j": {"Fn::If": ["K", 1, {"Ref": "L"}]},
        "m": {"Condition": "N"},
        "o": {"Fn::Transform": {"Name": "P"}},
    }


def test_local_paths_are_replaced() -> None:
    """Every function gets its own zip, the state machine its definition; the template itself stays as it was."""
    source: dict[str, Any] = {
        "Globals": {"Function": {"Runtime": "python3.13", "CodeUri": ".build/lambda"}},
        "Resources": {
            "Task": {"Type": bundles.FUNCTION, "Properties": {"Handler": "a.b"}},
            "Other": {
                "Type": bundles.FUNCTION,
                "Properties": {"Handler": "a.c", "CodeUri": ".build/lambda-archive"},
            },
            "Machine": {
                "Type": template.MACHINE,
                "Properties": {"DefinitionUri": "x.json", "Name": "m"},
            },
            "Bucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"},
        },
    }
    before = json.dumps(source)
    resolved = template.resolve(
        source, bucket="code", keys={"Task": "1.zip", "Other": "2.zip"}, definition={"StartAt": "A"}
    )

    found = resolved["Resources"]
    assert resolved["Globals"]["Function"] == {"Runtime": "python3.13"}
    assert found["Machine"]["Properties"] == {"Name": "m", "Definition": {"StartAt": "A"}}
    assert found["Task"]["Properties"] == {"Handler": "a.b", "CodeUri": {"Bucket": "code", "Key": "1.zip"}}
    assert found["Other"]["Properties"]["CodeUri"] == {"Bucket": "code", "Key": "2.zip"}
    assert found["Bucket"] == source["Resources"]["Bucket"]
    assert json.dumps(source) == before


def test_nothing_local_is_left_of_the_true_template() -> None:
    """CloudFormation could not read it: no path of this machine is in what is sent, and all else is."""
    keys = dict.fromkeys(bundles.functions(TEMPLATE), "1.zip")
    definition = json.loads(package_files.definition().read_text())
    body = template.body(template.resolve(TEMPLATE, bucket="b", keys=keys, definition=definition))

    assert "DefinitionUri" not in body
    assert ".build/" not in body
    assert json.loads(body)["Transform"] == TEMPLATE["Transform"]
    assert set(json.loads(body)["Resources"]) == set(TEMPLATE["Resources"])
    # It must come from S3, where it may have a megabyte.
    assert template.LARGEST_BODY < len(body) < 1_000_000


def test_parameters_are_given_by_name_and_value() -> None:
    """The value may have equals signs, and may be empty."""
    assert template.given(["A=1", "B=", "C=x=y"]) == {"A": "1", "B": "", "C": "x=y"}


def test_every_malformed_parameter_is_told() -> None:
    """In one message."""
    with pytest.raises(InvalidInput) as refusal:
        template.given(["A", "B=1", "=2"])

    assert [problem.seen for problem in refusal.value.problems] == ["'A'", "'=2'"]


def test_what_is_not_given_keeps_what_it_has() -> None:
    """A parameter that the deployed stack does not know yet gets the template's default."""
    chosen = template.parameters(TEMPLATE, {"SweepDelete": "true"}, ["SweepState", "SweepDelete", "Gone"])

    assert chosen == [
        {"ParameterKey": "SweepState", "UsePreviousValue": True},
        {"ParameterKey": "SweepDelete", "ParameterValue": "true"},
    ]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        pytest.param("Sweep", "true", "SweepDelete", id="name"),
        pytest.param("SweepDelete", "yes", "true or false", id="one of"),
        pytest.param("LogRetentionDays", "4", "365", id="one of several numbers"),
        pytest.param("SweepGraceHours", "0", "a number of at least 1", id="too small"),
        pytest.param("SweepGraceHours", "many", "a number of at least 1", id="no number"),
        pytest.param("ConsumerFunctionPattern", "a b", "matches", id="pattern"),
        pytest.param("EndpointRoleArns", "arn:aws:iam::123456789012:role/a,b", "matches", id="one of a list"),
    ],
)
def test_a_parameter_that_cloudformation_would_refuse_is_refused_here(
    name: str, value: str, wanted: str
) -> None:
    """Before anything is packaged or uploaded, with what is wanted."""
    with pytest.raises(InvalidInput, match=r"--parameter: ") as refusal:
        template.parameters(TEMPLATE, {name: value, "SweepState": "DISABLED"})

    (problem,) = refusal.value.problems
    assert name in problem.seen
    assert wanted in problem.wanted


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        pytest.param("ConsumerFunction", "a", "did you mean 'ConsumerFunctionName'?", id="name"),
        pytest.param("sweepdelete", "true", "did you mean 'SweepDelete'?", id="letter case"),
        pytest.param("Container", "lama-cpp", "did you mean 'llama-cpp'?", id="value"),
        pytest.param("Zzz", "a", "correct its name", id="like none"),
    ],
)
def test_the_nearest_parameter_is_told(name: str, value: str, fix: str) -> None:
    """By name and by value."""
    with pytest.raises(InvalidInput) as refusal:
        template.parameters(TEMPLATE, {name: value})

    assert [one.fix for one in refusal.value.problems] == [fix]


def test_a_good_parameter_of_each_kind_is_taken() -> None:
    """Numbers, choices, patterns and texts."""
    values = {
        "SweepGraceHours": "1.5",
        "LogRetentionDays": "5",
        "KmsKeyArn": "",
        "ConsumerFunctionPattern": "harbour-*",
        "EndpointRoleArns": "arn:aws:iam::123456789012:role/a,arn:aws-cn:iam::123456789012:role/path/b",
        "NotificationEmail": "a@example.com",
    }

    chosen = template.parameters(TEMPLATE, values)

    assert {one["ParameterKey"]: one["ParameterValue"] for one in chosen} == values
