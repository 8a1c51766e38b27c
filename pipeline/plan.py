"""The deployment plan: names, sizes, and the very requests that will be sent; a pure function of facts.

A plan is data, so that the console shows it before anything is created, and so that a retry sends the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from pipeline import capacity, consumer, containers, fit, limits, naming
from pipeline.footprint import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

TAG_SERVICE = "sealift:service"
TAG_EXECUTION = "sealift:execution"
TAG_ARCHIVE = "sealift:archive"
TAG_VERSION = "sealift:archive-version"
TAG_UPLOADED = "sealift:uploaded-at"
TAG_CONSUMER = "sealift:consumer"
"""Function, variable and, where there is one, alias, with spaces between them; `sealift:consumer-2` and so on has the
next one, since all of them are too long for one tag."""
TAG_CONSUMERS = "sealift:consumers"
"""How many there are: a record that is marked again with fewer has tags of those that were."""

MOST_TAG = 256
"""Characters of a tag's value (service model, TagValue)."""

VARIANT = "AllTraffic"

NO_SWITCH = "none"
AT_ONCE = "at_once"
IN_STEPS = "in_steps"
"""How the consumers are switched."""


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
    max_concurrency: int


class Previous(TypedDict):
    """How the endpoint was that is updated in place: enough to put it back."""

    endpoint_config: str
    max_concurrency: int


class Plan(TypedDict):
    """The output of PlanDeployment; every later state works from it."""

    version: int
    service: str
    execution: str
    hosting: str
    names: Names
    strategy: str
    memory_mb: int
    max_concurrency: int
    asked: Asked
    room: list[capacity.Lowered]
    """Which endpoints of the service are lowered until the new one has answered."""
    updates: Previous | None
    """None: an endpoint is created."""
    serving: str | None
    """The endpoint that the first consumer which calls any calls when the plan is made."""
    rungs: list[str]
    """The rungs of the capacity ladder that were taken."""
    steps: list[capacity.Step]
    """Every step away from what was asked for."""
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
    keep_previous: int
    """Earlier good deployments of the service that are not retired."""
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
    situation: capacity.Situation = field(default_factory=capacity.Situation)
    """What the account's endpoints hold."""
    serving: str | None = None
    """The endpoint that the consumer calls."""


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
    asked = Asked(memory_mb=memory_mb, max_concurrency=request["max_concurrency"])
    identity = naming.digest(
        {
            "archive": [archive["bucket"], archive["key"], archive["version_id"] or archive["etag"]],
            "container": container,
            "role": request["execution_role_arn"],
            "serverless": _serverless(memory_mb, request["max_concurrency"]),
        }
    )
    name = naming.resource_name(request["service"], identity)
    chosen = _choose(name, asked, request, facts)
    config = config_name(name, asked, chosen.memory_mb, chosen.start.concurrency)
    names = Names(model=name, endpoint_config=config, endpoint=chosen.endpoint)
    tags = _tags(facts)
    return Plan(
        version=1,
        service=request["service"],
        execution=facts.execution,
        hosting=request["hosting"],
        names=names,
        strategy=request["strategy"],
        memory_mb=chosen.memory_mb,
        max_concurrency=chosen.start.concurrency,
        asked=asked,
        room=list(chosen.start.room),
        updates=chosen.updates,
        serving=facts.serving,
        rungs=[],
        steps=list(chosen.start.steps),
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
            **_sized(names, _serverless(chosen.memory_mb, chosen.start.concurrency), tags),
        ),
        poll={"interval_s": request["poll_interval_s"], "deadline_s": request["deadline_s"]},
        smoke_test={
            **request["smoke_test"],
            "timeout_s": timeout_s,
        },
        consumers=request["consumers"],
        switch=_switch(request["consumers"]),
        callers=_callers(request["consumers"]),
        keep_previous=request["keep_previous"],
        notes=[*notes(request, facts.model, facts.today), *needed.warnings],
    )


def _switch(consumers: list[dict[str, Any]]) -> str:
    if not consumers:
        return NO_SWITCH
    return IN_STEPS if consumer.in_steps(consumers) else AT_ONCE


def _callers(consumers: list[dict[str, Any]]) -> str:
    named = (
        f"{one['variable']} of {one['function_name']}{':' if one['alias'] else ''}{one['alias'] or ''}"
        for one in consumers
    )
    return ", ".join(named) or "no consumer"


def lower(made: Plan, down: capacity.Down) -> Plan:
    """Return the plan after a step down: another endpoint configuration, all else as it was."""
    config = config_name(made["names"]["model"], made["asked"], down.memory_mb, down.concurrency)
    names: Names = {**made["names"], "endpoint_config": config}
    tags = made["requests"]["create_model"]["Tags"]
    sized = _sized(names, _serverless(down.memory_mb, down.concurrency), tags)
    return {
        **made,
        "names": names,
        "memory_mb": down.memory_mb,
        "max_concurrency": down.concurrency,
        "room": list(down.room),
        "rungs": [*made["rungs"], down.rung.value],
        "steps": [*made["steps"], down.step],
        "requests": {"create_model": made["requests"]["create_model"], **sized},
    }


