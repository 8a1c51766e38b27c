"""Versions of functions on the local cloud's moto: numbers that are given once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local_cloud.functions import versions
from pipeline.stack.bundles import code_of


@pytest.fixture
def functions() -> Iterator[Any]:
    """Lambda, with a function of one version."""
    versions.install()
    with mock_aws():
        iam = boto3.client("iam", region_name="us-east-1")
        role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"}))
        client = boto3.client("lambda", region_name="us-east-1")
        client.create_function(
            FunctionName="f",
            Runtime="python3.13",
            Role=role["Role"]["Arn"],
            Handler="handler.handler",
            Code={"ZipFile": code_of({"handler.py": b""}).body},
            Publish=False,
        )
        yield client


def publish(functions: Any, value: str) -> str:
    """Set a variable, publish, and return the version."""
    functions.update_function_configuration(FunctionName="f", Environment={"Variables": {"V": value}})
    return str(functions.publish_version(FunctionName="f", Description=value)["Version"])


@pytest.mark.parametrize("gone", ["1", "2", "3"])
def test_a_number_is_never_given_again(functions: Any, gone: str) -> None:
    """Not that of a version in the middle, and not that of the last one."""
    assert [publish(functions, value) for value in "abc"] == ["1", "2", "3"]
    functions.delete_function(FunctionName="f", Qualifier=gone)

    assert publish(functions, "d") == "4"
    found = functions.get_function_configuration(FunctionName="f", Qualifier="4")
    assert (found["Environment"]["Variables"], found["Description"]) == ({"V": "d"}, "d")


def test_what_is_published_is_not_published_again(functions: Any) -> None:
    """Nothing has changed since."""
    first = publish(functions, "a")

    assert functions.publish_version(FunctionName="f")["Version"] == first
