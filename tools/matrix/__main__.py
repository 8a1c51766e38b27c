"""Run the failure matrix, show how far it is, and write down what came of it.

    python -m tools.matrix [--jobs 2] [--seconds 1400] [--only TEXT] [--pairs 200] [--report docs/failure-matrix.md]

Exits with 1 when a rule was broken. Runs that no time was left for are counted in the report.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools.matrix import cases, report, workers
from tools.matrix.world import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tools.matrix.cases import Case, Step
    from tools.matrix.world import Result

FAKES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SHOWN_S = 10.0


def main() -> int:
    """Run it; return the exit status."""
    arguments = _arguments()
    begun = time.monotonic()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(FAKES)
    with multiprocessing.get_context("spawn").Pool(arguments.jobs, initializer=workers.open_world) as pool:
        recordings = dict(pool.imap(workers.record, arguments.scenario or SCENARIOS, chunksize=1))
        chosen = _chosen(recordings, arguments)
        print(
            f"{len(chosen)} runs, {arguments.jobs} at a time; set up in {time.monotonic() - begun:.0f} s",
            flush=True,
        )
        results = list(
            _shown(pool.imap_unordered(workers.run, chosen), len(chosen), begun, arguments.seconds)
        )
        if len(results) == len(chosen):
            pool.close()
            pool.join()
    took = time.monotonic() - begun
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(report.render(results, recordings, len(chosen), took, arguments.jobs))
    bad = [result for result in results if result.broken]
    print(f"{len(results)} of {len(chosen)} runs in {took:.0f} s, {len(bad)} broke a rule")
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.matrix")
    parser.add_argument("--jobs", type=int, default=2, help="local clouds at a time")
    parser.add_argument(
        "--seconds", type=float, default=1440, help="after which no further run is waited for"
    )
    parser.add_argument("--sample", action="store_true", help="only a few runs, with some of everything")
    parser.add_argument(
        "--scenario", action="append", choices=[*SCENARIOS], help="only this one; may be repeated"
    )
    parser.add_argument("--only", default="", help="runs whose description contains this")
    parser.add_argument("--pairs", type=int, default=200, help="further runs with two faults each")
    parser.add_argument("--seed", type=int, default=0, help="of the order and of the pairs")
    parser.add_argument(
        "--slice", default="0/1", help="of the runs, for instance 0/4: every fourth from the first"
    )
    parser.add_argument("--keep", type=Path, help="a file of results: what is in it is not run again")
    parser.add_argument("--report", type=Path, help="where to write the table")
    return parser.parse_args()


def _chosen(recordings: dict[str, Sequence[Step]], arguments: argparse.Namespace) -> list[Case]:
    single = cases.matrix(recordings, [one.name for one in SCENARIOS.values() if one.whole])
    if arguments.sample:
        return cases.sample(single, arguments.seed)
    every = [*single, *cases.pairs(single, arguments.pairs, arguments.seed)]
    start, _, step = arguments.slice.partition("/")
    wanted = [case for case in every if arguments.only in str(case)][int(start) :: int(step)]
    # Mixed, so that a time limit leaves out a little of everything.
    return random.Random(arguments.seed).sample(wanted, len(wanted))


def _kept(path: Path | None, chosen: Sequence[Case]) -> list[Result]:
    """Return the results of an earlier call, as far as they are wanted."""
    if path is None or not path.exists():
        return []
    results: list[Result] = pickle.loads(path.read_bytes())  # noqa: S301 our own file
    wanted = set(chosen)
    return [result for result in results if result.case in wanted]


def _shown(results: Iterator[Result], total: int, begun: float, seconds: float) -> Iterator[Result]:
    shown, broken = 0.0, 0
    for count, result in enumerate(results, 1):
        yield result
        now = time.monotonic() - begun
        if result.broken:
            broken += 1
            print(f"BROKEN {result.case}", flush=True)
            for one in result.broken:
                print(f"    {one.rule}: {one.seen}", flush=True)
            print(
                f"    ended {result.outcome.status} {result.outcome.error}: {result.outcome.cause}",
                flush=True,
            )
        if now - shown > SHOWN_S or count == total:
            shown = now
            print(f"{count} of {total} runs, {broken} broken, {now:.0f} s", flush=True)
        if now > seconds and count < total:
            print(f"out of time after {now:.0f} s", flush=True)
            return


if __name__ == "__main__":
    sys.exit(main())
