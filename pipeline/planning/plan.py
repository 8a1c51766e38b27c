"""The deployment plan: names, sizes, and the very requests that will be sent; a pure function of facts.

A plan is data, so that the console shows it before anything is created, and so that a retry sends the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pipeline import json_codec, limits, model_source, naming, payload, quota_usage
from pipeline.aws import resource_tags
from pipeline.endpoint_status import USABLE
from pipeline.errors import ImageNotFound, InvalidInput, ModelDoesNotFit, Problem, QuotaUsedUp
from pipeline.gguf import purpose
from pipeline.hosting import (
    AT_ONCE,
    AUTO,
    IMAGE_ARTIFACT,
    IN_PLACE,
    IN_STEPS,
    INSTANCE,
    NO_SWITCH,
    NOBODY,
    SERVERLESS,
    kept,
)
from pipeline.planning import (
    artifact_choice,
    autoscaling,
    consumer,
    container_choice,
    container_needs,
    continuity,
    metrics,
    model_settings,
    network,
    plan_notes,
    quotas,
    scale_to_zero,
    sizes,
)
from pipeline.sizing import fit, images, instance_choice, instance_types
from pipeline.sizing.preference import Wish
from pipeline.state_data.plan_types import (
    Asked,
    AskedInstances,
    Names,
    OnInstances,
    Plan,
    Poll,
    Previous,
)
from pipeline.state_data.quality_types import PlannedGate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date

    from pipeline.sizing.serving import OtherServing
    from pipeline.state_data.checked_types import UploadedArchive
    from pipeline.state_data.plan_types import Offer, PlannedImage
    from pipeline.state_data.quality_types import CheckedSuite
    from pipeline.state_data.request_types import Request, RequestedConsumer, RequestedInstanceType, Scaling


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """All that a plan depends on."""

    request: Request
    archive: UploadedArchive
    model: dict[str, Any]
    """The model part of the archive report."""
    assembly: Mapping[str, Any]
    """bucket, key and form of what is deployed: the archive with its inference code."""
    execution: str
    """The execution's ARN; what it makes is tagged with it."""
    region: str
    today: date
    """What the support of images is compared with."""
    base: artifact_choice.BaseImage | None = None
    """The image of the stack's repository that serves the model, and that it may be laid on."""
    situation: quota_usage.Situation = field(default_factory=quota_usage.Situation)
    """What the account's endpoints hold."""
    serving: str | None = None
    """The endpoint that the consumer calls."""
    earlier: Plan | None = None
    """The execution's own plan that this one replaces: what was lowered for it is still to be given back."""
    taken_from: str | None = None
    """The endpoint of another service that a consumer calls, and that the request says to take it from."""
    remarks: tuple[str, ...] = ()
    """Notes of what was seen in the account."""
    container_note: str = ""
    """Why the request has its container; empty where somebody named it."""
    prices: Mapping[str, instance_types.ListedPrice] = field(default_factory=lambda: instance_types.LISTED)
    """Of instances, by type: as AWS's list has them, where it was read."""
    suite: CheckedSuite | None = None
    """Of the quality gate, where the request has one."""


@dataclass(frozen=True, slots=True)
class _Hosted:
    """What depends on where the endpoint runs."""

    names: Names
    models: dict[str, dict[str, Any]]
    """The containers of the models, by their names; the first is the variant's."""
    variant: dict[str, Any]
    """What the configuration's variant asks for beside name and model."""
    memory_mb: int | None = None
    max_concurrency: int | None = None
    asked: Asked | None = None
    instances: OnInstances | None = None
    start: quotas.CapacityStart = field(default_factory=lambda: quotas.CapacityStart(0))
    updates: Previous | None = None
    notes: tuple[str, ...] = ()


