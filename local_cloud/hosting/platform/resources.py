"""What the service remembers: models, endpoint configurations, endpoints, as frozen records.

Owns the records, their ARNs and the shelves they stand on. Refuses to own behaviour: what may change into
what is in `lifecycle`, what a request must look like in `requests` and `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.refusals import invalid
from pipeline import instance_pools

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from local_cloud.hosting.platform.lifecycle import ComponentStatus, Status


class ResourceKind(Enum):
    """The kinds of resource: the word in their ARN, and the word in messages."""

    MODEL = ("model", "model")
    ENDPOINT_CONFIG = ("endpoint-config", "endpoint configuration")
    ENDPOINT = ("endpoint", "endpoint")
    INFERENCE_COMPONENT = ("inference-component", "inference component")

    def __init__(self, in_arn: str, spoken: str) -> None:
        self.in_arn = in_arn
        self.spoken = spoken


@dataclass(frozen=True, slots=True)
class AwsAccount:
    """Where the resources are: one account in one region."""

    region: str
    account_id: str

    def arn(self, kind: ResourceKind, name: str) -> str:
        """Return the ARN; SageMaker writes names in lower case there, which makes them case-insensitive."""
        return f"arn:aws:sagemaker:{self.region}:{self.account_id}:{kind.in_arn}/{name.lower()}"

    def log_group(self, endpoint_name: str, component: str | None = None) -> str:
        """Return the CloudWatch log group of an endpoint, or of the component that it hosts."""
        if component is not None:
            return f"/aws/sagemaker/InferenceComponents/{component}"
        return f"/aws/sagemaker/Endpoints/{endpoint_name}"

    def log_group_arn(self, endpoint_name: str, component: str | None = None) -> str:
        """Return the ARN that ModelError carries as LogStreamArn."""
        group = self.log_group(endpoint_name, component)
        return f"arn:aws:logs:{self.region}:{self.account_id}:log-group:{group}"

    def log_hint(self, endpoint_name: str, component: str | None = None) -> str:
        """Return the sentence that says where an endpoint's logs are."""
        return texts.log_hint(self.region, self.account_id, self.log_group(endpoint_name, component))


@dataclass(frozen=True, slots=True)
class Model:
    """A model as CreateModel requested it."""

    name: str
    arn: str
    created: float
    """Seconds since 1970, as all times here."""
    request: Mapping[str, Any]

    @property
    def container(self) -> Mapping[str, Any]:
        """Return the one container definition, by whichever member it came."""
        found: Mapping[str, Any] = self.request.get("PrimaryContainer") or self.request["Containers"][0]
        return found


@dataclass(frozen=True, slots=True)
class Capacity:
    """A variant's ServerlessConfig."""

    memory_mb: int
    max_concurrency: int
    provisioned: int | None = None

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Capacity:
        """Return the capacity of a checked ServerlessConfig."""
        return cls(config["MemorySizeInMB"], config["MaxConcurrency"], config.get("ProvisionedConcurrency"))

    def to_json(self) -> dict[str, int]:
        """Return the ServerlessConfig of this capacity."""
        config = {"MemorySizeInMB": self.memory_mb, "MaxConcurrency": self.max_concurrency}
        return config if self.provisioned is None else {**config, "ProvisionedConcurrency": self.provisioned}


