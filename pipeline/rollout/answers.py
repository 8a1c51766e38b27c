"""An OpenAI-style answer, and whether it is what was expected; shared by the smoke test and the consumer check.

What was expected by default is an answer that is not degenerate: a model that is broken answers too, and at length.

Pure: takes bytes or text, returns data. Who asked, and what a wrong answer means, is the caller's matter.
"""

from __future__ import annotations

import contextlib
import json
import operator
import re
import string
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pipeline import payload, timed_search

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.errors import ErrorFields
    from pipeline.state_data.request_types import Expectation

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


_MOST: Final = 10**12
"""A figure beyond it, infinity and none that is a number among them, is none: it may have any number of digits."""


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


@contextlib.contextmanager
def reading(body: bytes | str, what: str) -> Iterator[None]:
    """Read a response body in the block.

    Args:
        body: the response's.
        what: it is to be, with its article left out.

    Raises:
        NotAnAnswer: with the beginning of the body, where something in the block is not as it should be.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise NotAnAnswer(f"{body[:200]!r} is no {what} ({type(error).__name__}: {error})") from error


def number(value: Any, what: str) -> float:
    """Return a figure of an answer.

    Raises:
        TypeError: it is no number, which JSON's true and false are not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} is {type(value).__name__}")
    return float(value)