def plan(facts: PlanFacts) -> Plan:
    """Return the plan for one archive.

    Raises:
        ModelDoesNotFit: when no allowed size holds the model, or only an instance does and none is allowed.
        ImageNotFound: when the model is to come in an image, and there is none to lay it on.
        InvalidInput: when an endpoint on instances would be updated to serverless, or the other way round.
        QuotaUsedUp: when no concurrency is asked for and others hold all that the account has.
        StackChanged: when it is not the plan that replaces the execution's earlier one.
    """
    below = artifact_choice.below(facts.request, facts.base)
    choice = choose(facts.request, facts.archive, facts.model, below, facts.prices)
    choice.require(facts.model["path"])
    note = choice.container_note or facts.container_note
    # With the container that serves the model where it is hosted.
    facts = replace(facts, request=choice.request, remarks=(*filter(None, (note,)), *facts.remarks))
    request, needed, where = facts.request, choice.needed, choice.hosting
    profile = images.PROFILES[request.container]
    timeout_s = min(request.timeout_s, limits.INVOCATION_S.value)
    holds = artifact_choice.planned(facts.base, facts.assembly) if facts.base and choice.in_image else None
    containers = _containers(facts, choice, holds)
    hosted = (_on_instances if where == INSTANCE else _on_serverless)(facts, containers, choice)
    names = hosted.names
    log_form = profile.log_lines(request.code)
    if log_form:
        # After the naming: the endpoint's name is made of the container's other settings. A model that an earlier plan
        # of the execution has made says what that plan said.
        endpoint = facts.earlier.names.endpoint if facts.earlier else names.endpoint
        for container in hosted.models.values():
            container["Environment"] |= metrics.environment(endpoint)
    if facts.earlier:
        continuity.require_same_name(facts.archive, facts.earlier.names.model, names.model)
    tags = _tags(facts, hosted.instances)
    networked = network.model_fields(request.network) if where == INSTANCE else {}
    to_zero = hosted.instances is not None and hosted.instances.to_zero
    return Plan(
        version=1,
        service=request.service,
        execution=facts.execution,
        hosting=where,
        names=names,
        strategy=request.strategy,
        memory_mb=hosted.memory_mb,
        max_concurrency=hosted.max_concurrency,
        asked=hosted.asked,
        instances=hosted.instances,
        room=quotas.together(facts.earlier.room if facts.earlier else (), hosted.start.room),
        updates=hosted.updates,
        serving=facts.serving,
        rungs=(),
        # One that is planned again and again has the newest; each plan has a few.
        steps=(*(facts.earlier.steps if facts.earlier else ()), *hosted.start.steps)[-sizes.MOST_STEPS :],
        image_uri=next(iter(hosted.models.values()))["Image"],
        fit=needed.to_json(),
        arithmetic=choice.arithmetic,
        requests=sizes.requests(
            [
                {
                    "ModelName": name,
                    "PrimaryContainer": container,
                    "ExecutionRoleArn": request.execution_role_arn,
                    **({} if to_zero else networked),
                    "Tags": tags,
                }
                for name, container in hosted.models.items()
            ],
            names,
            hosted.variant,
            hosted.instances,
            deadline_s=request.deadline_s,
            hosts={"ExecutionRoleArn": request.execution_role_arn, **networked} if to_zero else None,
        ),
        poll=Poll(request.poll_interval_s, request.deadline_s),
        smoke_test=replace(
            model_settings.smoke_test(request, facts.model, timeout_s, where), component=to_zero
        ),
        consumers=model_settings.consumers(request, facts.model),
        image=holds,
        switch=_switch(request.consumers),
        callers=_callers(request.consumers),
        taken_from=facts.taken_from,
        quality=_gate(facts),
        log_form=log_form,
        keep_previous=kept(where, request.keep_previous, provisioned=request.provisioned_concurrency),
        costs=sizes.costs(hosted.instances, request.provisioned_concurrency if where == SERVERLESS else None),
        expires_after_h=request.expires_after_h,
        notes=tuple(
            payload.cut_all(
                [
                    *facts.remarks,
                    *_gated(facts),
                    *plan_notes.notes(request, facts.model, facts.today, where),
                    *plan_notes.image_notes(needed),
                    *choice.notes,
                    *hosted.notes,
                    *plan_notes.serverless_notes(request, needed, where),
                ]
            )
        ),
    )


def _image(facts: PlanFacts, offer: Offer | None) -> str:
    """Return the image that serves the model on a type; on serverless without one."""
    request = facts.request
    profile = images.PROFILES[request.container]
    platform = offer.platform if offer else instance_types.X86_64
    image = request.image_uri or profile.image_uri(facts.region, platform)
    if image is None:
        # deployment_request.request refuses it; this is for the type checker and the impossible
        raise AssertionError(f"{profile.name}: no image")
    return image


