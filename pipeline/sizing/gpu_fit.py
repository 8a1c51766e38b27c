"""Whether a model fits on an instance's GPUs, with which layers, and how fast it answers then: computed, not measured.

Owns llama.cpp's rules for memory on CUDA, as its sources have them (llama-cpp-python 0.3.36), and the reckoning of
speed. No GPU was there to measure on: docs/gpu.md lists what is to be measured, with what is expected here. Pure.
Refuses to choose a type, and to know prices.

Sources, by short name:
    layers     llama-model.cpp, load_tensors: the last `n_gpu_layers` of all layers and the output go to GPUs, each to
               the next one by the share of its free memory; the token embedding never does, but for a second copy where
               it is the output matrix too
    kv         llama-kv-cache.cpp: a layer's cache lies where the layer does; with flash attention its values are not
               transposed, and quantized values need it (llama-context.cpp: "quantized V cache requires flash_attn")
    outputs    llama-context.cpp, n_outputs_max: logits of every token of a batch, unless a caller bounds them. Logs
               tell 258.50 MiB of an 8B of Llama 3: 512 tokens x 4 bytes x (128,256 logits + 4,096 of the embedding)
    copies     ggml-backend.cpp, GGML_SCHED_MAX_COPIES: with several GPUs a batch's inputs are there four times
    margin     common.h, fit_params_target: llama.cpp itself leaves 1 GiB of each GPU free where it places layers
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.limits import GB, GiB, MiB
from pipeline.sizing.cache_types import CACHE_TYPES, F16
from pipeline.sizing.llama_memory import TOKEN_BYTES, UBATCH, Cells
from pipeline.sizing.serving import MemoryLine
from pipeline.state_data.plan_types import PROMPT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.sizing.instance_types import Gpu, Instance, InstanceFacts
    from pipeline.sizing.layers import Layer
    from pipeline.sizing.llama_memory import Shape

CUDA_BYTES: Final = 512 * MiB
"""Of each GPU, for CUDA's context, its kernels and cuBLAS: assumed; logs leave 300 to 500 MiB unexplained."""
MARGIN_BYTES: Final = 1024 * MiB
"""Of each GPU, left free (margin)."""
HOST_BYTES: Final = 1536 * MiB
"""Of the host, for CUDA's own libraries and pinned buffers: assumed."""
COPIES: Final = 4
"""Of a batch's inputs where there are several GPUs (copies)."""
OUTPUT_GROWTH: Final = 1.5
"""By how much an output matrix may be larger than the token embedding, where it is a tensor of its own: Q4_K_M keeps it
as Q6_K."""

BANDWIDTH_SHARE: Final = 0.75
"""Of a memory's bandwidth, that answers reach, a GPU's or a CPU's: likely; 80 to 87 % were told of other servers on
such GPUs."""
COMPUTE_SHARE: Final = 0.25
"""Of f16 on tensor cores, that prompts reach: likely; logs of 7B models on T4 and L4 tell 25 to 33 %."""


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """How the model is loaded; flash attention is on."""

    n_ctx: int
    """Tokens of the context of one slot."""
    n_parallel: int = 1
    cache_type: str = F16
    """Of keys and values: one of `CACHE_TYPES`."""


