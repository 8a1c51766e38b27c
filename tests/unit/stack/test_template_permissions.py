"""What the template's policies may not say, whatever a deployment does with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from local_cloud.iam import policies
from local_cloud.iam.policies import (
    Context,
    PolicyRequest,
    PolicyVerdict,
)
from pipeline import package_files, settings
from pipeline.planning import consumer
from pipeline.stack import template
from tools import permissions

ACCOUNT = "123456789012"
OURS = (("aws:PrincipalAccount", (ACCOUNT,)), ("aws:PrincipalIsAWSService", ("false",)))
SECURE = (("aws:SecureTransport", ("true",)),)


def lines(top: Path) -> list[str]:
    """Return the template's text."""
    return (top / "template.yaml").read_text(encoding="utf-8").splitlines()


def test_there_are_policies() -> None:
    """The rules below are about something."""
    assert len({role for role, _ in permissions.statements()}) > 20


def test_no_action_has_a_wildcard() -> None:
    """Each one is written out, so that a new one of AWS's is nobody's."""
    found = [
        (role, action)
        for role, statement in permissions.statements()
        for action in permissions.listed(statement["Action"])
        if not re.fullmatch(r"[a-z0-9-]+:[A-Za-z]+", action)
    ]

    assert found == []


def test_every_role_is_only_allowed_things() -> None:
    """What is not allowed is denied; NotAction and NotResource would allow what nobody thought of."""
    known = {"Effect", "Action", "Resource", "Condition"}

    assert all(statement["Effect"] == "Allow" for _, statement in permissions.statements())
    assert all(set(statement) <= known for _, statement in permissions.statements())


def test_every_resource_that_is_all_has_its_reason_beside_it(top: Path) -> None:
    """A comment just above the statement, in the template."""
    text = lines(top)
    found = [number for number, line in enumerate(text) if re.search(r'Resource: +\[?"\*"', line)]
    without = []
    for number in found:
        start = max(at for at in range(number) if re.match(r" +- (Effect|Sid):", text[at]))
        if not text[start - 1].strip().startswith("#"):
            without.append(f"line {number + 1}: {text[start + 1].strip()}")

    everywhere = [one for _, one in permissions.statements() if "*" in permissions.listed(one["Resource"])]
    assert len(found) == len(everywhere) > 0
    assert without == []


def test_a_resource_of_another_service_is_in_no_statement() -> None:
    """An action of Lambda's on an ARN of S3's would be a mistake that allows nothing."""
    wrong = []
    for role, statement in permissions.statements():
        for action in permissions.listed(statement["Action"]):
            for resource in permissions.listed(statement["Resource"]):
                text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
                match = re.match(r"arn:\$\{AWS::Partition\}:([a-z]+):", text)
                if match and match[1] != action.partition(":")[0]:
                    wrong.append((role, action, text))

    assert wrong == []


def test_a_resource_is_the_accounts_own() -> None:
    """ARNs name region and account; only AWS's images are in accounts of AWS's."""
    foreign = [
        (role, resource["Fn::Sub"])
        for role, statement in permissions.statements()
        for resource in permissions.listed(statement["Resource"])
        if isinstance(resource, dict)
        and resource.get("Fn::Sub", "").startswith("arn:")
        and "${AWS::Region}:${AWS::AccountId}:" not in resource["Fn::Sub"]
        # IAM is in no region.
        and ":iam::${AWS::AccountId}:" not in resource["Fn::Sub"]
    ]

    assert foreign == [
        ("EndpointRole", "arn:${AWS::Partition}:ecr:${AWS::Region}:*:repository/*"),
    ]


def test_a_reason_is_about_an_action_that_is_there() -> None:
    """The list of what only AWS sees needed holds no rows of the past."""
    there = {
        (role, action)
        for role, statement in permissions.statements()
        for action in permissions.listed(statement["Action"])
    }

    assert set(permissions.AWS_ONLY) <= there


def conditions(role: str, action: str) -> list[policies.Condition]:
    """Return the conditions of the one statement that allows a role an action."""
    (statement,) = [
        one
        for name, one in permissions.statements()
        if name == role and action in permissions.listed(one["Action"])
    ]
    return [
        policies.Condition(operator, key, tuple(permissions.listed(values)))
        for operator, block in statement["Condition"].items()
        for key, values in block.items()
    ]


