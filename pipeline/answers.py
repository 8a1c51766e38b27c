"""An OpenAI-style answer, and whether it is what was expected; shared by the smoke test and the consumer check.

Pure: takes bytes or text, returns data. Who asked, and what a wrong answer means, is the caller's matter.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMINGS: Final = (
    "queue_ms",
    "cache_n",
    "prompt_n",
    "prompt_ms",
    "prompt_per_second",
    "predicted_n",
    "predicted_ms",
    "predicted_per_second",
)
"""What a server tells of how long an answer took, by llama-server's names, as far as it is kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said."""

    text: str
    completion_tokens: int | None
    """None when the answer does not tell."""
    finish_reason: str | None
    timings: Mapping[str, float] = field(default_factory=dict)
    """Those of `TIMINGS` that the server told; empty for one that tells none."""


class NotAnAnswer(ValueError):
    """The body is not an OpenAI-style completion; the message says what it is instead."""


def parse(body: bytes | str) -> Answer:
    """Return the answer in a response body.

    Raises:
        NotAnAnswer: with the beginning of the body.
    """
    shown = body[:200]
    try:
        document = json.loads(body)
        choice = document["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        if not isinstance(text, str):
            raise TypeError(f"the answer's text is {type(text).__name__}")  # noqa: TRY301 joins the others below
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise NotAnAnswer(
            f"{shown!r} is no OpenAI-style completion ({type(error).__name__}: {error})"
        ) from error
    usage, reason = document.get("usage"), choice.get("finish_reason")
    # Servers differ in what they put beside the text; what is not as it should be counts as not told.
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return Answer(
        text,
        tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None,
        reason if isinstance(reason, str) else None,
        _timings(document.get("timings")),
    )


def _timings(told: Any) -> dict[str, float]:
    """Return the figures among a server's timings; what is no number counts as not told."""
    return {
        name: told[name]
        for name in TIMINGS
        if isinstance(told, dict)
        and isinstance(told.get(name), int | float)
        and not isinstance(told[name], bool)
        and math.isfinite(told[name])
    }


def shortcomings(text: str, completion_tokens: int | None, expect: dict[str, Any]) -> list[str]:
    """Return in what respects an answer is not what was expected; empty when it is.

    Args:
        text: the answer.
        completion_tokens: how many tokens it took, if known.
        expect: `contains`, `matches` and `min_completion_tokens`, each of which may be absent or None.
    """
    found = []
    contains = expect.get("contains")
    if contains and contains.casefold() not in text.casefold():
        found.append(f"it does not contain {contains!r}")
    matches = expect.get("matches")
    if matches and not re.search(matches, text):
        found.append(f"nothing in it matches {matches!r}")
    least = expect.get("min_completion_tokens") or 1
    tokens = completion_tokens if completion_tokens is not None else len(text.split())
    if tokens < least or not text.strip():
        found.append(f"it has {tokens} completion tokens, wanted at least {least} that are not blank")
    return found