@dataclass(frozen=True, slots=True)
class Instances:
    """What a variant on instances asks for."""

    type: str
    """The one that runs, or will: of a pool, the first that there is capacity of."""
    count: int
    volume_gb: int | None
    download_s: float | None
    startup_s: float | None
    pool: tuple[str, ...] = ()
    """All types of the pool, by priority; none where one type is named."""

    @property
    def types(self) -> tuple[str, ...]:
        """Return the types that may run, the first to take first."""
        return self.pool or (self.type,)

    def provisioned(self, short_of: Collection[str]) -> Instances | None:
        """Return these instances on the first type that there is capacity of; None when there is of none."""
        found = next((one for one in self.types if one not in short_of), None)
        return None if found is None else replace(self, type=found)

    @classmethod
    def parse(cls, variant: Mapping[str, Any]) -> Instances:
        """Return the instances of a checked variant."""
        types = instance_pools.types(variant)
        return cls(
            types[0],
            variant["InitialInstanceCount"],
            variant.get("VolumeSizeInGB"),
            variant.get("ModelDataDownloadTimeoutInSeconds"),
            variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
            types if "InstancePools" in variant else (),
        )


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """An endpoint configuration as CreateEndpointConfig requested it."""

    name: str
    arn: str
    created: float
    request: Mapping[str, Any]

    @property
    def variant(self) -> Mapping[str, Any]:
        """Return the one production variant."""
        found: Mapping[str, Any] = self.request["ProductionVariants"][0]
        return found

    @property
    def hosts(self) -> bool:
        """Return whether it names no model, so that its endpoints host inference components."""
        return "ModelName" not in self.variant

    @property
    def capacity(self) -> Capacity | Instances:
        """Return what the variant runs on."""
        if "ServerlessConfig" in self.variant:
            return Capacity.parse(self.variant["ServerlessConfig"])
        return Instances.parse(self.variant)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What an endpoint runs: a configuration with its model, copied, since both may be deleted meanwhile."""

    config_name: str
    variant_name: str
    weight: float
    capacity: Capacity | Instances
    image: str
    role_arn: str
    """The role that the archive is read with and the log is written with."""
    model_data_url: str | None
    model_source: Mapping[str, Any] | None
    """The S3DataSource of a ModelDataSource."""
    environment: Mapping[str, str]
    isolated: bool = False
    """Whether the container is to have no network."""
    hosts: bool = False
    """Whether it is instances alone, for inference components: no image, no model."""
    component: str | None = None
    """The inference component that it is, on the instances of an endpoint that hosts it."""
    managed: Mapping[str, Any] | None = None
    """The variant's ManagedInstanceScaling."""
    overrides: Mapping[str, Model] = field(default_factory=dict)
    """The models that types of the pool run in the place of the variant's, by type."""
    gpu_gib: float | None = None
    """GiB of each GPU, where the cloud is set to have others than AWS; None for what CUDA says of their kind."""

    @classmethod
    def hosting(cls, config: EndpointConfig) -> Deployment:
        """Return what a configuration without a model is: instances for components."""
        return cls(
            config_name=config.name,
            variant_name=config.variant["VariantName"],
            weight=config.variant.get("InitialVariantWeight", 1.0),
            capacity=config.capacity,
            image="",
            role_arn=config.request["ExecutionRoleArn"],
            model_data_url=None,
            model_source=None,
            environment={},
            isolated=bool(config.request.get("EnableNetworkIsolation")),
            hosts=True,
            managed=config.variant.get("ManagedInstanceScaling"),
        )

    def with_component(self, name: str, model: Model, starts: Mapping[str, Any]) -> Deployment:
        """Return a copy of a component on these instances.

        Args:
            name: the component's.
            model: its.
            starts: its StartupParameters.
        """
        capacity = self.capacity
        if not isinstance(capacity, Instances):
            raise TypeError(f"component {name!r} on serverless")
        return replace(
            self,
            capacity=replace(
                capacity,
                download_s=starts.get("ModelDataDownloadTimeoutInSeconds"),
                startup_s=starts.get("ContainerStartupHealthCheckTimeoutInSeconds"),
            ),
            image=model.container["Image"],
            role_arn=model.request.get("ExecutionRoleArn", self.role_arn),
            model_data_url=model.container.get("ModelDataUrl"),
            model_source=(model.container.get("ModelDataSource") or {}).get("S3DataSource"),
            environment=dict(model.container.get("Environment", {})),
            hosts=False,
            component=name,
        )

    @classmethod
    def of(
        cls, config: EndpointConfig, model: Model, overrides: Mapping[str, Model] | None = None
    ) -> Deployment:
        """Return what `config` makes of `model`, or of the models that types of its pool have of their own."""
        return cls(
            config_name=config.name,
            variant_name=config.variant["VariantName"],
            weight=config.variant.get("InitialVariantWeight", 1.0),
            capacity=config.capacity,
            overrides=overrides or {},
            **_of_model(model),
        )

    def on(self, instances: Instances) -> Deployment:
        """Return the same on instances that there is capacity of, with the model of their type."""
        own = self.overrides.get(instances.type)
        return replace(self, capacity=instances, **(_of_model(own) if own else {}))


