"""The shapes of answers: OpenAI's, with what the clients of other forms read beside it, whole or as events.

Owns the names that clients read. Refuses to generate: it gets what was.

    messages, prompt   OpenAI's chat.completion and text_completion
    inputs             the same, with `generated_text` beside it, as text-generation-inference and LMI have it; a list
                       of texts or of conversations gets a list, with `generation` beside it, as JumpStart has it
    input              OpenAI's response, when it asks for one

`stream_of` makes one whole list of events, for where nothing can be sent before the answer is there: each client reads it
as if it had come in parts. `Chunks` makes them one by one, for where it can.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sealift_responses import response_events, response_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else its choice tells, as `tokens`."""


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


def answer_of(request: Request, parts: Sequence[Part], head: Head) -> Any:
    """Return the answer to a request: an object, or a list of them where `inputs` is a list."""
    if not request.listed:
        answer = _answer(request, parts, head)
        return response_of(answer) if request.form == "responses" else answer
    return [
        _answer(request, [part], Head(f"{head.identity}-{number}", head.created, head.model, head.queued_s))
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
        "timings": timings_of(generated, head.queued_s),
    }
    return answer | _of_inputs(request, parts, choices) if request.source == "inputs" else answer


def _choice(request: Request, part: Part, said: Said, index: int) -> dict[str, Any]:
    logprobs = None
    if said.message is not None:
        if request.logprobs is not None:
            logprobs = chat_logprobs(said.found)
        content: dict[str, Any] = {"message": {"role": "assistant", **said.message}}
    else:
        if request.logprobs is not None:
            logprobs = text_logprobs(said.found, len(part.prompt))
        content = {"text": (part.prompt if request.echo else "") + said.found.text}
    return {
        "index": index,
        **content,
        "logprobs": logprobs,
        "finish_reason": said.finish_reason,
        **said.more,
    }


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


def timings_of(generated: Sequence[Generation], queued_s: float) -> dict[str, Any]:
    """Return llama-server's names, and the time in the queue; of several answers together."""
    evaluated = sum(found.evaluated_tokens for found in generated)
    predicted = sum(found.completion_tokens for found in generated)
    prompt_s, predicted_s = (
        sum(found.prompt_s for found in generated),
        sum(found.predicted_s for found in generated),
    )
    return {
        "queue_ms": _ms(queued_s),
        "cache_n": sum(found.cached_tokens for found in generated),
        "prompt_n": evaluated,
        "prompt_ms": _ms(prompt_s),
        "prompt_per_second": _rate(evaluated, prompt_s),
        "predicted_n": predicted,
        "predicted_ms": _ms(predicted_s),
        "predicted_per_second": _rate(predicted, predicted_s),
    }