def _containers(
    facts: PlanFacts, choice: HostingChoice, holds: PlannedImage | None
) -> tuple[dict[str, Any], ...]:
    """Return the container of each type that is offered, in their order; of the one on serverless.

    Types whose image, slots and layers are alike have one together, with what suits the first of them.
    """
    if choice.hosting == SERVERLESS:
        return (_container(facts, choice, None, holds),)
    alike: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in choice.offers:
        if _kind(one) not in alike:
            alike[_kind(one)] = _container(facts, choice, one, holds)
    return tuple(alike[_kind(one)] for one in choice.offers)


def _kind(offer: Offer) -> tuple[Any, ...]:
    return offer.platform, offer.slots, offer.gpu_layers


def _container(
    facts: PlanFacts, choice: HostingChoice, offer: Offer | None, holds: PlannedImage | None
) -> dict[str, Any]:
    """Return a model's container: image, environment, and where the files lie.

    Args:
        facts: with the request whose container serves the model.
        choice: where it is hosted.
        offer: the instance type; None on serverless.
        holds: the image that holds the model; None where an archive does, or the files as they are.
    """
    request, demand, where = facts.request, choice.needed.demand, choice.hosting
    profile = images.PROFILES[request.container]
    slots = offer.slots or demand.n_parallel if offer else demand.n_parallel
    inference = model_settings.inference(request, facts.model, where, slots)
    timeout_s = min(request.timeout_s, limits.INVOCATION_S.value)
    told = {**asdict(inference), "timeout_s": timeout_s, "checkpoints": demand.checkpoints_kept}
    told |= model_settings.of_llama_server(request.inference, offer.gpu_layers if offer else None)
    if offer:
        tokens = inference.max_tokens
        told["max_waiting"] = instance_choice.waiting(offer, slots, tokens=tokens, timeout_s=timeout_s)
    else:
        # Nothing streams there: what is one to the client comes in one piece, in the time of any other answer.
        told["stream_timeout_s"] = timeout_s
    return {
        "Image": holds.uri if holds else _image(facts, offer),
        **({} if holds else model_source.model_data(facts.assembly)),
        "Environment": {
            **images.environment(profile, told),
            **images.files(profile, facts.model, relocate_model=request.relocate_model),
        },
    }


def _gated(facts: PlanFacts) -> tuple[str, ...]:
    """Return what a person should know of the quality gate."""
    gate = _gate(facts)
    if gate is None:
        return ()
    cases = f"{gate.cases} case{'s' * (gate.cases != 1)} of {gate.suite}"
    return (
        f"quality gate: {cases} are asked before the switch, and {gate.allow_worse} may be worse than before",
    )


def _gate(facts: PlanFacts) -> PlannedGate | None:
    """Return the quality gate; None where none is asked for."""
    wanted, found = facts.request.quality, facts.suite
    if wanted is None or found is None:
        return None
    return PlannedGate(
        suite=found["suite"],
        bucket=found["bucket"],
        key=found["key"],
        cases=found["cases"],
        allow_worse=wanted.allow_worse,
        allow_failed=wanted.allow_failed,
        deadline_s=wanted.deadline_s,
        # An execution's name is its own for as long as the record is kept.
        record_key=f"records/quality/{facts.execution.rpartition(':')[2]}.json",
    )


@dataclass(frozen=True, slots=True)
class HostingChoice:
    """What a model will run on, as far as the model and the request decide it; or why it will not."""

    request: Request
    """With the container that serves the model there."""
    needed: fit.Fit
    hosting: str
    decision: fit.FitDecision
    """The memory size on serverless; on either the problems, and what would fit."""
    offers: tuple[Offer, ...] = ()
    """On instances: the type to take, and those to step to; also where no instance is allowed."""
    container_note: str = ""
    """Why the request has another container than it came with; empty where it has not."""
    not_serverless: str = ""
    """Why a model goes to an instance with hosting `auto`; empty where that was asked for, or it does not go there."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the choice."""
        return (
            (f"on an instance, since serverless will not do: {self.not_serverless}",)
            if self.not_serverless
            else ()
        )

    @property
    def arithmetic(self) -> str:
        """The sum of the memory in a line: of the GPUs where the model lies there."""
        if self.offers and self.offers[0].gpu_layers:
            return self.offers[0].memory
        return self.needed.arithmetic

    @property
    def in_image(self) -> bool:
        """Whether the image holds the model."""
        return self.hosting == SERVERLESS and self.needed.demand.below is not None

    def require(self, subject: str) -> None:
        """Refuse what does not fit.

        Raises:
            ModelDoesNotFit: with the arithmetic.
            ImageNotFound: there is no image to lay the model on.
        """
        problems = self.decision.problems
        if artifact_choice.lacks_image(problems):
            raise ImageNotFound(subject, problems)
        if problems:
            raise ModelDoesNotFit(f"{subject} ({self.arithmetic})", self.decision.problems)


