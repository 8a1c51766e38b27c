"""llama.cpp's own chat layer: from messages and tools to a prompt and a grammar, and from a text back to a message.

Owns the way into `libsealift_chat.so`, which `make runtime` builds beside llama.cpp's libraries, and the types of what
goes in and comes out. Refuses to know a model, a token or a request: templates are texts, messages are OpenAI's JSON.

    templates = Templates(Library(find_library()), template, bos="<s>", eos="</s>")
    prompt = templates.apply(messages, tools=tools, tool_choice="required")
    # generate from prompt.text, constrained by prompt.constraint, up to one of prompt.stops; pieces of
    # prompt.preserved are part of the text although they are special tokens
    message = templates.parse(text, prompt.syntax)              # the whole answer
    message = templates.parse(text, prompt.syntax, partial=True)  # as far as it has come; `deltas` tells what is new

Nothing in the library ends the process: each error of llama.cpp, and each operation that would take too deep a
recursion, 10 s or 256 MiB, is a `ChatError`. All of it may be called from several threads.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "libsealift_chat.so"
NO_CALLS = "the template has no form for tool calls, so none can be required; use tool_choice 'auto'"


class ChatError(ValueError):
    """What llama.cpp's chat layer says to an input; `limit` tells that the input takes too much of something."""

    def __init__(self, reason: str, *, limit: bool = False) -> None:
        self.limit = limit
        super().__init__(reason)


class LibraryMissing(RuntimeError):
    """There is no library to load."""


@dataclass(frozen=True)
class Trigger:
    """What in an answer lets a lazy grammar begin."""

    kind: str
    """`word`: this text; `pattern`: what matches this regular expression; `pattern_full`: all of it must match."""
    value: str


@dataclass(frozen=True)
class Constraint:
    """A grammar, and from where on it holds."""

    grammar: str
    """llama.cpp's, with the rule `root`."""
    lazy: bool = False
    """Whether it holds from a trigger on only; what comes before is free."""
    triggers: tuple[Trigger, ...] = ()
    prefix: str = ""
    """What the prompt ends with and the grammar begins with: it has to read that first. None of a lazy one."""
    thinking_start: str = ""
    thinking_ends: tuple[str, ...] = ()
    """Between these a model thinks, and nothing triggers a lazy grammar."""
    thinking: bool = False
    """Whether the prompt ends within a thought."""


@dataclass(frozen=True)
class Syntax:
    """How an answer is read; of `apply`, for `parse` alone."""

    format: int
    parser: str
    generation_prompt: str
    reasoning_format: str
    parse_tool_calls: bool


@dataclass(frozen=True)
class Prompt:
    """A rendered chat, and what its answer is generated and read by."""

    text: str
    syntax: Syntax
    constraint: Constraint | None
    stops: tuple[str, ...]
    """Texts that end the answer, beside the request's own."""
    preserved: tuple[str, ...]
    """Texts of special tokens that belong to the answer's text: without them it cannot be read."""


@dataclass(frozen=True)
class ToolCall:
    """A call that a model wants to be made."""

    name: str
    arguments: str
    """As the model wrote them: JSON, cut where the answer is."""
    id: str
    """Empty where the format has none."""


