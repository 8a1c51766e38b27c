"""The plan as data, as the states after PlanDeployment read it: its fields and what each means.

Owns the shapes alone, so that a state that reads a plan ships none of what makes one (`planning.plan`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pipeline.json_codec import unsaid
from pipeline.quota_usage import Lowered
from pipeline.state_data.quality_types import PlannedGate
from pipeline.state_data.request_types import RequestedConsumer, Scaling, SmokeTest


@dataclass(frozen=True, slots=True)
class Names:
    """The SageMaker resources of one deployment; they share one name until a quota or an update in place parts them."""

    model: str
    endpoint_config: str
    endpoint: str
    other_models: tuple[str, ...] = unsaid(())
    """Those that further instance types need: whoever has to clear up by hand is told of all that there is."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The parameters of the calls that make an endpoint, as boto3 takes them; it is either created or updated."""

    create_model: dict[str, Any]
    create_endpoint_config: dict[str, Any]
    create_endpoint: dict[str, Any]
    update_endpoint: dict[str, Any]
    create_inference_component: dict[str, Any] | None = None
    """None: the configuration names the model, and the endpoint hosts no component."""
    other_models: tuple[dict[str, Any], ...] = ()
    """ModelName and PrimaryContainer of the models that further instance types need, which are as `create_model` in
    all else; none in plans of releases whose types had one model together."""

    @property
    def create_models(self) -> tuple[dict[str, Any], ...]:
        """The parameters of every CreateModel, the first type's first."""
        return (self.create_model, *({**self.create_model, **one} for one in self.other_models))


@dataclass(frozen=True, slots=True)
class Asked:
    """The sizes before any quota was met; names are made of them, so that a repetition finds its own work."""

    memory_mb: int
    max_concurrency: int | None
    """None: none was requested, and it adapts to what the account has (`quotas.adapt`)."""
    provisioned: int | None = unsaid(None)
    """Containers to keep started, of as many as there may be: a quota that gives fewer lowers both."""


def adapts(asked: Asked | None) -> bool:
    """Return whether no concurrency was requested, so that an endpoint takes what there is and waits for none.

    Args:
        asked: of the plan; None on instances.
    """
    return asked is not None and asked.max_concurrency is None


@dataclass(frozen=True, slots=True)
class AskedInstances:
    """The same on instances."""

    type: str
    count: int
    pool: tuple[str, ...] = unsaid(())
    """The types of the pool, that one the first of them; empty where the type is the only one."""

    @property
    def types(self) -> tuple[str, ...]:
        """The types that the endpoint configuration was to name."""
        return self.pool or (self.type,)


PROMPT_TOKENS: Final = 512
"""Of the prompt whose first token a plan computes the time to."""


@dataclass(frozen=True, slots=True)
class PlacedPart:
    """A part of what lies in a memory."""

    name: str
    bytes: int
    how: str


