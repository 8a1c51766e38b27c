"""How much memory and disk a model needs, and which serverless sizes hold it: arithmetic on the header alone.

The estimate is the sum of four lines, each shown to the person who asks:

    weights    the bytes of the tensors (the file is memory-mapped; its pages count when they are used)
    kv cache   2 x layers x KV heads x head size x 2 bytes (f16) x n_ctx   (llama.cpp, llama-kv-cache.cpp)
    compute    llama.cpp's scratch buffers: the logits of one batch and the widest activations
    runtime    the model server around llama.cpp
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline import limits
from pipeline.errors import ModelDoesNotFit, Problem
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME_BYTES = 680 * MiB
"""Resident memory of the prebuilt image's serving stack before a model is loaded, measured: entry point 232 MB,
Java 190 to 200 MB, worker 250 MB."""

DISK_SLACK_BYTES = 512 * MiB
"""Left free on the endpoint's disk for the runtime and temporary files."""

STARTUP_BYTES_PER_S = 80_000_000
"""Observed download rate into a serverless container: 2.95 GB in 37 s."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the arithmetic."""

    name: str
    bytes: int
    how: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model needs, and the sizes that hold it."""

    lines: tuple[Line, ...]
    memory_bytes: int
    disk_bytes: int
    startup_s: float
    """Seconds to download the archive, at the observed rate; extraction and loading come on top."""
    sizes_mb: tuple[int, ...]
    """Every serverless memory size that holds the model, smallest first."""
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fit as a JSON object."""
        return asdict(self)

    @property
    def arithmetic(self) -> str:
        """The sum as one line of text."""
        parts = " + ".join(f"{line.name} {_mb(line.bytes)}" for line in self.lines)
        return f"{parts} = {_mb(self.memory_bytes)}"


@dataclass(frozen=True, slots=True)
class Shape:
    """The figures of a GGUF header that memory depends on."""

    tensor_bytes: int
    kv_heads: int
    """KV heads of all layers together."""
    block_count: int
    key_length: int
    value_length: int
    embedding_length: int
    vocabulary_size: int

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> Shape:
        """Read the shape from the model part of an archive report.

        A header that leaves a figure out counts as 0 there: the model server will say what it misses.
        """
        blocks, heads = _count(model["block_count"]), model["head_counts_kv"] or model["head_counts"]
        return cls(
            tensor_bytes=_count(model["tensor_bytes"]),
            kv_heads=sum(heads) if isinstance(heads, list) else _count(heads) * blocks,
            block_count=blocks,
            key_length=_count(model["key_length"]),
            value_length=_count(model["value_length"]),
            embedding_length=_count(model["embedding_length"]),
            vocabulary_size=_count(model["vocabulary_size"]),
        )


def fit(shape: Shape, *, archive_bytes: int, extracted_bytes: int, n_ctx: int, n_batch: int) -> Fit:
    """Return what the model needs with these settings, and which sizes hold it."""
    cache = shape.kv_heads * (shape.key_length + shape.value_length) * 2 * n_ctx
    compute = 4 * n_batch * (shape.vocabulary_size + 8 * shape.embedding_length)
    lines = (
        Line("weights", shape.tensor_bytes, "bytes of all tensors"),
        Line(
            "kv cache",
            cache,
            f"{shape.kv_heads} KV heads in {shape.block_count} layers x "
            f"({shape.key_length} + {shape.value_length}) x 2 bytes x {n_ctx} tokens",
        ),
        Line(
            "compute",
            compute,
            f"4 bytes x {n_batch} tokens x ({shape.vocabulary_size} + 8 x {shape.embedding_length})",
        ),
        Line("runtime", RUNTIME_BYTES, "measured: the prebuilt image's serving stack"),
    )
    memory = sum(line.bytes for line in lines)
    disk = extracted_bytes + DISK_SLACK_BYTES
    startup = archive_bytes / STARTUP_BYTES_PER_S
    sizes = tuple(size for size in limits.MEMORY_SIZES_MB if size * MiB >= memory)
    problems = []
    if not sizes:
        problems.append(
            Problem(
                "TooMuchMemory",
                f"{_mb(memory)} of memory needed",
                f"at most {limits.MEMORY_SIZES_MB[-1]} MB, the largest serverless size",
                "use a smaller quantisation, a smaller n_ctx, or an instance endpoint",
            )
        )
    if disk > limits.DISK.value:
        problems.append(
            Problem(
                "TooMuchDisk",
                f"{_mb(disk)} of disk needed",
                f"at most {_mb(limits.DISK.value)}, whatever the memory size",
                "use a smaller quantisation, or an instance endpoint",
            )
        )
    if startup > limits.STARTUP_S.value:
        problems.append(
            Problem(
                "TooSlowToStart",
                f"about {startup:.0f} s to download {_mb(archive_bytes)} at 80 MB/s",
                f"at most {limits.STARTUP_S.value} s until /ping answers",
                "use a smaller quantisation, or an instance endpoint",
            )
        )
    return Fit(lines, memory, disk, startup, sizes if not problems else (), tuple(problems))


def choose_memory(subject: str, needed: Fit, *, asked_mb: int | None, quota_mb: int) -> int:
    """Return the MemorySizeInMB to ask for: what was asked if it holds the model, else the smallest that does.

    Raises:
        ModelDoesNotFit: with the arithmetic, when no allowed size holds the model.
    """
    if needed.problems:
        raise ModelDoesNotFit(f"{subject} ({needed.arithmetic})", needed.problems)
    smallest = needed.sizes_mb[0]
    if asked_mb is not None:
        if asked_mb >= smallest:
            return asked_mb
        raise ModelDoesNotFit(
            f"{subject} ({needed.arithmetic})",
            [
                Problem(
                    "MemoryTooSmall",
                    f"memory_mb {asked_mb}",
                    f"at least {smallest}",
                    f"set memory_mb to {smallest} or leave it out",
                )
            ],
        )
    if smallest > quota_mb:
        raise ModelDoesNotFit(
            f"{subject} ({needed.arithmetic})",
            [
                Problem(
                    "AboveQuota",
                    f"{smallest} MB needed",
                    f"at most {quota_mb} MB, what an ordinary account allows for a serverless endpoint",
                    "use a smaller quantisation or n_ctx; or ask AWS Support for a higher "
                    f"'Memory size in MB per serverless endpoint' and set memory_mb to {smallest}",
                )
            ],
        )
    return smallest


def _count(value: Any) -> int:
    return int(value or 0)


def _mb(size: int) -> str:
    return f"{size / MiB:,.0f} MiB"