def ask(made: Plan) -> capacity.Ask:
    """Return what a plan asks of the account's quotas."""
    return capacity.Ask(
        memory_mb=made["memory_mb"],
        concurrency=made["max_concurrency"],
        sizes_mb=tuple(made["fit"]["sizes_mb"]),
        arithmetic=made["arithmetic"],
        room=tuple(made["room"]),
        taken=tuple(made["rungs"]),
    )


def config_name(name: str, asked: Asked, memory_mb: int, concurrency: int) -> str:
    """Return the endpoint configuration's name: the deployment's own, with the sizes when they are not those asked for.

    A configuration cannot be changed, so each size has one of its own; and the sizes in use can be read off it.
    """
    if (memory_mb, concurrency) == (asked["memory_mb"], asked["max_concurrency"]):
        return name
    return f"{name}-{memory_mb}-{concurrency}"


def sizes_of(config: str, name: str, asked: Asked) -> tuple[int, int] | None:
    """Return memory and concurrency of a configuration by its name; None when it is of another deployment."""
    if config == name:
        return asked["memory_mb"], asked["max_concurrency"]
    found = re.fullmatch(re.escape(name) + r"-(\d{4})-(\d{1,3})", config)
    return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class _Chosen:
    endpoint: str
    memory_mb: int
    start: capacity.Start
    updates: Previous | None = None


def _choose(name: str, asked: Asked, request: dict[str, Any], facts: Facts) -> _Chosen:
    """Choose the endpoint and the concurrency that it begins with."""
    situation = facts.situation
    in_place = request["strategy"] == capacity.IN_PLACE
    target = _in_place_target(request["service"], situation, facts.serving) if in_place else None
    endpoint = (target.name if target else request["service"]) if in_place else name
    there = situation.holder(endpoint)
    sizes = sizes_of(there.config, name, asked) if there and there.ours and there.status in _ALIVE else None
    if there and sizes:
        # An earlier run of the very same deployment: what exists is taken over, whatever sizes it came to.
        memory_mb, concurrency = sizes
        return _Chosen(endpoint, memory_mb, capacity.Start(concurrency))
    start = capacity.choose(
        asked["max_concurrency"], situation, serving=facts.serving, replaced=target if in_place else None
    )
    updates = Previous(endpoint_config=target.config, max_concurrency=target.concurrency) if target else None
    return _Chosen(endpoint, asked["memory_mb"], start, updates)


_ALIVE = frozenset({"Creating", "Updating", "SystemUpdating", "InService"})


def _in_place_target(
    service: str, situation: capacity.Situation, serving: str | None
) -> capacity.Holder | None:
    """Return the service's endpoint to update: the one with its bare name, the consumer's, the newest; else None."""
    own = [one for one in situation.holders if one.ours and one.status in _ALIVE]
    ranked = sorted(own, key=lambda one: (one.name == service, one.name == serving, one.created))
    return next(reversed(ranked), None)


def _serverless(memory_mb: int, concurrency: int) -> dict[str, int]:
    return {"MemorySizeInMB": memory_mb, "MaxConcurrency": concurrency}


class _Sized(TypedDict):
    """The requests that depend on the sizes."""

    create_endpoint_config: dict[str, Any]
    create_endpoint: dict[str, Any]
    update_endpoint: dict[str, Any]


def _sized(names: Names, serverless: dict[str, int], tags: list[dict[str, str]]) -> _Sized:
    config, endpoint = names["endpoint_config"], names["endpoint"]
    variant = {"VariantName": VARIANT, "ModelName": names["model"], "ServerlessConfig": serverless}
    return _Sized(
        create_endpoint_config={
            "EndpointConfigName": config,
            "ProductionVariants": [variant],
            "Tags": tags,
        },
        create_endpoint={"EndpointName": endpoint, "EndpointConfigName": config, "Tags": tags},
        update_endpoint={"EndpointName": endpoint, "EndpointConfigName": config},
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
    if facts.request["consumers"]:
        # From the beginning, so that whoever looks at what a failed deployment left knows who may still call it.
        tags |= consumer_tags(facts.request["consumers"])
    return [{"Key": key, "Value": tag_value(value)} for key, value in tags.items()]


def consumer_tags(consumers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the tags that tell who may call what bears them."""
    tags = {TAG_CONSUMERS: str(len(consumers))}
    for number, one in enumerate(consumers, 1):
        told = " ".join([one["function_name"], one["variable"], *filter(None, [one["alias"]])])
        # A name that was cut would be another function's; whose variable it is can then not be told.
        tags[consumer_tag(number)] = told if len(told) <= MOST_TAG else one["function_name"]
    return tags


def consumer_tag(number: int) -> str:
    """Return the key of the tag of a consumer, the first one being 1."""
    return TAG_CONSUMER if number == 1 else f"{TAG_CONSUMER}-{number}"


def tag_value(value: str) -> str:
    """Return a value within what SageMaker takes: letters, digits, spaces and ``_.:/=+-@``, at most 256."""
    return re.sub(r"[^\w .:/=+@-]", "_", value)[:MOST_TAG]
