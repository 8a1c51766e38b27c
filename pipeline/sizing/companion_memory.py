"""What lies beside a model occupies inside llama-server: a projector, adapters, a draft model.

Owns llama.cpp's own rules for them on a CPU (tools/mtmd/clip.cpp, src/llama-adapter.cpp, common/speculative.cpp), as
llama-cpp-python 0.3.36 ships them; `benchmarks/bench_companions.py` measures what they say. Refuses to know a limit,
and to guess how many of a draft model's guesses hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from inference.sealift_models import DRAFT, LORA, PROJECTOR
from pipeline.limits import MiB
from pipeline.sizing.layers import count
from pipeline.sizing.llama_memory import LLAMA_CPP, NODE_BYTES, Shape, footprint
from pipeline.sizing.serving import MemoryLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PIXEL_BYTES: Final = 63
"""Of an image as it is brought to the projector's size, in copies of one byte and of four for each color: measured."""
IMAGE_BYTES: Final = 4 * MiB
"""Of an image, whatever its size: measured 3 to 4 MiB."""
PHOTO_BYTES: Final = 36 * MiB
"""Of an image as it came: 12 megapixels of three bytes. Assumed: a larger one takes more."""
GUESSES: Final = 3
"""Tokens that a draft model guesses at a time (common.h: n_max), each of which the model gives logits for."""
NODES_OF_PAIR: Final = 6
"""Of a graph, for a pair of tensors of an adapter (llama-adapter.h, get_n_nodes)."""


@dataclass(frozen=True, slots=True)
class Projector:
    """The figures of a projector that memory depends on."""

    tensor_bytes: int
    patches: int = 0
    """Of the largest image that is looked at at once; 0 where it sees none."""
    pixels: int = 0
    """Of that image."""
    width: int = 0
    feed_forward: int = 0

    @property
    def compute_bytes(self) -> int:
        """Return the bytes of its scratch memory while it looks at an image."""
        # Without scores, as flash attention is on wherever it can be: a network's inside beside its input, its residual
        # and its norm; and what is converted to f16 for the matrix that brings it back.
        return self.patches * (4 * (self.feed_forward + 3 * self.width) + 2 * self.feed_forward)

    @property
    def image_bytes(self) -> int:
        """Return the bytes of an image on its way."""
        return PIXEL_BYTES * self.pixels + IMAGE_BYTES + PHOTO_BYTES if self.pixels else 0


@dataclass(frozen=True, slots=True)
class Beside:
    """What lies beside a model, as far as memory depends on it."""

    projector: Projector | None = None
    adapters: int = 0
    adapter_bytes: int = 0
    adapter_tensors: int = 0
    draft: Shape | None = None

    @classmethod
    def from_json(cls, companions: Iterable[Mapping[str, Any]]) -> Beside:
        """Read the figures from an archive report's companions."""
        found = list(companions)
        adapters = [one for one in found if one["kind"] == LORA]
        projector = next((one for one in found if one["kind"] == PROJECTOR), None)
        draft = next((one for one in found if one["kind"] == DRAFT), None)
        return cls(
            projector=None if projector is None else _projector(projector),
            adapters=len(adapters),
            adapter_bytes=sum(count(one["tensor_bytes"]) for one in adapters),
            adapter_tensors=sum(count(one["n_tensors"]) for one in adapters),
            draft=None if draft is None else Shape.from_json(draft),
        )

    @property
    def tensor_bytes(self) -> int:
        """Return the bytes of all their weights, which are read when a model is loaded."""
        projector = self.projector.tensor_bytes if self.projector else 0
        return projector + self.adapter_bytes + (self.draft.tensor_bytes if self.draft else 0)


def lines(
    beside: Beside, *, vocabulary: int, n_ctx: int, n_batch: int, n_parallel: int
) -> tuple[MemoryLine, ...]:
    """Return what they take at most, line by line.

    Args:
        beside: what lies beside the model.
        vocabulary: the model's tokens.
        n_ctx: tokens of a request and its answer; a draft model has a cache of as many, of its own.
        n_batch: tokens of a prompt that are given at a time.
        n_parallel: requests that are answered at once.
    """
    found = []
    if beside.projector is not None:
        one = beside.projector
        how = f"its weights {_mib(one.tensor_bytes)}"
        if one.patches:
            how += (
                f" + {one.patches} patches x (6 x {one.feed_forward} + 12 x {one.width} bytes) + an image on its way "
                f"{_mib(one.image_bytes)}"
            )
        found.append(MemoryLine("projector", one.tensor_bytes + one.compute_bytes + one.image_bytes, how))
    if beside.adapters:
        nodes = NODE_BYTES * NODES_OF_PAIR * beside.adapter_tensors // 2
        how = f"tensors of {beside.adapters}, beside the weights that they change, and their graph"
        found.append(MemoryLine("adapters", beside.adapter_bytes + nodes, how))
    if beside.draft is not None:
        own = [
            line
            for line in footprint(beside.draft, n_ctx=n_ctx, n_batch=n_batch, n_parallel=n_parallel)
            if line.name != LLAMA_CPP
        ]
        logits = 4 * GUESSES * vocabulary * n_parallel
        how = " + ".join(f"{line.name} {_mib(line.bytes)}" for line in own)
        how += f" + {GUESSES} guesses x {vocabulary} logits"
        found.append(MemoryLine("draft model", sum(line.bytes for line in own) + logits, how))
    return tuple(found)


def _projector(facts: Mapping[str, Any]) -> Projector:
    image = facts.get("image") or {}
    return Projector(
        tensor_bytes=count(facts["tensor_bytes"]),
        patches=count(image.get("patches")),
        pixels=count(image.get("pixels")),
        width=count(image.get("width")),
        feed_forward=count(image.get("feed_forward")),
    )


def _mib(size: int) -> str:
    return f"{size / MiB:,.0f} MiB"
