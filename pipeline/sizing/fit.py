"""Whether a model fits a serverless endpoint: its needs against three budgets, and what would fit instead.

Owns the budgets of memory, disk and start-up time, each a sum of lines that are shown to the person who asks, the
choice of a memory size, and the alternatives, which are computed like the model's own needs and never recited.
What llama.cpp occupies comes from `llama_memory`; the platform's limits from `pipeline.limits`. Refuses to read
anything but the figures of a header and the sizes of an archive.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pipeline import limits
from pipeline.errors import Problem
from pipeline.limits import MiB
from pipeline.sizing import companion_memory, instance_choice, instance_types
from pipeline.sizing.cache_types import F16
from pipeline.sizing.companion_memory import Beside
from pipeline.sizing.llama_memory import CELL_PADDING, STAGING_MOST, UBATCH, Shape, footprint
from pipeline.sizing.serving import PREBUILT, MemoryLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.sizing.instance_types import Instance
    from pipeline.sizing.serving import OtherServing, Serving


ALONE: Final = Beside()
SAVED_MB: Final = 32
"""MiB for evaluated prompts, unless a deployment says otherwise (prefix_cache_mb of inference/config.json)."""
RESERVE: Final = 0.03
"""Of the sum of the lines: what benchmarks/bench_fit.py lets a measured model exceed its prediction by."""

DISK_SLACK: Final = MemoryLine("temporary files", 512 * MiB, "kept free for the runtime")

STORED_FROM: Final = 0.995
"""Archive over contents from which an archive is stored, not deflated: quantised weights deflate by 2 to 4 %."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast one part of a cold start goes."""

    bytes_per_s: int
    source: str


DOWNLOAD: Final = Rate(80_000_000, "observed: 2.95 GB in 37 s into a serverless container")
# Which extractor SageMaker has is not known; GNU tar is the slower of those that were measured.
EXTRACT_STORED: Final = Rate(150_000_000, "measured: 1.2 GB of stored blocks with GNU tar, 7.8 s")
EXTRACT_DEFLATED: Final = Rate(94_000_000, "measured: 1.2 GB deflated with gzip -6, with GNU tar, 12.4 s")
LOAD: Final = Rate(250_000_000, "measured: 668 MB from a cold disk, 2.5 s")

BITS_PER_WEIGHT: Final = {
    "F16": 16.0005,
    "Q8_0": 8.5008,
    "Q6_K": 6.5633,
    "Q5_K_M": 5.7036,
    "Q5_K_S": 5.5704,
    "Q4_K_M": 4.8944,
    "IQ4_NL": 4.6818,
    "Q4_K_S": 4.6672,
    "IQ4_XS": 4.4597,
    "Q3_K_L": 4.2979,
    "Q3_K_M": 3.9960,
    "IQ3_M": 3.7628,
    "IQ3_S": 3.6606,
    "Q3_K_S": 3.6429,
    "IQ3_XS": 3.4977,
    "IQ3_XXS": 3.2548,
    "Q2_K": 3.1593,
    "Q2_K_S": 2.9697,
    "IQ2_M": 2.9294,
    "IQ2_S": 2.7403,
    "IQ2_XS": 2.5882,
    "IQ2_XXS": 2.3824,
    "IQ1_M": 2.1460,
    "IQ1_S": 2.0042,
}
"""llama.cpp, tools/quantize/README.md, for Llama 3.1 8B; finest first."""
EMBEDDING_BITS: Final = BITS_PER_WEIGHT["Q6_K"]
"""llama-quantize keeps an embedding that is also the output matrix at 6 bits or more (llama-quant.cpp)."""

