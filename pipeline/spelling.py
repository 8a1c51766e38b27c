"""Which known word somebody may have meant by one that is not known.

Owns how near is near. Refuses to correct anything: it only asks.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return what somebody may have meant by a word that is not known; letter case, `-` and `_` count for nothing."""
    spelled = {_plain(one): one for one in known}
    close = difflib.get_close_matches(_plain(word), spelled, n=1)
    return spelled[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the question whether the nearest known word was meant; something else where none is near."""
    close = nearest(word, known)
    return f"did you mean {close!r}?" if close else otherwise


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")
