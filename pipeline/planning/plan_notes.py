"""What a person should know of a plan: what is otherwise than requested, and what it costs.

Owns these sentences. Refuses to decide anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from inference.sealift_models import COMPANIONS, DRAFT
from pipeline import limits
from pipeline.gguf import purpose, questions
from pipeline.hosting import SERVERLESS
from pipeline.planning import (
    answer_times,
    artifact_choice,
    autoscaling,
    model_settings,
    network,
    question_form,
    quotas,
    scale_to_zero,
    sizes,
)
from pipeline.sizing import fit, hourly_costs, images, instance_choice, instance_types

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline.state_data.plan_types import Offer
    from pipeline.state_data.request_types import Request


_GUESSES: Final = "; how much faster depends on how many guesses hold, and is not in any figure here"


def notes(request: Request, model: dict[str, Any], today: date, where: str = SERVERLESS) -> list[str]:
    """Return what will differ from the request, and why, and what its container lacks."""
    inference = model_settings.inference(request, model, where)
    notes = []
    if request.timeout_s > limits.INVOCATION_S.value:
        calls = "serverless call" if where == SERVERLESS else "whole answer"
        streamed = "" if where == SERVERLESS else f", and a streamed one at {limits.STREAM_S.value} s"
        notes.append(
            f"timeout_s {request.timeout_s} was requested; "
            f"SageMaker ends every {calls} at {limits.INVOCATION_S.value} s{streamed}"
        )
    if request.max_concurrency is None and where == SERVERLESS:
        notes.append(quotas.UNASKED)
    if (kept := request.provisioned_concurrency) and where == SERVERLESS:
        notes.append(
            f"{kept} container{'s are' if kept > 1 else ' is'} kept started, which costs money from creation to "
            "deletion, whether anybody calls or not: by the GB of memory and the second, at a price that is not listed"
        )
    if request.provisioned_concurrency and where != SERVERLESS:
        notes.append("provisioned_concurrency was requested; an instance is always started, and has none")
    if request.auto_scaling and where == SERVERLESS:
        notes.append("auto_scaling was requested; a serverless endpoint scales by itself, and has none")
    if request.scale_to_zero and where == SERVERLESS:
        notes.append("scale_to_zero was requested; a serverless endpoint costs nothing while nobody calls it")
    if inference.n_ctx < request.inference.n_ctx:
        notes.append(
            f"n_ctx {request.inference.n_ctx} was requested; the model was trained for {inference.n_ctx}"
        )
    notes += _slots(request, where)
    notes += [
        f"{one['path']} is loaded beside the model: {COMPANIONS[one['kind']]}"
        + (_GUESSES if one["kind"] == DRAFT else "")
        for one in model.get("companions", ())
    ]
    profile = images.PROFILES[request.container]
    return [
        *notes,
        *purpose.notes(model, messages_only=question_form.of(request, model) == questions.MESSAGES),
        *images.notes(
            profile,
            today,
            serverless=where == SERVERLESS,
            embeddings=model.get("purpose") in purpose.EVALUATES,
        ),
    ]


def _slots(request: Request, where: str) -> list[str]:
    """Return why a request for slots, or for what a container tells, comes to nothing."""
    asked, lines = request.inference.n_parallel, []
    if asked is not None and asked > 1:
        if not model_settings.has_slots(request):
            own = (
                "code of an archive's own"
                if request.code == images.ARCHIVE_CODE
                else f"container {request.container!r}"
            )
            lines.append(
                f"n_parallel {asked} was requested; {own} answers one request at a time: "
                f"{' and '.join(_WITH_SLOTS)} have slots"
            )
        elif where == SERVERLESS:
            lines.append(
                f"n_parallel {asked} was requested; on serverless more calls start more containers, and that one is "
                "given two at a time is nowhere said: one slot is planned"
            )
    if request.detailed_observability and where == SERVERLESS:
        lines.append(
            "detailed_observability was requested; SageMaker has it for instances, and serverless has none"
        )
    return lines


def _pool(request: Request, found: Sequence[Offer]) -> tuple[str, ...]:
    """Return which types SageMaker takes in place of the first; nothing where there is no pool."""
    pool = sizes.pool(found)
    if not request.instance_pool or request.scale_to_zero or len(pool) == 1:
        return ()
    others = ", then ".join(
        f"{one.name} at ${one.usd_per_hour:g} an hour{own_model(one, pool[0])}" for one in pool[1:]
    )
    return (f"where SageMaker has no capacity of {pool[0].name} it takes {others}; what runs is what costs",)


def own_model(offer: Offer, first: Offer) -> str:
    """Return in what a type differs from the first one, so that it has a model of its own; empty where in nothing."""
    differs = []
    if offer.platform != first.platform:
        differs.append(f"the image for {offer.platform}")
    if offer.slots != first.slots:
        differs.append(f"{offer.slots} slot{'s' * (offer.slots != 1)} in place of {first.slots}")
    if offer.gpu_layers != first.gpu_layers:
        differs.append(f"{offer.gpu_layers} layers on GPUs in place of {first.gpu_layers}")
    return f" (with a model of its own: {', '.join(differs)})" if differs else ""


_WITH_SLOTS: Final = [repr(name) for name, profile in images.PROFILES.items() if profile.has_slots]


def serverless_notes(request: Request, needed: fit.Fit, where: str) -> tuple[str, ...]:
    """Return what may not fit into a call on serverless, and what else may go wrong there; nothing of instances."""
    if where != SERVERLESS:
        return ()
    limit_s = min(request.timeout_s, limits.INVOCATION_S.value)
    return (
        *answer_times.on_serverless(needed, request.inference.max_tokens, limit_s),
        *needed.warnings,
    )


def image_notes(needed: fit.Fit) -> tuple[str, ...]:
    """Return what the image costs that holds the model; nothing where none does."""
    stored = artifact_choice.stored_bytes(needed)
    if stored is None:
        return ()
    price = hourly_costs.image_a_month(stored)
    return (f"the image that holds the model takes {price}, until no deployment has it any more",)


def instance_notes(
    request: Request, needed: fit.Fit, found: Sequence[Offer], count: int | None = None
) -> tuple[str, ...]:
    """Return what a person should know of the instances that a plan uses; nothing when it uses none.

    Args:
        request: the deployment's.
        needed: what the model needs.
        found: the type that is taken, and those to step to.
        count: how many; as many as were requested when None.
    """
    if not found:
        return ()
    offer, settings = found[0], instance_choice.settings(needed)
    while_ = "while it is up" if request.scale_to_zero else "from its creation to its deletion"
    lines = [
        f"it costs money {while_}: "
        + instance_choice.describe(offer, request.instance_count if count is None else count)
    ]
    lines += _pool(request, found)
    if (slots := needed.demand.n_parallel) > 1:
        lines.append(
            f"{slots} requests are answered at once, each with a context of {needed.demand.n_ctx} tokens"
        )
    if instance_types.has_own_disk(offer.name):
        lines.append(f"{offer.name} has no volume: {offer.disk}")
    lines += network.notes(request, offer.name, archive_code=request.code == images.ARCHIVE_CODE)
    tokens = request.inference.max_tokens
    limit_s = min(request.timeout_s, limits.INVOCATION_S.value)
    if not needed.demand.shape.embeds:
        streams = model_settings.container_streams(request)
        lines += answer_times.on_instances(found, tokens, limit_s, streams=streams)
    if request.scale_to_zero:
        lines += scale_to_zero.notes(request.instance_count if count is None else count, offer.usd_per_hour)
    if request.auto_scaling:
        price = offer.usd_per_hour
        seconds = instance_choice.answer_s(offer, tokens)
        fewest = sizes.slots(found, pooled=request.instance_pool)
        scaling = autoscaling.measured(request.auto_scaling, fewest)
        lines += autoscaling.notes(scaling, usd_per_hour=price, answer_s=seconds, tokens=tokens, slots=fewest)
    if settings.download_s + settings.startup_s > request.deadline_s:
        lines.append(
            f"SageMaker gives up after {settings.download_s} s of download and {settings.startup_s} s of start-up; "
            f"deadline_s is {request.deadline_s}"
        )
    return tuple(lines)
