"""Which permissions an API call needs: its IAM actions, the ARNs that they are about, and what conditions may look at.

Pure. A call that has no entry here needs a permission that nobody has: it is refused, never let through.

Source: the Service Authorization Reference, one page per service
(https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html);
S3's operations that need another service's or a differently named permission,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html; Lambda's qualified ARNs,
https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, unquote

from local_cloud.iam.policies import PolicyRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from local_cloud.calls import AwsCall
    from local_cloud.iam.policies import Context

    Needs = Callable[["NeededPermission"], Iterable[PolicyRequest]]
    """Returns what a call needs."""
    Tagged = Callable[[str, str, str | None], bool]
    """Tells whether an object (bucket, key, version) has tags."""

ANY = "*"
"""The resource of an action that knows none."""


class UnknownNeedsError(LookupError):
    """Nobody has written down what such a call needs."""


@dataclass(frozen=True, slots=True)
class NeededPermission:
    """An API call with the parts of its HTTP request that permissions depend on."""

    call: AwsCall
    account_id: str
    path: str = "/"
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    """By name in lower case."""
    body: bytes = b""
    """Empty for S3, whose bodies are no parameters."""
    tagged: Tagged | None = None
    """Knows which objects have tags; none has when None."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The body's parameters, of a JSON or a query protocol."""
        if self.body[:1] in {b"{", b""}:
            found: dict[str, Any] = json.loads(self.body or b"{}")
            return found
        return dict(parse_qsl(self.body.decode()))

    def listed(self, name: str) -> list[str]:
        """Return a list among the parameters, empty for none; the query protocol numbers its members."""
        given = self.parameters
        if name in given:
            return [str(one) for one in given[name]]
        return [str(value) for key, value in given.items() if key.startswith(f"{name}.member.")]

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of the caller's account in the region that was called."""
        return f"arn:aws:{service}:{self.call.region}:{self.account_id}:{resource}"

    def argument(self, name: str) -> str:
        """Return an argument of the query string, empty for none."""
        return (self.query or {}).get(name, "")


