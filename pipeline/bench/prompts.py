"""Prompts of a wanted length that no cache has seen: random words, other ones in every call, from the first word on.

A server keeps what it made of a prompt and uses it again for one that begins alike. These begin with another word each
time, so that nothing but what the model's own template puts before them is found again; the answers tell how much was
(`Figures.evaluated`). Pure, given a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

_LIST: Final = (
    "anchor autumn basin bell birch blue bottle branch bread bridge bright bronze brook broom butter cabin "
    "candle canal captain cargo carpet castle cedar chain chair chalk cherry circle cliff clock cloud coast "
    "copper corner cotton crane creek crown current dawn deck desert door dozen drum dune eagle early east edge "
    "ember engine evening falcon farm feather fence ferry field flag flame flint flour forest fork fountain fox "
    "frost garden gate glass gold grain grass gravel green grove hammer harbor harvest hazel heron hill honey "
    "horn horse hour house island ivory jar journey kettle king kitchen ladder lake lamp lantern leather lemon "
    "letter light lily linen lion long lumber maple marble market meadow melon metal mill mirror moon morning "
    "moss mountain narrow needle nest night north oak oar ocean olive orange orchard otter owl paint palace "
    "paper path pearl pebble pepper pilot pine pipe plain planet plate plum pond poplar port quarry quiet quilt "
    "rain raven reed ribbon ridge ring river road robin rock roof rope rose round sail salt sand seed shadow "
    "sheep shell shore silk silver slate slow small snow soap south spring square stair star steel stone storm "
    "straw stream street summer sun swan table thread thunder tide tiger timber tin torch tower town trail tree "
    "turtle valley velvet village vine violet wagon wall water wave west wheat wheel white willow wind window "
    "winter wolf wood wool yellow young"
)
WORDS: Final = tuple(_LIST.split())
"""Short and common, so that a word is few tokens."""
_TASK: Final = "Write a long story in which all of these words occur."
_GUESS: Final = 1.4
"""Tokens of a word, where no answer tells any."""
PROBES: Final = (16, 144)
"""Words of the prompts by which the tokens of a word are found out."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many tokens prompts have, as a model counts them."""

    before: float = 0.0
    """Tokens beside the words: the task and the model's template."""
    of_word: float = _GUESS
    measured: bool = False

    @classmethod
    def of(cls, tokens: tuple[int | None, int | None]) -> Lengths:
        """Return them by what the answers to prompts of `PROBES` words told; a guess where they told nothing."""
        few, many = tokens
        if few is None or many is None or many <= few:
            return cls()
        of_word = (many - few) / (PROBES[1] - PROBES[0])
        return cls(few - of_word * PROBES[0], of_word, measured=True)

    def words(self, tokens: int) -> int:
        """Return how many words make a prompt of so many tokens; one at least."""
        return max(1, round((tokens - self.before) / self.of_word))


def prompt(words: int, seed: str, *, task: bool = True) -> str:
    """Return a prompt.

    Args:
        words: that it has.
        seed: another one makes another prompt.
        task: whether it ends with something to do; a text to embed has none.
    """
    drawn = " ".join(Random(seed).choices(WORDS, k=words))
    return f"{drawn}. {_TASK}" if task else drawn
