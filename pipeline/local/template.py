"""The SAM template, translated to CloudFormation by AWS's own translator, since moto knows no transforms."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANAGED_POLICIES = {
    "AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
    "AWSXrayWriteOnlyAccess": "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
    "AWSXRayDaemonWriteAccess": "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess",
}
"""The managed policies that SAM refers to; the translator would otherwise ask IAM for all of them."""


UNSUPPORTED = frozenset(
    {
        "AWS::S3::BucketPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::CloudWatch::Alarm",
        "AWS::Lambda::EventInvokeConfig",
    }
)
"""The policies of buckets and queues refuse plain HTTP, which is all that the local cloud speaks; alarms need metrics,
which nothing publishes here; what becomes of an event that a function failed on is `destinations`' business."""


def load(path: Path) -> dict[str, Any]:
    """Return a template with CloudFormation's short forms (`!Ref`, `!Sub`) spelt out."""
    document: dict[str, Any] = yaml_parse(path.read_text())
    return document


def translate(template: dict[str, Any], parameters: Mapping[str, str], region: str) -> str:
    """Return the CloudFormation template of a SAM template, as JSON."""
    # The translator wants a boto3 session, of which it uses the region.
    translator = Translator(MANAGED_POLICIES, Parser(), boto_session=SimpleNamespace(region_name=region))
    return json.dumps(_with_substitutions(translator.translate(template, dict(parameters))))


def _with_substitutions(template: dict[str, Any]) -> dict[str, Any]:
    """Return the template with DefinitionSubstitutions, which moto ignores, spelt out.

    As `Fn::Join`, since moto's `Fn::Sub` makes `$` of the `$$` that the context object begins with.
    """
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            properties = resource["Properties"]
            separator, lines = properties["DefinitionString"]["Fn::Join"]
            substitutions = properties.pop("DefinitionSubstitutions")
            pieces = re.split(r"\$\{(\w+)\}", separator.join(lines))
            joined = [substitutions[piece] if n % 2 else piece for n, piece in enumerate(pieces)]
            properties["DefinitionString"] = {"Fn::Join": ["", joined]}
    return template


def without_unsupported(template: dict[str, Any]) -> dict[str, Any]:
    """Return the template without the resources that moto's CloudFormation cannot make, and stumbles over."""
    kept = {name: one for name, one in template["Resources"].items() if one["Type"] not in UNSUPPORTED}
    return {**template, "Resources": kept}
