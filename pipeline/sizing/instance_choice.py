"""Which instance types hold a model, and with how many slots: the cheapest one and faster ones, with their arithmetic.

Owns the choice of an instance type, its slots, its time-outs and the size of its volume. Memory is the same sum as on
serverless (`fit`), or that of a GPU (`gpu_fit`); how fast answers come is computed from how fast the weights are read.
The types of one choice all have GPUs or all have none, since one endpoint configuration is for machines of one image.
Refuses to ask an account: how many instances it may have is `pipeline.planning.quotas`'s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pipeline import limits
from pipeline.errors import ModelDoesNotFit, Problem
from pipeline.limits import GB, GiB, MiB
from pipeline.sizing import gpu_fit, hourly_costs, instance_types, preference
from pipeline.sizing.gpu_fit import GpuSettings
from pipeline.sizing.instance_types import CUDA
from pipeline.sizing.preference import NOTHING_ASKED
from pipeline.spelling import did_you_mean
from pipeline.state_data.plan_types import PROMPT_TOKENS, Offer, OnGpus, PlacedPart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.sizing.fit import Fit
    from pipeline.sizing.gpu_fit import GpuPlacement
    from pipeline.sizing.instance_types import Instance
    from pipeline.sizing.preference import Wish

HOST_RESERVE: Final = 2 * GiB
"""Kept free for the host's own processes: assumed, AWS does not say how much they take."""
MOST_OFFERS: Final = 3

MOST_SLOTS: Final = 8
SLOTS_OF_A_CPU: Final = 2
"""Bounds of the slots that are planned unasked: measured, see docs/adr/0060."""

_OF_HOST: Final = frozenset({"server", "checkpoints", "saved prompts"})
"""The lines of a fit that lie in the host's memory, wherever the model's layers do."""

LEAST_WAITING: Final = 4
MOST_WAITING: Final = 64
"""Bounds of the requests that may wait for a slot: what an image allows by default, and what a caller may yet call a
queue."""

VOLUME_SLACK: Final = 1.1
"""A volume loses some of its size to its file system, and should not be full."""
LEAST_VOLUME_GB: Final = 8

MARGIN: Final = 3
"""How many times longer than computed a start may take."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an instance endpoint's variant asks for beside type and number."""

    volume_gb: int
    """GB of disk; a type that has a disk of its own is given no volume."""
    download_s: int
    startup_s: int


def offers(needed: Fit, table: Sequence[Instance], wish: Wish = NOTHING_ASKED) -> tuple[Offer, ...]:
    """Return the type to take of those that hold the model, and up to two to take in its place.

    Args:
        needed: what the model needs.
        table: the types.
        wish: by what they are ordered, and how fast they must be.
    """
    found = [_offer(needed, one) for one in table if holds(needed, one)]
    wish = _wish_of(needed, wish)
    first = preference.ordered(found, wish, 1)
    alike = (one for one in found if first and (one.platform == CUDA) == (first[0].platform == CUDA))
    return preference.ordered(alike, wish, MOST_OFFERS)


def _wish_of(needed: Fit, wish: Wish) -> Wish:
    return replace(wish, answers=not needed.demand.shape.embeds)


def holds(needed: Fit, instance: Instance) -> bool:
    """Tell whether a type has the memory and the disk for a model, and something to spare.

    On GPUs it holds a model whose layers all lie there, or as many as are asked for.
    """
    return _in_memory(needed, instance) and _volume_gb(needed) <= _disk_gb(instance)


def _in_memory(needed: Fit, instance: Instance) -> bool:
    if instance.gpu is not None:
        return _placed(needed, instance, _gpu_layers(needed)) is not None
    return needed.memory_bytes + HOST_RESERVE <= instance.memory_gib * GiB


def _gpu_layers(needed: Fit) -> int:
    """Return how many layers are to lie on GPUs."""
    every = gpu_fit.whole(needed.demand.shape)
    return min(needed.demand.n_gpu_layers or every, every)


