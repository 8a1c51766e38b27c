"""Text from outside on its way to a person: in one line, moving nothing, hiding nothing.

Whoever wrote a name, a model's metadata, an answer or a log line decides what is in it; whoever reads it sees each
character as itself or as an escape. Owns which characters are shown as escapes: those that move a terminal's cursor,
change its colors or end a line, those that turn the direction of what follows, those that are not seen at all, and
halves of surrogate pairs, which no encoding can write. The boundaries call it, so that nobody else need remember to:
`pipeline.cli.screen` (and the endings, for stderr), `pipeline.errors`, `task_log`, `pipeline.report.page`, and
what makes the texts of notifications. JSON is data, and has escapes of its own. It refuses to judge: a name with a
line break in it may be shown, and is shown as what it is.
"""

from __future__ import annotations

import re
from typing import Final

_UNFIT: Final = re.compile(
    # C0, DEL and C1; line and paragraph separators; halves of surrogate pairs.
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    # What turns the direction of text.
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    # What is not seen: soft hyphen, fillers, zero-width space, word joiner, invisible operators, annotations.
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # What Unicode says is no character.
    "\ufdd0-\ufdef\ufffe\uffff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
_NEEDS_JOINERS: Final = "\u0600-\u1fff\u2070-\ud7ff\ufe00-\ufefe\U00010000-\U0001ffff"
_JOINER: Final = re.compile(f"(?<![{_NEEDS_JOINERS}])[\u200c\u200d]|[\u200c\u200d](?![{_NEEDS_JOINERS}])")
"""Joiners where they are not seen: Persian, the scripts of India and emoji have them, between two of their own."""
_BREAK: Final = re.compile(r"[\t\n\v\f\r]+")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")


def plain(text: str) -> str:
    """Return a text in one line, with escapes as Python writes them in place of what is no visible character.

    Once is enough: of its own result it changes nothing.
    """
    return _JOINER.sub(_escape, _UNFIT.sub(_escape, text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def one_line(text: str) -> str:
    """Return prose in one line, plain; where a line ends, or a tab stands, is a space, since that says nothing."""
    return plain(" ".join(filter(None, (piece.strip(" ") for piece in _BREAK.split(text)))))


def lines(text: str) -> list[str]:
    """Return a text of several lines, such as a log's, as its lines, each plain; tabs are spaces. At least one."""
    return [plain(line.expandtabs(4)) for line in _LINE_END.split(text)]
