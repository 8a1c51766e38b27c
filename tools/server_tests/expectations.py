"""What llama.cpp's own server tests may expect of our servers: paths, forms of an answer, and the list of exceptions.

Owns these as data and pure functions, for `plugin` alone. Standard library only. Refuses to touch a test.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

_OPENAI = {
    path: f"/v1{path}"
    for path in ("/chat/completions", "/completions", "/embeddings", "/responses", "/rerank")
}
PATHS = {
    "four-functions": {**_OPENAI, "/health": "/ping", "/completion": "/v1/completions"},
    "adapter": {**_OPENAI, "/health": "/ping", "/completion": "/v1/completions"},
    # What the image's proxy maps is asked for by its own paths; llama-server's stay what they are.
    "llama-cpp-image": {
        "/health": "/ping",
        "/chat/completions": "/invocations",
        "/v1/chat/completions": "/invocations",
    },
}
"""Where each server answers what is asked of llama-server's paths."""
NATIVE = ("/completion", "/completions")
"""llama.cpp's own form of an answer, which only llama-server gives."""


def applies(table: Iterable[Mapping[str, Any]], server: str) -> dict[str, str]:
    """Return the reasons of a table for one server, by the pattern of the tests' names.

    An entry is a reason with the patterns that it is for, and the servers where it holds: all of them if it names none.
    """
    return {
        pattern: entry["reason"]
        for entry in table
        if server in entry.get("servers", (server,))
        for pattern in entry["tests"]
    }


def reason_for(name: str, reasons: Mapping[str, str]) -> str | None:
    """Return why a test does not apply, or None."""
    return next((reason for pattern, reason in reasons.items() if _matches(pattern, name)), None)


def unused(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the patterns that none of the names is meant by."""
    known = list(names)
    return [pattern for pattern in patterns if not any(_matches(pattern, name) for name in known)]


def _matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern means a test: it may leave the parameters out, and have `*` in it."""
    escaped = pattern.replace("[", "[[]")
    return pattern in (name, name.partition("[")[0]) or fnmatch.fnmatchcase(name, escaped)


def native_answer(body: dict[str, Any]) -> Any:
    """Return an answer of OpenAI's completions in llama.cpp's own form: an object, or a list for several prompts."""
    answers = [{**body, "content": choice["text"]} for choice in body["choices"]]
    return answers if len(answers) > 1 else answers[0]


def native_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event of a stream in llama.cpp's own form."""
    choices = event.get("choices") or [{"text": "", "finish_reason": None}]
    return {**event, "content": choices[0]["text"], "stop": choices[0]["finish_reason"] is not None}
