"""The cases of a suite that was checked, and the request that asks one.

Owns the shapes, so that whoever asks ships none of what checks a suite (`suite`). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.gguf import questions


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer is to be like; None for what it may be."""

    contains: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    similarity: float | None = None
    min_tokens_per_second: float | None = None
    max_seconds: float | None = None
    allow_degenerate: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One question, and what is expected of its answer."""

    name: str
    line: int
    prompt: str | None
    messages: tuple[dict[str, str], ...]
    input: str | None
    max_tokens: int
    temperature: float | None
    request: dict[str, Any]
    expect: Expected

    @property
    def question(self) -> str:
        """What is asked, for people: of a conversation its last turn."""
        return self.prompt or self.input or self.messages[-1]["content"]

    def form(self, suits: str) -> str:
        """Return the field that it is asked with.

        Args:
            suits: what suits the model, one of `questions.FORMS`.
        """
        return questions.MESSAGES if self.messages else questions.INPUT if self.input else suits

    def body(self, suits: str) -> dict[str, Any]:
        """Return the request; takes what `form` does."""
        form = self.form(suits)
        body = questions.body(form, self.question, self.max_tokens)
        if self.messages:
            body["messages"] = [dict(one) for one in self.messages]
        if self.temperature is not None and form != questions.INPUT:
            body["temperature"] = self.temperature
        return {**body, **self.request}


@dataclass(frozen=True, slots=True)
class Suite:
    """All cases, in their order."""

    suits: str
    """The field that a prompt is asked with: what suits the model, one of `questions.FORMS`."""
    cases: tuple[Case, ...]
