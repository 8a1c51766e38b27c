"""How similar two answers are: a number from 0 to 1, the same wherever and whenever it is computed.

Of texts it is the Sorensen-Dice coefficient of their character trigrams: twice what both have in common, divided by
what they have together, each trigram as often as it stands there. White space counts as one space, letter case is
ignored, and a space stands before and behind. It is 1 for the same text, and 0 for two that share no three characters
in a row. Of embeddings it is the cosine, and 0 where that is negative.

It compares letters, not meaning: "it is safe" and "it is not safe" are similar, "yes" and "certainly" are not. It
needs no list of words, so it holds for every language, and takes time in proportion to the texts.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def of_texts(one: str, other: str) -> float:
    """Return how similar two texts are."""
    first, second = _trigrams(one), _trigrams(other)
    together = first.total() + second.total()
    return 2 * (first & second).total() / together if together else 1.0


def _trigrams(text: str) -> Counter[str]:
    spaced = f" {' '.join(text.casefold().split())} "
    return Counter(spaced[at : at + 3] for at in range(len(spaced) - 2))


def of_vectors(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how similar two embeddings are; 0 for those of different lengths."""
    if len(one) != len(other):
        return 0.0
    length = math.hypot(*one) * math.hypot(*other)
    if not length or not math.isfinite(length):
        return 0.0
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return min(max(product / length, 0.0), 1.0)
