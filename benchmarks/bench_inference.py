"""The inference server against llama-cpp-python itself: tokens per second, fixed cost, prefix reuse, memory.

    python benchmarks/bench_inference.py [--server-python PYTHON] [--rounds 5] [--json FILE]

Everything with one thread. The two sides of a row take turns, round by round; a row is the median of the rounds and
the median of their ratios, since other work on the machine comes and goes. CPU seconds are told beside the wall's for
what takes long: they do not depend on who else computes.

    generation, prompt   inference/server.py through /invocations, and `llama_cpp.Llama` called in a process
                         of its own, with the same file, threads and settings: a model of Llama 3.2 1B's shape, Q4_K_M
    fixed cost           one token of a model of 1 MB, by the same client: inference/server.py and
                         `python -m llama_cpp.server`, which PYTHON can import (no row without it)
    prefix reuse         the time to the first token behind a system prompt of 500 tokens: evaluated before, evaluated
                         and pushed out by another, and never seen
    memory               resident memory of the server with the model at rest and after prompts that fill the
                         context, against `pipeline.sizing.fit`'s lines

The models have random weights and are written to a temporary folder, 0.8 GB, and deleted.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from benchmarks import shapes
from examples.tiny_gguf import write_tiny_gguf
from pipeline.gguf.header import read_header
from pipeline.limits import MiB
from pipeline.sizing import fit, serving
from pipeline.sizing.llama_memory import Shape, footprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INFERENCE: Final = Path(__file__).resolve().parents[1] / "inference"
SHAPE: Final = shapes.LLAMA_1B
N_CTX: Final = 1024
PROMPT: Final = 256
ANSWER: Final = 48
SYSTEM: Final = 500
QUESTION: Final = 12
REQUESTS: Final = 200
"""Of one token, in a round."""
WANTED: Final = {"generation": 0.98, "prompt": 0.98, "fixed cost": 2.0, "prefix": 5.0}


# -- the two sides


@dataclass
class Side:
    """A process that answers, and how to ask it."""

    process: psutil.Process
    ask: Callable[[str, int], dict[str, Any]]
    """Takes a prompt and a number of tokens; returns timings by llama-server's names."""

    def cpu_s(self) -> float:
        """Return the CPU seconds that the process has used."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextlib.contextmanager
def ours(folder: Path, **settings: int) -> Iterator[Side]:
    """Serve a folder with inference/server.py."""
    variables = {
        **os.environ,
        "SM_MODEL_DIR": str(folder),
        "SAGEMAKER_BIND_TO_PORT": "0",
        "SEALIFT_BIND_HOST": "127.0.0.1",
        "SEALIFT_N_THREADS": "1",
        "SEALIFT_TIMEOUT_S": "600",
        **{f"SEALIFT_{name.upper()}": str(value) for name, value in settings.items()},
    }
    command = [sys.executable, str(INFERENCE / "server.py"), "serve"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=variables, stdin=pipe, stdout=pipe, text=True) as process:
        _, stdout = _pipes(process)
        try:
            port = json.loads(stdout.readline())["port"]
            reader = threading.Thread(target=stdout.read, daemon=True)
            reader.start()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
            while _get(connection, "/ping") != 200:
                time.sleep(0.05)

            def ask(prompt: str, tokens: int) -> dict[str, Any]:
                body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0}
                return dict(_post(connection, "/invocations", body)["timings"])

            yield Side(psutil.Process(process.pid), ask)
        finally:
            process.terminate()


@contextlib.contextmanager
def direct(folder: Path, **settings: int) -> Iterator[Side]:
    """Call `llama_cpp.Llama` in a process of its own, which takes a request a line."""
    command = [sys.executable, __file__, "--child", str(folder / "model.gguf"), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = _pipes(process)
        try:
            stdout.readline()

            def ask(prompt: str, tokens: int) -> dict[str, Any]:
                stdin.write(json.dumps([prompt, tokens]) + "\n")
                stdin.flush()
                timings: dict[str, Any] = json.loads(stdout.readline())
                return timings

            yield Side(psutil.Process(process.pid), ask)
        finally:
            process.terminate()


def child(model: str, settings: dict[str, int]) -> None:
    """Answer requests from stdin with `llama_cpp.Llama`, loaded as inference.py loads it."""
    sys.path.append(str(INFERENCE))
    import llama_cpp

    from sealift_native import _without_amx

    with _without_amx(llama_cpp):
        llama = llama_cpp.Llama(
            model, n_threads=1, n_threads_batch=1, use_mmap=False, swa_full=False, verbose=False, **settings
        )
    print(flush=True)
    for line in sys.stdin:
        prompt, tokens = json.loads(line)
        begun = time.perf_counter()
        chosen: list[float] = []

        def note(*_: Any, times: list[float] = chosen) -> bool:
            times.append(time.perf_counter())
            return False

        answer = llama.create_completion(
            prompt,
            max_tokens=tokens,
            temperature=0,
            top_p=0.9,
            stopping_criteria=llama_cpp.StoppingCriteriaList([note]),
        )
        ended = time.perf_counter()
        timings = {"prompt_ms": (chosen[0] - begun) * 1e3, "predicted_ms": (ended - chosen[0]) * 1e3}
        timings["prompt_n"] = answer["usage"]["prompt_tokens"]
        timings["predicted_n"] = answer["usage"]["completion_tokens"]
        print(json.dumps(timings), flush=True)


@contextlib.contextmanager
def upstream(python: Path, model: Path) -> Iterator[Side]:
    """Serve a model with llama-cpp-python's own OpenAI server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(python), "-m", "llama_cpp.server", "--model", str(model), "--port", str(port)]
    command += ["--n_ctx", "2048", "--n_threads", "1", "--n_threads_batch", "1", "--verbose", "False"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            while _get(connection, "/v1/models") != 200:
                if process.poll() is not None:
                    raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
                time.sleep(0.2)

            def ask(prompt: str, tokens: int) -> dict[str, Any]:
                body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0}
                return _post(connection, "/v1/completions", body)

            yield Side(psutil.Process(process.pid), ask)
        finally:
            process.terminate()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    return process.stdin, process.stdout


