"""Text as somebody may write it who wishes a reader ill, and what of it may not reach a person."""

from __future__ import annotations

import unicodedata
from typing import Final

from hypothesis import strategies as st

HOSTILE: Final = (
    "a\x1b]0;b\x07\x1b[2J\rc\nd\te\x00\x7f\x85\x9b31m\u200b"
    "\u2028\u2029\u202ef\u2066g\ufeff\xad\udce9\U000e0041h"
)
"""Every kind: a terminal's sequences in 7 and 8 bits, ends of lines, turned and unseen text, half of a pair."""
TEXTS: Final = st.text(
    st.sampled_from(sorted(set(HOSTILE))) | st.characters(exclude_categories=()), max_size=40
)
"""Any text, those of the same kinds among them."""

_MOVES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_UNSEEN: Final = frozenset("\xad\u200b\u200e\u200f\u2060\ufeff\U000e0041")


def unfit(text: str) -> set[str]:
    """Return the characters of a text that no person should be sent; line breaks, of our own layout, are none."""
    return {
        one
        for one in text
        if one in _UNSEEN
        or (one != "\n" and unicodedata.category(one) in _MOVES)
        or unicodedata.bidirectional(one) in _TURNS
    }
