"""From llama-server's events to the caller's, each as it comes.

Owns what of a stream is held back until it can be told whole: the end of the last choice, which says what everything
took. Refuses to know sockets: events come parsed and go as bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from adapter.replies import (
    choices_of,
    generation_of,
    is_unread,
    must_call,
    refusal_of,
    told_stop,
    told_tokens,
)
from adapter.upstream import UpstreamReply

from sealift_answers import (
    BEGINNING,
    DONE,
    Chunks,
    Part,
    Said,
    answer_of,
    chat_logprobs,
    event_lines,
    figures,
    said_of,
    text_logprobs,
)
from sealift_chat import NO_CALLS
from sealift_request import BadRequest, Request, template_refuses
from sealift_responses import ResponseEvents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sealift_answers import Head
    from sealift_engine import Choice, Generation


@dataclass
class _Growing:
    """A choice of the answer, as far as it has come."""

    index: int
    prompt: str
    """The text before it."""
    seed: int
    content: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Choice] = field(default_factory=list)
    """Its tokens with their log-probabilities, where they are wanted."""
    untold: int = 0
    """How many of these have not been told yet, since their text has not come."""
    tokens: list[int] = field(default_factory=list)
    parts: int = 0
    begun: bool = False
    reason: str | None = None
    stopped: bool = False
    ended: bool = False
    timings: Mapping[str, Any] = field(default_factory=dict)

    def add(self, delta: Mapping[str, Any]) -> None:
        """Add what a chat's choice goes on with."""
        self.content += delta.get("content") or ""
        self.reasoning += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls") or []:
            while call["index"] >= len(self.calls):
                self.calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
            own = self.calls[call["index"]]
            own["id"] = call.get("id") or own["id"]
            for name in ("name", "arguments"):
                own["function"][name] += call["function"].get(name) or ""

    def message(self) -> dict[str, Any]:
        """Return it as a message."""
        found: dict[str, Any] = {"content": self.content or (None if self.calls else "")}
        if self.reasoning:
            found["reasoning_content"] = self.reasoning
        if self.calls:
            found["tool_calls"] = [{**call, "function": dict(call["function"])} for call in self.calls]
        return found