def choose(
    request: Request,
    archive: Mapping[str, Any],
    model: dict[str, Any],
    below: int | None = None,
    prices: Mapping[str, instance_types.ListedPrice] = instance_types.LISTED,
) -> HostingChoice:
    """Return what the model runs on and comes in; with `auto`, serverless where it fits, else an instance if allowed.

    Args:
        request: as `deployment_request.request` returns it.
        archive: its size and extracted_bytes, and its parts where it is a bare GGUF.
        model: the model part of the archive report.
        below: bytes of the image that may hold the model, without it; None where there is none, or it may not.
        prices: of instances, by type.
    """
    served = container_choice.on_instances(request, model)
    on = served.request
    types, why = table(on, prices), _not_serverless(request, model)
    if not why and request.hosting in {SERVERLESS, AUTO}:
        serverless = _serverless(request, archive, model, below, types)
        if request.hosting == SERVERLESS or serverless.decision.memory_mb is not None:
            model_settings.require_settings(request)
            return serverless
        why = "; ".join(
            f"{problem.seen}, wanted {problem.wanted}" for problem in serverless.decision.problems
        )
    model_settings.require_settings(on)
    return replace(_on_instance_types(on, archive, model, types, why), container_note=served.note)


def _not_serverless(request: Request, model: Mapping[str, Any]) -> str:
    """Return what keeps a model from serverless with hosting `auto`, whatever its size; empty where nothing does."""
    if request.hosting != AUTO:
        return ""
    if request.network:
        return network.NO_SERVERLESS
    if images.is_for_gpus(images.PROFILES[request.container], request.image_uri):
        return images.NO_GPU
    beside = container_choice.left_out(request, model)
    if beside is None:
        return ""
    return (
        f"{beside['path']!r} lies beside the model, and container {request.container!r} loads nothing beside one "
        f"there; {images.CUSTOM.name!r}, Sealift's own image, does, and `{images.PUSH}` puts it into the stack"
    )


def _on_instance_types(
    request: Request,
    archive: Mapping[str, Any],
    model: dict[str, Any],
    types: Sequence[instance_types.Instance],
    why: str,
) -> HostingChoice:
    """Return the instance types for a model.

    Args:
        request: with the container that serves it there.
        archive: as `choose` takes it.
        model: the same.
        types: those that the container has an image for.
        why: it does not run on serverless; empty where that was not asked for.
    """
    needed, slots = model_settings.needs(request, archive, model), model_settings.slots_asked(request)
    if missing := _not_loaded(request, model) or _no_image(request, types):
        return HostingChoice(request, needed, INSTANCE, fit.FitDecision(None, (missing,)))
    try:
        needed, offers = instance_choice.choose_slots(
            str(model["path"]), needed, types, request.instance_type, slots, _wish(request)
        )
    except ModelDoesNotFit as refusal:
        decision = fit.FitDecision(None, refusal.problems)
        return HostingChoice(request, needed.with_slots(slots or 1), INSTANCE, decision)
    if request.hosting == INSTANCE or request.allow_instances:
        return HostingChoice(request, needed, INSTANCE, fit.FitDecision(None), offers, not_serverless=why)
    problem = Problem(
        "InstanceNotAllowed",
        f"serverless will not do: {why}",
        '"allow_instances": true, since an instance costs money whether anybody calls it or not',
        f"set allow_instances to true for {instance_choice.describe(offers[0], request.instance_count)}",
    )
    return HostingChoice(request, needed, INSTANCE, fit.FitDecision(None, (problem,)), offers)


def _not_loaded(request: Request, model: Mapping[str, Any]) -> Problem | None:
    """Return what is wrong where something beside a model is not loaded by what serves it."""
    beside = container_choice.left_out(request, model)
    if beside is None:
        return None
    problem = purpose.unaccompanied(beside["kind"], request.container)
    return replace(problem, seen=f"{beside['path']!r}: {problem.seen}")


