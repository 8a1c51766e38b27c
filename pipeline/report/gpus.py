"""Where a model lies on GPUs, as a picture: what fills the fullest GPU, part by part, and the host beside it.

Pure: reads the plan's offer of the type that runs. Refuses to add anything up anew, and to call any of it measured: no
GPU was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.report.memory import Budget, Part
from pipeline.rollout import answer_speed
from pipeline.state_data.plan_types import PROMPT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class GpuPicture:
    """One instance type with its GPUs."""

    type: str
    gpu: str
    count: int
    """GPUs of one instance."""
    layers: int
    """On GPUs, the output counted as one."""
    of_layers: int
    memory: Budget
    """Of the fullest GPU, against what of its memory is usable."""
    host: Budget
    tokens_per_s: float
    speed: str
    """How that was computed."""
    first_token_s: float | None
    """After a prompt of `PROMPT_TOKENS`."""

    @property
    def prompt_tokens(self) -> int:
        """Of the prompt that the first token comes after."""
        return PROMPT_TOKENS

    @property
    def left(self) -> int:
        """Layers that the host keeps, which are slow there."""
        return self.of_layers - self.layers


def read(results: Mapping[str, Any]) -> tuple[GpuPicture, ...]:
    """Return a picture of each type that runs and has GPUs; none of a deployment without."""
    return tuple(_picture(one) for one in answer_speed.running_offers(results) if one.get("on_gpus"))


def _picture(offer: Mapping[str, Any]) -> GpuPicture:
    laid = offer["on_gpus"]
    return GpuPicture(
        type=str(offer["name"]),
        gpu=str(laid["gpu"]),
        count=int(laid["count"]),
        layers=int(laid["layers"]),
        of_layers=int(laid["of_layers"]),
        memory=Budget(_parts(laid["parts"]), float(laid["usable_bytes"])),
        host=Budget(_parts(laid["host"]), float(laid["host_bytes"])),
        tokens_per_s=float(offer["tokens_per_s"]),
        speed=str(offer["speed"]),
        first_token_s=offer.get("first_token_s"),
    )


def _parts(parts: Iterable[Mapping[str, Any]]) -> tuple[Part, ...]:
    return tuple(Part(str(one["name"]), float(one["bytes"]), str(one["how"])) for one in parts)
