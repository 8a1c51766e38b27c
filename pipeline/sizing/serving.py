"""What serves a model takes for itself, beside what llama.cpp occupies: memory, and time to start.

Owns the measured figures of each server. Refuses to add them up: `fit` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.limits import MiB


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """One line of the arithmetic."""

    name: str
    bytes: int
    how: str


CHECKPOINTS: Final = 1
"""Of each slot of a llama-server, as `--ctx-checkpoints` has it: the newest one, which a chat's next turn goes on from;
llama-server gives up the oldest first (server-context.cpp, create_checkpoint)."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves the model, as far as a fit depends on it."""

    memory: MemoryLine
    """Resident beside what llama.cpp occupies."""
    startup_s: float
    """Seconds from its start to its first answer, without the loading of a model."""
    how: str
    checkpoints: int = 0
    """Copies of windows and states that it keeps of each slot."""


@dataclass(frozen=True, slots=True)
class OtherServing:
    """What could serve the model in the place of what is planned."""

    container: str
    how: str
    """What a person does to have it."""
    serving: Serving


# What a memory limit charges and cannot take back. The sum of what is resident in each process is 710 MiB: there
# PyTorch's pages count twice, and so do files' pages that the kernel drops when it must. 448 MiB were too little. The
# small model that was served is in this figure and has lines of its own besides: a margin of some 45 MiB
# (benchmarks/bench_limits.py).
PREBUILT: Final = Serving(
    MemoryLine(
        "server",
        464 * MiB,
        "measured: the least memory limit in which entry point, Java and Python worker outlast 6,000 requests",
    ),
    5.0,
    "measured: 4.4 to 6.2 s in the prebuilt image",
)
# llama-server itself is in llama.cpp's lines: behind the adapter, after 480 requests to a model of 1 MiB, it held 49
# MiB with one slot and 55 with eight, where those say 38 and 41, and 32 of saved prompts. Where inference/server.py
# runs in the adapter's place, that takes 44.
OWN_SERVER: Final = Serving(
    MemoryLine(
        "server",
        72 * MiB,
        "measured: Python with the adapter 39 MiB, numpy for embeddings 12, a request of 4 MB on its way 17",
    ),
    1.5,
    "measured: the adapter and llama-server give a first token within 1.0 to 1.5 s on two cores that are busy",
    CHECKPOINTS,
)
LLAMA_SERVER: Final = Serving(
    MemoryLine(
        "server",
        32 * MiB,
        "assumed for nginx; llama-server alone was measured at 374 MiB where the lines above say 419",
    ),
    1.0,
    "measured: llama-server is up after 0.1 s; the rest is assumed for nginx",
    CHECKPOINTS,
)
