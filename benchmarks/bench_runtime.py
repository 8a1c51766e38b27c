"""The portable runtime against a native build of the same source: speed, and time to the first token.

    python benchmarks/bench_runtime.py

Owns both builds' measurement. The native one is what `pip install` makes of the source distribution with its own
defaults (-march=native, the C++ compiler and OpenMP of this machine), in a folder of its own under .cache/bench; the
time that its installation takes is most of the cold start that is compared. Each figure is the median of rounds
that alternate between the builds, every one in a new process. AMX is refused to the native build: its kernels crash on
many CPUs, which is why no endpoint uses them. Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import shapes
from pipeline import package_files
from pipeline.archive.build.pack import pack

TOP: Final = Path(__file__).resolve().parents[1]
CHILD: Final = TOP / "benchmarks" / "speed.py"
NATIVE: Final = TOP / ".cache" / "bench" / "native"
RATIO: Final = 0.95
COLD_RATIO, COLD_S = 20, 10
QUANTIZATIONS: Final = ("Q4_K_M", "Q8_0")
THREADS: Final = (1, 2)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to keep the figures of every round")
    given = parser.parse_args()
    installed_s = install_native()
    with tempfile.TemporaryDirectory(prefix="sealift-runtime-") as folder:
        rows, cold = measure(Path(folder), given.rounds)
    first_native = median(cold["native"])
    document = {"load": os.getloadavg(), "rows": rows, "cold": cold, "native_install_s": installed_s}
    if given.json:
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    print(table(rows))
    cold_s = median(cold["portable"])
    print(
        f"cold start: {cold_s:.2f} s from the archive on disk to the first token; installing from source takes"
    )
    print(
        f"{installed_s:.0f} s, then {first_native:.2f} s: {(installed_s + first_native) / cold_s:.0f} times as long"
    )
    missed = [row for row in rows if row["ratio"] < RATIO]
    late = cold_s > COLD_S or (installed_s + first_native) / cold_s < COLD_RATIO
    return 1 if missed or late else 0


def install_native() -> float:
    """Install llama-cpp-python from source where it is not yet; return how long that took."""
    taken = NATIVE / "seconds.json"
    if not taken.exists():
        lines = (TOP / "inference" / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
        pin = next(line.split()[0] for line in lines if line.startswith("llama-cpp-python=="))
        plain = {
            name: value for name, value in os.environ.items() if not name.startswith(("CMAKE_", "PIP_NO_"))
        }
        begun = monotonic()
        # Its own defaults, as an image that meets it in a requirements.txt would; only its cached wheel is ruled out.
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-deps"),
                *("--no-binary", "llama-cpp-python", "--upgrade", "--target", str(NATIVE), pin),
            ],
            check=True,
            env=plain,
        )
        taken.write_text(json.dumps(monotonic() - begun))
    return float(json.loads(taken.read_text()))


def measure(folder: Path, rounds: int) -> tuple[list[dict[str, Any]], dict[str, list[float]]]:
    """Return a row for each model, number of threads and kind of work, and the seconds of each cold start."""
    rows: list[dict[str, Any]] = []
    cold: dict[str, list[float]] = {"portable": [], "native": []}
    for quantization in QUANTIZATIONS:
        model = shapes.write(
            replace(shapes.LLAMA_1B, quantization=quantization), folder / f"{quantization}.gguf"
        )
        for threads in THREADS:
            found: dict[str, list[dict[str, float]]] = {"portable": [], "native": []}
            for number in range(rounds):
                # In turn, and each of them first as often: what else the machine does strikes both.
                for build in ("portable", "native") if number % 2 else ("native", "portable"):
                    place = package_files.runtime() if build == "portable" else NATIVE
                    found[build].append(run(build, model, threads, place))
            for work in ("prompt", "answer"):
                ours, theirs = (median(one[work] for one in found[b]) for b in ("portable", "native"))
                row = {
                    "model": quantization,
                    "threads": threads,
                    "work": work,
                    "portable": ours,
                    "native": theirs,
                }
                rows.append({**row, "ratio": ours / theirs, "rounds": found})
        if quantization == QUANTIZATIONS[0]:
            cold = cold_starts(model, folder, rounds)
        model.unlink()
    return rows, cold


def cold_starts(model: Path, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds to the first token: from the archive for ours, from installed packages for the other."""
    archive = pack(model, folder / "model.tar.gz", code=package_files.code(), digest=False).path
    found: dict[str, list[float]] = {"portable": [], "native": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            begun = perf_counter()
            with tarfile.open(archive) as opened:
                opened.extractall(place, filter="data")
            run("portable", Path(place) / model.name, 1, Path(place) / "code", first=True)
            found["portable"].append(perf_counter() - begun)
        begun = perf_counter()
        run("native", model, 1, NATIVE, first=True)
        found["native"].append(perf_counter() - begun)
    return found


def run(build: str, model: Path, threads: int, place: Path, *, first: bool = False) -> dict[str, float]:
    """Return what one process with the llama_cpp of a folder reports."""
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(CHILD), str(model), str(threads), *(["--first"] if first else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{build}: exit status {done.returncode}: {done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not report["path"].startswith(f"{place}/"):
        raise SystemExit(f"{build}: ran {report['path']}; wanted what is in {place}")
    return report


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown; speeds in tokens per second."""
    lines = ["| model | threads | work | portable | native | ratio |", "|---|---|---|---|---|---|"]
    for row in rows:
        speeds = f"{row['portable']:.1f} | {row['native']:.1f} | {row['ratio']:.2f}"
        lines.append(f"| {row['model']} | {row['threads']} | {row['work']} | {speeds} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
