"""How a model is asked, in the form that suits it: with messages, with the beginning of a text, to embed, to rank.

Owns the bodies of such requests. Refuses to send them, and to judge an answer: `client.smoke_test` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.gguf.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MESSAGES: Final = "messages"
PROMPT: Final = "prompt"
INPUT: Final = "input"
QUERY: Final = "query"
FORMS: Final = (MESSAGES, PROMPT, INPUT, QUERY)
"""The fields to ask with."""

_SUITS: Final[Mapping[str, str]] = {
    Purpose.CHAT: MESSAGES,
    Purpose.COMPLETION: PROMPT,
    Purpose.EMBEDDING: INPUT,
    Purpose.RERANK: QUERY,
}

DEFAULT: Final = "Hello."
"""What is asked unless a request says otherwise."""
BEGINNING: Final = "Once upon a time, there was a"
"""The same of a base model, which is given the beginning of a text: a greeting is a whole one."""
OTHER: Final = "Interest rates rose by a quarter of a percent."
"""Embedded, or ranked, beside each text, which it has nothing to do with."""
TEXTS: Final = 2
"""That are embedded or ranked together: what is asked, and one of these two."""
_ANOTHER: Final = "A whale sleeps upright in warm water."

STREAMED: Final[Mapping[str, Any]] = {"stream": True, "stream_options": {"include_usage": True}}
"""What a request has beside for its answer as a stream, whose last event tells the tokens."""

_SAMPLED: Final = {"temperature": 0.8, "top_p": 0.95, "seed": 1}
"""A base model that always takes the likeliest word soon says one thing again and again, and is whole all the same."""


def form(purpose: str, offered: Sequence[str]) -> str:
    """Return the field to ask a model with.

    Args:
        purpose: what it is for.
        offered: the fields that its container takes.
    """
    suits = _SUITS.get(purpose, MESSAGES)
    return suits if suits in offered else MESSAGES


def prompts(asked: Sequence[str], form: str) -> tuple[str, ...]:
    """Return what to ask: what the request says, or what suits the form where it says nothing."""
    return (BEGINNING,) if form == PROMPT and tuple(asked) == (DEFAULT,) else tuple(asked)


def body(form: str, prompt: str, max_tokens: int) -> dict[str, Any]:
    """Return the request that asks one thing.

    Args:
        form: the field to ask with.
        prompt: what to ask; a text to go on with, or to embed; or the query, which is the first document too.
        max_tokens: of the answer at most.
    """
    if form in (INPUT, QUERY):
        texts = [prompt, _ANOTHER if prompt == OTHER else OTHER]
        return {"input": texts} if form == INPUT else {"query": prompt, "documents": texts}
    if form == PROMPT:
        return {"prompt": prompt, "max_tokens": max_tokens, **_SAMPLED}
    return {"messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "temperature": 0}


def event(form: str, prompt: str) -> dict[str, Any] | None:
    """Return the event to try a consumer with that has none of its own; None for the usual one, a prompt alone."""
    if form == INPUT:
        return {"input": prompt}
    if form == QUERY:
        return body(form, prompt, 0)
    # Whoever knows no "complete" finds the prompt where it always is.
    return {"prompt": prompt, "complete": True} if form == PROMPT else None
