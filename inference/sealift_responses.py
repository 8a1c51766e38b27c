"""OpenAI's newer interface, `responses`, as a chat: its requests become chat requests, and chats its answers.

Owns the names that differ. Refuses to store: a request brings its whole conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sealift_fields as fields
from sealift_settings import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    found = [fields.BY_NAME[name] for name in given if name in fields.BY_NAME]
    return any(fields.RESPONSES in field.forms and fields.EMBEDDINGS not in field.forms for field in found)


def chat_of(given: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """Return the chat request that one for a response makes."""
    chat = {
        name: value
        for name, value in given.items()
        if name not in ("input", "instructions", "text", "reasoning", "tools")
    }
    value = given["input"]
    items = [{"role": "user", "content": value}] if isinstance(value, str) else value
    messages = list(_messages(items, problems)) if isinstance(items, list) else items
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
    if "top_logprobs" in chat:
        chat["logprobs"] = True
    return chat


def _messages(items: list[Any], problems: Problems) -> Iterator[dict[str, Any]]:
    for number, item in enumerate(items):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message":
            yield item
        elif kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            yield {"role": "assistant", "tool_calls": [{"id": item.get("call_id"), "function": function}]}
        elif kind == "function_call_output":
            yield {
                "role": "tool",
                "tool_call_id": item.get("call_id"),
                "content": item.get("output"),
            }
        elif kind != "reasoning":  # what a model has thought is not read again
            path = f"input[{number}]"
            problems.add(path, f"{path} is {shown(item)}; wanted a message, a function_call or its output")


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
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(response["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        started = {**item, "content": []} if item["type"] == "message" else {**item}
        events.append({"type": "response.output_item.added", "output_index": index, "item": started})
        if item["type"] == "message":
            (part,) = item["content"]
            inside = {**place, "content_index": 0}
            events += [
                {"type": "response.content_part.added", **inside, "part": {**part, "text": ""}},
                {"type": "response.output_text.delta", **inside, "delta": part["text"], "logprobs": []},
                {"type": "response.output_text.done", **inside, "text": part["text"], "logprobs": []},
                {"type": "response.content_part.done", **inside, "part": part},
            ]
        elif item["type"] == "function_call":
            events += [
                {"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]},
                {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]},
            ]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": f"response.{response['status']}", "response": response})
    for number, event in enumerate(events):
        yield {**event, "sequence_number": number}
