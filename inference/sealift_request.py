"""What a request asks: the bytes of a body, checked and put in order.

Owns the fields that clients may send, their ranges, and the form of a refusal. Refuses to guess: a request is told
everything that is wrong with it, once.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sealift_schema import ANY_OBJECT, SchemaError, grammar_of
from sealift_settings import RANGES, Range, listed, shown, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

try:
    from sagemaker_inference.errors import (  # type: ignore[import-not-found]
        BaseInferenceToolkitError as ToolkitError,
    )
except ImportError:  # every container but the prebuilt one

    class ToolkitError(Exception):  # type: ignore[no-redef]
        """Stands for the toolkit's base of errors that bring their own HTTP status."""

        def __init__(self, status_code: int, message: str, phrase: str) -> None:
            self.status_code = status_code
            self.message = message
            self.phrase = phrase
            super().__init__(status_code, message, phrase)


JSON = "application/json"


class BadRequest(ToolkitError):  # type: ignore[misc]
    """A request that is not answered: `message` is the body to answer with, as JSON, `reason` the sentence in it."""

    def __init__(self, status: int, reason: str, *, param: str | None = None, code: str) -> None:
        self.reason = reason
        self.code = code
        kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        body = {"error": {"message": reason, "type": kind, "param": param, "code": code}}
        super().__init__(status, json.dumps(body), HTTPStatus(status).phrase)

    def __str__(self) -> str:
        return self.reason


SEED = Range(0, 2**32 - 2)  # 2**32 - 1 is llama.cpp's "choose one"
_ALIASES = {"max_completion_tokens": "max_tokens", "max_new_tokens": "max_tokens"}
_OPTIONS = (
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "response_format",
    "logprobs",
    "top_logprobs",
)
_EMBEDS = "input"
_SOURCES = ("prompt", "inputs", "messages", _EMBEDS)
_EMBEDDING_OPTIONS = ("encoding_format", "dimensions")
"""What goes with `input`, and with it alone; of the others only those that change nothing do."""
_ENCODINGS = ("float", "base64")
_DIMENSIONS = Range(1, 1_000_000)
MOST_TEXTS = 2048
"""OpenAI's bound of an embeddings request's inputs."""
# What OpenAI clients send that changes nothing here: accepted with these values (None: with any text).
_HARMLESS: dict[str, Any] = {"model": None, "user": None, "stream": False, "n": 1}
_ROLES = ("system", "user", "assistant")
_MESSAGE = ("role", "content", "name")
_MOST_STOPS = 16
_TOP = Range(0, 20)  # OpenAI's bound of a chat's top_logprobs


@dataclass(frozen=True)
class Request:
    """A request that was found right; None stands for "as the settings say"."""

    source: str
    """The field that holds what to answer: prompt, inputs, messages, or input for embeddings."""
    prompt: str = ""
    messages: tuple[dict[str, str], ...] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    grammar: str | None = None
    """What the answer has to be, as llama.cpp's grammar; of a response_format, never of a client's text."""
    logprobs: int | None = None
    """How many of the likeliest tokens to tell at each place, beside the chosen one's log-probability."""
    texts: tuple[str, ...] = ()
    """What to embed."""
    encoding: str = "float"
    """How an embedding is written: float or base64."""
    dimensions: int | None = None
    """How many numbers an embedding is to have."""
    arrived: float | None = field(default=None, compare=False)
    """When it did, by time.monotonic."""


@dataclass
class _Problems:
    """What is wrong with a request so far."""

    found: list[tuple[str | None, str, str]] = field(default_factory=list)

    def add(self, param: str | None, message: str, code: str = "invalid_value") -> None:
        self.found.append((param, code, message))

    def raise_any(self) -> None:
        """Raise `BadRequest` with all of them; `param` and `code` are the first one's.

        Raises:
            BadRequest: when there are any.
        """
        if self.found:
            param, code, _ = self.found[0]
            raise BadRequest(400, listed([text for _, _, text in self.found]), param=param, code=code)


