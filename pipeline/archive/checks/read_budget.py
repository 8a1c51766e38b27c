"""How far is read for a model's header.

Owns the bound of a first look: a few megabytes in any case, and on from there as long as a header is wanted, within
`limits.HEADER_READ` and `limits.HEADER_READ_S`. It refuses to read: whoever does asks how much he may.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from pipeline.errors import Problem
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.archive.checks.rules import Rules

_STEP: Final = MiB
"""Of the first megabytes, which suffice for most: little is read in vain."""
_STRIDE: Final = 4 * MiB
"""After them: a ranged GET of S3 takes tens of milliseconds before its first byte."""


class ReadBudget:
    """How much of one file or archive may still be read; its time begins when it is made."""

    def __init__(self, rules: Rules, read: Callable[[], int], clock: Callable[[], float] = monotonic) -> None:
        """Take the bounds, what tells the bytes that were read so far, and a clock in seconds."""
        self.spent = False
        """Whether a header was wanted when the bound was reached."""
        self._rules = rules
        self._read = read
        self._clock = clock
        self._begun = clock()

    def next(self, *, wanted: bool) -> int:
        """Return how many bytes may be read next, 0 for none; `wanted` tells that a header has yet to come or end."""
        done, rules = self._read(), self._rules
        if done < rules.inspect_bytes:
            return min(_STEP, rules.inspect_bytes - done)
        if not wanted:
            return 0
        if done >= rules.header_bytes or self._clock() - self._begun >= rules.header_s:
            self.spent = True
            return 0
        return min(_STRIDE, rules.header_bytes - done)

    def exceeded(self, what: str, fix: str) -> Problem:
        """Return that the bound was reached while this was read; what lies behind it is not known."""
        read, seconds = self._read() / MiB, self._clock() - self._begun
        most = f"{self._rules.header_bytes / MiB:,.0f} MiB and {self._rules.header_s:g} s"
        return Problem(
            "HeaderNotReached",
            f"{what} after {read:,.1f} MiB and {seconds:.0f} s, where the reading stopped",
            f"a model's header that ends within {most} of reading",
            fix,
        )
