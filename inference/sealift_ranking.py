"""From a query and texts to their ranking: the pair that a model sees, the score, the forms of the answer.

Owns what llama-server does with a request to rank (format_prompt_rerank and format_response_rerank of its
server-common.cpp), so that the scores are its own. Refuses to know llama.cpp, which is behind `Ranker`, and HTTP.
"""

from __future__ import annotations

import math
import re
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from sealift_answers import reading_timings
from sealift_engine import Interruptible
from sealift_request import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealift_engine import Limits
    from sealift_request import Request

_PLACE = re.compile(r"\{(query|document)\}")


class Ranker(Interruptible, Protocol):
    """What is used of llama.cpp."""

    most: int
    """Tokens of a pair at most."""
    template: str | None
    """The model's own text around a pair (`tokenizer.chat_template.rerank`)."""

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of a text alone, which begin and end none; special ones among them or not."""

    def around(self) -> tuple[list[int], list[int], list[int]]:
        """Return the tokens before a query, between it and a document, and behind that, where no template says."""

    def score(self, tokens: list[int]) -> float | None:
        """Return how well a pair fits; None when that was interrupted."""


@dataclass(frozen=True)
class RankingModel:
    """A loaded model that ranks; `lock` is held while it does."""

    ranker: Ranker
    name: str
    timeout_s: int
    log: Callable[..., None] = field(default=lambda *_, **__: None)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Scores:
    """What a model made of some texts, in their order."""

    found: tuple[float, ...]
    tokens: int
    timings: dict[str, float]


def scores(model: RankingModel, request: Request, limits: Limits, *, queued_s: float = 0.0) -> Scores:
    """Return how well each text of a request fits its query.

    Args:
        model: the model to ask, alone: the caller holds its lock.
        request: what to rank.
        limits: what ends it early; then there is no answer.
        queued_s: seconds that the request has waited.

    Raises:
        BadRequest: when a pair is too long, the time is over, or the model's score is no number.
    """
    ranker = model.ranker
    pairs = [_pair(ranker, request, number) for number in range(len(request.texts))]
    begun = time.monotonic()
    found = []
    with limits.watched(ranker):
        for number, pair in enumerate(pairs):
            score = None if limits.reason() else ranker.score(pair)
            if score is None:
                raise BadRequest(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the time of the call was over after {number} of {len(pairs)} texts; send fewer at a time",
                    param=_param(request),
                    code="timeout",
                )
            if not math.isfinite(score):
                raise BadRequest(
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    "the model's score is infinity or no number: its weights are damaged, or do not suit this runtime",
                    code="broken_model",
                )
            found.append(score)
    seconds, count = time.monotonic() - begun, sum(map(len, pairs))
    return Scores(
        tuple(found),
        count,
        reading_timings(count, seconds, queued_s),
    )


def ranking(request: Request, found: Scores, name: str) -> Any:
    """Return the texts in the order of their scores, in the form that a request asks for.

    Args:
        request: what was ranked.
        found: its scores.
        name: of the model.
    """
    label, told = ("score", "text") if request.bare else ("relevance_score", "document")
    results: list[dict[str, Any]] = []
    for index in sorted(range(len(found.found)), key=lambda index: (-found.found[index], index))[
        : request.top_n
    ]:
        score, text = found.found[index], request.texts[index]
        results.append({"index": index, label: squashed(score) if request.squashed else score})
        if request.return_texts:
            results[-1][told] = text if request.bare else {"text": text}
    if request.bare:
        return results
    return {
        "object": "list",
        "model": name,
        "results": results,
        "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
        "timings": found.timings,
    }


def squashed(score: float) -> float:
    """Return a score as a number between 0 and 1, by the logistic function."""
    # Either form of it, the one that does not overflow.
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


def _pair(ranker: Ranker, request: Request, number: int) -> list[int]:
    """Return the tokens of the query and one text, set as the model has learned them.

    Raises:
        BadRequest: when they are too long and may not be cut, or the query alone is.
    """
    text = request.texts[number]
    tokens = _set(ranker, request.query, text)
    over = len(tokens) - ranker.most
    if over <= 0:
        return tokens
    if request.truncated:
        kept = _cut(ranker, request.query, text)
        if kept is not None:
            return kept
    raise pair_too_long(request, number, len(tokens), ranker.most)


def pair_too_long(request: Request, number: int, tokens: int, most: int) -> BadRequest:
    """Return the refusal of a text that has no room beside the query."""
    which = f"{_param(request)}[{number}]"
    return BadRequest(
        HTTPStatus.BAD_REQUEST,
        f"{which} has {tokens} tokens together with the query, and both may have {most}; send shorter ones"
        + ("" if request.truncated else ", or 'truncate'"),
        param=_param(request),
        code="context_length_exceeded",
    )


def _set(ranker: Ranker, query: str, text: str) -> list[int]:
    if ranker.template is None:
        before, between, behind = ranker.around()
        one, other = (ranker.tokens(part, special=False) for part in (query, text))
        return [*before, *one, *between, *other, *behind]
    # At once: what stands in a query is no place for the document.
    places = {"query": query, "document": text}
    return ranker.tokens(_PLACE.sub(lambda match: places[match[1]], ranker.template), special=True)


def _cut(ranker: Ranker, query: str, text: str) -> list[int] | None:
    """Return a pair with as much of the text as there is room for; None where not even the query has room.

    Found by halves, since a beginning is not always as many tokens as it has of the whole.
    """
    low, high = 0, len(text)
    best: list[int] | None = None
    while low <= high:
        middle = (low + high) // 2
        tokens = _set(ranker, query, text[:middle])
        if len(tokens) <= ranker.most:
            best, low = tokens, middle + 1
        else:
            high = middle - 1
    return best


def _param(request: Request) -> str:
    return "texts" if request.bare else "documents"
