"""Which permissions a call needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local_cloud.calls import AwsCall, service_model
from local_cloud.iam import authorizations
from local_cloud.iam.authorizations import UnknownNeedsError
from local_cloud.iam.policies import PolicyRequest
from tools import template

REGION, ACCOUNT = "us-east-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/endpoint"
TAGS = [{"Key": "sealift:service", "Value": "harbour"}]


def needs(
    name: str,
    parameters: dict[str, Any] | None = None,
    *,
    path: str = "/",
    query: str = "",
    headers: dict[str, str] | None = None,
) -> list[str]:
    """Return what a call needs, as actions with the last parts of their resources."""
    return [
        f"{one.action} {one.resource.removeprefix('arn:aws:').removeprefix('s3:::')}"
        for one in requests(name, parameters, path=path, query=query, headers=headers)
    ]


def requests(
    name: str,
    parameters: dict[str, Any] | None = None,
    *,
    path: str = "/",
    query: str = "",
    headers: dict[str, str] | None = None,
) -> tuple[PolicyRequest, ...]:
    """Return what a call needs."""
    service, _, operation = name.partition(".")
    environ = {"PATH_INFO": path, "QUERY_STRING": query, **(headers or {})}
    body = b"" if parameters is None else json.dumps(parameters).encode()
    return authorizations.needs(
        authorizations.asked(AwsCall(service, operation, REGION), environ, body, ACCOUNT)
    )


HERE = f"{REGION}:{ACCOUNT}"
A_TARGET = f"application-autoscaling:{HERE}:scalable-target/0"
SCALING_ROLE = (
    "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/v",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.mark.parametrize(
    ("name", "parameters", "wanted"),
    [
        pytest.param(
            "sagemaker.CreateModel",
            {"ModelName": "Harbour", "ExecutionRoleArn": ROLE, "Tags": TAGS},
            [
                f"sagemaker:CreateModel sagemaker:{HERE}:model/harbour",
                f"sagemaker:AddTags sagemaker:{HERE}:model/harbour",
                f"iam:PassRole iam::{ACCOUNT}:role/endpoint",
            ],
            id="a model, its tags and its role",
        ),
        pytest.param(
            "sagemaker.CreateModel",
            {"ModelName": "m", "ExecutionRoleArn": ROLE},
            [f"sagemaker:CreateModel sagemaker:{HERE}:model/m", f"iam:PassRole iam::{ACCOUNT}:role/endpoint"],
            id="a model without tags",
        ),
        pytest.param(
            "sagemaker.UpdateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            [
                f"sagemaker:UpdateEndpoint sagemaker:{HERE}:endpoint/e",
                f"sagemaker:UpdateEndpoint sagemaker:{HERE}:endpoint-config/c",
            ],
            id="an endpoint and its configuration",
        ),
        pytest.param("sagemaker.ListEndpoints", {}, ["sagemaker:ListEndpoints *"], id="a list"),
        pytest.param(
            "cloudwatch.PutMetricAlarm",
            {"AlarmName": "a", "Tags": TAGS},
            [
                f"cloudwatch:PutMetricAlarm cloudwatch:{HERE}:alarm:a",
                f"cloudwatch:TagResource cloudwatch:{HERE}:alarm:a",
            ],
            id="an alarm and its tags",
        ),
        pytest.param(
            "cloudwatch.DescribeAlarms",
            {"AlarmNames": ["a"]},
            [f"cloudwatch:DescribeAlarms cloudwatch:{HERE}:alarm:*"],
            id="alarms are listed, also by name",
        ),
        pytest.param(
            "cloudwatch.DescribeAlarms",
            {"AlarmNames": ["a"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]},
            ["cloudwatch:DescribeAlarms *"],
            id="composite alarms among them",
        ),
        pytest.param(
            "cloudwatch.DeleteAlarms",
            {"AlarmNames": ["a", "b"]},
            [f"cloudwatch:DeleteAlarms cloudwatch:{HERE}:alarm:{name}" for name in "ab"],
            id="each alarm",
        ),
        pytest.param(
            "ecr.UploadLayerPart",
            {"repositoryName": "sealift"},
            [f"ecr:UploadLayerPart ecr:{HERE}:repository/sealift"],
            id="a repository",
        ),
        pytest.param(
            "ecr.BatchGetImage",
            {"repositoryName": "pytorch-inference", "registryId": "763104351884"},
            [f"ecr:BatchGetImage ecr:{REGION}:763104351884:repository/pytorch-inference"],
            id="a repository of another account",
        ),
        pytest.param(
            "ecr.CreateRepository",
            {"repositoryName": "sealift", "tags": TAGS},
            [
                f"ecr:CreateRepository ecr:{HERE}:repository/sealift",
                f"ecr:TagResource ecr:{HERE}:repository/sealift",
            ],
            id="a repository and its tags",
        ),
        pytest.param(
            "ecr.DescribeRepositories",
            {"repositoryNames": ["a", "b"]},
            [f"ecr:DescribeRepositories ecr:{HERE}:repository/{name}" for name in "ab"],
            id="each repository",
        ),
        pytest.param(
            "ecr.DescribeRepositories",
            {},
            [f"ecr:DescribeRepositories ecr:{HERE}:repository/*"],
            id="all repositories",
        ),
        pytest.param(
            "ecr.TagResource",
            {"resourceArn": "arn:aws:ecr:us-east-1:123456789012:repository/sealift", "tags": TAGS},
            [f"ecr:TagResource ecr:{HERE}:repository/sealift"],
            id="a repository's tags by its ARN",
        ),
        pytest.param("ecr.GetAuthorizationToken", {}, ["ecr:GetAuthorizationToken *"], id="a token"),
        pytest.param(
            "logs.GetLogEvents",
            {"logGroupName": "/g", "logStreamName": "s"},
            [f"logs:GetLogEvents logs:{HERE}:log-group:/g:log-stream:s"],
            id="a log stream",
        ),
        pytest.param(
            "application-autoscaling.RegisterScalableTarget",
            TARGET,
            [
                f"application-autoscaling:RegisterScalableTarget {A_TARGET}",
                f"sagemaker:DescribeEndpoint sagemaker:{HERE}:endpoint/e",
                f"sagemaker:UpdateEndpointWeightsAndCapacities sagemaker:{HERE}:endpoint/e",
                f"sagemaker:DescribeEndpointConfig sagemaker:{HERE}:endpoint-config/*",
                f"iam:CreateServiceLinkedRole iam::{ACCOUNT}:{SCALING_ROLE}",
            ],
            id="an endpoint to scale, and the role that does",
        ),
        pytest.param(
            "application-autoscaling.RegisterScalableTarget",
            {
                "ServiceNamespace": "sagemaker",
                "ResourceId": "inference-component/e",
                "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
            },
            [
                f"application-autoscaling:RegisterScalableTarget {A_TARGET}",
                f"sagemaker:DescribeInferenceComponent sagemaker:{HERE}:inference-component/e",
                f"sagemaker:UpdateInferenceComponentRuntimeConfig sagemaker:{HERE}:inference-component/e",
                f"iam:CreateServiceLinkedRole iam::{ACCOUNT}:{SCALING_ROLE}",
            ],
            id="a component to scale",
        ),
        pytest.param(
            "sagemaker.CreateInferenceComponent",
            {"InferenceComponentName": "E", "EndpointName": "E"},
            [
                f"sagemaker:CreateInferenceComponent sagemaker:{HERE}:inference-component/e",
                f"sagemaker:CreateInferenceComponent sagemaker:{HERE}:endpoint/e",
            ],
            id="a component of an endpoint",
        ),
        pytest.param(
            "sagemaker.DeleteInferenceComponent",
            {"InferenceComponentName": "E"},
            [f"sagemaker:DeleteInferenceComponent sagemaker:{HERE}:inference-component/e"],
            id="a component's end",
        ),
        pytest.param(
            "application-autoscaling.DeregisterScalableTarget",
            TARGET,
            [
                f"application-autoscaling:DeregisterScalableTarget {A_TARGET}",
                f"cloudwatch:DeleteAlarms cloudwatch:{HERE}:alarm:TargetTracking-endpoint/e/variant/v-AlarmHigh-0",
                f"cloudwatch:DescribeAlarms cloudwatch:{HERE}:alarm:*",
            ],
            id="a target and its policy's alarms",
        ),
        pytest.param("service-quotas.GetServiceQuota", {}, ["servicequotas:GetServiceQuota *"], id="a quota"),
        pytest.param("sts.GetCallerIdentity", None, [], id="nothing"),
    ],
)
def test_parameters_name_the_resources(
    name: str, parameters: dict[str, Any] | None, wanted: list[str]
) -> None:
    """All that a call needs, each with its ARN."""
    assert needs(name, parameters) == wanted


@pytest.mark.parametrize(
    ("name", "query", "headers", "wanted"),
    [
        pytest.param("s3.HeadObject", "", {}, ["s3:GetObject b/k/m"], id="a look is a reading"),
        pytest.param("s3.GetObject", "versionId=v", {}, ["s3:GetObjectVersion b/k/m"], id="a version"),
        pytest.param("s3.UploadPart", "partNumber=1&uploadId=u", {}, ["s3:PutObject b/k/m"], id="a part"),
        pytest.param("s3.CompleteMultipartUpload", "uploadId=u", {}, ["s3:PutObject b/k/m"], id="the whole"),
        pytest.param(
            "s3.AbortMultipartUpload", "uploadId=u", {}, ["s3:AbortMultipartUpload b/k/m"], id="an end"
        ),
        pytest.param(
            "s3.UploadPartCopy",
            "partNumber=1&uploadId=u",
            {"HTTP_X_AMZ_COPY_SOURCE": "other/a%20b?versionId=v"},
            ["s3:PutObject b/k/m", "s3:GetObjectVersion other/a b"],
            id="a part out of a version",
        ),
        pytest.param(
            "s3.CopyObject",
            "",
            {"HTTP_X_AMZ_COPY_SOURCE": "/other/a"},
            ["s3:PutObject b/k/m", "s3:GetObject other/a"],
            id="a copy",
        ),
        pytest.param(
            "s3.PutObject",
            "",
            {"HTTP_X_AMZ_TAGGING": "a=b"},
            ["s3:PutObject b/k/m", "s3:PutObjectTagging b/k/m"],
            id="tags",
        ),
        pytest.param("s3.ListObjectsV2", "list-type=2&prefix=k", {}, ["s3:ListBucket b"], id="a list"),
    ],
)
def test_the_request_itself_names_what_s3_is_asked_for(
    name: str, query: str, headers: dict[str, str], wanted: list[str]
) -> None:
    """Its path, its query string and its headers."""
    assert needs(name, path="/b/k/m", query=query, headers=headers) == wanted


@pytest.mark.parametrize(
    ("operation", "source", "directive", "wanted"),
    [
        pytest.param(
            "CopyObject",
            "tagged/m",
            "",
            ["GetObjectTagging tagged/m", "PutObjectTagging b/k/m"],
            id="as it is",
        ),
        pytest.param(
            "CopyObject",
            "tagged/m?versionId=v",
            "COPY",
            ["GetObjectVersionTagging tagged/m", "PutObjectTagging b/k/m"],
            id="a version, and asked for by name",
        ),
        pytest.param("CopyObject", "tagged/m", "REPLACE", [], id="without them"),
        pytest.param("CopyObject", "bare/m", "", [], id="none there"),
        pytest.param("UploadPartCopy", "tagged/m", "", [], id="a part has none"),
    ],
)
def test_tags_are_copied_unless_it_is_said_otherwise(
    operation: str, source: str, directive: str, wanted: list[str]
) -> None:
    """CopyObject's default is to copy them, which needs to read those of the source and to write those of the copy."""
    environ = {"PATH_INFO": "/b/k/m", "HTTP_X_AMZ_COPY_SOURCE": source}
    if directive:
        environ["HTTP_X_AMZ_TAGGING_DIRECTIVE"] = directive
    asked = authorizations.asked(
        AwsCall("s3", operation, REGION),
        environ,
        b"",
        ACCOUNT,
        tagged=lambda bucket, _key, _version: bucket == "tagged",
    )

    found = [
        f"{one.action.removeprefix('s3:')} {one.resource.removeprefix('arn:aws:s3:::')}"
        for one in authorizations.needs(asked)
    ]

    assert [one for one in found if "Tagging" in one] == wanted


