"""What an execution's data may hold, and how a long text is cut so that it fits.

Step Functions gives up an execution whose data exceed 256 KiB (`limits.STATE_PAYLOAD`), and no catcher of `States.ALL`
sees it: nothing would be undone. So whatever enters the data has a bound here, and all bounds together stay within
`OURS`; tests/functional/planning/test_payload.py runs the workflow with the largest of everything. As JSON:

    72 KiB   the request, three times: the execution's input, CheckArchive's request, the plan
    14 KiB   what CheckArchive says of the archive and its model
    30 KiB   the rest of the plan: the calls' parameters with their tags, 6 KiB of them somebody's own, the arithmetic,
             the steps, the room
    16 KiB   what the endpoint answered, and how others ask it
     4 KiB   the quality gate: what is asked, and what came of it; the answers lie in S3
    32 KiB   the consumers as they were, how they were shifted, and what they answered
     2 KiB   the service's parameter as it was, and its name
    36 KiB   what became of earlier deployments and of the capacity, and the errors that led back; or, where the
             deployment failed, the error, its diagnosis and what was undone

What judges an answer has all of it; only what is written down is cut. Refuses to know what a text means.
"""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline import json_codec
from pipeline.limits import KiB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


OURS: Final = 212 * KiB
"""Bytes that an execution's data have at most: the rest of what AWS allows is a reserve."""

REQUEST: Final = 24 * KiB
"""Bytes of a request with all its defaults."""
FACTS: Final = 12 * KiB
"""Bytes of what is known of an archive: its model's header, the files of a split one."""
MESSAGE: Final = 5 * KiB // 2
"""Bytes of an error's sentence in a Cause."""
FIELDS: Final = 5 * KiB // 8
"""Bytes of an error's fields beside its sentence."""
TEXT: Final = 2 * KiB
"""Bytes of any other text: an answer, a reason."""
LIST: Final = 4 * KiB
"""Bytes of all texts of a list."""
ANSWERS: Final = 9 * KiB
"""Bytes of all answers of a test, and of all that several consumers answered."""
EVIDENCE: Final = 8 * KiB
"""Bytes of what a diagnosis was made from."""


def size(document: Any) -> int:
    """Return the bytes of a document as Step Functions counts them: JSON in UTF-8, without spaces."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=_as_json)
    # Half of a surrogate pair has no UTF-8; whoever writes it writes an escape.
    return len(text.encode(errors="backslashreplace"))


def _as_json(value: Any) -> Any:
    return json_codec.encode(value) if is_dataclass(value) else str(value)


def size_in_cause(text: str) -> int:
    """Return the bytes of a text in a Cause, which is JSON by itself and lies in JSON as a text."""
    return size(json.dumps(text))


def cut(text: str, most: int = TEXT, *, measure: Callable[[str], int] = size) -> str:
    """Return a text within `most` bytes of JSON, its quotes among them: what was cut tells how long all of it was."""
    # A character has a byte at least, so what comes after so many of them need not be looked at.
    if len(text) <= most and measure(text) <= most:
        return text
    suffix = f"... ({len(text):,} characters in all)"
    low, high = 0, min(len(text), most)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle] + suffix) <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low] + suffix


def cut_all(texts: Sequence[str], most: int = LIST) -> list[str]:
    """Return as many texts of a list as fit into `most` bytes, each cut; the last one says how many more there are."""
    kept: list[str] = []
    left = most - _MORE_BYTES
    for number, text in enumerate(texts):
        short = cut(text)
        left -= size(short) + 1
        if left < 0:
            return [*kept, f"and {len(texts) - number} more"]
        kept.append(short)
    return kept


_MORE_BYTES: Final = 32
"""Of what says how many more there are, and of the list's brackets."""


def newest(lines: Sequence[str], most: int = EVIDENCE) -> tuple[str, ...]:
    """Return the first line and as many of the last ones as fit into `most` bytes, each cut, in their order."""
    if not lines:
        return ()
    first, *others = (cut(line, TEXT // 4) for line in lines)
    left, kept = most - size(first), []
    for line in reversed(others):
        left -= size(line) + 1
        if left < 0:
            break
        kept.append(line)
    return (first, *reversed(kept))


def shown(document: Any, most: int = TEXT) -> Any:
    """Return a JSON document as it is where it fits into `most` bytes, else the beginning of its text."""
    if size(document) <= most:
        return document
    return cut(document if isinstance(document, str) else json.dumps(document, ensure_ascii=False), most)


def share(count: int, of: int = ANSWERS) -> int:
    """Return the bytes that each of `count` texts may have, so that all of them have no more than `of`."""
    return min(TEXT, of // max(count, 1))


def largest(fields: Iterable[tuple[str, Any]]) -> tuple[str, int]:
    """Return the name and the bytes of the largest of some fields."""
    return max(((name, size(value)) for name, value in fields), key=lambda one: one[1])