@pytest.mark.parametrize(
    ("namespace", "may"),
    [
        pytest.param("AWS/SageMaker", True, id="invocations"),
        pytest.param("/aws/sagemaker/Endpoints", True, id="CPU, memory and disk of the containers"),
        pytest.param("/aws/Sagemaker/Endpoints", True, id="AWS's third spelling"),
        pytest.param("AWS/Lambda", False, id="another service's"),
    ],
)
def test_an_endpoint_publishes_in_sagemakers_namespaces_alone(namespace: str, may: bool) -> None:
    """StringLike minds the case of letters, and SageMaker's namespaces do not agree about it."""
    (condition,) = conditions("EndpointRole", "cloudwatch:PutMetricData")

    assert condition.holds((("cloudwatch:namespace", (namespace,)),)) is may


def test_no_role_may_delete_a_function() -> None:
    """Of a consumer only versions: the function's own ARN, with nothing behind its name, never matches."""
    found = [
        (role, resource["Fn::Sub"].rpartition(":function:")[2])
        for role, statement in permissions.statements()
        if "lambda:DeleteFunction" in permissions.listed(statement["Action"])
        for resource in permissions.listed(statement["Resource"])
    ]

    assert found == [(role, "${ConsumerFunctionPattern}:*") for role in ("RollBackRole", "SweepRole")]


# ------------------------------------------------------------------------- buckets


