"""Which of several instance types a person wants: by price, by speed, by both, and within what they require.

Owns the order and the requirements. Pure. Refuses to know memory: what is ordered holds the model already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from pipeline import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHEAPEST: Final = "cheapest"
FASTEST: Final = "fastest"
TOKENS_PER_DOLLAR: Final = "tokens-per-dollar"
PREFERENCES: Final = (CHEAPEST, FASTEST, TOKENS_PER_DOLLAR)

ANSWER_TOKENS: Final = 150
"""Of an answer that a call must have time for: what an endpoint gives unless a request says otherwise."""


class Priced(Protocol):
    """What is ordered."""

    @property
    def name(self) -> str:
        """The type."""

    @property
    def usd_per_hour(self) -> float:
        """Of one instance."""

    @property
    def tokens_per_s(self) -> float:
        """Of one answer at a time."""


P = TypeVar("P", bound=Priced)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants of an instance."""

    prefer: str = CHEAPEST
    """One of `PREFERENCES`."""
    min_tokens_per_s: float | None = None
    answer_within_s: float | None = None
    """Seconds of an answer of `ANSWER_TOKENS`."""
    answers: bool = True
    """Whether the model answers in tokens; for embeddings no speed is required."""

    @property
    def least_tokens_per_s(self) -> float:
        """How fast a type must be; 0 where nothing is required."""
        within = self.answer_within_s
        return max(self.min_tokens_per_s or 0.0, ANSWER_TOKENS / within if within else 0.0)

    def __str__(self) -> str:
        """The requirements in words."""
        said = []
        if self.min_tokens_per_s is not None:
            said.append(f"min_tokens_per_s {self.min_tokens_per_s:g}")
        if self.answer_within_s is not None:
            said.append(f"{ANSWER_TOKENS} tokens within answer_within_s {self.answer_within_s:g}")
        return " and ".join(said)


NOTHING_ASKED: Final = Wish()


def in_time(one: Priced, wish: Wish) -> bool:
    """Tell whether an answer of `ANSWER_TOKENS` comes within a call, whose prompt takes some of it as well."""
    return not wish.answers or ANSWER_TOKENS / one.tokens_per_s < limits.INVOCATION_S.value


def meets(one: Priced, wish: Wish) -> bool:
    """Tell whether a type is as fast as is required."""
    return not wish.answers or one.tokens_per_s >= wish.least_tokens_per_s


def ordered(found: Iterable[P], wish: Wish, most: int) -> tuple[P, ...]:
    """Return the types that meet a wish, the one to take first, then those to take in its place.

    What cannot give a usual answer within a call comes after all that can. By price, each that follows the first is
    faster than the one before it: who pays more gets more.

    Args:
        found: types that hold the model.
        wish: what is wanted.
        most: how many to return.
    """
    fit = sorted(
        (one for one in found if meets(one, wish)),
        key=lambda one: (not in_time(one, wish), _rank(one, wish.prefer), one.usd_per_hour, one.name),
    )
    return tuple((_faster(fit) if wish.prefer == CHEAPEST else fit)[:most])


def _rank(one: Priced, prefer: str) -> float:
    """Return by what a type is ordered, the best first."""
    if prefer == FASTEST:
        return -one.tokens_per_s
    return one.usd_per_hour if prefer == CHEAPEST else -one.tokens_per_s / one.usd_per_hour


def _faster(fit: Sequence[P]) -> list[P]:
    chosen: list[P] = []
    for one in fit:
        if not chosen or one.tokens_per_s > chosen[-1].tokens_per_s:
            chosen.append(one)
    return chosen
