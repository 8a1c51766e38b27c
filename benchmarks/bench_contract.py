"""The prebuilt image's serving stack against Sealift's own server: cold start, cost of a request, memory at rest.

    python benchmarks/bench_contract.py [--rounds 5] [--requests 200] [--model GGUF] [--json]

`make contract` installs the stack first. Both serve the same extracted archive under the same Python with one thread.
A round is one cold start of each, from the process's start to the answer to a request for one token; files are in the
page cache. Then both run, and requests for one token go to one, the other, and the four functions called directly, in
turn; medians are compared. Memory is that of every process, once a request has been answered.

With PyTorch's stand-in (tools/contract/stubs) the entry point and the worker lack what importing PyTorch takes, in
memory and in time; CONTRACT_TORCH names a folder with a true one.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from examples.tiny_gguf import write_tiny_gguf
from local_cloud.hosting.containers.free_ports import free_port
from local_cloud.hosting.containers.unpacking import unpack
from pipeline import package_files
from pipeline.archive.build.pack import pack
from pipeline.limits import MiB
from pipeline.sizing import images
from tools.contract.container import Container, Resident, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT: Final = images.environment(images.PYTORCH, {"n_ctx": 512, "n_threads": 1})
BODY: Final = json.dumps({"prompt": "What does a sealift do?", "max_tokens": 1, "temperature": 0})
JSON: Final = {"Content-Type": "application/json"}
PATIENCE_S: Final = 120.0
CALLS: Final = """
import sys, time
import inference
times, sys.stdout = sys.stdout, sys.stderr  # the functions log on stdout
model, kind = inference.model_fn(sys.argv[1]), "application/json"
for _ in sys.stdin:
    begun = time.perf_counter()
    inference.output_fn(inference.predict_fn(inference.input_fn(sys.argv[2], kind), model), kind)
    print(time.perf_counter() - begun, file=times, flush=True)
"""
"""What the process that calls the functions directly runs: the stack's Python has none of our packages."""
STACK, OWN, DIRECT = "TorchServe", "server.py", "functions called directly"


def first_answer(port: int, begun: float) -> float:
    """Return the seconds from `begun` to the first answer with a token."""
    while time.monotonic() < begun + PATIENCE_S:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/invocations", BODY, JSON)
            response = connection.getresponse()
            response.read()
            if response.status == http.client.OK:
                return time.monotonic() - begun
        time.sleep(0.01)
    raise TimeoutError(f"no answer on port {port} within {PATIENCE_S:g} s")


@contextlib.contextmanager
def torchserve(stack: Stack, base: Path) -> Iterator[tuple[Container, float]]:
    """Run the stack; give it with the seconds to its first answer."""
    with tempfile.TemporaryDirectory(prefix="sealift-") as scratch:
        begun = time.monotonic()
        with Container(stack, base, Path(scratch), ENVIRONMENT) as container:
            yield container, first_answer(container.port, begun)


