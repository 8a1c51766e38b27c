"""The only door to boto3: the clients, their retries and time-outs, and the log of their calls.

Owns how long a call may take and how often it is tried. Refuses to read what AWS answers: `service_errors` does.
"""

from __future__ import annotations

import logging
from functools import cache, cached_property
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ProfileNotFound

from pipeline import settings
from pipeline.aws import layer_parts, sdk_errors, task_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from botocore.client import BaseClient, ClientMeta
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_sts import STSClient

    class ServiceQuotasClient(Protocol):
        """The one call of Service Quotas that is made."""

        def get_service_quota(self, **request: str) -> Mapping[str, Any]:
            """Return the applied value of a quota."""

    class ECRClient(Protocol):
        """The calls of ECR that are made."""

        def describe_images(self, **request: Any) -> Mapping[str, Any]:
            """Return the images of a repository."""

        def batch_check_layer_availability(self, **request: Any) -> Mapping[str, Any]:
            """Return which layers a repository has."""

        def initiate_layer_upload(self, **request: Any) -> Mapping[str, Any]:
            """Begin the upload of a layer."""

        def upload_layer_part(self, **request: Any) -> Mapping[str, Any]:
            """Send a part of a layer."""

        def complete_layer_upload(self, **request: Any) -> Mapping[str, Any]:
            """Make a layer of the parts that were sent."""

        def get_download_url_for_layer(self, **request: Any) -> Mapping[str, Any]:
            """Return where a layer can be read for a while."""

        def batch_get_image(self, **request: Any) -> Mapping[str, Any]:
            """Return manifests."""

        def put_image(self, **request: Any) -> Mapping[str, Any]:
            """Store a manifest under a tag."""

        def batch_delete_image(self, **request: Any) -> Mapping[str, Any]:
            """Delete tags, or images with all their tags."""

    class SSMClient(Protocol):
        """The calls of Systems Manager's parameters that are made."""

        @property
        def meta(self) -> ClientMeta:
            """What the client is of, with the URL that it calls."""

        def get_parameter(self, **request: Any) -> Mapping[str, Any]:
            """Return a parameter, or one of its versions."""

        def put_parameter(self, **request: Any) -> Mapping[str, Any]:
            """Make a parameter, or a new version of one."""

        def delete_parameter(self, **request: Any) -> Mapping[str, Any]:
            """Delete a parameter with its versions."""

        def list_tags_for_resource(self, **request: Any) -> Mapping[str, Any]:
            """Return the tags of a parameter."""

        def add_tags_to_resource(self, **request: Any) -> Mapping[str, Any]:
            """Add tags, or change them."""

        def remove_tags_from_resource(self, **request: Any) -> Mapping[str, Any]:
            """Take tags away."""

    class CloudWatchClient(Protocol):
        """The calls of CloudWatch that are made."""

        def put_metric_alarm(self, **request: Any) -> Mapping[str, Any]:
            """Make an alarm, or change one."""

        def describe_alarms(self, **request: Any) -> Mapping[str, Any]:
            """Return the alarms that exist."""

        def delete_alarms(self, **request: Any) -> Mapping[str, Any]:
            """Delete alarms."""

        def list_tags_for_resource(self, **request: Any) -> Mapping[str, Any]:
            """Return the tags of an alarm."""

    class PricingClient(Protocol):
        """The calls of AWS Price List that are made."""

        def get_products(self, **request: Any) -> Mapping[str, Any]:
            """Return a page of products with their prices."""

    class BudgetsClient(Protocol):
        """The calls of AWS Budgets that are made."""

        def describe_budget(self, **request: Any) -> Mapping[str, Any]:
            """Return a budget with what is spent of it."""

        def describe_notifications_for_budget(self, **request: Any) -> Mapping[str, Any]:
            """Return what a budget tells when, and whether it did."""

    class AutoScalingClient(Protocol):
        """The calls of Application Auto Scaling that are made."""

        def register_scalable_target(self, **request: Any) -> Mapping[str, Any]:
            """Let something be scaled, or change its bounds."""

        def put_scaling_policy(self, **request: Any) -> Mapping[str, Any]:
            """Make a policy of a target, or change it."""

        def describe_scalable_targets(self, **request: Any) -> Mapping[str, Any]:
            """Return targets with their bounds."""

        def describe_scaling_policies(self, **request: Any) -> Mapping[str, Any]:
            """Return the policies of a target."""

        def deregister_scalable_target(self, **request: Any) -> Mapping[str, Any]:
            """Delete a target with its policies."""


