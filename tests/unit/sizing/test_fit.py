"""Fit: three budgets, the smallest size that holds, and refusals with what would fit instead."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import shapes
from pipeline import limits
from pipeline.gguf.header import FILE_TYPES, read_header
from pipeline.limits import MiB
from pipeline.sizing import fit
from pipeline.sizing.fit import Alternative, Fit, FitDecision
from pipeline.sizing.llama_memory import Shape

QUOTA_MB = limits.MEMORY_QUOTA_MB.value


@cache
def shape_of(model: shapes.ModelShape) -> Shape:
    """Return the shape in the header of a true file, whose weights are a hole."""
    with TemporaryDirectory() as folder:
        path = shapes.sparse(model, Path(folder) / "model.gguf")
        with path.open("rb") as file:

            def read(start: int, length: int) -> bytes:
                file.seek(start)
                return file.read(length)

            header = read_header(read)
        assert header.expected_size == path.stat().st_size
    return Shape.from_json(header.to_json())


def needs(
    model: shapes.ModelShape | Shape, *, n_ctx: int = 2048, n_batch: int = 512, ratio: float = 1.0
) -> Fit:
    """Return the fit of a model, its archive so many times as large as its weights."""
    shape = model if isinstance(model, Shape) else shape_of(model)
    size = shape.tensor_bytes + 8 * MiB
    return fit.fit(
        shape, archive_bytes=round(size * ratio), extracted_bytes=size, n_ctx=n_ctx, n_batch=n_batch
    )


def decide(needed: Fit, *, asked_mb: int | None = None, quota_mb: int = QUOTA_MB) -> FitDecision:
    """Return the decision, on an ordinary account."""
    return fit.decide(needed, asked_mb=asked_mb, quota_mb=quota_mb)


def alternative(decision: FitDecision, kind: str) -> Alternative | None:
    """Return the alternative of one kind, if there is one."""
    return next((one for one in decision.alternatives if one.kind == kind), None)


@pytest.mark.parametrize(
    ("model", "smallest"),
    [
        pytest.param(shapes.LLAMA_1B, 2048, id="Llama 3.2 1B, Q4_K_M"),
        pytest.param(replace(shapes.LLAMA_1B, quantization="Q8_0"), 3072, id="Llama 3.2 1B, Q8_0"),
        pytest.param(shapes.LLAMA_3B, 3072, id="Llama 3.2 3B, Q4_K_M"),
        pytest.param(shapes.GEMMA_4B, 4096, id="Gemma 3 4B, Q4_K_M"),
    ],
)
def test_the_smallest_size_that_holds_the_model(model: shapes.ModelShape, smallest: int) -> None:
    """Every size from it upwards is listed, none below it holds the sum."""
    found = needs(model)

    assert found.sizes_mb == tuple(size for size in limits.MEMORY_SIZES_MB if size >= smallest)
    assert (smallest - 1024) * MiB < found.memory_bytes <= smallest * MiB


def test_the_sums_are_shown_line_by_line() -> None:
    """Each budget is the sum of its lines, every line says how, and the text has all figures of the memory."""
    found = needs(shapes.LLAMA_1B)
    document = found.to_json()

    assert found.memory_bytes == sum(line["bytes"] for line in document["lines"])
    assert found.disk_bytes == sum(line["bytes"] for line in document["disk"])
    assert found.startup_s == pytest.approx(sum(stage["seconds"] for stage in document["startup"]), abs=0.2)
    assert all(line["how"] for line in document["lines"] + document["disk"] + document["startup"])
    assert found.arithmetic.startswith("weights 763 MiB + kv cache 64 MiB + compute")
    assert found.arithmetic.endswith(f"= {found.memory_bytes / MiB:,.0f} MiB")


def test_the_serving_stack_and_a_reserve_are_counted() -> None:
    """What runs beside llama.cpp in the container, and 3 % of everything."""
    lines = {line.name: line.bytes for line in needs(shapes.LLAMA_1B).lines}
    reserve = lines.pop("reserve")

    assert lines["server"] == 464 * MiB
    assert reserve == pytest.approx(0.03 * sum(lines.values()), abs=1)


def test_a_size_that_is_filled_to_the_byte_holds_the_model() -> None:
    """The bound is inclusive, and what exceeds it goes to the next size."""
    shape = shape_of(shapes.LLAMA_1B)
    spare = 2048 * MiB - needs(shape).memory_bytes
    exact = replace(shape, tensor_bytes=shape.tensor_bytes + int(spare / (1 + fit.RESERVE)))

    assert 2048 * MiB - 2 <= needs(exact).memory_bytes <= 2048 * MiB
    assert needs(exact).sizes_mb[0] == 2048
    assert needs(replace(exact, tensor_bytes=exact.tensor_bytes + 4)).sizes_mb[0] == 3072


@pytest.mark.parametrize(
    ("quantization", "weights", "download", "instance"),
    [pytest.param("Q4_K_M", "15,774 MiB", "207 s", "ml.c7i.8xlarge", id="Q4_K_M, 16.5 GB"),
     pytest.param("Q8_0", "27,372 MiB", "359 s", "ml.c7i.8xlarge", id="Q8_0, 28.7 GB")],
)  # fmt: skip
def test_a_27b_model_is_refused_for_every_true_reason(
    quantization: str, weights: str, download: str, instance: str
) -> None:
    """It exceeds the memory, the disk and the start-up time; each reason has its figures, and an instance would do."""
    found = needs(replace(shapes.GEMMA_27B, quantization=quantization))
    decision = decide(found)
    memory, disk, startup = decision.problems

    assert decision.memory_mb is None
    assert [problem.error for problem in decision.problems] == [
        "TooMuchMemory",
        "TooMuchDisk",
        "TooSlowToStart",
    ]
    assert (f"{found.memory_bytes / MiB:,.0f} MiB" in memory.seen, "6144 MB" in memory.wanted) == (True, True)
    assert (f"{found.certain_disk_bytes / MiB:,.0f} MiB" in disk.seen, "4,768 MiB" in disk.wanted) == (
        True,
        True,
    )
    assert (f"download {download}" in startup.seen, "180 s" in startup.wanted) == (True, True)
    assert [(one.kind, one.value) for one in decision.alternatives] == [("instance", instance)]
    assert instance in memory.fix
    assert f"weights {weights}" in found.arithmetic


@pytest.mark.parametrize(
    ("extracted", "problems", "warned"),
    [
        pytest.param(2 * limits.GB, [], False, id="twice fits"),
        pytest.param(3 * limits.GB, [], True, id="fits once, perhaps not twice"),
        pytest.param(5 * limits.GB, ["TooMuchDisk"], False, id="not even once"),
    ],
)
def test_what_is_not_known_of_the_disk_is_a_warning(
    extracted: int, problems: list[str], warned: bool
) -> None:
    """Refused is what cannot fit; what fits only if the archive is gone in time is said."""
    shape = shape_of(shapes.LLAMA_1B)
    found = fit.fit(shape, archive_bytes=extracted, extracted_bytes=extracted, n_ctx=2048, n_batch=512)

    assert [problem.error for problem in found.problems] == problems
    assert bool(found.sizes_mb) == (not problems)
    assert ["AWS does not say" in warning for warning in found.warnings] == [True] * warned


def test_a_deflated_archive_is_extracted_more_slowly() -> None:
    """The sizes tell which it is: quantised weights deflate by 2 to 4 %, stored blocks grow a little."""
    stored, deflated = (
        next(
            stage.seconds
            for stage in needs(shapes.LLAMA_1B, ratio=ratio).startup
            if stage.name == "extraction"
        )
        for ratio in (1.0001, 0.97)
    )

    assert deflated == pytest.approx(
        stored * fit.EXTRACT_STORED.bytes_per_s / fit.EXTRACT_DEFLATED.bytes_per_s
    )


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
    """What was requested wins when it holds the model; else the smallest does."""
    decision = fit.decide(needs(shapes.LLAMA_1B), asked_mb=asked, quota_mb=quota)

    assert decision == fit.FitDecision(expected)


@pytest.mark.parametrize(
    ("model", "asked", "error", "told"),
    [
        pytest.param(
            shapes.LLAMA_1B, 1024, "MemoryTooSmall", "set memory_mb to 2048", id="less than is needed"
        ),
        pytest.param(
            shapes.GEMMA_4B, None, "AboveQuota", "set memory_mb to 4096", id="more than accounts have"
        ),
    ],
)
def test_a_size_that_will_not_do_is_refused_with_the_one_that_would(
    model: shapes.ModelShape, asked: int | None, error: str, told: str
) -> None:
    """The refusal has the way out."""
    decision = fit.decide(needs(model), asked_mb=asked, quota_mb=QUOTA_MB)

    assert decision.memory_mb is None
    assert [problem.error for problem in decision.problems] == [error]
    assert told in decision.problems[0].fix


def test_a_shorter_context_is_computed() -> None:
    """The longest one that fits: it fits, and the next step does not."""
    decision = decide(needs(shapes.LLAMA_1B, n_ctx=32_768))
    found = alternative(decision, "n_ctx")

    assert found is not None
    length = int(found.value)
    assert length % 256 == 0
    assert decide(needs(shapes.LLAMA_1B, n_ctx=length)).memory_mb == QUOTA_MB
    assert decide(needs(shapes.LLAMA_1B, n_ctx=length + 1)).memory_mb is None


def test_a_smaller_batch_is_computed() -> None:
    """The largest half, quarter, ... that fits."""
    decision = decide(needs(shapes.LLAMA_3B, n_ctx=3072))
    found = alternative(decision, "n_batch")

    assert found is not None
    assert decide(needs(shapes.LLAMA_3B, n_ctx=3072, n_batch=int(found.value))).memory_mb == QUOTA_MB
    assert decide(needs(shapes.LLAMA_3B, n_ctx=3072, n_batch=2 * int(found.value))).memory_mb is None


@pytest.mark.parametrize(
    "model",
    [pytest.param(shapes.LLAMA_1B, id="1B"), pytest.param(shapes.LLAMA_3B, id="3B"),
     pytest.param(shapes.GEMMA_27B, id="27B")],
)  # fmt: skip
def test_the_size_of_another_quantisation_is_estimated(model: shapes.ModelShape) -> None:
    """From bits per weight to within 3 % of what the file of that quantisation has."""
    full = needs(replace(model, quantization="F16")).demand
    estimated = fit._quantized(full, fit.BITS_PER_WEIGHT["Q4_K_M"])

    assert estimated is not None
    assert estimated.shape.tensor_bytes == pytest.approx(shape_of(model).tensor_bytes, rel=0.03)
    assert (
        full.archive_bytes - estimated.archive_bytes == full.shape.tensor_bytes - estimated.shape.tensor_bytes
    )


def test_the_finest_quantisation_that_fits_is_offered() -> None:
    """Not the smallest there is, and none that is no smaller than what there is."""
    offered = alternative(decide(needs(replace(shapes.LLAMA_3B, quantization="F16"))), "quantization")
    none = alternative(decide(needs(shapes.LLAMA_1B, n_ctx=131_072)), "quantization")

    assert offered is not None
    assert offered.value == "Q4_K_M"
    assert none is None


def test_a_larger_quota_is_offered_only_where_it_helps() -> None:
    """A model that needs 4096 MB, not one that no size holds."""
    offered = alternative(decide(needs(shapes.GEMMA_4B)), "quota")

    assert offered is not None
    assert offered.value == 4096
    assert "AWS Support" in offered.text
    assert alternative(decide(needs(shapes.GEMMA_27B)), "quota") is None
    assert decide(needs(shapes.GEMMA_4B), quota_mb=4096).memory_mb == 4096


def test_the_quantisations_are_ones_that_the_header_names() -> None:
    """Finest first, and by the names that `pipeline.gguf.header` gives."""
    assert set(fit.BITS_PER_WEIGHT) <= {name for name, _ in FILE_TYPES.values()}
    assert list(fit.BITS_PER_WEIGHT.values()) == sorted(fit.BITS_PER_WEIGHT.values(), reverse=True)


@given(
    sizes=st.tuples(st.integers(0, 20 * limits.GB), st.integers(0, 30 * 10**9)),
    n_ctx=st.integers(64, 131_072),
    n_batch=st.integers(1, 8192),
    asked=st.sampled_from([None, *limits.MEMORY_SIZES_MB]),
    quota=st.sampled_from(limits.MEMORY_SIZES_MB),
)
def test_a_decision_is_a_size_that_holds_or_a_reason(
    sizes: tuple[int, int], n_ctx: int, n_batch: int, asked: int | None, quota: int
) -> None:
    """Never both and never neither; what is chosen holds the sum, and every setting that is offered fits."""
    shape = replace(shape_of(shapes.LLAMA_1B), tensor_bytes=sizes[0], parameter_count=sizes[1])
    needed = needs(shape, n_ctx=n_ctx, n_batch=n_batch)

    decision = decide(needed, asked_mb=asked, quota_mb=quota)

    assert (decision.memory_mb is None) == bool(decision.problems)
    if decision.memory_mb is not None:
        assert decision.memory_mb * MiB >= needed.memory_bytes
        assert decision.alternatives == ()
    for offered in decision.alternatives:
        if offered.kind in ("n_ctx", "n_batch"):
            settings: dict[str, Any] = {"n_ctx": n_ctx, "n_batch": n_batch, offered.kind: offered.value}
            again = needs(shape, **settings)
            assert decide(again, asked_mb=asked, quota_mb=quota).memory_mb is not None
