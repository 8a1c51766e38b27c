"""The processes that run the cases: one local cloud in each, since moto's state is the process's."""

from __future__ import annotations

import traceback
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING

from tools.matrix.invariants import Broken, Outcome
from tools.matrix.world import SCENARIOS, Result, World

if TYPE_CHECKING:
    from tools.matrix.cases import Case, Step

_worlds: list[World] = []


def open_world() -> None:
    """Start this process's local cloud; it is closed when the process ends."""
    world = World()
    world.__enter__()
    _worlds.append(world)
    Finalize(None, world.cloud.close, exitpriority=20)


def record(name: str) -> tuple[str, list[Step]]:
    """Return a scenario's name and its steps, without a fault."""
    return name, _worlds[0].record(SCENARIOS[name])


def run(case: Case) -> Result:
    """Run one case; what the harness itself stumbles over is a result too, and is no rule's."""
    try:
        return _worlds[0].run(case)
    except Exception:  # noqa: BLE001 whatever it is, it must not end the other runs, and not all of it can be pickled
        return Result(case, Outcome("UNKNOWN"), (Broken("harness", traceback.format_exc()),), 0, 0.0)
