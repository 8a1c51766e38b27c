"""Text from a file, a bucket or a model on its way to a person: in one line, and moving nothing.

Owns which characters are shown as escapes: those that move a terminal's cursor, change its colors or end a line, those
that turn the direction of what follows, and halves of surrogate pairs, which no encoding can write. It refuses to judge
them: a name with a line break in it may be told, and is told as what it is.
"""

from __future__ import annotations

import re
from typing import Final

_UNFIT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Return a text with escapes in place of what is no visible character; of its result it changes nothing more."""
    return _UNFIT.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)
