"""What the scripts beside this one share: where they call, what they ask for, and how they tell what came of it.

Each script makes the calls of one library on every endpoint that it is given. It runs in an environment of its own,
which has that library and not the project; so nothing here imports the project.

    python SCRIPT.py SITES [WORD ...]

SITES is a JSON list of what `Site` has; with words only the calls are made whose names have one of them.
It writes one JSON object on its last line: for each container the name of each call, and None or what went wrong.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Call = Callable[[], object]
"""Makes one call, or returns the coroutine that does; raises when anything is not as it should be."""
Calls = Mapping[str, Call]

QUESTION = "What does a sealift do?"
ANSWER = "Sealift carries heavy cargo"
"""What the demo model says, greedily, to any question."""
USER = [{"role": "user", "content": QUESTION}]
LONGEST = 200
"""Tokens for an answer that is held to a schema, so that one that does not end is told and not waited for."""


_RUNNER = asyncio.Runner()
"""One event loop for all calls, as in a program: libraries keep connections from one call to the next."""


@dataclass(frozen=True)
class Site:
    """One endpoint, and where it is called."""

    container: str
    base_url: str
    """SageMaker's OpenAI route to it, or a proxy's."""
    token: str
    """A bearer token for that route."""
    runtime_url: str
    """For SageMaker's other calls, which are signed."""
    endpoint: str
    embedder: str | None
    """The endpoint of the same container with a model that embeds; None where there is none."""
    signed: bool = True
    """Whether all but chats goes to InvokeEndpoint, signed; else `base_url` has OpenAI's other paths too."""
    embedding_model: str = "m"
    """What the model that embeds is called."""

    @property
    def invocations(self) -> str:
        """The URL of InvokeEndpoint."""
        return f"{self.runtime_url}/endpoints/{self.endpoint}/invocations"


def seen(text: str | None) -> None:
    """See the model's sentence in an answer."""
    check(text is not None and ANSWER in text, text)


def check(holds: object, about: object = None) -> None:
    """Raise AssertionError with what it is about, unless something holds."""
    if not holds:
        raise AssertionError(repr(about))


def arguments(text: str | None) -> dict[str, Any]:
    """Return a call's arguments, which have to be a JSON object."""
    found = json.loads(text or "")
    check(isinstance(found, dict), found)
    return dict(found)


def raises(kind: type[BaseException] | tuple[type[BaseException], ...], call: Call, words: str = "") -> Call:
    """Return a call that is good when another one is refused, with such an error and such words in it."""

    def refused() -> None:
        try:
            call()
        except kind as error:
            check(words in str(error), error)
        else:
            raise AssertionError("it was answered")

    return refused


def joined(texts: Iterable[str | None]) -> str:
    """Return the pieces of a text that was streamed, as one."""
    return "".join(one or "" for one in texts)


def outcome(call: Call) -> str | None:
    """Return what went wrong with a call."""
    try:
        made = call()
        if inspect.iscoroutine(made):
            _run(made)
    except Exception as error:  # noqa: BLE001 whatever it is, it is what went wrong
        return f"{type(error).__name__}: {error}"[:600]
    return None


def _run(coroutine: Coroutine[Any, Any, object]) -> None:
    _RUNNER.run(asyncio.wait_for(coroutine, 120))


def report(calls_of: Callable[[Site], Calls]) -> None:
    """Make the calls of the command line, and write what came of them."""
    given, *words = sys.argv[1:]
    told = {}
    for one in json.loads(given):
        site = Site(**one)
        calls = {
            name: call
            for name, call in calls_of(site).items()
            if not words or any(word in name for word in words)
        }
        told[site.container] = {name: outcome(call) for name, call in calls.items()}
    sys.stdout.write(json.dumps(told) + "\n")
