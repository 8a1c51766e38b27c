"""Every sentence that the emulated service says, with where it was seen.

Owns wording only. Sources: MODEL = botocore's service model; GUIDE = the SageMaker developer guide; SEEN =
public logs and issues of real accounts; OURS = no real text is known, so the sentence is this project's, and
nothing may match on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXITED = "An error occurred while handling request as the model process exited."
"""SEEN, on serverless, as a FailureReason: the process in the container is gone."""

OUT_OF_MEMORY = "Ping failed due to insufficient memory."
"""SEEN, on serverless: the container was killed before it answered its health check."""

INTERNAL = "Request to service failed. If failure persists after retry, contact customer support."
"""SEEN: SageMaker's answer to a fault of its own; here, of the emulation."""


# Control plane: names


def already_existing(kind: str, arn: str) -> str:
    """Return the refusal of a duplicate create. SEEN; the SDK (session.py) matches its beginning."""
    return f'Cannot create already existing {kind} "{arn}".'


def not_found(kind: str, arn: str) -> str:
    """Return the refusal of an unknown name. SEEN; AWS' Kubernetes operator matches its beginning."""
    return f'Could not find {kind} "{arn}".'


def in_progress(arn: str) -> str:
    """Return the refusal of an update or a delete in Creating, Updating or Deleting. SEEN."""
    return f'Cannot update in-progress endpoint "{arn}".'


def only_delete(arn: str) -> str:
    """Return the refusal to update a Failed endpoint. OURS; the rule is MODEL's (EndpointStatus)."""
    return f'Cannot update endpoint "{arn}" in status Failed: it can only be deleted.'


# Control plane: requests


def constraints(problems: Sequence[str]) -> str:
    """Return the message that lists violated constraints. SEEN."""
    counted = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
    return f"{counted} detected: {'; '.join(problems)}"


def constraint(value: object, path: str, rule: str) -> str:
    """Return one violated constraint; `value` None is a missing member. SEEN."""
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {rule}"


def unsupported_on_serverless(feature: str) -> str:
    """Return the refusal of a feature that serverless endpoints lack. OURS; the list is GUIDE's."""
    return f"{feature} is not supported for serverless endpoints."


def unsupported_by_the_endpoint(member: str) -> str:
    """Return the refusal of what a call names and the endpoint has one of. OURS."""
    return f"{member} is not supported for an endpoint that has one model in one container."


def not_emulated(feature: str) -> str:
    """Return the refusal of what AWS would take and the local cloud does not do. OURS."""
    return f"{feature} is valid in AWS, but the local cloud does not emulate it."


def unsupported_on_instances(feature: str) -> str:
    """Return the refusal of a serverless feature for a variant on instances. OURS."""
    return f"{feature} is not supported for endpoints on instances."


def volume_not_allowed(instance_type: str) -> str:
    """Return the refusal of a volume's size for a type that has a disk of its own. SEEN (autogluon-cloud, pull 50)."""
    return f"VolumeSize parameter is not allowed for the selected Instance type {instance_type}."


def ami_not_allowed(version: str, instance_type: str) -> str:
    """Return the refusal of a machine image for a type without its accelerator. OURS; what each is for is MODEL's."""
    return f"InferenceAmiVersion {version} is not supported for the instance type {instance_type}."


def key_not_allowed(instance_type: str) -> str:
    """Return the refusal of a key for a type that has a disk of its own. OURS.

    MODEL of older SDKs says that "the call to CreateEndpointConfig fails"; the newest only that the key does not
    encrypt such a disk. Until an account tells, the stricter one holds here.
    """
    return f"KmsKeyId is not supported for the selected Instance type {instance_type}: it has local storage."


def type_and_pool() -> str:
    """Return the refusal of a variant that names a type and a pool. OURS; that a pool replaces the type is GUIDE's."""
    return "InstanceType and InstancePools cannot both be given."


