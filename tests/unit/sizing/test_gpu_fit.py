"""The fit on GPUs: computed by llama.cpp's rules, and held to what logs of others tell; no GPU was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import shapes
from benchmarks.shapes import ModelShape
from pipeline.limits import GB, GiB, MiB
from pipeline.sizing import cache_types, gpu_fit, instance_types
from pipeline.sizing.gpu_fit import GpuPlacement, GpuSettings
from pipeline.sizing.instance_types import Gpu, InstanceFacts
from pipeline.sizing.layers import Layer
from pipeline.sizing.llama_memory import Shape
from tests.unit.sizing.test_fit import shape_of

LLAMA_70B = ModelShape("llama", 80, 8192, 64, 8, 128, 28_672, 128_256, 280_147, tied=False)


def facts(name: str) -> InstanceFacts:
    """Return a type of the data."""
    found = instance_types.facts(name)
    assert found is not None
    return found


def placed(model: ModelShape | Shape, name: str, n_ctx: int = 2048, **how: object) -> GpuPlacement | None:
    """Place a model on a type."""
    shape = model if isinstance(model, Shape) else shape_of(model)
    return gpu_fit.place(shape, facts(name), GpuSettings(n_ctx, **how))  # type: ignore[arg-type]


def whole(model: ModelShape | Shape, name: str, n_ctx: int = 2048, **how: object) -> GpuPlacement:
    """Place a model on a type that holds all of it."""
    found = placed(model, name, n_ctx, **how)
    assert found is not None
    assert found.whole
    return found


@pytest.mark.parametrize(
    ("name", "tokens_per_s"),
    [
        pytest.param("ml.g6.xlarge", 13, id="L4"),
        pytest.param("ml.g5.xlarge", 26, id="A10G"),
        pytest.param("ml.g6e.xlarge", 37, id="L40S"),
    ],
)
def test_a_27b_model_fits_one_gpu_of_24_gb(name: str, tokens_per_s: float) -> None:
    """At three quarters of its bandwidth, over weights and cache."""
    found = whole(shapes.GEMMA_27B, name)

    assert found.tokens_per_s == pytest.approx(tokens_per_s, rel=0.05)
    assert found.speed.endswith("computed, not measured")
    assert (found.layers, found.of_layers, found.gpus) == (63, 63, 1)
    assert found.first_token_s is not None
    assert 0 < found.first_token_s < 3


def test_a_gpu_of_16_gb_holds_a_part_of_it_and_says_which() -> None:
    """The rest is read by the host's CPUs, and what the first token waits for is not known then."""
    found = placed(shapes.GEMMA_27B, "ml.g4dn.xlarge")

    assert found is not None
    assert 0 < found.layers < found.of_layers
    assert found.first_token_s is None
    assert "the host's 12.8 GB/s" in found.speed
    assert found.tokens_per_s < 3


def test_a_70b_model_goes_to_several_gpus_or_nowhere() -> None:
    """Layers in order, as many on each; one GPU of 24 GB and its host hold too little."""
    found = whole(LLAMA_70B, "ml.g5.12xlarge")

    assert found.gpus == 4
    assert found.gpu_bytes <= found.usable_bytes
    assert placed(LLAMA_70B, "ml.g5.xlarge") is None
    assert placed(LLAMA_70B, "ml.c5.xlarge") is None


def test_the_sums_are_those_of_llama_cpps_own_logs() -> None:
    """Buffers of Llama 3.1 8B, of models with 61 layers and of one with 40."""
    # 258.50 MiB of compute; ikawrakow/ik_llama.cpp pull requests 333 and 344; ggml-org/llama.cpp pull request 6122.
    llama = whole(shapes.LLAMA_8B, "ml.g6.xlarge", 8192)
    compute = next(line.bytes for line in llama.lines if line.name == "compute")
    masks = 2 * 512 * 8192
    assert (compute - masks) / MiB == pytest.approx(258.5)

    def cache(layers: int, kv_heads: int, n_ctx: int) -> float:
        shape = Shape(GiB, tuple(Layer(48, kv_heads, 128, 128) for _ in range(layers)))
        found = whole(shape, "ml.g6e.xlarge", n_ctx)
        return next(line.bytes for line in found.lines if line.name == "kv cache") / MiB

    assert cache(61, 2, 32_768) == 1952
    assert cache(61, 8, 8192) == 1952
    assert cache(40, 64, 4096) == 5120


def test_a_quantized_cache_takes_its_blocks() -> None:
    """32 numbers and a scale."""
    sizes = {
        kind: next(
            line.bytes
            for line in whole(shapes.LLAMA_8B, "ml.g6e.xlarge", 32_768, cache_type=kind).lines
            if line.name == "kv cache"
        )
        for kind in cache_types.CACHE_TYPES
    }

    assert sizes["q8_0"] == pytest.approx(sizes["f16"] * 34 / 64)
    assert sizes["q4_0"] == pytest.approx(sizes["f16"] * 18 / 64)


def test_the_token_embedding_stays_on_the_host() -> None:
    """A second copy of it goes along where it is the output matrix too."""
    shape = shape_of(shapes.GEMMA_27B)
    assert shape.tied
    assert next(line.bytes for line in whole(shape, "ml.g5.xlarge").lines) == pytest.approx(
        shape.tensor_bytes, abs=len(shape.layers)
    )

    untied = shape_of(LLAMA_70B)
    assert not untied.tied
    found = placed(untied, "ml.g6e.48xlarge")
    assert found is not None
    alone = replace(untied, table_bytes=0)
    other = gpu_fit.place(alone, facts("ml.g6e.48xlarge"), GpuSettings(2048))
    assert other is not None
    assert found.host_bytes - other.host_bytes == untied.table_bytes