def _placed(needed: Fit, instance: Instance, number: int | None) -> GpuPlacement | None:
    """Return where so many layers lie, or as many as fit; None where that is not possible."""
    demand = needed.demand
    return gpu_fit.place(
        demand.shape,
        instance,
        _gpu_settings(needed),
        host_reserve=HOST_RESERVE + _of_host(needed),
        beside=demand.beside_lines,
        n_gpu_layers=number,
    )


def _gpu_settings(needed: Fit) -> GpuSettings:
    demand = needed.demand
    return GpuSettings(demand.n_ctx, demand.n_parallel, demand.cache_type)


def _of_host(needed: Fit) -> int:
    return sum(line.bytes for line in needed.lines if line.name in _OF_HOST)


def _disk_gb(instance: Instance) -> float:
    """Return the GB that a model may take on a type; of a disk whose size is not known, any: that is assumed."""
    if not instance_types.has_own_disk(instance.name):
        return limits.VOLUME_GB.value
    return math.inf if instance.local_disk_gb is None else instance.local_disk_gb


def choose(
    subject: str,
    needed: Fit,
    table: Sequence[Instance],
    asked: str | None,
    wish: Wish = NOTHING_ASKED,
) -> tuple[Offer, ...]:
    """Return the type to take, and those to step to when the account has none of it; only one that was requested.

    Raises:
        ModelDoesNotFit: when no type, or not the one that was requested, holds the model and is as fast as is required.
    """
    problem = _asked_problem(needed, table, asked) if asked else _none_problem(needed, table)
    problem = problem or _too_slow(needed, table, asked, wish)
    if problem is not None:
        raise ModelDoesNotFit(f"{subject} ({needed.arithmetic})", [problem])
    if asked:
        return tuple(_offer(needed, one) for one in table if one.name == asked)
    return offers(needed, table, wish)


def choose_slots(  # noqa: PLR0917 as `choose`, and the slots
    subject: str,
    needed: Fit,
    table: Sequence[Instance],
    asked: str | None,
    n_parallel: int | None,
    wish: Wish = NOTHING_ASKED,
) -> tuple[Fit, tuple[Offer, ...]]:
    """Return what the model needs with its slots, and the types as `choose` returns them, each with its own.

    Unasked there are as many as suit the type to take; one to take in its place has as many, or those that it holds.

    Args:
        subject: the model, for a refusal.
        needed: what the model needs with one slot.
        table: the types, cheapest first.
        asked: the type that was requested; None for the cheapest one.
        n_parallel: the slots that were requested, on every type; None for as many as suit them.
        wish: by what types are ordered, and how fast they must be.

    Raises:
        ModelDoesNotFit: as `choose` does; with the slots that were requested, where those are too many.
    """
    needed = _split(needed, table, asked)
    if n_parallel is not None:
        slotted = needed.with_slots(n_parallel)
        return slotted, choose(subject, slotted, table, asked, wish)
    # What one slot is offered, the slots fit into: they decide no type, and so cost nothing.
    names = [one.name for one in choose(subject, needed, table, asked, wish)]
    first, *others = (next(one for one in table if one.name == name) for name in names)
    most = slots(needed, first)
    own = [most, *(_held(needed, one, most) for one in others)]
    found = zip((first, *others), own, strict=True)
    return needed.with_slots(most), tuple(_offer(needed.with_slots(number), one) for one, number in found)


def _split(needed: Fit, table: Sequence[Instance], asked: str | None) -> Fit:
    """Return what the model needs with as many layers on GPUs as a type has room for that was requested by name.

    Unasked all of them lie there, or the type is none to take: what the host reads is slow.
    """
    found = next((one for one in table if one.name == asked), None)
    if found is None or found.gpu is None or needed.demand.n_gpu_layers is not None:
        return needed
    placed = _placed(needed, found, None)
    return needed if placed is None or placed.whole else needed.with_gpu_layers(placed.layers)


