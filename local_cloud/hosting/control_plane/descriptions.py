"""What Describe and List say about a record: JSON in the service model's shapes, times in seconds since 1970.

Owns the outward form, pure. A test holds every answer against the service model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_cloud.hosting.platform.lifecycle import Status
from local_cloud.hosting.platform.resources import Capacity

if TYPE_CHECKING:
    from local_cloud.hosting.platform.resources import (
        Deployment,
        Endpoint,
        EndpointConfig,
        InferenceComponent,
        Instances,
        Model,
    )

_VARIANT_STATUS = {Status.CREATING: "Creating", Status.UPDATING: "Updating", Status.DELETING: "Deleting"}


def model(record: Model) -> dict[str, Any]:
    """Return DescribeModel's answer."""
    container = {"Mode": "SingleModel", **record.container}
    where = (
        {"PrimaryContainer": container}
        if record.request.get("PrimaryContainer")
        else {"Containers": [container]}
    )
    optional = {
        key: record.request[key] for key in ("ExecutionRoleArn", "VpcConfig") if key in record.request
    }
    return {
        "ModelName": record.name,
        "ModelArn": record.arn,
        "CreationTime": record.created,
        "EnableNetworkIsolation": bool(record.request.get("EnableNetworkIsolation")),
        **where,
        **optional,
    }


def endpoint_config(record: EndpointConfig) -> dict[str, Any]:
    """Return DescribeEndpointConfig's answer."""
    return {
        "EndpointConfigName": record.name,
        "EndpointConfigArn": record.arn,
        "ProductionVariants": [{"InitialVariantWeight": 1.0, **record.variant}],
        "CreationTime": record.created,
        "EnableNetworkIsolation": bool(record.request.get("EnableNetworkIsolation")),
        **{
            name: record.request[name] for name in ("ExecutionRoleArn", "VpcConfig") if name in record.request
        },
        **({"KmsKeyId": record.request["KmsKeyId"]} if record.request.get("KmsKeyId") else {}),
        **({} if "ServerlessConfig" in record.variant else {"MetricsConfig": _metrics(record)}),
    }


def _metrics(record: EndpointConfig) -> dict[str, Any]:
    """Return what is published of instances: of a configuration that says nothing, detailed observability is on.

    So it is since 2026-06-17 (https://docs.aws.amazon.com/sagemaker/latest/dg/
    monitoring-detailed-observability-getting-started.html).
    """
    return {"EnableDetailedObservability": True, **record.request.get("MetricsConfig", {})}


def endpoint(record: Endpoint) -> dict[str, Any]:
    """Return DescribeEndpoint's answer: variants once something serves, and what is pending."""
    answer: dict[str, Any] = {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": record.config_name,
        "EndpointStatus": record.status.value,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
    }
    if record.current is not None:
        answer["ProductionVariants"] = [_variant(record, record.current)]
    if record.pending is not None and record.status in (Status.CREATING, Status.UPDATING):
        answer["PendingDeploymentSummary"] = _pending(record, record.pending)
    if record.last_deployment is not None:
        answer["LastDeploymentConfig"] = record.last_deployment
    if record.failure_reason is not None:
        # The service model allows 1024 characters.
        answer["FailureReason"] = record.failure_reason[:1024]
    return answer


def endpoint_row(record: Endpoint) -> dict[str, Any]:
    """Return one row of ListEndpoints."""
    return {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        "EndpointStatus": record.status.value,
    }


def endpoint_config_row(record: EndpointConfig) -> dict[str, Any]:
    """Return one row of ListEndpointConfigs."""
    return {
        "EndpointConfigName": record.name,
        "EndpointConfigArn": record.arn,
        "CreationTime": record.created,
    }


def inference_component(record: InferenceComponent, endpoint_arn: str) -> dict[str, Any]:
    """Return DescribeInferenceComponent's answer."""
    asked = record.request["Specification"]
    specification = {
        key: asked[key]
        for key in ("ModelName", "StartupParameters", "ComputeResourceRequirements")
        if key in asked
    }
    reason = {} if record.failure_reason is None else {"FailureReason": record.failure_reason[:1024]}
    return {
        **inference_component_row(record, endpoint_arn),
        "Specification": specification,
        "RuntimeConfig": {"DesiredCopyCount": record.desired, "CurrentCopyCount": record.current},
        **reason,
    }


def inference_component_row(record: InferenceComponent, endpoint_arn: str) -> dict[str, Any]:
    """Return one row of ListInferenceComponents."""
    return {
        "InferenceComponentName": record.name,
        "InferenceComponentArn": record.arn,
        "EndpointName": record.request["EndpointName"],
        "EndpointArn": endpoint_arn,
        "VariantName": record.deployment.variant_name,
        "InferenceComponentStatus": record.status.value,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
    }


def model_row(record: Model) -> dict[str, Any]:
    """Return one row of ListModels."""
    return {"ModelName": record.name, "ModelArn": record.arn, "CreationTime": record.created}


def _variant(record: Endpoint, current: Deployment) -> dict[str, Any]:
    desired = record.pending or current
    variant: dict[str, Any] = {
        "VariantName": current.variant_name,
        **_images(record, current),
        "CurrentWeight": current.weight,
        "DesiredWeight": desired.weight,
        **_current(current.capacity),
        **_desired(desired.capacity),
    }
    if record.status in _VARIANT_STATUS:
        variant["VariantStatus"] = [{"Status": _VARIANT_STATUS[record.status], "StartTime": record.modified}]
    return variant


def _images(record: Endpoint, current: Deployment) -> dict[str, Any]:
    if current.hosts:
        return {"ManagedInstanceScaling": current.managed} if current.managed else {}
    return {"DeployedImages": [{"SpecifiedImage": current.image, "ResolutionTime": record.created}]}


def _current(capacity: Capacity | Instances) -> dict[str, Any]:
    if isinstance(capacity, Capacity):
        return {"CurrentInstanceCount": 0, "CurrentServerlessConfig": capacity.to_json()}
    pools = [
        {"InstanceType": one, "CurrentInstanceCount": capacity.count if one == capacity.type else 0}
        for one in capacity.pool
    ]
    return {"CurrentInstanceCount": capacity.count, **({"InstancePools": pools} if pools else {})}


def _desired(capacity: Capacity | Instances) -> dict[str, Any]:
    if isinstance(capacity, Capacity):
        return {"DesiredServerlessConfig": capacity.to_json()}
    return {"DesiredInstanceCount": capacity.count}


def _pending(record: Endpoint, pending: Deployment) -> dict[str, Any]:
    return {
        "EndpointConfigName": pending.config_name,
        "StartTime": record.modified,
        "ProductionVariants": [
            {
                "VariantName": pending.variant_name,
                "DesiredWeight": pending.weight,
                **_desired(pending.capacity),
                "VariantStatus": [
                    {"Status": record.stage or _VARIANT_STATUS[record.status], "StartTime": record.modified}
                ],
            }
        ],
    }