@dataclass(frozen=True, slots=True)
class OnGpus:
    """Where a model lies on an instance with GPUs: computed, not measured."""

    gpu: str
    count: int
    """Of the instance."""
    layers: int
    """On GPUs, the output counted as one."""
    of_layers: int
    parts: tuple[PlacedPart, ...]
    """Of the fullest GPU."""
    usable_bytes: int
    """Of each GPU: what a driver leaves of its memory."""
    host: tuple[PlacedPart, ...]
    host_bytes: int
    """All of the host's memory."""

    @property
    def used_bytes(self) -> int:
        """What the fullest GPU holds."""
        return sum(part.bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Offer:
    """One instance type that holds a model."""

    name: str
    vcpus: int
    memory_gib: float
    usd_per_hour: float
    tokens_per_s: float
    """Expected of one instance, for one answer at a time."""
    memory: str
    """The arithmetic of the memory."""
    speed: str
    """The arithmetic of the speed."""
    disk: str
    """Where the model lies: on a volume, or on a disk of the type's own."""
    price: str
    """Where the price is from."""
    platform: str = unsaid("x86_64")
    """For what the image must be: one of `instance_types.PLATFORMS`."""
    gpu_layers: int | None = unsaid(None)
    """That lie on GPUs, the output counted as one; None where there are none."""
    first_token_s: float | None = unsaid(None)
    """Expected after a prompt of `PROMPT_TOKENS`; None where that is not known."""
    on_gpus: OnGpus | None = unsaid(None)
    """None of a type without GPUs, and in plans of releases that told it in words alone."""
    slots: int | None = unsaid(None)
    """Requests that it answers at once; None in plans of releases that had as many on every type."""
    model: str | None = unsaid(None)
    """The name of the model that it runs; None where one model is for every type, the deployment's."""


@dataclass(frozen=True, slots=True)
class OnInstances:
    """What an instance endpoint runs on."""

    type: str
    count: int
    asked: AskedInstances
    offers: tuple[Offer, ...]
    """The type itself, then those to take when the account may have none of it, or SageMaker has none; each with its
    arithmetic."""
    usd_per_hour: float
    """Of all instances together, whether anybody calls or not."""
    busy_cpus: int
    """CPUs of one instance that an answer keeps busy."""
    volume_gb: int
    """GB of disk: of a volume, unless the type has a disk of its own."""
    download_s: int
    startup_s: int
    bake_s: int
    """How long SageMaker watches the alarms after an update in place."""
    auto_scaling: Scaling | None = None
    """None: as many instances as there are, until the next deployment; so it was before there was any scaling."""
    slots: int = 1
    """Requests that one instance of the type answers at once; one in plans of releases that knew of no slots."""
    detailed_observability: bool | None = None
    """Of the configuration's MetricsConfig; None where it says nothing, and AWS's own default holds."""
    ami_version: str | None = unsaid(None)
    """The machine's own image, whose driver a CUDA image needs; None for AWS's default."""
    volume_key: str | None = unsaid(None)
    """The ARN of the key that encrypts volumes; None for AWS's own."""
    pooled: bool = unsaid(default=False)
    """Whether the offers are a pool, of which SageMaker takes the first that it has capacity of; in plans of releases
    that knew of no pools, the others are there for quotas alone."""
    to_zero: bool = unsaid(default=False)
    """Whether the endpoint hosts an inference component, and scales between none and `count`."""


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """The image that holds the model: in the stack's own repository."""

    repository: str
    """Its URI, without a tag."""
    tag: str
    """Made of the image below and of the model."""
    base: str
    """The digest of the image that the model's layer is laid on."""
    bucket: str
    """Where the record of it lies, by which executions claim it."""

    @property
    def uri(self) -> str:
        """The image by its tag, as the plan names it before it is made."""
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Previous:
    """How the endpoint was that is updated in place: enough to put it back."""

    endpoint_config: str
    max_concurrency: int
    """0 on instances."""


@dataclass(frozen=True, slots=True)
class CapacityStep:
    """One step away from what was requested, as the execution's output shows it."""

    asked: str
    said: str
    """What AWS said, or what was seen to be in use."""
    did: str


@dataclass(frozen=True, slots=True)
class Poll:
    """How the endpoint is waited for."""

    interval_s: int
    deadline_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSmokeTest(SmokeTest):
    """The smoke test that suits the model; `ask_with` is said."""

    timeout_s: int
    embedding_size: int | None = unsaid(None)
    """Numbers of an embedding; None of a model that makes none."""
    streams: bool = unsaid(False)
    """Whether the answers are asked for as streams."""
    component: bool = unsaid(False)
    """Whether it is the endpoint's inference component that answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The output of PlanDeployment; every later state works from it.

    A field has a default where plans of older releases lack it: an execution may outlive the release that planned it.
    """

    version: int
    service: str
    execution: str
    hosting: str
    names: Names
    strategy: str
    memory_mb: int | None
    """None on instances, as the next two."""
    max_concurrency: int | None
    asked: Asked | None
    instances: OnInstances | None
    """None on serverless."""
    room: tuple[Lowered, ...] = ()
    """Which endpoints of the service are lowered until the new one has answered."""
    updates: Previous | None = None
    """None: an endpoint is created."""
    serving: str | None
    """The endpoint that the first consumer which calls any calls when the plan is made."""
    rungs: tuple[str, ...]
    """The rungs of the capacity ladder that were taken."""
    steps: tuple[CapacityStep, ...]
    """Every step away from what was requested."""
    image_uri: str
    fit: dict[str, Any]
    arithmetic: str
    requests: Requests
    poll: Poll
    smoke_test: PlannedSmokeTest
    consumers: tuple[RequestedConsumer, ...]
    """Whom to switch over, each as the request's `consumer`; empty when there is nobody."""
    switch: str
    """How: `none`, `at_once`, or `in_steps` when at least one consumer has a canary."""
    callers: str
    """The consumers in words, for the notification."""
    taken_from: str | None = None
    """The endpoint of another service that a consumer is taken from, as the request says."""
    image: PlannedImage | None = None
    """The image to make, which holds the model; None where an archive does, or the files as they are."""
    quality: PlannedGate | None = None
    """None: no gate is between the smoke test and the switch."""
    log_form: str | None = None
    """Of a request's line in the containers' log; None where they write none."""
    keep_previous: int
    """Earlier good deployments of the service that are not retired."""
    costs: str = ""
    """What the endpoint costs while nobody calls, in words (`running_cost.Cost.now`)."""
    expires_after_h: float | None = None
    """Hours after its success in which it is taken down by itself; None: it stays."""
    notes: tuple[str, ...]