def _no_image(request: Request, types: Sequence[instance_types.Instance]) -> Problem | None:
    """Return what is wrong with a type that was requested by name, where the container has no image for it."""
    asked, profile = request.instance_type, images.PROFILES[request.container]
    platform = instance_types.platform_of(asked)
    brought = any(one.name == asked for one in types)
    if asked is None or brought or platform in images.platforms(profile, request.image_uri, asked):
        return None
    others = [repr(one.name) for one in images.PROFILES.values() if platform in one.of_platforms]
    what = {instance_types.CUDA: "NVIDIA's GPUs", instance_types.ARM64: "arm64 CPUs"}.get(platform, platform)
    return Problem(
        "NoImageForType",
        f"instance_type {asked!r} has {what}, and container {profile.name!r} has no image for them here",
        f"a container that has one: {' or '.join(others)}",
        "name that in 'container' (it is asked with messages alone), or another type in 'instance_type'; an image of "
        'your own for GPUs has "cuda" in its name (inference/Dockerfile.cuda)',
    )


def wants_image(request: Request, archive: Mapping[str, Any], model: dict[str, Any]) -> bool:
    """Tell whether the plan hangs on the image that the model may be laid on; takes what `choose` does."""
    if not artifact_choice.may_be_image(request):
        return False
    if request.artifact == IMAGE_ARTIFACT or archive.get("parts"):
        return True
    return artifact_choice.breaks_a_limit(model_settings.needs(request, archive, model))


def _serverless(
    request: Request,
    archive: Mapping[str, Any],
    model: dict[str, Any],
    below: int | None,
    types: Sequence[instance_types.Instance],
) -> HostingChoice:
    """Return what the model needs on serverless, in an archive or in the image, and the memory size if there is one."""
    bare = bool(archive.get("parts"))

    def sized(below: int | None) -> HostingChoice:
        needed = model_settings.needs(request, archive, model, below)
        lighter = container_needs.lighter(request)
        needed, decision = serverless_size(needed, request.memory_mb, types, lighter)
        return HostingChoice(request, needed, SERVERLESS, decision)

    packed = sized(None)
    if below is None:
        missing = (
            artifact_choice.no_base(request)
            if request.artifact == IMAGE_ARTIFACT
            else artifact_choice.bare_without_image(request)
        )
        refused = bare or request.artifact == IMAGE_ARTIFACT
        return replace(packed, decision=fit.FitDecision(None, (missing,))) if refused else packed
    imaged = sized(below)
    takes = artifact_choice.takes_image(request, None if bare else packed.needed, imaged.needed)
    return imaged if takes else packed


def serverless_size(
    needed: fit.Fit,
    asked_mb: int | None,
    types: Sequence[instance_types.Instance],
    lighter: Sequence[OtherServing] = (),
) -> tuple[fit.Fit, fit.FitDecision]:
    """Return what the model needs on serverless, and the size; with checkpoints where they cost none.

    They save a chat's next turn its prompt. For that no larger size is paid, and no model refused.
    """
    quota = limits.MEMORY_QUOTA_MB.value
    plain = needed.without_checkpoints()
    kept, without = (
        fit.decide(one, asked_mb=asked_mb, quota_mb=quota, table=types, lighter=lighter)
        for one in (needed, plain)
    )
    if kept.memory_mb is not None and kept.memory_mb == without.memory_mb:
        return needed, kept
    return plain, without


def table(
    request: Request, prices: Mapping[str, instance_types.ListedPrice] = instance_types.LISTED
) -> tuple[instance_types.Instance, ...]:
    """Return the instance types that the request's container has an image for, the request's own among them.

    Where a volume's key is asked for, those are left out whose disk it does not encrypt.
    """
    profile = images.PROFILES[request.container]
    platforms = images.platforms(profile, request.image_uri, request.instance_type)
    own = (_instance(one, platforms) for one in request.instance_types)
    found = instance_types.table(own, prices, platforms)
    if request.volume_kms_key_arn is None or request.default_volume_key:
        return found
    return tuple(one for one in found if not instance_types.has_own_disk(one.name))


def _wish(request: Request) -> Wish:
    return Wish(request.prefer, request.min_tokens_per_s, request.answer_within_s)