@pytest.mark.parametrize(
    ("name", "path", "query", "wanted"),
    [
        pytest.param("lambda.Invoke", "f/invocations", "", "InvokeFunction f", id="a function"),
        pytest.param(
            "lambda.Invoke", "f/invocations", "Qualifier=live", "InvokeFunction f:live", id="an alias"
        ),
        pytest.param(
            "lambda.Invoke", "f:3/invocations", "", "InvokeFunction f:3", id="a version in the name"
        ),
        pytest.param(
            "lambda.Invoke",
            f"arn:aws:lambda:{HERE}:function:f:3/invocations",
            "",
            "InvokeFunction f:3",
            id="a version in the ARN",
        ),
        pytest.param("lambda.GetAlias", "f/aliases/live", "", "GetAlias f", id="the function of an alias"),
        pytest.param("lambda.DeleteFunction", "f", "Qualifier=3", "DeleteFunction f:3", id="a version"),
    ],
)
def test_a_version_and_an_alias_have_arns_of_their_own(name: str, path: str, query: str, wanted: str) -> None:
    """Which the function's own does not stand for."""
    action, function = wanted.split()

    found = needs(name, path=f"/2015-03-31/functions/{path}", query=query)

    assert found == [f"lambda:{action} lambda:{HERE}:function:{function}"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param("AlarmTypes.member.1=MetricAlarm", f"cloudwatch:{HERE}:alarm:*", id="of metrics"),
        pytest.param(
            "AlarmTypes.member.1=MetricAlarm&AlarmTypes.member.2=CompositeAlarm", "*", id="composite ones too"
        ),
    ],
)
def test_a_form_says_the_same_as_json(body: str, wanted: str) -> None:
    """A list is numbered in the query protocol, which older SDKs speak to CloudWatch."""
    call = AwsCall("cloudwatch", "DescribeAlarms", REGION)
    asked = authorizations.asked(call, {}, f"Action=DescribeAlarms&{body}".encode(), ACCOUNT)

    (found,) = authorizations.needs(asked)

    assert found.resource.removeprefix("arn:aws:") == wanted