def asked(
    call: AwsCall, environ: Mapping[str, Any], body: bytes, account_id: str, tagged: Tagged | None = None
) -> NeededPermission:
    """Return a WSGI request as far as permissions depend on it; `tagged` knows which objects have tags."""
    query = parse_qs(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    first = {name: values[0] for name, values in query.items()}
    path = str(environ.get("PATH_INFO", "/"))
    return NeededPermission(call, account_id, path, first, headers, body, tagged)


def needs(request: NeededPermission) -> tuple[PolicyRequest, ...]:
    """Return the permissions that a call needs, all of them.

    Raises:
        UnknownNeedsError: for an operation that has no entry.
    """
    table = _SERVICES.get(request.call.service, {})
    entry = table.get(request.call.operation)
    if entry is None:
        raise UnknownNeedsError(
            f"what {request.call} needs is not written down; wanted an entry in {__name__}; add it"
        )
    return tuple(entry(request))


def existence_request(request: NeededPermission) -> PolicyRequest | None:
    """Return what it takes to learn that an object is missing, rather than that access to it is denied.

    Source: GetObject and HeadObject of the S3 API reference: 404 with s3:ListBucket, 403 without.
    """
    if (request.call.service, request.call.operation) not in {("s3", "GetObject"), ("s3", "HeadObject")}:
        return None
    return PolicyRequest("s3:ListBucket", _bucket_arn(_bucket_and_key(request)[0]))


# ------------------------------------------------------------------------ SageMaker

_KINDS = {
    "Model": "model",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "InferenceComponent": "inference-component",
}


def _sagemaker_arn(request: NeededPermission, kind: str) -> str:
    # SageMaker's ARNs are in lower case, whatever the name was given as.
    name = str(request.parameters[f"{kind}Name"]).lower()
    return request.arn("sagemaker", f"{_KINDS[kind]}/{name}")


def _on(*kinds: str) -> Needs:
    """Return the needs of an operation on the resources of these kinds that its parameters name."""

    def needs_(request: NeededPermission) -> Iterator[PolicyRequest]:
        tags = _request_tags(request.parameters.get("Tags"))
        for kind in kinds:
            yield PolicyRequest(f"sagemaker:{request.call.operation}", _sagemaker_arn(request, kind), tags)
        if tags:
            yield PolicyRequest("sagemaker:AddTags", _sagemaker_arn(request, kinds[0]), tags)

    return needs_


def volume_grants(request: NeededPermission, key_of: Callable[[str], str | None]) -> Iterator[PolicyRequest]:
    """Yield what a caller needs of the key that encrypts an endpoint's volumes.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/api-permissions-reference.html, CreateEndpoint;
    UpdateEndpoint makes new instances as well, and is assumed to need the same.

    Args:
        request: a call.
        key_of: returns the key of an endpoint configuration by its name, None when it has none.
    """
    if (request.call.service, request.call.operation) not in {
        ("sagemaker", "CreateEndpoint"),
        ("sagemaker", "UpdateEndpoint"),
    }:
        return
    key = key_of(str(request.parameters["EndpointConfigName"]))
    if key:
        yield PolicyRequest("kms:CreateGrant", key, (("kms:GrantIsForAWSResource", ("true",)),))


def _create_model(request: NeededPermission) -> Iterator[PolicyRequest]:
    yield from _on("Model")(request)
    passed = (("iam:PassedToService", ("sagemaker.amazonaws.com",)),)
    yield PolicyRequest("iam:PassRole", request.parameters["ExecutionRoleArn"], passed)


def _create_config(request: NeededPermission) -> Iterator[PolicyRequest]:
    yield from _on("EndpointConfig")(request)
    # Of a configuration without a model, whose endpoints host components.
    if role := request.parameters.get("ExecutionRoleArn"):
        yield PolicyRequest("iam:PassRole", role, (("iam:PassedToService", ("sagemaker.amazonaws.com",)),))


def _on_tags(request: NeededPermission) -> Iterator[PolicyRequest]:
    parameters = request.parameters
    context = _request_tags(parameters.get("Tags"))
    if "TagKeys" in parameters:
        context = (("aws:TagKeys", tuple(parameters["TagKeys"])),)
    yield PolicyRequest(f"sagemaker:{request.call.operation}", parameters["ResourceArn"], context)


def _invoke_endpoint(request: NeededPermission) -> Iterator[PolicyRequest]:
    name = request.path.split("/")[2].lower()
    yield PolicyRequest("sagemaker:InvokeEndpoint", request.arn("sagemaker", f"endpoint/{name}"))


def _invoke_with_stream(request: NeededPermission) -> Iterator[PolicyRequest]:
    for needed in _invoke_endpoint(request):
        yield PolicyRequest("sagemaker:InvokeEndpointWithResponseStream", needed.resource)


def _call_with_token(request: NeededPermission) -> Iterator[PolicyRequest]:
    """Return what SageMaker's OpenAI route needs (developer guide, realtime-endpoints-openai-compatible)."""
    yield PolicyRequest("sagemaker:CallWithBearerToken", ANY)
    yield from _invoke_endpoint(request)


def _request_tags(tags: Any) -> Context:
    if not tags:
        return ()
    pairs = tuple((f"aws:RequestTag/{tag['Key']}", (str(tag["Value"]),)) for tag in tags)
    return (*pairs, ("aws:TagKeys", tuple(str(tag["Key"]) for tag in tags)))


def _everywhere(prefix: str) -> Needs:
    """Return the needs of an operation whose action knows no resource."""
    return lambda request: [PolicyRequest(f"{prefix}:{request.call.operation}", ANY)]


def _on_parameter(prefix: str, name: str) -> Needs:
    """Return the needs of an operation on the ARN that a parameter holds."""
    return lambda request: [
        PolicyRequest(f"{prefix}:{request.call.operation}", str(request.parameters[name]))
    ]


def _nothing(_request: NeededPermission) -> Iterable[PolicyRequest]:
    return ()


_SAGEMAKER: dict[str, Needs] = {
    "CreateModel": _create_model,
    "CreateEndpointConfig": _create_config,
    "CreateInferenceComponent": _on("InferenceComponent", "Endpoint"),
    **dict.fromkeys(
        ("UpdateInferenceComponent", "UpdateInferenceComponentRuntimeConfig"), _on("InferenceComponent")
    ),
    "CreateEndpoint": _on("Endpoint", "EndpointConfig"),
    "UpdateEndpoint": _on("Endpoint", "EndpointConfig"),
    "UpdateEndpointWeightsAndCapacities": _on("Endpoint"),
    **{f"{verb}{kind}": _on(kind) for verb in ("Describe", "Delete") for kind in _KINDS},
    **{f"List{kind}s": _everywhere("sagemaker") for kind in _KINDS},
    **dict.fromkeys(("AddTags", "DeleteTags", "ListTags"), _on_tags),
}


# --------------------------------------------------------------------------- Lambda


def _function(*, qualified: bool) -> Needs:
    """Return the needs of an operation on a function, or on the version or alias that a qualifier names."""

    def needs_(request: NeededPermission) -> Iterator[PolicyRequest]:
        operation = request.call.operation
        match = re.search(r"/functions/([^/]+)", request.path)
        if match is None:
            raise UnknownNeedsError(f"{request.call} names no function; wanted one in {request.path!r}")
        # A name, an ARN or a part of one, with or without a qualifier.
        name, _, given = match[1].rpartition("function:")[2].partition(":")
        qualifier = request.argument("Qualifier") or given
        arn = request.arn("lambda", f"function:{name}")
        action = "InvokeFunction" if operation == "Invoke" else operation
        yield PolicyRequest(f"lambda:{action}", f"{arn}:{qualifier}" if qualifier and qualified else arn)

    return needs_


_LAMBDA: dict[str, Needs] = {
    **dict.fromkeys(
        ("Invoke", "GetFunction", "GetFunctionConfiguration", "DeleteFunction"), _function(qualified=True)
    ),
    **dict.fromkeys(
        (
            "UpdateFunctionConfiguration",
            "PublishVersion",
            "GetAlias",
            "UpdateAlias",
            "ListAliases",
            "ListVersionsByFunction",
        ),
        _function(qualified=False),
    ),
    "ListFunctions": _everywhere("lambda"),
}


# ------------------------------------------------------------------------------- S3


def _bucket_arn(bucket: str) -> str:
    return f"arn:aws:s3:::{bucket}"


def _bucket_and_key(request: NeededPermission) -> tuple[str, str]:
    bucket, _, key = request.path.removeprefix("/").partition("/")
    return bucket, key


def _object(action: str, versioned: str = "") -> Needs:
    """Return the needs of an operation on an object; `versioned` is its action when a version is named."""

    def needs_(request: NeededPermission) -> Iterator[PolicyRequest]:
        bucket, key = _bucket_and_key(request)
        name = versioned if versioned and request.argument("versionId") else action
        yield PolicyRequest(f"s3:{name}", f"{_bucket_arn(bucket)}/{key}")

    return needs_


def _put(request: NeededPermission) -> Iterator[PolicyRequest]:
    yield from _object("PutObject")(request)
    headers = request.headers or {}
    if "x-amz-tagging" in headers:
        yield from _object("PutObjectTagging")(request)
    source = headers.get("x-amz-copy-source")
    if source:
        quoted, _, version = source.removeprefix("/").partition("?versionId=")
        place, of = unquote(quoted), "Version" if version else ""
        yield PolicyRequest(f"s3:GetObject{of}", _bucket_arn(place))
        bucket, _, key = place.partition("/")
        if _copies_tags(request) and request.tagged and request.tagged(bucket, key, version or None):
            yield PolicyRequest(f"s3:GetObject{of}Tagging", _bucket_arn(place))
            yield from _object("PutObjectTagging")(request)


def _copies_tags(request: NeededPermission) -> bool:
    """Tell whether a copy takes the source's tags along.

    Source: TaggingDirective, https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html; a part has no tags.
    """
    directive = (request.headers or {}).get("x-amz-tagging-directive", "COPY")
    return request.call.operation == "CopyObject" and directive == "COPY"


def _bucket(action: str) -> Needs:
    def needs_(request: NeededPermission) -> Iterator[PolicyRequest]:
        context = tuple(
            (f"s3:{name}", (request.argument(name),))
            for name in ("prefix", "delimiter")
            if request.argument(name)
        )
        yield PolicyRequest(f"s3:{action}", _bucket_arn(_bucket_and_key(request)[0]), context)

    return needs_


_S3: dict[str, Needs] = {
    **dict.fromkeys(("GetObject", "HeadObject"), _object("GetObject", "GetObjectVersion")),
    **dict.fromkeys(
        (
            "PutObject",
            "CopyObject",
            "CreateMultipartUpload",
            "UploadPart",
            "UploadPartCopy",
            "CompleteMultipartUpload",
        ),
        _put,
    ),
    "AbortMultipartUpload": _object("AbortMultipartUpload"),
    "ListParts": _object("ListMultipartUploadParts"),
    "DeleteObject": _object("DeleteObject", "DeleteObjectVersion"),
    "GetObjectTagging": _object("GetObjectTagging", "GetObjectVersionTagging"),
    "PutObjectTagging": _object("PutObjectTagging", "PutObjectVersionTagging"),
    **dict.fromkeys(("ListObjects", "ListObjectsV2", "HeadBucket"), _bucket("ListBucket")),
    "ListObjectVersions": _bucket("ListBucketVersions"),
    "ListMultipartUploads": _bucket("ListBucketMultipartUploads"),
}


# ------------------------------------------------- CloudWatch, its logs, and the others


def _alarms(names: Callable[[NeededPermission], Iterable[str]]) -> Needs:
    def needs_(request: NeededPermission) -> Iterator[PolicyRequest]:
        tags = _request_tags(request.parameters.get("Tags"))
        for name in names(request):
            arn = request.arn("cloudwatch", f"alarm:{name}")
            yield PolicyRequest(f"cloudwatch:{request.call.operation}", arn, tags)
            if tags:
                yield PolicyRequest("cloudwatch:TagResource", arn, tags)

    return needs_


def _describe_alarms(request: NeededPermission) -> Iterator[PolicyRequest]:
    # A listing is about all alarms, also when it asks for some by name; with composite ones among them only `*` allows
    # it: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    composite = "CompositeAlarm" in request.listed("AlarmTypes")
    where = ANY if composite else request.arn("cloudwatch", f"alarm:{ANY}")
    yield PolicyRequest("cloudwatch:DescribeAlarms", where)


_CLOUDWATCH: dict[str, Needs] = {
    "PutMetricAlarm": _alarms(lambda request: [request.parameters["AlarmName"]]),
    "DeleteAlarms": _alarms(lambda request: request.listed("AlarmNames")),
    "DescribeAlarms": _describe_alarms,
    "ListTagsForResource": _on_parameter("cloudwatch", "ResourceARN"),
    "PutMetricData": lambda request: [
        PolicyRequest(
            "cloudwatch:PutMetricData", ANY, (("cloudwatch:namespace", (request.parameters["Namespace"],)),)
        )
    ],
}


_SCALING_ROLE = (
    "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


def _scaling(*also: Callable[[NeededPermission, str], Iterable[PolicyRequest]]) -> Needs:
    """Return the needs of an operation on a scalable target, and of what it does in the caller's name.

    AWS lists the latter for all operations together, so which operation needs which is read off what it does:
    https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-prerequisites.html
    """

    def needs_(request: NeededPermission) -> Iterator[PolicyRequest]:
        given = request.parameters
        context = (
            ("application-autoscaling:service-namespace", (str(given["ServiceNamespace"]),)),
            ("application-autoscaling:scalable-dimension", (str(given["ScalableDimension"]),)),
        )
        # Its number is not known before AWS has given it.
        arn = request.arn("application-autoscaling", "scalable-target/0")
        yield PolicyRequest(f"application-autoscaling:{request.call.operation}", arn, context)
        for needed in also:
            yield from needed(request, str(given["ResourceId"]))

    return needs_


def _to_scale(request: NeededPermission, resource: str) -> Iterator[PolicyRequest]:
    scaled = request.arn("sagemaker", "/".join(resource.split("/")[:2]).lower())
    if resource.startswith("inference-component/"):
        for name in ("DescribeInferenceComponent", "UpdateInferenceComponentRuntimeConfig"):
            yield PolicyRequest(f"sagemaker:{name}", scaled)
    else:
        for name in ("DescribeEndpoint", "UpdateEndpointWeightsAndCapacities"):
            yield PolicyRequest(f"sagemaker:{name}", scaled)
        yield PolicyRequest(
            "sagemaker:DescribeEndpointConfig", request.arn("sagemaker", f"endpoint-config/{ANY}")
        )
    context = (("iam:AWSServiceName", ("sagemaker.application-autoscaling.amazonaws.com",)),)
    role = f"arn:aws:iam::{request.account_id}:{_SCALING_ROLE}"
    yield PolicyRequest("iam:CreateServiceLinkedRole", role, context)


def _to_watch(*operations: str) -> Callable[[NeededPermission, str], Iterable[PolicyRequest]]:
    def needed(request: NeededPermission, resource: str) -> Iterator[PolicyRequest]:
        for name in operations:
            yield PolicyRequest(
                f"cloudwatch:{name}",
                request.arn("cloudwatch", f"alarm:TargetTracking-{resource}-AlarmHigh-0"),
            )
        yield PolicyRequest("cloudwatch:DescribeAlarms", request.arn("cloudwatch", f"alarm:{ANY}"))

    return needed


_AUTO_SCALING: dict[str, Needs] = {
    "RegisterScalableTarget": _scaling(_to_scale),
    "PutScalingPolicy": _scaling(_to_watch("PutMetricAlarm", "DeleteAlarms")),
    "DeregisterScalableTarget": _scaling(_to_watch("DeleteAlarms")),
}


def _log_stream(request: NeededPermission) -> Iterator[PolicyRequest]:
    given = request.parameters
    where = f"log-group:{given['logGroupName']}:log-stream:{given.get('logStreamName', '')}"
    yield PolicyRequest(f"logs:{request.call.operation}", request.arn("logs", where))


def _log_group(request: NeededPermission) -> Iterator[PolicyRequest]:
    where = f"log-group:{request.parameters.get('logGroupName', ANY)}"
    yield PolicyRequest(f"logs:{request.call.operation}", request.arn("logs", where))


# ------------------------------------------------------------------------------ ECR


def _repository_arn(request: NeededPermission, given: Mapping[str, Any], name: str) -> str:
    registry = given.get("registryId", request.account_id)
    return f"arn:aws:ecr:{request.call.region}:{registry}:repository/{name}"


def _repository(request: NeededPermission) -> Iterator[PolicyRequest]:
    # Read once: the parameters of UploadLayerPart are megabytes.
    given = request.parameters
    arn = _repository_arn(request, given, str(given["repositoryName"]))
    tags = _request_tags(given.get("tags"))
    yield PolicyRequest(f"ecr:{request.call.operation}", arn, tags)
    if tags:
        yield PolicyRequest("ecr:TagResource", arn, tags)


def _repositories(request: NeededPermission) -> Iterator[PolicyRequest]:
    given = request.parameters
    for name in given.get("repositoryNames") or (ANY,):
        yield PolicyRequest(f"ecr:{request.call.operation}", _repository_arn(request, given, str(name)))


def _repository_tags(request: NeededPermission) -> Iterator[PolicyRequest]:
    given = request.parameters
    context = _request_tags(given.get("tags"))
    if "tagKeys" in given:
        context = (("aws:TagKeys", tuple(given["tagKeys"])),)
    yield PolicyRequest(f"ecr:{request.call.operation}", str(given["resourceArn"]), context)


_ECR: dict[str, Needs] = {
    **dict.fromkeys(
        (
            "BatchCheckLayerAvailability",
            "BatchDeleteImage",
            "BatchGetImage",
            "CompleteLayerUpload",
            "CreateRepository",
            "DeleteLifecyclePolicy",
            "DeleteRepository",
            "DeleteRepositoryPolicy",
            "DescribeImageReplicationStatus",
            "DescribeImageScanFindings",
            "DescribeImageSigningStatus",
            "DescribeImages",
            "GetDownloadUrlForLayer",
            "GetLifecyclePolicy",
            "GetLifecyclePolicyPreview",
            "GetRepositoryPolicy",
            "InitiateLayerUpload",
            "ListImageReferrers",
            "ListImages",
            "PutImage",
            "PutImageScanningConfiguration",
            "PutImageTagMutability",
            "PutLifecyclePolicy",
            "SetRepositoryPolicy",
            "StartImageScan",
            "StartLifecyclePolicyPreview",
            "UpdateImageStorageClass",
            "UploadLayerPart",
        ),
        _repository,
    ),
    **dict.fromkeys(
        ("BatchGetRepositoryScanningConfiguration", "DescribeRepositories"),
        _repositories,
    ),
    **dict.fromkeys(("ListTagsForResource", "TagResource", "UntagResource"), _repository_tags),
    **dict.fromkeys(
        (
            "CreatePullThroughCacheRule",
            "CreateRepositoryCreationTemplate",
            "DeletePullThroughCacheRule",
            "DeleteRegistryPolicy",
            "DeleteRepositoryCreationTemplate",
            "DeleteSigningConfiguration",
            "DeregisterPullTimeUpdateExclusion",
            "DescribePullThroughCacheRules",
            "DescribeRegistry",
            "DescribeReplicationBackfillResults",
            "DescribeRepositoryCreationTemplates",
            "GetAccountSetting",
            "GetAuthorizationToken",
            "GetRegistryPolicy",
            "GetRegistryScanningConfiguration",
            "GetSigningConfiguration",
            "ListPullTimeUpdateExclusions",
            "ListReplicationBackfills",
            "PutAccountSetting",
            "PutRegistryPolicy",
            "PutRegistryScanningConfiguration",
            "PutReplicationConfiguration",
            "PutSigningConfiguration",
            "RegisterPullTimeUpdateExclusion",
            "StartReplicationBackfill",
            "StopReplicationBackfill",
            "UpdatePullThroughCacheRule",
            "UpdateRepositoryCreationTemplate",
            "ValidatePullThroughCacheRule",
        ),
        _everywhere("ecr"),
    ),
}


# ------------------------------------------------------------- Systems Manager's parameters


def _parameter_arn(request: NeededPermission, name: str) -> str:
    # A version or a label is no part of the ARN, nor is the slash that a path begins with.
    return request.arn("ssm", f"parameter/{name.partition(':')[0].removeprefix('/')}")


def _parameter(field_: str) -> Needs:
    """Return the needs of an operation on the parameter, or the path, that a field of its request names."""

    def needs_(request: NeededPermission) -> Iterator[PolicyRequest]:
        given = request.parameters
        arn, tags = _parameter_arn(request, str(given[field_])), _request_tags(given.get("Tags"))
        yield PolicyRequest(f"ssm:{request.call.operation}", arn, tags)
        if tags and request.call.operation == "PutParameter":
            yield PolicyRequest("ssm:AddTagsToResource", arn, tags)

    return needs_


def _parameters(request: NeededPermission) -> Iterator[PolicyRequest]:
    for name in request.parameters["Names"]:
        yield PolicyRequest(f"ssm:{request.call.operation}", _parameter_arn(request, str(name)))


_SSM: dict[str, Needs] = {
    **dict.fromkeys(
        ("GetParameter", "PutParameter", "DeleteParameter", "GetParameterHistory"), _parameter("Name")
    ),
    **dict.fromkeys(
        ("AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"), _parameter("ResourceId")
    ),
    "GetParametersByPath": _parameter("Path"),
    **dict.fromkeys(("GetParameters", "DeleteParameters"), _parameters),
    "DescribeParameters": _everywhere("ssm"),
}


_SERVICES: Mapping[str, Mapping[str, Needs]] = {
    "sagemaker": _SAGEMAKER,
    "sagemaker-runtime": {
        "InvokeEndpoint": _invoke_endpoint,
        "InvokeEndpointWithResponseStream": _invoke_with_stream,
        "CallWithBearerToken": _call_with_token,
    },
    "lambda": _LAMBDA,
    "s3": _S3,
    "ecr": _ECR,
    "cloudwatch": _CLOUDWATCH,
    "application-autoscaling": _AUTO_SCALING,
    "ssm": _SSM,
    "logs": {
        **dict.fromkeys(
            ("CreateLogGroup", "CreateLogStream", "PutLogEvents", "DescribeLogStreams", "GetLogEvents"),
            _log_stream,
        ),
        **dict.fromkeys(("PutMetricFilter", "DescribeMetricFilters", "DeleteMetricFilter"), _log_group),
    },
    "stepfunctions": {
        **dict.fromkeys(("StartExecution", "ListExecutions"), _on_parameter("states", "stateMachineArn")),
        **dict.fromkeys(
            (
                "DescribeExecution",
                "DescribeStateMachineForExecution",
                "GetExecutionHistory",
                "StopExecution",
            ),
            _on_parameter("states", "executionArn"),
        ),
    },
    "service-quotas": {"GetServiceQuota": _everywhere("servicequotas")},
    "sns": {"Publish": _on_parameter("sns", "TopicArn")},
    # It tells who one is, and needs no permission.
    "sts": {"GetCallerIdentity": _nothing},
}
"""What each operation of each service needs."""
