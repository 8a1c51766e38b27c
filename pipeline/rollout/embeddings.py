"""An OpenAI-style list of embeddings, and whether a model that works could have made it.

What the numbers should be nobody can say; what they cannot be is known: none at all, of another width than the model's,
infinite, all zero, or the same for two texts that have nothing in common.

Pure: takes bytes, returns data.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.rollout import answers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.errors import ErrorFields

SAME: Final = 1e-4
"""The part of an embedding's length by which two must differ: more than float32 rounds, and next to nothing."""
_SHOWN: Final = 4
"""Numbers of an embedding that are shown."""


BROKEN: Final[ErrorFields] = {
    "cause": "EmbeddingBroken",
    "why": "the model's embeddings are not such as a working one makes",
    "fix": "embed the same texts with the GGUF on your own machine, llama-server --embeddings, and export it again if "
    "it does likewise",
}
"""What is known of the cause of embeddings that have shortcomings."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What a model made of some texts, in their order."""

    vectors: tuple[tuple[float, ...], ...]
    timings: Mapping[str, float] = field(default_factory=dict)
    """As those of `answers.Answer`."""

    @property
    def text(self) -> str:
        """The first one, as a person may see it."""
        first = self.vectors[0] if self.vectors else ()
        more = ", ..." if len(first) > _SHOWN else ""
        return f"{len(first)} numbers: {', '.join(f'{number:.4g}' for number in first[:_SHOWN])}{more}"


def parse(body: bytes | str) -> Embeddings:
    """Return the embeddings in a response body.

    Raises:
        NotAnAnswer: with the beginning of the body.
    """
    with answers.reading(body, "OpenAI-style list of embeddings"):
        document = json.loads(body)
        listed = sorted(document["data"], key=lambda one: one["index"])
        vectors = tuple(
            tuple(answers.number(one, "a number of an embedding") for one in entry["embedding"])
            for entry in listed
        )
    return Embeddings(vectors, answers.timings(document.get("timings")))


def shortcomings(found: Embeddings, texts: int, size: int | None) -> list[str]:
    """Return in what respects these are no embeddings of a model that works; empty when they may be.

    Args:
        found: the embeddings of texts that differ.
        texts: how many texts there were.
        size: how many numbers each should have; None when that is not known.
    """
    vectors = found.vectors
    if len(vectors) != texts:
        return [f"{len(vectors)} embeddings of {texts} texts"]
    sizes = sorted({len(vector) for vector in vectors})
    wanted = sizes[0] if size is None else size
    if sizes != [wanted] or not wanted:
        seen = " and ".join(map(str, sizes))
        return [f"embeddings of {seen} numbers, wanted {size or 'the same number, more than none'}"]
    if not all(math.isfinite(number) for vector in vectors for number in vector):
        return [
            "an embedding with infinity or what is no number in it: the weights are damaged, or do not suit"
        ]
    lengths = [math.hypot(*vector) for vector in vectors]
    if not all(lengths):
        return ["an embedding of nothing but zeros"]
    for n, one in enumerate(vectors):
        for m in range(n):
            if math.dist(one, vectors[m]) <= SAME * max(lengths[n], lengths[m]):
                return [f"the same embedding for texts {m + 1} and {n + 1}, which have nothing in common"]
    return []
