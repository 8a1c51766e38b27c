"""A conversation as clients send it, checked and in the one form that chat templates get.

Owns roles, contents, tools and calls of tools, and the list of what is wrong with a request. Refuses to render them,
and to fetch what a URL names.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sealift_settings import listed, shown, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MOST_TOOLS = 128
"""OpenAI's bound."""
_OF_ALL = ("role", "content", "name")
_OF_ROLE = {
    "assistant": ("tool_calls", "function_call", "reasoning_content"),
    "tool": ("tool_call_id",),
}
_ECHOED = (
    *("refusal", "annotations", "audio", "id", "type", "status", "phase", "reasoning", "cache_control"),
    *("parsed", "provider_specific_fields", "thinking_blocks", "reasoning_details", "prefix"),
)
"""What an answer of OpenAI's has, or a client's library adds to it, and is sent back with it; nothing of it reaches a
template. `parsed` is the openai package's, the next three litellm's; a `prefix` is what the last message is anyway."""
_NAMED = ("name", "tool_call_id", "reasoning_content")
_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image_url", "input_image")
"""As a chat has them, and a response."""
_IMAGE_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.ASCII | re.IGNORECASE)
_SENDS_IMAGES = (
    "images are for the containers 'custom' and 'llama-cpp', with a projector (mmproj*.gguf) beside the model"
)


@dataclass
class Problems:
    """What is wrong with a request so far."""

    found: list[tuple[str | None, str, str]] = field(default_factory=list)

    def add(self, param: str | None, message: str, code: str = "invalid_value") -> None:
        """Note one: the field, what to say, and its code."""
        self.found.append((param, code, message))

    def all(self) -> tuple[str | None, str, str]:
        """Return them as one: the field and the code of the first, and what to say of all."""
        param, code, _ = self.found[0]
        return param, code, listed([text for _, _, text in self.found])


