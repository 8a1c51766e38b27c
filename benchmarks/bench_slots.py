"""Slots of the built llama-server: what they take against the fit, and how many tokens a second they give.

    python benchmarks/bench_slots.py memory [--only TEXT] [--json]
    python benchmarks/bench_slots.py speed [--rounds 5] [--threads 2] [--json]

`make llama-server` builds what is measured. It is started with the environment that the `llama-cpp` profile gives to
its image, read as that image's entry point reads it.

    memory   one architecture of each kind of cache, with 1 and 4 slots: the caches and states that llama-server lays
             out as its log tells them, and the peak resident memory (VmHWM) once every slot has a full context, with
             another prompt each, against the lines of `llama_memory`. A line may not be below what it stands for.
    speed    a random model of 125 MB: tokens of 1, 2, 4 and 8 callers with 1, 2, 4 and 8 slots, 64 tokens each after a
             prompt of 32, for each second that passes and for each second of the server's CPUs. Rounds go around all
             of them; told are the best ones, since other work on the machine comes and goes. A CPU second with one
             thread depends least on it: more threads wait for each other, and a wait is CPU time too.

Models are written to a temporary folder, 0.6 GB at most, and deleted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import architectures, shapes
from benchmarks.bench_architectures import shape_of
from local_cloud.hosting.containers.free_ports import free_port
from local_cloud.hosting.containers.llama_cpp_image import arguments
from pipeline.limits import MiB
from pipeline.sizing import images
from pipeline.sizing.llama_memory import footprint

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM: Final = Path(__file__).resolve().parents[1] / ".build" / "llama-server" / "llama-server"
ARCHITECTURES: Final = ("llama", "gemma3", "gemma4", "mamba2", "qwen35", "lfm2", "deepseek2", "deepseek4")
"""Plain; with windows; with windows and other widths; recurrent; recurrent and attention; short convolutions and
attention; one latent key for all heads; that compressed."""
SLOTS: Final = (1, 2, 4, 8)
N_CTX: Final = 1024
SPARE: Final = 14
"""Tokens of a context that its prompt leaves for the answer."""
ANSWER: Final = 64
ROUGH: Final = 0.01 * MiB
"""What a size in the log is rounded to."""


class Server:
    """A llama-server that answers."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log

    def complete(self, tokens: list[int], answer: int, **fields: Any) -> dict[str, Any]:
        """Return the answer of so many tokens to a prompt.

        Raises:
            RuntimeError: when it is refused.
        """
        body = {"prompt": tokens, "n_predict": answer, "temperature": 0, "ignore_eos": True, **fields}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1200)
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        document: dict[str, Any] = json.loads(reply.read())
        connection.close()
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {document}")
        return document

    def status(self, field: str) -> int:
        """Return a size of the process as the kernel tells it, in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))

    def cpu_s(self) -> float:
        """Return the CPU seconds that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def laid_out(self, kind: str) -> float:
        """Return the bytes of all buffers of a kind, `KV` or `RS`, as the log tells them."""
        # Before it loads the model it lays out one without memory, to see what fits: those are 0.
        found = re.findall(
            rf"(\S+): +CPU .*?{kind} buffer size = +([\d.]+) MiB", self.log.read_text(errors="replace")
        )
        sized: dict[str, list[float]] = {}
        for who, size in found:
            sized.setdefault(who, []).append(float(size))
        half = {who: sizes[len(sizes) // 2 :] for who, sizes in sized.items()}
        return MiB * sum(sum(sizes) for sizes in half.values())


@contextmanager
def running(model: Path, slots: int, *, n_ctx: int = N_CTX, threads: int = 2) -> Iterator[Server]:
    """Run llama-server as the llama-cpp profile asks for it, until the block ends.

    Raises:
        RuntimeError: with the end of its log, when it does not start.
    """
    settings = {
        "n_ctx": n_ctx,
        "n_batch": 512,
        "n_threads": threads,
        "n_parallel": slots,
        "prefix_cache_mb": 0,
    }
    environment = images.environment(images.LLAMA_CPP, settings)
    port = free_port()
    log = model.with_suffix(f".{slots}.log")
    options = ["--host", "127.0.0.1", "--port", str(port), "--verbose", *arguments(environment, str(model))]
    with log.open("wb") as out:
        process = subprocess.Popen([str(PROGRAM), *options], env=environment, stdout=out, stderr=out)
    try:
        _wait(process, port, log)
        yield Server(process, port, log)
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise RuntimeError(f"llama-server did not start: {log.read_text(errors='replace')[-2000:]}")


# -- memory


def memory(model: Path, slots: int, *, full: bool = True) -> dict[str, Any]:
    """Return what a model takes with so many slots, and what is predicted; sizes in bytes."""
    shape = shape_of(model)
    checkpoints = images.LLAMA_CPP.serving.checkpoints
    lines = {
        line.name: line.bytes
        for line in footprint(shape, n_ctx=N_CTX, n_batch=512, n_parallel=slots, checkpoints=checkpoints)
    }
    with running(model, slots) as server:
        found = {"kv cache": server.laid_out("KV"), "state": server.laid_out("RS")}
        if full:
            prompts = [[5 + slot, *[7] * (N_CTX - SPARE - 1)] for slot in range(slots)]
            with ThreadPoolExecutor(slots) as callers:
                list(callers.map(lambda prompt: server.complete(prompt, 8), prompts))
            found |= {"peak": server.status("VmHWM"), "anonymous": server.status("RssAnon")}
    return {
        "architecture": model.stem,
        "slots": slots,
        "lines": lines,
        **found,
        "predicted": sum(lines.values()),
    }


def too_little(row: dict[str, Any]) -> list[str]:
    """Return the lines of a row that are below what they stand for."""
    lines = row["lines"]
    short = [name for name in ("kv cache", "state") if lines.get(name, 0) < row[name] - ROUGH]
    return short + (["sum"] if row.get("peak", 0) > row["predicted"] else [])


def memory_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown; sizes in MiB."""
    lines = [
        "| architecture | slots | kv cache | laid out | state | laid out | checkpoints | sum | peak | ratio |",
        f"|{'---|' * 10}",
    ]
    for row in rows:
        told = row["lines"]
        sizes = [
            told["kv cache"],
            row["kv cache"],
            told.get("state", 0),
            row["state"],
            told.get("checkpoints", 0),
        ]
        sizes += [row["predicted"], row["peak"]]
        cells = " | ".join(f"{size / MiB:,.1f}" for size in sizes)
        lines.append(
            f"| {row['architecture']} | {row['slots']} | {cells} | {row['predicted'] / row['peak']:.2f} |"
        )
    return "\n".join(lines)


# -- speed

MODEL: Final = shapes.ModelShape("llama", 8, 1024, 16, 4, 64, 2816, 32_000, quantization="Q8_0")


def rates(server: Server, callers: int) -> tuple[float, float]:
    """Return the tokens of so many callers that ask at once, a second and a CPU second of the server."""
    prompts = [[11 + caller, *[13] * 31] for caller in range(callers)]
    begun, spent = time.monotonic(), server.cpu_s()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda prompt: server.complete(prompt, ANSWER, cache_prompt=False), prompts))
    tokens = callers * ANSWER
    return tokens / (time.monotonic() - begun), tokens / (server.cpu_s() - spent)


def speed(model: Path, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Return a row for each number of slots and of callers."""
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for number in range(rounds):
        for slots in SLOTS:
            with running(model, slots, n_ctx=512, threads=threads) as server:
                server.complete([11], 8)  # the first one is slower
                for callers in SLOTS:
                    one = rates(server, callers)
                    found.setdefault((slots, callers), []).append(one)
                    said = (
                        f"{slots} slots, {callers} callers: {one[0]:.1f} a second, {one[1]:.1f} a CPU second"
                    )
                    print(f"round {number + 1}, {said}", file=sys.stderr, flush=True)
    return [
        {
            "slots": slots,
            "callers": callers,
            "a second": max(one for one, _ in told),
            "a CPU second": max(one for _, one in told),
        }
        for (slots, callers), told in found.items()
    ]


def speed_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown: a column for each number of callers."""
    lines = ["| slots | " + " | ".join(f"{callers} callers" for callers in SLOTS) + " |", f"|{'---|' * 5}"]
    for slots in SLOTS:
        of = {row["callers"]: row for row in rows if row["slots"] == slots}
        cells = " | ".join(f"{of[one]['a second']:.0f}; {of[one]['a CPU second']:.0f}" for one in SLOTS)
        lines.append(f"| {slots} | {cells} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table, and say whether a line is below what it stands for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["memory", "speed"])
    parser.add_argument("--rounds", type=int, default=5, help="of the speed (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="of the speed (default: 2)")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only architectures with this in their name"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args()
    if not PROGRAM.exists():
        parser.error(f"{PROGRAM} is not there; wanted what `make llama-server` builds")
    with tempfile.TemporaryDirectory(prefix="sealift-slots-") as place:
        if asked.what == "speed":
            rows = speed(shapes.write(MODEL, Path(place) / "model.gguf"), asked.rounds, asked.threads)
            print(json.dumps(rows, indent=2) if asked.json else speed_table(rows))
            return 0
        rows = []
        for name in ARCHITECTURES:
            if asked.only in name:
                model = architectures.write(name, Path(place) / f"{name}.gguf", "usual")
                rows += [memory(model, slots) for slots in (1, 4)]
                model.unlink()
        print(json.dumps(rows, indent=2) if asked.json else memory_table(rows))
    short = [
        f"{row['architecture']} with {row['slots']}: {', '.join(bad)}"
        for row in rows
        if (bad := too_little(row))
    ]
    if short:
        print(f"too little: {'; '.join(short)}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
