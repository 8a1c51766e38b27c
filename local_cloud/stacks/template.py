"""What CloudFormation makes of a template before it makes anything of it.

SAM's transform is AWS's own translator, since moto knows no transforms. Parameters and conditions are spelt out, so
that a change of a parameter is a change of what it appears in; moto sees that only for a `Ref`, and stumbles over a
resource whose condition is false.
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

SAM = "AWS::Serverless"
"""How SAM's transform and the types that it knows begin."""

# It publishes figures of its own to CloudWatch, and complains when nobody lets it.
logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)


class UnknownTypes(ValueError):
    """A template has types of SAM's and does not ask for its transform."""


def processed(template: dict[str, Any], parameters: Mapping[str, str], region: str) -> dict[str, Any]:
    """Return what CloudFormation makes of a template: its transform carried out, values in their place.

    Args:
        template: as it was sent; the translator works on it.
        parameters: those that do not have their default.
        region: where the stack is to be.

    Raises:
        UnknownTypes: it needs SAM's transform, and does not name it.
    """
    named = template.get("Transform", ())
    if any(one.startswith(SAM) for one in ([named] if isinstance(named, str) else named)):
        template = translate(template, parameters, region)
    elif types := sorted(
        {one["Type"] for one in template["Resources"].values() if one["Type"].startswith(SAM)}
    ):
        raise UnknownTypes(f"Template format error: Unrecognized resource types: [{', '.join(types)}]")
    return settled(template, parameters)


def translate(template: dict[str, Any], parameters: Mapping[str, str], region: str) -> dict[str, Any]:
    """Return the CloudFormation template of a SAM template."""
    # The translator wants a boto3 session, of which it uses the region.
    translator = Translator(MANAGED_POLICIES, Parser(), boto_session=SimpleNamespace(region_name=region))
    translated = translator.translate(template, dict(parameters))
    # It puts objects of its own in, which are dictionaries and lists.
    document: dict[str, Any] = json.loads(json.dumps(translated))
    return document


def settled(template: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return a translated template with the values of its parameters and of its conditions in their place.

    Args:
        template: as translated.
        given: the parameters that do not have their default.
    """
    rules = template.get("Parameters", {})
    values = {name: _typed(given.get(name, rule.get("Default", "")), rule) for name, rule in rules.items()}
    rules_of = _spelt_out(template.get("Conditions", {}), values, {})
    conditions = {name: _holds(one, rules_of) for name, one in rules_of.items()}
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


def _holds(condition: Any, all_of_them: Mapping[str, Any]) -> bool:
    """Return whether a condition holds, its parameters spelt out."""
    ((kind, arguments),) = condition.items()
    if kind == "Condition":
        return _holds(all_of_them[arguments], all_of_them)
    if kind == "Fn::Equals":
        return str(arguments[0]) == str(arguments[1])
    found = [_holds(one, all_of_them) for one in arguments]
    return {"Fn::Not": not found[0], "Fn::And": all(found), "Fn::Or": any(found)}[kind]


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