def slots(needed: Fit, instance: Instance) -> int:
    """Return how many requests a type is to answer at once: as many as it holds, within bounds; 1 at least.

    A model for embeddings gets one: a text of its is evaluated at once, and keeps all CPUs busy by itself.

    Args:
        needed: what the model needs with one slot.
        instance: the type.
    """
    if needed.demand.shape.embeds:
        return 1
    most = MOST_SLOTS if instance.gpu else min(MOST_SLOTS, SLOTS_OF_A_CPU * instance.vcpus)
    return _held(needed, instance, most)


def _held(needed: Fit, instance: Instance, most: int) -> int:
    """Return how many slots a type holds, of so many; 1 at least."""
    return next((n for n in range(most, 1, -1) if holds(needed.with_slots(n), instance)), 1)


def waiting(offer: Offer, slots: int, *, tokens: int, timeout_s: int) -> int:
    """Return how many requests may wait for a slot: those that can be answered before their callers are given up.

    Reckoned with one answer after the other, so with fewer than slots side by side achieve.

    Args:
        offer: the type.
        slots: requests that are answered meanwhile.
        tokens: of an answer.
        timeout_s: seconds that a call has.
    """
    in_time = int(timeout_s / answer_s(offer, tokens))
    return min(max(in_time - slots, LEAST_WAITING), MOST_WAITING)


def settings(needed: Fit) -> Settings:
    """Return the volume and the time-outs for a model."""
    seconds = {stage.name: stage.seconds for stage in needed.startup}
    download = seconds["download"] + seconds.get("extraction", 0)
    return Settings(
        volume_gb=_volume_gb(needed),
        download_s=_timeout(download),
        startup_s=_timeout(seconds["server"] + seconds["load"]),
    )


def tokens_per_s(needed: Fit, instance: Instance) -> float:
    """Return how fast answers come on a type, whether it holds the model or not."""
    return _offer(needed, instance).tokens_per_s


def answer_s(offer: Offer, tokens: int) -> float:
    """Return the seconds that an answer of so many tokens takes, without the reading of the prompt."""
    return tokens / offer.tokens_per_s


def describe(offer: Offer, count: int) -> str:
    """Return an offer in one line."""
    price = hourly_costs.price(offer.name, count, offer.usd_per_hour)
    first = offer.first_token_s
    soon = "" if first is None else f", the first after {first:g} s of {PROMPT_TOKENS} tokens of prompt"
    return f"{price} ({offer.price}); about {offer.tokens_per_s:g} tokens/s{soon}"


def _offer(needed: Fit, instance: Instance) -> Offer:
    placed = _placed(needed, instance, _gpu_layers(needed)) if instance.gpu else None
    return _on_cpus(needed, instance) if placed is None else _on_gpus(needed, instance, placed)


def _on_gpus(needed: Fit, instance: Instance, placed: GpuPlacement) -> Offer:
    laid = _laid(needed, instance, placed)
    return replace(
        _on_cpus(needed, instance),
        tokens_per_s=placed.tokens_per_s,
        memory=_gpu_memory(laid),
        speed=placed.speed,
        gpu_layers=placed.layers,
        first_token_s=placed.first_token_s,
        on_gpus=laid,
    )


def _laid(needed: Fit, instance: Instance, placed: GpuPlacement) -> OnGpus:
    """Return what lies on the fullest GPU, and on the host."""
    left = placed.of_layers - placed.layers
    model = f"token embedding{f', {left} layers' if left else ''}, vocabulary, CUDA's libraries"
    return OnGpus(
        gpu="GPU" if instance.gpu is None else instance.gpu.name,
        count=instance.gpus,
        layers=placed.layers,
        of_layers=placed.of_layers,
        parts=tuple(PlacedPart(line.name, line.bytes, line.how) for line in placed.lines),
        usable_bytes=placed.usable_bytes,
        host=(
            PlacedPart("model and server", placed.host_bytes + _of_host(needed), model),
            PlacedPart(
                "the host's own processes", HOST_RESERVE, "assumed: AWS does not say how much they take"
            ),
        ),
        host_bytes=round(instance.memory_gib * GiB),
    )


