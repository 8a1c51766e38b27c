"""From what llama-server answers to an answer as `sealift_answers` takes it, and from its errors to ours.

Owns llama-server's names of what it answers (tools/server/server-task.cpp of the pinned llama.cpp). Refuses to decide
what is asked next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sealift_answers import readable
from sealift_chat import reason_of
from sealift_engine import Choice, Generation
from sealift_request import BadRequest, grammar_not_taken, template_refuses, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapter.upstream import UpstreamReply

    from sealift_request import Request

_TEMPLATES = ("Jinja Exception: ", "\nWhile executing ", "Unable to generate parser for this template")
"""What llama.cpp's interpreter of templates puts before a template's own words, and before its own where one fails at a
conversation; no field tells them apart."""
_REQUESTS = "Failed to parse "
"""What llama-server puts before what is wrong with messages and tools, which it takes for its own fault."""
_UNREAD = "The model produced output that does not match the expected"
"""What llama-server says in the place of an answer that is not in the form of the model's template."""
_GRAMMARS = ("Failed to initialize samplers: ", "Unexpected empty grammar stack")
"""What llama-server says when it does not take a grammar, and when no token that may come keeps to it."""
_LEAST = -1e30
"""llama-server's stand-in for minus infinity lies below, since JSON has none."""

_REASONS = {"eos": "stop", "word": "stop", "limit": "length", "none": "length"}
"""llama-server's reasons for the end of a text; what ends one from outside is its own."""


@dataclass
class Found:
    """One answer to one prompt, as llama-server gave it."""

    generation: Generation
    message: dict[str, Any] | None = None
    """Of a chat, in OpenAI's form."""
    tokens: list[int] = field(default_factory=list)
    """The answer's, where they were asked for."""


def told_stop(document: Mapping[str, Any], request: Request) -> str:
    """Return the stop that ended an answer, where it is to be told and is one of the request's own."""
    word = document.get("stopping_word")
    by_it = request.tells_stop and document.get("stop_type") == "word" and word in request.stop
    return str(word) if by_it else ""


def text_found(document: Mapping[str, Any], request: Request, top: int | None) -> Found:
    """Read the answer to a text.

    Args:
        document: llama-server's own form, whole.
        request: what it answers.
        top: how many of the likeliest tokens to tell at each place; None where nothing is told.
    """
    stop = document.get("stop_type")
    generation = generation_of(document.get("timings") or {}, document)
    generation.text = _whole_characters(str(document.get("content") or ""), cut=stop != "word")
    generation.text += told_stop(document, request)
    generation.finish_reason = _REASONS.get(str(stop), str(stop))
    generation.stopped = stop == "word"
    generation.choices = choices_of(document.get("completion_probabilities"), top)
    return Found(generation, None, list(document.get("tokens") or []))


def chat_found(
    document: Mapping[str, Any], request: Request, top: int | None, call: Callable[[int], str]
) -> Found:
    """Read the answer to a conversation; `__verbose` tells more of it, where that was asked for."""
    (choice,) = document["choices"]
    more = document.get("__verbose") or {}
    usage = document.get("usage") or {}
    generation = generation_of(
        document.get("timings") or {}, {"tokens_evaluated": usage.get("prompt_tokens")}
    )
    reason = choice.get("finish_reason")
    generation.finish_reason = "stop" if reason == "tool_calls" else str(reason)
    generation.stopped = more.get("stop_type") == "word"
    message = message_of(choice.get("message") or {}, cut=not generation.stopped, call=call)
    if stop := told_stop(more, request):
        message["content"] = (message["content"] or "") + stop
    generation.text = message["content"] or ""
    generation.choices = choices_of((choice.get("logprobs") or {}).get("content"), top)
    return Found(generation, message, list(more.get("tokens") or []))


def message_of(given: Mapping[str, Any], *, cut: bool, call: Callable[[int], str]) -> dict[str, Any]:
    """Return a message with what ours have, in their order.

    Args:
        given: llama-server's.
        cut: whether its end may be half a character.
        call: tells the id of a call that has none, by its number.
    """
    calls = given.get("tool_calls") or []
    content = _whole_characters(given.get("content") or "", cut=cut and not calls)
    message: dict[str, Any] = {"content": content or (None if calls else "")}
    if given.get("reasoning_content"):
        message["reasoning_content"] = _whole_characters(given["reasoning_content"], cut=cut and not content)
    if calls:
        message["tool_calls"] = [
            {"id": one.get("id") or call(number), "type": "function", "function": dict(one["function"])}
            for number, one in enumerate(calls)
        ]
    return message