def _summed(timings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the timings of several answers as one; they waited once."""
    total = {name: sum(one[name] for one in timings) for name in timings[0]}
    total["queue_ms"] = timings[0]["queue_ms"]
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


def text_logprobs(found: Generation, offset: int) -> dict[str, Any]:
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


def chat_logprobs(found: Generation) -> dict[str, Any]:
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

DONE = "data: [DONE]\n\n"


def stream_of(request: Request, answer: Any) -> str:
    """Return an answer as server-sent events, the last one `[DONE]`."""
    if request.form == "responses":
        lines = [event_lines(event, named=True) for event in response_events(answer)]
    else:
        answers = answer if isinstance(answer, list) else [answer]
        lines = [event_lines(event) for one in answers for event in _events(request, one)]
    return "".join([*lines, DONE])


def event_lines(event: Mapping[str, Any], *, named: bool = False) -> str:
    """Return a server-sent event; with its type as its name where that is how its clients tell them apart."""
    name = f"event: {event['type']}\n" if named else ""
    return f"{name}data: {json.dumps(event, ensure_ascii=False)}\n\n"


class Chunks:
    """The events of one answer, in OpenAI's form, with what the clients of `inputs` read beside it."""

    def __init__(self, request: Request, identity: str, created: int, model: str, *, chat: bool) -> None:
        self._request = request
        self._chat = chat
        self._head: dict[str, Any] = {
            "id": identity,
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": created,
            "model": model,
        }
        if request.usage_in_stream:
            self._head["usage"] = None

    def part(
        self,
        index: int,
        delta: str | dict[str, Any],
        logprobs: Any = None,
        *,
        token: int = -1,
        logprob: float | None = None,
    ) -> dict[str, Any]:
        """Return what a choice goes on with: a chat's delta, or a text.

        Args:
            index: the choice's.
            delta: what is new.
            logprobs: of its tokens, in the form of the answer.
            token: the number of the token that it is; -1 when it is none or several.
            logprob: that token's log-probability.
        """
        event = self._event(index, delta, logprobs, None)
        if self._request.source == "inputs":
            text = delta if isinstance(delta, str) else delta.get("content") or ""
            event |= _token_event(text, token=token, logprob=logprob)
        return event

    def end(self, choice: Mapping[str, Any], answer: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the end of a choice; with the answer when it is the last one, which tells what all of it took."""
        event = self._event(choice["index"], {} if self._chat else "", None, choice["finish_reason"])
        if "tokens" in choice:
            event["choices"][0]["tokens"] = choice["tokens"]
        if self._request.source == "inputs":
            event |= _token_event("")
        if answer is not None:
            event["timings"] = answer["timings"]
            if self._request.source == "inputs":
                event["generated_text"] = answer["generated_text"]
                event["details"] = answer.get("details") or {"finish_reason": choice["finish_reason"]}
        return event

    def usage(self, usage: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Give what the whole answer took, where the request asks for that."""
        if self._request.usage_in_stream:
            yield {**self._head, "choices": [], "usage": usage}

    def _event(self, index: int, delta: Any, logprobs: Any, reason: str | None) -> dict[str, Any]:
        said = {"delta": delta} if self._chat else {"text": delta}
        chunk = {"index": index, **said, "logprobs": logprobs, "finish_reason": reason}
        return {**self._head, "choices": [chunk]}


def _events(request: Request, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the chunks of one answer, in OpenAI's order: each choice's role, text and end, then what it took."""
    chat = answer["object"] == "chat.completion"
    chunks = Chunks(request, answer["id"], answer["created"], answer["model"], chat=chat)
    for choice in answer["choices"]:
        for delta, logprobs in _deltas(choice) if chat else _pieces(choice):
            yield chunks.part(choice["index"], delta, logprobs)
        yield chunks.end(choice, answer if choice is answer["choices"][-1] else None)
    yield from chunks.usage(answer["usage"])


BEGINNING: Mapping[str, Any] = {"role": "assistant", "content": ""}
"""The first delta of a chat's choice."""


def _deltas(choice: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Give what each chunk of a chat's choice adds, with its log-probabilities."""
    message = choice["message"]
    yield dict(BEGINNING), None
    if message.get("reasoning_content"):
        yield {"reasoning_content": message["reasoning_content"]}, None
    if message.get("content"):
        yield {"content": message["content"]}, choice["logprobs"]
    for index, call in enumerate(message.get("tool_calls") or []):
        yield {"tool_calls": [{"index": index, **call}]}, None
    if message.get("function_call"):
        yield {"function_call": message["function_call"]}, None


def _pieces(choice: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give what each chunk of a text's choice adds, with its log-probabilities."""
    if choice["text"]:
        yield choice["text"], choice["logprobs"]


def _token_event(text: str, *, token: int = -1, logprob: float | None = None) -> dict[str, Any]:
    """Return what clients of text-generation-inference and of LMI read of an event."""
    return {
        "token": {"id": token, "text": text, "logprob": logprob, "special": False},
        "generated_text": None,
        "details": None,
    }
