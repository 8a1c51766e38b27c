"""A ranking, in the form of Jina and Cohere, and whether a model that works could have made it.

Which text fits better nobody can say of a model that is not known; what its scores cannot be is: none at all, infinite,
or the same for two texts of which one is the query itself.

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

BROKEN: Final[ErrorFields] = {
    "cause": "RankingBroken",
    "why": "the model's scores are not such as a working reranker gives",
    "fix": "rank the same texts with the GGUF on your own machine, llama-server --rerank, and export it again if it "
    "does likewise",
}
"""What is known of the cause of rankings that have shortcomings."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a model made of some texts, in their order."""

    scores: tuple[float, ...]
    timings: Mapping[str, float] = field(default_factory=dict)
    """As those of `answers.Answer`."""

    @property
    def text(self) -> str:
        """The scores, as a person may see them."""
        return f"{len(self.scores)} scores: {', '.join(f'{score:.4g}' for score in self.scores)}"


def parse(body: bytes | str) -> Ranking:
    """Return the scores in a response body.

    Raises:
        NotAnAnswer: with the beginning of the body.
    """
    with answers.reading(body, "ranking"):
        document = json.loads(body)
        listed = sorted(document["results"], key=lambda one: one["index"])
        scores = tuple(answers.number(one["relevance_score"], "a score") for one in listed)
    return Ranking(scores, answers.timings(document.get("timings")))


def shortcomings(found: Ranking, texts: int) -> list[str]:
    """Return in what respects this is no ranking of a model that works; empty when it may be.

    Args:
        found: the scores of texts that differ.
        texts: how many texts there were.
    """
    scores = found.scores
    if len(scores) != texts:
        return [f"{len(scores)} scores of {texts} texts"]
    if not all(map(math.isfinite, scores)):
        return ["a score that is infinity or no number: the weights are damaged, or do not suit"]
    if len(set(scores)) < len(scores):
        return ["the same score for texts that have nothing in common"]
    return []
