"""From texts to embeddings, in OpenAI's form: the order of the inputs, what each may be at most, what ends it early.

Owns the shape of the answer and its bounds. Refuses to know llama.cpp, which is behind `Encoder`, and HTTP. A text is
embedded whole or not at all: what llama.cpp would cut off changes the meaning and would be noticed by nobody.
"""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sealift_answers import reading_timings
from sealift_engine import Interruptible
from sealift_request import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sealift_engine import Limits
    from sealift_request import Request

MOST_NUMBERS = 300_000
"""Of one answer: as JSON about 13 bytes each, and a serverless answer may have 4 MB."""


class Encoder(Interruptible, Protocol):
    """What is used of llama.cpp."""

    most: int
    """Tokens of a text at most."""
    width: int
    """Numbers of an embedding."""

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a text, with those that begin and end it."""

    def embed(self, tokens: list[int]) -> Any:
        """Return a text's embedding as an array of float32; None when that was interrupted."""


@dataclass(frozen=True)
class EmbeddingModel:
    """A loaded model that embeds; `lock` is held while it does."""

    encoder: Encoder
    name: str
    timeout_s: int
    log: Callable[..., None] = field(default=lambda *_, **__: None)
    lock: threading.Lock = field(default_factory=threading.Lock)


def embeddings(
    model: EmbeddingModel, request: Request, limits: Limits, *, queued_s: float = 0.0
) -> dict[str, Any]:
    """Return the OpenAI-style list of embeddings, each of length 1.

    Args:
        model: the model to ask, alone: the caller holds its lock.
        request: what to embed.
        limits: what ends it early; then there is no answer.
        queued_s: seconds that the request has waited.

    Raises:
        BadRequest: when a text is too long, the answer would be too large, the time is over, or the model's numbers
            are none.
    """
    encoder = model.encoder
    check_size(request, encoder.width)
    tokens = [encoder.tokenize(text) for text in request.texts]
    _check_lengths(tokens, encoder)
    begun = time.monotonic()
    vectors = []
    with limits.watched(encoder):
        for number, one in enumerate(tokens):
            vector = None if limits.reason() else encoder.embed(one)
            if vector is None:
                raise BadRequest(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the time of the call was over after {number} of {len(tokens)} texts; send fewer at a time",
                    param="input",
                    code="timeout",
                )
            # The first numbers of a vector, made as long again: what models trained for it mean by fewer.
            vectors.append(unit(vector[: request.dimensions]))
    seconds, count = time.monotonic() - begun, sum(map(len, tokens))
    return listed(request, vectors, model.name, count, reading_timings(count, seconds, queued_s))


def listed(
    request: Request, vectors: Sequence[Any], name: str, tokens: int, timings: dict[str, Any]
) -> dict[str, Any]:
    """Return OpenAI's list of embeddings.

    Args:
        request: what was embedded.
        vectors: one for each text, in their order.
        name: of the model.
        tokens: of all texts.
        timings: what it took.
    """
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": n, "embedding": _written(vector, request.encoding)}
            for n, vector in enumerate(vectors)
        ],
        "model": name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "timings": timings,
    }


def in_form_of(request: Request, answer: dict[str, Any]) -> Any:
    """Return the answer as the client of a form reads it: bare vectors for `inputs`, JumpStart's name for its own."""
    if request.source != "inputs":
        return answer
    vectors = [one["embedding"] for one in answer["data"]]
    return {"embedding": vectors} if request.jumpstart else vectors


def check_size(request: Request, width: int) -> None:
    """Check that a model of a width can give a request what it asks, in an answer that is not too large.

    Raises:
        BadRequest: it cannot.
    """
    if request.dimensions is not None and request.dimensions > width:
        raise BadRequest(
            HTTPStatus.BAD_REQUEST,
            f"'dimensions' is {request.dimensions}; this model's embeddings have {width} numbers",
            param="dimensions",
            code="invalid_value",
        )
    dimensions = request.dimensions or width
    if len(request.texts) * dimensions > MOST_NUMBERS:
        raise BadRequest(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{len(request.texts)} texts make {len(request.texts) * dimensions:,} numbers, and an answer holds "
            f"{MOST_NUMBERS:,}; send {MOST_NUMBERS // dimensions} texts at a time",
            param="input",
            code="answer_too_large",
        )


def _check_lengths(tokens: list[list[int]], encoder: Encoder) -> None:
    for number, one in enumerate(tokens):
        if len(one) > encoder.most:
            raise text_too_long(number, len(tokens), len(one), encoder.most)
        if not one:
            raise BadRequest(
                HTTPStatus.BAD_REQUEST,
                f"{_which(number, len(tokens))} has no token in this model's vocabulary; send a text that has one",
                param="input",
                code="invalid_value",
            )


def text_too_long(number: int, count: int, tokens: int, most: int) -> BadRequest:
    """Return the refusal of a text, one of `count`, that is not embedded whole."""
    return BadRequest(
        HTTPStatus.BAD_REQUEST,
        f"{_which(number, count)} has {tokens} tokens and a text may have {most}; send shorter texts, or deploy "
        "with a larger n_ctx where the model was trained for more",
        param="input",
        code="context_length_exceeded",
    )


def _which(number: int, count: int) -> str:
    return f"input[{number}]" if count > 1 else "the input"


def unit(vector: Any) -> Any:
    """Return a vector of length 1 in the same direction; one of zeros as it is."""
    wide = vector.astype(np.float64)
    length = float(np.linalg.norm(wide))
    if not np.isfinite(length):
        raise BadRequest(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "the model's embedding holds infinity or what is no number: its weights are damaged, or do not suit "
            "this runtime",
            code="broken_model",
        )
    return (wide / length).astype(np.float32) if length else vector


def _written(vector: Any, encoding: str) -> Any:
    """Return it as OpenAI's client reads it: float32, little endian; or the shortest decimals that are the same."""
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    return [float(str(number)) for number in vector]