@dataclass(frozen=True)
class Message:
    """What an answer says."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Delta:
    """What a message says more than one before it; of a call, `index` tells which, and `call` what is new of it."""

    content: str = ""
    reasoning: str = ""
    index: int | None = None
    call: ToolCall | None = None


def find_library() -> Path:
    """Return where the library is: beside llama.cpp's own.

    Raises:
        LibraryMissing: it is not there.
    """
    found = importlib.util.find_spec("llama_cpp")
    folders = [Path(folder) for folder in (found.submodule_search_locations or ())] if found else []
    for folder in folders:
        path = folder / "lib" / NAME
        if path.is_file():
            return path
    where = f"in {folders[0] / 'lib'}" if folders else "since there is no llama_cpp"
    raise LibraryMissing(
        f"no {NAME} {where}; wanted the runtime that `make runtime` builds, in the archive's code/ folder or in "
        "the image"
    )


class Library:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Raises:
            LibraryMissing: it cannot be loaded.
        """
        try:
            library = ctypes.CDLL(str(path))
            self._chat, self._free = library.sealift_chat, library.sealift_chat_free
        except (OSError, AttributeError) as error:
            raise LibraryMissing(f"{path} cannot be loaded: {error}; run `make runtime` again") from error
        self._chat.argtypes, self._chat.restype = [ctypes.c_char_p, ctypes.c_char_p], ctypes.c_void_p
        self._free.argtypes, self._free.restype = [ctypes.c_void_p], None

    def call(self, operation: str, given: Mapping[str, Any]) -> Any:
        """Return what an operation of `tools/runtime/chat/sealift_chat.cpp` gives.

        Raises:
            ChatError: with what it said.
        """
        try:
            text = json.dumps(given)
        except RecursionError as error:
            raise ChatError("it is nested too deeply", limit=True) from error
        answer = self._chat(operation.encode(), text.encode())
        if not answer:
            raise ChatError("there is no memory for it", limit=True)
        try:
            found = json.loads(ctypes.string_at(answer))
        finally:
            self._free(answer)
        if "error" in found:
            raise ChatError(reason_of(found["error"]["message"]), limit=found["error"]["kind"] == "limit")
        return found["ok"]

    def grammar_of(self, schema: Any) -> str:
        """Return the grammar of a JSON schema, as far as llama.cpp's own converter goes.

        Raises:
            ChatError: there is none.
        """
        return str(self.call("grammar", {"schema": schema})["grammar"])


def reason_of(message: str) -> str:
    """Return what is wrong out of llama.cpp's message, which shows the template's source around it, line by line."""
    reason = re.split(r"\n *Error: ", message)[-1].strip()
    return re.sub(r"^(Unable to generate parser .* failed: )?(Jinja Exception: )?", "", reason)