def parse(body: bytes | str) -> Answer:
    """Return the answer in a response body.

    Raises:
        NotAnAnswer: with the beginning of the body.
    """
    with reading(body, "OpenAI-style completion"):
        document = json.loads(body)
        choice = document["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        if not isinstance(text, str):
            raise TypeError(f"the answer's text is {type(text).__name__}")
    usage = document.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return told(text, tokens, choice.get("finish_reason"), document.get("timings"))


def told(text: str, tokens: Any, reason: Any, reported: Any) -> Answer:
    """Return an answer by what a server put beside its text, in which servers differ.

    What is not as it should be counts as not told.
    """
    return Answer(
        text,
        tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and abs(tokens) < _MOST else None,
        payload.cut(reason, 100) if isinstance(reason, str) else None,
        timings(reported),
    )


def timings(reported: Any) -> dict[str, float]:
    """Return the figures among a server's timings; what is no number counts as not told."""
    return {
        name: reported[name]
        for name in TIMINGS
        if isinstance(reported, dict)
        and isinstance(reported.get(name), int | float)
        and not isinstance(reported[name], bool)
        and abs(reported[name]) < _MOST
    }


def shortcomings(
    text: str,
    completion_tokens: int | None,
    expect: Expectation,
    *,
    prompt: str | None = None,
    field: str = "smoke_test.expect",
) -> list[str]:
    """Return in what respects an answer is not what was expected; empty when it is.

    Args:
        text: the answer.
        completion_tokens: how many tokens it took, if known.
        expect: what the request says.
        prompt: what was asked; None when that is not known.
        field: the one that `expect` is.
    """
    found = []
    contains = expect.contains
    if contains and contains.casefold() not in text.casefold():
        found.append(f"it does not contain {contains!r}")
    if expect.matches and (missed := _missed(expect.matches, text)):
        found.append(missed)
    least = expect.min_completion_tokens
    tokens = completion_tokens if completion_tokens is not None else len(text.split())
    if tokens < least:
        found.append(f"it has {tokens} completion tokens, wanted at least {least}")
    if flaw := unexpected(text, expect, prompt):
        found.append(f'it is {flaw}; say "allow_degenerate": true in {field!r} if it is meant to be so')
    return found


def _missed(matches: str, text: str) -> str | None:
    try:
        there = timed_search.search(re.compile(matches), text)
    except timed_search.SearchTooLong as too_long:
        return f"{matches!r} was not found: {too_long}; write it with fewer repetitions, and none inside of another"
    return None if there else f"nothing in it matches {matches!r}"


# -- answers that no model gives that works


DEGENERATE: Final[ErrorFields] = {
    "cause": "DegenerateAnswer",
    "why": "the model answers without saying anything, as one with damaged weights, a wrong tokenizer or a wrong chat "
    "template does",
    "fix": "ask the same of the GGUF on your own machine, and export it again if it answers likewise; if it is meant "
    'to answer so, say "allow_degenerate": true in the "expect" that the message names',
}
"""What is known of a degenerate answer's cause."""


def unexpected(text: str, expect: Expectation, prompt: str | None) -> Degenerate | None:
    """Return why an answer is degenerate where none may be; None for any other."""
    return None if expect.allow_degenerate else degenerate(text, prompt)


class AnswerRule(StrEnum):
    """What gives an answer away as degenerate."""

    BLANK = "blank"
    """Nothing but white space and control characters."""
    REPLACEMENT = "replacement characters"
    """Bytes that are no text, shown as U+FFFD: a broken tokenizer or broken weights."""
    REPETITION = "repetition"
    """One character, word or phrase, again and again, for most of the answer."""
    ECHO = "echo"
    """The prompt, and nothing else."""


@dataclass(frozen=True, slots=True)
class Degenerate:
    """That an answer is degenerate, by which rule, and what was seen of it."""

    rule: AnswerRule
    evidence: str

    def __str__(self) -> str:
        return f"degenerate ({self.rule}: {self.evidence})"


SAMPLE: Final = 2048
"""Characters from the middle of an answer that are looked at: what is most of an answer is most of its middle."""
MOST_OF_IT: Final = 0.6
"""The part of an answer that must be repetition."""
LEAST_RUN: Final = 30
"""Characters of a repetition that counts: laughter, a row of zeros or a refrain is shorter."""
LEAST_TIMES: Final = 4
"""How often something is said one after the other before it counts: a refrain is sung twice or three times."""
LEAST_WORDS: Final = 12
"""Words of an answer that is judged by its most frequent one."""
SAME_WORD: Final = 0.8
"""The part of them that is one word."""
LEAST_REPLACED: Final = 3
"""A text may speak of U+FFFD, and an answer that was cut in the middle of a letter ends in up to three."""
REPLACED: Final = 0.1
"""The part of the visible characters."""
LEAST_ECHO: Final = 20
"""Characters of an echo that counts: "Hello." is a fair answer to "Hello."."""
ECHOED: Final = 0.8
"""The part of the prompt that it must be: to quote its first sentence may be what was requested."""

_FFFD: Final = "\ufffd"


def degenerate(text: str, prompt: str | None = None) -> Degenerate | None:
    """Return why an answer is one that no working model gives; None for any other, however short or odd.

    Args:
        text: the answer.
        prompt: what was asked; None when that is not known.
    """
    seen = " ".join("".join(" " if _unseen(letter) else letter for letter in text).split())
    if not seen:
        return Degenerate(AnswerRule.BLANK, f"{len(text)} characters, none of them visible")
    return _replaced(seen) or _repeated(seen) or _echoed(seen, prompt)


def _unseen(letter: str) -> bool:
    # White space, control characters and those that only format; joiners of emoji and of scripts among the last.
    return unicodedata.category(letter) in {"Cc", "Cf", "Zs", "Zl", "Zp"}


def _replaced(seen: str) -> Degenerate | None:
    whole = seen.rstrip(_FFFD)
    cut = len(seen) - len(whole)
    count = seen.count(_FFFD) - (cut if whole and cut <= LEAST_REPLACED else 0)
    if whole and (count < LEAST_REPLACED or count < REPLACED * len(seen)):
        return None
    return Degenerate(AnswerRule.REPLACEMENT, f"{seen.count(_FFFD)} of {len(seen)} characters are U+FFFD")


def _repeated(seen: str) -> Degenerate | None:
    first = max((len(seen) - SAMPLE) // 2, 0)
    sample = seen[first : first + SAMPLE]
    for period in range(1, (len(sample) + 1) // LEAST_TIMES + 1):
        # 1 where a character is the one a period before; as many in a row, and the first period, are one run. The
        # last one may lack the space after it.
        same = bytes(map(operator.eq, sample[period:], sample)).split(b"\0")
        longest = max(map(len, same))
        run = longest + period
        if run >= max(LEAST_RUN, LEAST_TIMES * period - 1, MOST_OF_IT * len(sample)):
            at = bytes(map(operator.eq, sample[period:], sample)).index(b"\1" * longest)
            return Degenerate(
                AnswerRule.REPETITION,
                f"{payload.cut(sample[at : at + period], 80)!r} {round(run / period)} times in a row, "
                f"{run / len(sample):.0%} of it",
            )
    words = [word.strip(string.punctuation) for word in sample.casefold().split()]
    word, count = Counter(words).most_common(1)[0]
    if len(words) >= LEAST_WORDS and count >= SAME_WORD * len(words):
        return Degenerate(
            AnswerRule.REPETITION, f"{payload.cut(word, 80)!r} is {count} of {len(words)} words"
        )
    return None


def _echoed(seen: str, prompt: str | None) -> Degenerate | None:
    asked = " ".join((prompt or "").split()).casefold()
    said = seen.casefold()
    # An answer that max_tokens ended may lack the prompt's end.
    if len(said) < max(LEAST_ECHO, ECHOED * len(asked)) or not asked.startswith(said):
        return None
    return Degenerate(
        AnswerRule.ECHO, f"{len(said)} of the prompt's {len(asked)} characters and nothing else"
    )
