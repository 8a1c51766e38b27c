"""What a request asks: the bytes of a body, checked and put in order.

Owns what a body means and the form of a refusal; which fields there are and what they take is `sealift_fields`. Refuses
to guess: a request is told everything that is wrong with it, once.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Union

import sealift_fields as fields
import sealift_grammar
from sealift_conformity import loosened
from sealift_messages import Enough, Problems, dialog, encodable, text_of, tool_choice_of, tools_of
from sealift_responses import chat_of, is_for_responses
from sealift_schema import check
from sealift_settings import shown, unknown
from sealift_shortcoming import SchemaError, shortcoming

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


MOST_SEED = 2**32 - 2
"""The highest seed: 2**32 - 1 is llama.cpp's "choose one"."""
MOST_CHOICES = 128
"""Answers to one request: of all its prompts together."""
MOST_TEXTS = 2048
"""OpenAI's bound of an embeddings request's inputs."""
MOST_STOPS = 128
MOST_BIAS = 10_000
"""What is added to a logit at most; OpenAI's own bound is 100."""
_LEAVE_OUT = "leave it out: docs/requests.md of Sealift has all that there are"
_EMBEDS, _JUMPSTART = "input", "text_inputs"
_SOURCES = ("prompt", "inputs", "messages", _EMBEDS, fields.RERANK)
_SAMPLING = (
    *("top_k", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold", "dynatemp_range"),
    *("dynatemp_exponent", "repeat_penalty", "repeat_last_n", "frequency_penalty", "presence_penalty"),
    *("mirostat", "mirostat_tau", "mirostat_eta", "dry_multiplier", "dry_base", "dry_allowed_length"),
    *("dry_penalty_last_n", "dry_sequence_breakers"),
)
"""The fields that `sealift_engine.Sampling` has by the same names."""
_SCHEMAS = ("response_format", "json_schema", "grammar", "guided_regex", "guided_choice")

Subject = Union[str, "tuple[int | str, ...]", "tuple[dict[str, Any], ...]"]
"""What one answer is to: a text, tokens (with texts among them, as llama-server takes them), or a conversation."""


@dataclass(frozen=True)
class Request:
    """A request that was found right; None stands for "as the settings say"."""

    source: str
    """The field that holds what to answer: prompt, inputs, messages, query, or input for embeddings and responses."""
    prompt: str = ""
    messages: tuple[dict[str, Any], ...] | None = None
    max_tokens: int | None = None
    """-1 for as many as there is room for."""
    max_length: int | None = None
    """Tokens of prompt and answer together, as JumpStart's older models count."""
    max_time: float | None = None
    """Seconds from its arrival on that its answer may take, where it says less than the call has."""
    mode: str | None = None
    """`embedding` where it asks for that by JumpStart's name."""
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    grammar: str | None = None
    """What the answer has to be, as llama.cpp's grammar: of choices, a regular expression, or a client's own, as
    `sealift_grammar` writes it. That of a schema llama.cpp makes."""
    logprobs: int | None = None
    """How many of the likeliest tokens to tell at each place, beside the chosen one's log-probability."""
    texts: tuple[str, ...] = ()
    """What to embed, or what to rank for `query`."""
    texts_listed: bool = field(default=False, compare=False)
    """Whether that is a list."""
    encoding: str = "float"
    """How an embedding is written: float or base64."""
    dimensions: int | None = None
    """How many numbers an embedding is to have."""
    query: str = ""
    top_n: int | None = None
    """How many of the ranked texts to tell; None for all."""
    return_texts: bool = False
    """Whether to tell the ranked texts themselves."""
    bare: bool = False
    """Whether the ranking is a list, as text-embeddings-inference answers, and not within an object."""
    squashed: bool = False
    """Whether the scores are to lie between 0 and 1, as that server gives them unless asked for raw ones."""
    truncated: bool = False
    """Whether a text that is too long is cut, which otherwise is an error."""
    arrived: float | None = field(default=None, compare=False)
    """When it did, by time.monotonic."""
    batch: tuple[Subject, ...] = ()
    """What to answer, when it is not one text or one conversation."""
    listed: bool = False
    """Whether `inputs` is a list, so that its answer is one."""
    jumpstart: bool = False
    """Whether it asks by JumpStart's older name, `text_inputs`."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """What it says of llama.cpp's other samplers, by the names of `sealift_engine.Sampling`."""
    logit_bias: tuple[tuple[int | str, float], ...] = ()
    """What is added to the logit of a token, or of each token of a text; minus infinity forbids it."""
    ignore_eos: bool = False
    min_tokens: int = 0
    """Tokens before which nothing ends the answer."""
    stop_tokens: tuple[int, ...] = ()
    """Tokens that end it, beside the vocabulary's own."""
    tells_stop: bool = False
    """Whether one of the stops that ended it is told with it."""
    continues: bool | str | None = None
    """Whether to go on with the last message, which is the assistant's, or which part of it; None as llama-server does:
    with one that comes last."""
    begins_answer: bool | None = None
    """Whether the prompt ends with what begins an answer; None where that follows from `continues`."""
    choices: int = 1
    """Answers to each prompt."""
    best_of: int = 1
    """Answers to choose the likeliest `choices` from."""
    stream: bool = False
    usage_in_stream: bool = False
    echo: bool = False
    """Whether the answer begins with the prompt."""
    details: bool = False
    """Whether to tell of an answer to `inputs` what text-generation-inference tells."""
    suffix: str | None = None
    """What follows the text to fill in."""
    schema: Any = None
    """The JSON schema of the answer, when it has one: what the grammar does not hold is checked by it."""
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str = "auto"
    """auto, required, or the name of a tool after "=": a tool that is called for certain."""
    parallel_tool_calls: bool | None = None
    legacy_functions: bool = False
    """Whether the tools are of OpenAI's older form, `functions`."""
    template: Mapping[str, Any] = field(default_factory=dict)
    """What the request sets of the chat template's variables."""
    reasoning_format: str = "auto"
    """`none` leaves a model's thoughts in the content; any other takes them out."""
    caller: str | None = field(default=None, compare=False)
    """Who asks on whose behalf, when the request says it."""
    further: Mapping[str, Any] = field(default_factory=dict)
    """What llama-server takes and the four functions do not, by its names."""

    @property
    def chooses(self) -> bool:
        """Tell whether more answers are generated than told: the likeliest of them are."""
        return self.best_of > self.choices

    @property
    def noted(self) -> int | None:
        """Return how many of the likeliest tokens are to be noted at each place; None for no log-probabilities.

        Told or not, the best of several answers and the details of one are made of them.
        """
        if self.logprobs is None and (self.chooses or self.details):
            return 0
        return self.logprobs

    @property
    def constrained(self) -> bool:
        """Tell whether a grammar holds the answer."""
        return self.grammar is not None or self.schema is not None or bool(self.tools)

    @property
    def form(self) -> str:
        """Return its form, by the names of `sealift_fields`."""
        return fields.RESPONSES if self.source == _EMBEDS and self.messages is not None else self.source

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Return all that is to be answered."""
        if self.batch:
            return self.batch
        return (self.prompt if self.messages is None else self.messages,)


def parse_body(
    body: bytes | bytearray | str,
    content_type: str | None,
    *,
    sees: bool = False,
    adapted: bool = False,
) -> Request:
    """Return the request in a body.

    Args:
        body: its bytes, or the text that they are.
        content_type: the header's.
        sees: whether the model looks at images (`sealift_messages.dialog`).
        adapted: whether llama-server answers it, behind the adapter, and not the four functions.

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
    request = parse_request(document, sees=sees, adapted=adapted)
    if _HALF.search(text) and not encodable(json.dumps(document, ensure_ascii=False)):
        raise BadRequest(
            400,
            "the body holds half of a surrogate pair; wanted whole Unicode characters",
            code="invalid_value",
        )
    return request


_HALF = re.compile(r"\\u[dD][89a-fA-F]", re.ASCII)
"""What half of a pair is written as in JSON: nothing further takes one that is alone, wherever it stands."""


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_request(document: Any, *, sees: bool = False, adapted: bool = False) -> Request:
    """Return the request that a JSON document makes; a null field counts as absent.

    With `input` it asks for embeddings, or for a response as OpenAI's newer interface has it: by the fields beside it.
    With `query` it asks for a ranking of `documents` or `texts`.

    Args:
        document: the body.
        sees: whether the model looks at images (`sealift_messages.dialog`).
        adapted: whether llama-server answers it, behind the adapter, and not the four functions.

    Raises:
        BadRequest: with every problem of it, up to `sealift_messages.MOST_PROBLEMS`.
    """
    if not isinstance(document, dict):
        raise BadRequest(400, f"the body is {shown(document)}; wanted a JSON object", code="invalid_json")
    problems = Problems()
    with contextlib.suppress(Enough):
        return _request_of(document, problems, sees=sees, adapted=adapted)
    param, code, message = problems.all()
    raise BadRequest(400, message, param=param, code=code)


def _request_of(document: dict[str, Any], problems: Problems, *, sees: bool, adapted: bool) -> Request:
    """Return the request that a document makes; raise Enough for one with problems."""
    given = _present(document)
    if _JUMPSTART in given and "inputs" not in given:
        given["inputs"] = given.pop(_JUMPSTART)
    responds = is_for_responses(given)
    if responds:
        given = chat_of(given, problems)
    sources = [name for name in _SOURCES if name in given]
    if len(sources) != 1:
        seen = f"the body has {' and '.join(map(repr, sources))}" if sources else "the body asks nothing"
        problems.add(None, f"{seen}; wanted one of {_named(_SOURCES)}", "missing_field")
    options = {name: value for name, value in given.items() if name not in (*_SOURCES, "parameters")}
    nested = given.get("parameters")
    if nested is not None:
        options = _with_parameters(options, nested, sources, problems)
    form = sources[0] if len(sources) == 1 else None
    values = _options(options, form, problems, adapted=adapted)
    if _unbounded(document):
        values.setdefault("max_tokens", -1)
    for name in sources:
        values |= _subject(name, given[name], problems, sees=sees)
    _check_together(values, form, problems, adapted=adapted)
    if problems.found:
        raise Enough
    source = _EMBEDS if responds else sources[0]
    return Request(source=source, jumpstart=_JUMPSTART in document, caller=_caller(document), **values)


def _caller(document: dict[str, Any]) -> str | None:
    """Return on whose behalf a request asks: OpenAI's name for that, or its older one."""
    for name in ("safety_identifier", "user"):
        if isinstance(document.get(name), str) and document[name]:
            return str(document[name])
    return None


def _present(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _unbounded(document: dict[str, Any]) -> bool:
    """Return whether a request says of its length that it says nothing: null, where others leave the field out."""
    nested = document.get("parameters")
    places = [document, nested] if isinstance(nested, dict) else [document]
    known = fields.BY_NAME["max_tokens"]
    return any(place.get(name, "") is None for place in places for name in (known.name, *known.aliases))


def _with_parameters(
    options: dict[str, Any], nested: Any, sources: list[str], problems: Problems
) -> dict[str, Any]:
    """Return the options with those of `parameters` beside them."""
    if sources != ["inputs"]:
        problems.add("parameters", "'parameters' goes with 'inputs' only", "unknown_parameter")
    elif not isinstance(nested, dict):
        problems.add("parameters", f"'parameters' is {shown(nested)}; wanted an object")
    else:
        nested = _present(nested)
        for name in sorted(set(nested) & set(options)):
            if nested[name] != options[name]:
                problems.add(
                    name, f"{name!r} is there twice, inside and outside of 'parameters'; give it once"
                )
        return {**options, **nested}
    return options


def _named(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r}" if names[1:] else repr(names[0])


# What to answer ---------------------------------------------------------------------------------------------


def _subject(name: str, value: Any, problems: Problems, *, sees: bool) -> dict[str, Any]:
    """Return what a request asks with, by `Request`'s names."""
    if name == _EMBEDS:
        return {"texts": _texts(value, problems), "texts_listed": isinstance(value, list)}
    if name == fields.RERANK:
        return {"query": text_of(name, value, problems)}
    if name == "messages":
        return {"messages": dialog("messages", value, problems, sees=sees)}
    if name == "inputs" and isinstance(value, list) and value:
        return _inputs(value, problems, sees=sees)
    if name == "prompt" and isinstance(value, list) and value:
        return {"batch": _prompts(value, problems)}
    return {"prompt": text_of(name, value, problems)}


def _inputs(value: list[Any], problems: Problems, *, sees: bool) -> dict[str, Any]:
    """Return a list's texts or conversations; one conversation may stand alone."""
    if all(isinstance(one, dict) for one in value):
        return {"messages": dialog("inputs", value, problems, sees=sees)}
    batch: list[Subject] = []
    for number, one in enumerate(value):
        path = f"inputs[{number}]"
        listed = isinstance(one, list)
        batch.append(dialog(path, one, problems, sees=sees) if listed else text_of(path, one, problems))
    return {"batch": tuple(batch), "listed": True}


def _prompts(value: list[Any], problems: Problems) -> tuple[Subject, ...]:
    """Return the prompts of a list: texts, lists of tokens, or one list of tokens with texts among them."""
    if any(_is_token(one) for one in value):
        return (_token_list("prompt", value, problems),)
    return tuple(
        _token_list(f"prompt[{number}]", one, problems)
        if isinstance(one, list)
        else text_of(f"prompt[{number}]", one, problems)
        for number, one in enumerate(value)
    )


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _token_list(path: str, value: list[Any], problems: Problems) -> tuple[int | str, ...]:
    if not value or not all(_is_token(one) or (isinstance(one, str) and encodable(one)) for one in value):
        problems.add(
            path, f"{path} is {shown(value)}; wanted a list of tokens, with texts among them or without"
        )
        return ()
    return tuple(value)


def _texts(value: Any, problems: Problems) -> tuple[str, ...]:
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
        text_of(f"input[{n}]" if texts is value else _EMBEDS, one, problems) for n, one in enumerate(texts)
    )


# How to answer it -------------------------------------------------------------------------------------------


def _options(
    options: dict[str, Any], form: str | None, problems: Problems, *, adapted: bool
) -> dict[str, Any]:
    """Return the options by `Request`'s names."""
    known = _Known()
    for given, value in ((name, _whole(value)) for name, value in options.items()):
        found = fields.BY_NAME.get(given)
        if found is None:
            names = [*fields.taken_by(form or fields.CHAT), *_SOURCES, "parameters"]
            problems.add(given, unknown(given, names, _LEAVE_OUT), "unknown_parameter")
        elif _suits(found, given, value, form, problems, adapted=adapted):
            if known.get(found.name, value) != value:
                problems.add(given, f"{given!r} and another name of {found.name!r} are both there; give one")
            known[found.name] = value
            known.spelled[found.name] = given
    values: dict[str, Any] = {}
    _set_plain(values, known, problems)
    further = {name: value for name, value in known.items() if fields.BY_NAME[name].beyond is not None}
    if further:
        values["further"] = further
    _set_schema(values, known, problems)
    _set_tools(values, known, problems)
    _set_logprobs(values, known, form, problems)
    if form == fields.RERANK:
        _set_ranking(values, known, problems)
    if "stop" in known:
        values["stop"] = _stops(known.spelled["stop"], known["stop"], problems)
    return values


def _whole(value: Any) -> Any:
    """Return a whole number as one: JSON has one kind of numbers, and some clients write 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Known(dict):  # type: ignore[type-arg]
    """The options that count, by their first names."""

    def __init__(self) -> None:
        super().__init__()
        self.spelled: dict[str, str] = {}
        """The name that the request has for each."""


def _suits(
    found: fields.Field, given: str, value: Any, form: str | None, problems: Problems, *, adapted: bool
) -> bool:
    """Return whether an option counts; tell what is wrong with one that does not belong or has a wrong value."""
    place, takes = found.place_by(adapted=adapted), found.takes_by(adapted=adapted)
    if place == fields.HONORED and form is not None and form not in found.forms:
        if not fields.EMPTY.accepts(value):
            with_ = _named([one if one != fields.RESPONSES else "input" for one in found.forms])
            problems.add(given, f"{given!r} goes with {with_} only", "unknown_parameter")
        return False
    if takes.accepts(value):
        return place == fields.HONORED
    if place == fields.REFUSED:
        wanted = "" if takes is fields.NOTHING else f"wanted {takes}; "
        problems.add(
            given,
            f"{given!r} is {shown(value)}, which is not done here; {wanted}{found.instead_by(adapted=adapted)}",
            "unsupported_value",
        )
    else:
        problems.add(given, f"{given!r} is {shown(value)}; wanted {takes}")
    return False


def _set_plain(values: dict[str, Any], known: _Known, problems: Problems) -> None:
    """Put the options that need nothing but another name."""
    for name in (
        *("max_tokens", "temperature", "top_p", "best_of", "stream", "ignore_eos", "echo", "details"),
        "reasoning_format",
    ):
        if name in known:
            values[name] = known[name]
    for name, theirs in (
        ("choices", "n"),
        ("encoding", "encoding_format"),
        ("min_tokens", "min_tokens"),
        ("tells_stop", "include_stop_str_in_output"),
        ("continues", "continue_final_message"),
        ("begins_answer", "add_generation_prompt"),
    ):
        if theirs in known:
            values[name] = known[theirs]
    tokens = known.get("stop_token_ids", ())
    values["stop_tokens"] = (tokens,) if isinstance(tokens, int) else tuple(tokens)
    for name in ("suffix", "dimensions", "max_length", "max_time", "mode"):
        if known.get(name):
            values[name] = known[name]
    if known.get("stream_options", {}).get("include_usage") is True:
        values["usage_in_stream"] = True
    _set_sampling(values, known)
    template = dict(known.get("chat_template_kwargs", {}))
    thinks = template.get("enable_thinking", True)
    if not isinstance(thinks, bool) and thinks is not None:
        path = "chat_template_kwargs.enable_thinking"
        problems.add(path, f"{path} is {shown(thinks)}; wanted {fields.SWITCH}")
    template |= {name: known[name] for name in ("reasoning_effort", "enable_thinking") if name in known}
    if template:
        values["template"] = template


def _set_sampling(values: dict[str, Any], known: _Known) -> None:
    """Put what is said of choosing tokens."""
    values["sampling"] = {name: known[name] for name in _SAMPLING if name in known}
    seed = known.get("seed", -1)
    if seed != -1:  # llama.cpp's "any"
        values["seed"] = seed % (MOST_SEED + 1)
    if known.get("do_sample") is False:
        values["temperature"] = 0
    biases = known.get("logit_bias") or {}
    if biases:
        pairs = biases.items() if isinstance(biases, dict) else biases
        values["logit_bias"] = tuple((_token_of(key), _bias_of(bias)) for key, bias in pairs)


def _token_of(key: Any) -> int | str:
    """Return the token that a key of a logit_bias names, or the text."""
    if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 10:
        return int(key)
    return key  # type: ignore[no-any-return]


def _bias_of(value: Any) -> float:
    return float("-inf") if value is False else float(max(-MOST_BIAS, min(MOST_BIAS, value)))


def _set_schema(values: dict[str, Any], known: _Known, problems: Problems) -> None:
    """Put the grammar or the schema that an answer has to keep to."""
    _set_structured(known, problems)
    given = [name for name in _SCHEMAS if name in known and not _is_plain(name, known[name])]
    if len(given) > 1:
        spelled = [repr(known.spelled[name]) for name in given]
        problems.add(known.spelled[given[1]], f"{' and '.join(spelled)} are both there; give one")
    for name in given[:1]:
        spelled = known.spelled[name]
        try:
            values |= _held_to(name, known[name], problems)
        except (SchemaError, RecursionError) as error:
            problems.add(spelled, f"{spelled!r}: {error}", "invalid_schema")
        except sealift_grammar.GrammarError as error:
            problems.add(spelled, f"{spelled!r}: {error}", "invalid_grammar")


def _is_plain(name: str, value: Any) -> bool:
    """Return whether a field asks for text in so many words, which nothing beside it contradicts."""
    return name == "response_format" and isinstance(value, dict) and value.get("type") == "text"


_STRUCTURED = {
    "json": "json_schema",
    "regex": "guided_regex",
    "choice": "guided_choice",
    "grammar": "grammar",
}
"""vLLM's names within `structured_outputs`."""


def _set_structured(known: _Known, problems: Problems) -> None:
    """Put what vLLM's `structured_outputs` holds under the names that it has alone."""
    param = "structured_outputs"
    given = {name: value for name, value in known.pop(param, {}).items() if value not in (None, False)}
    for name, value in given.items():
        own = _STRUCTURED.get(name, "response_format")
        if name not in (*_STRUCTURED, "json_object"):
            problems.add(
                param, f"{param!r}: {unknown(name, [*_STRUCTURED, 'json_object'])}", "unknown_parameter"
            )
            continue
        if not fields.BY_NAME[own].takes.accepts(value):
            problems.add(param, f"{param!r}: {name!r} is {shown(value)}; wanted {fields.BY_NAME[own].takes}")
            continue
        if own in known:
            problems.add(param, f"{param!r} and {known.spelled[own]!r} are both there; give one")
            continue
        known[own] = value if name in _STRUCTURED else {"type": name}
        known.spelled[own] = param


def _held_to(name: str, value: Any, problems: Problems) -> dict[str, Any]:
    """Return the grammar or the schema of one field.

    Raises:
        SchemaError: a schema that makes no sense.
        GrammarError: a grammar that is wrong, or that is not taken.
    """
    if name == "guided_choice":
        return {"grammar": sealift_grammar.of_choices(value)}
    if name in ("grammar", "response_format") and isinstance(value, dict):
        # As text-generation-inference writes it
        if value.get("type") == "regex" and isinstance(value.get("value"), str):
            name, value = "guided_regex", value["value"]
        elif name == "response_format" or value.get("type") in ("json", "json_schema"):
            name = "response_format"
        else:
            raise sealift_grammar.GrammarError(f"it is {shown(value)}; wanted {fields.GRAMMAR}")
    if name == "guided_regex":
        return {"grammar": sealift_grammar.of_pattern(value)}
    if name == "grammar":
        return {"grammar": sealift_grammar.of_text(value)}
    schema = _format_of(value, problems) if name == "response_format" else _written(value)
    if schema is None:
        return {}
    check(loosened(schema))
    return {"schema": schema}


_ANY = {"type": "object"}
"""The schema of any object."""


def _format_of(value: Any, problems: Problems) -> Any:
    """Return the schema of a response_format; None when it asks for no form."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":  # llama-server takes a schema here, and litellm sends one by another name
        return _written(value.get("schema") or value.get("response_schema") or _ANY)
    if kind == "json":  # as text-generation-inference writes it
        return _written(value.get("value") or value.get("schema") or _ANY)
    described = _described(value) if kind == "json_schema" else None
    if not isinstance(described, dict):
        wanted = "{'type': 'text'}, {'type': 'json_object'} or {'type': 'json_schema', 'json_schema': {'schema': ...}}"
        problems.add("response_format", f"'response_format' is {shown(value)}; wanted {wanted}")
        return None
    further = sorted(
        set(described) - {"type", "schema", "schema_definition", "name", "strict", "description"}
    )
    if further:
        problems.add(
            "response_format",
            f"'response_format' has {further[0]!r}; wanted 'schema', 'name', 'description' and 'strict' only",
        )
    # Without one it is any object, as in OpenAI's own; the other name is Mistral's.
    schema = described.get("schema", described.get("schema_definition"))
    return _ANY if schema is None else _written(schema)


def _described(value: dict[str, Any]) -> Any:
    """Return what a response_format of type `json_schema` says of its schema.

    OpenAI's chats have it in an object of that name, its responses beside the type, text-generation-inference in
    `value`.
    """
    beside = {name: one for name, one in value.items() if name not in ("type", "json_schema")}
    if "json_schema" in value:
        described = value["json_schema"]
        return {**beside, **described} if isinstance(described, dict) else None
    if "value" in beside:
        inner = beside["value"]
        return inner if isinstance(inner, dict) and "schema" in inner else {"schema": inner}
    return beside if beside.get("schema") is not None else None


def _written(schema: Any) -> Any:
    """Return a schema; one that is written as a text, as some clients of vLLM and others do, is read."""
    if not isinstance(schema, str):
        return schema
    try:
        return json.loads(schema)
    except ValueError as error:
        raise SchemaError(
            f"the schema is {shown(schema)}, a text that is no JSON; wanted an object"
        ) from error


def _set_tools(values: dict[str, Any], known: _Known, problems: Problems) -> None:
    """Put the tools and which of them is to be called; legacy functions are tools by another name."""
    tools = tools_of(known.get("tools", []), known.get("functions", []), problems)
    choice, tools = tool_choice_of(known.get("tool_choice"), known.get("function_call"), tools, problems)
    if not tools or choice == "none":
        return
    values |= {"tools": tools, "tool_choice": choice}
    if "functions" in known and not known.get("tools"):
        values["legacy_functions"] = True
    if "parallel_tool_calls" in known:
        values["parallel_tool_calls"] = known["parallel_tool_calls"]


def _set_logprobs(values: dict[str, Any], known: _Known, form: str | None, problems: Problems) -> None:
    """Put what is asked of log-probabilities into one number: OpenAI has a form for chats and one for texts."""
    asked, top = known.get("logprobs"), known.get("top_logprobs")
    name = known.spelled.get("logprobs", "")
    if form == "messages" and name != "n_probs":  # llama-server's name is a number in both
        if asked is not None and not isinstance(asked, bool):
            problems.add(name, f"{name!r} is {shown(asked)}; wanted true or false with 'messages'")
        if top and asked is not True:
            problems.add("top_logprobs", "'top_logprobs' wants 'logprobs' to be true")
        if asked is True:
            values["logprobs"] = top or 0
    elif asked is not None and asked is not False:
        if not fields.TOP.accepts(asked):
            problems.add(name, f"{name!r} is {shown(asked)}; wanted {fields.TOP} with a prompt")
        values["logprobs"] = asked


def _set_ranking(values: dict[str, Any], known: _Known, problems: Problems) -> None:
    """Put what is to be ranked, and how it is told: each of two names for the documents asks for its own form."""
    given = [name for name in ("documents", "texts") if name in known]
    if len(given) != 1:
        seen = "the body has 'documents' and 'texts'" if given else "the body has 'query' and nothing to rank"
        problems.add(fields.RERANK, f"{seen}; wanted one of 'documents' and 'texts'", "missing_field")
        return
    name = given[0]
    documents = known[name]
    if not 0 < len(documents) <= MOST_TEXTS:
        problems.add(name, f"{name!r} has {len(documents)} texts; wanted 1 to {MOST_TEXTS}")
        return
    values["texts"] = tuple(
        text_of(f"{name}[{number}]", one.get("text") if isinstance(one, dict) else one, problems)
        for number, one in enumerate(documents)
    )
    values["bare"] = name == "texts"
    values["top_n"] = known.get("top_n") or None
    values["return_texts"] = known.get("return_text" if values["bare"] else "return_documents", False)
    values["squashed"] = known.get("raw_scores") is False
    values["truncated"] = known.get("truncate", False)


def _stops(name: str, value: Any, problems: Problems) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    right = (
        isinstance(stops, list)
        and len(stops) <= MOST_STOPS
        and all(isinstance(stop, str) and encodable(stop) for stop in stops)
    )
    if not right:
        wanted = f"a text or a list of up to {MOST_STOPS} texts"
        problems.add(name, f"{name!r} is {shown(value)}; wanted {wanted}")
        return ()
    return tuple(filter(None, stops))  # an empty one, as forms send it, ends nothing


def _check_together(values: dict[str, Any], form: str | None, problems: Problems, *, adapted: bool) -> None:
    """Report fields that are valid alone and invalid together."""
    choices, best = values.get("choices", 1), values.get("best_of", 1)
    if "best_of" in values:
        if best < choices and form != "inputs":
            problems.add("best_of", f"'best_of' is {best} and 'n' is {choices}; wanted at least as many")
        elif values.get("stream") and best > choices:
            problems.add("best_of", f"'best_of' is {best}, which cannot be streamed; leave 'stream' out")
    values["best_of"] = max(choices, best)
    wanted = values["best_of"] * max(1, len(values.get("batch", ())))
    if wanted > MOST_CHOICES:
        problems.add(
            "n",
            f"the request asks for {wanted} answers; wanted at most {MOST_CHOICES}, of all prompts together",
        )
    if values.get("echo") and values.get("logprobs") is not None and adapted:
        problems.add(
            "echo",
            "'echo' and 'logprobs' are both there, and llama-server tells none of the prompt's own; leave one out, or "
            "use container 'pytorch'",
            "unsupported_value",
        )
    if values.get("suffix") is not None and (values.get("batch") or values.get("echo")):
        problems.add("suffix", "'suffix' goes with one text in 'prompt' and without 'echo'")
    if values.get("tools") and values.get("grammar") is not None:
        problems.add("tools", "'tools' and a grammar are both there; give one, or a 'response_format'")
    if values.get("continues") and values.get("begins_answer"):
        problems.add(
            "continue_final_message",
            "'continue_final_message' and 'add_generation_prompt' are both true; give one",
        )


# What a model refuses ---------------------------------------------------------------------------------------


def suited(request: Request, does: str, name: str) -> Request:
    """Return a request as a model takes it: `input` and `inputs` alone mean one thing or the other by the model.

    Args:
        request: any.
        does: what the model does, by a form of `sealift_fields`: EMBEDDINGS, RERANK, or CHAT for all that generates.
        name: the model's.

    Raises:
        BadRequest: when it asks a model for what it does not do.
    """
    embeds, generates = does == fields.EMBEDDINGS, does == fields.CHAT
    wrong = generates and request.mode is not None
    if request.form in (fields.GENERATING if generates else (does,)) and not wrong:
        return request
    if embeds and request.source == "inputs" and not request.stream:
        texts = tuple(subject for subject in request.subjects if isinstance(subject, str))
        if len(texts) == len(request.subjects):
            return replace(request, texts=texts)
    plain = request.encoding == "float" and request.dimensions is None
    alone = request.form == fields.EMBEDDINGS and len(request.texts) == 1 and not request.texts_listed
    if generates and alone and plain:
        return replace(request, messages=({"role": "user", "content": request.texts[0]},), texts=())
    ranked = request.form == fields.RERANK
    if embeds:
        can, ask = f"embeds texts, and {'ranks' if ranked else 'generates'} none", "'input'"
    elif generates:
        can, ask = f"generates text, and {'ranks' if ranked else 'embeds'} none", "'messages' or 'prompt'"
    else:
        can, ask = "ranks texts, and does nothing else", "'query' and 'documents'"
    raise BadRequest(
        400,
        f"the request has {'mode' if wrong else request.source!r}, and model {name!r} {can}; ask with {ask}",
        param=request.source,
        code="wrong_task",
    )


def too_long(request: Request, tokens: int, context: int) -> BadRequest:
    """Return the refusal of a prompt that leaves no room for an answer."""
    return BadRequest(
        400,
        f"the prompt has {tokens} tokens and the context holds {context}, at least one of "
        "them for the answer; send a shorter prompt, or deploy with a larger n_ctx",
        param=request.source,
        code="context_length_exceeded",
    )


def no_such_token(token: int, size: int) -> BadRequest:
    """Return the refusal of a token that a vocabulary of `size` does not have."""
    return BadRequest(
        400,
        f"the prompt has the token {token}, and the model's are 0 to {size - 1}; send tokens of "
        "its own vocabulary, or a text",
        param="prompt",
        code="invalid_value",
    )


def fills_nothing_in(name: str) -> BadRequest:
    """Return the refusal of a suffix by a model that was not trained to fill in."""
    return BadRequest(
        400,
        f"model {name!r} fills nothing in: its vocabulary has no tokens for that; leave 'suffix' out, or "
        "deploy a model for code",
        param="suffix",
        code="unsupported_value",
    )


def template_refuses(request: Request, reason: object) -> BadRequest:
    """Return the refusal of a conversation by the model's chat template."""
    return BadRequest(
        400,
        f"the model's chat template refuses these messages: {reason}",
        param=request.source,
        code="invalid_value",
    )


def wrong_schema(request: Request, error: ValueError) -> BadRequest:
    """Return the refusal of a schema: a tool's, or the answer's where there are none."""
    param = "functions" if request.legacy_functions else "tools" if request.tools else "response_format"
    return BadRequest(400, str(error), param=param, code="invalid_schema")


_NO_GRAMMAR = "failed to parse grammar"
"""llama.cpp's word for a grammar that it has made wrongly itself, since there is no such form."""


def grammar_not_taken(reason: object, request: Request | None = None) -> BadRequest:
    """Return the refusal of what an answer has to be, by llama.cpp."""
    if request is not None and request.tools and request.schema is not None and _NO_GRAMMAR in str(reason):
        return BadRequest(
            400,
            "the model's chat template has no form for tools and a response_format at once; send one of them, or "
            "have the answer told by a tool",
            param="response_format",
            code="unsupported_value",
        )
    return BadRequest(
        400,
        f"llama.cpp does not take the grammar of this request: {reason}; ask for something simpler",
        param="response_format",
        code="invalid_grammar",
    )


MOST_TRIES = 3
"""Answers that are generated until one conforms to what a grammar does not hold."""


def tries_of(request: Request, temperature: float) -> int:
    """Return how often an answer is generated at most; another seed changes nothing where the likeliest is taken."""
    return MOST_TRIES if request.schema is not None and temperature > 0 else 1


def unmet(text: str, schema: Any) -> str | None:
    """Return what is wrong with an answer by the request's schema: what its grammar did not hold."""
    try:
        return shortcoming(json.loads(text), schema)
    except SchemaError as error:
        return str(error)
    except (ValueError, RecursionError):
        return "it is no JSON"


def schema_not_met(wrong: str | None, tries: int) -> BadRequest:
    """Return the refusal to give an answer that does not conform."""
    return BadRequest(
        422,
        f"the model's answer does not conform to the schema: {wrong}; no grammar holds this, and {tries} of "
        f"{tries} answers missed it: tell the model in the prompt, or use another one",
        param="response_format",
        code="schema_not_met",
    )
