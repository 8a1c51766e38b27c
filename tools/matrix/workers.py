"""The processes that run cases and races: one local cloud in each, since moto's state is the process's."""

from __future__ import annotations

import traceback
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, TypeVar

from tools.matrix.arena import Arena
from tools.matrix.invariants import Broken, Outcome
from tools.matrix.races import Raced
from tools.matrix.world import SCENARIOS, Result, World

if TYPE_CHECKING:
    from tools.matrix.cases import Case, Step
    from tools.matrix.races import Race

W = TypeVar("W", bound=World)

_worlds: list[World] = []
_arenas: list[Arena] = []


def open_world() -> None:
    """Start this process's local cloud; it is closed when the process ends."""
    _worlds.append(_opened(World()))


def open_arena() -> None:
    """Start this process's local cloud, for races; it is closed when the process ends."""
    _arenas.append(_opened(Arena()))


def _opened(world: W) -> W:
    world.__enter__()
    Finalize(None, world.cloud.close, exitpriority=20)
    return world


def record(name: str) -> tuple[str, list[Step]]:
    """Return a scenario's name and its steps, without a fault."""
    return name, _worlds[0].record(SCENARIOS[name])


def run(case: Case) -> Result:
    """Run one case; what the harness itself stumbles over is a result too, and is no rule's."""
    try:
        return _worlds[0].run(case)
    except Exception:  # noqa: BLE001 whatever it is, it must not end the other runs, and not all of it can be pickled
        return Result(case, Outcome("UNKNOWN"), (Broken("harness", traceback.format_exc()),), 0, 0.0)


def race(race: Race) -> Raced:
    """Run one race; what the harness itself stumbles over is a result too."""
    try:
        return _arenas[0].race(race)
    except Exception:  # noqa: BLE001 as in `run`
        return Raced(race, {}, (Broken("harness", traceback.format_exc()),), 0.0)