def _instance(own: RequestedInstanceType, platforms: Collection[str]) -> instance_types.Instance:
    """Return a type that a request brings; one that is known keeps its GPUs, where the container can use them."""
    known = instance_types.facts(own.name) if instance_types.CUDA in platforms else None
    said = "as the request says"
    return instance_types.Instance(
        name=own.name,
        vcpus=own.vcpus,
        memory_gib=own.memory_gib,
        usd_per_hour=own.usd_per_hour,
        bandwidth_gb_s=own.memory_bandwidth_gb_s,
        how=said,
        local_disk_gb=own.local_disk_gb,
        source=said,
        gpu=known.gpu if known else None,
        gpus=known.gpus if known else 0,
    )


def _name(
    facts: PlanFacts,
    container: Mapping[str, Any],
    target: quota_usage.Holder | None,
    sized: Mapping[str, Any],
) -> str:
    archive, request = facts.archive, facts.request
    updated = _updated_name(request, target)
    if updated and facts.earlier:
        # Settled by the first plan: what an execution makes keeps its name, whatever becomes of the account.
        updated = facts.earlier.names.endpoint
    # A container whose lines say where they were written is another one in another endpoint.
    told = images.PROFILES[request.container].log_lines(request.code) is not None
    identity = naming.digest(
        {
            "archive": [archive["bucket"], archive["key"], archive["version_id"] or archive["etag"]],
            "container": container,
            "role": request.execution_role_arn,
            **({"endpoint": updated} if updated and told else {}),
            **network.identity(request, INSTANCE if "instances" in sized else SERVERLESS),
            **sized,
        }
    )
    return naming.resource_name(request.service, identity)


def _on_serverless(facts: PlanFacts, containers: Sequence[dict[str, Any]], choice: HostingChoice) -> _Hosted:
    request, memory_mb, (container,) = facts.request, choice.decision.memory_mb, containers
    if memory_mb is None:  # `require` has refused it; this is for the type checker and the impossible
        raise AssertionError("no memory size")
    asked = Asked(memory_mb, request.max_concurrency, request.provisioned_concurrency)
    target = _in_place_target(facts)
    sized = sizes.serverless_config(memory_mb, asked.max_concurrency, asked.provisioned)
    name = _name(facts, container, target, {"serverless": sized})
    chosen = _choose(name, asked, target, facts)
    config = chosen.config or sizes.config_name(name, asked, chosen.memory_mb, chosen.start.concurrency)
    return _Hosted(
        names=Names(model=name, endpoint_config=config, endpoint=chosen.endpoint),
        models={name: container},
        variant={
            "ServerlessConfig": sizes.serverless_config(
                chosen.memory_mb, chosen.start.concurrency, asked.provisioned
            )
        },
        memory_mb=chosen.memory_mb,
        max_concurrency=chosen.start.concurrency,
        asked=asked,
        start=chosen.start,
        updates=chosen.updates,
    )


def _on_instances(facts: PlanFacts, containers: Sequence[dict[str, Any]], choice: HostingChoice) -> _Hosted:
    request, needed, found = facts.request, choice.needed, choice.offers
    types = sizes.types_of(found, pooled=request.instance_pool and not request.scale_to_zero)
    asked = AskedInstances(
        type=found[0].name, count=request.instance_count, pool=types if len(types) > 1 else ()
    )
    scales = {"auto_scaling": json_codec.encode(request.auto_scaling)} if request.auto_scaling else {}
    scales |= {"scale_to_zero": True} if request.scale_to_zero else {}
    watched = request.detailed_observability
    observes = {} if watched is None else {"detailed_observability": watched}
    # Another scaling is another deployment, as another number of instances is: tags and requests fit together then.
    target = _in_place_target(facts)
    own = {"others": [one for one in containers if one != containers[0]]} if _differ(containers) else {}
    sized = {"instances": json_codec.encode(asked), **scales, **observes, **own}
    name = _name(facts, containers[0], target, sized)
    found = _with_models(found, name, containers)
    _check_same_hosting(target, INSTANCE)
    _check_not_scaled(target)
    endpoint = _updated_name(request, target) or name
    there = facts.situation.holder(endpoint)
    left: Sequence[Offer] = found
    count, updates = asked.count, None
    taken_over = _instances_of(there.config, name, asked, found) if there and _lives(there) else None
    if taken_over:
        # An earlier run of the very same deployment: what exists is taken over, whatever it came to.
        left, count = taken_over
    elif target:
        updates = Previous(endpoint_config=target.config, max_concurrency=0)
    on = _instances_plan(needed, request, asked, left, count)
    of = {one.name: container for one, container in zip(found, containers, strict=True)}
    models = {one.model or name: of[one.name] for one in left}
    names = Names(
        model=name,
        endpoint_config=sizes.instances_config_name(
            name, asked, sizes.types_of(left, pooled=on.pooled), count
        ),
        endpoint=endpoint,
        other_models=tuple(one for one in models if one != name),
    )
    return _Hosted(
        names=names,
        models=models,
        variant=sizes.instance_variant(on),
        instances=on,
        updates=updates,
        notes=plan_notes.instance_notes(request, needed, left, count),
    )


