"""The four functions that a SageMaker container calls, over llama.cpp: OpenAI-style answers from a GGUF.

Owns what happens between the bytes of a request and the bytes of its answer. Laid flat into the archive's `code/`
with the `sealift_*` modules beside it; they import only the standard library, numpy and llama_cpp and keep to
Python 3.10. Refuses to send a part of an answer before the rest, and to generate twice at once: a context is not
thread-safe.

    model_fn -> input_fn -> predict_fn -> output_fn

All but the last take the toolkit's context as an optional last argument. With it, a wrong request or a model that does
not load becomes an answer with its status set there, because sagemaker-inference appends a traceback to every
exception's message (`Transformer.handle_error`); without it, they raise `BadRequest` and `LoadError`. A server that
knows more than the toolkit says it with attributes of its context, each of them optional:

    arrived     when the request did, by time.monotonic; else the time of input_fn counts
    note(...)   takes what the log is to say of the request; else it is a line of its own
    deadline()  when an answer has to end, by time.monotonic; else the settings' timeout_s after the arrival
    gone()      whether nobody waits for the answer any more
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
import time
import traceback
import uuid
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Union

# The prebuilt image and server.py have this folder on the path already.
sys.path.append(str(Path(__file__).resolve().parent))

from sealift_answers import (
    EVENTS,
    Head,
    Part,
    Said,
    answer_of,
    figures,
    likelihood,
    readable,
    said_of,
    stream_of,
)
from sealift_chat import ChatError, Constraint, Library, LibraryMissing, find_library
from sealift_conformity import loosened
from sealift_cpus import threads_for
from sealift_embeddings import EmbeddingModel, embeddings, in_form_of
from sealift_engine import Ask, Engine, Generation, Limits, Sampling
from sealift_fields import CHAT, EMBEDDINGS, RERANK
from sealift_folder import find_model, read_config
from sealift_log import event_of, line, line_in_columns, place, trace_of
from sealift_native import CHATML_END, Native, load, template_failure
from sealift_ranking import RankingModel, ranking, scores
from sealift_request import (
    JSON,
    MOST_SEED,
    MOST_TRIES,
    BadRequest,
    Request,
    Subject,
    fills_nothing_in,
    grammar_not_taken,
    no_such_token,
    parse_body,
    schema_not_met,
    suited,
    template_refuses,
    too_long,
    tries_of,
    unmet,
    wrong_schema,
)
from sealift_settings import LoadError, Settings, answering_s, settings_from
from sealift_shortcoming import SchemaError
from sealift_template import Conversation, Rendered, Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


# Loading ----------------------------------------------------------------------------------------------------


class Chat(Protocol):
    """What makes a prompt of a conversation, and a message of the answer to it."""

    def render(self, conversation: Conversation) -> Rendered:
        """Return a conversation as a prompt."""

    def grammar(self, schema: Any) -> str:
        """Return the grammar of a loosened schema."""


class Generator(Protocol):
    """What is used of `Engine`."""

    def generate(self, tokens: list[int], ask: Ask, limits: Limits) -> Generation:
        """Return the answer to a prompt."""


@dataclass(frozen=True)
class Model:
    """A loaded model; `lock` is held while it generates."""

    engine: Generator
    settings: Settings
    name: str
    context: int
    """Tokens that prompt and answer share."""
    tokenize: Callable[[str], list[int]]
    chat: Chat
    bos: int = -1
    """The token that begins a text, or -1."""
    vocabulary_size: int = 0
    piece: Callable[[int], bytes] = lambda _: b""
    """Tells the bytes of a token."""
    fill_in: tuple[int, int, int] | None = None
    """The tokens before a text to fill in, before what follows it, and before the filling; None without."""
    special: Callable[[Sequence[str]], frozenset[int]] = lambda _: frozenset()
    """Tells the tokens that stand for texts."""
    log: Callable[..., None] = field(default=lambda *_, **__: None)
    lock: threading.Lock = field(default_factory=threading.Lock)


# Answers ----------------------------------------------------------------------------------------------------


def complete(
    model: Model, request: Request, limits: Limits, *, created: int, identity: str, queued_s: float = 0.0
) -> Any:
    """Return the answer to a request, in the form that `sealift_answers` gives it.

    Args:
        model: the model to ask, alone: the caller holds its lock.
        request: what to answer.
        limits: what may end the answer early; its finish_reason says so.
        created: the time, in seconds since 1970.
        identity: what makes the answer's id unique.
        queued_s: seconds that the request has waited.

    Raises:
        BadRequest: when a prompt does not fit the context, the chat template refuses the messages, the vocabulary
            cannot write what the response_format asks, or no answer conforms to it.
    """
    begun = time.monotonic()
    prompts = [_prompt(model, request, subject) for subject in request.subjects]
    # Without one, samplers continue a fixed series: the same answers in every container.
    seed = _or(request.seed, uuid.uuid4().int % (MOST_SEED + 1))
    sampling = _sampling(model, request, seed)
    parts = [_part(model, request, prompt, sampling, limits) for prompt in prompts]
    return answer_of(request, parts, Head(identity, created, model.name, queued_s, begun))


@dataclass(frozen=True)
class _Prompt:
    tokens: list[int]
    room: int
    """Tokens of the context that are left for the answer."""
    text: str = ""
    rendered: Rendered | None = None
    """Of a conversation."""

    def content(self, found: Generation) -> str:
        """Return what an answer says, without its thoughts and calls."""
        return found.text if self.rendered is None else self.rendered.message(found.text)["content"] or ""


def _prompt(model: Model, request: Request, subject: Subject) -> _Prompt:
    """Return the tokens of what is to be answered."""
    rendered, text = None, ""
    if isinstance(subject, str):
        text, tokens = subject, _text_tokens(model, subject)
        if request.suffix is not None:
            tokens = _filling(model, tokens, request.suffix)
    elif isinstance(subject[0], dict):
        rendered = _rendered(model, request, subject)
        tokens = _text_tokens(model, rendered.prompt)
    else:
        tokens = _given_tokens(model, subject)
        text = readable(b"".join(map(model.piece, tokens)))
    room = model.context - len(tokens)
    if room < 1:
        raise too_long(request, len(tokens), model.context)
    return _Prompt(tokens, room, text, rendered)


def _sampling(model: Model, request: Request, seed: int) -> Sampling:
    settings, given = model.settings, dict(request.sampling)
    if "dry_sequence_breakers" in given:
        given["dry_sequence_breakers"] = tuple(given["dry_sequence_breakers"])
    return Sampling(
        temperature=float(_or(request.temperature, settings.temperature)),
        top_p=float(_or(request.top_p, settings.top_p)),
        seed=seed,
        logit_bias=tuple(_biased(model, request.logit_bias)),
        ignore_eos=request.ignore_eos,
        min_tokens=request.min_tokens,
        stop_tokens=request.stop_tokens,
        **given,
    )


def _biased(model: Model, biases: Sequence[tuple[int | str, float]]) -> Iterator[tuple[int, float]]:
    """Give the tokens of a logit_bias; one that the vocabulary does not have changes nothing, as in llama-server."""
    for key, bias in biases:
        tokens = _without_bos(model, model.tokenize(key)) if isinstance(key, str) else [key]
        yield from ((token, bias) for token in tokens if 0 <= token < model.vocabulary_size)


def _part(model: Model, request: Request, prompt: _Prompt, sampling: Sampling, limits: Limits) -> Part:
    """Generate the answers to one prompt, each with a seed of its own, and choose those to tell."""
    wanted = _wanted(model, request, prompt)
    rendered = prompt.rendered
    ask = Ask(
        max_tokens=wanted,
        sampling=sampling,
        stops=(*request.stop, *(rendered.stops if rendered else ())),
        told_stops=frozenset(request.stop if request.tells_stop else ()),
        constraint=rendered.constraint if rendered else _constraint(model, request),
        preserved=model.special(rendered.preserved) if rendered else frozenset(),
        logprobs=request.noted,
        tells_prompt=request.echo and request.logprobs is not None and rendered is None,
    )
    said: list[Said] = []
    generated: list[Generation] = []
    for number in range(request.best_of):
        seed = (sampling.seed + number * MOST_TRIES) % (MOST_SEED + 1)
        own = replace(ask, sampling=replace(sampling, seed=seed))
        generated += _tried(model, request, prompt, own, limits)
        found = generated[-1]
        said.append(_said(request, rendered, found, seed))
    if request.chooses:
        said.sort(key=likelihood, reverse=True)
    return Part(said[: request.choices], generated, prompt.text)


def _constraint(model: Model, request: Request) -> Constraint | None:
    """Return what holds the answer to a text."""
    if request.grammar is not None:
        return Constraint(request.grammar)
    if request.schema is None:
        return None
    try:
        return Constraint(model.chat.grammar(loosened(request.schema)))
    except ChatError as error:
        raise wrong_schema(request, error) from error


def _wanted(model: Model, request: Request, prompt: _Prompt) -> int:
    """Return how many tokens an answer may have."""
    wanted = request.max_tokens
    if wanted is None and request.max_length is not None:
        wanted = max(1, request.max_length - len(prompt.tokens))
    wanted = _or(wanted, model.settings.max_tokens)
    return prompt.room if wanted < 0 else min(wanted, prompt.room)


def _tried(model: Model, request: Request, prompt: _Prompt, ask: Ask, limits: Limits) -> list[Generation]:
    """Generate answers until one conforms to the request's schema; return them all, that one last.

    Raises:
        BadRequest: when none of a few does, or the vocabulary cannot write one.
    """
    tries = tries_of(request, ask.sampling.temperature)
    found: list[Generation] = []
    wrong = None
    for number in range(tries):
        sampling = replace(ask.sampling, seed=(ask.sampling.seed + number) % (MOST_SEED + 1))
        found.append(_generated_once(model, request, prompt, replace(ask, sampling=sampling), limits))
        if found[-1].finish_reason == "dead_end" and not request.tools:
            _whole(request, prompt.content(found[-1]))
        ended = found[-1].finish_reason in ("stop", "dead_end") and not found[-1].stopped
        checked = ended and request.schema is not None and not request.tools
        wrong = unmet(prompt.content(found[-1]), request.schema) if checked else None
        if wrong is None:
            return found
    raise schema_not_met(wrong, tries)


def _generated_once(model: Model, request: Request, prompt: _Prompt, ask: Ask, limits: Limits) -> Generation:
    """Return one answer.

    Raises:
        BadRequest: when llama.cpp does not take its grammar.
    """
    try:
        return model.engine.generate(prompt.tokens, ask, limits)
    except ValueError as error:
        raise grammar_not_taken(error, request) from error


def _said(request: Request, rendered: Rendered | None, found: Generation, seed: int) -> Said:
    message = None if rendered is None else rendered.message(found.text)
    reason = found.finish_reason
    if reason == "dead_end":
        calls = message.get("tool_calls") if message else None
        text = found.text if message is None else message["content"] or ""
        reason = "stop" if calls else _whole(request, text)
    return said_of(request, found, message, seed, reason)


def _whole(request: Request, text: str) -> str:
    """Return the finish reason of an answer that its grammar does not let go on.

    A vocabulary without a token that ends an answer leaves JSON that is complete.

    Raises:
        BadRequest: when it is not complete: the vocabulary lacks a character that comes next.
    """
    if request.grammar is None:
        with contextlib.suppress(ValueError):
            json.loads(text)
            return "stop"
    param = "response_format" if request.grammar is None else "grammar"
    raise BadRequest(
        400,
        f"the model's vocabulary cannot write what {param} asks after {text[-40:]!r}; "
        "use another schema, or another model",
        param=param,
        code="unsatisfiable_schema",
    )


def _text_tokens(model: Model, text: str) -> list[int]:
    tokens = model.tokenize(text)
    # A prompt or a template that writes the token itself would have it twice.
    return tokens[1:] if tokens[:2] == [model.bos, model.bos] else tokens


def _without_bos(model: Model, tokens: list[int]) -> list[int]:
    return tokens[1:] if tokens[:1] == [model.bos] else tokens


def _filling(model: Model, tokens: list[int], suffix: str) -> list[int]:
    """Return the prompt that asks for what stands between a text and its suffix."""
    if model.fill_in is None:
        raise fills_nothing_in(model.name)
    before, after, middle = model.fill_in
    text = _without_bos(model, tokens)
    begin = tokens[: len(tokens) - len(text)]
    return [*begin, before, *text, after, *_without_bos(model, model.tokenize(suffix)), middle]


def _given_tokens(model: Model, subject: Sequence[Any]) -> list[int]:
    """Return the tokens of a list of them, as they are; a text among them begins none."""
    tokens: list[int] = []
    for one in subject:
        if isinstance(one, str):
            some = model.tokenize(one)
            tokens += _without_bos(model, some) if tokens else some
        elif 0 <= one < model.vocabulary_size:
            tokens.append(one)
        else:
            raise no_such_token(one, model.vocabulary_size)
    return tokens


def _rendered(model: Model, request: Request, messages: Sequence[Any]) -> Rendered:
    schema = None if request.schema is None else loosened(request.schema)
    conversation = Conversation(
        messages,
        tools=request.tools,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        schema=schema,
        grammar=request.grammar,
        continues=request.continues,
        begins_answer=request.begins_answer,
        variables=request.template,
        reasoning_format=request.reasoning_format,
    )
    try:
        return model.chat.render(conversation)
    except SchemaError as error:
        raise wrong_schema(request, error) from error
    except ChatError as error:
        raise template_refuses(request, error) from error


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


# The contract -----------------------------------------------------------------------------------------------


def log_line(event: str, *, columns: bool = False, **details: Any) -> None:
    """Write one line on stdout; it never holds a prompt or an answer.

    Args:
        event: what happened.
        columns: whether the figures of a request come first, as TorchServe's log needs it.
        details: what else there is to say.
    """
    text = (line_in_columns if columns else line)(event, **details)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Unloaded:
    """Stands for a model that could not be loaded."""

    reason: str
    log: Callable[..., None] = field(default=lambda *_, **__: None, compare=False)


Loaded = Union[Model, EmbeddingModel, RankingModel]


def model_fn(model_dir: str, context: Any = None) -> Loaded | Unloaded:
    """Load the model in a folder with the settings of `code/config.json` and the environment; generate one token.

    A model that is for embeddings embeds one text, and one that ranks ranks it.

    With the toolkit's context a failure becomes an `Unloaded`, which answers every request with the reason. Raised,
    it would end TorchServe's worker, which starts over for ever: every request would wait until its client gives up,
    and the log loses the end of most tracebacks. /ping says 200 either way.

    Raises:
        LoadError: with what is wrong, when there is no context.
    """
    log = log_line if context is None else functools.partial(log_line, columns=True)
    try:
        model = _model(Path(model_dir))
    except Exception as error:
        if context is None:
            raise
        reason = f"the model could not be loaded: {type(error).__name__}: {error}"
        sys.stderr.write(f"{traceback.format_exc()}{reason}\n")
        return Unloaded(reason, log)
    return replace(model, log=log)


def _model(folder: Path) -> Loaded:
    begun = time.monotonic()
    config = read_config([folder / "code", Path(__file__).parent])
    # The toolkit hands over nothing but the folder, so the endpoint's Environment is read here.
    settings = settings_from(config, os.environ)  # noqa: TID251
    threads = threads_for(settings.n_threads)
    path = find_model(folder)
    native = load(path, settings, threads)
    loaded = time.monotonic()
    if native.unserved:
        raise LoadError(f"model file {path.name!r} is {native.unserved}")
    if native.embeds:
        return _embedding_model(native, settings, path, begun, loaded)
    if native.ranks:
        return _ranking_model(native, settings, path, begun, loaded)
    try:
        templates = native.templates(Library(find_library()))
    except LibraryMissing as error:
        raise LoadError(str(error)) from error
    except ChatError as error:
        raise LoadError(f"model file {path.name!r}: {template_failure(error)}") from error
    engine = Engine(native, settings.prefix_cache_mb << 20 if native.forgets_in_part else 0)
    try:
        engine.warm_up(native.tokenize("Hello") or [0])
    except (RuntimeError, ValueError) as error:
        raise LoadError(f"model file {path.name!r} is loaded, and generates no token: {error}") from error
    model = Model(
        engine=engine,
        settings=settings,
        name=settings.model_name or native.name or path.stem,
        # llama.cpp rounds its figure up, the buffers do not follow.
        context=min(settings.n_ctx, native.context),
        tokenize=native.tokenize,
        chat=Template(templates, () if native.template else (CHATML_END,)),
        bos=native.bos,
        vocabulary_size=native.vocabulary_size,
        piece=native.piece,
        fill_in=native.fill_in,
        special=native.special,
        log=log_line,
    )
    _tell_loaded(
        model,
        path,
        begun,
        loaded,
        "token",
        n_ctx=model.context,
        n_batch=settings.n_batch,
        n_threads=threads,
        use_mmap=settings.use_mmap,
        chat_template="of the GGUF" if native.template else "ChatML: the GGUF has none",
    )
    return model


def _embedding_model(
    native: Native, settings: Settings, path: Path, begun: float, loaded: float
) -> EmbeddingModel:
    encoder = native.encoder(settings.n_ctx)
    try:
        encoder.embed(encoder.tokenize("Hello") or [0])
    except RuntimeError as error:
        raise LoadError(f"model file {path.name!r} is loaded, and embeds nothing: {error}") from error
    name = settings.model_name or native.name or path.stem
    model = EmbeddingModel(encoder, name, settings.timeout_s, log_line)
    _tell_loaded(
        model,
        path,
        begun,
        loaded,
        "embedding",
        n_ctx=encoder.most,
        width=encoder.width,
        use_mmap=settings.use_mmap,
    )
    return model


def _ranking_model(
    native: Native, settings: Settings, path: Path, begun: float, loaded: float
) -> RankingModel:
    ranker = native.ranker(settings.n_ctx)
    try:
        ranker.score(ranker.tokens("Hello", special=False) or [0])
    except RuntimeError as error:
        raise LoadError(f"model file {path.name!r} is loaded, and ranks nothing: {error}") from error
    name = settings.model_name or native.name or path.stem
    model = RankingModel(ranker, name, settings.timeout_s, log_line)
    _tell_loaded(model, path, begun, loaded, "score", n_ctx=ranker.most, use_mmap=settings.use_mmap)
    return model


def _tell_loaded(model: Loaded, path: Path, begun: float, loaded: float, what: str, **more: Any) -> None:
    """Have the log say which model was loaded, how long that took, and from then on the first of what it gives."""
    model.log(
        "model_loaded",
        model=model.name,
        file=path.name,
        seconds=round(loaded - begun, 3),
        **{f"first_{what}_seconds": _seconds(loaded)},
        **more,
    )


def input_fn(
    body: bytes | bytearray | str, content_type: str | None, context: Any = None
) -> Request | BadRequest:
    """Return the request in a body, or what is wrong with it.

    Raises:
        BadRequest: when it is wrong and no context takes the status.
    """
    arrived = time.monotonic()
    try:
        return replace(parse_body(body, content_type), arrived=arrived)
    except BadRequest as error:
        return _refused(error, context)


@dataclass(frozen=True)
class Events:
    """An answer as one whole stream of server-sent events."""

    body: str


def predict_fn(data: Request | BadRequest, model: Loaded | Unloaded, context: Any = None) -> Any:
    """Return the answer to a request, or what is wrong with it or with the model.

    Raises:
        BadRequest: when it is wrong and no context takes the status.
    """
    arrived = _or(getattr(context, "arrived", None), _or(getattr(data, "arrived", None), time.monotonic()))
    identity = uuid.uuid4().hex
    try:
        return _answered(data, model, arrived, identity, context)
    except BadRequest as error:
        source = {"source": data.source} if isinstance(data, Request) else {}
        _tell(model, context, arrived, error.status_code, id=identity, **source, code=error.code)
        return _refused(error, context)
    except Exception:
        _tell(model, context, arrived, HTTPStatus.INTERNAL_SERVER_ERROR, id=identity, code="internal_error")
        raise


def _tell(model: Any, context: Any, arrived: float, status: int, **details: Any) -> None:
    """Have the log say what came of a request: in the server's own line for it where there is one."""
    event, note = event_of(status), getattr(context, "note", None)
    if callable(note):
        note(event, **details)
        return
    headers = getattr(context, "get_all_request_header", None)
    trace = trace_of(headers(0).items()) if callable(headers) else {}
    # The toolkit does not say whose container this is, so the endpoint's Environment is read here.
    where = place(os.environ)  # noqa: TID251
    log = getattr(model, "log", log_line)
    log(event, status=status, seconds=_seconds(arrived), **where, **trace, **details)