def parse_body(body: bytes | bytearray | str, content_type: str | None) -> Request:
    """Return the request in a body.

    Raises:
        BadRequest: 415 for another content type, 400 for everything else that is wrong.
    """
    media_type, _, parameters = (content_type or JSON).partition(";")
    charset = re.search(r"charset\s*=\s*\"?([\w-]+)", parameters, re.IGNORECASE)
    if media_type.strip().lower() != JSON or (charset and charset[1].lower() not in ("utf-8", "utf8")):
        raise BadRequest(
            415,
            f"the content type is {shown(content_type)}; wanted {JSON!r} in UTF-8",
            code="unsupported_media_type",
        )
    try:
        text = body if isinstance(body, str) else bytes(body).decode("utf-8-sig")
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is empty" if not body else str(error)
        raise BadRequest(400, f"the body is not JSON: {reason}", code="invalid_json") from error
    return parse_request(document)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_request(document: Any) -> Request:
    """Return the request that a JSON document makes; a null field counts as absent.

    With `input` it asks for embeddings, and has none of the fields that are about generating.

    Raises:
        BadRequest: with every problem of it.
    """
    if not isinstance(document, dict):
        raise BadRequest(400, f"the body is {shown(document)}; wanted a JSON object", code="invalid_json")
    problems = _Problems()
    given = _present(document)
    sources = [name for name in _SOURCES if name in given]
    if len(sources) != 1:
        seen = f"the body has {' and '.join(map(repr, sources))}" if sources else "the body asks nothing"
        problems.add(None, f"{seen}; wanted one of {_named(_SOURCES)}", "missing_field")
    options = {name: value for name, value in given.items() if name not in (*_SOURCES, "parameters")}
    nested = given.get("parameters")
    if nested is not None:
        options = _with_parameters(options, nested, sources, problems)
    values = _embedding_options(options, sources, problems)
    values |= _options(options, problems)
    _ask_logprobs(values, sources, problems)
    for name in sources:
        if name == _EMBEDS:
            values["texts"] = _texts(given[name], problems)
        elif name == "messages":
            values["messages"] = _messages(given[name], problems)
        else:
            values["prompt"] = _prompt(name, given[name], problems)
    problems.raise_any()
    return Request(source=sources[0], **values)