def _differ(containers: Sequence[Mapping[str, Any]]) -> bool:
    return any(one != containers[0] for one in containers)


def _with_models(
    offers: Sequence[Offer], deployment: str, containers: Sequence[Mapping[str, Any]]
) -> tuple[Offer, ...]:
    """Return the types with the names of their models, where one is not for all: the first type's is the deployment's.

    Args:
        offers: the types.
        deployment: its name.
        containers: of each type, in their order.
    """
    if not _differ(containers):
        return tuple(offers)
    return tuple(
        replace(
            one,
            model=deployment if container == containers[0] else naming.model_name(deployment, container),
        )
        for one, container in zip(offers, containers, strict=True)
    )


def _instances_plan(
    needed: fit.Fit,
    request: Request,
    asked: AskedInstances,
    left: Sequence[Offer],
    count: int,
) -> OnInstances:
    chosen, settings = left[0], instance_choice.settings(needed)
    threads = request.inference.n_threads
    return OnInstances(
        type=chosen.name,
        count=count,
        asked=asked,
        offers=tuple(left),
        usd_per_hour=round(count * chosen.usd_per_hour, 6),
        # What GPUs compute one thread waits for.
        busy_cpus=1 if chosen.gpu_layers else min(threads or chosen.vcpus, chosen.vcpus),
        volume_gb=settings.volume_gb,
        download_s=settings.download_s,
        startup_s=settings.startup_s,
        bake_s=request.bake_s,
        # A fleet may be of all types of its pool: what the one with the fewest slots can do is the measure of each.
        auto_scaling=_scaling(request, count, sizes.slots(left, pooled=bool(asked.pool))),
        slots=chosen.slots or needed.demand.n_parallel,
        detailed_observability=_detailed_observability(request),
        ami_version=images.CUDA_AMI if chosen.platform == instance_types.CUDA else None,
        volume_key=request.volume_kms_key_arn,
        pooled=bool(asked.pool),
        to_zero=request.scale_to_zero,
    )


def _scaling(request: Request, count: int, slots: int) -> Scaling | None:
    if request.scale_to_zero:
        return scale_to_zero.scaling(count, slots)
    return autoscaling.measured(request.auto_scaling, slots) if request.auto_scaling else None


def _detailed_observability(request: Request) -> bool | None:
    """Return what the configuration says of it: as requested, else true where there is a /metrics to scrape."""
    if request.detailed_observability is not None:
        return request.detailed_observability
    return True if model_settings.serves_metrics(request) else None


def _check_same_hosting(target: quota_usage.Holder | None, wanted: str) -> None:
    """Refuse to update an endpoint from one hosting to the other: SageMaker takes only one way, and not back."""
    if target is None or target.hosting == wanted:
        return
    raise InvalidInput(
        "the deployment's settings",
        [
            Problem(
                "HostingChanges",
                f"strategy is 'in_place', and endpoint {target.name!r} is {target.hosting}",
                f"hosting {target.hosting!r}: an update from one to the other cannot be taken back",
                'deploy once with "strategy": "new_endpoint"; the older endpoint is retired afterwards',
            )
        ],
    )


def _check_not_scaled(target: quota_usage.Holder | None) -> None:
    """Refuse to update an endpoint that scales: SageMaker does, when the instance type changes."""
    if target is None or not target.scales:
        return
    raise InvalidInput(
        "the deployment's settings",
        [
            Problem(
                "UpdateOfScaled",
                f"strategy is 'in_place', and endpoint {target.name!r} has auto scaling",
                "an endpoint without it: SageMaker refuses an update to another instance type meanwhile",
                'deploy once with "strategy": "new_endpoint" and no auto_scaling',
            )
        ],
    )