_CREDENTIALS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
"""As the SDK's clients are given them."""
_MAKING: Final = Lock()
"""The SDK's clients may be shared by threads, and its sessions, which make them, may not."""

_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
"""One attempt: the state machine owns retries, and shows each of them in the execution's history."""

_ASIDE = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=3, read_timeout=10)
"""For what is good to know and can be done without: a function must not time out over it."""

_BYTES = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=60)
"""Ranged reads are cheap to repeat and many; a retry of a whole state for one of them is not."""

_INVOKE = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=250)
"""A cold start (180 s) and an answer (60 s) fit; a second attempt would generate the answer twice."""

_LAYERS: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=120
)
"""The same of the parts of a layer; ECR reads a layer of gigabytes whole before it says that it is complete."""

_CONFIGURATION: Final[dict[str, Config]] = {
    "s3": _BYTES.merge(Config(s3={"addressing_style": "path"})),
    "sagemaker": _ONCE,
    "sagemaker-runtime": _INVOKE,
    "service-quotas": _ASIDE,
    "ecr": _ASIDE,
    "lambda": _INVOKE,
    "logs": _ONCE,
    "cloudwatch": _ONCE,
    "ssm": _ONCE,
    "application-autoscaling": _ONCE,
    "stepfunctions": _BYTES,
    "sns": _BYTES,
    "events": _BYTES,
    "sts": _BYTES,
    "iam": _BYTES,
    "cloudformation": _BYTES,
    "pricing": _BYTES,
    "budgets": _ASIDE,
}
"""How patient the client of each service is; S3 with path-style addresses, which every S3 understands."""


def _client(service: str, config: Config | None = None) -> Any:
    """Return an attribute of `Clients`: the client of a service, made when it is first asked for."""
    return cached_property(
        lambda self: _made(
            service,
            self._patience(service, config or _CONFIGURATION[service]),
            self._session,
            self._arguments,
        )
    )


class Clients:
    """The clients of one session, each made when it is first used.

    Args:
        endpoint_url: one URL for every service; None for AWS, or what the environment says
            (AWS_ENDPOINT_URL and its per-service forms are read by the SDK itself).
        region: the region; None for the session's own.
        credentials: the session's own when None.
        profile: whose credentials are used; None for what the settings say, which is the SDK's own choice by default.
        connections: calls of SageMaker's runtime that are made at once at most; the SDK's own number when None.
    """

    s3: S3Client = _client("s3")
    sagemaker: SageMakerClient = _client("sagemaker")
    sagemaker_runtime: SageMakerRuntimeClient = _client("sagemaker-runtime")
    service_quotas: ServiceQuotasClient = _client("service-quotas")
    ecr: ECRClient = _client("ecr")
    registry: ECRClient = _client("ecr", _LAYERS)
    """ECR as well, with the patience that the bytes of an image take; `ecr` is for what can be done without."""
    lambda_: LambdaClient = _client("lambda")
    logs: CloudWatchLogsClient = _client("logs")
    cloudwatch: CloudWatchClient = _client("cloudwatch")
    ssm: SSMClient = _client("ssm")
    autoscaling: AutoScalingClient = _client("application-autoscaling")
    stepfunctions: SFNClient = _client("stepfunctions")
    sns: SNSClient = _client("sns")
    events: EventBridgeClient = _client("events")
    sts: STSClient = _client("sts")
    iam: IAMClient = _client("iam")
    cloudformation: CloudFormationClient = _client("cloudformation")
    pricing: PricingClient = _client("pricing")
    """AWS answers it in three regions alone (`pipeline.operations.price_list`)."""
    budgets: BudgetsClient = _client("budgets")

    def __init__(
        self,
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        credentials: dict[str, str] | None = None,
        profile: str | None = None,
        connections: int | None = None,
    ) -> None:
        self._connections = connections
        self._session = None if credentials else _session(profile or settings.profile())
        self._arguments: dict[str, Any] = {
            "endpoint_url": endpoint_url,
            "region_name": region,
            **(credentials or {}),
        }

    def signing_credentials(self) -> ReadOnlyCredentials:
        """Return the credentials that these clients have, as they are now: of temporary ones those that are good.

        Raises:
            AccessDenied: there are none.
        """
        given = {name.removeprefix("aws_"): self._arguments.get(name) for name in _CREDENTIALS}
        if given["access_key_id"]:
            return ReadOnlyCredentials(
                given["access_key_id"], given["secret_access_key"], given["session_token"]
            )
        try:
            with _MAKING:
                found = (self._session or boto3.DEFAULT_SESSION or boto3.Session()).get_credentials()
            frozen = found.get_frozen_credentials() if found else None
        except BotoCoreError as error:
            raise sdk_errors.translate(error) or error from error
        if frozen is None:
            raise sdk_errors.no_credentials("the AWS SDK found no credentials")
        return frozen

    def _patience(self, service: str, how: Config) -> Config:
        """Return the configuration of a client, with as many connections as are wanted."""
        if self._connections is None or service != "sagemaker-runtime":
            return how
        return how.merge(Config(max_pool_connections=self._connections))


