"""The SAM template, translated to CloudFormation by AWS's own translator, since moto knows no transforms.

Its parameters and conditions are spelt out, so that a change of a parameter is a change of what it appears in; moto
sees that only for a `Ref`, and stumbles over a resource whose condition is false.
"""

from __future__ import annotations

import json
import logging
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        "AWS::SNS::Subscription",
    }
)
"""The policies of buckets and queues refuse plain HTTP, which is all that the local cloud speaks; alarms need metrics,
which nothing publishes here; what becomes of an event that a function failed on is `destinations`' business; no mail is
sent from here."""

# It publishes figures of its own to CloudWatch, and complains when nobody lets it.
logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)


def buildable(template: dict[str, Any], parameters: Mapping[str, str], region: str) -> dict[str, Any]:
    """Return the CloudFormation template of a SAM template that moto can make."""
    translated = json.loads(translate(template, parameters, region))
    return without_unsupported(settled(translated, parameters))


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


def settled(template: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return a translated template with the values of its parameters and of its conditions in their place.

    Args:
        template: as translated.
        given: the parameters that do not have their default.
    """
    rules = template.get("Parameters", {})
    values = {name: _typed(given.get(name, rule.get("Default", "")), rule) for name, rule in rules.items()}
    conditions = {
        name: _holds(_spelt_out(one, values, {})) for name, one in template.get("Conditions", {}).items()
    }
    found = {
        name: {key: value for key, value in resource.items() if key != "Condition"}
        for name, resource in template["Resources"].items()
        if conditions.get(resource.get("Condition"), True)
    }
    return {
        **template,
        "Resources": _spelt_out(found, values, conditions),
        "Outputs": _spelt_out(template.get("Outputs", {}), values, conditions),
    }


def _typed(value: Any, rule: Mapping[str, Any]) -> Any:
    kind = rule.get("Type")
    if kind == "CommaDelimitedList":
        return [one.strip() for one in value.split(",")]
    return int(value) if kind == "Number" else value


def _holds(condition: Mapping[str, Any]) -> bool:
    """Return whether a condition holds, its parameters spelt out; the kinds that the template has.

    Raises:
        KeyError: for any other.
    """
    ((kind, arguments),) = condition.items()
    if kind == "Fn::Not":
        return not _holds(arguments[0])
    first, second = {"Fn::Equals": arguments}[kind]
    return bool(first == second)


def _spelt_out(value: Any, values: Mapping[str, Any], conditions: Mapping[str, bool]) -> Any:
    if isinstance(value, list):
        return [_spelt_out(one, values, conditions) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, argument),) = value.items()
        if key == "Ref" and argument in values:
            return values[argument]
        if key == "Fn::If" and argument[0] in conditions:
            return _spelt_out(argument[1 if conditions[argument[0]] else 2], values, conditions)
        if key == "Fn::Join":
            separator, parts = argument[0], _spelt_out(argument[1], values, conditions)
            settled_ = isinstance(parts, list) and all(isinstance(one, str) for one in parts)
            return separator.join(parts) if settled_ else {key: [separator, parts]}
        if key == "Fn::Sub" and isinstance(argument, str):
            named = "|".join(map(re.escape, values)) or "$."
            return {key: re.sub(rf"\$\{{({named})\}}", lambda match: str(values[match[1]]), argument)}
    return {key: _spelt_out(one, values, conditions) for key, one in value.items()}