def test_the_service_that_a_role_is_handed_to_can_be_judged() -> None:
    """The template's condition looks at it; tags of a request likewise."""
    first, tagged, passed = requests(
        "sagemaker.CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "Tags": TAGS}
    )

    assert passed.context == (("iam:PassedToService", ("sagemaker.amazonaws.com",)),)
    assert first.context == tagged.context
    assert dict(first.context) == {
        "aws:RequestTag/sealift:service": ("harbour",),
        "aws:TagKeys": ("sealift:service",),
    }


@pytest.mark.parametrize("name", ["sagemaker.CreateTrainingJob", "ec2.RunInstances", "s3.DeleteBucket"])
def test_what_is_not_written_down_is_not_guessed(name: str) -> None:
    """Neither an operation nor a service."""
    with pytest.raises(UnknownNeedsError, match="is not written down"):
        needs(name, {})


# ------------------------------------------------------------------- what tasks state

BESIDES = {"stepfunctions": "states", "service-quotas": "servicequotas", "sagemaker-runtime": "sagemaker"}
"""Services whose actions begin otherwise than botocore calls them."""
WRITTEN = Path(str(authorizations.__file__)).read_text(encoding="utf-8")


def needed() -> set[str]:
    """Return the actions that have the name of a call that is written down."""
    return {
        f"{BESIDES.get(service, service)}:{operation}"
        for service, operations in authorizations._SERVICES.items()
        for operation in operations
    }


