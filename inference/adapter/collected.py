"""A whole answer out of llama-server's stream, since only of a stream there is something when its time is over.

The llama-server that is built here (`EDITS` in tools/runtime/server_recipe.py) tells such a stream's text a few times a
second. One that does not know `t_hold_ms` tells each token: the same answers, and a few percent of the speed less.

Owns which calls are sent as streams, and the fields that events add up to; what comes out is what llama-server answers
to the call as it was. Refuses to send.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adapter.upstream import CHAT_PATH, TEXT_PATH, UpstreamReply

if TYPE_CHECKING:
    from adapter.upstream import UpstreamCall

_NOTED = ("n_probs", "logprobs", "return_tokens")
"""What a stream of a chat leaves out of places that show nothing: with these it is asked whole."""
_BY_TOKEN = ("n_probs", "return_tokens", "n_indent", "t_max_predict_ms")
"""What is told of each token, or looked for in what is told: with these each is."""
HOLD_MS = 250
"""Milliseconds of text that come together, and of which an answer may want the last ones when its time is over."""
TIMEOUT = "timeout"


def collectable(call: UpstreamCall) -> bool:
    """Tell whether a call's whole answer can be had as a stream."""
    body = call.body
    if call.path == TEXT_PATH:
        return (isinstance(body, dict) and not isinstance(body.get("prompt"), list | tuple)) or _is_tokens(
            body
        )
    if call.path != CHAT_PATH or not isinstance(body, dict) or any(body.get(name) for name in _NOTED):
        return False
    return not goes_on(body.get("messages"))


def goes_on(messages: Any) -> bool:
    """Tell whether an answer goes on with the last message: llama-server tells that again, but not in a stream."""
    last = messages[-1] if messages else None
    return isinstance(last, dict) and last.get("role") == "assistant"


def _is_tokens(body: Any) -> bool:
    """Tell whether a prompt that is a list is one prompt: of tokens, or of tokens and texts."""
    prompt = body.get("prompt") if isinstance(body, dict) else None
    return isinstance(prompt, list) and any(isinstance(one, int) for one in prompt)


def streamed(call: UpstreamCall) -> UpstreamCall:
    """Return the call that asks for the same as a stream."""
    more: dict[str, Any] = {"stream": True, "return_progress": True, "timings_per_token": True}
    if not any(call.body.get(name) for name in _BY_TOKEN):
        more["t_hold_ms"] = HOLD_MS
    if call.path == CHAT_PATH:
        more["stream_options"] = {"include_usage": True}
    return replace(call, body={**call.body, **more})


def is_progress(event: Any) -> bool:
    """Tell whether an event says nothing but how far the prompt is."""
    return isinstance(event, dict) and "prompt_progress" in event


