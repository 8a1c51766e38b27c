"""A conversation as a prompt, and the answer to it as a message: a request's words in those of llama.cpp's chat layer.

Owns what of a request reaches the chat layer. What the request does not set is undefined in the template, not None.
Refuses to know a format: `sealift_chat` does.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sealift_chat import ChatError
from sealift_conformity import loosened
from sealift_schema import check
from sealift_shortcoming import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sealift_chat import Constraint, Message, Prompt, Templates

NO_ANSWER = "continue_final_message wants the last message to be the assistant's"
TWO_ANSWERS = "two messages of the assistant's come last; send one, which is gone on with"
OURS = (
    "messages",
    "tools",
    "bos_token",
    "eos_token",
    "add_generation_prompt",
    "raise_exception",
    "strftime_now",
)
"""What a template is given whatever a request sets."""


@dataclass(frozen=True)
class Conversation:
    """What a chat template is given."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str = "auto"
    """auto, required, or the name of a tool after "="."""
    parallel_tool_calls: bool | None = None
    schema: Any = None
    """What the answer has to be, behind any thought, where it is no call."""
    grammar: str | None = None
    """The same as llama.cpp's grammar."""
    continues: bool | str | None = None
    """Whether the last message goes on, which is the assistant's, or which part of it; None for one that comes last."""
    begins_answer: bool | None = None
    """Whether the prompt ends with what begins an answer; None where no message goes on."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """What the request sets of the template's variables; all others are undefined."""
    reasoning_format: str = "auto"
    """`none` leaves thoughts in the content."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as a prompt, and what holds for the answer to it."""

    prompt: str
    constraint: Constraint | None = None
    """What the answer has to be."""
    stops: tuple[str, ...] = ()
    """What ends the answer, beside the vocabulary's own tokens."""
    preserved: tuple[str, ...] = ()
    """Special tokens that belong to the answer's text."""
    message: Callable[[str], dict[str, Any]] = lambda text: {"content": text}
    """Reads an answer: its content, reasoning_content and tool_calls."""


class Template:
    """The chat template of a model, as llama.cpp's chat layer has read it."""

    def __init__(self, templates: Templates, stops: tuple[str, ...] = ()) -> None:
        self._templates, self._stops = templates, stops

    def grammar(self, schema: Any) -> str:
        """Return the grammar of a loosened schema.

        Raises:
            ChatError: there is none.
        """
        return self._templates.grammar_of(schema)

    def render(self, conversation: Conversation) -> Rendered:
        """Return a conversation as a prompt, with what begins an answer.

        Raises:
            ChatError: the template refuses it.
            SchemaError: the schema of a tool's arguments makes no sense.
        """
        variables = {name: value for name, value in conversation.variables.items() if name not in OURS}
        # As llama-server has both: a template that tells no thoughts apart is not asked for any, and one that can show
        # the thoughts of all earlier answers shows them.
        thinks = variables.get("enable_thinking", self._templates.thinks) is not False
        variables = {"preserve_reasoning": True, **variables}
        if variables.get("reasoning_effort") == "none":
            thinks = False
            del variables["reasoning_effort"]
        choice = conversation.tool_choice
        continued = _continued(conversation)
        prompt = self._templates.apply(
            conversation.messages,
            tools=conversation.tools,
            callable_tools=callable_tools(
                conversation.tools, choice.removeprefix("=") if choice[:1] == "=" else None
            ),
            tool_choice="required" if choice[:1] == "=" else choice,
            parallel_tool_calls=conversation.parallel_tool_calls,
            json_schema=conversation.schema,
            grammar=conversation.grammar,
            continue_final_message=continued,
            add_generation_prompt=conversation.begins_answer is not False,
            reasoning_format=conversation.reasoning_format,
            enable_thinking=thinks,
            template_arguments=variables,
        )

        def message(text: str) -> dict[str, Any]:
            try:
                found = self._templates.parse(text, prompt.syntax)
                # What the template has begun is read along; it is said where the caller's own message goes on.
                return _openai_message(found if continued else _own(found, self._begun(prompt)))
            except ChatError:  # it is not in the form of the model's answers: then it is its text
                return {"content": text}

        return Rendered(
            prompt.text, prompt.constraint, (*self._stops, *prompt.stops), prompt.preserved, message
        )

    def _begun(self, prompt: Prompt) -> Message:
        """Return what the prompt itself begins the answer with."""
        return self._templates.parse("", prompt.syntax, partial=True)


def _own(message: Message, begun: Message) -> Message:
    """Return a message without the words that its prompt had begun it with."""
    return replace(
        message,
        content=message.content.removeprefix(begun.content),
        reasoning=message.reasoning.removeprefix(begun.reasoning),
    )


def _continued(conversation: Conversation) -> bool | str:
    """Return whether the last message goes on: where it is the assistant's, as llama-server does it."""
    roles = [message.get("role") for message in conversation.messages[-2:]]
    if conversation.continues:
        if roles[-1:] != ["assistant"]:
            raise ChatError(NO_ANSWER)
        return conversation.continues
    if roles == ["assistant", "assistant"]:
        raise ChatError(TWO_ANSWERS)
    return roles[-1:] == ["assistant"]


def callable_tools(
    tools: Sequence[Mapping[str, Any]], name: str | None, *, annotated: bool = False
) -> list[dict[str, Any]]:
    """Return the tools that may be called, with schemas that a grammar can hold.

    Args:
        tools: those of the request.
        name: of the only one that may be called; None for all.
        annotated: whether the schemas keep their descriptions, for the template that shows them to the model.

    Raises:
        SchemaError: there is no grammar for one of them.
    """
    found = []
    for number, tool in enumerate(tools):
        function = dict(tool["function"])
        if name is not None and function["name"] != name:
            continue
        if function.get("parameters"):
            try:
                # Arguments are held by the grammar alone, so that a pattern may be in any language.
                function["parameters"] = loosened(function["parameters"], annotated=annotated, checked=False)
                check(function["parameters"])
            except SchemaError as error:
                raise SchemaError(f"tools[{number}].function.parameters: {error}") from error
        found.append({**tool, "function": function})
    return found


def _openai_message(message: Message) -> dict[str, Any]:
    """Return a message in OpenAI's form."""
    fields: dict[str, Any] = {"content": message.content or (None if message.tool_calls else "")}
    if message.reasoning:
        fields["reasoning_content"] = message.reasoning
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.id or f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    return fields