def _get(connection: http.client.HTTPConnection, path: str) -> int:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    except OSError:
        connection.close()
        return 0
    return response.status


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> dict[str, Any]:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status}: {answer}")
    return answer


# -- the rows


_begin = count()


def _fresh(tokens: int) -> str:
    """Return a prompt of so many tokens that begins as no other did."""
    number = next(_begin)
    return "".join(chr(ord("a") + number // 26**n % 26) for n in range(3)) + shapes.CHARACTER * (tokens - 4)


def throughput(folder: Path, rounds: int) -> dict[str, Any]:
    """Return tokens per second of both sides, and the ratios of time and of CPU time."""
    rows: dict[str, Any] = {"generation": [], "prompt": [], "cpu": []}
    settings = {"n_ctx": N_CTX, "n_batch": 512}
    with ours(folder, **settings) as server, direct(folder, **settings) as library:
        for number in range(rounds):
            sides = (("ours", server), ("theirs", library))
            found = {}
            for name, side in sides if number % 2 else sides[::-1]:
                before = side.cpu_s()
                timings = side.ask(_fresh(PROMPT), ANSWER)
                found[name] = {**timings, "cpu_s": side.cpu_s() - before}
            for row, tokens, took in (
                ("generation", "predicted_n", "predicted_ms"),
                ("prompt", "prompt_n", "prompt_ms"),
            ):
                rows[row].append([found[name][tokens] / found[name][took] * 1e3 for name, _ in sides])
            rows["cpu"].append([found[name]["cpu_s"] for name, _ in sides])
    compared = {row: _compared(rows[row]) for row in ("generation", "prompt")}
    cpu = [theirs / own for own, theirs in rows["cpu"]]
    return {
        **compared,
        "cpu_s": [median(own for own, _ in rows["cpu"]), median(theirs for _, theirs in rows["cpu"])],
        "cpu_ratio": median(cpu),
    }


def _compared(pairs: list[list[float]]) -> dict[str, Any]:
    return {
        "ours": median(own for own, _ in pairs),
        "theirs": median(theirs for _, theirs in pairs),
        "ratio": median(own / theirs for own, theirs in pairs),
    }


def fixed_cost(folder: Path, python: Path, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of a request for one token, on both servers."""
    pairs = []
    with ours(folder, n_ctx=2048) as server, upstream(python, folder / "model.gguf") as library:
        for side in (server, library):
            _latency(side, REQUESTS // 4)
        for number in range(rounds):
            sides = (server, library)
            found = {id(side): _latency(side, REQUESTS) for side in (sides if number % 2 else sides[::-1])}
            pairs.append([found[id(side)] for side in sides])
    compared = _compared(pairs)
    return {**compared, "ratio": median(theirs / own for own, theirs in pairs)}


def _latency(side: Side, requests: int) -> float:
    took = []
    for number in range(requests):
        # Two prompts in turn: the same again would cost their library no evaluation at all.
        prompt = "The harbour opens" if number % 2 else "Our convoy waits for"
        begun = time.perf_counter()
        side.ask(prompt, 1)
        took.append((time.perf_counter() - begun) * 1e3)
    return median(took)


def prefix_reuse(folder: Path, rounds: int) -> dict[str, Any]:
    """Return the milliseconds to the first token behind a system prompt: continued, fetched back, never seen."""
    found: dict[str, list[float]] = {"continued": [], "fetched": [], "new": []}
    with ours(folder, n_ctx=N_CTX, n_batch=512, prefix_cache_mb=64) as server:

        def first_token(prompt: str) -> float:
            begun = time.perf_counter()
            server.ask(prompt, 1)
            return (time.perf_counter() - begun) * 1e3

        for number in range(rounds):
            one, other = _fresh(SYSTEM), _fresh(SYSTEM)
            questions = ["efghij"[n] * QUESTION for n in range(4)]
            found["new"].append(first_token(one + questions[number % 2]))
            found["continued"].append(first_token(one + questions[2]))
            first_token(other + questions[0])
            found["fetched"].append(first_token(one + questions[3]))
    middle = {name: median(values) for name, values in found.items()}
    return {
        **middle,
        "ratio": median(
            new / continued for new, continued in zip(found["new"], found["continued"], strict=True)
        ),
        "fetched_ratio": median(new / back for new, back in zip(found["new"], found["fetched"], strict=True)),
    }


def memory(folder: Path) -> dict[str, Any]:
    """Return the server's resident memory at rest and at its peak, and what the fit says."""
    model = folder / "model.gguf"
    with model.open("rb") as file:
        header = read_header(lambda start, length: os.pread(file.fileno(), length, start))
    lines = footprint(Shape.from_json(header.to_json()), n_ctx=N_CTX, n_batch=512)
    predicted = sum(line.bytes for line in lines) + serving.OWN_SERVER.memory.bytes
    with ours(folder, n_ctx=N_CTX, n_batch=512) as server:
        rest = server.process.memory_info().rss
        for _ in range(3):
            server.ask(_fresh(N_CTX - 8), 4)
        peak = _peak(server.process.pid)
    return {"rest": rest, "peak": peak, "predicted": predicted, "saved": fit.SAVED_MB * MiB}


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def table(found: dict[str, Any]) -> str:
    """Return the rows as Markdown."""
    speed, prefix = found["throughput"], found["prefix"]
    rows = [("work", "ours", "against", "ratio", "wanted"), ("---",) * 5]
    for name, what in (
        ("generation", f"generation of {ANSWER} tokens"),
        ("prompt", f"a prompt of {PROMPT} tokens"),
    ):
        one = speed[name]
        figures = (f"{one['ours']:.2f}", f"{one['theirs']:.2f}", f"{one['ratio']:.3f}")
        rows.append((f"{what}, tokens/s", *figures, f"{WANTED[name]}"))
    own, theirs = speed["cpu_s"]
    rows.append(("both, CPU seconds", f"{own:.2f}", f"{theirs:.2f}", f"{speed['cpu_ratio']:.3f}", ""))
    if "fixed cost" in found:
        one = found["fixed cost"]
        figures = (f"{one['ours']:.2f}", f"{one['theirs']:.2f}", f"{one['ratio']:.1f}")
        rows.append(("a request of 1 token, ms", *figures, f"{WANTED['fixed cost']}"))
    new = f"{prefix['new']:.0f}"
    continued, fetched = f"{prefix['continued']:.0f}", f"{prefix['fetched']:.0f}"
    title = f"first token behind {SYSTEM} tokens"
    rows.append(
        (f"{title} evaluated before, ms", continued, new, f"{prefix['ratio']:.1f}", f"{WANTED['prefix']}")
    )
    rows.append((f"{title} pushed out since, ms", fetched, new, f"{prefix['fetched_ratio']:.1f}", ""))
    held = {name: value / MiB for name, value in found["memory"].items()}
    predicted = held["predicted"] + held["saved"]
    rows.append(("resident at rest, MiB", f"{held['rest']:.0f}", "", "", ""))
    peak = (f"{held['peak']:.0f}", f"{predicted:.0f} predicted", f"{predicted / held['peak']:.3f}")
    rows.append(("resident at its peak, MiB", *peak, ""))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    """Measure, print the table, and say whether every row is as wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server-python", type=Path, help="a Python that can run llama_cpp.server")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each row (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], json.loads(arguments.child[1]))
        return 0
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sealift-inference-") as place:
        tiny, large = Path(place, "tiny"), Path(place, "large")
        for folder in (tiny, large):
            folder.mkdir()
        write_tiny_gguf(tiny / "model.gguf")
        shapes.write(SHAPE, large / "model.gguf")
        if arguments.server_python:
            print("fixed cost ...", file=sys.stderr, flush=True)
            found["fixed cost"] = fixed_cost(tiny, arguments.server_python, arguments.rounds)
        for name, measure in (("throughput", throughput), ("prefix", prefix_reuse)):
            print(f"{name} ...", file=sys.stderr, flush=True)
            found[name] = measure(large, arguments.rounds)
        print("memory ...", file=sys.stderr, flush=True)
        found["memory"] = memory(large)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    print(table(found))
    speed = found["throughput"]
    ratios = {"generation": speed["generation"]["ratio"], "prompt": speed["prompt"]["ratio"]}
    ratios |= {name: found[name]["ratio"] for name in ("fixed cost", "prefix") if name in found}
    short = [f"{name} {ratio:.3f}" for name, ratio in ratios.items() if ratio < WANTED[name]]
    if short:
        print(f"less than wanted: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
