"""What the service demands of a request beyond its shape: the rules of serverless endpoints.

Owns what AWS refuses on serverless, and what AWS takes but the local cloud does not do; both are refused
here, the first in AWS' sense, the second as such. Nothing that is given is silently ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import texts
from .refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .resources import Capacity, Model

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
_VARIANT = frozenset({"VariantName", "ModelName", "InitialVariantWeight", "ServerlessConfig"})

# Members of a configuration that the developer guide's list for serverless excludes ("Feature exclusions").
_EXCLUDED_IN_CONFIG = {
    "DataCaptureConfig": "Data capture",
    "AsyncInferenceConfig": "Asynchronous inference",
    "ShadowProductionVariants": "A shadow variant",
    "ExplainerConfig": "An explainer",
    "VpcConfig": "VPC configuration",
}
_EXCLUDED_IN_VARIANT = (
    "InitialInstanceCount",
    "InstanceType",
    "AcceleratorType",
    "VolumeSizeInGB",
    "ModelDataDownloadTimeoutInSeconds",
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "ManagedInstanceScaling",
    "CoreDumpConfig",
    "EnableSSMAccess",
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
    size = sum(len(k.encode()) + len(v.encode()) for k, v in container.get("Environment", {}).items())
    if size > 32 * 1024:
        raise invalid(f"The environment is {size} bytes; the maximum is 32768.")
    url = container.get("ModelDataUrl")
    if url is not None and not url.endswith(".tar.gz"):
        raise invalid(texts.model_data_suffix(url))


def check_config(request: Mapping[str, Any]) -> None:
    """Raise ValidationException for a CreateEndpointConfig request that no serverless endpoint can have."""
    for member, spoken in _EXCLUDED_IN_CONFIG.items():
        if request.get(member):
            raise invalid(texts.unsupported_on_serverless(spoken))
    _only(_CONFIG, request)
    variants = request["ProductionVariants"]
    if not any("ServerlessConfig" in variant for variant in variants):
        raise invalid(texts.not_emulated("A variant on instances"))
    if len(variants) != 1:
        raise invalid(texts.unsupported_on_serverless("More than one production variant"))
    for member in _EXCLUDED_IN_VARIANT:
        if member in variants[0]:
            raise invalid(texts.unsupported_on_serverless(member))
    _only(_VARIANT, variants[0])
    if "ModelName" not in variants[0]:
        path = "productionVariants.1.member.modelName"
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


def check_endpoint(request: Mapping[str, Any]) -> None:
    """Raise ValidationException for members of CreateEndpoint and UpdateEndpoint that do nothing here."""
    _only(frozenset({"EndpointName", "EndpointConfigName", "Tags"}), request)


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
