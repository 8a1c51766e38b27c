"""The command line of a fuzzer that tells how many cases of which kind there were, and what it found."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable


def main(fuzz: Callable[[float, int], tuple[Counter[str], list[str]]]) -> int:
    """Fuzz; say what came of it.

    Args:
        fuzz: takes seconds and a seed; returns the cases by their kind, and the findings.

    Returns:
        The exit status: 1 with findings.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    told, found = fuzz(given.seconds, given.seed)
    for kind, count in sorted(told.items()):
        sys.stdout.write(f"{count:8} {kind}\n")
    sys.stdout.write("\n".join([f"{told.total():8} cases, {len(found)} findings", *found, ""]))
    return 1 if found else 0