def _answered(
    data: Request | BadRequest, model: Loaded | Unloaded, arrived: float, identity: str, context: Any
) -> Any:
    """Return the answer to a request; have the log say what it took.

    Raises:
        BadRequest: when the request is wrong, or asks a model for what it does not do; when no model is loaded.
    """
    if isinstance(data, BadRequest):
        raise data
    if isinstance(model, Unloaded):
        raise BadRequest(500, model.reason, code="load_failed")
    request = suited(data, _does(model), model.name)
    if isinstance(model, Model):
        answer, told = _generated(model, request, arrived, identity, context)
    elif isinstance(model, EmbeddingModel):
        answer, told = _embedded(model, request, arrived, context)
    else:
        answer, told = _ranked(model, request, arrived, context)
    _tell(model, context, arrived, HTTPStatus.OK, **{"id": identity, "source": request.source, **told})
    return answer


def _does(model: Loaded) -> str:
    return (
        EMBEDDINGS
        if isinstance(model, EmbeddingModel)
        else RERANK
        if isinstance(model, RankingModel)
        else CHAT
    )


def _generated(model: Model, data: Request, arrived: float, identity: str, context: Any) -> tuple[Any, Any]:
    """Return the answer, and what the log says of it, as the next two do."""
    limits = _limits(model.settings.timeout_s, arrived, context, data.max_time)
    with model.lock:
        answer = complete(
            model,
            data,
            limits,
            created=int(time.time()),
            identity=identity,
            queued_s=time.monotonic() - arrived,
        )
    told = {"constrained": data.constrained, **figures(answer)}
    return Events(stream_of(data, answer)) if data.stream else answer, told