def test_the_host_must_hold_what_is_left_to_it() -> None:
    """And its own processes."""
    shape, instance = shape_of(shapes.LLAMA_8B), facts("ml.g6.xlarge")
    found = gpu_fit.place(shape, instance, GpuSettings(2048))
    assert found is not None
    room = round(instance.memory_gib * GiB) - found.host_bytes

    assert gpu_fit.place(shape, instance, GpuSettings(2048), host_reserve=room) == found
    assert gpu_fit.place(shape, instance, GpuSettings(2048), host_reserve=room + 1) is None


def test_one_more_layer_would_not_have_fitted() -> None:
    """As many as there is room for, and not one less."""
    shape = shape_of(shapes.GEMMA_27B)
    small = facts("ml.g4dn.xlarge")
    found = gpu_fit.place(shape, small, GpuSettings(2048))
    assert found is not None
    assert small.gpu is not None
    layer = (shape.tensor_bytes - shape.table_bytes) // len(shape.layers)
    room = found.usable_bytes - found.gpu_bytes

    assert 0 <= room < layer + 64 * MiB


def test_the_split_is_llama_cpps() -> None:
    """By the share of free memory, which is equal here: 0 of 5 parts goes to the first of two GPUs, 3 to the second."""
    parts = [gpu_fit._Part(number, 0) for number in range(5)]

    found = [[one.weights for one in share] for share in gpu_fit._split(parts, 2)]

    assert found == [[0, 1, 2], [3, 4]]
    assert len(gpu_fit._split(parts, 8)) == 5


LAYERS = st.builds(
    Layer,
    heads=st.just(32),
    kv_heads=st.integers(0, 16),
    key=st.sampled_from([64, 128, 256]),
    value=st.sampled_from([64, 128]),
    slides=st.booleans(),
    state=st.sampled_from([0, 4096]),
)
SHAPES = st.builds(
    Shape,
    tensor_bytes=st.integers(GB // 10, 200 * GB),
    layers=st.lists(LAYERS, min_size=1, max_size=90).map(tuple),
    window=st.sampled_from([0, 512, 1024]),
    embedding_length=st.sampled_from([2048, 5376, 8192]),
    feed_forward_length=st.sampled_from([8192, 28_672]),
    vocabulary_size=st.sampled_from([32_000, 262_144]),
    parameter_count=st.integers(10**8, 4 * 10**11),
    table_bytes=st.integers(0, GB // 20),
    tied=st.booleans(),
)
SETTINGS = st.builds(
    GpuSettings,
    n_ctx=st.sampled_from([512, 2048, 8192, 131_072]),
    n_parallel=st.integers(1, 8),
    cache_type=st.sampled_from(sorted(cache_types.CACHE_TYPES)),
)
WITH_GPUS = st.sampled_from([one for one in instance_types.TYPES if one.gpu])


@given(SHAPES, WITH_GPUS, SETTINGS)
def test_what_is_placed_fits(shape: Shape, instance: InstanceFacts, settings: GpuSettings) -> None:
    """Each GPU, the host, and never more layers than there are."""
    found = gpu_fit.place(shape, instance, settings)
    if found is None:
        return

    assert found.gpu_bytes <= found.usable_bytes
    assert found.usable_bytes < (instance.gpu.memory_gib if instance.gpu else 0) * GiB
    assert found.host_bytes <= instance.memory_gib * GiB
    assert 0 < found.layers <= found.of_layers == len(shape.layers) + 1
    assert 1 <= found.gpus <= instance.gpus
    assert found.tokens_per_s > 0
    assert (found.first_token_s is None) is not found.whole
    margin = {line.name: line.bytes for line in found.lines}
    assert margin["margin"] == gpu_fit.MARGIN_BYTES
    assert margin["CUDA"] == gpu_fit.CUDA_BYTES


@given(SHAPES, WITH_GPUS, SETTINGS)
def test_a_larger_gpu_and_a_smaller_cache_never_hold_less(
    shape: Shape, instance: InstanceFacts, settings: GpuSettings
) -> None:
    """More memory, more layers; fewer bytes for a number, as many at least."""
    assert instance.gpu is not None
    before = gpu_fit.place(shape, instance, settings)
    larger = replace(instance, gpu=replace(instance.gpu, usable_gib=instance.gpu.usable_gib + 8))
    after = gpu_fit.place(shape, larger, settings)
    smaller = gpu_fit.place(shape, instance, replace(settings, cache_type="q4_0"))

    if before is not None:
        assert after is not None
        assert after.layers >= before.layers
        assert smaller is not None
        assert smaller.layers >= before.layers
        assert smaller.tokens_per_s >= before.tokens_per_s


@given(SHAPES, SETTINGS)
def test_twice_the_bandwidth_is_twice_the_speed(shape: Shape, settings: GpuSettings) -> None:
    """Where all layers are on GPUs; and three quarters of it are what is counted on."""
    gpu = Gpu("any", 800, 800, 500, 100)
    instance = InstanceFacts("ml.any.large", 8, 4096, 25, "so", gpu, 1, 1000)
    slow = gpu_fit.place(shape, instance, settings)
    quick = gpu_fit.place(shape, replace(instance, gpu=replace(gpu, bandwidth_gb_s=1000)), settings)
    if slow is None or quick is None or not slow.whole:
        return

    assert quick.tokens_per_s == pytest.approx(2 * slow.tokens_per_s, rel=0.11)
    read = sum(line.bytes for line in slow.lines if line.name == "weights")
    assert slow.tokens_per_s <= 1.06 * 500 * GB * 0.75 / max(read, 1)
