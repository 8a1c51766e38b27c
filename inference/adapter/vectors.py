"""Embeddings and rankings by llama-server: what is asked, and what is wrong with a text that is too long.

Owns how a text's length is looked up, which llama-server tells of one of many without saying which. Refuses to compute
vectors; what becomes of them is `sealift_embeddings`'s, which wants numpy, and is therefore imported where it is used.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from adapter.replies import refusal_of
from adapter.upstream import UpstreamCall, UpstreamReply

from sealift_answers import reading_timings
from sealift_ranking import Scores, pair_too_long, ranking

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from adapter.upstream import ModelFacts

    from sealift_request import Request

    Steps = Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], Any]


def embedded(request: Request, facts: ModelFacts, queued_s: float) -> Steps:
    """Give the calls that embed a request's texts; return the answer, as the client of its form reads it, and figures.

    Raises:
        BadRequest: a text is too long, the answer too large, or the model's numbers are none.
    """
    import numpy as np

    from sealift_embeddings import check_size, in_form_of, listed, text_too_long, unit

    if facts.width:
        check_size(request, facts.width)
    (reply,) = yield (
        UpstreamCall("/v1/embeddings", {"input": list(request.texts), "encoding_format": "base64"}),
    )
    if reply.status != HTTPStatus.OK:
        lengths = yield from _lengths(request.texts, facts)
        for number, length in lengths:
            if length > facts.context:
                raise text_too_long(number, len(request.texts), length, facts.context)
        raise refusal_of(reply.status, reply.document, request)
    data = sorted(reply.document["data"], key=lambda one: int(one["index"]))
    vectors = [np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in data]
    check_size(request, len(vectors[0]))
    tokens = int(reply.document["usage"]["prompt_tokens"])
    timings = reading_timings(tokens, reply.seconds, queued_s)
    units = [unit(vector[: request.dimensions]) for vector in vectors]
    answer = listed(request, units, facts.name, tokens, timings)
    return in_form_of(request, answer), {"texts": len(request.texts), **timings}


def ranked(request: Request, facts: ModelFacts, queued_s: float) -> Steps:
    """Give the calls that rank a request's texts; return the answer and figures.

    Raises:
        BadRequest: a text is too long together with the query, and not to be cut.
    """
    texts = list(request.texts)
    reply = yield from _rank(request.query, texts)
    if reply.status != HTTPStatus.OK:
        reply = yield from _rank_cut(request, facts, reply)
    document = reply.document
    found = {int(one["index"]): float(one["relevance_score"]) for one in document["results"]}
    tokens = int(document["usage"]["prompt_tokens"])
    timings = reading_timings(tokens, reply.seconds, queued_s)
    scores = Scores(tuple(found[number] for number in range(len(texts))), tokens, timings)
    return ranking(request, scores, facts.name), {"texts": len(texts), **timings}


def _rank_cut(
    request: Request, facts: ModelFacts, refused: UpstreamReply
) -> Generator[Any, Any, UpstreamReply]:
    """Return the ranking of texts of which some are too long, these cut.

    Raises:
        BadRequest: they are not to be cut, or none of them is too long.
    """
    refusal = refusal_of(refused.status, refused.document, request)
    alone = yield from _rank(request.query, [""])
    if alone.status != HTTPStatus.OK:
        raise refusal
    beside = int(alone.document["usage"]["prompt_tokens"])
    lengths = yield from _lengths(request.texts, facts)
    over = [(number, length) for number, length in lengths if length + beside > facts.context]
    if over and not request.truncated:
        raise pair_too_long(request, over[0][0], over[0][1] + beside, facts.context)
    # A text may have a token more behind a query than alone.
    for less in range(0, 8, 2):
        texts = list(request.texts)
        for number, _ in over:
            texts[number] = yield from _cut(texts[number], facts.context - beside - less)
        reply = yield from _rank(request.query, texts)
        if reply.status == HTTPStatus.OK or not over:
            break
    if reply.status != HTTPStatus.OK:
        raise refusal_of(reply.status, reply.document, request)
    return reply


def _rank(query: str, texts: Sequence[str]) -> Generator[Any, Any, UpstreamReply]:
    (reply,) = yield (UpstreamCall("/v1/rerank", {"query": query, "documents": list(texts)}),)
    return reply  # type: ignore[no-any-return]


def _lengths(texts: Sequence[str], facts: ModelFacts) -> Generator[Any, Any, list[tuple[int, int]]]:
    """Return the tokens of each text that may be too long: a token is a byte at least."""
    long_ones = [number for number, text in enumerate(texts) if len(text.encode()) + _AROUND > facts.context]
    if not long_ones:
        return []
    replies = yield tuple(
        UpstreamCall("/tokenize", {"content": texts[number], "add_special": facts.embeds})
        for number in long_ones
    )
    return [
        (number, len(reply.document["tokens"]))
        for number, reply in zip(long_ones, replies, strict=True)
        if reply.status == HTTPStatus.OK
    ]


_AROUND = 8
"""Tokens that a tokenizer may put around a text."""


def _cut(text: str, room: int) -> Generator[Any, Any, str]:
    """Return as much of a text's beginning as there is room for, found by halves."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        (told,) = yield (UpstreamCall("/tokenize", {"content": text[:middle], "add_special": False}),)
        if len(told.document["tokens"]) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low]
