"""The local cloud's parameters: what AWS refuses of them is refused here as well."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud import parameters
from local_cloud.calls import AwsCall

THERE = {"/there": "String"}


def refused(operation: str = "PutParameter", **given: Any) -> str:
    """Return the error of a call; empty for one that moto may answer."""
    call = AwsCall("ssm", operation, "us-east-1")
    answer = parameters.refuse(call, json.dumps(given).encode(), THERE.get)
    return "" if answer is None else str(json.loads(answer.body)["__type"])


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"Name": "/sealift/s/demo/endpoint", "Type": "String"}, id="made"),
        pytest.param({"Name": "/there", "Overwrite": True}, id="another value"),
        pytest.param({"Name": "/there", "Overwrite": True, "Type": "String"}, id="of the same type"),
        pytest.param({"Name": "/there", "Type": "StringList"}, id="refused for its name by moto"),
        pytest.param({"Name": "plain", "Type": "String"}, id="no path"),
        pytest.param({"Name": "/a" * 15, "Type": "String"}, id="as deep as may be"),
        pytest.param(
            {"Name": "/b", "Type": "String", "Tier": "Advanced", "Value": "y" * 4097}, id="advanced"
        ),
    ],
)
def test_what_aws_takes_is_motos(given: dict[str, Any]) -> None:
    """Nothing is answered here."""
    assert refused(**{"Value": "demo-1", **given}) == ""


@pytest.mark.parametrize(
    ("given", "error"),
    [
        pytest.param({"Name": "/a b"}, "ValidationException", id="a space"),
        pytest.param({"Name": "a/b"}, "ValidationException", id="a path without its slash"),
        pytest.param({"Name": "/a//b"}, "ValidationException", id="an empty level"),
        pytest.param({"Name": "/" + "a" * 1011}, "ValidationException", id="too long"),
        pytest.param({"Name": "/a" * 16}, "HierarchyLevelLimitExceededException", id="too deep"),
        pytest.param({"Name": "/a", "Type": None}, "ValidationException", id="of no type"),
        pytest.param(
            {"Name": "/there", "Type": "StringList", "Overwrite": True},
            "HierarchyTypeMismatchException",
            id="of another type",
        ),
        pytest.param({"Name": "/a", "Value": "y" * 4097}, "ValidationException", id="too large"),
        pytest.param({"Name": "/a", "Value": "{{ssm:b}}"}, "ValidationException", id="a reference"),
        pytest.param(
            {"Name": "/a", "Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]},
            "TooManyTagsError",
            id="too many tags",
        ),
    ],
)
def test_what_aws_refuses_is_refused(given: dict[str, Any], error: str) -> None:
    """By the name that AWS's service model has."""
    assert refused(**{"Value": "demo-1", "Type": "String", **given}) == error


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("sealift:service", "demo", True),
        ("k" * 128, "v" * 256, True),
        ("aws:mine", "demo", False),
        ("k" * 129, "demo", False),
        ("", "demo", False),
        ("key", "v" * 257, False),
        ("key", "a;b", False),
    ],
)
def test_tags_have_rules_too(*, key: str, value: str, good: bool) -> None:
    """Where a parameter is made, and where they are added."""
    tags = [{"Key": key, "Value": value}]

    assert (refused("AddTagsToResource", ResourceId="/there", Tags=tags) == "") is good
    assert (refused(Name="/a", Value="v", Type="String", Tags=tags) == "") is good


def test_other_calls_are_motos() -> None:
    """Reading is refused by nothing but what is not there."""
    assert refused("GetParameter", Name="/a b") == ""
