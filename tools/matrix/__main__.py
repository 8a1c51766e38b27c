"""Run the failure matrix, show how far it is, and write down what came of it.

    python -m tools.matrix [--jobs 2] [--seconds 2400] [--only TEXT] [--pairs 40] [--races 60]
                           [--report docs/failure-matrix.md]

Every call and every kind of fault comes first, then pairs of faults, then races: the greatest part of the time goes
to what is always the same. Exits with 1 when a rule was broken. Runs that no time was left for are counted in the
report.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tools.matrix import arena, cases, races, report, workers
from tools.matrix.races import Raced
from tools.matrix.world import SCENARIOS, Result, leave_accounts_alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from tools.matrix.cases import Case, Step

R = TypeVar("R", Result, Raced)

SHOWN_S = 10.0


def main() -> int:
    """Run it; return the exit status."""
    arguments = _arguments()
    # So that its processes and their local clouds end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    leave_accounts_alone()
    begun = time.monotonic()
    recordings, results, planned = _run(arguments, begun)
    raced = _race(arguments, begun)
    took = time.monotonic() - begun
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        text = report.render(
            results, recordings, planned=planned, seconds=took, jobs=arguments.jobs, raced=raced
        )
        arguments.report.write_text(text)
    bad = sum(bool(one.broken) for one in results) + sum(bool(one.broken) for one in raced)
    print(f"{len(results)} of {planned} runs and {len(raced)} races in {took:.0f} s, {bad} broke a rule")
    return 1 if bad else 0


def _race(arguments: argparse.Namespace, begun: float) -> list[Raced]:
    chosen = [races.draw(seed, tuple(arena.SCENARIOS)) for seed in _seeds(arguments)]
    if not chosen or time.monotonic() - begun > arguments.seconds:
        return []
    # A race mostly waits, since each call is held up.
    jobs = 2 * arguments.jobs
    with _pool(jobs, workers.open_arena) as pool:
        print(f"{len(chosen)} races, {jobs} at a time", flush=True)
        return list(_shown([pool.submit(workers.race, race) for race in chosen], begun, arguments.seconds))


def _seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.seed, arguments.seed + arguments.races)


def _run(arguments: argparse.Namespace, begun: float) -> tuple[dict[str, list[Step]], list[Result], int]:
    with _pool(arguments.jobs, workers.open_world) as pool:
        recordings = dict(pool.map(workers.record, arguments.scenario or SCENARIOS))
        chosen = _chosen(recordings, arguments)
        print(f"{len(chosen)} runs, {arguments.jobs} at a time", flush=True)
        runs = [pool.submit(workers.run, case) for case in chosen]
        results = list(_shown(runs, begun, arguments.seconds))
    return recordings, results, len(chosen)


@contextlib.contextmanager
def _pool(jobs: int, initializer: Callable[[], None]) -> Iterator[Executor]:
    """Processes with a local cloud in each; what has not begun when it ends is left out."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=initializer)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.matrix")
    parser.add_argument("--jobs", type=int, default=2, help="local clouds at a time")
    parser.add_argument(
        "--seconds", type=float, default=2400, help="after which no further run is waited for"
    )
    parser.add_argument("--sample", action="store_true", help="only a few runs, with some of everything")
    parser.add_argument(
        "--scenario", action="append", choices=[*SCENARIOS], help="only this one; may be repeated"
    )
    parser.add_argument("--only", default="", help="runs whose description contains this")
    parser.add_argument("--pairs", type=int, default=40, help="further runs with two faults each")
    parser.add_argument("--seed", type=int, default=0, help="of the order and of the pairs")
    parser.add_argument("--races", type=int, default=60, help="races of two uploads of a service")
    parser.add_argument("--report", type=Path, help="where to write the table")
    return parser.parse_args()


def _chosen(recordings: Mapping[str, Sequence[Step]], arguments: argparse.Namespace) -> list[Case]:
    whole, thinned = (
        {one.name for one in SCENARIOS.values() if getattr(one, how)} for how in ("whole", "thinned")
    )
    acted = {one.name for one in SCENARIOS.values() if one.act}
    single = cases.matrix(recordings, whole, thinned, acted)
    if arguments.sample:
        return cases.sample(single, arguments.seed)
    pairs = cases.pairs(single, arguments.pairs, arguments.seed)
    chance = random.Random(arguments.seed)
    wanted = [[case for case in some if arguments.only in str(case)] for some in (single, pairs)]
    # Mixed, so that a time limit leaves out a little of everything, but for the pairs, which may be drawn again.
    return [case for some in wanted for case in chance.sample(some, len(some))]


def _shown(runs: Sequence[Future[R]], begun: float, seconds: float) -> Iterator[R]:
    """Yield the results as they come, with a line of progress now and then, until the time is over."""
    shown, broken, total = 0.0, 0, len(runs)
    for count, run in enumerate(as_completed(runs), 1):
        result = run.result()
        yield result
        now = time.monotonic() - begun
        if result.broken:
            broken += 1
            print(f"BROKEN {result}", flush=True)
        if now - shown > SHOWN_S or count == total:
            shown = now
            print(f"{count} of {total} runs, {broken} broken, {now:.0f} s", flush=True)
        if now > seconds and count < total:
            print(f"out of time after {now:.0f} s", flush=True)
            return


if __name__ == "__main__":
    sys.exit(main())
