"""The archive engine against tar, gzip, pigz, cp and sha256sum, side by side.

    python benchmarks/bench_archive.py [--gib 1] [--rounds 3] [--json]

Each round runs every contender once, so that a busy machine disturbs all alike; medians are compared. The model
is random weights quantised as llama.cpp's Q8_0 does, because real weights compress as badly. Every command of
ours runs in a process of its own, start-up included, and its peak memory is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
CODE: Final = {"code/inference.py": b"pass\n"}

PACK: Final = """
import sys
from pathlib import Path
from pipeline.archive.pack import pack
pack(Path(sys.argv[1]), Path(sys.argv[2]), code={"code/inference.py": b"pass\\n"}, digest=len(sys.argv) > 3)
"""
VERIFY: Final = """
import sys
from pathlib import Path
from pipeline.archive.sources import FileSource
from pipeline.archive.verify import verify
assert verify(FileSource(Path(sys.argv[1]))).verdict == "accepted"
"""
REFUSE: Final = """
import sys
from pathlib import Path
from pipeline.archive.inspect import inspect
from pipeline.archive.sources import FileSource
assert inspect(FileSource(Path(sys.argv[1]))).verdict == "refused"
"""
EXTRACT: Final = """
import sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    tar.extractall(sys.argv[2])
"""
LIST: Final = """
import sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    tar.getmembers()
"""


@dataclass
class Row:
    """One contender: how to run it, and what it took."""

    name: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0

    @property
    def median(self) -> float:
        """Return the median time in seconds."""
        return statistics.median(self.seconds)


@dataclass
class Group:
    """Contenders for one kind of work; the first is ours."""

    work: str
    rows: list[Row]


def write_model(path: Path, size: int) -> None:
    """Write a GGUF of about `size` bytes: Q8_0 blocks of normally distributed weights."""
    blocks = size // 34 // 1024 * 1024
    key = b"general.architecture"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", len(key)) + key
    head += struct.pack("<IQ", 8, 5) + b"llama"
    head += struct.pack("<Q", 1) + b"w" + struct.pack("<IQQIQ", 2, 32 * 1024, blocks // 1024, 8, 0)
    chance = random.Random(0)
    # Drawn from many distinct blocks: within the 32 KiB that deflate looks back, hardly one comes twice.
    distinct = []
    for _ in range(1 << 17):
        weights = [chance.gauss(0, 0.02) for _ in range(32)]
        scale = max(map(abs, weights)) / 127
        distinct.append(struct.pack("<e32b", scale, *(round(weight / scale) for weight in weights)))
    with path.open("wb") as file:
        file.write(head + bytes(-len(head) % 32))
        for _ in range(blocks // 1024):
            file.write(b"".join(chance.choices(distinct, k=1024)))


def ours(script: str, *arguments: Path | str) -> list[str]:
    """Return the command that runs one of our scripts."""
    return [sys.executable, "-c", script, *map(str, arguments)]


def prepare(folder: Path, gib: float) -> list[Group]:
    """Write the inputs and return what is to be compared."""
    model = folder / "model.gguf"
    write_model(model, int(gib * (1 << 30)))
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_bytes(CODE["code/inference.py"])
    stored, gzipped, nested = folder / "stored.tar.gz", folder / "gzip6.tar.gz", folder / "subfolder.tar.gz"
    run(ours(PACK, model, stored))
    run(["tar", "czf", str(gzipped), "-C", str(folder), "code", "model.gguf"])
    run(["tar", "cf", str(folder / "nested.tar"), "-C", str(folder.parent), f"{folder.name}/model.gguf"])
    run(["gzip", "-1", str(folder / "nested.tar")])
    (folder / "nested.tar.gz").rename(nested)
    names = ["-C", str(folder), "code", "model.gguf"]
    out = folder / "out.tar.gz"
    packing = [
        Row("sealift pack", ours(PACK, model, out)),
        Row("sealift pack, with SHA-256", ours(PACK, model, out, "digest")),
        Row("cp", ["cp", "--reflink=never", str(model), str(out)]),
        Row("tar czf", ["tar", "czf", str(out), *names]),
    ]
    if shutil.which("pigz"):
        packing.append(Row("tar | pigz -p2", ["tar", "-I", "pigz -p2", "-cf", str(out), *names]))
    return [
        Group("pack", packing),
        Group(
            "verify, gzip -6",
            [
                Row("sealift verify", ours(VERIFY, gzipped)),
                Row("tar tzf", ["tar", "tzf", str(gzipped)]),
                Row("python tarfile", ours(LIST, gzipped)),
            ],
        ),
        Group(
            "verify, stored",
            [
                Row("sealift verify", ours(VERIFY, stored)),
                Row("sha256sum", ["sha256sum", str(stored)]),
                Row("tar tzf", ["tar", "tzf", str(stored)]),
            ],
        ),
        Group(
            "extract, python tarfile",
            [
                Row("packed", ours(EXTRACT, stored, folder / "x")),
                Row("gzip -6", ours(EXTRACT, gzipped, folder / "x")),
            ],
        ),
        Group(
            "extract, GNU tar",
            [
                Row("packed", ["tar", "xzf", str(stored), "-C", str(folder / "x")]),
                Row("gzip -6", ["tar", "xzf", str(gzipped), "-C", str(folder / "x")]),
            ],
        ),
        Group(
            "refuse a model in a subfolder",
            [
                Row("sealift inspect", ours(REFUSE, nested)),
                Row("tar tzf", ["tar", "tzf", str(nested)]),
            ],
        ),
    ]


def run(command: list[str]) -> tuple[float, float]:
    """Run a command and return its seconds and its peak memory in MiB."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    stderr = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stderr:
        process.stderr.close()
    if process.returncode:
        raise SystemExit(f"{command[:3]}: {stderr.decode('utf-8', 'replace')}")
    return seconds, usage.ru_maxrss / 1024


def measure(groups: list[Group], rounds: int, scratch: list[Path]) -> None:
    """Run every contender once a round; the first round only warms up."""
    for number in range(rounds + 1):
        for group in groups:
            for row in group.rows:
                for path in scratch:
                    shutil.rmtree(path, ignore_errors=True)
                    path.unlink(missing_ok=True)
                scratch[0].mkdir()
                seconds, peak = run(row.command)
                if number:
                    row.seconds.append(seconds)
                    row.peak_mib = max(row.peak_mib, peak)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description="The archive engine against tar, gzip, pigz, cp and sha256sum."
    )
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--folder", type=Path, help="where to write some GiB; default: the system's temporary folder"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        groups = prepare(folder, arguments.gib)
        measure(groups, arguments.rounds, [folder / "x", folder / "out.tar.gz"])
    if arguments.json:
        print(json.dumps([{"work": g.work, **{r.name: round(r.median, 3) for r in g.rows}} for g in groups]))
        return
    for group in groups:
        print(f"{group.work}")
        first = group.rows[0].median
        for row in group.rows:
            ratio = row.median / first
            print(f"  {row.name:28} {row.median:8.2f} s  {row.peak_mib:6.0f} MiB  {ratio:8.2f} x ours")


if __name__ == "__main__":
    main()
