"""What stands for the CUDA build of llama-server in the local cloud: the real one for CPUs, behind a GPU's memory.

Owns what the GPUs of an instance type would refuse. No CUDA is here, so the rule of `pipeline.sizing.gpu_fit` decides,
without the margin that a plan leaves: weights, then the cache, then the buffer for computing, each against what CUDA
says that such a GPU has, less its own share. What does not fit ends it with llama.cpp's own lines (ggml-cuda.cu,
llama-model.cpp, ggml-alloc.c; seen in ggml-org/llama.cpp issue 20431). On a type without GPUs it ends as a program does
whose driver is not there: the container's toolkit mounts that, and does so where there are GPUs (assumed).

Runs as a program: the instance type, the GiB that each of its GPUs has where that is not what CUDA says (else nothing),
the real llama-server, and that one's arguments, which it takes as they are: a build for CPUs passes over the layers
that are for GPUs.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.archive.checks.rules import Rules
from pipeline.archive.s3 import bare, split_models
from pipeline.archive.s3.sources import FileSource
from pipeline.limits import MiB
from pipeline.sizing import cache_types, gpu_fit, instance_types, llama_memory
from pipeline.sizing.gpu_fit import GpuSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.sizing.gpu_fit import GpuPlacement
    from pipeline.sizing.instance_types import InstanceFacts
    from pipeline.sizing.llama_memory import Shape

NO_DRIVER: Final = (
    "llama-server: error while loading shared libraries: libcuda.so.1: cannot open shared object file: "
    "No such file or directory"
)
"""The loader's words (ld.so) for a library that is not there."""
_ENDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "weights": (
        "alloc_tensor_range: failed to allocate CUDA0 buffer of size {size}",
        "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
        "llama_model_load_from_file_impl: failed to load model",
    ),
    "kv cache": (
        "alloc_tensor_range: failed to allocate CUDA0 buffer of size {size}",
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
    ),
    "compute": (
        "ggml_gallocr_reserve_n_impl: failed to allocate CUDA0 buffer of size {size}",
        "graph_reserve: failed to allocate compute buffers",
        "llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers",
    ),
}
"""What llama.cpp says after each buffer that it does not get, in the order in which it asks for them."""
_ALLOCATING: Final = "ggml_backend_cuda_buffer_type_alloc_buffer"
_LAST: Final = "srv    load_model: failed to load model, '{model}'"


def options(arguments: Sequence[str]) -> dict[str, str]:
    """Return llama-server's options by name, without dashes; one that has no value has an empty one."""
    found: dict[str, str] = {}
    name = ""
    for one in arguments:
        if one.startswith("--"):
            name = one.removeprefix("--")
            found[name] = ""
        elif name:
            found[name], name = one, ""
    return found


def refusal(shape: Shape, instance: InstanceFacts, told: Mapping[str, str]) -> tuple[str, ...]:
    """Return what llama.cpp says where a model does not fit the type's GPUs; nothing where it does.

    Args:
        shape: the model's.
        instance: the type.
        told: llama-server's options. Without `n-gpu-layers` it lays as many layers there as fit.
    """
    if "n-gpu-layers" not in told:
        return ()
    slots = int(told.get("parallel") or 1)
    settings = GpuSettings(
        # Of all slots together, as llama-server has it.
        int(told.get("ctx-size") or 4096) // slots,
        slots,
        told.get("cache-type-k") or cache_types.F16,
    )
    layers = min(int(told["n-gpu-layers"]), gpu_fit.whole(shape))
    placed = gpu_fit.lay(shape, instance, settings, layers) if layers > 0 else None
    return () if placed is None else overflow(placed, placed.usable_bytes, told.get("model", ""))


def overflow(placed: GpuPlacement, usable_bytes: int, model: str) -> tuple[str, ...]:
    """Return what llama.cpp says of the first buffer that the fullest GPU has no room for; nothing where it has.

    Args:
        placed: what lies there.
        usable_bytes: of the GPU.
        model: the path that llama-server was given.
    """
    sizes = {line.name: line.bytes for line in placed.lines}
    taken = sizes["CUDA"]
    for name, ending in _ENDINGS.items():
        taken += sizes[name]
        if taken > usable_bytes:
            size = sizes[name]
            asked = f"{_ALLOCATING}: allocating {size / MiB:.2f} MiB on device 0: cudaMalloc failed: out of memory"
            return (asked, *(line.format(size=size) for line in ending), _LAST.format(model=model))
    return ()


def shape_of(model: str) -> Shape | None:
    """Return the figures of a model's header, of all its shards; None for a file that llama.cpp is to refuse itself."""
    files = [FileSource(Path(name)) for name in split_models.shard_names(model) if Path(name).is_file()]
    report = bare.check(files, rules=Rules())
    return None if report.model is None else llama_memory.Shape.from_json(report.model.to_json())


def main(instance_type: str, gpu_gib: str, program: str, *arguments: str) -> int:
    """Become the real llama-server, or say why the GPUs do not hold its model."""
    instance = instance_types.facts(instance_type)
    if instance is not None and instance.gpu is not None and gpu_gib:
        instance = replace(instance, gpu=replace(instance.gpu, usable_gib=float(gpu_gib)))
    status, lines = verdict(instance, options(arguments))
    if not status:
        os.execv(program, [program, *arguments])  # noqa: S606 nothing of this process is to be left
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return status


def verdict(instance: InstanceFacts | None, told: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """Return the exit status that the CUDA build would end with as it starts, and its last words; 0 where it serves."""
    if instance is None or instance.gpu is None:
        return 127, (NO_DRIVER,)
    model = told.get("model", "")
    shape = shape_of(model) if Path(model).is_file() else None
    lines = refusal(shape, instance, told) if shape else ()
    return int(bool(lines)), lines


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
