"""From a request to what llama-server is asked: one body for each answer to one prompt.

Owns llama-server's names (tools/server/server-schema.cpp and server-common.cpp of the pinned llama.cpp) and what it
takes otherwise than the request says it. Refuses to read what it answers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from adapter.upstream import CHAT_PATH, TEXT_PATH, ModelFacts, UpstreamCall

from sealift_conformity import loosened
from sealift_template import OURS, callable_tools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sealift_request import Request
    from sealift_settings import Settings

_TOLD = (
    *("index", "content", "tokens", "stop", "stop_type", "tokens_predicted", "tokens_evaluated", "timings"),
    *("completion_probabilities", "stopping_word"),
)
"""What a text's answer is read from; the rest of it, the prompt and all settings among it, is left out."""
_OURS = ("timings_per_token", "return_progress")
"""What of a stream is asked as it is needed here."""
_WINDOWS = ("repeat_last_n", "dry_penalty_last_n")


def chat_call(
    request: Request,
    messages: Sequence[Any],
    settings: Settings,
    facts: ModelFacts,
    *,
    seed: int,
    more: Mapping[str, Any],
) -> UpstreamCall:
    """Return what asks for an answer to a conversation."""
    body = {"messages": list(messages), **_sampling(request, settings, facts, seed)}
    body["reasoning_format"] = request.reasoning_format
    if request.tools:
        body |= _tools(request)
    if request.continues is not None:
        body["continue_final_message"] = request.continues
    if request.begins_answer is not None or request.continues:
        body["add_generation_prompt"] = bool(request.begins_answer)
    variables = {name: value for name, value in request.template.items() if name not in OURS}
    if variables.get("reasoning_effort") == "none":
        del variables["reasoning_effort"]
        variables["enable_thinking"] = False
    if variables:
        body["chat_template_kwargs"] = variables
    by_stop = request.stop and (request.schema is not None or request.tells_stop)
    if request.further.get("return_tokens") or by_stop:
        body["verbose"] = True  # tells tokens, and which stop ended the answer
    return UpstreamCall(CHAT_PATH, {**body, **more})


def _tools(request: Request) -> dict[str, Any]:
    """Return the tools that may be called, and whether one has to be; llama-server takes no name."""
    choice = request.tool_choice
    named = choice.removeprefix("=") if choice[:1] == "=" else None
    found: dict[str, Any] = {
        "tools": callable_tools(request.tools, named, annotated=True),
        "tool_choice": "required" if named is not None else choice,
    }
    if request.parallel_tool_calls is not None:
        found["parallel_tool_calls"] = request.parallel_tool_calls
    return found


def text_call(
    request: Request,
    prompt: str | list[Any],
    settings: Settings,
    facts: ModelFacts,
    *,
    seed: int,
    more: Mapping[str, Any],
) -> UpstreamCall:
    """Return what asks for a text to go on."""
    body = {"prompt": prompt, **_sampling(request, settings, facts, seed), "response_fields": list(_TOLD)}
    return UpstreamCall(TEXT_PATH, {**body, **more})


def prompt_of(subject: str | Sequence[Any], suffix: str | None, facts: ModelFacts) -> str | list[Any]:
    """Return a prompt as llama-server takes it: with its first token once, which it puts there itself."""
    if not isinstance(subject, str):
        first, rest = subject[0], list(subject[1:])
        return [first.removeprefix(facts.bos), *rest] if isinstance(first, str) else list(subject)
    text = subject.removeprefix(facts.bos)
    if suffix is None or facts.fill_in is None:
        return text
    before, between, after = facts.fill_in
    return f"{before}{text}{between}{suffix}{after}"


def _sampling(request: Request, settings: Settings, facts: ModelFacts, seed: int) -> dict[str, Any]:
    """Return how tokens are chosen, and how many."""
    wanted = settings.max_tokens if request.max_tokens is None else request.max_tokens
    body: dict[str, Any] = {
        "n_predict": max(-1, min(wanted, facts.context)),
        "temperature": settings.temperature if request.temperature is None else request.temperature,
        "top_p": settings.top_p if request.top_p is None else request.top_p,
        "seed": seed,
        **request.sampling,
    }
    for name in _WINDOWS:
        if body.get(name) == -1:  # all tokens that there are
            body[name] = facts.context
    body |= {name: value for name, value in request.further.items() if name not in _OURS}
    if request.stop:
        body["stop"] = list(request.stop)
    if request.logit_bias:
        body["logit_bias"] = [[key, _bias(value)] for key, value in request.logit_bias]
    if request.ignore_eos and request.grammar is None and request.schema is None:
        body["ignore_eos"] = (
            True  # an answer to a grammar ends with it, and llama-server fails where none may
        )
    if request.schema is not None:
        body["json_schema"] = loosened(request.schema)
    elif request.grammar is not None:
        body["grammar"] = request.grammar
    if request.noted is not None:
        body["n_probs"] = max(1, request.noted)
    return body


def _bias(value: float) -> float | bool:
    return False if math.isinf(value) else value


def bare(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body without what only chooses tokens: what its template is rendered from."""
    kept = (
        *("messages", "tools", "tool_choice", "chat_template_kwargs", "add_generation_prompt"),
        "continue_final_message",
    )
    return {name: body[name] for name in kept if name in body}