def credentials() -> ReadOnlyCredentials:
    """Return the credentials that the clients of the settings have, as they are now.

    Raises:
        AccessDenied: there are none.
    """
    return Clients().signing_credentials()


def _made(
    service: str, config: Config, session: boto3.Session | None, arguments: dict[str, Any]
) -> BaseClient:
    """Return a client, which takes no answer for AWS's that is another's.

    Raises:
        SealiftError: the SDK's configuration allows none.
    """
    make: Callable[..., BaseClient] = session.client if session else boto3.client
    try:
        with _MAKING:
            client = make(service, config=config, **arguments)
    except BotoCoreError as error:
        raise sdk_errors.translate(error) or error from error
    except ValueError as error:
        raise sdk_errors.unusable_endpoint(error) from error
    client.meta.events.register("before-parse", sdk_errors.check_answered_by_aws)
    if service == "ecr":
        layer_parts.write_directly(client)
    return client


@cache
def log_calls() -> None:
    """Let every client that is made from now on write its calls into the log, whether they succeed or not."""
    # Where the SDK found credentials and URLs is of no interest, and twice as many lines.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    boto3.setup_default_session()
    events = boto3.DEFAULT_SESSION.events  # type: ignore[union-attr]
    events.register("before-call", _begin)
    events.register("after-call", _ended)
    events.register("after-call-error", _unanswered)


_BEGUN = "sealift_begun"


def _begin(context: dict[str, Any], **_more: Any) -> None:
    context[_BEGUN] = monotonic()


def _ended(
    http_response: Any, parsed: Mapping[str, Any], model: Any, context: dict[str, Any], **_more: Any
) -> None:
    task_log.called(
        model.service_model.service_name,
        model.name,
        status=http_response.status_code,
        code=str(parsed.get("Error", {}).get("Code", "")) if http_response.status_code >= 300 else "",
        request=str(parsed.get("ResponseMetadata", {}).get("RequestId", "")),
        seconds=monotonic() - context.get(_BEGUN, monotonic()),
    )


def _unanswered(exception: Exception, context: dict[str, Any], event_name: str, **_more: Any) -> None:
    _, service, operation = event_name.split(".", 2)
    seconds = monotonic() - context.get(_BEGUN, monotonic())
    task_log.called(service, operation, status=0, code=type(exception).__name__, request="", seconds=seconds)


def _session(profile: str | None) -> boto3.Session | None:
    """Return the session of a profile, which the clients of one `Clients` share; None for the SDK's own.

    Raises:
        AccessDenied: there is no such profile.
    """
    if profile is None:
        return None
    try:
        return boto3.Session(profile_name=profile)
    except ProfileNotFound as error:
        raise sdk_errors.no_credentials(str(error)) from error
