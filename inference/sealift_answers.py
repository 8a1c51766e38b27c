"""The shapes of answers: OpenAI's, with what the clients of other forms read beside it, whole or as events.

Owns the names that clients read. Refuses to generate: it gets what was.

    messages, prompt   OpenAI's chat.completion and text_completion
    inputs             the same, with `generated_text` beside it, as text-generation-inference and LMI have it; a list
                       of texts or of conversations gets a list, with `generation` beside it, as JumpStart has it
    input              OpenAI's response, when it asks for one

A stream is one whole list of events, as where nothing can be sent before the answer is there: each client reads it as
if it had come in parts.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sealift_responses import response_events, response_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sealift_engine import Generation
    from sealift_request import Request

EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Said:
    """One answer to one prompt."""

    found: Generation
    finish_reason: str
    seed: int
    message: dict[str, Any] | None = None
    """Of a chat: content, reasoning_content and tool_calls."""


@dataclass(frozen=True)
class Part:
    """The answers to one prompt or conversation."""

    said: Sequence[Said]
    """Those to tell, of all that were generated."""
    generated: Sequence[Generation]
    """All of them, in their order."""
    prompt: str = ""
    """The text before the answer; empty for a chat."""


@dataclass(frozen=True)
class Head:
    """What all answers to a request have in common."""

    identity: str
    created: int
    """Seconds since 1970."""
    model: str
    queued_s: float
    """Seconds that the request has waited."""
    begun: float = 0.0
    """When its turn came, by the engine's clock."""


def answer_of(request: Request, parts: Sequence[Part], head: Head) -> Any:
    """Return the answer to a request: an object, or a list of them where `inputs` is a list."""
    if not request.listed:
        answer = _answer(request, parts, head)
        return response_of(answer) if request.form == "responses" else answer
    return [
        _answer(request, [part], replace(head, identity=f"{head.identity}-{number}"))
        for number, part in enumerate(parts)
    ]


def figures(answer: Any) -> dict[str, Any]:
    """Return what the log says of an answer: its id, why it ended, and its timings, all of a list together."""
    answers = answer if isinstance(answer, list) else [answer]
    first = answers[0]
    reason = first["choices"][0]["finish_reason"] if "choices" in first else first["status"]
    timings = [one["timings"] for one in answers]
    return {
        "id": first["id"],
        "finish_reason": reason,
        **(timings[0] if len(timings) == 1 else _summed(timings)),
    }


def _answer(request: Request, parts: Sequence[Part], head: Head) -> dict[str, Any]:
    chat = parts[0].said[0].message is not None
    choices: list[dict[str, Any]] = []
    for part in parts:
        for said in part.said:
            choices.append(_choice(request, part, said, len(choices)))
    generated = [found for part in parts for found in part.generated]
    prompt_tokens = sum(part.generated[0].prompt_tokens for part in parts)
    completion_tokens = sum(found.completion_tokens for found in generated)
    answer = {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{head.identity}",
        "object": "chat.completion" if chat else "text_completion",
        "created": head.created,
        "model": head.model,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {
                "cached_tokens": sum(part.generated[0].cached_tokens for part in parts)
            },
        },
        "timings": timings_of(generated, head.queued_s, head.begun),
    }
    return answer | _of_inputs(request, parts, choices) if request.source == "inputs" else answer


def _choice(request: Request, part: Part, said: Said, index: int) -> dict[str, Any]:
    logprobs = None
    if said.message is not None:
        if request.logprobs is not None:
            logprobs = _chat_logprobs(said.found)
        content: dict[str, Any] = {"message": {"role": "assistant", **said.message}}
    else:
        if request.logprobs is not None:
            logprobs = _text_logprobs(said.found, len(part.prompt))
        content = {"text": (part.prompt if request.echo else "") + said.found.text}
    return {"index": index, **content, "logprobs": logprobs, "finish_reason": said.finish_reason}


