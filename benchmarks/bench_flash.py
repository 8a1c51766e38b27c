"""Flash attention against ordinary attention, for one architecture of each kind of attention.

    PYTHONPATH=.build/runtime python benchmarks/bench_flash.py [--only TEXT] [--rounds N] [--depth TOKENS] [--json FILE]

Each architecture's model is written by `benchmarks.architectures` and loaded once, in a process of its own; of it two
contexts are opened, one of each kind, and they take turns: a prompt of 512 tokens, further ones up to a depth, and
tokens one by one behind them. What is told is the time of the processor, with one thread, so that others at work on
the machine hardly count, and of all rounds the median of the ratios within each. With more threads it is the shortest
time of all rounds, for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import architectures, shapes
from benchmarks.shapes import ModelShape
from pipeline.gguf.header import read_header
from pipeline.sizing.layers import BATCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: Final = {
    "llama": "few keys for many queries, heads of 64",
    "qwen2": "biases",
    "qwen3": "norms of queries and keys",
    "qwen3moe": "experts",
    "llama4": "experts, chunks",
    "gemma2": "capped scores, a window",
    "gemma3": "a window",
    "gpt-oss": "sinks, a window, experts",
    "deepseek2": "latent keys",
    "minicpm3": "latent keys of low rank",
    "phi3": "one matrix for all three",
    "bloom": "ALiBi",
    "lfm2": "convolutions between",
    "falcon-h1": "a recurrent state beside",
    "bert": "an encoder, no cache",
}
TRUE: Final = {
    "Llama 3.2 1B, 4 of its layers": ModelShape("llama", 4, 2048, 32, 8, 64, 8192, 32_000),
    "Qwen2.5 0.5B, 10 of its layers": ModelShape(
        "qwen2", 10, 896, 14, 2, 64, 4864, 32_000, 31_000, quantization="Q8_0"
    ),
    "Gemma 3 4B, 6 of its layers": ModelShape(
        "gemma3", 6, 2560, 8, 4, 256, 10_240, 32_000, quantization="Q4_0", window=1024
    ),
}
"""Of true widths: what attention takes beside the rest of a layer. A model's other layers are like these."""
STEP: Final = 512
ANSWER: Final = 64


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=1024, help="tokens before the answer's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.rounds, given.depth, given.threads)
    rows = []
    for name in (*KINDS, *TRUE):
        if given.only not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="sealift-flash-") as folder:
            path = Path(folder) / "model.gguf"
            model = shapes.write(TRUE[name], path) if name in TRUE else architectures.write(name, path)
            done = subprocess.run(
                [
                    *(sys.executable, __file__, "--child", str(model)),
                    *("--rounds", str(given.rounds), "--depth", str(given.depth)),
                    *("--threads", str(given.threads)),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            print(f"{name}: {done.stderr[-300:]}", flush=True)
            continue
        rows.append(
            {
                "architecture": name,
                "what": KINDS.get(name, "true widths"),
                **json.loads(done.stdout.splitlines()[-1]),
            }
        )
        print(line(rows[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1) + "\n")
    return 0


def line(row: dict[str, Any]) -> str:
    """Return a row of the table: how many times as fast with flash attention."""
    figures = " | ".join(
        f"{row['ratios'][name]:.2f}" if name in row["ratios"] else "-" for name in ("first", "last", "answer")
    )
    return f"| {row['architecture']} | {row['what']} | {figures} | {row['off_ms']} |"


# -- the process that is measured


def child(model: Path, rounds: int, depth: int, threads: int) -> None:
    """Print how many times as fast each part is with flash attention."""
    import llama_cpp

    @llama_cpp.llama_log_callback
    def quiet(level: int, text: bytes, data: int) -> None:
        del level, text, data

    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    loaded = llama_cpp.llama_model_load_from_file(str(model).encode(), parameters)
    with model.open("rb") as file:
        architecture = read_header(lambda start, length: os.pread(file.fileno(), length, start)).architecture
    encodes = architecture in BATCH_ONLY
    contexts = {}
    for name in ("off", "on"):
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = depth + STEP
        settings.n_batch = settings.n_ubatch = STEP
        settings.n_threads = settings.n_threads_batch = threads
        settings.swa_full = False
        settings.embeddings = encodes
        settings.flash_attn_type = int(name == "on")
        contexts[name] = llama_cpp.llama_init_from_model(loaded, settings)
        if not contexts[name]:
            raise SystemExit(f"no context with flash attention {name}")
    times: list[dict[str, dict[str, float]]] = []
    for number in range(rounds + 1):
        order = ("off", "on") if number % 2 else ("on", "off")
        times.append({name: run(llama_cpp, contexts[name], depth, encodes=encodes) for name in order})
    del times[0]  # threads and memory are there now
    ratios = {part: median(one["off"][part] / one["on"][part] for one in times) for part in times[0]["off"]}
    off = {part: round(1e3 * median(one["off"][part] for one in times)) for part in parts}
    print(json.dumps({"ratios": ratios, "off_ms": off, "rounds": times}))
    sys.stdout.flush()
    os._exit(0)


def run(
    llama_cpp: Any, context: Any, depth: int, clock: Callable[[], float], *, encodes: bool
) -> dict[str, float]:
    """Return the seconds of a first prompt, of the last one before the depth, and of an answer behind it."""
    memory = llama_cpp.llama_get_memory(context)
    if memory:
        llama_cpp.llama_memory_clear(memory, True)
    found: dict[str, float] = {}
    for begin in range(0, STEP if encodes else depth, STEP):
        begun = clock()
        evaluate(llama_cpp, context, STEP)
        found["last" if begin else "first"] = clock() - begun
    if not encodes:
        begun = clock()
        for _ in range(ANSWER):
            evaluate(llama_cpp, context, 1)
        found["answer"] = clock() - begun
    return found


def evaluate(llama_cpp: Any, context: Any, count: int) -> None:
    """Evaluate some tokens behind those that are there."""
    tokens = (ctypes.c_int32 * count)(*[300 + n for n in range(count)])
    failed = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, count))
    llama_cpp.llama_synchronize(context)
    if failed:
        raise SystemExit(f"llama_decode: {failed}")


if __name__ == "__main__":
    sys.exit(main())