class Stream:
    """The events of one answer; `over` tells that the last one has been given."""

    def __init__(self, request: Request, head: Head, seed: int) -> None:
        self._request, self._head = request, head
        subjects = request.subjects
        self._chat = not isinstance(subjects[0], str) and isinstance(subjects[0][0], dict)
        self._choices = [
            _Growing(index, one if isinstance(one, str) else "", (seed + index) % 2**32)
            for index, one in enumerate(subjects if len(subjects) > 1 else list(subjects) * request.choices)
        ]
        self._code: str | None = None
        self.over = False
        self.unread = False
        """Whether there is an answer that llama-server could read nothing of, so that it has to be asked otherwise."""
        first = self._answer()
        self._chunks = Chunks(
            request, head.identified(chat=self._chat), head.created, head.model, chat=self._chat
        )
        self._response = ResponseEvents(first) if request.form == "responses" else None
        self._opened = False

    @property
    def figures(self) -> dict[str, Any]:
        """Return what the log says of it, once it is over."""
        found = figures(self._answer())
        return found if self._code is None else {**found, "finish_reason": "error", "code": self._code}

    def events(self, event: Any) -> Iterator[bytes]:
        """Give what the caller is told of one event of llama-server's, or of a list of them."""
        if isinstance(event, list):
            for one in event:
                yield from self.events(one)
        elif not self.over and isinstance(event, dict):
            yield from self._told(event)

    def _told(self, event: Mapping[str, Any]) -> Iterator[bytes]:
        if "error" in event:
            silent = not any(any(choice.message().values()) for choice in self._choices)
            if silent and is_unread(UpstreamReply(HTTPStatus.INTERNAL_SERVER_ERROR, event)):
                self.unread = True
                return
            yield from self.failed(refusal_of(HTTPStatus.INTERNAL_SERVER_ERROR, event, self._request))
            return
        if "prompt_progress" in event:
            if self._request.further.get("return_progress"):
                plain = self._chunks.part(0, {} if self._chat else "")
                yield from self._sent({**plain, "prompt_progress": event["prompt_progress"]})
            return
        for index, delta, places, tokens in _news(event):
            choice = self._choices[index]
            if event.get("timings"):
                choice.timings = event["timings"]
            yield from self._begin(choice)
            yield from self._add(choice, delta, places, tokens, event)
        self._note_end(event)
        yield from self._tell_stop(event)
        yield from self._end_early()

    def _add(
        self,
        choice: _Growing,
        delta: Mapping[str, Any],
        places: Any,
        tokens: Sequence[int],
        event: Mapping[str, Any],
    ) -> Iterator[bytes]:
        """Add what a choice goes on with, and tell it."""
        if self._chat:
            delta = self._numbered(choice, delta)
        choice.parts += 1
        choice.add(delta)
        choice.tokens += tokens
        notes = choices_of(places, self._request.noted)
        choice.notes += notes
        choice.untold += len(notes)
        if any(delta.values()):
            yield from self._part(choice, delta, tokens, event)

    def ended(self, reason: str | None = None) -> Iterator[bytes]:
        """Give the end, where llama-server has said all, or of what there is, for a reason."""
        if self.over:
            return
        unfinished = [choice for choice in self._choices if choice.reason is None]
        if unfinished and reason is None:
            said = "llama-server ended before the answer did; send the request again"
            yield from self.failed(BadRequest(HTTPStatus.INTERNAL_SERVER_ERROR, said, code="server_error"))
            return
        if must_call(self._request) and any(
            choice.reason == "stop" and not choice.stopped and not choice.calls for choice in self._choices
        ):
            yield from self.failed(template_refuses(self._request, NO_CALLS))
            return
        for choice in unfinished:
            choice.reason = reason
            yield from self._begin(choice)
        answer = self._answer()
        if self._response is not None:
            for event in self._response.end(answer):
                yield event_lines(event, named=True).encode()
        else:
            open_ones = [choice for choice in self._choices if not choice.ended]
            whole = answer
            for choice in open_ones:
                last = choice is open_ones[-1]
                yield from self._sent(
                    self._chunks.end(whole["choices"][choice.index], whole if last else None)
                )
            for event in self._chunks.usage(whole["usage"]):
                yield from self._sent(event)
        self.over = True
        yield DONE.encode()

    def failed(self, error: BadRequest) -> Iterator[bytes]:
        """Give an error as the end, in OpenAI's form."""
        if self.over:
            return
        self.over, self._code = True, error.code
        document = json.loads(error.message)
        if self._response is None:
            yield event_lines(document).encode()
        else:
            yield event_lines(self._response.failed(document["error"]), named=True).encode()

    # Parts

    def _begin(self, choice: _Growing) -> Iterator[bytes]:
        if choice.begun:
            return
        choice.begun = True
        if self._response is not None:
            for event in self._response.begin():
                yield event_lines(event, named=True).encode()
        elif self._chat:
            yield from self._sent(self._chunks.part(choice.index, dict(BEGINNING)))
        elif self._request.echo and choice.prompt:
            yield from self._sent(self._chunks.part(choice.index, choice.prompt))

    def _numbered(self, choice: _Growing, delta: Mapping[str, Any]) -> dict[str, Any]:
        """Return a delta with an id for each call that begins without one."""
        calls = delta.get("tool_calls") or []
        named = [
            {**call, "id": self._head.call(choice.index, call["index"])}
            if call["index"] >= len(choice.calls) and not call.get("id")
            else call
            for call in calls
        ]
        return {**delta, "tool_calls": named} if calls else dict(delta)

    def _part(
        self, choice: _Growing, delta: Mapping[str, Any], tokens: Sequence[int], event: Mapping[str, Any]
    ) -> Iterator[bytes]:
        notes = choice.notes[len(choice.notes) - choice.untold :]
        choice.untold = 0
        if self._response is not None:
            logprobs = self._logprobs(choice, notes) if delta.get("content") else None
            for one in self._response.add(delta, logprobs["content"] if logprobs else None):
                yield event_lines(one, named=True).encode()
            return
        if not self._chat:
            told: Any = delta["content"]
        elif self._request.legacy_functions and delta.get("tool_calls"):
            told = _legacy(delta)
        else:
            told = {name: value for name, value in delta.items() if value}
        if not told:
            return
        one = self._chunks.part(
            choice.index,
            told,
            self._logprobs(choice, notes),
            token=tokens[0] if len(tokens) == 1 else notes[0].token if len(notes) == 1 else -1,
            logprob=notes[0].logprob if len(notes) == 1 else None,
        )
        if self._request.further.get("timings_per_token"):
            one["timings"] = event.get("timings")
        yield from self._sent(one)

    def _logprobs(self, choice: _Growing, notes: Sequence[Choice]) -> Any:
        if self._request.logprobs is None or not notes:
            return None
        if self._chat:
            return chat_logprobs(notes)
        before = choice.notes[: len(choice.notes) - len(notes)]
        offset = len(choice.prompt) + sum(len(text) for text in told_tokens(before))
        return text_logprobs(notes, offset)

    def _sent(self, event: Mapping[str, Any]) -> Iterator[bytes]:
        yield event_lines(event).encode()

    # Ends

    def _note_end(self, event: Mapping[str, Any]) -> None:
        """Note what an event says of how choices end."""
        if event.get("stop") is True:
            choice = self._choices[int(event.get("index") or 0)]
            choice.stopped = event.get("stop_type") == "word"
            choice.reason = "stop" if event.get("stop_type") in ("eos", "word") else "length"
        for one in event.get("choices") or []:
            if one.get("finish_reason"):
                choice = self._choices[int(one.get("index") or 0)]
                choice.reason = "stop" if one["finish_reason"] == "tool_calls" else str(one["finish_reason"])
        if event.get("choices") == [] and event.get("timings"):
            # Of one of several, which is not told: the sum is right.
            for choice in self._choices:
                if choice.reason is not None and not choice.timings.get("final"):
                    choice.timings = {**event["timings"], "final": True}
                    break

    def _tell_stop(self, event: Mapping[str, Any]) -> Iterator[bytes]:
        """Give the stop that ended a choice, where it is to be told."""
        about = event.get("__verbose") or event
        if stop := told_stop(about, self._request):
            choice = self._choices[int(about.get("index") or 0)]
            choice.add({"content": stop})
            yield from self._part(choice, {"content": stop}, (), event)

    def _end_early(self) -> Iterator[bytes]:
        """Give the ends of all choices but the last one, which tells what everything took."""
        if self._response is not None:
            return
        open_ones = [choice for choice in self._choices if not choice.ended]
        for choice in open_ones:
            if choice.reason is not None and len(open_ones) > 1:
                open_ones = [one for one in open_ones if one is not choice]
                choice.ended = True
                yield from self._begin(choice)
                yield from self._sent(self._chunks.end(self._answer()["choices"][choice.index]))

    def _answer(self) -> dict[str, Any]:
        """Return what there is, as a whole answer."""
        said = [self._said(choice) for choice in self._choices]
        several = len(self._request.subjects) > 1
        parts = (
            [Part([one], [one.found], choice.prompt) for one, choice in zip(said, self._choices, strict=True)]
            if several
            else [Part(said, [one.found for one in said], self._choices[0].prompt)]
        )
        answer: dict[str, Any] = answer_of(self._request, parts, self._head)
        return answer

    def _said(self, choice: _Growing) -> Said:
        found: Generation = generation_of(choice.timings, {})
        found.completion_tokens = found.completion_tokens or choice.parts
        found.text, found.stopped = choice.content, choice.stopped
        found.choices = choice.notes
        message = choice.message() if self._chat else None
        tokens = choice.tokens if self._request.further.get("return_tokens") else None
        return said_of(self._request, found, message, choice.seed, str(choice.reason), tokens=tokens)


def _news(event: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any], Any, list[int]]]:
    """Give what an event tells anew of each choice: a delta, its tokens with their probabilities, and these alone."""
    if "content" in event:
        text = {"content": event["content"]}
        tokens = [int(token) for token in event.get("tokens") or []]
        yield int(event.get("index") or 0), text, event.get("completion_probabilities"), tokens
    for one in event.get("choices") or []:
        given = one.get("delta") or {}
        kept = ("reasoning_content", "content", "tool_calls")
        delta = {name: given[name] for name in kept if given.get(name)}
        yield int(one.get("index") or 0), delta, (one.get("logprobs") or {}).get("content"), []


def _legacy(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a delta in OpenAI's older form, which knows one call."""
    calls = [call for call in delta["tool_calls"] if call["index"] == 0]
    kept = {name: value for name, value in delta.items() if value and name != "tool_calls"}
    return {**kept, **({"function_call": dict(calls[0]["function"])} if calls else {})}