def _present(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _with_parameters(
    options: dict[str, Any], nested: Any, sources: list[str], problems: _Problems
) -> dict[str, Any]:
    """Return the options with those of `parameters` beside them."""
    if sources != ["inputs"]:
        problems.add("parameters", "'parameters' goes with 'inputs' only", "unknown_parameter")
    elif not isinstance(nested, dict):
        problems.add("parameters", f"'parameters' is {shown(nested)}; wanted an object")
    else:
        nested = _present(nested)
        for name in sorted(set(nested) & set(options)):
            problems.add(name, f"{name!r} is there twice, inside and outside of 'parameters'; give it once")
        return {**options, **nested}
    return options


def _named(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r}"


def _embedding_options(options: dict[str, Any], sources: list[str], problems: _Problems) -> dict[str, Any]:
    """Take out of the options those of embeddings, by `Request`'s names; with `input` the others are wrong."""
    values: dict[str, Any] = {}
    own = {name: options.pop(name) for name in _EMBEDDING_OPTIONS if name in options}
    if sources != [_EMBEDS]:
        for name in own:
            problems.add(name, f"{name!r} goes with 'input' only", "unknown_parameter")
        return values
    for name in [name for name in options if _ALIASES.get(name, name) in _OPTIONS]:
        problems.add(
            name, f"{name!r} does not go with 'input', which asks for embeddings", "unknown_parameter"
        )
        del options[name]
    if (encoding := own.get("encoding_format")) is not None:
        values["encoding"] = encoding
        if encoding not in _ENCODINGS:
            problems.add(
                "encoding_format", f"'encoding_format' is {shown(encoding)}; wanted {_named(_ENCODINGS)}"
            )
    if (dimensions := own.get("dimensions")) is not None:
        values["dimensions"] = dimensions
        if not _DIMENSIONS.accepts(dimensions):
            problems.add("dimensions", f"'dimensions' is {shown(dimensions)}; wanted {_DIMENSIONS}")
    return values


def _texts(value: Any, problems: _Problems) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 0 < len(texts) <= MOST_TEXTS:
        problems.add(
            _EMBEDS, f"'input' is {shown(value)}; wanted a text, or a list of 1 to {MOST_TEXTS} texts"
        )
        return ()
    if all(isinstance(one, int) or (isinstance(one, list) and one) for one in texts):
        problems.add(
            _EMBEDS,
            f"'input' is {shown(value)}, numbers of tokens; wanted texts: this model has a vocabulary of its own",
        )
        return ()
    return tuple(
        _prompt(f"input[{n}]" if texts is value else _EMBEDS, one, problems) for n, one in enumerate(texts)
    )


def _options(options: dict[str, Any], problems: _Problems) -> dict[str, Any]:
    """Return the options that `Request` has, by its names."""
    values: dict[str, Any] = {}
    for given, value in options.items():
        name = _ALIASES.get(given, given)
        if name in _HARMLESS:
            only = _HARMLESS[name]
            if not isinstance(value, str) if only is None else type(value) is not type(only) or value != only:
                wanted = "a text" if only is None else json.dumps(only)
                problems.add(given, f"{given!r} is {shown(value)}; wanted {wanted}")
        elif name not in _OPTIONS:
            known = [*_SOURCES, *_OPTIONS, *_EMBEDDING_OPTIONS, *_ALIASES, *_HARMLESS, "parameters"]
            problems.add(given, unknown(given, known), "unknown_parameter")
        elif name in values or (name == "response_format" and "grammar" in values):
            problems.add(given, f"{given!r} and another name of {name!r} are both there; give one")
        elif name == "stop":
            values[name] = _stops(value, problems)
        elif name == "response_format":
            values["grammar"] = _grammar(value, problems)
        elif name in ("logprobs", "top_logprobs"):
            values[name] = value
        else:
            known_range = SEED if name == "seed" else RANGES[name]
            values[name] = value
            if not known_range.accepts(value):
                problems.add(given, f"{given!r} is {shown(value)}; wanted {known_range}")
    return values


def _grammar(value: Any, problems: _Problems) -> str | None:
    """Return the grammar of a response_format."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("text", "json_object") and set(value) == {"type"}:
        return ANY_OBJECT if kind == "json_object" else None
    described = value.get("json_schema") if kind == "json_schema" else None
    if not isinstance(described, dict) or "schema" not in described:
        wanted = "{'type': 'text'}, {'type': 'json_object'} or {'type': 'json_schema', 'json_schema': {'schema': ...}}"
        problems.add("response_format", f"'response_format' is {shown(value)}; wanted {wanted}")
        return None
    further = sorted(
        (set(value) | set(described)) - {"type", "json_schema", "schema", "name", "strict", "description"}
    )
    if further:
        problems.add(
            "response_format",
            f"'response_format' has {further[0]!r}; wanted 'schema', 'name', 'description' and 'strict' only",
        )
    try:
        return grammar_of(described["schema"])
    except SchemaError as error:
        problems.add("response_format", f"'response_format': {error}", "invalid_schema")
        return None


def _ask_logprobs(values: dict[str, Any], sources: list[str], problems: _Problems) -> None:
    """Put what is asked of log-probabilities into one number: OpenAI has a form for chats and one for texts."""
    asked, top = values.pop("logprobs", None), values.pop("top_logprobs", None)
    if sources != ["messages"]:
        if top is not None:
            problems.add("top_logprobs", "'top_logprobs' goes with 'messages'; give 'logprobs' a number")
        if asked is not None and not _TOP.accepts(asked):
            problems.add("logprobs", f"'logprobs' is {shown(asked)}; wanted {_TOP} with a prompt")
        values["logprobs"] = asked
        return
    if asked is not None and not isinstance(asked, bool):
        problems.add("logprobs", f"'logprobs' is {shown(asked)}; wanted true or false with 'messages'")
    if top is not None and not _TOP.accepts(top):
        problems.add("top_logprobs", f"'top_logprobs' is {shown(top)}; wanted {_TOP}")
    if top is not None and asked is not True:
        problems.add("top_logprobs", "'top_logprobs' wants 'logprobs' to be true")
    values["logprobs"] = (top or 0) if asked is True else None


def _stops(value: Any, problems: _Problems) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    right = (
        isinstance(stops, list)
        and len(stops) <= _MOST_STOPS
        and all(isinstance(stop, str) and stop and _encodable(stop) for stop in stops)
    )
    if not right:
        wanted = f"a text or a list of up to {_MOST_STOPS} texts, none of them empty"
        problems.add("stop", f"'stop' is {shown(value)}; wanted {wanted}")
        return ()
    return tuple(stops)


def _prompt(name: str, value: Any, problems: _Problems) -> str:
    if not isinstance(value, str) or not value:
        problems.add(name, f"{name!r} is {shown(value)}; wanted a text that is not empty")
        return ""
    return _checked(name, value, problems)


def _messages(value: Any, problems: _Problems) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list) or not value:
        problems.add("messages", f"'messages' is {shown(value)}; wanted a list of at least one message")
        return ()
    return tuple(_message(f"messages[{n}]", message, problems) for n, message in enumerate(value))


def _message(path: str, value: Any, problems: _Problems) -> dict[str, str]:
    if not isinstance(value, dict):
        problems.add(path, f"{path} is {shown(value)}; wanted an object with 'role' and 'content'")
        return {}
    given = _present(value)
    for name in given:
        if name not in ("role", "content", "name"):
            problems.add(
                f"{path}.{name}",
                f"{path}: {unknown(name, ['role', 'content', 'name'])}",
                "unknown_parameter",
            )
    role = given.get("role")
    if role not in _ROLES:
        problems.add(f"{path}.role", f"{path}.role is {shown(role)}; wanted one of {', '.join(_ROLES)}")
    message = {"role": str(role), "content": _content(f"{path}.content", given.get("content"), problems)}
    if "name" in given:
        message["name"] = _prompt(f"{path}.name", given["name"], problems)
    return message


def _content(path: str, value: Any, problems: _Problems) -> str:
    """Return a message's text: a string, or the texts of a list of text parts."""
    if isinstance(value, str):
        return _checked(path, value, problems)
    parts = value if isinstance(value, list) else [None]
    texts = [
        part["text"]
        for part in parts
        if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    ]
    if len(texts) != len(parts):
        problems.add(path, f"{path} is {shown(value)}; wanted a text or a list of parts of type 'text'")
        return ""
    return _checked(path, "".join(texts), problems)


def _checked(path: str, text: str, problems: _Problems) -> str:
    if not _encodable(text):
        problems.add(path, f"{path} holds half of a surrogate pair; wanted whole Unicode characters")
    return text


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