def _of_model(model: Model) -> dict[str, Any]:
    """Return the fields of a deployment that its model says."""
    return {
        "image": model.container["Image"],
        "role_arn": model.request["ExecutionRoleArn"],
        "model_data_url": model.container.get("ModelDataUrl"),
        "model_source": (model.container.get("ModelDataSource") or {}).get("S3DataSource"),
        "environment": dict(model.container.get("Environment", {})),
        "isolated": bool(model.request.get("EnableNetworkIsolation")),
    }


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint at one moment."""

    name: str
    arn: str
    created: float
    modified: float
    status: Status
    current: Deployment | None
    """What serves; None until the endpoint has been in service once."""
    pending: Deployment | None
    """What is being launched, or what failed to launch in a Failed endpoint."""
    failure_reason: str | None = None
    stage: str | None = None
    """How far a blue/green deployment is: ActivatingTraffic or Baking."""
    last_deployment: Mapping[str, Any] | None = None
    """The DeploymentConfig of the last update."""

    @property
    def config_name(self) -> str:
        """Return the configuration in use: during an update, and after one that failed, the old one."""
        shown = self.current or self.pending
        if shown is None:
            raise AssertionError(f"endpoint {self.name!r} has no deployment at all")
        return shown.config_name

    @property
    def concurrency(self) -> int:
        """Return the concurrency that this endpoint holds of the account's quota."""
        held = (one.max_concurrency for one in self.held if isinstance(one, Capacity))
        return max(held, default=0)

    @property
    def held(self) -> tuple[Capacity | Instances, ...]:
        """Return what this endpoint holds of the account's quotas: what serves, and what is being brought up."""
        if self.current is None and self.failure_reason is not None:
            return ()
        return tuple(one.capacity for one in (self.current, self.pending) if one is not None)

    def instances(self, of_type: str) -> int:
        """Return how many instances of a type it holds; during an update the old ones and the new ones run."""
        held = [one.count for one in self.held if isinstance(one, Instances) and one.type == of_type]
        # A change of the number alone replaces nothing.
        rescaled = self.current is not None and self.pending is not None
        same = rescaled and self.current.config_name == self.pending.config_name  # type: ignore[union-attr]
        return max(held, default=0) if same else sum(held)

    @property
    def serverless(self) -> bool:
        """Return whether it runs serverless, or would."""
        shown = self.current or self.pending
        return shown is not None and isinstance(shown.capacity, Capacity)


@dataclass(frozen=True, slots=True)
class InferenceComponent:
    """An inference component at one moment."""

    name: str
    arn: str
    created: float
    modified: float
    status: ComponentStatus
    request: Mapping[str, Any]
    deployment: Deployment
    """Of each copy."""
    desired: int
    """Copies."""
    current: int = 0
    failure_reason: str | None = None


class Resource(Protocol):
    """What the kinds have in common."""

    @property
    def name(self) -> str:
        """Return the name as it was given."""

    @property
    def arn(self) -> str:
        """Return the identity."""

    @property
    def created(self) -> float:
        """Return when it was made, in seconds since 1970."""


R = TypeVar("R", bound=Resource)


class Shelf(Generic[R]):
    """The resources of one kind, by ARN: duplicates and unknown names are refused in AWS' words."""

    def __init__(self, kind: ResourceKind, account: AwsAccount) -> None:
        self._kind = kind
        self._account = account
        self._records: dict[str, R] = {}

    def __iter__(self) -> Iterator[R]:
        return iter(tuple(self._records.values()))

    def __contains__(self, arn: str) -> bool:
        return arn in self._records

    def require_free(self, name: str) -> str:
        """Return the ARN for a new resource; raise ValidationException when it is taken."""
        arn = self._account.arn(self._kind, name)
        if arn in self._records:
            raise invalid(texts.already_existing(self._kind.spoken, arn))
        return arn

    def put(self, record: R) -> None:
        """Set the record under its ARN."""
        self._records[record.arn] = record

    def get(self, name: str) -> R:
        """Return the resource; raise ValidationException when there is none."""
        arn = self._account.arn(self._kind, name)
        try:
            return self._records[arn]
        except KeyError:
            raise invalid(texts.not_found(self._kind.spoken, arn)) from None

    def remove(self, name: str) -> R:
        """Take the resource off the shelf; raise ValidationException when there is none."""
        record = self.get(name)
        del self._records[record.arn]
        return record
