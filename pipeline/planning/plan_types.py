"""The plan as data, as the states after PlanDeployment read it: its fields and what each means.

Owns the shapes alone, so that a state that reads a plan ships none of what makes one (`planning.plan`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from typing import NotRequired

    from pipeline import quota_usage
    from pipeline.archive.s3.bare import PinnedPart
    from pipeline.planning import autoscaling, quotas


class Names(TypedDict):
    """The SageMaker resources of one deployment; they share one name until a quota or an update in place parts them."""

    model: str
    endpoint_config: str
    endpoint: str


class Requests(TypedDict):
    """The parameters of the calls that make an endpoint, as boto3 takes them; the last two are alternatives."""

    create_model: dict[str, Any]
    create_endpoint_config: dict[str, Any]
    create_endpoint: dict[str, Any]
    update_endpoint: dict[str, Any]


class Asked(TypedDict):
    """The sizes before any quota was met; names are made of them, so that a repetition finds its own work."""

    memory_mb: int
    max_concurrency: int | None
    """None: none was requested, and it adapts to what the account has (`quotas.adapt`)."""


class AskedInstances(TypedDict):
    """The same on instances."""

    type: str
    count: int


class OnInstances(TypedDict):
    """What an instance endpoint runs on."""

    type: str
    count: int
    asked: AskedInstances
    offers: list[dict[str, Any]]
    """The type itself, then those to step to when the account may have none of it; each with its arithmetic."""
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
    auto_scaling: autoscaling.Scaling | None
    """None: as many instances as there are, until the next deployment."""


class Previous(TypedDict):
    """How the endpoint was that is updated in place: enough to put it back."""

    endpoint_config: str
    max_concurrency: int
    """0 on instances."""


class Plan(TypedDict):
    """The output of PlanDeployment; every later state works from it."""

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
    room: list[quota_usage.Lowered]
    """Which endpoints of the service are lowered until the new one has answered."""
    updates: Previous | None
    """None: an endpoint is created."""
    serving: str | None
    """The endpoint that the first consumer which calls any calls when the plan is made."""
    rungs: list[str]
    """The rungs of the capacity ladder that were taken."""
    steps: list[quotas.CapacityStep]
    """Every step away from what was requested."""
    image_uri: str
    fit: dict[str, Any]
    arithmetic: str
    requests: Requests
    poll: dict[str, int]
    smoke_test: dict[str, Any]
    consumers: list[dict[str, Any]]
    """Whom to switch over, each as the request's `consumer`; empty when there is nobody."""
    switch: str
    """How: `none`, `at_once`, or `in_steps` when at least one consumer has a canary."""
    callers: str
    """The consumers in words, for the notification."""
    taken_from: str | None
    """The endpoint of another service that a consumer is taken from, as the request says."""
    keep_previous: int
    """Earlier good deployments of the service that are not retired."""
    notes: list[str]


class UploadedArchive(TypedDict):
    """What was uploaded, as it was checked."""

    bucket: str
    key: str
    version_id: str | None
    """None in a bucket without versions, and of a split model, each of whose files has its own."""
    etag: str
    size: int
    extracted_bytes: int
    sha256: str | None
    """None of a bare GGUF, which is not read to its end."""
    format: str
    last_modified: str
    """ISO 8601."""
    parts: NotRequired[list[PinnedPart]]
    """The files of a bare GGUF."""