def encodable(text: str) -> bool:
    """Return whether a text is one in UTF-8: JSON can write half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def text_of(path: str, value: Any, problems: Problems) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        problems.add(path, f"{path!r} is {shown(value)}; wanted a text that is not empty")
        return ""
    return _checked(path, value, problems)


def dialog(path: str, value: Any, problems: Problems, *, sees: bool = False) -> tuple[dict[str, Any], ...]:
    """Return the messages of a list.

    Args:
        path: where it stands in the request.
        value: the list, as it was sent.
        problems: takes what is wrong with it.
        sees: whether the model looks at images: the content of a message with any is a list of parts, `text` and
            `image_url` with a data URL, in the order in which they were sent. Every other content is a text.
    """
    if not isinstance(value, list) or not value:
        problems.add(path, f"{path!r} is {shown(value)}; wanted a list of at least one message")
        return ()
    return tuple(_message(f"{path}[{n}]", message, problems, sees=sees) for n, message in enumerate(value))


def _message(path: str, value: Any, problems: Problems, *, sees: bool) -> dict[str, Any]:
    if not isinstance(value, dict):
        problems.add(path, f"{path} is {shown(value)}; wanted an object with 'role' and 'content'")
        return {}
    given = {name: one for name, one in value.items() if one is not None}
    role = given.get("role")
    if not isinstance(role, str) or role not in ROLES:
        problems.add(f"{path}.role", f"{path}.role is {shown(role)}; wanted one of {', '.join(ROLES)}")
    known = (*_OF_ALL, *_OF_ROLE.get(str(role), ()))
    for name in given:
        if name not in known and name not in _ECHOED:
            problems.add(f"{path}.{name}", f"{path}: {unknown(name, known)}", "unknown_parameter")
    message: dict[str, Any] = {"role": "tool" if role == "function" else str(role)}
    calls = _calls(path, given, problems) if role == "assistant" else []
    message["content"] = _content(f"{path}.content", value, problems, spare=bool(calls), sees=sees)
    if calls:
        message["tool_calls"] = calls
    for name in _NAMED:  # an empty one is what a library begins to collect a stream with
        if given.get(name, "") != "" and name in known:
            message[name] = text_of(f"{path}.{name}", given[name], problems)
    return message


def _content(
    path: str, message: dict[str, Any], problems: Problems, *, spare: bool, sees: bool
) -> str | list[dict[str, Any]]:
    """Return a message's text: a string, the texts of a list of parts, or none where it is null or calls a tool.

    With an image among the parts, and a model that sees it, it is a list of them.
    """
    value = message.get("content")
    if value is None and (spare or "content" in message or message.get("refusal")):
        return ""
    if isinstance(value, str):
        return _checked(path, value, problems)
    parts = value if isinstance(value, list) else [None]
    if sees and any(map(_is_image, parts)):
        return _seen(path, parts, problems)
    texts = [text for text in map(_text_in, parts) if text is not None]
    if len(texts) != len(parts):
        wanted = "wanted a text or a list of parts of type 'text'"
        strange = next((part for part in parts if _text_in(part) is None), None)
        kind = strange.get("type") if isinstance(strange, dict) else None
        if _is_image(strange):
            wanted += f": {_SENDS_IMAGES}"
        elif isinstance(kind, str) and kind not in _TEXT_PARTS:
            wanted += f": {shown(kind)} is for no container here"
        problems.add(path, f"{path} is {shown(value)}; {wanted}")
        return ""
    return _checked(path, "".join(texts), problems)


def _seen(path: str, parts: list[Any], problems: Problems) -> list[dict[str, Any]]:
    """Return texts and images in the order that they came in."""
    found: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        where, text = f"{path}[{number}]", _text_in(part)
        if text is not None:
            found.append({"type": "text", "text": _checked(where, text, problems)})
        elif _is_image(part):
            found.append({"type": "image_url", "image_url": {"url": _image(where, part, problems)}})
        else:
            problems.add(
                where,
                f"{where} is {shown(part)}; wanted a part of type 'text' or 'image_url': nothing else is seen",
            )
    return found


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in _IMAGE_PARTS


def _image(path: str, part: dict[str, Any], problems: Problems) -> str:
    """Return the data URL of an image; what names it elsewhere is not fetched."""
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    head = _IMAGE_DATA.match(url) if isinstance(url, str) else None
    if head is None:
        problems.add(
            f"{path}.image_url",
            f"{path}.image_url is {shown(url)}; wanted 'data:image/...;base64,...': an endpoint fetches nothing, so "
            "send the image itself",
        )
        return ""
    try:
        there = base64.b64decode(url[head.end() :].encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        there = b""
    if not there:
        problems.add(
            f"{path}.image_url", f"{path}.image_url is no base64 behind {head[0]!r}; wanted an image in it"
        )
        return ""
    return str(url)


def _text_in(part: Any) -> str | None:
    """Return a part's text; None when it is no text."""
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get("refusal" if kind == "refusal" else "text") if kind in (*_TEXT_PARTS, "refusal") else None
    return text if isinstance(text, str) else None


def _checked(path: str, text: str, problems: Problems) -> str:
    if not encodable(text):
        problems.add(path, f"{path} holds half of a surrogate pair; wanted whole Unicode characters")
    return text


# Tools ------------------------------------------------------------------------------------------------------