class Templates:
    """The chat template of a model."""

    def __init__(
        self,
        library: Library,
        template: str | None,
        *,
        tool_use: str | None = None,
        bos: str = "",
        eos: str = "",
        add_bos: bool = False,
        add_eos: bool = False,
    ) -> None:
        """Read it, and render one chat by it.

        Args:
            library: the loaded one.
            template: the model's own; ChatML stands for one that it does not have.
            tool_use: the one that it has for chats with tools.
            bos: the text of the token that begins a text.
            eos: of the one that ends it.
            add_bos: whether the tokenizer adds the first by itself; a rendered prompt then goes without.
            add_eos: whether it adds the second.

        Raises:
            ChatError: it is no template, or renders no chat.
        """
        self._library = library
        texts = {"template": template or "", "tool_use": tool_use or "", "bos": bos, "eos": eos}
        found = library.call("load", {**texts, "add_bos": add_bos, "add_eos": add_eos})
        self._handle: int = found["handle"]
        self.example: str = found["prompt"]
        """The chat that was rendered, one message of the user's; empty where the template refuses just that."""
        self.thinks: bool = found["thinks"]
        """Whether an answer may begin with reasoning that is told apart from the rest."""
        self.abilities: dict[str, bool] = found["caps"]
        """llama.cpp's names: supports_tools, supports_tool_calls, supports_parallel_tool_calls, ..."""

    def grammar_of(self, schema: Any) -> str:
        """Return the grammar of a JSON schema, as `Library.grammar_of`."""
        return self._library.grammar_of(schema)

    def close(self) -> None:
        """Give back what the library holds of it."""
        self._library.call("unload", {"handle": self._handle})

    def apply(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        callable_tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool | None = None,
        json_schema: Any = None,
        grammar: str | None = None,
        reasoning_format: str = "auto",
        enable_thinking: bool = True,
        template_arguments: Mapping[str, Any] | None = None,
        continue_final_message: bool | str = False,
        add_generation_prompt: bool = True,
    ) -> Prompt:
        """Render a chat.

        What is not given is undefined in the template, not None.

        Args:
            messages: OpenAI's; content is a text, a list of text parts, or None beside tool_calls.
            tools: OpenAI's, of the type `function`.
            callable_tools: those of them that may be called, with schemas as a grammar can hold them: llama.cpp ends
                the process, or never comes back, with a grammar that makes no sense. The same when None.
            tool_choice: auto, none, or required, which constrains the answer to calls whose arguments fit their schema.
            parallel_tool_calls: whether an answer may have several calls; the template decides when None.
            json_schema: what the answer's content has to be, after any reasoning.
            grammar: the same as llama.cpp's grammar; not with tools.
            reasoning_format: `none` leaves reasoning where it is, in the content; `auto` takes it out.
            enable_thinking: whether the model may think before it answers, where the template can say that.
            template_arguments: chat_template_kwargs, reasoning_effort among them.
            continue_final_message: whether to go on with the last message, which is the assistant's; or which part of
                it, `content` or `reasoning_content`.
            add_generation_prompt: whether the prompt ends with what begins an answer; never where a message goes on.

        Raises:
            ChatError: the template or the schema refuses them.
        """
        given: dict[str, Any] = {
            "handle": self._handle,
            "messages": list(messages),
            "tool_choice": tool_choice,
            "reasoning_format": reasoning_format,
            "enable_thinking": enable_thinking,
        }
        if not add_generation_prompt:
            given["add_generation_prompt"] = False
        if tools:
            given["tools"] = list(tools)
            if callable_tools is not None:
                given["callable_tools"] = list(callable_tools)
        if template_arguments:
            given["chat_template_kwargs"] = dict(template_arguments)
        further = {
            "parallel_tool_calls": parallel_tool_calls,
            "json_schema": json_schema,
            "grammar": grammar,
            "continue_final_message": continue_final_message or None,
        }
        given |= {name: value for name, value in further.items() if value is not None}
        found = self._library.call("apply", given)
        constraint = _constraint(found)
        if tools and tool_choice == "required" and constraint is None:
            raise ChatError(NO_CALLS)
        return Prompt(
            text=found["prompt"],
            syntax=Syntax(
                format=found["format"],
                parser=found["parser"],
                generation_prompt=found["generation_prompt"],
                reasoning_format=reasoning_format,
                parse_tool_calls=bool(tools) and tool_choice != "none",
            ),
            constraint=constraint,
            stops=tuple(found["additional_stops"]),
            preserved=tuple(found["preserved_tokens"]),
        )

    def parse(self, text: str, syntax: Syntax, *, partial: bool = False) -> Message:
        """Read an answer.

        Args:
            text: what was generated, with the texts of the preserved tokens.
            syntax: of the prompt that it answers.
            partial: whether more is to come: what may be the beginning of something else is left out.

        Raises:
            ChatError: it does not have the format of the model's answers.
        """
        found = self._library.call(
            "parse",
            {
                "text": text,
                "is_partial": partial,
                "format": syntax.format,
                "parser": syntax.parser,
                "generation_prompt": syntax.generation_prompt,
                "reasoning_format": syntax.reasoning_format,
                "parse_tool_calls": syntax.parse_tool_calls,
            },
        )
        calls = tuple(ToolCall(call["name"], call["arguments"], call["id"]) for call in found["tool_calls"])
        return Message(found["content"], found["reasoning_content"], calls)


def _constraint(found: Mapping[str, Any]) -> Constraint | None:
    """Return the grammar of a rendered chat."""
    if not found["grammar"]:
        return None
    start, ends = found["thinking_start"], tuple(found["thinking_ends"])
    begun = found["generation_prompt"].rfind(start) if start else -1
    return Constraint(
        grammar=found["grammar"],
        lazy=found["grammar_lazy"],
        triggers=tuple(Trigger(one["type"], one["value"]) for one in found["triggers"]),
        prefix=found["grammar_prefix"],
        thinking_start=start,
        thinking_ends=ends,
        thinking=begun >= 0 and not any(end in found["generation_prompt"][begun:] for end in ends),
    )


def deltas(before: Message, now: Message) -> list[Delta]:
    """Return what is new in a message since it was read the last time; a stream sends that.

    A call's name and id come with its first delta, its arguments with that and those that follow.
    """
    found = []
    content, reasoning = _more(before.content, now.content), _more(before.reasoning, now.reasoning)
    if reasoning:
        found.append(Delta(reasoning=reasoning))
    if content:
        found.append(Delta(content=content))
    for index, call in enumerate(now.tool_calls):
        if index >= len(before.tool_calls):
            found.append(Delta(index=index, call=call))
        elif arguments := _more(before.tool_calls[index].arguments, call.arguments):
            found.append(Delta(index=index, call=ToolCall("", arguments, "")))
    return found


def _more(before: str, now: str) -> str:
    """Return what a text goes on with; nothing where it has become shorter, as at the beginning of a stop."""
    return now[len(before) :] if now.startswith(before) else ""