def _gpu_memory(laid: OnGpus) -> str:
    """Return the arithmetic in a line."""
    parts = " + ".join(f"{part.name} {part.bytes / MiB:,.0f}" for part in laid.parts)
    rest = laid.of_layers - laid.layers
    left = f", {rest} of them on the host" if rest else ""
    host = " + ".join(_mib(part.bytes) for part in laid.host)
    return (
        f"{laid.layers} of {laid.of_layers} layers on {laid.count} x {laid.gpu}{left}; the fullest: {parts} = "
        f"{_mib(laid.used_bytes)} of {_mib(laid.usable_bytes)}; host: {host} of {_mib(laid.host_bytes)} "
        "(computed, not measured)"
    )


def _on_cpus(needed: Fit, instance: Instance) -> Offer:
    shape = needed.demand.shape
    # One answer reads the cache of its own slot.
    cache = sum(line.bytes for line in needed.lines if line.name == "kv cache") // needed.demand.n_parallel
    # Of a draft model's guesses it is not known how many hold: they make answers faster, or not.
    read = shape.tensor_bytes + needed.demand.beside.adapter_bytes + cache
    per_s = instance.bandwidth_gb_s * GB * gpu_fit.BANDWIDTH_SHARE / max(read, 1)
    return Offer(
        name=instance.name,
        vcpus=instance.vcpus,
        memory_gib=instance.memory_gib,
        usd_per_hour=instance.usd_per_hour,
        tokens_per_s=float(f"{per_s:.2g}"),
        memory=f"{_mib(needed.memory_bytes)} needed + {_mib(HOST_RESERVE)} for the host of "
        f"{_mib(round(instance.memory_gib * GiB))}",
        speed=f"{gpu_fit.BANDWIDTH_SHARE:.0%} of {instance.bandwidth_gb_s:g} GB/s ({instance.how}) / "
        f"{read / GB:.2f} GB read for each token: weights and a full context; computed, not measured",
        disk=_disk(needed, instance),
        price=instance.source,
        platform=instance.platform,
        slots=needed.demand.n_parallel,
    )


def _volume_gb(needed: Fit) -> int:
    return max(LEAST_VOLUME_GB, math.ceil(needed.disk_bytes * VOLUME_SLACK / GB))


def _timeout(seconds: float) -> int:
    return min(
        max(math.ceil(seconds * MARGIN), limits.LEAST_START_TIMEOUT_S.value), limits.START_TIMEOUT_S.value
    )


def _too_slow(needed: Fit, table: Sequence[Instance], asked: str | None, wish: Wish) -> Problem | None:
    """Return what is wrong where no type that holds the model is as fast as is required."""
    found = [
        _offer(needed, one) for one in table if (asked is None or one.name == asked) and holds(needed, one)
    ]
    if any(preference.meets(one, _wish_of(needed, wish)) for one in found):
        return None
    fastest = max(found, key=lambda one: (one.tokens_per_s, -one.usd_per_hour))
    return Problem(
        "TooSlow",
        f"{fastest.tokens_per_s:g} tokens/s on {fastest.name}, {'' if asked else 'the fastest '}at "
        f"${fastest.usd_per_hour:g} an hour: {fastest.speed}",
        f"{wish.least_tokens_per_s:g} tokens/s, for {wish}",
        "ask for less, or use a smaller model or quantisation",
    )