LEAST_CONTEXT: Final = 512
"""Tokens of the smallest useful context."""
LEAST_BATCH: Final = 32
"""Tokens at a time below which prompts are read hardly faster than they are answered."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of a cold start."""

    name: str
    seconds: float
    how: str


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be run, and how: all that a fit depends on."""

    shape: Shape
    archive_bytes: int
    extracted_bytes: int
    n_ctx: int
    n_batch: int
    serving: Serving = PREBUILT
    prefix_cache_mb: int = SAVED_MB
    """MiB for evaluated prompts that are not the last one."""
    n_parallel: int = 1
    """Slots: requests that are answered at once, each with a context of its own."""
    checkpoints: bool = True
    """Whether a server that keeps checkpoints of each slot is to keep them."""
    bare: bool = False
    """Whether the files are handed over as they are: nothing is extracted, and no archive lies beside them."""
    below: int | None = None
    """Bytes of the image that the model's layer is laid on, where the image holds the model; else None."""
    beside: Beside = ALONE
    """What is loaded beside the model."""
    cache_type: str = F16
    """Of the caches' numbers: one of `cache_types.CACHE_TYPES`."""
    n_gpu_layers: int | None = None
    """Layers that lie on GPUs, where a type has some; None: all."""

    @property
    def beside_lines(self) -> tuple[MemoryLine, ...]:
        """What is taken by what lies beside the model."""
        return companion_memory.lines(
            self.beside,
            vocabulary=self.shape.vocabulary_size,
            n_ctx=self.n_ctx,
            n_batch=self.n_batch,
            n_parallel=self.n_parallel,
        )

    @property
    def checkpoints_kept(self) -> int:
        """The checkpoints of each slot."""
        return self.serving.checkpoints if self.checkpoints else 0


