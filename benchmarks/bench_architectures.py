"""Predicted against taken memory for every architecture of the runtime: `llama_memory` and llama.cpp's buffers.

    python benchmarks/bench_architectures.py [--only TEXT] [--n-ctx 2048 8192] [--run] [--json FILE]

Each architecture's model is written by `benchmarks.architectures` and loaded by llama.cpp in a process of its own with
the settings of inference.py. Then one of two is done:

    reckoned   llama.cpp lays out the graph of the last batch of a context that is full, as it does when it computes,
               and is asked where each tensor lies. What counts is what is written to: the union of their places, but
               of the logits one row; the work buffer that the CPU's planner asks for; the caches and weights as they
               are allocated. It takes a second, whatever the context.
    run        a prompt that fills the context is computed, and the process's peak resident memory (VmHWM) is read.

Both are compared with the same prediction. What is only measured and never computed (vocabulary, libraries, heap, the
interpreter) stands on both sides of the reckoned comparison as it is predicted.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import architectures
from benchmarks.architectures import Tensor
from benchmarks.bench_fit import OVER, PYTHON, UNDER, status
from pipeline.gguf.architectures import DIFFUSION
from pipeline.gguf.header import GGUFProblem, read_header
from pipeline.limits import MiB
from pipeline.sizing.llama_memory import (
    DECODING_BYTES,
    LLAMA_CPP_BYTES,
    SAMPLING_BYTES,
    UBATCH,
    Shape,
    footprint,
)

if TYPE_CHECKING:
    from pipeline.sizing.serving import MemoryLine

N_CTX: Final = (2048, 8192)
LARGEST: Final = 12
"""Tensors of the compute buffer that a row of --json tells: place, bytes, name, shape."""


def shape_of(model: Path) -> Shape:
    """Return what the header of a model file says of its memory."""
    with model.open("rb") as file:
        header = read_header(lambda start, length: os.pread(file.fileno(), length, start))
    return Shape.from_json(header.to_json())


def predicted(shape: Shape, n_ctx: int) -> tuple[MemoryLine, ...]:
    """Return the footprint of a model, and a bare Python."""
    return (*footprint(shape, n_ctx=n_ctx, n_batch=UBATCH), PYTHON)


def ubatch(shape: Shape, n_ctx: int) -> int:
    """Return the tokens that are computed at a time: the server gives a text that is embedded whole one batch."""
    return n_ctx if shape.whole else UBATCH


def measured(model: Path, n_ctx: int, shape: Shape, *, run: bool) -> dict[str, Any]:
    """Return what a fresh process says of the model's memory.

    Raises:
        RuntimeError: with the end of what it said, when it failed.
    """
    child = subprocess.run(
        [
            *(sys.executable, __file__, "--child", str(model), "--n-ctx", str(n_ctx)),
            *("--ubatch", str(ubatch(shape, n_ctx))),
            *(["--embeds"] if shape.embeds else []),
            *(["--all-logits"] if shape.all_logits else []),
            *(["--run"] if run else []),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        raise RuntimeError(f"exit status {child.returncode}: {child.stderr[-600:]}")
    result: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return result


def row(model: Path, n_ctx: int, *, run: bool) -> dict[str, Any]:
    """Return one row of the table; sizes in bytes."""
    shape = shape_of(model)
    lines = {line.name: line.bytes for line in predicted(shape, n_ctx)}
    found = measured(model, n_ctx, shape, run=run)
    total = sum(lines.values())
    if not run:
        fixed = lines["vocabulary"] + LLAMA_CPP_BYTES + PYTHON.bytes + DECODING_BYTES
        found["taken"] = fixed + SAMPLING_BYTES * shape.vocabulary_size + sum(
            found[name] for name in ("weights", "caches", "touched", "work", "outputs", "graphs")
        )  # fmt: skip
    return {
        "architecture": model.stem,
        "n_ctx": n_ctx,
        "how": "run" if run else "reckoned",
        "lines": lines,
        **found,
        "predicted": total,
        "ratio": total / found["taken"],
    }


# -- the process that is measured


def child(model: Path, n_ctx: int, ubatch: int, *, embeds: bool, all_logits: bool, run: bool) -> None:
    """Load the model as the server does, and print what it takes."""
    import llama_cpp

    from benchmarks.amx import renounce_amx

    renounce_amx()
    said: list[str] = []

    @llama_cpp.llama_log_callback
    def log(level: int, text: bytes, data: int) -> None:
        del level, data
        said.append(text.decode(errors="replace"))

    llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    loaded = llama_cpp.llama_model_load_from_file(str(model).encode(), parameters)
    if not loaded:
        raise SystemExit(" ".join(said[-4:]))
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = n_ctx, ubatch, ubatch
    settings.n_threads = settings.n_threads_batch = 1
    # As the server has it: on where nothing is generated.
    settings.flash_attn_type = int(embeds)
    settings.swa_full = False
    settings.embeddings = embeds
    context = llama_cpp.llama_init_from_model(loaded, settings)
    if not context:
        raise SystemExit(" ".join(said[-4:]))
    # What sees a text whole gives something out for every token of it.
    encodes = embeds or model.stem in DIFFUSION
    if run:
        _compute(
            llama_cpp,
            loaded,
            context,
            n_ctx,
            ubatch,
            whole=encodes,
        )
        print(json.dumps({"taken": status("VmHWM"), "anonymous": status("RssAnon")}))
    else:
        print(
            json.dumps(
                _reckoned(
                    llama_cpp,
                    loaded,
                    context,
                    "".join(said),
                    ubatch,
                    encodes=encodes,
                    all_logits=all_logits,
                )
            )
        )
    sys.stdout.flush()
    os._exit(0)


def _compute(llama_cpp: Any, model: Any, context: Any, n_ctx: int, ubatch: int, *, whole: bool) -> None:
    """Compute a prompt that fills the context; of models that see a text whole, one batch."""
    tokens = (ctypes.c_int32 * ubatch)(*[300 + n for n in range(ubatch)])
    batch = llama_cpp.llama_batch_get_one(tokens, ubatch)
    if llama_cpp.llama_model_has_encoder(model):
        if llama_cpp.llama_encode(context, batch):
            raise SystemExit("llama_encode failed")
        if not llama_cpp.llama_model_has_decoder(model):
            return
    for _ in range(1 if whole else n_ctx // ubatch):
        failed = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, ubatch))
        if failed:
            raise SystemExit(f"llama_decode: {failed}")


def _reckoned(
    llama_cpp: Any, model: Any, context: Any, said: str, ubatch: int, *, encodes: bool, all_logits: bool
) -> dict[str, Any]:
    folder = Path(llama_cpp.__file__).parent / "lib"
    base, llama = ctypes.CDLL(str(folder / "libggml-base.so")), ctypes.CDLL(str(folder / "libllama.so"))
    mapped = Path("/proc/self/maps").read_text()
    cpu = ctypes.CDLL(re.findall(r"\S*/libggml-cpu-\S+\.so", mapped)[0])
    address = ctypes.c_void_p(ctypes.cast(context, ctypes.c_void_p).value)
    reserve, scheduler = (
        llama["_Z19llama_graph_reserveP13llama_contextjjj"],
        llama["_ZNK13llama_context9get_schedEv"],
    )
    reserve.restype = scheduler.restype = ctypes.c_void_p
    graph = ctypes.c_void_p(reserve(address, ubatch, 1, ubatch))
    base.ggml_backend_sched_alloc_graph(ctypes.c_void_p(scheduler(address)), graph)
    base.ggml_graph_node.restype = ctypes.c_void_p
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    spans, tensors = _spans(base, graph, vocabulary, 1 if all_logits else ubatch)
    work = _work(cpu, graph)
    sizes = {kind: sum(map(float, re.findall(rf"{kind} buffer size = *([\d.]+) MiB", said))) * MiB
             for kind in ("model", "KV", "RS", "compute")}  # fmt: skip
    return {
        "weights": sizes["model"],
        "caches": sizes["KV"] + sizes["RS"],
        "compute_buffer": sizes["compute"],
        "touched": spans,
        "work": work,
        "graphs": _graphs(base, said),
        # llama-context.cpp, output_reserve: what encodes gives something out for every token, into a cleared buffer.
        "outputs": 4 * ubatch * (vocabulary + llama_cpp.llama_model_n_embd(model)) if encodes else 0,
        "tensors": tensors,
    }


def _graphs(base: ctypes.CDLL, said: str) -> int:
    """Return what the descriptions of two graphs take, the reserved one's and the last one's."""
    (nodes,) = map(int, re.findall(r"max_nodes = (\d+)", said)[-1:])
    base.ggml_tensor_overhead.restype = base.ggml_graph_overhead_custom.restype = ctypes.c_size_t
    overhead = base.ggml_graph_overhead_custom(ctypes.c_size_t(nodes), ctypes.c_bool(False))
    return 2 * (nodes * int(base.ggml_tensor_overhead()) + int(overhead))


def _work(cpu: Any, graph: Any) -> int:
    plan = cpu.ggml_graph_plan
    plan.restype = None
    room = (ctypes.c_uint8 * 256)()
    plan(ctypes.byref(room), graph, 1, None)  # returned through memory: the hidden first argument
    return int.from_bytes(bytes(room[:8]), "little")


def _spans(base: Any, graph: Any, vocabulary: int, unasked: int) -> tuple[int, list[Any]]:
    """Return the bytes of the compute buffer that are written to, and the largest tensors in it.

    Of as many tokens as `unasked` are the logits, in the graph that is reserved, of which one is asked for.
    """
    places: dict[int, tuple[int, int, str, list[int]]] = {}
    nodes = [base.ggml_graph_node(graph, n) for n in range(base.ggml_graph_n_nodes(graph))]
    buffers: dict[int, int] = {}
    seen = set()
    for at in nodes:
        one = Tensor.from_address(at)
        if not one.view_src and one.buffer:
            buffers[one.buffer] = buffers.get(one.buffer, 0) + 1
        for source in (at, *one.src):
            if source and source not in seen:
                seen.add(source)
    mine = max(buffers, key=lambda one: buffers[one])
    base.ggml_nbytes.restype = ctypes.c_size_t
    for at in seen:
        one = Tensor.from_address(at)
        if one.view_src or one.buffer != mine or not one.data:
            continue
        size = base.ggml_nbytes(ctypes.c_void_p(at))
        if one.ne[0] == vocabulary and one.ne[1] == unasked:
            size //= unasked
        places[at] = (one.data, size, one.name.decode(errors="replace"), list(one.ne))
    total = end = 0
    for start, size, *_ in sorted(places.values()):
        begin = max(start, end)
        end = max(end, start + size)
        total += max(0, end - begin)
    low = min(start for start, *_ in places.values())
    largest = sorted(places.values(), key=lambda one: -one[1])[:LARGEST]
    return total, [(start - low, *rest) for start, *rest in largest]


# -- the table


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown: a line for each architecture, sizes in MiB."""
    found: dict[str, dict[tuple[int, str], dict[str, Any]]] = {}
    for one in rows:
        found.setdefault(one["architecture"], {})[one["n_ctx"], one["how"]] = one
    columns = sorted({(one["n_ctx"], one["how"]) for one in rows}, key=lambda key: (key[1] == "run", key))
    heads = ["architecture", "weights"]
    for n_ctx, how in columns:
        heads += [f"predicted, {n_ctx}", how, "ratio"]
    lines = [heads, ["---"] * len(heads)]
    for name, cells in sorted(found.items()):
        any_row = next(iter(cells.values()))
        line = [name, f"{any_row['lines']['weights'] / MiB:,.0f}"]
        for column in columns:
            one = cells.get(column)
            line += (
                [f"{one['predicted'] / MiB:,.0f}", f"{one['taken'] / MiB:,.0f}", f"{one['ratio']:.3f}"]
                if one
                else [""] * 3
            )
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measure(names: list[str], folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows, telling each as it comes; an architecture that cannot be written or loaded has none."""
    rows = []
    for name in names:
        model = folder / f"{name}.gguf"
        try:
            if not model.exists():
                architectures.write(name, model, arguments.figures)
            for n_ctx in arguments.n_ctx:
                rows.append(row(model, n_ctx, run=arguments.run))
                print(f"{name}, {n_ctx}: {rows[-1]['ratio']:.3f}", file=sys.stderr, flush=True)
        except (RuntimeError, GGUFProblem) as error:
            print(f"{name}: {str(error)[-300:]}", file=sys.stderr, flush=True)
        finally:
            if not arguments.models:
                model.unlink(missing_ok=True)
    return rows


def main() -> int:
    """Reckon or run, print the table, and say whether every row is within bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these architectures (default: all)"
    )
    parser.add_argument("--n-ctx", type=int, nargs="+", default=N_CTX)
    parser.add_argument("--run", action="store_true", help="compute a prompt, and read the process's peak")
    parser.add_argument("--figures", choices=architectures.FIGURES, default="usual")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument(
        "--models", type=Path, help="keep the models in this folder, and take those that are there"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ubatch", type=int, default=UBATCH, help=argparse.SUPPRESS)
    parser.add_argument("--embeds", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--all-logits", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(
            arguments.child,
            arguments.n_ctx[0],
            arguments.ubatch,
            embeds=arguments.embeds,
            all_logits=arguments.all_logits,
            run=arguments.run,
        )
        return 0
    with tempfile.TemporaryDirectory(prefix="sealift-fit-") as place:
        names = arguments.only or list(architectures.names())
        rows = measure(names, arguments.models or Path(place), arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows))
    print(table(rows))
    outside = [
        f"{one['architecture']} at {one['n_ctx']}" for one in rows if not UNDER <= one["ratio"] <= OVER
    ]
    if outside:
        print(f"outside {UNDER} to {OVER}: {', '.join(outside)}", file=sys.stderr)
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
