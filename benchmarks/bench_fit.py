"""Predicted against measured memory: `pipeline.sizing.llama_memory` and what llama.cpp really takes, over eight shapes.

    python benchmarks/bench_fit.py [--rounds 3] [--only NAME] [--json]

Each round is a fresh process that does what an endpoint's worker does: `model_fn` of inference.py, then one answer to
a prompt that fills the context, with one thread. Measured is the process's peak resident memory (VmHWM) and what of
its last state is anonymous. The container's serving stack does not run here, so the prediction has a bare Python in
its place. Models are written one after the other into a temporary folder, 1.5 GB at most, and deleted.

Deployments run llama.cpp without AMX, which repacks 4-bit weights. Where this machine's build has AMX, the processes
refuse it to themselves, so that what is measured is what is deployed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import shapes
from benchmarks.amx import renounce_amx
from benchmarks.shapes import ModelShape
from pipeline.gguf.header import read_header
from pipeline.limits import MiB
from pipeline.sizing.llama_memory import Shape, footprint
from pipeline.sizing.serving import MemoryLine

PYTHON: Final = MemoryLine(
    "python", 27 * MiB, "measured: the interpreter with numpy, in the serving stack's place"
)
SPARE: Final = 12
"""Tokens of the context that the prompt leaves for the answer."""
UNDER: Final = 0.97
OVER: Final = 1.10
"""What prediction over measurement may be."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    shape: ModelShape
    n_ctx: int
    n_batch: int = 512


CASES: Final = (
    Case("llama, Q4_K_M, small", ModelShape("llama", 8, 768, 12, 4, 64, 2048, 32_000), 1024),
    Case("llama, F16, 32 heads on 32",
         ModelShape("llama", 3, 2048, 32, 32, 64, 5632, 32_000, quantization="F16", tied=False), 2048),
    Case("llama, Q4_0, 32 heads on 4",
         ModelShape("llama", 4, 2048, 32, 4, 64, 5632, 32_000, quantization="Q4_0"), 4096),
    Case("Llama 3.2 1B, Q4_K_M, 128,256 tokens", shapes.LLAMA_1B, 2048),
    Case("qwen2, Q8_0, 14 heads on 2, 151,936 tokens",
         ModelShape("qwen2", 10, 896, 14, 2, 64, 4864, 151_936, 151_387, quantization="Q8_0"), 4096),
    Case("gemma3, F16, window 512, 262,144 tokens",
         ModelShape("gemma3", 13, 1152, 4, 1, 256, 6912, 262_144, quantization="F16", window=512), 2048),
    Case("gemma3, Q4_0 and so its embedding, window 1024",
         ModelShape("gemma3", 6, 2560, 8, 4, 256, 10_240, 65_536, quantization="Q4_0", window=1024,
                    embedding_type="Q4_0"), 3072),
    Case("llama, Q4_K_M, n_batch 128", ModelShape("llama", 4, 2048, 32, 8, 64, 8192, 32_000), 4096, n_batch=128),
)  # fmt: skip
"""Sizes of 50 to 1500 MB, and few layers: what a layer adds is weights and cache, and computing it takes time."""


def predicted(model: Path, case: Case) -> tuple[MemoryLine, ...]:
    """Return the footprint of a model file, from its header."""
    with model.open("rb") as file:
        header = read_header(lambda start, length: os.pread(file.fileno(), length, start))
    shape = Shape.from_json(header.to_json())
    return (*footprint(shape, n_ctx=case.n_ctx, n_batch=case.n_batch), PYTHON)