def _calls(path: str, message: dict[str, Any], problems: Problems) -> list[dict[str, Any]]:
    """Return the calls that an assistant's message made, with their arguments as text."""
    calls = message.get("tool_calls", [])
    if "function_call" in message and not calls:
        calls = [{"function": message["function_call"]}]
    if not isinstance(calls, list):
        problems.add(f"{path}.tool_calls", f"{path}.tool_calls is {shown(calls)}; wanted a list")
        return []
    made = []
    for number, call in enumerate(calls):
        where = f"{path}.tool_calls[{number}]"
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name or not encodable(name):
            problems.add(
                where, f"{where} is {shown(call)}; wanted {{'function': {{'name': ..., 'arguments': ...}}}}"
            )
            continue
        given = function.get("arguments")
        if given is None or given == "":  # a call without arguments, as some write it
            given = "{}"
        arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        _checked(f"{where}.function.arguments", arguments, problems)
        if not _is_json(arguments):
            problems.add(
                f"{where}.function.arguments",
                f"{where}.function.arguments is {shown(arguments)}, which is no JSON; wanted an object as text: send "
                "an answer that was cut within a call without that call",
            )
        identity = call.get("id")
        made.append(
            {
                **({"id": identity} if isinstance(identity, str) and encodable(identity) else {}),
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
        )
    return made


def _is_json(text: str) -> bool:
    """Return whether a text is JSON, as strictly as llama.cpp reads it, which takes no others for any template."""
    try:
        json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False
    return True


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def tools_of(tools: list[Any], functions: list[Any], problems: Problems) -> tuple[dict[str, Any], ...]:
    """Return the tools of a request, those of the older `functions` among them."""
    given = [("tools", n, tool) for n, tool in enumerate(tools)]
    given += [("functions", n, {"type": "function", "function": one}) for n, one in enumerate(functions)]
    if len(given) > MOST_TOOLS:
        problems.add(given[0][0], f"the request has {len(given)} tools; wanted at most {MOST_TOOLS}")
    found: list[dict[str, Any]] = []
    for name, number, tool in given[:MOST_TOOLS]:
        path = f"{name}[{number}]"
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):  # null is what is not there
            function = {key: value for key, value in function.items() if value is not None}
        called = function.get("name") if isinstance(function, dict) else None
        if not isinstance(tool, dict) or (tool.get("type") or "function") != "function":
            problems.add(
                path,
                f"{path} is {shown(tool)}; wanted a tool of type 'function': no container here has others",
            )
        elif not isinstance(function, dict) or not isinstance(called, str) or not called:
            problems.add(
                path, f"{path} is {shown(tool)}; wanted {{'type': 'function', 'function': {{'name': ...}}}}"
            )
        elif not isinstance(function.get("description", ""), str):
            given_as = shown(function["description"])
            problems.add(path, f"{path}.function.description is {given_as}; wanted a text")
        elif not isinstance(function.get("parameters", {}), dict):
            problems.add(path, f"{path}.function.parameters is not a JSON schema; wanted an object")
        else:
            found.append({"type": "function", "function": function})
    return tuple(found)


def tool_choice_of(
    choice: Any, older: Any, tools: tuple[dict[str, Any], ...], problems: Problems
) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Return which tool is to be called, and the tools that may be.

    The first is none, auto, required, or `=NAME`. What is said without tools is no matter.
    """
    param = "tool_choice" if choice is not None else "function_call"
    wanted = choice if choice is not None else older
    if wanted is None or not tools:
        return "auto", tools
    named = {str(tool["function"]["name"]): tool for tool in tools}
    if isinstance(wanted, dict) and wanted.get("type") == "allowed_tools":
        # A chat has an object of that name, a response has its fields beside the type.
        allowed = wanted.get("allowed_tools", wanted)
        listed_tools = allowed.get("tools") if isinstance(allowed, dict) else None
        names = [_name_in(one) for one in listed_tools] if isinstance(listed_tools, list) else []
        if not names or any(name not in named for name in names) or allowed.get("mode") not in _MODES:
            problems.add(
                param,
                f"{param!r} is {shown(wanted)}; wanted a 'mode' of 'auto' or 'required', and 'tools' with some of "
                f"{_several(named)}",
            )
            return "auto", tools
        return str(allowed["mode"]), tuple(tool for name, tool in named.items() if name in names)
    if isinstance(wanted, dict) and wanted.get("type") in ("none", "auto", "required", "any"):
        wanted = wanted["type"]
    if wanted == "any":  # as Mistral says it
        wanted = "required"
    if wanted in ("none", "auto", "required"):
        return str(wanted), tools
    name = (
        wanted if isinstance(wanted, str) else _name_in(wanted)
    )  # text-generation-inference has the bare name
    if name not in named:
        problems.add(
            param,
            f"{param!r} is {shown(wanted)}; wanted 'none', 'auto', 'required' or one of the tools: {_several(named)}",
        )
    return f"={name}", tools


_MODES = ("auto", "required")


def _name_in(value: Any) -> Any:
    """Return the name of a function as a choice or a list of tools has it, within `function` or without; or None."""
    function = value.get("function", value) if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _several(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:9])
