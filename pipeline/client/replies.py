"""What a service said: the text, why it ended, and what it took; of a whole answer, or of a stream of events.

Pure: bytes in, data out. Refuses to judge an answer (`pipeline.rollout.answers` does).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import EndpointFailed
from pipeline.rollout import answers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_DONE: Final = b"[DONE]"
_HEAD: Final = 4096
"""Bytes of an answer in which it says what it is: whoever writes it writes that first."""
_OTHER_TASKS: Final[Mapping[str, tuple[re.Pattern[bytes], str]]] = {
    "embeddings": (
        re.compile(rb'"object"\s*:\s*"response"'),
        "the model generates texts, and embeds none; wanted a model for embeddings; ask another service",
    ),
    "responses": (
        re.compile(rb'"object"\s*:\s*"list"'),
        "the model embeds texts, and generates none; wanted a model that answers; ask another service",
    ),
}
"""What an answer to a path must not be, and what it means."""
_LONGEST: Final = 16 * 2**20
"""Bytes of one event: more than any endpoint sends at once."""


@dataclass(slots=True)
class Reply:
    """An answer; of a stream as far as it has come."""

    text: str = ""
    reasoning: str = ""
    """What a reasoning model thought before."""
    finish_reason: str | None = None
    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    """By the server's own clock, as llama.cpp names them."""
    endpoint_name: str = ""
    """Who answered; empty where nobody said."""
    seconds: float | None = None
    """From asking to the end, by the caller's clock: with a cold start, where there was one."""

    def __str__(self) -> str:
        return self.text

    @property
    def tokens_per_second(self) -> float | None:
        """How fast it was generated, by the server's own clock; None when it does not tell."""
        return self.timings.get("predicted_per_second")


def whole(body: bytes) -> Reply:
    """Return the reply in a response body; of embeddings the vector as JSON.

    Raises:
        NotAnAnswer: it is none.
    """
    with answers.reading(body, "OpenAI-style answer"):
        document = json.loads(body)
        reply = Reply()
        _take_figures(reply, document)
        if isinstance(document, dict) and "choices" not in document and "data" in document:
            reply.text = json.dumps(document["data"][0]["embedding"])
            return reply
        choice = document["choices"][0]
        said = choice["message"] if "message" in choice else {"content": choice["text"]}
        reply.text = _text(said.get("content"))
        reply.reasoning = _text(said.get("reasoning_content"))
        reply.finish_reason = _name(choice.get("finish_reason"))
    return reply


def other_task(path: str, body: bytes) -> str | None:
    """Return what an answer tells of a model that does not do what a path of OpenAI's API is for; None where it does.

    A request with `input` is for embeddings or for a response: an endpoint has one path, and does what its model does.

    Args:
        path: that a client asked; its last word counts.
        body: the answer.
    """
    telling = _OTHER_TASKS.get(path.rstrip("/").rpartition("/")[2])
    if telling is None or telling[0].search(body, 0, _HEAD) is None:
        return None
    return telling[1]


def vectors(body: bytes) -> list[list[float]]:
    """Return the vectors in a response body of embeddings, in the order of their texts.

    Raises:
        NotAnAnswer: it is none.
    """
    with answers.reading(body, "answer to embeddings"):
        found = sorted(json.loads(body)["data"], key=lambda one: one["index"])
        return [[float(value) for value in one["embedding"]] for one in found]


def document(reply: Reply, service: str) -> dict[str, Any]:
    """Return a reply of a service for machines."""
    return {
        "service": service,
        "endpoint_name": reply.endpoint_name,
        "answer": reply.text,
        "reasoning": reply.reasoning or None,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "seconds": None if reply.seconds is None else round(reply.seconds, 3),
        "timings": dict(reply.timings),
    }


def take(reply: Reply, event: Mapping[str, Any]) -> str:
    """Add an event of a stream to a reply; return what of the text is new.

    Raises:
        EndpointFailed: the event is an error: the answer ends in its middle.
        NotAnAnswer: it is no event of an answer.
    """
    with answers.reading(json.dumps(event), "event of an answer"):
        if error := event.get("error"):
            told = error.get("message") if isinstance(error, dict) else error
            raise EndpointFailed(
                f"the answer ended in its middle: {told}; wanted its end; ask again",
                fix="ask again; `sealift logs` has what the container wrote",
            )
        _take_figures(reply, event)
        new = ""
        for choice in event.get("choices") or ():
            if choice.get("index"):
                continue
            said = choice.get("delta") or {"content": choice.get("text")}
            reply.reasoning += _text(said.get("reasoning_content"))
            new += _text(said.get("content"))
            reply.finish_reason = _name(choice.get("finish_reason")) or reply.finish_reason
        reply.text += new
    return new


def events(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each server-sent event, however the bytes were cut; end at `[DONE]`.

    Raises:
        NotAnAnswer: what came is no stream of JSON events, or is cut off in the middle of one.
    """
    held = b""
    for piece in pieces:
        held += piece
        *lines, held = held.split(b"\n")
        if len(held) > _LONGEST:
            raise answers.NotAnAnswer(f"an event of over {_LONGEST} bytes")
        for line in lines:
            found = _event(line)
            if found is None:
                continue
            if found == _DONE:
                return
            yield _document(found)
    if (last := _event(held)) not in (None, _DONE):
        yield _document(last or b"")


def _event(line: bytes) -> bytes | None:
    """Return the data of a line; None for one that has none. An error before the stream is JSON as it is."""
    line = line.strip()
    if line.startswith(b"data:"):
        return line.removeprefix(b"data:").strip()
    return line if line.startswith(b"{") else None


def _document(data: bytes) -> dict[str, Any]:
    with answers.reading(data, "event of an answer"):
        found = json.loads(data)
        if not isinstance(found, dict):
            raise TypeError(f"an event is {type(found).__name__}")
    return found


def _take_figures(reply: Reply, document: Any) -> None:
    if isinstance(usage := document.get("usage"), dict):
        reply.completion_tokens = _count(usage.get("completion_tokens"))
        reply.prompt_tokens = _count(usage.get("prompt_tokens"))
    if told := answers.timings(document.get("timings")):
        reply.timings = told


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"a text is {type(value).__name__}")
    return value


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
