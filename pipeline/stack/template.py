"""The stack's template: read, its local paths replaced by places in S3, its parameters chosen. Makes no call.

Owns what is sent to CloudFormation. Refuses parameters that the template does not have or would not take, all of them
in one message, before anything is uploaded.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, TypedDict

import yaml

from pipeline.errors import InvalidInput, Problem
from pipeline.spelling import did_you_mean
from pipeline.stack import bundles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import NotRequired

MACHINE: Final = "AWS::Serverless::StateMachine"
LARGEST_BODY: Final = 51_200
"""Bytes of a template in a request; a larger one comes from S3, where it may have 1 MB
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html)."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Parameter(TypedDict):
    """A parameter as CreateChangeSet takes it."""

    ParameterKey: str
    ParameterValue: NotRequired[str]
    UsePreviousValue: NotRequired[bool]


class _Loader(_LOADER):  # type: ignore[misc, valid-type]
    """A safe loader that knows CloudFormation's short forms."""


def _short_form(loader: Any, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = node.value.split(".", 1) if suffix == "GetAtt" else node.value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def load(path: Path) -> dict[str, Any]:
    """Return a template with CloudFormation's short forms (`!Ref`, `!Sub`) spelt out."""
    return parsed(path.read_text(encoding="utf-8"))


def parsed(text: str) -> dict[str, Any]:
    """Return what a template's text says, CloudFormation's short forms spelt out."""
    document: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506 a safe loader's child
    return document


def resolve(
    template: dict[str, Any], *, bucket: str, keys: Mapping[str, str], definition: dict[str, Any]
) -> dict[str, Any]:
    """Return the template with local paths replaced: CodeUri by a zip's place in S3, DefinitionUri by the text.

    Args:
        template: as it is in the file.
        bucket: where the zips are.
        keys: their keys, by the logical id of each function.
        definition: of the state machine.
    """
    common = {
        key: value
        for key, value in template.get("Globals", {}).get("Function", {}).items()
        if key != "CodeUri"
    }
    placed = {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == bundles.FUNCTION:
            properties = {**properties, "CodeUri": {"Bucket": bucket, "Key": keys[name]}}
        elif resource["Type"] == MACHINE:
            kept = {key: value for key, value in properties.items() if key != "DefinitionUri"}
            properties = {**kept, "Definition": definition}
        placed[name] = {**resource, "Properties": properties} if properties else resource
    return {**template, "Globals": {**template.get("Globals", {}), "Function": common}, "Resources": placed}


def body(template: Mapping[str, Any]) -> str:
    """Return a template as CloudFormation takes it, as small as it can be."""
    return json.dumps(template, separators=(",", ":"))


def given(texts: Iterable[str]) -> dict[str, str]:
    """Return parameters by name, from ``Name=Value`` each.

    Raises:
        InvalidInput: for a text of another form.
    """
    found, problems = {}, []
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name:
            found[name] = value
        else:
            fix = "write for instance --parameter SweepDelete=true"
            problems.append(Problem("WrongParameter", repr(text), "Name=Value", fix))
    if problems:
        raise InvalidInput("--parameter", problems)
    return found


def parameters(
    template: Mapping[str, Any], values: Mapping[str, str], before: Iterable[str] = ()
) -> list[Parameter]:
    """Return the parameters of a deployment: what is given, else what the last deployment had, else the default.

    Args:
        template: as loaded.
        values: what is given.
        before: the names of those that the last deployment had.

    Raises:
        InvalidInput: for each that the template does not have or does not take.
    """
    known: Mapping[str, Mapping[str, Any]] = template.get("Parameters", {})
    problems = [
        problem
        for name, value in values.items()
        if (problem := _wrong(name, value, known.get(name), known)) is not None
    ]
    if problems:
        raise InvalidInput("--parameter", problems)
    kept = set(before)
    chosen: list[Parameter] = []
    for name in known:
        if name in values:
            chosen.append({"ParameterKey": name, "ParameterValue": values[name]})
        elif name in kept:
            chosen.append({"ParameterKey": name, "UsePreviousValue": True})
    return chosen


def _wrong(
    name: str, value: str, rules: Mapping[str, Any] | None, known: Mapping[str, Any]
) -> Problem | None:
    """Return what is wrong with a parameter's value; CloudFormation would say so too, but one at a time and late."""
    if rules is None:
        fix = did_you_mean(name, known, "correct its name")
        return Problem("UnknownParameter", repr(name), f"one of {', '.join(sorted(known))}", fix)
    wanted = ""
    if "AllowedValues" in rules and value not in (allowed := [str(one) for one in rules["AllowedValues"]]):
        wanted = _either(allowed)
    elif rules["Type"] == "Number":
        least = float(rules.get("MinValue", "-inf"))
        if not re.fullmatch(r"-?\d+(\.\d+)?", value) or float(value) < least:
            wanted = f"a number of at least {rules['MinValue']}" if "MinValue" in rules else "a number"
    elif "AllowedPattern" in rules and not all(
        re.fullmatch(rules["AllowedPattern"], one) for one in _values(value, rules)
    ):
        wanted = f"what {rules['AllowedPattern']} matches"
    if not wanted:
        return None
    fix = f"{name}: {' '.join(str(rules.get('Description', '')).split())}"
    if "AllowedValues" in rules:
        fix = did_you_mean(value, map(str, rules["AllowedValues"]), fix)
    return Problem("WrongParameter", f"{name}={value}", wanted, fix)


def _values(value: str, rules: Mapping[str, Any]) -> list[str]:
    """Return the values that a pattern is for: each one of a list."""
    return value.split(",") if rules["Type"] == "CommaDelimitedList" else [value]


def _either(values: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(values[:-1]), values[-1]]))
