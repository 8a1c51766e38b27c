"""What the service demands of a request beyond its shape: the rules of serverless endpoints.

Owns what AWS refuses on serverless, and what AWS takes but the local cloud does not do; both are refused
here, the first in AWS' sense, the second as such. Nothing that is given is silently ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.images import MEDIA_TYPE, ImageReference
from local_cloud.hosting.platform.refusals import invalid
from pipeline import instance_pools
from pipeline.sizing import instance_types

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from local_cloud.hosting.platform.images import Images
    from local_cloud.hosting.platform.networks import Networks
    from local_cloud.hosting.platform.resources import (
        Capacity,
        EndpointConfig,
        Model,
    )

MEMORY_SIZES_MB = (1024, 2048, 3072, 4096, 5120, 6144)
"""The sizes of a serverless endpoint, in steps of 1 GB (service model, ProductionVariantServerlessConfig)."""

_MODEL = frozenset(
    {
        "ModelName",
        "PrimaryContainer",
        "Containers",
        "ExecutionRoleArn",
        "Tags",
        "VpcConfig",
        "EnableNetworkIsolation",
    }
)
_CONTAINER = frozenset(
    {
        "ContainerHostname",
        "Image",
        "Mode",
        "ModelDataUrl",
        "ModelDataSource",
        "Environment",
        "MultiModelConfig",
    }
)
_CONFIG = frozenset({"EndpointConfigName", "ProductionVariants", "Tags"})
_METRICS = frozenset(
    {"EnableDetailedObservability", "EnableEnhancedMetrics", "MetricPublishFrequencyInSeconds"}
)
PUBLISH_EVERY_S = (10, 30, 60, 120, 180, 240, 300)
"""What MetricPublishFrequencyInSeconds may be (service model, MetricsConfig)."""
_VARIANT = frozenset({"VariantName", "ModelName", "InitialVariantWeight", "ServerlessConfig"})
_ON_INSTANCES = frozenset(
    {
        "VariantName",
        "ModelName",
        "InitialVariantWeight",
        "InstanceType",
        "InstancePools",
        "VariantInstanceProvisionTimeoutInSeconds",
        "InitialInstanceCount",
        "VolumeSizeInGB",
        "ModelDataDownloadTimeoutInSeconds",
        "ContainerStartupHealthCheckTimeoutInSeconds",
        "InferenceAmiVersion",
        "ManagedInstanceScaling",
        "RoutingConfig",
    }
)
_OF_HOSTS = frozenset({"ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation"})
_COMPONENT = frozenset(
    {"InferenceComponentName", "EndpointName", "VariantName", "Specification", "RuntimeConfig", "Tags"}
)
_SPECIFICATION = frozenset({"ModelName", "StartupParameters", "ComputeResourceRequirements"})
_POOL = frozenset({"InstanceType", "Priority", "ModelNameOverride"})
_SOURCE = frozenset({"S3Uri", "S3DataType", "CompressionType", "ETag"})

# Members of a configuration that the developer guide's list for serverless excludes ("Feature exclusions").
_EXCLUDED_IN_CONFIG = {
    "DataCaptureConfig": "Data capture",
    "AsyncInferenceConfig": "Asynchronous inference",
    "ShadowProductionVariants": "A shadow variant",
    "ExplainerConfig": "An explainer",
    "VpcConfig": "VPC configuration",
    "EnableNetworkIsolation": "Network isolation",
    # AWS's guide says of serverless that the key encrypts its copy of the image, and users that it is refused.
    "KmsKeyId": "A KMS key",
}
_EXCLUDED_IN_VARIANT = (
    "InitialInstanceCount",
    "InstanceType",
    "InstancePools",
    "VariantInstanceProvisionTimeoutInSeconds",
    "AcceleratorType",
    "VolumeSizeInGB",
    "ModelDataDownloadTimeoutInSeconds",
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "ManagedInstanceScaling",
    "CoreDumpConfig",
    "EnableSSMAccess",
    "InferenceAmiVersion",
)


def check_model(request: Mapping[str, Any]) -> None:
    """Raise ValidationException for a CreateModel request that is well-formed and wrong."""
    _only(_MODEL, request)
    containers = [*filter(None, [request.get("PrimaryContainer")]), *request.get("Containers", [])]
    if len(containers) != 1:
        raise invalid(f"A model needs exactly one container here; {len(containers)} were given.")
    if "ExecutionRoleArn" not in request:
        raise invalid(
            texts.constraints([texts.constraint(None, "executionRoleArn", "Member must not be null")])
        )
    container = containers[0]
    _only(_CONTAINER, container)
    if "Image" not in container:
        raise invalid("The container definition has neither Image nor ModelPackageName.")
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise invalid("ModelDataUrl and ModelDataSource cannot both be given.")
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    if source is not None:
        _check_source(source)
    size = sum(len(k.encode()) + len(v.encode()) for k, v in container.get("Environment", {}).items())
    if size > 32 * 1024:
        raise invalid(f"The environment is {size} bytes; the maximum is 32768.")
    url = container.get("ModelDataUrl")
    if url is not None and not url.endswith(".tar.gz"):
        raise invalid(texts.model_data_suffix(url))


def _check_source(source: Mapping[str, Any]) -> None:
    _only(_SOURCE, source)
    prefix = source["S3DataType"] == "S3Prefix"
    if prefix and not source["S3Uri"].endswith("/"):
        raise invalid(texts.not_a_prefix(source["S3Uri"]))
    if prefix and source["CompressionType"] == "Gzip":
        raise invalid("CompressionType Gzip needs S3DataType S3Object.")
    if prefix and "ETag" in source:
        # Of which object, the service model does not say.
        raise invalid(texts.not_emulated("An ETag of an S3Prefix"))


def check_config(request: Mapping[str, Any]) -> None:
    """Raise ValidationException for a CreateEndpointConfig request that no endpoint here can have."""
    variants = request["ProductionVariants"]
    if not any("ServerlessConfig" in variant for variant in variants):
        _check_instances_config(request)
        return
    for member, spoken in _EXCLUDED_IN_CONFIG.items():
        if request.get(member):
            raise invalid(texts.unsupported_on_serverless(spoken))
    _only(_CONFIG, request)
    if len(variants) != 1:
        raise invalid(texts.unsupported_on_serverless("More than one production variant"))
    for member in _EXCLUDED_IN_VARIANT:
        if member in variants[0]:
            raise invalid(texts.unsupported_on_serverless(member))
    _only(_VARIANT, variants[0])
    _require(variants[0], "ModelName")


def _check_instances_config(request: Mapping[str, Any]) -> None:
    # Of serverless AWS's guide says neither that it has a MetricsConfig nor that it is refused one.
    hosts = any("ModelName" not in one for one in request["ProductionVariants"])
    _only(_CONFIG | {"MetricsConfig", "KmsKeyId"} | (_OF_HOSTS if hosts else frozenset()), request)
    metrics = request.get("MetricsConfig", {})
    _only(_METRICS, metrics)
    every = metrics.get("MetricPublishFrequencyInSeconds", PUBLISH_EVERY_S[0])
    if every not in PUBLISH_EVERY_S:
        path = "metricsConfig.metricPublishFrequencyInSeconds"
        rule = f"Member must satisfy enum value set: [{', '.join(map(str, PUBLISH_EVERY_S))}]"
        raise invalid(texts.constraints([texts.constraint(every, path, rule)]))
    variants = request["ProductionVariants"]
    if len(variants) != 1:
        raise invalid(texts.not_emulated("More than one production variant"))
    _only(_ON_INSTANCES, variants[0])
    pools = variants[0].get("InstancePools", ())
    for member in (*(() if pools else ("InstanceType",)), "InitialInstanceCount"):
        _require(variants[0], member)
    _check_host(request, variants[0])
    _check_pools(variants[0], pools)
    for type_ in instance_pools.types(variants[0]):
        if "VolumeSizeInGB" in variants[0] and instance_types.has_own_disk(type_):
            raise invalid(texts.volume_not_allowed(type_))
        _check_ami(variants[0].get("InferenceAmiVersion"), type_)
        if request.get("KmsKeyId") and instance_types.has_own_disk(type_):
            raise invalid(texts.key_not_allowed(type_))


def _check_host(request: Mapping[str, Any], variant: Mapping[str, Any]) -> None:
    """Refuse what a variant with a model has not, and one without lacks."""
    if "ModelName" in variant:
        if "ManagedInstanceScaling" in variant:
            raise invalid(texts.no_model())
        return
    if "ExecutionRoleArn" not in request:
        raise invalid(texts.hosts_need("ExecutionRoleArn"))
    for member in ("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds"):
        if member in variant:
            # ASSUMED: a component says it of itself, in its StartupParameters.
            raise invalid(texts.not_emulated(f"{member} of a variant without a model"))


def check_component(request: Mapping[str, Any]) -> None:
    """Raise ValidationException for a CreateInferenceComponent that is refused, or does something else in AWS."""
    _only(_COMPONENT, request)
    for member in ("VariantName", "Specification", "RuntimeConfig"):
        if member not in request:
            path = f"{member[0].lower()}{member[1:]}"
            raise invalid(texts.constraints([texts.constraint(None, path, "Member must not be null")]))
    specification = request["Specification"]
    _only(_SPECIFICATION, specification)
    for member in ("ModelName", "ComputeResourceRequirements"):
        if member not in specification:
            path = f"specification.{member[0].lower()}{member[1:]}"
            raise invalid(texts.constraints([texts.constraint(None, path, "Member must not be null")]))
    if request["RuntimeConfig"]["CopyCount"] < 1:
        raise invalid(texts.copies_at_first())


def check_component_update(request: Mapping[str, Any]) -> None:
    """Raise ValidationException for an update of anything but the number of copies."""
    _only(frozenset({"InferenceComponentName", "RuntimeConfig", "DesiredRuntimeConfig"}), request)
    if "RuntimeConfig" not in request and "DesiredRuntimeConfig" not in request:
        raise invalid("RuntimeConfig or Specification is required.")


RESERVABLE = 4
"""Of an instance's memory less than this part can be reserved: of 16 GiB 4096 MB were SEEN to be refused, and 1024 to
be taken; what lies between is ASSUMED to be refused from the one on."""


def is_too_large(required: Mapping[str, Any], instance_type: str) -> bool:
    """Return whether a copy reserves more than an instance has to give.

    Args:
        required: ComputeResourceRequirements.
        instance_type: of the endpoint; of one that nobody here knows anything is taken.
    """
    known = instance_types.facts(instance_type)
    if known is None:
        return False
    return bool(
        required.get("NumberOfCpuCoresRequired", 0) > known.vcpus
        or required.get("NumberOfAcceleratorDevicesRequired", 0) > known.gpus
        or required["MinMemoryRequiredInMb"] * RESERVABLE >= known.memory_gib * 1024
    )


def _check_pools(variant: Mapping[str, Any], pools: Sequence[Mapping[str, Any]]) -> None:
    if pools and "InstanceType" in variant:
        raise invalid(texts.type_and_pool())
    for pool in pools:
        _only(_POOL, pool)
    for member in ("InstanceType", "Priority"):
        seen = [pool[member] for pool in pools]
        for value in seen:
            if seen.count(value) > 1:
                raise invalid(texts.twice_in_pool(member, value))


def _check_ami(version: str | None, type_: str) -> None:
    """Refuse a machine image whose accelerator the type has not; that it is one that exists its enum has said."""
    known = instance_types.facts(type_)
    if version is not None and ("gpu" not in version or known is None or known.gpu is None):
        raise invalid(texts.ami_not_allowed(version, type_))


def _require(variant: Mapping[str, Any], member: str) -> None:
    if member not in variant:
        path = f"productionVariants.1.member.{member[0].lower()}{member[1:]}"
        raise invalid(texts.constraints([texts.constraint(None, path, "Member must not be null")]))


def check_capacity(capacity: Capacity) -> None:
    """Raise ValidationException for a memory size between the steps, or too much provisioned concurrency."""
    if capacity.memory_mb not in MEMORY_SIZES_MB:
        path = "productionVariants.1.member.serverlessConfig.memorySizeInMB"
        rule = f"Member must satisfy enum value set: [{', '.join(map(str, MEMORY_SIZES_MB))}]"
        raise invalid(texts.constraints([texts.constraint(capacity.memory_mb, path, rule)]))
    if capacity.provisioned is not None and capacity.provisioned > capacity.max_concurrency:
        raise invalid(texts.provisioned_above_maximum(capacity.provisioned, capacity.max_concurrency))


def check_model_is_serverless(model: Model) -> None:
    """Raise ValidationException for a model that is valid and cannot be hosted serverless."""
    container = model.container
    if "ModelDataSource" in container:
        raise invalid(texts.unsupported_on_serverless("ModelDataSource"))
    if container.get("Mode") == "MultiModel" or "MultiModelConfig" in container:
        raise invalid(texts.unsupported_on_serverless("A multi-model container"))
    if model.request.get("VpcConfig"):
        raise invalid(texts.unsupported_on_serverless("VPC configuration"))
    if model.request.get("EnableNetworkIsolation"):
        raise invalid(texts.unsupported_on_serverless("Network isolation"))


def check_model_is_emulated(model: Model) -> None:
    """Raise ValidationException for a model that instances take in AWS and not here."""
    if model.container.get("Mode") == "MultiModel" or "MultiModelConfig" in model.container:
        raise invalid(texts.not_emulated("A multi-model container"))


def check_vpc(request: Mapping[str, Any], networks: Networks) -> None:
    """Raise ValidationException for a VpcConfig of CreateModel by which there can be no network interfaces."""
    config = request.get("VpcConfig")
    if config and (problem := networks.vpc_problem(request["ExecutionRoleArn"], config)):
        raise invalid(problem)


def check_key(config: EndpointConfig, networks: Networks) -> None:
    """Raise ValidationException for a configuration whose key does not exist, or is disabled."""
    key = config.request.get("KmsKeyId")
    if key and (problem := networks.key_problem(key)):
        raise invalid(problem)


def check_image(uri: str, role_arn: str, *, region: str, images: Images) -> None:
    """Raise ValidationException for an image that CreateModel does not take; what runs of it shows at the endpoint."""
    reference = ImageReference.parse(uri)
    if reference is None:
        raise invalid(texts.non_ecr(uri))
    if reference.region != region:
        raise invalid(texts.image_elsewhere(uri, region))
    if not images.may_pull(role_arn, reference):
        raise invalid(texts.cannot_pull(role_arn, uri))
    found = images.find(reference)
    if found is None:
        raise invalid(texts.image_missing(uri))
    if found.media_type != MEDIA_TYPE:
        raise invalid(texts.unsupported_manifest(found.media_type, uri))


def check_endpoint(request: Mapping[str, Any]) -> None:
    """Raise ValidationException for members of CreateEndpoint and UpdateEndpoint that do nothing here."""
    _only(frozenset({"EndpointName", "EndpointConfigName", "Tags"}), request)


def check_update(request: Mapping[str, Any], *, serverless: bool) -> None:
    """Raise ValidationException for an UpdateEndpoint that does nothing here, or asks for guardrails on serverless."""
    _only(frozenset({"EndpointName", "EndpointConfigName", "DeploymentConfig"}), request)
    config = request.get("DeploymentConfig")
    if config is None:
        return
    if serverless:
        # Not settled by any source: every member of it is worded for instances.
        raise invalid(texts.unsupported_on_serverless("DeploymentConfig"))
    _only(frozenset({"BlueGreenUpdatePolicy", "AutoRollbackConfiguration"}), config)
    routing = (config.get("BlueGreenUpdatePolicy") or {}).get("TrafficRoutingConfiguration", {})
    if routing.get("Type") == "LINEAR":
        raise invalid(texts.not_emulated("Linear traffic routing"))
    if routing.get("Type") == "CANARY" and "CanarySize" not in routing:
        raise invalid("CanarySize is required with traffic routing CANARY.")


def check_tags(tags: Collection[Mapping[str, str]], existing: Mapping[str, str] | None = None) -> None:
    """Raise ValidationException when a key occurs twice, or when a resource would get more than 50 tags."""
    keys = [tag["Key"] for tag in tags]
    if len(keys) != len(set(keys)):
        raise invalid("Duplicate tag keys are not allowed.")
    total = len({*keys, *(existing or {})})
    if total > 50:
        raise invalid(f"A resource can have 50 tags; this request would make {total}.")


def _only(known: Collection[str], request: Mapping[str, Any]) -> None:
    # A false boolean or an empty list asks for nothing, and the SDK's callers do send them.
    for member, value in request.items():
        if member not in known and value not in (None, False, [], {}):
            raise invalid(texts.not_emulated(member))