@contextlib.contextmanager
def own_server(stack: Stack, base: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """Run inference/server.py; give process and port with the seconds to its first answer."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "SM_MODEL_DIR": str(base / "model"),
        "SEALIFT_BIND_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        **ENVIRONMENT,
    }
    begun = time.monotonic()
    process = subprocess.Popen(
        [stack.python, package_files.inference() / "server.py"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process, port, first_answer(port, begun)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def timed(connection: http.client.HTTPConnection) -> float:
    """Return the seconds that one request takes on an open connection."""
    begun = time.perf_counter()
    connection.request("POST", "/invocations", BODY, JSON)
    response = connection.getresponse()
    response.read()
    seconds = time.perf_counter() - begun
    if response.status != http.client.OK:
        raise RuntimeError(f"status {response.status}")
    return seconds


def costs(stack: Stack, base: Path, requests: int) -> dict[str, Any]:
    """Return the median seconds of a request in each way, and the memory at rest of the two servers."""
    seconds: dict[str, list[float]] = {STACK: [], OWN: [], DIRECT: []}
    with (
        torchserve(stack, base) as (container, _),
        own_server(stack, base) as (process, port, _),
        direct(stack, base) as calls,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", container.port)) as theirs,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as ours,
    ):
        for _ in range(requests):
            seconds[STACK].append(timed(theirs))
            seconds[OWN].append(timed(ours))
            seconds[DIRECT].append(calls())
        info = psutil.Process(process.pid).memory_full_info()
        memory = [*container.memory(), Resident(OWN, info.rss, info.pss)]
    return {
        "request_s": {name: median(values) for name, values in seconds.items()},
        "memory": [
            {"process": m.kind, "resident": m.resident, "proportional": m.proportional} for m in memory
        ],
    }


@contextlib.contextmanager
def direct(stack: Stack, base: Path) -> Iterator[Any]:
    """Give a function that lets a process of its own call the four functions once, and returns the seconds."""
    process = subprocess.Popen(
        [stack.python, "-c", CALLS, base / "model", BODY],
        cwd=base / "model" / "code",
        env={"PATH": os.environ["PATH"], **ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("no pipes")
    asks, answers = process.stdin, process.stdout

    def call() -> float:
        asks.write("\n")
        asks.flush()
        if not (said := answers.readline()):
            raise RuntimeError(f"the process that calls the functions ended with {process.wait(PATIENCE_S)}")
        return float(said)

    try:
        yield call
    finally:
        asks.close()
        process.wait(PATIENCE_S)
        answers.close()


def table(found: dict[str, Any]) -> str:
    """Return what was measured as Markdown."""
    start, request = found["cold_start_s"], found["request_s"]
    added = {name: f"{(request[name] - request[DIRECT]) * 1000:.1f} ms" for name in (STACK, OWN)}
    lines = [
        ("", STACK, OWN),
        ("---", "---", "---"),
        ("cold start to the first token", f"{start[STACK]:.1f} s", f"{start[OWN]:.1f} s"),
        (f"added to a request ({request[DIRECT] * 1000:.1f} ms)", added[STACK], added[OWN]),
    ]
    for one in found["memory"]:
        size = f"{one['resident'] / MiB:.0f} MiB, {one['proportional'] / MiB:.0f} proportional"
        cells = ("", size) if one["process"] == OWN else (size, "")
        lines.append((f"memory: {one['process']}", *cells))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="cold starts of each (default: 5)")
    parser.add_argument("--requests", type=int, default=200, help="requests to each (default: 200)")
    parser.add_argument("--model", type=Path, help="a GGUF (default: a small one, written for the purpose)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    stack = Stack.installed(os.environ)
    starts: dict[str, list[float]] = {STACK: [], OWN: []}
    with tempfile.TemporaryDirectory(prefix="sealift-contract-") as place:
        model = arguments.model or Path(place) / "demo.gguf"
        if not arguments.model:
            write_tiny_gguf(model)
        archive, base = Path(place) / "model.tar.gz", Path(place) / "ml"
        pack(model, archive, code=package_files.code())
        (base / "model").mkdir(parents=True)
        unpack(archive, base / "model", disk_bytes=1 << 40, cancelled=lambda: False)
        archive.unlink()
        for number in range(1, arguments.rounds + 1):
            with torchserve(stack, base) as (_, seconds):
                starts[STACK].append(seconds)
            with own_server(stack, base) as (_, _, seconds):
                starts[OWN].append(seconds)
            latest = ", ".join(f"{name} {times[-1]:.1f} s" for name, times in starts.items())
            print(f"round {number} of {arguments.rounds}: {latest}", file=sys.stderr, flush=True)
        found = {
            "torch": "true" if stack.torch_is_real else "stand-in",
            "cold_start_s": {name: median(times) for name, times in starts.items()},
            **costs(stack, base, arguments.requests),
        }
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