def _of_inputs(request: Request, parts: Sequence[Part], choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what clients of `inputs` read: litellm and the clients of Hugging Face, LMI and JumpStart."""
    texts = [choice["text"] if "text" in choice else choice["message"]["content"] or "" for choice in choices]
    more: dict[str, Any] = {"generated_text": texts[0]}
    if request.jumpstart:
        more["generated_texts"] = texts
    if "message" in choices[0]:
        more["generation"] = {"role": "assistant", "content": texts[0]}
    elif request.listed:
        more["generation"] = texts[0]
    if request.details:
        more["details"] = _details(parts[0].said[0])
    return more


def _details(said: Said) -> dict[str, Any]:
    """Return what text-generation-inference tells of an answer."""
    found = said.found
    reason = "length" if said.finish_reason != "stop" else "stop_sequence" if found.stopped else "eos_token"
    return {
        "finish_reason": reason,
        "generated_tokens": found.completion_tokens,
        "seed": said.seed,
        "prefill": [],
        "tokens": [
            {"id": one.token, "text": readable(one.piece), "logprob": _log(one.logprob), "special": False}
            for one in found.choices
        ],
    }


# Figures ----------------------------------------------------------------------------------------------------


def timings_of(generated: Sequence[Generation], queued_s: float, begun: float = 0.0) -> dict[str, Any]:
    """Return llama-server's names, the time in the queue and that to the first token; of several answers together."""
    evaluated = sum(found.evaluated_tokens for found in generated)
    predicted = sum(found.completion_tokens for found in generated)
    prompt_s, predicted_s = (
        sum(found.prompt_s for found in generated),
        sum(found.predicted_s for found in generated),
    )
    first = generated[0].first_token_at
    return {
        "queue_ms": _ms(queued_s),
        **({} if first is None else {"ttft_ms": _ms(queued_s + first - begun)}),
        "cache_n": sum(found.cached_tokens for found in generated),
        "prompt_n": evaluated,
        "prompt_ms": _ms(prompt_s),
        "prompt_per_second": _rate(evaluated, prompt_s),
        "predicted_n": predicted,
        "predicted_ms": _ms(predicted_s),
        "predicted_per_second": _rate(predicted, predicted_s),
    }


def _summed(timings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the timings of several answers as one; they waited once, and the first one's first token came first."""
    total = {name: sum(one.get(name, 0) for one in timings) for name in timings[0]}
    total |= {name: timings[0][name] for name in ("queue_ms", "ttft_ms") if name in timings[0]}
    for name in ("prompt", "predicted"):
        total[f"{name}_per_second"] = _rate(total[f"{name}_n"], total[f"{name}_ms"] / 1e3)
        total[f"{name}_ms"] = round(total[f"{name}_ms"], 3)
    return total


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3) if seconds > 0 else 0.0


def readable(piece: bytes) -> str:
    """Return the bytes of a token as text; what is no whole character is marked."""
    return piece.decode("utf-8", errors="replace")


def _log(probability: float) -> float:
    """Return a log-probability as JSON can hold it: OpenAI's own stand-in for minus infinity."""
    return round(probability, 6) if math.isfinite(probability) else -9999.0


def _text_logprobs(found: Generation, offset: int) -> dict[str, Any]:
    """Return log-probabilities in the form of OpenAI's completions; offsets count from the prompt's beginning."""
    tokens = [readable(choice.piece) for choice in found.choices]
    return {
        "tokens": tokens,
        "token_logprobs": [_log(choice.logprob) for choice in found.choices],
        "top_logprobs": [
            {readable(piece): _log(value) for piece, value in reversed(choice.top)}
            for choice in found.choices
        ],
        "text_offset": [offset + sum(map(len, tokens[:n])) for n in range(len(tokens))],
    }


def _chat_logprobs(found: Generation) -> dict[str, Any]:
    """Return log-probabilities in the form of OpenAI's chat completions."""

    def one(piece: bytes, value: float) -> dict[str, Any]:
        return {"token": readable(piece), "logprob": _log(value), "bytes": list(piece)}

    return {
        "content": [
            {
                **one(choice.piece, choice.logprob),
                "top_logprobs": [one(piece, value) for piece, value in choice.top],
            }
            for choice in found.choices
        ],
        "refusal": None,
    }


# Streams ----------------------------------------------------------------------------------------------------


def stream_of(request: Request, answer: Any) -> str:
    """Return an answer as server-sent events, the last one `[DONE]`."""
    if request.form == "responses":
        lines = [f"event: {event['type']}\n{_data(event)}" for event in response_events(answer)]
    else:
        answers = answer if isinstance(answer, list) else [answer]
        lines = [_data(event) for one in answers for event in _events(request, one)]
    return "".join([*lines, "data: [DONE]\n\n"])


def _data(event: Any) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


def _events(request: Request, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the chunks of one answer, in OpenAI's order: each choice's role, text and end, then what it took."""
    chat = answer["object"] == "chat.completion"
    head: dict[str, Any] = {
        "id": answer["id"],
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": answer["created"],
        "model": answer["model"],
    }
    if request.usage_in_stream:
        head["usage"] = None
    for choice in answer["choices"]:
        last = choice is answer["choices"][-1]
        for delta, logprobs, reason in _deltas(choice) if chat else _pieces(choice):
            said = {"delta": delta} if chat else {"text": delta}
            chunk = {"index": choice["index"], **said, "logprobs": logprobs, "finish_reason": reason}
            event = {**head, "choices": [chunk]}
            if request.source == "inputs":
                event |= _token_event(answer, choice, delta, ended=last and reason is not None)
            if last and reason is not None:
                event["timings"] = answer["timings"]
            yield event
    if request.usage_in_stream:
        yield {**head, "choices": [], "usage": answer["usage"]}


def _deltas(choice: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any, str | None]]:
    """Give what each chunk of a chat's choice adds, with its log-probabilities and why it ends."""
    message = choice["message"]
    yield {"role": "assistant", "content": ""}, None, None
    if message.get("reasoning_content"):
        yield {"reasoning_content": message["reasoning_content"]}, None, None
    if message.get("content"):
        yield {"content": message["content"]}, choice["logprobs"], None
    for index, call in enumerate(message.get("tool_calls") or []):
        yield {"tool_calls": [{"index": index, **call}]}, None, None
    if message.get("function_call"):
        yield {"function_call": message["function_call"]}, None, None
    yield {}, None, choice["finish_reason"]


def _pieces(choice: dict[str, Any]) -> Iterator[tuple[str, Any, str | None]]:
    """Give what each chunk of a text's choice adds, with its log-probabilities and why it ends."""
    if choice["text"]:
        yield choice["text"], choice["logprobs"], None
    yield "", None, choice["finish_reason"]


def _token_event(
    answer: dict[str, Any], choice: dict[str, Any], delta: Any, *, ended: bool
) -> dict[str, Any]:
    """Return what clients of text-generation-inference and of LMI read of an event."""
    text = delta if isinstance(delta, str) else delta.get("content", "")
    return {
        "token": {"id": -1, "text": text, "logprob": None, "special": False},
        "generated_text": answer["generated_text"] if ended else None,
        "details": (answer.get("details") or {"finish_reason": choice["finish_reason"]} if ended else None),
    }