def _whole_characters(text: str, *, cut: bool) -> str:
    """Return a text without the character that it ends within: llama-server marks it."""
    return text.removesuffix("\ufffd") if cut else text


def generation_of(timings: Mapping[str, Any], counted: Mapping[str, Any]) -> Generation:
    """Return what an answer took, by llama-server's timings and what else it has counted."""
    cached, evaluated = int(timings.get("cache_n") or 0), int(timings.get("prompt_n") or 0)
    predicted, prompt_s = int(timings.get("predicted_n") or 0), float(timings.get("prompt_ms") or 0) / 1e3
    return Generation(
        prompt_tokens=int(counted.get("tokens_evaluated") or cached + evaluated),
        cached_tokens=cached,
        evaluated_tokens=evaluated,
        completion_tokens=predicted,
        prompt_s=prompt_s,
        predicted_s=float(timings.get("predicted_ms") or 0) / 1e3,
        guessed_tokens=int(timings.get("draft_n") or 0),
        guesses_held=int(timings.get("draft_n_accepted") or 0),
        # Beside the clock of the answer's head, which begins at 0.
        first_token_at=prompt_s if predicted else None,
    )


def choices_of(places: Any, top: int | None) -> list[Choice]:
    """Return the tokens of an answer with their log-probabilities; the one that ends it is no part of it."""
    if top is None or not places:
        return []
    return [_choice(one, top) for one in places if one.get("bytes")]


def _choice(place: Mapping[str, Any], top: int) -> Choice:
    likeliest = place.get("top_logprobs") or place.get("top_probs") or []
    piece = bytes(place["bytes"])
    for one in likeliest:
        if one.get("id") == place.get("id"):
            piece = bytes(one["bytes"])  # the place has the text that it completes, be it of several tokens
    return Choice(
        piece,
        _logprob(place),
        tuple((bytes(one["bytes"]), _logprob(one)) for one in likeliest[:top]),
        int(place.get("id", -1)),
    )


def _logprob(one: Mapping[str, Any]) -> float:
    """Return a log-probability; after sampling llama-server tells probabilities."""
    if "prob" in one:
        return math.log(one["prob"]) if one["prob"] > 0 else -math.inf
    value = one.get("logprob")
    return float(value) if value is not None and value > _LEAST else -math.inf


def told_tokens(choices: Sequence[Choice]) -> list[str]:
    """Return the texts of tokens as an answer tells them."""
    return [readable(choice.piece) for choice in choices]


def must_call(request: Request) -> bool:
    """Tell whether an answer has to be a call of a tool; one that ends without had a template that knows none."""
    return bool(request.tools) and request.tool_choice not in ("auto", "none")


# Errors -----------------------------------------------------------------------------------------------------


def is_unread(reply: UpstreamReply) -> bool:
    """Tell whether a model has answered, and llama-server cannot read what: it tells nothing of it then."""
    error = reply.document.get("error") if isinstance(reply.document, dict) else None
    return isinstance(error, dict) and str(error.get("message")).startswith(_UNREAD)


def refusal_of(status: int, document: Any, request: Request) -> BadRequest:
    """Return llama-server's error as ours, in its own words where they say it."""
    error = document.get("error") if isinstance(document, dict) else None
    error = error if isinstance(error, dict) else {}
    said = str(error.get("message") or f"llama-server answered {status}")
    if error.get("type") == "exceed_context_size_error":
        return too_long(request, int(error.get("n_prompt_tokens") or 0), int(error.get("n_ctx") or 0))
    for words in _GRAMMARS:
        if words in said:
            return grammar_not_taken(said, request)
    if any(words in said for words in _TEMPLATES):
        return template_refuses(request, reason_of(said))
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return BadRequest(HTTPStatus.BAD_REQUEST, said, param=request.source, code="unsupported_value")
    if status < HTTPStatus.INTERNAL_SERVER_ERROR or said.startswith(_REQUESTS):
        return BadRequest(HTTPStatus.BAD_REQUEST, said, param=request.source, code="invalid_value")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return BadRequest(status, said, code="unavailable")
    return BadRequest(HTTPStatus.INTERNAL_SERVER_ERROR, said, code="server_error")