@dataclass(frozen=True, slots=True)
class Alternative:
    """Something else that would fit."""

    kind: str
    """container, n_ctx, n_batch, quantization, quota or instance."""
    value: int | str
    text: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model needs, and the sizes that hold it."""

    demand: Demand
    lines: tuple[MemoryLine, ...]
    """The arithmetic of memory."""
    disk: tuple[MemoryLine, ...]
    startup: tuple[Stage, ...]
    image: tuple[MemoryLine, ...] = ()
    """The arithmetic of the image, where it holds the model."""

    @property
    def image_bytes(self) -> int:
        """All that the image holds; none where the model is not in it."""
        return sum(line.bytes for line in self.image)

    @property
    def memory_bytes(self) -> int:
        """The sum of the lines."""
        return sum(line.bytes for line in self.lines)

    @property
    def disk_bytes(self) -> int:
        """All that may lie on the disk at once."""
        return sum(line.bytes for line in self.disk)

    @property
    def certain_disk_bytes(self) -> int:
        """What lies on the disk even if the archive is deleted while it is extracted."""
        return sum(line.bytes for line in self.disk if line.name != "archive")

    @property
    def startup_s(self) -> float:
        """Seconds of a cold start."""
        return sum(stage.seconds for stage in self.startup)

    @property
    def arithmetic(self) -> str:
        """The sum of the memory as one line of text."""
        parts = " + ".join(f"{line.name} {_mib(line.bytes)}" for line in self.lines)
        return f"{parts} = {_mib(self.memory_bytes)}"

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why no serverless endpoint of any size holds the model."""
        return tuple(self._problems())

    @property
    def sizes_mb(self) -> tuple[int, ...]:
        """Every serverless memory size that holds the model, smallest first."""
        if self.problems:
            return ()
        return tuple(size for size in limits.MEMORY_SIZES_MB if size * MiB >= self.memory_bytes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may yet go wrong, and cannot be known before it is tried; and what is slower for want of memory."""
        return (*self._image_warnings(), *self._disk_warnings(), *self._checkpoint_warnings())

    def _image_warnings(self) -> tuple[str, ...]:
        if not self.image:
            return ()
        warning = (
            f"start-up: how long SageMaker takes to bring an image of {_mib(self.image_bytes)} to a container is not "
            "counted: AWS does not say, and only an account tells (assumed: within the time that it allows)"
        )
        return (warning,)

    def _checkpoint_warnings(self) -> tuple[str, ...]:
        if self.demand.checkpoints:
            return ()
        saved = _fit(replace(self.demand, checkpoints=True)).memory_bytes - self.memory_bytes
        if not saved:
            return ()
        warning = (
            f"memory: no checkpoint is kept, which would take {_mib(saved)} and a larger size: each turn of a chat "
            "evaluates its prompt from the beginning"
        )
        return (warning,)

    def _disk_warnings(self) -> tuple[str, ...]:
        if self.certain_disk_bytes <= limits.DISK.value < self.disk_bytes:
            most, least = _mib(self.disk_bytes), _mib(self.certain_disk_bytes)
            warning = (
                f"disk: {most} are needed if SageMaker keeps the archive beside what it extracts, of "
                f"{_mib(limits.DISK.value)}; {least} if it does not; AWS does not say which"
            )
            return (warning,)
        return ()

    def with_slots(self, n_parallel: int) -> Fit:
        """Return what the same model needs with so many slots."""
        return _fit(replace(self.demand, n_parallel=n_parallel))

    def with_gpu_layers(self, number: int) -> Fit:
        """Return what the same model needs with so many layers on GPUs."""
        return _fit(replace(self.demand, n_gpu_layers=number))

    def without_checkpoints(self) -> Fit:
        """Return what the same model needs where each turn of a chat may be evaluated anew."""
        return _fit(replace(self.demand, checkpoints=False))

    def _problems(self) -> Iterator[Problem]:
        largest = limits.MEMORY_SIZES_MB[-1]
        if self.memory_bytes > largest * MiB:
            yield Problem(
                "TooMuchMemory",
                f"{_mib(self.memory_bytes)} of memory needed",
                f"at most {largest} MB, the largest serverless size",
                "use a smaller model, quantisation or n_ctx, or an instance endpoint",
            )
        if self.certain_disk_bytes > limits.DISK.value:
            yield Problem(
                "TooMuchDisk",
                f"{_mib(self.certain_disk_bytes)} of disk needed",
                f"at most {_mib(limits.DISK.value)}, whatever the memory size",
                "use a smaller model or quantisation, or an instance endpoint",
            )
        if self.startup_s > limits.STARTUP_S.value:
            stages = " + ".join(f"{stage.name} {stage.seconds:.0f} s" for stage in self.startup)
            yield Problem(
                "TooSlowToStart",
                f"about {self.startup_s:.0f} s to start ({stages})",
                f"at most {limits.STARTUP_S.value} s, and that cannot be configured",
                "use a smaller model or quantisation, or an instance endpoint",
            )
        if self.image_bytes > limits.IMAGE_BYTES.value:
            parts = " + ".join(f"{line.name} {line.bytes:,}" for line in self.image)
            yield Problem(
                "ImageTooLarge",
                f"an image of {parts} = {self.image_bytes:,} bytes",
                f"at most {limits.IMAGE_BYTES.value:,}, the largest image of a serverless endpoint",
                "use a smaller model or quantisation, or an instance endpoint",
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fit as a JSON object."""
        return {
            "lines": [asdict(line) for line in self.lines],
            "memory_bytes": self.memory_bytes,
            "disk": [asdict(line) for line in self.disk],
            "disk_bytes": self.disk_bytes,
            "startup": [{**asdict(stage), "seconds": round(stage.seconds, 1)} for stage in self.startup],
            "startup_s": round(self.startup_s, 1),
            **({"image": [asdict(line) for line in self.image]} if self.image else {}),
            "sizes_mb": list(self.sizes_mb),
            "problems": [problem.to_json() for problem in self.problems],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class FitDecision:
    """The memory size to ask for, or why there is none and what would fit instead."""

    memory_mb: int | None
    problems: tuple[Problem, ...] = ()
    alternatives: tuple[Alternative, ...] = ()


def fit(
    shape: Shape,
    *,
    archive_bytes: int,
    extracted_bytes: int,
    n_ctx: int,
    n_batch: int,
    serving: Serving = PREBUILT,
    prefix_cache_mb: int = SAVED_MB,
    n_parallel: int = 1,
    bare: bool = False,
    beside: Beside = ALONE,
    below: int | None = None,
    cache_type: str = F16,
    n_gpu_layers: int | None = None,
) -> Fit:
    """Return what the model needs with these settings, served by this; with `below`, from within the image."""
    return _fit(
        Demand(
            shape,
            archive_bytes,
            extracted_bytes,
            n_ctx,
            n_batch,
            serving,
            prefix_cache_mb,
            n_parallel,
            bare=bare,
            beside=beside,
            below=below,
            cache_type=cache_type,
            n_gpu_layers=n_gpu_layers,
        )
    )


def decide(
    needed: Fit,
    *,
    asked_mb: int | None,
    quota_mb: int,
    table: Sequence[Instance] = instance_types.TABLE,
    lighter: Sequence[OtherServing] = (),
) -> FitDecision:
    """Return the memory size: what was requested if it holds the model, else the smallest that does.

    A requested size may exceed `quota_mb`, which is only what an ordinary account has. Of the instance types in
    `table` the cheapest one that holds the model is an alternative; so is each of `lighter` that holds it.
    """
    problems = needed.problems
    smallest = next(iter(needed.sizes_mb), None)
    allowed = quota_mb if asked_mb is None else asked_mb
    if smallest is not None and smallest <= allowed:
        return FitDecision(smallest if asked_mb is None else asked_mb)
    if smallest is not None:
        problems = (_over(needed, smallest, asked_mb, quota_mb),)
    alternatives = (
        *_served_otherwise(needed, allowed, lighter),
        *_alternatives(needed, allowed),
        *_on_instances(needed, table),
    )
    choice = "; or ".join(alternative.text for alternative in alternatives)
    advised = (
        replace(problems[0], fix=choice),
        *(replace(one, fix="as for the first") for one in problems[1:]),
    )
    return FitDecision(None, advised, alternatives)


# -- the three sums


def _fit(demand: Demand) -> Fit:
    return Fit(demand, _memory(demand), _disk(demand), _startup(demand), _image(demand))


def _memory(demand: Demand) -> tuple[MemoryLine, ...]:
    lines = (
        *footprint(
            demand.shape,
            n_ctx=demand.n_ctx,
            n_batch=demand.n_batch,
            n_parallel=demand.n_parallel,
            checkpoints=demand.checkpoints_kept,
            cache_type=demand.cache_type,
        ),
        *demand.beside_lines,
        demand.serving.memory,
        MemoryLine("saved prompts", demand.prefix_cache_mb * MiB, "at most: prefix_cache_mb"),
    )
    reserve = round(RESERVE * sum(line.bytes for line in lines))
    return (
        *lines,
        MemoryLine("reserve", reserve, f"{RESERVE:.0%}, what a model may take beyond what is predicted"),
    )


def _image(demand: Demand) -> tuple[MemoryLine, ...]:
    if demand.below is None:
        return ()
    return (
        MemoryLine("server", demand.below, "the image that the model is laid on"),
        MemoryLine("model files", demand.extracted_bytes, "a layer of their own, stored as they are"),
    )


def _disk(demand: Demand) -> tuple[MemoryLine, ...]:
    if demand.below is not None:
        # An image is no part of the ephemeral disk, and what is read of it is not copied there.
        return (DISK_SLACK,)
    if demand.bare:
        return (MemoryLine("model files", demand.extracted_bytes, "handed over as they are"), DISK_SLACK)
    return (
        MemoryLine("archive", demand.archive_bytes, "may lie beside what is extracted: AWS does not say"),
        MemoryLine("extracted files", demand.extracted_bytes, "the archive's contents"),
        DISK_SLACK,
    )


def _startup(demand: Demand) -> tuple[Stage, ...]:
    runs = (
        Stage("server", demand.serving.startup_s, demand.serving.how),
        _stage("load", demand.shape.tensor_bytes + demand.beside.tensor_bytes, LOAD),
    )
    if demand.below is not None:
        return runs
    stored = demand.archive_bytes >= STORED_FROM * demand.extracted_bytes
    extraction = _stage("extraction", demand.extracted_bytes, EXTRACT_STORED if stored else EXTRACT_DEFLATED)
    return (
        _stage("download", demand.archive_bytes, DOWNLOAD),
        *(() if demand.bare else (extraction,)),
        *runs,
    )


def _stage(name: str, size: int, rate: Rate) -> Stage:
    return Stage(
        name, size / rate.bytes_per_s, f"{_mib(size)} at {rate.bytes_per_s // 10**6} MB/s; {rate.source}"
    )


# -- what would fit instead


def _over(needed: Fit, smallest: int, asked_mb: int | None, quota_mb: int) -> Problem:
    if asked_mb is not None:
        return Problem(
            "MemoryTooSmall",
            f"memory_mb {asked_mb} for {_mib(needed.memory_bytes)}",
            f"at least {smallest}",
            f"set memory_mb to {smallest}",
        )
    return Problem(
        "AboveQuota",
        f"{_mib(needed.memory_bytes)}, so a size of {smallest} MB, needed",
        f"at most {quota_mb} MB, what an ordinary account allows for a serverless endpoint",
        f"ask for a quota of {smallest} MB",
    )


def _served_otherwise(needed: Fit, limit_mb: int, lighter: Sequence[OtherServing]) -> Iterator[Alternative]:
    """Yield what else could serve the same model within the limit, without checkpoints where it keeps any."""
    for one in lighter:
        tried = replace(needed.demand, serving=one.serving, checkpoints=False)
        if _holds(tried, limit_mb):
            yield Alternative("container", one.container, f"{one.how}: {_mib(_fit(tried).memory_bytes)}")


def _alternatives(needed: Fit, limit_mb: int) -> Iterator[Alternative]:
    demand = needed.demand
    smallest = next(iter(needed.sizes_mb), None)
    shorter = _longest_context(demand, limit_mb)
    if shorter:
        text = f"set n_ctx to {shorter.n_ctx}: {_mib(_fit(shorter).memory_bytes)}"
        yield Alternative("n_ctx", shorter.n_ctx, text)
    narrower = _largest_batch(demand, limit_mb)
    if narrower:
        text = f"set n_batch to {narrower.n_batch}: {_mib(_fit(narrower).memory_bytes)}, and prompts are read slower"
        yield Alternative("n_batch", narrower.n_batch, text)
    for name, bits in BITS_PER_WEIGHT.items():
        coarser = _quantized(demand, bits)
        if coarser and _holds(coarser, limit_mb):
            size = f"{coarser.shape.tensor_bytes / limits.GB:.1f} GB of weights at {bits:.1f} bits each"
            text = f"quantise to {name}: about {size}, {_mib(_fit(coarser).memory_bytes)}"
            yield Alternative("quantization", name, text)
            break
    if smallest is not None and smallest > limit_mb:
        text = f"set memory_mb to {smallest}"
        if smallest > limits.MEMORY_QUOTA_MB.value:
            quota = "'Memory size in MB per serverless endpoint'"
            text += f", after AWS Support has raised {quota} to it"
        yield Alternative("quota", smallest, text)


def _on_instances(needed: Fit, table: Sequence[Instance]) -> Iterator[Alternative]:
    """Yield the cheapest instance type that holds the model."""
    for offer in instance_choice.offers(needed, table)[:1]:
        has = f"{offer.name} has {offer.memory_gib:g} GiB, at ${offer.usd_per_hour:g} an hour"
        text = f'set hosting to "instance": {has}'
        yield Alternative("instance", offer.name, text)


def _holds(demand: Demand, limit_mb: int) -> bool:
    found = _fit(demand)
    return bool(found.sizes_mb) and found.sizes_mb[0] <= limit_mb


def _longest_context(demand: Demand, limit_mb: int) -> Demand | None:
    """Return the demand with the longest context that fits, in whole steps of the cache."""
    low, high = LEAST_CONTEXT // CELL_PADDING, (demand.n_ctx - 1) // CELL_PADDING
    best = None
    while low <= high:
        middle = (low + high) // 2
        tried = replace(demand, n_ctx=middle * CELL_PADDING)
        if _holds(tried, limit_mb):
            best, low = tried, middle + 1
        else:
            high = middle - 1
    return best


def _largest_batch(demand: Demand, limit_mb: int) -> Demand | None:
    batch = min(demand.n_batch, UBATCH)
    while batch // 2 >= LEAST_BATCH:
        batch //= 2
        tried = replace(demand, n_batch=batch)
        if _holds(tried, limit_mb):
            return tried
    return None


def _quantized(demand: Demand, bits: float) -> Demand | None:
    """Return the demand of the same model at fewer bits per weight; None when it would not be smaller."""
    shape = demand.shape
    embedding = min(shape.vocabulary_size * shape.embedding_length, shape.parameter_count)
    weights = (shape.parameter_count - embedding) * bits + embedding * max(bits, EMBEDDING_BITS)
    saved = shape.tensor_bytes - round(weights / 8)
    if not shape.parameter_count or saved <= 0:
        return None
    return replace(
        demand,
        # The file may have matrices that are repacked, where this one has none.
        shape=replace(shape, tensor_bytes=shape.tensor_bytes - saved, staging_bytes=STAGING_MOST),
        archive_bytes=max(demand.archive_bytes - saved, 0),
        extracted_bytes=max(demand.extracted_bytes - saved, 0),
    )


def _mib(size: int) -> str:
    return f"{size / MiB:,.0f} MiB"