def _instances_of(
    config: str, name: str, asked: AskedInstances, found: Sequence[Offer]
) -> tuple[Sequence[Offer], int] | None:
    """Return the offers that are left, and the count, of a configuration; None when it is of another one."""
    # Any of them may have left by now; the more there are, the sooner it is looked at.
    for left in (some for many in range(len(found), 0, -1) for some in combinations(found, many)):
        types = sizes.types_of(left, pooled=bool(asked.pool))
        for count in range(asked.count, 0, -1):
            if config == sizes.instances_config_name(name, asked, types, count):
                return left, count
    return None


def _switch(consumers: Sequence[RequestedConsumer]) -> str:
    if not consumers:
        return NO_SWITCH
    return IN_STEPS if consumer.in_steps(consumers) else AT_ONCE


def _callers(consumers: Sequence[RequestedConsumer]) -> str:
    named = (
        f"{one.variable} of {one.function_name}{':' if one.alias else ''}{one.alias or ''}"
        for one in consumers
    )
    return payload.cut(", ".join(named) or NOBODY)


@dataclass(frozen=True, slots=True)
class _Chosen:
    endpoint: str
    memory_mb: int
    start: quotas.CapacityStart
    updates: Previous | None = None
    config: str | None = None
    """The configuration that is taken over; None for one of our own."""


def _choose(name: str, asked: Asked, target: quota_usage.Holder | None, facts: PlanFacts) -> _Chosen:
    """Choose the endpoint and the concurrency that it begins with."""
    request, situation = facts.request, facts.situation
    _check_same_hosting(target, SERVERLESS)
    endpoint = _updated_name(request, target) or name
    there = situation.holder(endpoint)
    found = sizes.sizes_of(there.config, name, asked) if there and _lives(there) else None
    if there and found:
        # An earlier run of the very same deployment: what exists is taken over, whatever sizes it came to.
        memory_mb, concurrency = found
        return _Chosen(endpoint, memory_mb, quotas.CapacityStart(concurrency), config=there.config)
    start = quotas.choose(asked.max_concurrency, situation, serving=facts.serving, replaced=target)
    if isinstance(start, quotas.Stop):
        raise QuotaUsedUp(f"service {request.service}", [start.problem])
    updates = Previous(endpoint_config=target.config, max_concurrency=target.concurrency) if target else None
    return _Chosen(endpoint, asked.memory_mb, start, updates)


def _lives(there: quota_usage.Holder) -> bool:
    return there.ours and there.status in USABLE


def _in_place_target(facts: PlanFacts) -> quota_usage.Holder | None:
    """Return the service's endpoint to update: the one with its bare name, the consumer's, the newest; else None."""
    service, serving = facts.request.service, facts.serving
    if facts.request.strategy != IN_PLACE:
        return None
    own = [one for one in facts.situation.holders if one.ours and one.status in USABLE]
    ranked = sorted(own, key=lambda one: (one.name == service, one.name == serving, one.created))
    return next(reversed(ranked), None)


def _updated_name(request: Request, target: quota_usage.Holder | None) -> str | None:
    """Return the name of the endpoint that is updated in place, or will be; None of a deployment with its own."""
    if request.strategy != IN_PLACE:
        return None
    return target.name if target else request.service


def _tags(facts: PlanFacts, on: OnInstances | None) -> list[dict[str, str]]:
    archive = facts.archive
    tags = {
        resource_tags.TAG_SERVICE: facts.request.service,
        resource_tags.TAG_EXECUTION: facts.execution,
        resource_tags.TAG_ARCHIVE: f"{archive['bucket']}/{archive['key']}",
        resource_tags.TAG_VERSION: archive["version_id"] or archive["etag"],
        resource_tags.TAG_UPLOADED: archive["last_modified"],
    }
    if facts.request.consumers:
        # From the beginning, so that whoever looks at what a failed deployment left knows who may still call it.
        tags |= resource_tags.consumer_tags(facts.request.consumers)
    if on and on.auto_scaling:
        # From the beginning too: whoever deletes the endpoint deletes its scalable target, and asks of no other.
        tags[resource_tags.TAG_SCALING] = autoscaling.tag(on.auto_scaling)
    ours = {key: resource_tags.tag_value(value) for key, value in tags.items()}
    return [{"Key": key, "Value": value} for key, value in {**ours, **(facts.request.tags or {})}.items()]
