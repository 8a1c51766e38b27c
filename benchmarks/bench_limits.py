"""What the prebuilt image's serving stack needs of a memory limit that charges its processes and files.

    python benchmarks/bench_limits.py [--requests 2000] [--limits 448 480 ...] [--weights-mb 250] [--json]

As root, with `make contract` installed; CONTRACT_TORCH names a folder with a true PyTorch, CONTRACT_LIBRARIES where its
libraries lie (LD_LIBRARY_PATH). Each run starts the stack in a control group of its own (cgroup v1, controller memory),
its files dropped from the page cache before, so that they are charged to it; then prompts that fill the context are
answered, and short requests. Without a limit the group says what is anonymous, which nothing but an end of the process
takes back, and what is files, which the kernel drops when it must. With limits it says within which the stack answers
everything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import shapes
from benchmarks.shapes import ModelShape
from pipeline import package_files
from pipeline.limits import MiB
from pipeline.sizing import images
from tools.contract.container import Container, ContractError, Stack

GROUPS: Final = Path("/sys/fs/cgroup/memory")
N_CTX: Final = 1024
PATIENCE_S: Final = 240.0


def model_of(megabytes: int) -> ModelShape:
    """Return a Q8_0 shape of about so many megabytes; the smallest has 32,000 tokens and a layer."""
    if not megabytes:
        return ModelShape("llama", 1, 256, 4, 2, 64, 512, 4000, quantization="Q8_0")
    # 12.1 MB a layer, 34.8 MB of embedding
    return ModelShape(
        "llama", max(1, round((megabytes - 35) / 12.1)), 1024, 16, 4, 64, 2816, 32_000, quantization="Q8_0"
    )


def cold(folder: Path) -> None:
    """Drop a folder's files from the page cache: whoever reads them next is charged for them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(stack: Stack, base: Path, limit_mb: int, requests: int, beside: dict[str, str]) -> dict[str, Any]:
    """Return what one life of the stack within a limit (0 for none) came to; sizes in bytes."""
    group = GROUPS / f"sealift-{os.getpid()}"
    group.mkdir()
    found: dict[str, Any] = {"limit_mb": limit_mb}
    try:
        if limit_mb:
            (group / "memory.limit_in_bytes").write_text(str(limit_mb * MiB))
        environment = {
            **images.environment(images.PYTORCH, {"n_ctx": N_CTX, "n_threads": 1}),
            "LD_LIBRARY_PATH": os.environ.get("CONTRACT_LIBRARIES", ""),
            **beside,
        }
        for folder in (base, stack.torch / "torch", stack.python.parents[1]):
            cold(folder)
        with tempfile.TemporaryDirectory(prefix="sealift-") as scratch:
            begun = time.monotonic()
            with Container(stack, base, Path(scratch), environment) as container:
                (group / "cgroup.procs").write_text(str(container.process.pid))
                try:
                    _ask(container, requests, found, begun)
                    found["lived"] = True
                except (ContractError, OSError, RuntimeError) as error:
                    found |= {"lived": False, "why": str(error)[-200:]}
                found |= _charged(group)
                found["processes"] = {one.kind: one.resident // MiB for one in container.memory()}
                found["proportional"] = sum(one.proportional for one in container.memory())
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.1)
    return found


def _ask(container: Container, requests: int, found: dict[str, Any], begun: float) -> None:
    container.until_up()
    prompt = "7" * (N_CTX - 40)
    for n in range(3):
        reply = container.ask(
            "POST", "/invocations", json.dumps({"prompt": f"{n}{prompt}", "max_tokens": 4, "temperature": 0}),
            {"Content-Type": "application/json"}, timeout_s=PATIENCE_S,
        )  # fmt: skip
        if reply.status != 200:
            raise RuntimeError(f"status {reply.status}: {reply.body[:100]!r}")
        found.setdefault("first_answer_s", round(time.monotonic() - begun, 1))
    for _ in range(requests):
        reply = container.invoke(prompt="7", max_tokens=1, temperature=0)
        if reply.status != 200:
            raise RuntimeError(f"status {reply.status}: {reply.body[:100]!r}")


def _charged(group: Path) -> dict[str, int]:
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return {
        "most": int((group / "memory.max_usage_in_bytes").read_text()),
        "anonymous": int(stat["total_rss"]),
        "files": int(stat["total_cache"]),
        "mapped": int(stat["total_mapped_file"]),
        "kernel": int((group / "memory.kmem.usage_in_bytes").read_text()),
    }


def main() -> int:
    """Measure and print one line for each limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=100, help="short requests after three long ones")
    parser.add_argument("--limits", type=int, nargs="+", default=[0], metavar="MB", help="0 for none")
    parser.add_argument("--weights-mb", type=int, default=0, help="0 for the smallest model")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="further environment",
                        type=lambda text: tuple(text.split("=", 1)))  # fmt: skip
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    stack = Stack.installed(os.environ)
    with tempfile.TemporaryDirectory(prefix="sealift-limits-") as place:
        model = Path(place) / "ml" / "model"
        (model / "code").mkdir(parents=True)
        shapes.write(model_of(arguments.weights_mb), model / "model.gguf")
        for name, data in package_files.code_contents().items():
            path = model / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for limit in arguments.limits:
            found = run(stack, Path(place) / "ml", limit, arguments.requests, dict(arguments.set))
            if arguments.json:
                print(json.dumps(found), flush=True)
            else:
                sizes = {k: v // MiB if isinstance(v, int) and v > MiB else v for k, v in found.items()}
                print(sizes, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
