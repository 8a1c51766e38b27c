"""How the model is loaded and what a request that says nothing gets: config.json, and SEALIFT_* above it.

Owns the names, ranges and defaults of the settings, and the words in which a value is told to be wrong. Refuses to
guess: an unknown name and a value out of range are errors, all of them in one message.
"""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class LoadError(RuntimeError):
    """The model or its settings cannot be used; the message says all that is wrong and what to do."""


MARGIN_S = 3.0
"""Seconds that are left of a call's time when its answer is ended, or a quarter of it: for what it takes to send it."""


def answering_s(timeout_s: float) -> float:
    """Return the seconds of a call's time that there are for its answer."""
    return timeout_s - min(MARGIN_S, timeout_s / 4)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones when `whole`."""

    low: int
    high: int
    whole: bool = True

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low} to {self.high}"

    def accepts(self, value: Any) -> bool:
        """Return whether a JSON value lies in the range; JSON's true and false are no numbers."""
        numeric = isinstance(value, int if self.whole else (int, float)) and not isinstance(value, bool)
        return numeric and self.low <= value <= self.high


RANGES = {
    "max_tokens": Range(1, 32_768),
    "temperature": Range(0, 2, whole=False),
    "top_p": Range(0, 1, whole=False),
    "n_ctx": Range(64, 131_072),
    "n_batch": Range(1, 8192),
    "n_threads": Range(1, 64),
    "timeout_s": Range(1, 3600),
    "prefix_cache_mb": Range(0, 65_536),
    "n_parallel": Range(1, 64),
}
_SWITCHES = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Settings:
    """How the model is loaded, and what a request that does not say otherwise gets."""

    model_name: str | None = None
    """The name in the answers; the GGUF's own when None."""
    max_tokens: int = 150
    temperature: float = 0.7
    top_p: float = 0.9
    n_ctx: int = 2048
    """Context length in tokens: prompt and answer together."""
    n_batch: int = 512
    """Tokens of a prompt that are evaluated at a time."""
    n_threads: int = 4
    """Upper bound; never more than the container has CPUs."""
    timeout_s: int = 60
    """Seconds until the platform gives a call up; an answer ends a little before. Serverless has 60, always."""
    prefix_cache_mb: int = 32
    """MiB for evaluated prompts that make room for another; 0 keeps the last one only."""
    n_parallel: int = 1
    """Requests that llama-server answers at once, each with a context of `n_ctx`. The four functions answer one at a
    time, whatever it says."""
    use_mmap: bool = False
    """Whether weights are mapped, not read. Weights that llama.cpp repacks (most of 4 bits) then count twice."""


def settings_from(document: Any, environ: Mapping[str, str]) -> Settings:
    """Return the settings: SEALIFT_* variables over the document over the defaults.

    Args:
        document: what config.json holds; an empty object when there is none.
        environ: the container's environment.

    Raises:
        LoadError: with every problem of both.
    """
    if not isinstance(document, dict):
        raise LoadError(f"config.json is {shown(document)}; wanted a JSON object")
    names = [known.name for known in fields(Settings)]
    given = [(f"config.json: {name}", name, value) for name, value in document.items()]
    for name in names:
        variable = f"SEALIFT_{name.upper()}"
        text = environ.get(variable, "")
        if text:
            given.append((f"environment: {variable}", name, _parsed(name, text)))
    problems = []
    values: dict[str, Any] = {}
    for where, name, value in given:
        if name not in names and name != "model_type":
            problems.append(f"config.json: {unknown(name, ['model_type', *names])}")
            continue
        values[name] = value
        wanted = _shortcoming(name, value)
        if wanted:
            problems.append(f"{where} is {shown(value)}; wanted {wanted}")
    if problems:
        raise LoadError(listed(problems))
    values.pop("model_type", None)
    return Settings(**values)


def _shortcoming(name: str, value: Any) -> str | None:
    """Return what a setting should be; None when it is that."""
    if name == "model_type":
        return None if value == "gguf" else "'gguf'"
    if name == "model_name":
        return None if isinstance(value, str) and value else "a text that is not empty"
    if name == "use_mmap":
        return None if isinstance(value, bool) else "true or false"
    return None if RANGES[name].accepts(value) else str(RANGES[name])


def _parsed(name: str, text: str) -> float | str:
    """Return what a variable's text stands for, or the text itself when it is none of that."""
    if name == "model_name":
        return text
    if name == "use_mmap":
        return _SWITCHES.get(text.lower(), text)
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def unknown(name: str, known: Sequence[str], instead: str | None = None) -> str:
    """Return what is wrong with a name, and the one that may have been meant.

    Args:
        name: what was given.
        known: the names that there are.
        instead: what is said where none was meant, if the names are too many to be told; None: they are told.
    """
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    wanted = (
        f"; wanted one of {', '.join(sorted(known))}" if instead is None else "" if close else f"; {instead}"
    )
    return f"unknown field {shown(name)}{wanted}{hint}"


def shown(value: Any) -> str:
    """Return a value as a message shows it: its representation, cut when it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def listed(problems: Sequence[str]) -> str:
    """Return problems as one sentence, numbered when there are several."""
    if len(problems) == 1:
        return problems[0]
    listed = "; ".join(f"({n}) {problem}" for n, problem in enumerate(problems, 1))
    return f"{len(problems)} problems: {listed}"
