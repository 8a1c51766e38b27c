"""Fit: the arithmetic of known shapes, the smallest size, and refusals that give their numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import fit, limits
from pipeline.errors import ModelDoesNotFit
from pipeline.fit import Fit, Shape
from pipeline.limits import MiB

KiB = 1024

LLAMA_1B = Shape(
    tensor_bytes=799_862_912,
    kv_heads=16 * 8,
    block_count=16,
    key_length=64,
    value_length=64,
    embedding_length=2048,
    vocabulary_size=128_256,
)
LLAMA_3B = Shape(2_011_539_712, 28 * 8, 28, 128, 128, 3072, 128_256)
# Gemma 3 27B in Q4_K_M: 62 layers with 16 KV heads of 128, a file of 16.5 GB.
GEMMA_27B = Shape(16_500_000_000, 62 * 16, 62, 128, 128, 5376, 262_208)


def needs(shape: Shape, *, archive_bytes: int | None = None, n_ctx: int = 2048, n_batch: int = 512) -> Fit:
    """Return the fit of a model that is packed as it is."""
    size = shape.tensor_bytes if archive_bytes is None else archive_bytes
    return fit.fit(shape, archive_bytes=size, extracted_bytes=size, n_ctx=n_ctx, n_batch=n_batch)


def line(found: Fit, name: str) -> int:
    """Return the bytes of one line of the arithmetic."""
    return next(one.bytes for one in found.lines if one.name == name)


@pytest.mark.parametrize(
    ("shape", "per_token"),
    [
        pytest.param(LLAMA_1B, 32 * KiB, id="Llama 3.2 1B"),
        pytest.param(LLAMA_3B, 112 * KiB, id="Llama 3.2 3B"),
        pytest.param(GEMMA_27B, 496 * KiB, id="Gemma 3 27B"),
    ],
)
def test_the_cache_of_known_models(shape: Shape, per_token: int) -> None:
    """Published bytes of KV cache per token, at f16."""
    assert line(needs(shape, n_ctx=2048), "kv cache") == per_token * 2048
    assert line(needs(shape, n_ctx=1), "kv cache") == per_token


def test_the_sum_is_shown_line_by_line() -> None:
    """Memory is the sum of four lines, and the text says so in figures."""
    found = needs(LLAMA_1B)

    assert [one.name for one in found.lines] == ["weights", "kv cache", "compute", "runtime"]
    assert found.memory_bytes == sum(one.bytes for one in found.lines)
    assert line(found, "weights") == LLAMA_1B.tensor_bytes
    assert "weights 763 MiB + kv cache 64 MiB + compute" in found.arithmetic
    assert found.arithmetic.endswith(f"= {found.memory_bytes / MiB:,.0f} MiB")


@pytest.mark.parametrize(
    ("shape", "smallest"),
    [
        pytest.param(
            replace(LLAMA_1B, tensor_bytes=1 * MiB), 2048, id="the runtime, a wide vocabulary, no model"
        ),
        pytest.param(LLAMA_1B, 2048, id="Llama 3.2 1B"),
        pytest.param(LLAMA_3B, 4096, id="Llama 3.2 3B"),
    ],
)
def test_the_smallest_size_that_holds_the_model(shape: Shape, smallest: int) -> None:
    """Every size from it upwards is listed, none below it holds the sum."""
    found = needs(shape)

    assert found.sizes_mb == tuple(size for size in limits.MEMORY_SIZES_MB if size >= smallest)
    assert found.memory_bytes <= smallest * MiB
    assert found.memory_bytes > (smallest - 1024) * MiB


def test_a_size_that_is_filled_to_the_byte_holds_the_model() -> None:
    """The bound is inclusive, and one byte more goes to the next size."""
    others = needs(LLAMA_1B).memory_bytes - LLAMA_1B.tensor_bytes
    exact = replace(LLAMA_1B, tensor_bytes=2048 * MiB - others)

    assert needs(exact).sizes_mb[0] == 2048
    assert needs(replace(exact, tensor_bytes=exact.tensor_bytes + 1)).sizes_mb[0] == 3072


def test_a_27b_model_is_refused_for_every_true_reason() -> None:
    """16.5 GB exceed the memory, the disk and the start-up time, and each reason has its figures."""
    found = needs(GEMMA_27B)

    assert [problem.error for problem in found.problems] == ["TooMuchMemory", "TooMuchDisk", "TooSlowToStart"]
    memory, disk, startup = found.problems
    assert f"{found.memory_bytes / MiB:,.0f} MiB" in memory.seen
    assert "6144 MB" in memory.wanted
    assert f"{found.disk_bytes / MiB:,.0f} MiB" in disk.seen
    assert "4,768 MiB" in disk.wanted
    assert "206 s" in startup.seen
    assert "180 s" in startup.wanted
    assert found.sizes_mb == ()

    with pytest.raises(ModelDoesNotFit, match="weights 15,736 MiB") as refusal:
        fit.choose_memory("gemma.gguf", found, asked_mb=6144, quota_mb=6144)

    assert refusal.value.problems == found.problems


def test_a_model_of_the_disks_size_is_refused_although_the_memory_would_do() -> None:
    """The disk is 5 GB whatever the memory, and something must stay free on it."""
    found = fit.fit(LLAMA_1B, archive_bytes=1, extracted_bytes=5 * limits.GB, n_ctx=2048, n_batch=512)

    assert [problem.error for problem in found.problems] == ["TooMuchDisk"]
    assert found.sizes_mb == ()


@pytest.mark.parametrize(
    ("asked", "quota", "expected"),
    [
        pytest.param(None, 3072, 2048, id="the smallest"),
        pytest.param(2048, 3072, 2048, id="just what is needed"),
        pytest.param(3072, 3072, 3072, id="more than is needed"),
        pytest.param(6144, 3072, 6144, id="above the quota on request: the account may have more"),
    ],
)
def test_a_size_is_chosen(asked: int | None, quota: int, expected: int) -> None:
    """What was asked for wins when it holds the model; else the smallest does."""
    assert fit.choose_memory("a model", needs(LLAMA_1B), asked_mb=asked, quota_mb=quota) == expected


@pytest.mark.parametrize(
    ("shape", "asked", "error", "told"),
    [
        pytest.param(LLAMA_1B, 1024, "MemoryTooSmall", "set memory_mb to 2048", id="less than is needed"),
        pytest.param(LLAMA_3B, None, "AboveQuota", "set memory_mb to 4096", id="more than accounts have"),
    ],
)
def test_a_size_that_will_not_do_is_refused_with_the_one_that_would(
    shape: Shape, asked: int | None, error: str, told: str
) -> None:
    """The refusal has the arithmetic and the way out."""
    found = needs(shape)

    with pytest.raises(ModelDoesNotFit) as refusal:
        fit.choose_memory("a model", found, asked_mb=asked, quota_mb=3072)

    assert [problem.error for problem in refusal.value.problems] == [error]
    assert told in str(refusal.value)
    assert found.arithmetic in str(refusal.value)


def test_layers_with_heads_of_their_own_are_summed() -> None:
    """An array of KV heads, one per layer, is what hybrid models have."""
    model: dict[str, Any] = {
        "tensor_bytes": 1,
        "block_count": 4,
        "head_counts": 8,
        "head_counts_kv": [2, 0, 0, 4],
        "key_length": 64,
        "value_length": 32,
        "embedding_length": 512,
        "vocabulary_size": 1000,
    }

    assert Shape.from_json(model).kv_heads == 6
    assert line(needs(Shape.from_json(model), n_ctx=10), "kv cache") == 6 * (64 + 32) * 2 * 10


@pytest.mark.parametrize(
    ("heads", "kv_heads", "expected"),
    [
        pytest.param(32, 8, 128, id="grouped queries"),
        pytest.param(32, None, 512, id="as many as there are heads"),
        pytest.param(None, None, 0, id="not said"),
    ],
)
def test_a_number_of_heads_counts_for_each_layer(
    llama_1b: dict[str, Any], heads: int | None, kv_heads: int | None, expected: int
) -> None:
    """One number stands for all layers."""
    shape = Shape.from_json({**llama_1b, "head_counts": heads, "head_counts_kv": kv_heads})

    assert shape.kv_heads == expected


def test_a_header_without_figures_counts_as_nothing(llama_1b: dict[str, Any]) -> None:
    """The planner does not fail where the model server will say what it misses."""
    shape = Shape.from_json(dict.fromkeys(llama_1b))

    assert needs(shape).memory_bytes == fit.RUNTIME_BYTES


@given(
    shape=st.builds(
        Shape,
        tensor_bytes=st.integers(0, 20 * limits.GB),
        kv_heads=st.integers(0, 2000),
        block_count=st.integers(0, 100),
        key_length=st.integers(0, 512),
        value_length=st.integers(0, 512),
        embedding_length=st.integers(0, 16_384),
        vocabulary_size=st.integers(0, 300_000),
    ),
    n_ctx=st.integers(64, 131_072),
)
def test_more_never_needs_less(shape: Shape, n_ctx: int) -> None:
    """A longer context or a larger model never fits a size that the smaller did not."""
    here = needs(shape, n_ctx=n_ctx)
    longer = needs(shape, n_ctx=n_ctx + 64)
    larger = needs(replace(shape, tensor_bytes=shape.tensor_bytes + MiB), n_ctx=n_ctx)

    assert set(longer.sizes_mb) <= set(here.sizes_mb)
    assert set(larger.sizes_mb) <= set(here.sizes_mb)
    assert bool(here.sizes_mb) == (not here.problems)
