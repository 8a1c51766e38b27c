"""The permissions of the template: read from it, and as a table for people.

Owns the list of actions that nothing on the local cloud can need, each with its reason; a test holds that there is no
other, and that none on the list is needed after all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline import package_files
from pipeline.stack import template

_DELIVERY = "Step Functions sets up the delivery of its log to WorkflowLogs; here there is no log delivery"
_TRACES = "Step Functions writes its traces to X-Ray; here there is no X-Ray"

AWS_ONLY: Mapping[tuple[str, str], str] = {
    (
        "EndpointRole",
        "ecr:BatchCheckLayerAvailability",
    ): "SageMaker's guide lists it with what a pull needs; a pull here looks for no layer before it fetches it",
    (
        "EndpointRole",
        "logs:DescribeLogStreams",
    ): "SageMaker looks for its log stream; here it is just written",
    ("EndpointRole", "cloudwatch:PutMetricData"): "endpoints publish metrics; here they have none",
    (
        "MonitorEndpointRole",
        "logs:CreateLogGroup",
    ): "a container's first line may still be on its way to CloudWatch; here its log group is there at once",
    **{
        ("DeploymentRole", f"logs:{name}"): _DELIVERY
        for name in (
            "CreateLogDelivery",
            "DeleteLogDelivery",
            "DescribeLogGroups",
            "DescribeResourcePolicies",
            "GetLogDelivery",
            "ListLogDeliveries",
            "PutResourcePolicy",
            "UpdateLogDelivery",
        )
    },
    **{
        ("DeploymentRole", f"xray:{name}"): _TRACES
        for name in ("GetSamplingRules", "GetSamplingTargets", "PutTelemetryRecords", "PutTraceSegments")
    },
}
"""Why an action of a role (its logical id once SAM has made it) is there though no test can need it."""


def statements() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every statement of every role, with the logical id of the role, or of those that share it."""
    for name, resource in template.load(package_files.template())["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Role":
            documents = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
            role = name
        elif resource["Type"] in {"AWS::Serverless::Function", "AWS::Serverless::StateMachine"}:
            documents = properties.get("Policies", [])
            role = f"{name}Role"
        elif resource["Type"] == "AWS::IAM::Policy":
            documents = [properties["PolicyDocument"]]
            role = ", ".join(one["Ref"] for one in properties["Roles"])
        else:
            continue
        for document in documents:
            for statement in document["Statement"]:
                yield role, statement


def bucket_statements() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every statement of every bucket's policy, with the logical id of the bucket."""
    for resource in template.load(package_files.template())["Resources"].values():
        if resource["Type"] == "AWS::S3::BucketPolicy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                yield resource["Properties"]["Bucket"]["Ref"], statement


def listed(value: Any) -> list[Any]:
    """Return a value that may be one or a list of them as a list."""
    return value if isinstance(value, list) else [value]


def table() -> str:
    """List what each role may do, where, and on which condition."""
    rows = ["| role | may | on | if |", "|---|---|---|---|"]
    for role, statement in statements():
        actions = ", ".join(f"`{one}`" for one in listed(statement["Action"]))
        where = "<br>".join(f"`{_shown(one)}`" for one in listed(statement["Resource"]))
        rows.append(f"| {role} | {actions} | {where} | {_conditions(statement.get('Condition', {}))} |")
    return "\n".join(rows)


def reasons() -> str:
    """List the actions that only AWS sees needed."""
    rows = ["| role | action | why |", "|---|---|---|"]
    rows += [f"| {role} | `{action}` | {why} |" for (role, action), why in AWS_ONLY.items()]
    return "\n".join(rows)


def _shown(resource: Any) -> str:
    """Return a resource as people name it: without the account and the region, which are always the stack's own."""
    if isinstance(resource, str):
        return resource
    if "Fn::GetAtt" in resource:
        return str(listed(resource["Fn::GetAtt"])[0]).removesuffix(".Arn")
    if "Ref" in resource:
        return str(resource["Ref"])
    if "Fn::Split" in resource:
        return " and ".join(_references(resource))
    text = re.sub(r"^arn:\$\{AWS::Partition\}:", "", resource["Fn::Sub"])
    text = text.replace("${AWS::Region}:", "").replace("${AWS::AccountId}:", "")
    return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", text)


def _references(value: Any) -> list[str]:
    """Return the parameters that a value is put together of."""
    if isinstance(value, dict):
        return [str(value["Ref"])] if "Ref" in value else _references(list(value.values()))
    return [one for each in value for one in _references(each)] if isinstance(value, list) else []


def _conditions(conditions: Mapping[str, Mapping[str, Any]]) -> str:
    found = []
    for operator, block in conditions.items():
        for key, value in block.items():
            if operator == "Null":
                found.append(f"`{key}` is {'not ' if value == 'true' else ''}there")
            else:
                values = " or ".join(f"`{_shown(one)}`" for one in listed(value))
                found.append(f"`{key}` {operator} {values}")
    return "; ".join(found)