@dataclass(frozen=True, slots=True)
class GpuPlacement:
    """What lies where on one instance, and how fast it answers."""

    name: str
    """The instance type."""
    layers: int
    """On GPUs, the output counted as one: `n_gpu_layers`."""
    of_layers: int
    gpus: int
    lines: tuple[MemoryLine, ...]
    """The arithmetic of the fullest GPU."""
    usable_bytes: int
    """Of each GPU."""
    host_bytes: int
    tokens_per_s: float
    """Of one answer at a time."""
    speed: str
    """The arithmetic of that."""
    first_token_s: float | None
    """Of a prompt of `PROMPT_TOKENS`; None where layers are left on the host, whose part is not known, or a header does
    not tell how many parameters there are."""

    @property
    def whole(self) -> bool:
        """Whether all layers are on GPUs."""
        return self.layers == self.of_layers

    @property
    def gpu_bytes(self) -> int:
        """Of the fullest GPU."""
        return sum(line.bytes for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one layer takes where it lies."""

    weights: int
    cache: int


def whole(shape: Shape) -> int:
    """Return how many layers a model has, the output counted as one: `n_gpu_layers` of all of them."""
    return max(len(shape.layers), 1) + 1


def place(
    shape: Shape,
    instance: InstanceFacts | Instance,
    settings: GpuSettings,
    *,
    host_reserve: int = 0,
    beside: Sequence[MemoryLine] = (),
    n_gpu_layers: int | None = None,
) -> GpuPlacement | None:
    """Return the placement of the layers that were asked for, or of as many as fit; None where they do not.

    Args:
        shape: the model's figures.
        instance: the type; None is returned for one without GPUs.
        settings: how the model is loaded.
        host_reserve: bytes of the host that are kept for its own processes.
        beside: what is loaded beside the model, all of it on each GPU: llama.cpp does not say on which.
        n_gpu_layers: how many layers; None for as many as the GPUs hold.
    """
    count = whole(shape)
    numbers = range(count, 0, -1) if n_gpu_layers is None else (min(n_gpu_layers, count),)
    for number in numbers:
        found = lay(shape, instance, settings, number, beside)
        if found is None or found.gpu_bytes > found.usable_bytes:
            continue
        # Fewer layers on the GPUs are more on the host.
        return found if found.host_bytes + host_reserve <= instance.memory_gib * GiB else None
    return None


def lay(
    shape: Shape,
    instance: InstanceFacts | Instance,
    settings: GpuSettings,
    number: int,
    beside: Sequence[MemoryLine] = (),
) -> GpuPlacement | None:
    """Return what so many layers take, whether there is room or not; takes what `place` does."""
    if instance.gpu is None:
        return None
    parts = _parts(shape, settings)
    left, there = parts[: len(parts) - number], parts[len(parts) - number :]
    shares = [
        (*_lines(shape, share, settings, instance.gpus), *beside) for share in _split(there, instance.gpus)
    ]
    speed = _speed(shape, _read(there, settings), _read(left, settings), instance, instance.gpu)
    return GpuPlacement(
        name=instance.name,
        layers=number,
        of_layers=len(parts),
        gpus=len(shares),
        lines=max(shares, key=_sum),
        usable_bytes=round(instance.gpu.usable_gib * GiB),
        host_bytes=_host_bytes(shape, left, settings),
        tokens_per_s=speed.tokens_per_s,
        speed=speed.how,
        first_token_s=speed.first_token_s,
    )


def _sum(lines: Sequence[MemoryLine]) -> int:
    return sum(line.bytes for line in lines)


def _parts(shape: Shape, settings: GpuSettings) -> list[_Part]:
    """Return every layer, and the output last (layers)."""
    output = shape.table_bytes if shape.tied else round(shape.table_bytes * OUTPUT_GROWTH)
    beside = shape.table_bytes if not shape.tied else 0
    count = max(len(shape.layers), 1)
    each = math.ceil(max(shape.tensor_bytes - output - beside, 0) / count)
    cells = Cells.of(shape, settings.n_ctx, UBATCH, settings.n_parallel)
    caches = [_cache(shape, layer, cells, settings) for layer in shape.layers] or [0]
    return [*(_Part(each, cache) for cache in caches), _Part(output, 0)]


def _cache(shape: Shape, layer: Layer, cells: Cells, settings: GpuSettings) -> int:
    number = CACHE_TYPES[settings.cache_type]
    states = 4 * layer.state * settings.n_parallel
    if shape.cacheless or not layer.kv_heads:
        return states
    kept = layer.kv_heads * (layer.key + layer.value) * cells.of_layer(layer)
    kept += layer.index * cells.kept_by(layer)
    return math.ceil(number * kept) * settings.n_parallel + states


def _split(parts: Sequence[_Part], gpus: int) -> list[Sequence[_Part]]:
    """Return what each of several equal GPUs gets: layers in order, by the share of free memory (layers)."""
    shares: list[list[_Part]] = [[] for _ in range(gpus)]
    for number, part in enumerate(parts):
        # The first point that lies above the layer's own share: std::upper_bound.
        shares[min(number * gpus // len(parts), gpus - 1)].append(part)
    return [share for share in shares if share]


def _lines(shape: Shape, parts: Sequence[_Part], settings: GpuSettings, gpus: int) -> tuple[MemoryLine, ...]:
    """Return what one GPU holds."""
    batch = min(UBATCH, settings.n_ctx * settings.n_parallel)
    cells = Cells.of(shape, settings.n_ctx, UBATCH, settings.n_parallel)
    given_out = shape.vocabulary_size + shape.embedding_length
    inside = 3 * shape.feed_forward_length + 3 * shape.embedding_length
    masks = 2 * batch * cells.whole * settings.n_parallel * (COPIES if gpus > 1 else 1)
    compute = 4 * batch * max(given_out, inside) + masks
    return (
        MemoryLine("weights", sum(one.weights for one in parts), f"{len(parts)} layers"),
        MemoryLine(
            "kv cache",
            sum(one.cache for one in parts),
            f"{settings.n_parallel} x {settings.n_ctx} tokens in {settings.cache_type}, flash attention",
        ),
        MemoryLine("compute", compute, f"{batch} tokens at a time: logits of {shape.vocabulary_size} tokens"),
        MemoryLine("CUDA", CUDA_BYTES, "assumed: context, kernels, cuBLAS"),
        MemoryLine("margin", MARGIN_BYTES, "what llama.cpp leaves free"),
    )


def _host_bytes(shape: Shape, parts: Sequence[_Part], settings: GpuSettings) -> int:
    """Return what the host holds: the token embedding, layers that found no place, the vocabulary, CUDA's libraries."""
    batch = min(UBATCH, settings.n_ctx * settings.n_parallel)
    layers = sum(one.weights + one.cache for one in parts)
    pinned = 4 * batch * (shape.vocabulary_size + 2 * shape.embedding_length)
    return layers + shape.table_bytes + TOKEN_BYTES * shape.vocabulary_size + pinned + HOST_BYTES


@dataclass(frozen=True, slots=True)
class _Speed:
    """How fast it is."""

    tokens_per_s: float
    how: str
    first_token_s: float | None


def _speed(
    shape: Shape, on_gpu: float, on_host: float, instance: InstanceFacts | Instance, gpu: Gpu
) -> _Speed:
    """Return how fast it is, by the bytes that one token reads; layers on several GPUs take turns."""
    seconds = on_gpu / (gpu.bandwidth_gb_s * GB * BANDWIDTH_SHARE)
    how = f"{on_gpu / GB:.2f} GB at {BANDWIDTH_SHARE:.0%} of {gpu.bandwidth_gb_s:g} GB/s"
    if on_host:
        seconds += on_host / (instance.bandwidth_gb_s * GB * BANDWIDTH_SHARE)
        how += f", and {on_host / GB:.2f} GB at as much of the host's {instance.bandwidth_gb_s:g} GB/s"
    first = 2 * shape.parameter_count * PROMPT_TOKENS / (gpu.tflops * 1e12 * COMPUTE_SHARE)
    return _Speed(
        float(f"{1 / seconds:.2g}"),
        f"{how}, read for each token: computed, not measured",
        None if on_host or not first else float(f"{first:.2g}"),
    )


def _read(parts: Sequence[_Part], settings: GpuSettings) -> float:
    """Return the bytes that one token reads: weights, and the cache of its own slot."""
    return sum(one.weights + one.cache / settings.n_parallel for one in parts)
