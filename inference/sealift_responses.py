"""OpenAI's newer interface, `responses`, as a chat: its requests become chat requests, and chats its answers.

Owns the names that differ. Refuses to store: a request brings its whole conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sealift_fields as fields
from sealift_settings import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sealift_messages import Problems


def is_for_responses(given: dict[str, Any]) -> bool:
    """Tell whether a request with `input` asks for a response: by what no request for embeddings has."""
    if "input" not in given or any(
        name in given for name in ("encoding_format", "dimensions", "messages", "prompt", "inputs")
    ):
        return False
    value = given["input"]
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return True
    # What changes nothing says nothing: clients of embeddings send "stream": false as well.
    found = [
        fields.BY_NAME[name]
        for name, value in given.items()
        if name in fields.BY_NAME and value is not False and value not in ([], {}, "")
    ]
    return any(
        fields.RESPONSES in field.forms
        and fields.EMBEDDINGS not in field.forms
        and field.place != fields.IGNORED
        for field in found
    )


def chat_of(given: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """Return the chat request that one for a response makes."""
    chat = {
        name: value
        for name, value in given.items()
        if name not in ("input", "instructions", "text", "reasoning", "tools")
    }
    value = given["input"]
    items = [{"role": "user", "content": value}] if isinstance(value, str) else value
    messages = _messages(items, problems) if isinstance(items, list) else items
    if "instructions" in given and isinstance(messages, list):
        messages = [{"role": "system", "content": given["instructions"]}, *messages]
    chat["messages"] = messages
    text = given.get("text")
    form = text.get("format") if isinstance(text, dict) else None
    if isinstance(form, dict):
        schema = form.get("type") == "json_schema"
        chat["response_format"] = {"type": "json_schema", "json_schema": form} if schema else form
    reasoning = given.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    if isinstance(given.get("tools"), list):
        chat["tools"] = [
            {"type": "function", "function": tool}
            if isinstance(tool, dict) and tool.get("type") == "function" and "name" in tool
            else tool
            for tool in given["tools"]
        ]
    if chat.get("n", 1) != 1:
        problems.add("n", f"'n' is {shown(chat['n'])}, and a response is one answer; ask with 'messages'")
    if "top_logprobs" in chat:
        chat["logprobs"] = True
    return chat


def _messages(items: list[Any], problems: Problems) -> list[Any]:
    """Return the messages of a chat: what a model has thought, said and called in one turn is one of them."""
    found: list[Any] = []
    thought = ""
    for number, item in enumerate(items):
        kind = item.get("type") or "message" if isinstance(item, dict) else None
        if kind == "reasoning":
            thought += _thought(item)
        elif kind == "message":
            own = item.get("role") == "assistant" and thought
            found.append({**item, "reasoning_content": thought} if own else item)
            thought = ""
        elif kind == "function_call":
            if not found or found[-1].get("role") != "assistant":
                found.append({"role": "assistant", "content": None, "reasoning_content": thought})
                thought = ""
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "function": function}
            found[-1] = {**found[-1], "tool_calls": [*found[-1].get("tool_calls", []), call]}
        elif kind == "function_call_output":
            found.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")})
        else:
            path = f"input[{number}]"
            problems.add(path, f"{path} is {shown(item)}; wanted a message, a function_call or its output")
    return found


def _thought(item: dict[str, Any]) -> str:
    """Return what a model has thought, where the item has it in plain text."""
    parts = item.get("content")
    texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def response_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a chat's answer as a response."""
    identity = answer["id"].partition("-")[2]
    choice = answer["choices"][0]
    message = choice["message"]
    output: list[dict[str, Any]] = []
    if message.get("reasoning_content"):
        thought = {"type": "reasoning_text", "text": message["reasoning_content"]}
        output.append({"id": f"rs_{identity}", "type": "reasoning", "summary": [], "content": [thought]})
    if message.get("content") or not message.get("tool_calls"):
        part: dict[str, Any] = {
            "type": "output_text",
            "text": message.get("content") or "",
            "annotations": [],
            **({"logprobs": choice["logprobs"]["content"]} if choice.get("logprobs") else {}),
        }
        output.append(
            {
                "id": f"msg_{identity}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    output += [
        {
            "id": f"fc_{identity}_{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": call["id"],
            **call["function"],
        }
        for number, call in enumerate(message.get("tool_calls") or [])
    ]
    usage, cut = answer["usage"], choice["finish_reason"] in ("length", "timeout")
    return {
        "id": f"resp_{identity}",
        "object": "response",
        "created_at": answer["created"],
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "metadata": {},
        "model": answer["model"],
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": usage["prompt_tokens_details"],
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
        "timings": answer["timings"],
    }


def response_events(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the events of a stream that brings a whole response, in OpenAI's order."""
    events = ResponseEvents(response)
    yield from events.begin()
    calls = 0
    for item in response["output"]:
        if item["type"] == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            yield from events.add(
                {"tool_calls": [{"index": calls, "id": item["call_id"], "function": function}]}
            )
            calls += 1
        else:
            name = "content" if item["type"] == "message" else "reasoning_content"
            (part,) = item["content"]
            yield from events.add({name: part["text"]}, part.get("logprobs"))
    yield from events.end(response)


class ResponseEvents:
    """The events of a response as it comes: each of its parts begins, grows and ends before the next one begins."""

    def __init__(self, begun: dict[str, Any]) -> None:
        """Begin with a response's head; what it says and what that took is not looked at."""
        self._begun = {
            **begun,
            "status": "in_progress",
            "output": [],
            "usage": None,
            "incomplete_details": None,
        }
        self._identity = begun["id"].partition("_")[2]
        self._done: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._call: int | None = None
        self._sent = 0

    def begin(self) -> Iterator[dict[str, Any]]:
        """Give what comes before any part."""
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response=self._begun)

    def add(
        self, delta: Mapping[str, Any], logprobs: list[dict[str, Any]] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give the events of what a chat's answer goes on with.

        Args:
            delta: the chat's.
            logprobs: of the tokens of its content, where they are told.
        """
        if delta.get("reasoning_content"):
            yield from self._text("reasoning", delta["reasoning_content"])
        if delta.get("content"):
            yield from self._text("message", delta["content"], logprobs)
        for call in delta.get("tool_calls") or []:
            yield from self._called(call)

    def end(self, response: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Give the end of the last part, and of the response; one that says nothing says an empty text."""
        if self._open is None and not self._done:
            yield from self._begin_item("message")
        yield from self._end_item()
        yield self._event(f"response.{response['status']}", response={**response, "output": self._done})

    def failed(self, error: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ends it instead when it cannot go on."""
        return self._event("error", **{name: error.get(name) for name in ("code", "message", "param")})

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._sent += 1
        return {"type": kind, **fields, "sequence_number": self._sent - 1}

    def _text(
        self, kind: str, text: str, logprobs: list[dict[str, Any]] | None = None
    ) -> Iterator[dict[str, Any]]:
        if self._open is None or self._open["type"] != kind:
            yield from self._end_item()
            yield from self._begin_item(kind)
        item = self._item()
        item["content"][0]["text"] += text
        if logprobs:
            item["content"][0].setdefault("logprobs", []).extend(logprobs)
        if kind == "message":
            told = {"delta": text, "logprobs": logprobs or []}
            yield self._event("response.output_text.delta", **self._inside(), **told)
        else:
            yield self._event("response.reasoning_text.delta", **self._inside(), delta=text)

    def _called(self, call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if self._call != call["index"]:
            yield from self._end_item()
            self._call = call["index"]
            named = {"call_id": call.get("id"), "name": call["function"].get("name")}
            yield from self._begin_item("function_call", **named)
        arguments = call["function"].get("arguments") or ""
        if arguments:
            self._item()["arguments"] += arguments
            yield self._event("response.function_call_arguments.delta", **self._place(), delta=arguments)

    def _item(self) -> dict[str, Any]:
        if self._open is None:
            raise ValueError("no part of the response is open")
        return self._open

    def _place(self) -> dict[str, Any]:
        return {"output_index": len(self._done), "item_id": self._item()["id"]}

    def _inside(self) -> dict[str, Any]:
        return {**self._place(), "content_index": 0}

    def _begin_item(self, kind: str, **named: Any) -> Iterator[dict[str, Any]]:
        number = sum(item["type"] == kind for item in self._done)
        again = f"_{number}" if number else ""
        if kind == "function_call":
            item = {"id": f"fc_{self._identity}_{number}", "type": kind, "status": "in_progress", **named}
            item["arguments"] = ""
            started = dict(item)
        elif kind == "message":
            item = {"id": f"msg_{self._identity}{again}", "type": kind, "status": "in_progress"}
            item["role"] = "assistant"
            started = {**item, "content": []}
            item["content"] = [{"type": "output_text", "text": "", "annotations": []}]
        else:
            item = {"id": f"rs_{self._identity}{again}", "type": kind, "summary": []}
            started = {**item, "content": []}
            item["content"] = [{"type": "reasoning_text", "text": ""}]
        self._open = item
        yield self._event("response.output_item.added", output_index=len(self._done), item=started)
        if kind == "message":
            yield self._event("response.content_part.added", **self._inside(), part=dict(item["content"][0]))

    def _end_item(self) -> Iterator[dict[str, Any]]:
        if self._open is None:
            return
        item = self._open
        if item["type"] == "message":
            (part,) = item["content"]
            told = {"text": part["text"], "logprobs": part.get("logprobs", [])}
            yield self._event("response.output_text.done", **self._inside(), **told)
            yield self._event("response.content_part.done", **self._inside(), part=part)
        elif item["type"] == "function_call":
            yield self._event(
                "response.function_call_arguments.done", **self._place(), arguments=item["arguments"]
            )
        else:
            yield self._event(
                "response.reasoning_text.done", **self._inside(), text=item["content"][0]["text"]
            )
        if "status" in item:
            item["status"] = "completed"
        yield self._event("response.output_item.done", output_index=len(self._done), item=item)
        self._done.append(item)
        self._open = None
