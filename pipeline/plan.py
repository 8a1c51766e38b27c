"""The deployment plan: names, sizes, and the very requests that will be sent; a pure function of facts.

A plan is data, so that the console shows it before anything is created, and so that a retry sends the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from pipeline import containers, fit, limits, naming
from pipeline.footprint import Shape

if TYPE_CHECKING:
    from datetime import date

TAG_SERVICE = "sealift:service"
TAG_EXECUTION = "sealift:execution"
TAG_ARCHIVE = "sealift:archive"
TAG_VERSION = "sealift:archive-version"
TAG_UPLOADED = "sealift:uploaded-at"

VARIANT = "AllTraffic"


class Names(TypedDict):
    """The SageMaker resources of one deployment; today they share one name."""

    model: str
    endpoint_config: str
    endpoint: str


class Requests(TypedDict):
    """The parameters of the three calls that make an endpoint, as boto3 takes them."""

    create_model: dict[str, Any]
    create_endpoint_config: dict[str, Any]
    create_endpoint: dict[str, Any]


class Plan(TypedDict):
    """The output of PlanDeployment; every later state works from it."""

    version: int
    service: str
    execution: str
    hosting: str
    names: Names
    memory_mb: int
    max_concurrency: int
    image_uri: str
    fit: dict[str, Any]
    arithmetic: str
    requests: Requests
    poll: dict[str, int]
    smoke_test: dict[str, Any]
    consumer: dict[str, Any] | None
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a plan depends on."""

    request: dict[str, Any]
    """As `documents.request` returns it."""
    archive: dict[str, Any]
    """bucket, key, version_id, etag, size (bytes), extracted_bytes, last_modified (ISO 8601)."""
    model: dict[str, Any]
    """The model part of the archive report."""
    assembly: dict[str, Any]
    """bucket and key of what is deployed: the archive with its inference code."""
    execution: str
    """The execution's ARN; what it makes is tagged with it."""
    region: str
    today: date
    """What the support of images is compared with."""


def plan(facts: Facts) -> Plan:
    """Return the plan for one archive.

    Raises:
        ModelDoesNotFit: when no allowed memory size holds the model.
    """
    request, archive = facts.request, facts.archive
    profile = containers.PROFILES[request["container"]]
    image = request["image_uri"] or profile.image_uri(facts.region)
    if image is None:  # documents.request refuses it; this is for the type checker and the impossible
        raise AssertionError(f"{profile.name}: no image")
    inference = _inference(request["inference"], facts.model)
    timeout_s = min(request["timeout_s"], limits.INVOCATION_S.value)
    needed = needs(request, archive, facts.model)
    memory_mb = fit.choose_memory(
        facts.model["path"], needed, asked_mb=request["memory_mb"], quota_mb=limits.MEMORY_QUOTA_MB.value
    )
    container = {
        "Image": image,
        "ModelDataUrl": f"s3://{facts.assembly['bucket']}/{facts.assembly['key']}",
        "Environment": containers.environment(profile, {**inference, "timeout_s": timeout_s}),
    }
    serverless = {"MemorySizeInMB": memory_mb, "MaxConcurrency": request["max_concurrency"]}
    identity = naming.digest(
        {
            "archive": [archive["bucket"], archive["key"], archive["version_id"] or archive["etag"]],
            "container": container,
            "role": request["execution_role_arn"],
            "serverless": serverless,
        }
    )
    name = naming.resource_name(request["service"], identity)
    tags = _tags(facts)
    return Plan(
        version=1,
        service=request["service"],
        execution=facts.execution,
        hosting=request["hosting"],
        names=Names(model=name, endpoint_config=name, endpoint=name),
        memory_mb=memory_mb,
        max_concurrency=request["max_concurrency"],
        image_uri=image,
        fit=needed.to_json(),
        arithmetic=needed.arithmetic,
        requests=Requests(
            create_model={
                "ModelName": name,
                "PrimaryContainer": container,
                "ExecutionRoleArn": request["execution_role_arn"],
                "Tags": tags,
            },
            create_endpoint_config={
                "EndpointConfigName": name,
                "ProductionVariants": [
                    {"VariantName": VARIANT, "ModelName": name, "ServerlessConfig": serverless},
                ],
                "Tags": tags,
            },
            create_endpoint={"EndpointName": name, "EndpointConfigName": name, "Tags": tags},
        ),
        poll={"interval_s": request["poll_interval_s"], "deadline_s": request["deadline_s"]},
        smoke_test={
            **request["smoke_test"],
            "timeout_s": timeout_s,
        },
        consumer=request["consumer"],
        notes=[*notes(request, facts.model, facts.today), *needed.warnings],
    )


def needs(request: dict[str, Any], archive: dict[str, Any], model: dict[str, Any]) -> fit.Fit:
    """Return what the model needs with the request's settings.

    Args:
        request: as `documents.request` returns it.
        archive: its size and extracted_bytes.
        model: the model part of the archive report.
    """
    inference = _inference(request["inference"], model)
    return fit.fit(
        Shape.from_json(model),
        archive_bytes=archive["size"],
        extracted_bytes=archive["extracted_bytes"],
        n_ctx=inference["n_ctx"],
        n_batch=inference["n_batch"],
        serving=containers.PROFILES[request["container"]].serving,
        prefix_cache_mb=inference["prefix_cache_mb"],
    )


def _inference(asked: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """Return the inference settings, the context length never above what the model was trained for."""
    trained = model.get("context_length")
    return {**asked, "n_ctx": min(asked["n_ctx"], trained) if trained else asked["n_ctx"]}


def notes(request: dict[str, Any], model: dict[str, Any], today: date) -> list[str]:
    """Return what of the request will be otherwise than asked for, and why, and what its container lacks."""
    inference = _inference(request["inference"], model)
    notes = []
    if request["timeout_s"] > limits.INVOCATION_S.value:
        notes.append(
            f"timeout_s {request['timeout_s']} was asked for; "
            f"SageMaker ends every serverless call at {limits.INVOCATION_S.value} s"
        )
    if inference["n_ctx"] < request["inference"]["n_ctx"]:
        notes.append(
            f"n_ctx {request['inference']['n_ctx']} was asked for; the model was trained for {inference['n_ctx']}"
        )
    return [*notes, *containers.notes(containers.PROFILES[request["container"]], today)]


def _tags(facts: Facts) -> list[dict[str, str]]:
    archive = facts.archive
    tags = {
        TAG_SERVICE: facts.request["service"],
        TAG_EXECUTION: facts.execution,
        TAG_ARCHIVE: f"{archive['bucket']}/{archive['key']}",
        TAG_VERSION: archive["version_id"] or archive["etag"],
        TAG_UPLOADED: archive["last_modified"],
    }
    return [{"Key": key, "Value": tag_value(value)} for key, value in tags.items()]


def tag_value(value: str) -> str:
    """Return a value within what SageMaker takes: letters, digits, spaces and ``_.:/=+-@``, at most 256."""
    return re.sub(r"[^\w .:/=+@-]", "_", value)[:256]