def twice_in_pool(member: str, value: object) -> str:
    """Return the refusal of a pool that has a type or a priority twice. OURS, and ASSUMED."""
    return f"InstancePools has the {member} {value} more than once."


def serverless_from_instances(arn: str) -> str:
    """Return the refusal to update an endpoint on instances to a serverless one. OURS; the rule is GUIDE's."""
    return f'Cannot update endpoint "{arn}" from instances to a serverless configuration.'


def not_a_prefix(uri: str) -> str:
    """Return the refusal of an S3Prefix without a slash at its end. OURS; the rule is MODEL's."""
    return f"S3Uri {uri} with S3DataType S3Prefix must end with a forward slash."


def image_too_large(size: int, most: int) -> str:
    """Return the reason when serverless does not take an image. SEEN (deep-learning-containers, issue 4616)."""
    return f"Image size {size} is greater than supported size {most}"


def unusable_image(reason: str) -> str:
    """Return the reason when no container can be made of an image. OURS."""
    return f"The container image cannot be used: {reason}."


def model_data_changed(uri: str, etag: str) -> str:
    """Return the refusal of an object that has another ETag than the model says. OURS; the member is MODEL's."""
    return f"The object at {uri} does not have the ETag {etag}."


def ping_failed(variant: str) -> str:
    """Return the reason when a container on an instance does not come up. SEEN, on instances."""
    return (
        f"The primary container for production variant {variant} did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )


def alarms_in_alarm(names: Sequence[str]) -> str:
    """Return the reason when alarms took a blue/green deployment back. OURS; the rule is GUIDE's."""
    return f"The deployment was rolled back because these alarms went into ALARM: {', '.join(names)}."


def alarms_denied(role: str, error: str) -> str:
    """Return the reason when the role may not look at the alarms. OURS; that it must be allowed to is GUIDE's."""
    return (
        f"The deployment was rolled back because {role} could not look at its alarms: it needs "
        f"cloudwatch:DescribeAlarms. {error}"
    )


def provisioned_above_maximum(provisioned: int, maximum: int) -> str:
    """Return the refusal of ProvisionedConcurrency above MaxConcurrency. OURS; the rule is MODEL's."""
    return f"ProvisionedConcurrency {provisioned} must be less than or equal to MaxConcurrency {maximum}."


def unknown_variant(name: str, arn: str) -> str:
    """Return the refusal of a variant that the endpoint does not have. OURS."""
    return f'Variant "{name}" does not exist in endpoint "{arn}".'


def rescaling_refused(arn: str) -> str:
    """Return the refusal to change a serverless endpoint's concurrency without a new configuration. OURS.

    The refusal itself is assumed: no source says that AWS refuses it, and none shows that it does not.
    """
    return f'ServerlessUpdateConfig is not supported for the variants of endpoint "{arn}".'


def bad_token() -> str:
    """Return the refusal of a NextToken that no listing gave out. OURS."""
    return "The NextToken is not valid."


# Control plane: model data


def model_data_missing(url: str) -> str:
    """Return CreateModel's refusal of an object that is not there. SEEN."""
    return f"Could not find model data at {url}."


def model_data_denied(url: str, role: str, region: str) -> str:
    """Return CreateModel's refusal of an object that it may not read. SEEN."""
    return (
        f'Could not access model data at {url}. Please ensure that the role "{role}" exists and that its '
        'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
        '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the '
        f"object is located in {region}."
    )


def model_data_suffix(url: str) -> str:
    """Return the refusal of model data that is not named .tar.gz. OURS; the rule is MODEL's and GUIDE's."""
    return f"ModelDataUrl {url} must point to a single gzip compressed tar archive (.tar.gz suffix)."


# Images


def non_ecr(uri: str) -> str:
    """Return CreateModel's refusal of an image elsewhere. SEEN (aws/sagemaker-python-sdk 4700)."""
    return f'Using non-ECR image "{uri}" without Vpc repository access mode is not supported.'


def image_elsewhere(uri: str, region: str) -> str:
    """Return CreateModel's refusal of an image of another region. SEEN (sagemaker-pytorch-inference-toolkit 7)."""
    return (
        f'Region of "{uri}" does not match expected region of {region}. '
        "Cross region ECR image pulls are not allowed."
    )


def cannot_pull(role: str, uri: str) -> str:
    """Return CreateModel's refusal of an image that the role may not pull, or that is another account's. SEEN."""
    return f"Role {role} cannot pull {uri}. Ensure that the role exists and the image was granted pull permission."


def image_missing(uri: str) -> str:
    """Return CreateModel's refusal of an image that is not there. SEEN (easy-amazon-sagemaker-deployments 4)."""
    return f"Requested image {uri} not found."


def unsupported_manifest(media_type: str, uri: str) -> str:
    """Return CreateModel's refusal of a manifest that is not Docker's. SEEN (amazon-sagemaker-feedback 180)."""
    return (
        f"Unsupported manifest media type {media_type} for image {uri}. "
        "Ensure that valid manifest media type is used for specified image."
    )


def images_unavailable(variant: str) -> str:
    """Return the reason when an image is not there any more, or its role lost the permission. SEEN, on instances."""
    return (
        f"Please make sure all images included in the model for the production variant {variant} exist, and that "
        "the execution role used to create the model has permissions to access them."
    )


EXEC_FORMAT = "exec /usr/bin/serve: exec format error"
"""SEEN, in containers' logs, of a program for another architecture; the path is OURS."""


def cannot_start(variant: str) -> str:
    """Return the reason when the container's program cannot run at all. SEEN, on instances; ASSUMED on serverless."""
    return (
        f"CannotStartContainerError. Please ensure the model container for variant {variant} starts correctly when "
        "invoked with 'docker run <image> serve'."
    )


# Control plane: inference components


def no_model() -> str:
    """Return the refusal of ManagedInstanceScaling beside a model. SEEN (terraform-provider-aws, pull 45926)."""
    return "ManagedInstanceScaling is only supported for inference component endpoints."


def hosts_need(member: str) -> str:
    """Return the refusal of a configuration without a model that lacks what it needs then. OURS; the rule is SEEN."""
    return f"{member} is required for endpoints to which you plan to deploy inference components."


def copies_at_first() -> str:
    """Return the refusal to create a component without a copy. SEEN (stdapi.ai, issue 43)."""
    return "Inference components copy count an integer larger than 0"


def not_hosting(arn: str) -> str:
    """Return the refusal of a component for an endpoint that has a model of its own. OURS."""
    return f'Endpoint "{arn}" does not host inference components.'


def endpoint_not_in_service(arn: str, status: str) -> str:
    """Return the refusal of a component for an endpoint that is not in service. OURS, and ASSUMED."""
    return f'Cannot create an inference component on endpoint "{arn}" in status {status}.'


def component_busy(verb: str, arn: str, state: str) -> str:
    """Return the refusal to change or delete a component that is changing. SEEN, of the deletion, but for the ARN."""
    return f'Cannot {verb} inference component "{arn}" while it is in state {state}.'


NOT_ENOUGH_HARDWARE = (
    "There is not enough hardware resources on the instances for this endpoint to create a copy of the inference "
    "component."
)
"""SEEN, of a component that reserves more than an instance has to give."""


# Control plane: quotas


def quota_exceeded(quota: str, unit: str, limit: int, used: int, delta: int) -> str:
    """Return the message of ResourceLimitExceeded. SEEN, word for word, with the memory quota and with instances."""
    return (
        f"The account-level service limit '{quota}' is {limit} {unit}, with current utilization of "
        f"{used} {unit} and a request delta of {delta} {unit}. Please use AWS Service Quotas to request an "
        "increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
        "increase for this quota."
    )


# Failure reasons


def no_capacity(*, pooled: bool) -> str:
    """Return the reason when SageMaker has no instance of any type that was asked for.

    SEEN, word for word, of one type; that a pool's reason lacks the advice to have one is ASSUMED.
    """
    reason = (
        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
        "Please retry using a different ML instance type or after some time."
    )
    advice = (
        " Consider configuring InstancePools in your EndpointConfig with multiple instance types for priority-based "
        "fallback to improve capacity availability."
    )
    return reason if pooled else reason + advice


def extraction_failed(url: str) -> str:
    """Return the reason when the archive is not a readable tar.gz. SEEN."""
    return (
        f'Failed to extract model data archive from URL "{url}". '
        "Please ensure that the object located at the URL is a valid tar.gz archive."
    )


def extraction_too_large(url: str) -> str:
    """Return the reason when the disk is too small for the archive. SEEN, on instances."""
    return (
        f'Failed to extract model data archive from URL "{url}". The model data archive is too large. '
        "Please reduce the size of the model data archive or move to an instance type with more memory."
    )


def download_failed(url: str) -> str:
    """Return the reason when the object is gone or denied by the time it is downloaded. SEEN."""
    return (
        f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that '
        "there is an object located at the URL and that the role passed to CreateModel has permissions to "
        "download the object."
    )


def start_too_slow(seconds: float) -> str:
    """Return the reason when nothing answered /ping before the deadline. SEEN, with 180."""
    return f"Unable to successfully stand up your model within the allotted {seconds:g} second timeout"


def process_exited(log_hint: str) -> str:
    """Return the reason when the server ended during start-up. SEEN, on serverless."""
    return model_error("server", 0, "model", EXITED, log_hint)


# Runtime


COMPONENT_NOT_NAMED = (
    "Inference Component Name header is required for endpoints to which you plan to deploy inference components. "
    "Please include Inference Component Name header or consider using SageMaker models."
)
"""SEEN."""

COMPONENT_NOT_ALLOWED = (
    "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy inference "
    "components. Please remove the Inference Component Name header and try again."
)
"""SEEN."""

NO_COPY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
"""SEEN."""


def component_not_found(name: str, endpoint: str) -> str:
    """Return the runtime's refusal of a component that the endpoint does not host. OURS."""
    return f"Inference Component {name} of endpoint {endpoint} not found."


def endpoint_not_found(name: str, account_id: str) -> str:
    """Return the runtime's refusal of a name that does not serve. SEEN."""
    return f"Endpoint {name} of account {account_id} not found."


def oversize_body(request_id: str) -> str:
    """Return the runtime's refusal of a body over the limit. SEEN (sagemaker-python-sdk#4271)."""
    return f"Request {request_id} has oversize body."


def unknown_target_variant(name: str) -> str:
    """Return the refusal of a TargetVariant that the endpoint lacks. OURS."""
    return f"Variant {name} does not exist."


def not_ready(name: str) -> str:
    """Return the message of ModelNotReadyException; its meaning is MODEL's, the words are OURS."""
    return f"The resources of endpoint {name} are still being provisioned. Try again in a few seconds."


def model_error(side: str, status: int, container: str, message: str, log_hint: str) -> str:
    """Return the message of ModelError; `side` is client or server. SEEN."""
    return f'Received {side} error ({status}) from {container} with message "{message}". {log_hint}'


def log_hint(region: str, account_id: str, group: str) -> str:
    """Return the sentence that ends a ModelError: where its logs are. SEEN."""
    return (
        f"See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#logEventViewer:group={group} in account {account_id} for more information."
    )


def invocation_timed_out() -> str:
    """Return what a call says that took longer than the invocation limit. SEEN, on serverless."""
    return (
        "Your invocation timed out while waiting for a response from container primary. Review the latency "
        "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
    )


def no_response(name: str) -> str:
    """Return what a call says whose container was killed for its memory, or hung up. SEEN."""
    return (
        f"Amazon SageMaker could not get a response from the {name} endpoint. "
        "This can occur when CPU or memory utilization is high."
    )


def oversize_response(limit: int) -> str:
    """Return what a call says whose answer is over the limit. OURS; the limit is GUIDE's."""
    return f"The response is larger than {limit} bytes."