def spelt_out(value: Any) -> Any:
    """Return a part of a bucket's policy with its references in words; buckets are called as in the template."""
    if isinstance(value, list):
        return [spelt_out(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "Fn::GetAtt" in value:
        return f"arn:aws:s3:::{value['Fn::GetAtt'][0].lower()}"
    if "Fn::Sub" in value:
        return re.sub(r"\$\{(\w+)\.Arn\}", lambda match: f"arn:aws:s3:::{match[1].lower()}", value["Fn::Sub"])
    if "Ref" in value:
        return {"AWS::AccountId": ACCOUNT}[value["Ref"]]
    return {key: spelt_out(one) for key, one in value.items()}


def judged(bucket: str, context: Context, action: str = "s3:GetObject") -> PolicyVerdict:
    """Return what a bucket's policy says to a request for one of its objects."""
    document = {
        "Statement": spelt_out([one for name, one in permissions.bucket_statements() if name == bucket])
    }
    resource = f"arn:aws:s3:::{bucket.lower()}/models/x/model.tar.gz"
    return policies.judge(policies.parse(json.dumps(document)), PolicyRequest(action, resource, context))


@pytest.mark.parametrize("bucket", ["UploadBucket", "ArtifactBucket"])
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObjectVersion"])
@pytest.mark.parametrize(
    ("context", "verdict"),
    [
        pytest.param(
            (*OURS, *SECURE), PolicyVerdict.NOT_ALLOWED, id="the account's own, for its role to allow"
        ),
        pytest.param((*OURS, ("aws:SecureTransport", ("false",))), PolicyVerdict.FORBIDDEN, id="plain HTTP"),
        pytest.param(
            (("aws:PrincipalAccount", ("999999999999",)), OURS[1], *SECURE),
            PolicyVerdict.FORBIDDEN,
            id="another account",
        ),
        pytest.param(SECURE, PolicyVerdict.FORBIDDEN, id="anonymous"),
        pytest.param(
            (("aws:PrincipalIsAWSService", ("true",)), *SECURE),
            PolicyVerdict.NOT_ALLOWED,
            id="a service of AWS",
        ),
    ],
)
def test_a_bucket_refuses_plain_http_and_foreign_accounts(
    bucket: str, action: str, context: Context, verdict: PolicyVerdict
) -> None:
    """Whatever another policy allows; it allows nothing itself."""
    assert judged(bucket, context, action) is verdict


def test_every_bucket_has_a_policy(top: Path) -> None:
    """A bucket without one would be as open as its callers' roles are."""
    made = re.findall(r"^  (\w+):\n    Type: AWS::S3::Bucket$", "\n".join(lines(top)), re.MULTILINE)

    assert set(made) == {bucket for bucket, _ in permissions.bucket_statements()}


# ---------------------------------------------------------------------------- a key


def resolved(value: Any, *, key: bool) -> Any:
    """Return a part of the template as it is with a key, or without one."""
    if isinstance(value, list):
        return [resolved(one, key=key) for one in value]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        condition, yes, no = value["Fn::If"]
        assert condition == "HasKey"
        return resolved(yes if key else no, key=key)
    parts = {name: resolved(one, key=key) for name, one in value.items()}
    return {name: one for name, one in parts.items() if one != {"Ref": "AWS::NoValue"}}


def of_type(kind: str, *, key: bool) -> dict[str, Any]:
    """Return the properties of the template's resources of one type."""
    found = template.load(package_files.template())["Resources"]
    return {
        name: resolved(one.get("Properties", {}), key=key)
        for name, one in found.items()
        if one["Type"] == kind
    }


def encryption(bucket: dict[str, Any]) -> dict[str, Any]:
    """Return what a bucket does by default with what is put into it."""
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return {**rule["ServerSideEncryptionByDefault"], "BucketKeyEnabled": rule.get("BucketKeyEnabled")}


KEY = {"Ref": "KmsKeyArn"}


def test_all_that_is_kept_is_encrypted_with_the_key_that_is_given() -> None:
    """Buckets, logs and the topic."""
    buckets_ = of_type("AWS::S3::Bucket", key=True).values()

    assert [encryption(one) for one in buckets_] == [
        {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY, "BucketKeyEnabled": True}
    ] * len(buckets_)
    assert all(one["KmsKeyId"] == KEY for one in of_type("AWS::Logs::LogGroup", key=True).values())
    assert all(one["KmsMasterKeyId"] == KEY for one in of_type("AWS::SNS::Topic", key=True).values())


def test_without_a_key_nothing_names_one() -> None:
    """S3's own keys then; the statements about the key are in policies that there are only with one."""
    found = template.load(package_files.template())["Resources"]
    named = [
        name
        for name, one in found.items()
        if '"KmsKeyArn"' in json.dumps(resolved(one, key=False)) and one.get("Condition") != "HasKey"
    ]

    assert named == []
    assert all(
        encryption(one) == {"SSEAlgorithm": "AES256", "BucketKeyEnabled": None}
        for one in of_type("AWS::S3::Bucket", key=False).values()
    )


def test_whoever_reads_writes_or_publishes_may_use_the_key() -> None:
    """S3 and SNS use it in the caller's name: to decrypt, and to encrypt for whoever writes."""
    reads, writes = set(), set()
    may: dict[str, set[str]] = {}
    for role, statement in permissions.statements():
        actions = set(permissions.listed(statement["Action"]))
        if statement["Resource"] == KEY:
            for one in role.split(", "):
                may.setdefault(one, set()).update(actions)
        if actions & {"s3:GetObject", "s3:GetObjectVersion"}:
            reads.add(role)
        if actions & {"s3:PutObject", "sns:Publish"}:
            writes.add(role)

    both = {"kms:Decrypt", "kms:GenerateDataKey"}
    assert may == {role: both if role in writes else {"kms:Decrypt"} for role in reads | writes}


def test_whoever_makes_endpoints_may_grant_the_use_of_a_volumes_key() -> None:
    """To AWS's services alone; the endpoints' role too, since AWS's pages do not agree whose grant it is."""
    makes, may = {"EndpointRole"}, set()
    for role, statement in permissions.statements():
        actions = set(permissions.listed(statement["Action"]))
        if statement["Resource"] == {"Ref": "VolumeKmsKeyArns"}:
            assert actions == {"kms:CreateGrant"}
            assert statement["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}
            may.update(role.split(", "))
        if actions & {"sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"}:
            makes.add(role)

    assert may == makes


def test_whoever_reads_or_writes_a_consumer_may_use_its_key() -> None:
    """For those functions alone, and by way of Lambda; the message that names the tasks is held to the template."""
    reads, writes = set(), set()
    may: dict[str, set[str]] = {}
    for role, statement in permissions.statements():
        actions = set(permissions.listed(statement["Action"]))
        if statement["Resource"] == {"Ref": settings.KMS_KEYS}:
            conditions = statement["Condition"]["StringLike"]
            assert set(conditions) == {"kms:ViaService", "kms:EncryptionContext:aws:lambda:FunctionArn"}
            for one in role.split(", "):
                may.setdefault(one.removesuffix("Role"), set()).update(actions)
        if "lambda:GetFunctionConfiguration" in actions:
            reads.add(role.removesuffix("Role"))
        if "lambda:UpdateFunctionConfiguration" in actions:
            writes.add(role.removesuffix("Role"))

    assert (reads, writes) == (set(consumer.READERS), set(consumer.WRITERS))
    decrypt, all_three = {"kms:Decrypt"}, {"kms:Decrypt", "kms:Encrypt", "kms:CreateGrant"}
    assert may == {task: all_three if task in writes else decrypt for task in reads}