class Collected:
    """What has come of one answer."""

    def __init__(self, call: UpstreamCall) -> None:
        self._chat = call.path == CHAT_PATH
        self._with_tokens = bool((call.body or {}).get("return_tokens"))
        self._progress: dict[str, Any] = {}
        self._timings: dict[str, Any] = {}
        self._tokens = 0
        self._error: dict[str, Any] | None = None
        self._last: dict[str, Any] = {}
        self._texts: list[str] = []
        self._numbers: list[Any] = []
        self._noted: list[Any] = []
        self._choices: dict[int, dict[str, Any]] = {}

    @property
    def begun(self) -> bool:
        """Tell whether there is a token."""
        return self._tokens > 0

    @property
    def right(self) -> bool:
        """Tell whether no error came in it."""
        return self._error is None

    @property
    def ended(self) -> bool:
        """Tell whether its end has come."""
        if self._error is not None:
            return True
        if not self._chat:
            return bool(self._last.get("stop"))
        return any(kept["finish_reason"] is not None for kept in self._choices.values())

    def add(self, event: Any) -> None:
        """Take one event; a list of them counts as each of them."""
        if isinstance(event, list):
            for one in event:
                self.add(one)
        elif not isinstance(event, dict):
            return
        elif "error" in event:
            self._error = event
        elif is_progress(event):
            self._progress = event["prompt_progress"]
        elif self._chat:
            self._add_chat(event)
        else:
            self._add_text(event)

    def reply(self, reason: str | None = None) -> UpstreamReply:
        """Return the whole answer, or the error that came instead.

        Args:
            reason: why it ends before its end; None when llama-server has said all.
        """
        if self._error is not None:
            code = self._error["error"].get("code") if isinstance(self._error["error"], dict) else None
            return UpstreamReply(code if isinstance(code, int) and code >= 400 else 500, self._error)
        last = self._last if reason is None else {**self._last, **self._so_far(reason)}
        return UpstreamReply(200, self._whole_chat(last, reason) if self._chat else self._whole_text(last))

    def _so_far(self, reason: str) -> dict[str, Any]:
        """Return what stands for the figures of an end that has not come: what the last event with text tells."""
        total, cached = self._progress.get("total", 0), self._progress.get("cache", 0)
        timings = {
            "cache_n": cached,
            "prompt_n": max(0, self._progress.get("processed", 0) - cached),
            "prompt_ms": float(self._progress.get("time_ms", 0)),
            "predicted_n": self._tokens,
            "predicted_ms": 0.0,
            **self._timings,
        }
        if not self._chat:
            counts = {"tokens_predicted": self._tokens, "tokens_evaluated": total}
            return {"stop": True, "stop_type": reason, "timings": timings, **counts}
        details = {"prompt_tokens_details": {"cached_tokens": cached}}
        counts = {
            "prompt_tokens": total,
            "completion_tokens": self._tokens,
            "total_tokens": total + self._tokens,
        }
        return {"usage": counts | details, "timings": timings}

    def _count(self, event: dict[str, Any]) -> None:
        """Note that there is another token, or as many as the event tells: its text may be that of several."""
        self._timings = event.get("timings") or self._timings
        self._tokens = max(self._tokens + 1, self._timings.get("predicted_n", 0))

    def _add_text(self, event: dict[str, Any]) -> None:
        self._last = event
        self._texts.append(event.get("content") or "")
        if self._with_tokens:
            self._numbers += event.get("tokens") or []
        self._noted += event.get("completion_probabilities") or []
        if not event.get("stop"):
            self._count(event)

    def _whole_text(self, last: dict[str, Any]) -> dict[str, Any]:
        whole = {**last, "content": "".join(self._texts)}
        if "tokens" in last:
            whole["tokens"] = self._numbers
        if self._noted:
            whole["completion_probabilities"] = self._noted
        return whole

    def _add_chat(self, event: dict[str, Any]) -> None:
        for name, value in event.items():
            if name != "choices":
                self._last[name] = value
        for choice in event.get("choices") or []:
            kept = self._choices.setdefault(choice.get("index", 0), {"finish_reason": None, "message": {}})
            delta = choice.get("delta") or {}
            if any(delta.get(name) for name in ("content", "reasoning_content", "tool_calls")):
                self._count(event)
            _merge(kept["message"], delta)
            if choice.get("finish_reason") is not None:
                kept["finish_reason"] = choice["finish_reason"]

    def _whole_chat(self, last: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choices = [
            {
                "index": index,
                "finish_reason": reason if kept["finish_reason"] is None else kept["finish_reason"],
                "message": _message(kept["message"]),
            }
            for index, kept in sorted(self._choices.items() or [(0, {"finish_reason": None, "message": {}})])
        ]
        return {**last, "object": "chat.completion", "choices": choices}


def _merge(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add what a delta adds to a message; texts are lists of their parts until all are there."""
    for name in ("content", "reasoning_content"):
        if delta.get(name):
            message.setdefault(name, []).append(delta[name])
    for part in delta.get("tool_calls") or []:
        calls = message.setdefault("tool_calls", {})
        call = calls.setdefault(part.get("index", 0), {"id": "", "name": [], "arguments": []})
        call["id"] = part.get("id") or call["id"]
        function = part.get("function") or {}
        for name in ("name", "arguments"):
            if function.get(name):
                call[name].append(function[name])


def _message(parts: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(parts.get("content", ()))}
    if "reasoning_content" in parts:
        message["reasoning_content"] = "".join(parts["reasoning_content"])
    if "tool_calls" in parts:
        message["tool_calls"] = [
            {
                "type": "function",
                "function": {"name": "".join(call["name"]), "arguments": "".join(call["arguments"])},
                "id": call["id"],
            }
            for _, call in sorted(parts["tool_calls"].items())
        ]
    return message