def _embedded(model: EmbeddingModel, data: Request, arrived: float, context: Any) -> tuple[Any, Any]:
    limits = _limits(model.timeout_s, arrived, context)
    with model.lock:
        answer = embeddings(model, data, limits, queued_s=time.monotonic() - arrived)
    return in_form_of(data, answer), {"texts": len(data.texts), **answer["timings"]}


def _ranked(model: RankingModel, data: Request, arrived: float, context: Any) -> tuple[Any, Any]:
    limits = _limits(model.timeout_s, arrived, context)
    with model.lock:
        found = scores(model, data, limits, queued_s=time.monotonic() - arrived)
    return ranking(data, found, model.name), {"texts": len(data.texts), **found.timings}


def output_fn(prediction: Any, accept: str | None) -> tuple[str, str]:  # noqa: ARG001 the contract's signature
    """Return the answer's body and its content type, which is JSON whatever is accepted, or events for a stream."""
    if isinstance(prediction, BadRequest):
        return str(prediction.message), JSON
    if isinstance(prediction, Events):
        return prediction.body, EVENTS
    return json.dumps(prediction, ensure_ascii=False), JSON


def _limits(timeout_s: float, arrived: float, context: Any, wanted_s: float | None = None) -> Limits:
    """Return when an answer has to end: what the settings leave of its call's time, or the server's own word.

    A request may want it earlier.
    """
    own = arrived + min(answering_s(timeout_s), float("inf") if wanted_s is None else wanted_s)
    deadline = getattr(context, "deadline", None)
    gone = getattr(context, "gone", None)
    return Limits(
        (lambda: min(own, deadline())) if callable(deadline) else (lambda: own),
        gone if callable(gone) else None,
    )


def _seconds(begun: float) -> float:
    return round(time.monotonic() - begun, 3)


def _refused(error: BadRequest, context: Any) -> BadRequest:
    """Set the status in the context and return the error as data; raise it when there is no context."""
    if context is None:
        raise error
    context.set_response_status(code=error.status_code, phrase=error.phrase)
    return error
