"""A model's chat template: messages to a prompt, and what it lacks made up for as llama-server does.

Owns what a template is given. A variable that the request does not set is undefined, not None: templates ask
`is defined`. Refuses tools: what a model writes when it calls one is not read here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NEEDLE = "sealift-needle"


class TemplateRefusal(ValueError):
    """What a template itself refuses, by its own words."""


class ToolsUnsupported(ValueError):
    """The request has tools, and nothing here reads a model's calls of them."""


@dataclass(frozen=True)
class Conversation:
    """What a chat template is given."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str = "auto"
    """auto, required, or the name of a tool after "="."""
    parallel_tool_calls: bool | None = None
    schema: Any = None
    """What the answer has to be, where there are tools as well: a call is no such answer."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """What the request sets of the template's variables; all others are undefined."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as a prompt, and what holds for the answer to it."""

    prompt: str
    grammar: str | None = None
    """What the answer has to be beside what the request asks."""
    stops: tuple[str, ...] = ()
    """What ends the answer, beside the vocabulary's own tokens."""
    message: Callable[[str], dict[str, Any]] = lambda text: {"content": text}
    """Reads an answer: its content, reasoning_content and tool_calls."""


class Template:
    """One template. `formatter` is llama-cpp-python's: Jinja in its sandbox, with what Hugging Face adds to it."""

    def __init__(
        self, formatter: Any, source: str, *, bos: str, eos: str, stops: tuple[str, ...] = ()
    ) -> None:
        # Its own call defines `tools` and others as None.
        self._jinja = formatter(template=source, bos_token=bos, eos_token=eos)._environment  # noqa: SLF001
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._stops = stops
        self._knows_developers = "developer" in source
        self._system = True
        self._developer = self._firefunction = False
        self._typed = self._objects = False

    def learn(self) -> None:
        """Find out what it can by rendering a few chats; the first one shows that it works at all.

        Raises:
            Exception: what Jinja raises where the template is broken.
        """
        user = {"role": "user", "content": _NEEDLE}
        try:
            plain = self._learn_plain(user)
        except TemplateRefusal:  # it works, and wants another conversation than this one
            return
        typed = {"role": "user", "content": [{"type": "text", "text": _NEEDLE}]}
        self._typed = _NEEDLE not in plain and _NEEDLE in self._tried([typed])
        greeting = self._typed_one({"role": "user", "content": "Hi."})
        self._system, shows_developers = (
            _NEEDLE in self._tried([self._typed_one({"role": role, "content": _NEEDLE}), greeting])
            for role in ("system", "developer")
        )
        # One that writes any role down means a model that knows this one no more for that.
        self._developer = shows_developers and self._knows_developers
        function = {"name": "f", "arguments": {_NEEDLE: "x"}}
        call = {"id": "123456789", "type": "function", "function": function}
        written = self._tried([greeting, {"role": "assistant", "content": "", "tool_calls": [call]}])
        # As JSON or in a form of its own; not as Python writes what a template hands on as it is.
        self._objects = _NEEDLE in written and f"'{_NEEDLE}'" not in written

    def _learn_plain(self, user: dict[str, Any]) -> str:
        try:
            return self._text([user])
        except TemplateRefusal:
            raise
        except Exception:  # noqa: BLE001 a template is a program, and raises what it likes
            # Firefunction's takes two variables for given; llama-server gives it both.
            self._firefunction = True
            return self._text([user])

    def render(self, conversation: Conversation) -> Rendered:
        """Return a conversation as a prompt, with what begins an answer.

        Raises:
            ToolsUnsupported: when there are tools.
            Exception: what the template raises, which is the model's own program.
        """
        if conversation.tools:
            raise ToolsUnsupported("this server does not read a model's calls of tools")
        text = self._text(self._suited(conversation.messages), conversation.variables)
        return Rendered(text, stops=self._stops)

    def _text(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any] | None = None) -> str:
        def refuse(message: str) -> None:
            raise TemplateRefusal(message)

        now = datetime.now()  # noqa: DTZ005 as llama-server has it: a date for people
        return str(
            self._jinja.render(
                **{
                    "date_string": now.strftime("%d %b %Y"),
                    **(
                        {"functions": "", "datetime": now.strftime("%b %d %Y %H:%M:%S")}
                        if self._firefunction
                        else {}
                    ),
                    **(variables or {}),
                    **self._tokens,
                    "messages": messages,
                    "add_generation_prompt": True,
                    "raise_exception": refuse,
                    "strftime_now": now.strftime,
                }
            )
        )

    def _tried(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return a conversation as a prompt; nothing when the template does not take it."""
        try:
            return self._text(messages)
        except Exception:  # noqa: BLE001 a template is a program, and raises what it likes
            return ""

    def _suited(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return messages as this template takes them."""
        waiting: list[str] = []
        suited: list[dict[str, Any]] = []
        for given in messages:
            message = dict(given)
            if message["role"] == "developer" and not self._developer:
                message["role"] = "system"
            if message["role"] == "system" and not self._system:
                waiting.append(message["content"])
                continue
            if waiting and message["role"] == "user":
                message["content"] = "\n".join([*waiting, message["content"]])
                waiting.clear()
            if "tool_calls" in message:
                message["tool_calls"] = [self._call(call) for call in message["tool_calls"]]
            suited.append(self._typed_one(message))
        if waiting:
            suited.append(self._typed_one({"role": "user", "content": "\n".join(waiting)}))
        return suited

    def _typed_one(self, message: dict[str, Any]) -> dict[str, Any]:
        if not self._typed or not message["content"]:
            return message
        return {**message, "content": [{"type": "text", "text": message["content"]}]}

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        """Return a call with its arguments as an object, where the template writes objects as JSON."""
        function = call["function"]
        try:
            arguments = json.loads(function["arguments"]) if self._objects else None
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            return call
        return {**call, "function": {**function, "arguments": arguments}}
