"""The deployment request as data, after every source of it was merged and checked: its fields and what each means.

Owns the shapes alone, so that a state that reads a request ships none of what makes one. What people may write, with
its bounds and its defaults, is `request_fields`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, NotRequired, TypedDict

from pipeline.json_codec import OlderName, unsaid
from pipeline.state_data.quality_types import RequestedGate

RELOCATE_MODEL_ALIAS: Final = "mend"
"""What the setting `relocate_model` was called: taken from people, and from what an older release hands over."""


class StackDefaults(TypedDict):
    """What the stack puts into the definition, so that a task needs only its event."""

    execution_role_arn: str
    endpoint_role_arns: NotRequired[str]
    """Further roles that a deployment may name, with commas between; empty for none. An execution of an older stack
    does not tell."""
    account_id: str
    region: str
    container: str
    """The profile of deployments that name none."""
    image_uri: str
    """Empty: the container's own image of the region. It belongs to `container`, and to no other profile."""
    consumer_function_name: str
    """Empty: no consumer unless the request names one."""
    consumer_function_pattern: NotRequired[str]
    """Names of the functions that the stack's roles may switch; `*` stands for any characters. The same."""
    artifact_bucket: str
    allow_archive_code: str
    """"true" when deployments may run the code that an archive brings."""
    subnets: NotRequired[str]
    """Those of all endpoints, with commas between; empty for none. The same."""
    security_groups: NotRequired[str]
    network_isolation: NotRequired[str]
    """"true" when no container has a network."""
    volume_kms_key_arns: NotRequired[str]
    """Keys that may encrypt volumes, with commas between, the first by default; empty for none."""
    resource_tags: NotRequired[str]
    """Tags of all that is made, as key=value with commas between; empty for none."""


@dataclass(frozen=True, slots=True)
class ArchiveLocation:
    """Where the archive lies; `version_id` is None for the newest version or an unversioned bucket."""

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        version = f" (version {self.version_id})" if self.version_id else ""
        return f"s3://{self.bucket}/{self.key}{version}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an answer must be like."""

    contains: str | None = unsaid(None)
    matches: str | None = unsaid(None)
    """A regular expression."""
    min_completion_tokens: int = 1
    allow_degenerate: bool = unsaid(default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTest:
    """How the new endpoint is tried."""

    prompts: tuple[str, ...]
    ask_with: str | None = None
    """One of `questions.FORMS`; None for what suits the model, or in a plan that was made before there was a choice."""
    expect: Expectation
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Canary:
    """How an alias moves in two steps."""

    weight: float
    """The part of the alias' calls that the new version gets, above 0 and below 1."""
    bake_s: int
    alarms: tuple[str, ...]
    """Names of the consumer's own."""


@dataclass(frozen=True, slots=True)
class RequestedConsumer:
    """A Lambda function that is switched to the new endpoint."""

    function_name: str
    """A name or an ARN."""
    variable: str
    alias: str | None
    canary: Canary | None
    """None: all of the alias' calls move at once."""
    test_event: dict[str, Any] | None
    """None: the smoke test's first prompt."""
    expect: Expectation
    take_over: bool = False
    """Whether it may be taken from another service. A request that an older release checked does not say."""


@dataclass(frozen=True, slots=True)
class Inference:
    """Settings of the model server."""

    n_ctx: int
    n_batch: int
    n_threads: int | None
    """None: as many as suit the hosting."""
    max_tokens: int
    temperature: float
    top_p: float
    prefix_cache_mb: int
    n_parallel: int | None = unsaid(None)
    """None: as many slots as the hosting's memory holds, and never more than the container has."""
    cache_type: str = unsaid("f16")
    """Of keys and values in the cache."""
    n_gpu_layers: int | None = unsaid(None)
    """Layers on GPUs, the output counted as one; None: all, or of a type that was named as many as fit."""


@dataclass(frozen=True, slots=True)
class RequestedInstanceType:
    """An instance type that the request describes."""

    name: str
    vcpus: int
    memory_gib: float
    usd_per_hour: float
    memory_bandwidth_gb_s: float
    local_disk_gb: float | None = None


@dataclass(frozen=True, slots=True)
class Scaling:
    """Between how many instances, and by which measure."""

    min: int
    max: int
    invocations_per_instance: float | None = None
    """Calls a minute of one instance: more add instances, fewer take some away."""
    concurrent_requests_per_instance: float | None = unsaid(None)
    """Requests that one instance has at the same time, in its place. In a plan one of both is said."""


@dataclass(frozen=True, slots=True)
class Network:
    """Where the containers of instances are."""

    subnets: tuple[str, ...] = ()
    """Empty: in no VPC of the account."""
    security_groups: tuple[str, ...] = ()
    isolated: bool = False
    """Whether they have no network at all."""

    def __bool__(self) -> bool:
        """Whether anything is asked for that serverless does not have."""
        return bool(self.subnets or self.security_groups) or self.isolated


@dataclass(frozen=True, slots=True)
class Request:
    """A deployment's request, with every field of `request_fields.EXECUTION_INPUT`; `consumer` is `consumers` here."""

    archive: ArchiveLocation
    service: str
    hosting: str
    memory_mb: int | None
    """None: as the model needs."""
    max_concurrency: int | None
    instance_type: str | None
    instance_count: int
    auto_scaling: Scaling | None
    allow_instances: bool
    instance_types: tuple[RequestedInstanceType, ...]
    bake_s: int
    strategy: str
    timeout_s: int
    container: str
    image_uri: str | None
    """None: the container's own image of the region."""
    execution_role_arn: str
    code: str
    relocate_model: Annotated[bool, OlderName(RELOCATE_MODEL_ALIAS)]
    inference: Inference
    smoke_test: SmokeTest
    keep_previous: int | None
    """None: as the hosting has it that the plan chooses."""
    deadline_s: int
    poll_interval_s: int
    consumers: tuple[RequestedConsumer, ...]
    default_consumer: bool = False
    """Whether the one in `consumers` is the stack's own, which nobody named. An older release did not say."""
    detailed_observability: bool | None = unsaid(None)
    """None: as suits the container."""
    artifact: str = unsaid("archive")
    """In what the model reaches the endpoint. A request that an older release checked does not say."""
    prefer: str = unsaid("cheapest")
    """Which instance type is taken of those that hold the model."""
    instance_pool: bool = unsaid(default=True)
    """Whether SageMaker may take another type where it has no capacity of the first."""
    provisioned_concurrency: int | None = unsaid(None)
    """Containers that serverless keeps started."""
    min_tokens_per_s: float | None = unsaid(None)
    answer_within_s: float | None = unsaid(None)
    """Seconds of an answer of 150 tokens."""
    container_chosen: bool = unsaid(default=False)
    """Whether nobody named the container, so that on instances AWS's llama.cpp image takes its place."""
    network: Network = unsaid(Network())
    volume_kms_key_arn: str | None = unsaid(None)
    """None: AWS's own key."""
    default_volume_key: bool = unsaid(default=False)
    """Whether that key is the stack's own, which nobody named."""
    tags: dict[str, str] | None = unsaid(None)
    """Of somebody's own; None for none."""
    scale_to_zero: bool = unsaid(default=False)
    """Whether the endpoint hosts an inference component, and all its instances go while nobody calls."""
    expires_after_h: float | None = unsaid(None)
    """Hours that a good deployment lives; None: it stays."""
    quality: RequestedGate | None = None
    """None: the consumers are switched without one. A request that an older release checked does not say."""