@pytest.mark.parametrize("name", template.functions())
def test_each_action_that_a_task_states_is_one_that_a_call_needs(name: str) -> None:
    """By the call's own name, or by the name that the entry of another one gives it: else it is refused here."""
    stated = {action for one in template.functions()[name].handler.may for action in one.actions}
    unknown = {
        action
        for action in stated - needed()
        if f'"{action}"' not in WRITTEN and f'"{action.partition(":")[2]}"' not in WRITTEN
    }

    assert not unknown, f"add the call that needs {sorted(unknown)} to {authorizations.__name__}"


def test_every_call_of_ecrs_has_an_entry() -> None:
    """A new one of the service model has to be written down."""
    assert set(authorizations._ECR) == set(service_model("ecr").operation_names)


def test_conditions_see_the_tags_of_a_repository_that_is_made() -> None:
    """And which keys are taken away."""
    (made, tagged) = requests("ecr.CreateRepository", {"repositoryName": "sealift", "tags": TAGS})
    (untagged,) = requests(
        "ecr.UntagResource", {"resourceArn": "arn:aws:ecr:a:b:repository/c", "tagKeys": ["k"]}
    )

    context = (("aws:RequestTag/sealift:service", ("harbour",)), ("aws:TagKeys", ("sealift:service",)))
    assert (made.context, tagged.context) == (context, context)
    assert untagged.context == (("aws:TagKeys", ("k",)),)
