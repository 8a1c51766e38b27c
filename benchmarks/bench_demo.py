"""`make demo` split by part, and what a deployment costs beyond the waits that SageMaker imposes.

    python benchmarks/bench_demo.py ARCHIVE [--rounds 5]

Each round deploys the archive on a local cloud of its own twice, each time in a new process: with the waits of the
demo, and with none, so that what is left is states, Lambda functions and the calls that they make. Medians.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

SCALES = {"demo": "0.1", "no waits": "0"}


def deployed(archive: Path, scale: str) -> dict[str, Any]:
    """Return the document of one run."""
    command = [sys.executable, "-m", "sealift", "local", "run", str(archive)]
    options = ["--input", "examples/demo.json", "--time-scale", scale, "--json"]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SCALES}
    for n in range(arguments.rounds):
        for name, scale in SCALES.items():
            runs[name].append(deployed(arguments.archive, scale))
            taken = runs[name][-1]["total_seconds"]
            print(f"round {n + 1}, {name}: {taken:.1f} s", file=sys.stderr, flush=True)
    print("| part | " + " | ".join(runs) + " |\n|---|" + "---|" * len(runs))
    for part in [*runs["demo"][0]["parts"], "all"]:
        rows = (
            median({**one["parts"], "all": one["total_seconds"]}[part] for one in documents)
            for documents in runs.values()
        )
        print(f"| {part} | " + " | ".join(f"{seconds:.1f} s" for seconds in rows) + " |")
    print("\n| state | " + " | ".join(runs) + " |\n|---|" + "---|" * len(runs))
    for n, state in enumerate(runs["no waits"][0]["states"]):
        took = [median(one["states"][n]["seconds"] for one in documents) for documents in runs.values()]
        if max(took) >= 0.05:
            print(f"| {state['name']} | " + " | ".join(f"{seconds:.2f} s" for seconds in took) + " |")
    whole = (median(one["seconds"] for one in documents) for documents in runs.values())
    print("| the execution | " + " | ".join(f"{seconds:.1f} s" for seconds in whole) + " |")


if __name__ == "__main__":
    main()
