"""Predicted against measured memory of what lies beside a model, in the real llama-server.

    python benchmarks/bench_companions.py [--json]

Each case is a llama-server of its own (`make llama-server`) with a small model, read and not mapped, that answers a
prompt which fills its context and, with a projector, one image. Measured is by how much the process's peak resident
memory (VmHWM) is above that of the model alone; predicted are the lines of `pipeline.sizing.companion_memory`, but for
the photograph that an image may come as, which here is as small as it can be. A draft model is predicted with the
scores of its attention, which llama-server does without where it can.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import shapes
from benchmarks.bench_fit import status
from benchmarks.shapes import ModelShape
from examples.tiny_companions import write_tiny_lora, write_tiny_projector
from inference.sealift_models import parted
from local_cloud.hosting.containers.free_ports import free_port
from pipeline import package_files
from pipeline.archive.checks.rules import Rules
from pipeline.archive.s3 import bare
from pipeline.archive.s3.sources import FileSource
from pipeline.limits import MiB
from pipeline.sizing import companion_memory
from pipeline.sizing.companion_memory import PHOTO_BYTES, Beside

BASE: Final = ModelShape("llama", 8, 768, 12, 4, 64, 2048, 32_000)
SMALLER: Final = ModelShape("llama", 2, 512, 8, 4, 64, 1536, 32_000)
N_CTX: Final = 2048
SPARE: Final = 12
WAIT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Tower:
    """The figures of a projector of Gemma 3's kind."""

    image: int
    width: int
    heads: int
    feed_forward: int
    layers: int


TOWERS: Final = {
    "448 pixels, 768 wide": Tower(448, 768, 12, 3072, 6),
    "896 pixels, 768 wide": Tower(896, 768, 12, 3072, 2),
    "896 pixels, 1152 wide": Tower(896, 1152, 16, 4304, 2),
    "336 pixels, 1024 wide": Tower(336, 1024, 16, 4096, 4),
}


def written(folder: Path) -> dict[str, Path]:
    """Return the files of all cases, by the case's name."""
    widths = {"attn_q": (768, 768), "ffn_up": (768, 2048), "ffn_gate": (768, 2048), "ffn_down": (2048, 768)}
    changed = {
        f"blk.{layer}.{name}.weight": sides for layer in range(BASE.layers) for name, sides in widths.items()
    }
    files = {
        "an adapter of rank 64": write_tiny_lora(
            folder / "lora.gguf", tensors=changed, rank=64, strength=0.01
        ),
        "a draft model": shapes.write(SMALLER, folder / "draft.gguf"),
    }
    for number, (name, one) in enumerate(TOWERS.items()):
        files[f"a projector, {name}"] = write_tiny_projector(
            folder / f"mmproj-{number}.gguf",
            text_width=BASE.embedding,
            width=one.width,
            layers=one.layers,
            heads=one.heads,
            feed_forward=one.feed_forward,
            image=one.image,
            patch=14,
            half=True,
        )
    return files


def predicted(model: Path, file: Path) -> int:
    """Return the bytes of a file's line."""
    report = bare.check([FileSource(model), FileSource(file)], rules=Rules(code_required=False))
    report.require()
    facts: dict[str, Any] = report.model.to_json() if report.model else {}
    beside = Beside.from_json(facts["companions"])
    (line,) = companion_memory.lines(
        beside, vocabulary=BASE.vocabulary, n_ctx=N_CTX, n_batch=512, n_parallel=1
    )
    return line.bytes - (PHOTO_BYTES if beside.projector else 0)


def measured(model: Path, file: Path | None, pixels: int) -> int:
    """Return the peak of a llama-server that has answered.

    Args:
        model: the model.
        file: what lies beside it.
        pixels: of a side of the image that it is shown; 0 for none.
    """
    program = package_files.llama_server()
    if program is None:
        raise SystemExit("no llama-server here; make llama-server builds it")
    port = free_port()
    options = parted([str(file)])[1].options() if file else {}
    command = [
        str(program),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--model",
        str(model),
        "--parallel",
        "1",
    ]
    command += ["--ctx-size", str(N_CTX), "--load-mode", "none", "--cache-ram", "0", "--threads", "2"]
    command += [word for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_ready(port)
        ask(port, "/completion", {"prompt": shapes.CHARACTER * (N_CTX - SPARE), "n_predict": 6})
        if pixels:
            parts = [
                {"type": "text", "text": "7"},
                {"type": "image_url", "image_url": {"url": image(pixels)}},
            ]
            ask(
                port,
                "/v1/chat/completions",
                {"messages": [{"role": "user", "content": parts}], "max_tokens": 6},
            )
        return status("VmHWM", process.pid)
    finally:
        process.terminate()
        process.wait(20)


def until_ready(port: int) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + WAIT_S
    while answered(port, "GET", "/health") != HTTPStatus.OK:
        if time.monotonic() > deadline:
            raise TimeoutError(f"llama-server is not ready after {WAIT_S:g} s")
        time.sleep(0.1)


def ask(port: int, path: str, document: dict[str, Any]) -> None:
    """Ask, and read the answer."""
    answer = answered(port, "POST", path, json.dumps(document).encode())
    if answer != HTTPStatus.OK:
        raise RuntimeError(f"llama-server answers {path} with {answer}")


def answered(port: int, method: str, path: str, body: bytes | None = None) -> int:
    """Return the status of an answer that was read; 0 when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return 0
    else:
        return answer.status
    finally:
        connection.close()


def image(side: int) -> str:
    """Return a square image as a data URL: stripes, which take hardly any bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(b"".join(b"\0" + bytes([y % 256, 60, 90]) * side for y in range(side)))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()


def main() -> None:
    """Measure each case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="sealift-companions-") as place:
        folder = Path(place)
        model = shapes.write(BASE, folder / "model.gguf")
        alone = measured(model, None, 0)
        for name, file in written(folder).items():
            pixels = next((one.image for tower, one in TOWERS.items() if name.endswith(tower)), 0)
            rows.append(
                {
                    "case": name,
                    "file": file.stat().st_size,
                    "predicted": predicted(model, file),
                    "measured": measured(model, file, pixels) - alone,
                }
            )
    if asked.json:
        print(json.dumps(rows, indent=2))
        return
    print("| beside the model | file | predicted | measured | ratio |\n|---|---|---|---|---|")
    for row in rows:
        sizes = " | ".join(f"{int(row[key]) / MiB:,.1f} MiB" for key in ("file", "predicted", "measured"))
        print(f"| {row['case']} | {sizes} | {int(row['predicted']) / int(row['measured']):.2f} |")


if __name__ == "__main__":
    main()
