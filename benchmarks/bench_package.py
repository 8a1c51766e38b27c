"""The zips of the Lambdas, what importing each handler takes in a process of its own, and `sealift --help`.

    python benchmarks/bench_package.py [--runs 15]

Each zip is extracted and its handler imported as Lambda does: `python -S -I`, with the zip and boto3 on the path and
nothing else. A process that imports just what boto3 has to offer, and makes no client, is measured the same way; what
is told of a task is beyond that. Every time is CPU time, which other work on the machine changes little, and the least
of the runs, with bytecode compiled before.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from io import BytesIO
from pathlib import Path

from local_cloud.functions.invocations import _link_runtime
from pipeline import package_files
from pipeline.stack import bundles, template

BOTO3 = "import boto3, boto3.exceptions, botocore.config, botocore.exceptions"


def best(*commands: list[str], runs: int) -> list[float]:
    """Return the milliseconds of CPU time, the system's among them, of each command's run that took least.

    The commands take turns, since the machine is now quicker, now slower.
    """
    times: list[list[float]] = [[] for _ in commands]
    for _ in range(runs + 1):
        for command, taken in zip(commands, times, strict=True):
            begun = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken.append(ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime)
    # The first one compiles bytecode.
    return [1000 * min(taken[1:]) for taken in times]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    source = template.load(package_files.template())
    begun = time.perf_counter()
    smallest = bundles.packages(source, bundles.libraries_here(), level=bundles.SMALLEST)
    taken = time.perf_counter() - begun
    imports = bundles.Imports(package_files.tasks().parent)
    handlers = {name: one["Handler"].rpartition(".")[0] for name, one in bundles.functions(source).items()}
    with tempfile.TemporaryDirectory() as folder:
        runtime = Path(folder) / "runtime"
        _link_runtime(runtime)

        def importing(root: Path, statement: str) -> list[str]:
            path = f"import sys; sys.path[:0] = [{str(root)!r}, {str(runtime)!r}]; "
            return [sys.executable, "-S", "-I", "-c", path + statement]

        with_boto3 = importing(Path(folder), BOTO3)
        bare, boto3 = best([sys.executable, "-S", "-I", "-c", "pass"], with_boto3, runs=runs)
        print(f"| Python alone | {bare:.0f} ms |\n| with boto3 | {boto3:.0f} ms |\n")
        print("| function | modules of ours | zip | import beyond Python and boto3 |\n|---|---|---|---|")
        for name, code in smallest.items():
            root = Path(folder) / name
            with zipfile.ZipFile(BytesIO(code.body)) as archive:
                archive.extractall(root)
            boto3, whole = best(with_boto3, importing(root, f"{BOTO3}; import {handlers[name]}"), runs=runs)
            count = sum(path.endswith(".py") for path in imports.needs(handlers[name]).modules)
            size = f"{len(code.body) / 1024:,.0f} KiB"
            print(f"| {name} | {count} | {size} | {whole - boto3:.0f} ms |", flush=True)
    total = sum(len(code.body) for code in smallest.values())
    print(f"\nall zips: {total / 2**20:.1f} MiB, made in {taken:.1f} s")
    help_ms, python_ms = best(
        [sys.executable, "-m", "sealift", "--help"], [sys.executable, "-c", "pass"], runs=runs
    )
    print(f"sealift --help: {help_ms:.0f} ms, of which Python {python_ms:.0f} ms")


if __name__ == "__main__":
    main()
