"""From where on in an answer a lazy grammar holds.

Owns the search for its triggers, as llama.cpp's grammars and its reasoning budget have it (`llama_grammar_accept_impl`,
common/reasoning-budget.cpp), in the answer's bytes. Refuses to know a grammar or a token: llama.cpp's own lazy grammars
end the process when what triggered one does not suit it, since they throw through C.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sealift_chat import Constraint, Trigger


class Watch:
    """Looks for a trigger in an answer as it comes."""

    def __init__(self, constraint: Constraint) -> None:
        self._patterns = [_pattern(trigger) for trigger in constraint.triggers]
        self._start = constraint.thinking_start.encode()
        self._ends = [end.encode() for end in constraint.thinking_ends if end]
        self._thinks = constraint.thinking and bool(self._ends)
        self._text = bytearray()
        """What came since the answer began, or since the model stopped thinking."""

    def add(self, piece: bytes) -> int | None:
        """Take a piece; return how many of the last bytes the grammar has to read, once a trigger is there."""
        self._text += piece
        while True:
            if self._thinks:
                ends = [at for at in map(self._text.find, self._ends) if at >= 0]
                if not ends:
                    return None
                # What ends a thought may belong to a trigger.
                del self._text[: min(ends)]
                self._thinks = False
            start = self._text.find(self._start) if self._start and self._ends else -1
            found = self._begin(self._text if start < 0 else self._text[:start])
            if found is not None:
                return len(self._text) - found
            if start < 0:
                return None
            del self._text[: start + len(self._start)]
            self._thinks = True

    def _begin(self, text: bytearray) -> int | None:
        """Return where the grammar begins in a text that has a trigger."""
        for pattern in self._patterns:
            match = pattern.search(text)
            if match:
                # The first group that holds something, or all of the match when there is none.
                groups = [n for n in range(1, len(match.groups()) + 1) if match[n]]
                return match.start(groups[0] if groups else 0)
        return None


def _pattern(trigger: Trigger) -> re.Pattern[bytes]:
    """Return what to look for."""
    value = trigger.value
    if trigger.kind == "word":
        return re.compile(re.escape(value.encode()))
    if trigger.kind == "pattern_full":
        value = f"^{value.removeprefix('^').removesuffix('$')}$"
    # ECMAScript's $ is the text's end and no newline before it.
    ended = rf"{value[:-1]}\Z" if value.endswith("$") and not value.endswith(r"\$") else value
    return re.compile(ended.encode())
