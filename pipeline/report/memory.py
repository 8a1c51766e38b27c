"""The fit as a picture: what fills the endpoint's memory, part by part, and what is left; disk and start-up beside it.

Pure: reads the plan of an execution. Refuses to add anything up anew: the parts are those that the plan was made
with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import limits
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a whole; an amount in bytes, or in seconds for the start-up."""

    name: str
    amount: float
    how: str


@dataclass(frozen=True, slots=True)
class Budget:
    """Parts against a limit."""

    parts: tuple[Part, ...]
    limit: float

    @property
    def used(self) -> float:
        """The sum of the parts."""
        return sum(part.amount for part in self.parts)

    @property
    def free(self) -> float:
        """What is left; below 0 when the parts are more than there is."""
        return self.limit - self.used


@dataclass(frozen=True, slots=True)
class MemoryPicture:
    """The three budgets of a plan."""

    memory_mb: int
    max_concurrency: int
    memory: Budget
    disk: Budget
    startup: Budget
    sizes_mb: tuple[int, ...]
    """Every serverless memory size that holds the model."""
    notes: tuple[str, ...]


def read(plan: Mapping[str, Any]) -> MemoryPicture | None:
    """Return the budgets of a plan; None for one that was not made for a memory size."""
    needed, size = plan.get("fit"), plan.get("memory_mb")
    if not isinstance(needed, dict) or not isinstance(size, int):
        return None
    return MemoryPicture(
        memory_mb=size,
        max_concurrency=int(plan.get("max_concurrency") or 0),
        memory=Budget(_parts(needed.get("lines"), "bytes"), size * MiB),
        disk=Budget(_parts(needed.get("disk"), "bytes"), limits.DISK.value),
        startup=Budget(_parts(needed.get("startup"), "seconds"), limits.STARTUP_S.value),
        sizes_mb=tuple(needed.get("sizes_mb") or ()),
        notes=tuple(str(note) for note in plan.get("notes") or ()),
    )


def _parts(lines: Any, unit: str) -> tuple[Part, ...]:
    return tuple(Part(str(line["name"]), float(line[unit]), str(line.get("how", ""))) for line in lines or ())
