"""What something that runs costs an hour and a month, in words: the same in plan, status, report and notification.

Owns the words. Refuses to know a price, and to add any up: `hourly_costs` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOURS_A_MONTH: Final = 730


@dataclass(frozen=True, slots=True)
class Cost:
    """What runs, and what it costs an hour."""

    usd_per_hour: float | None
    """0 for a serverless endpoint without provisioned concurrency; None when a price is not known."""
    how: str = ""
    """The sum in words; empty where it stands elsewhere."""
    to_zero: bool = False
    """Whether all of it goes while nobody calls, so that this is what it costs while it is up."""

    @property
    def now(self) -> str:
        """What it costs, in the words of every command that tells of a running endpoint."""
        whether = ", called or not" if self.usd_per_hour != 0 else ""
        if self.to_zero and whether:
            whether = " while it is up, and nothing at none"
        return f"{words(self.usd_per_hour)}{whether}" + (f": {self.how}" if self.how else "")


def words(usd_per_hour: float | None) -> str:
    """Return in words what something costs that runs.

    Args:
        usd_per_hour: while nobody calls; None where a price is not known.
    """
    if usd_per_hour is None:
        return "a price that is not known"
    if not usd_per_hour:
        return "nothing while nobody calls"
    return f"${usd_per_hour:g} an hour, ${usd_per_hour * HOURS_A_MONTH:,.0f} a month"