def _asked_problem(needed: Fit, table: Sequence[Instance], asked: str) -> Problem | None:
    found = next((one for one in table if one.name == asked), None)
    if found is None and instance_types.facts(asked) is not None and asked not in instance_types.LISTED:
        return Problem(
            "PriceUnknown",
            f"instance_type {asked!r}, whose price is not known here",
            "a price: a plan says what it costs",
            "`sealift prices --refresh` reads AWS's list; or add it to 'instance_types'",
        )
    if found is None:
        return Problem(
            "UnknownInstanceType",
            f"instance_type {asked!r}",
            "a type that is known: " + ", ".join(one.name for one in table),
            did_you_mean(asked, [one.name for one in table], "name one of these")
            + "; or add it to 'instance_types' with its memory and its price",
        )
    if not _in_memory(needed, found):
        instead = offers(needed, table)
        fix = (
            f"set instance_type to {instead[0].name!r}" if instead else "use a smaller model or quantisation"
        )
        if found.gpu is not None:
            return Problem(
                "InstanceTooSmall",
                f"instance_type {asked!r}: {_gpu_lack(needed, found)}",
                "a type whose GPUs and host hold the model",
                fix + _fewer_slots(needed, found),
            )
        return Problem(
            "InstanceTooSmall",
            f"instance_type {asked!r} with {found.memory_gib:g} GiB for {_mib(needed.memory_bytes)} and "
            f"{_mib(HOST_RESERVE)} for the host{_with_slots(needed)}",
            "a type that holds the model",
            fix + _fewer_slots(needed, found),
        )
    return None if holds(needed, found) else _disk_problem(needed, found)


def _none_problem(needed: Fit, table: Sequence[Instance]) -> Problem | None:
    if any(holds(needed, one) for one in table):
        return None
    if large := [one for one in table if _in_memory(needed, one)]:
        return _disk_problem(needed, max(large, key=_disk_gb))
    cpus, gpus = ([one for one in table if bool(one.gpus) is on] for on in (False, True))
    most = max(cpus or table, key=lambda one: one.memory_gib)
    widest = max(gpus, key=lambda one: one.gpus * (one.gpu.usable_gib if one.gpu else 0), default=None)
    on_gpus = f"; on GPUs {widest.name}: {_gpu_lack(needed, widest)}" if widest else ""
    return Problem(
        "TooMuchMemory",
        f"{_mib(needed.memory_bytes)} of memory needed{_with_slots(needed)}{on_gpus}",
        f"at most {most.memory_gib:g} GiB, what {most.name} has, less {_mib(HOST_RESERVE)} for the host",
        "use a smaller model, quantisation or n_ctx, or add a larger type to 'instance_types'"
        + _fewer_slots(needed, most),
    )


def _gpu_lack(needed: Fit, instance: Instance) -> str:
    """Return what a model would take on a type's GPUs that do not hold it."""
    demand = needed.demand
    laid = gpu_fit.lay(
        demand.shape, instance, _gpu_settings(needed), _gpu_layers(needed), demand.beside_lines
    )
    return "" if laid is None else _gpu_memory(_laid(needed, instance, laid))


def _with_slots(needed: Fit) -> str:
    """Return what a refusal says of the slots: nothing of one."""
    return f", with n_parallel {needed.demand.n_parallel}" if needed.demand.n_parallel > 1 else ""


def _fewer_slots(needed: Fit, instance: Instance) -> str:
    """Return the most slots that a type has memory for, as a further way out; nothing where one is too many."""
    fewer = range(needed.demand.n_parallel - 1, 0, -1)
    most = next((n for n in fewer if _in_memory(needed.with_slots(n), instance)), None)
    return f"; or set n_parallel to {most}" if most else ""


def _disk_problem(needed: Fit, instance: Instance) -> Problem:
    own = instance_types.has_own_disk(instance.name)
    why = "what its own NVMe disk has; SageMaker gives such a type no volume" if own else "the largest volume"
    return Problem(
        "TooMuchDisk",
        f"{_volume_gb(needed)} GB needed on the disk of {instance.name}",
        f"at most {_disk_gb(instance):g} GB, {why}",
        "use a smaller model or quantisation, or another 'instance_type'",
    )


def _disk(needed: Fit, instance: Instance) -> str:
    size = _volume_gb(needed)
    if not instance_types.has_own_disk(instance.name):
        return f"a volume of {size} GB"
    if instance.local_disk_gb is None:
        return (
            f"{size} GB; assumed to fit on its own NVMe disk, whose size is not known; 'local_disk_gb' in "
            "'instance_types' says it"
        )
    return f"{size} GB of the {instance.local_disk_gb:g} GB of its own NVMe disk"


def _mib(size: int) -> str:
    return f"{size / MiB:,.0f} MiB"