def measured(folder: Path, case: Case) -> dict[str, Any]:
    """Return what a fresh process that loads the model and answers once says of its memory."""
    settings = {"N_CTX": case.n_ctx, "N_BATCH": case.n_batch, "N_THREADS": 1}
    environment = {**os.environ, **{f"SEALIFT_{name}": str(value) for name, value in settings.items()}}
    child = subprocess.run(
        [sys.executable, __file__, "--child", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        raise RuntimeError(f"{case.name}: exit status {child.returncode}: {child.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])  # before it: the log of inference.py
    return result


def run(case: Case, rounds: int) -> dict[str, Any]:
    """Return one row of the table."""
    begun = monotonic()
    with tempfile.TemporaryDirectory(prefix="sealift-fit-") as place:
        model = shapes.write(case.shape, Path(place) / "model.gguf")
        lines = predicted(model, case)
        size = model.stat().st_size
        found = [measured(Path(place), case) for _ in range(rounds)]
    peak = median(one["peak"] for one in found)
    total = sum(line.bytes for line in lines)
    return {
        "case": case.name,
        "file": size,
        "n_ctx": case.n_ctx,
        "prompt_tokens": found[0]["prompt_tokens"],
        "lines": {line.name: line.bytes for line in lines},
        "predicted": total,
        "peak": peak,
        "spread": max(one["peak"] for one in found) - min(one["peak"] for one in found),
        "anonymous": median(one["anonymous"] for one in found),
        "loaded": median(one["loaded"] for one in found),
        "ratio": total / peak,
        "seconds": monotonic() - begun,
    }


# -- the process that is measured


def child(folder: Path) -> None:
    """Load the model, answer one prompt that fills the context, and print what that took."""
    import llama_cpp

    if b"AMX_INT8 = 1" in llama_cpp.llama_print_system_info():
        renounce_amx()
        llama_cpp.llama_cpp.llama_print_system_info = lambda: b""
    from inference import inference

    model = inference.model_fn(str(folder))
    loaded = status("VmRSS")
    prompt = shapes.CHARACTER * (model.settings.n_ctx - SPARE)
    request = {"prompt": prompt, "max_tokens": 4, "temperature": 0}
    answer = inference.predict_fn(inference.input_fn(json.dumps(request), "application/json"), model)
    if isinstance(answer, inference.BadRequest):
        raise answer
    document = {
        "peak": status("VmHWM"),
        "anonymous": status("RssAnon"),
        "loaded": loaded,
        "prompt_tokens": answer["usage"]["prompt_tokens"],
    }
    print(json.dumps(document))


def status(field: str, process: int | str = "self") -> int:
    """Return a size of a process as the kernel tells it, in bytes; of this one unless another is named."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise KeyError(field)


# -- the table


COLUMNS: Final = (
    *("model", "file MB", "n_ctx", "weights", "kv cache", "compute", "rest"),
    *("predicted MiB", "measured MiB", "anonymous MiB", "ratio"),
)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown; sizes in MiB but the file's."""
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for row in rows:
        parts = {name: size / MiB for name, size in row["lines"].items()}
        weights = sum(parts.pop(name, 0) for name in ("weights", "output matrix", "repacking"))
        cache, compute = parts.pop("kv cache"), parts.pop("compute")
        sizes = [weights, cache, compute, sum(parts.values())]
        sizes += [row[name] / MiB for name in ("predicted", "peak", "anonymous")]
        cells = [
            row["case"],
            f"{row['file'] / 1e6:,.0f}",
            str(row["n_ctx"]),
            *(f"{size:,.0f}" for size in sizes),
        ]
        lines.append((*cells, f"{row['ratio']:.3f}"))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Measure, print the table, and say whether every row is within bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="processes for each model (default: 3)")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only the models whose name has this in it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return 0
    rows = []
    for case in CASES:
        if arguments.only in case.name:
            print(f"{case.name} ...", file=sys.stderr, flush=True)
            rows.append(run(case, arguments.rounds))
            print(f"    {rows[-1]['ratio']:.3f} in {rows[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))
    outside = [row["case"] for row in rows if not UNDER <= row["ratio"] <= OVER]
    if outside:
        print(f"outside {UNDER} to {OVER}: {', '.join(outside)}", file=sys.stderr)
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
