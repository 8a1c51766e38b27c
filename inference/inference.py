"""The four functions that a SageMaker container calls, over llama.cpp: OpenAI-style answers from a GGUF.

Owns what happens between the bytes of a request and the bytes of its answer. Laid flat into the archive's `code/`
with the `sealift_*` modules beside it; they import only the standard library, numpy and llama_cpp and keep to
Python 3.10. Refuses to stream and to generate twice at once: a context is not thread-safe.

    model_fn -> input_fn -> predict_fn -> output_fn

All but the last take the toolkit's context as an optional last argument. With it, a wrong request or a model that does
not load becomes an answer with its status set there, because sagemaker-inference appends a traceback to every
exception's message (`Transformer.handle_error`); without it, they raise `BadRequest` and `LoadError`. A server that
knows more than the toolkit says it with attributes of its context, each of them optional:

    arrived     when the request did, by time.monotonic; else the time of input_fn counts
    deadline()  when an answer has to end, by time.monotonic; else the settings' timeout_s after the arrival
    gone()      whether nobody waits for the answer any more
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import traceback
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

# The prebuilt image and server.py have this folder on the path already.
sys.path.append(str(Path(__file__).resolve().parent))

from sealift_cpus import usable_cpus
from sealift_embeddings import EmbeddingModel, embeddings
from sealift_engine import Ask, Engine, Generation, Limits, Sampling
from sealift_models import is_model, models, shard_names
from sealift_native import CHATML_END, Native, load
from sealift_request import JSON, SEED, BadRequest, Request, parse_body
from sealift_settings import LoadError, Settings, settings_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MARGIN_S = 3.0
"""Seconds that are left of a call's time when an answer is ended: for what it still takes to send it."""


# Loading ----------------------------------------------------------------------------------------------------


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
    chat_prompt: Callable[[list[dict[str, str]]], str]
    """Renders messages to a prompt."""
    bos: int = -1
    """The token that begins a text, or -1."""
    chat_stops: tuple[str, ...] = ()
    """What ends an answer to messages, beside the vocabulary's own tokens."""
    log: Callable[..., None] = field(default=lambda *_, **__: None)
    lock: threading.Lock = field(default_factory=threading.Lock)


def find_model(model_dir: Path) -> Path:
    """Return the one GGUF at the root of a folder, or the first shard of the one that is split.

    Raises:
        LoadError: when there is none, more than one, or a shard is missing.
    """
    names = [path.name for path in model_dir.glob("*") if is_model(path.name) and path.is_file()]
    if not names:
        nested = sorted(str(path.relative_to(model_dir)) for path in model_dir.glob("*/**/*.gguf"))
        hidden = sorted(path.name for path in model_dir.glob(".*.gguf"))
        seen = f"only {', '.join(nested[:5])} below it" if nested else "none"
        seen = f"only {', '.join(hidden[:5])}, hidden by the dot" if hidden else seen
        raise LoadError(
            f"no model in {str(model_dir)!r}: {seen}; wanted one .gguf file at its root; put it at the root "
            "of the archive"
        )
    found, *others = models(names)
    if others:
        raise LoadError(
            f"{len(names)} models in {str(model_dir)!r}: {', '.join(sorted(names)[:5])}; wanted one .gguf file, or "
            "all shards of one model; leave one"
        )
    wanted = shard_names(found[0])
    missing = sorted(set(wanted).difference(found))
    extra = sorted(set(found).difference(wanted))
    if missing or extra:
        raise LoadError(
            f"{len(missing)} of {len(wanted)} shards are missing in {str(model_dir)!r}: "
            f"{', '.join(missing[:5] or extra[:5])}; put all of them into the archive"
        )
    return model_dir / wanted[0]


def read_config(folders: Sequence[Path]) -> Any:
    """Return the content of the first config.json in `folders`, or an empty object when there is none.

    Raises:
        LoadError: when it is not JSON.
    """
    for folder in folders:
        path = folder / "config.json"
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise LoadError(f"{str(path)!r} cannot be read as JSON: {error}") from error
    return {}


# Answers ----------------------------------------------------------------------------------------------------


def complete(
    model: Model, request: Request, limits: Limits, *, created: int, identity: str, queued_s: float = 0.0
) -> dict[str, Any]:
    """Return the OpenAI-style answer to a request.

    Args:
        model: the model to ask, alone: the caller holds its lock.
        request: what to answer.
        limits: what may end the answer early; its finish_reason says so.
        created: the time, in seconds since 1970.
        identity: what makes the answer's id unique.
        queued_s: seconds that the request has waited.

    Raises:
        BadRequest: when the prompt does not fit the context, the chat template refuses the messages, or the
            vocabulary cannot write what the response_format asks.
    """
    tokens = _tokens(model, request)
    room = model.context - len(tokens)
    if room < 1:
        raise BadRequest(
            400,
            f"the prompt has {len(tokens)} tokens and the context holds {model.context}, at least one of "
            "them for the answer; send a shorter prompt, or deploy with a larger n_ctx",
            param=request.source,
            code="context_length_exceeded",
        )
    settings = model.settings
    chat = request.messages is not None
    sampling = Sampling(
        temperature=float(_or(request.temperature, settings.temperature)),
        top_p=float(_or(request.top_p, settings.top_p)),
        # Without one, samplers continue a fixed series: the same answers in every container.
        seed=_or(request.seed, uuid.uuid4().int % SEED.high),
    )
    ask = Ask(
        max_tokens=min(_or(request.max_tokens, settings.max_tokens), room),
        sampling=sampling,
        stops=(*request.stop, *(model.chat_stops if chat else ())),
        grammar=request.grammar,
        logprobs=request.logprobs,
    )
    found = model.engine.generate(tokens, ask, limits)
    finish_reason = _whole(found) if found.finish_reason == "dead_end" else found.finish_reason
    said: dict[str, Any] = (
        {"message": {"role": "assistant", "content": found.text}} if chat else {"text": found.text}
    )
    logprobs = None
    if request.logprobs is not None:
        logprobs = _chat_logprobs(found) if chat else _text_logprobs(found, len(request.prompt))
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{identity}",
        "object": "chat.completion" if chat else "text_completion",
        "created": created,
        "model": model.name,
        "choices": [{"index": 0, **said, "logprobs": logprobs, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": found.prompt_tokens,
            "completion_tokens": found.completion_tokens,
            "total_tokens": found.prompt_tokens + found.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": found.cached_tokens},
        },
        "timings": _timings(found, queued_s),
    }


def _timings(found: Generation, queued_s: float) -> dict[str, Any]:
    """Return llama-server's names, and the time in the queue."""
    return {
        "queue_ms": _ms(queued_s),
        "cache_n": found.cached_tokens,
        "prompt_n": found.evaluated_tokens,
        "prompt_ms": _ms(found.prompt_s),
        "prompt_per_second": _rate(found.evaluated_tokens, found.prompt_s),
        "predicted_n": found.completion_tokens,
        "predicted_ms": _ms(found.predicted_s),
        "predicted_per_second": _rate(found.completion_tokens, found.predicted_s),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3) if seconds > 0 else 0.0


def _whole(found: Generation) -> str:
    """Return the finish reason of an answer that its grammar does not let go on.

    A vocabulary without a token that ends an answer leaves one that is complete.

    Raises:
        BadRequest: when it is not complete: the vocabulary lacks a character that comes next.
    """
    try:
        json.loads(found.text)
    except ValueError as error:
        raise BadRequest(
            400,
            f"the model's vocabulary cannot write what response_format asks after {found.text[-40:]!r}; "
            "use another schema, or another model",
            param="response_format",
            code="unsatisfiable_schema",
        ) from error
    return "stop"


def _readable(piece: bytes) -> str:
    return piece.decode("utf-8", errors="replace")


def _log(probability: float) -> float:
    """Return a log-probability as JSON can hold it: OpenAI's own stand-in for minus infinity."""
    return round(probability, 6) if math.isfinite(probability) else -9999.0


def _text_logprobs(found: Generation, offset: int) -> dict[str, Any]:
    """Return log-probabilities in the form of OpenAI's completions; offsets count from the prompt's beginning."""
    tokens = [_readable(choice.piece) for choice in found.choices]
    return {
        "tokens": tokens,
        "token_logprobs": [_log(choice.logprob) for choice in found.choices],
        "top_logprobs": [
            {_readable(piece): _log(value) for piece, value in reversed(choice.top)}
            for choice in found.choices
        ],
        "text_offset": [offset + sum(map(len, tokens[:n])) for n in range(len(tokens))],
    }


def _chat_logprobs(found: Generation) -> dict[str, Any]:
    """Return log-probabilities in the form of OpenAI's chat completions."""

    def one(piece: bytes, value: float) -> dict[str, Any]:
        return {"token": _readable(piece), "logprob": _log(value), "bytes": list(piece)}

    return {
        "content": [
            {
                **one(choice.piece, choice.logprob),
                "top_logprobs": [one(piece, value) for piece, value in choice.top],
            }
            for choice in found.choices
        ],
        "refusal": None,
    }


def _tokens(model: Model, request: Request) -> list[int]:
    prompt = request.prompt if request.messages is None else _chat_prompt(model, request.messages)
    tokens = model.tokenize(prompt)
    # A prompt or a template that writes the token itself would have it twice.
    return tokens[1:] if tokens[:2] == [model.bos, model.bos] else tokens


def _chat_prompt(model: Model, messages: Sequence[dict[str, str]]) -> str:
    try:
        return model.chat_prompt(list(messages))
    except Exception as error:  # a template is the model's own program, and raises what it likes
        raise BadRequest(
            400,
            f"the model's chat template refuses these messages: {error}",
            param="messages",
            code="invalid_value",
        ) from error


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


# The contract -----------------------------------------------------------------------------------------------


def log_line(event: str, **details: Any) -> None:
    """Write one JSON line on stdout, as server.py does; it never holds a prompt or an answer."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    sys.stdout.write(f"{json.dumps({'time': now, 'event': event, **details})}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Unloaded:
    """Stands for a model that could not be loaded."""

    reason: str


def model_fn(model_dir: str, context: Any = None) -> Model | EmbeddingModel | Unloaded:
    """Load the model in a folder with the settings of `code/config.json` and the environment; generate one token.

    A model that is for embeddings embeds one text.

    With the toolkit's context a failure becomes an `Unloaded`, which answers every request with the reason. Raised,
    it would end TorchServe's worker, which starts over for ever: every request would wait until its client gives up,
    and the log loses the end of most tracebacks. /ping says 200 either way.

    Raises:
        LoadError: with what is wrong, when there is no context.
    """
    try:
        return _model(Path(model_dir))
    except Exception as error:
        if context is None:
            raise
        reason = f"the model could not be loaded: {type(error).__name__}: {error}"
        sys.stderr.write(f"{traceback.format_exc()}{reason}\n")
        return Unloaded(reason)


def _model(folder: Path) -> Model | EmbeddingModel:
    begun = time.monotonic()
    config = read_config([folder / "code", Path(__file__).parent])
    # The toolkit hands over nothing but the folder, so the endpoint's Environment is read here.
    settings = settings_from(config, os.environ)  # noqa: TID251
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = min(settings.n_threads, usable_cpus(allowed, Path("/")))
    path = find_model(folder)
    native = load(path, settings, threads)
    loaded = time.monotonic()
    if native.unserved:
        raise LoadError(f"model file {path.name!r} is {native.unserved}")
    if native.embeds:
        return _embedding_model(native, settings, path, begun, loaded)
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
        chat_prompt=native.chat_prompt,
        bos=native.bos,
        chat_stops=() if native.template else (CHATML_END,),
        log=log_line,
    )
    model.log(
        "model_loaded",
        model=model.name,
        file=path.name,
        seconds=round(loaded - begun, 3),
        first_token_seconds=round(time.monotonic() - loaded, 3),
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
    model.log(
        "model_loaded",
        model=name,
        file=path.name,
        seconds=round(loaded - begun, 3),
        first_embedding_seconds=round(time.monotonic() - loaded, 3),
        n_ctx=encoder.most,
        width=encoder.width,
        use_mmap=settings.use_mmap,
    )
    return model


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


def predict_fn(
    data: Request | BadRequest, model: Model | EmbeddingModel | Unloaded, context: Any = None
) -> dict[str, Any] | BadRequest:
    """Return the answer to a request, or what is wrong with it or with the model.

    Raises:
        BadRequest: when it is wrong and no context takes the status.
    """
    if isinstance(data, BadRequest):
        return data
    if isinstance(model, Unloaded):
        return _refused(BadRequest(500, model.reason, code="load_failed"), context)
    arrived = _or(getattr(context, "arrived", None), _or(data.arrived, time.monotonic()))
    try:
        _see_suits(data, model)
        answer_of = _embedded if isinstance(model, EmbeddingModel) else _generated
        return answer_of(model, data, arrived, context)
    except BadRequest as error:
        return _refused(error, context)


def _see_suits(request: Request, model: Model | EmbeddingModel) -> None:
    """Refuse to ask a model for what it does not do."""
    if isinstance(model, EmbeddingModel) == (request.source == "input"):
        return
    does, ask = (
        ("embeds texts, and generates none", "'input'")
        if isinstance(model, EmbeddingModel)
        else ("generates text, and embeds none", "'messages' or 'prompt'")
    )
    raise BadRequest(
        400,
        f"the request has {request.source!r}, and model {model.name!r} {does}; ask with {ask}",
        param=request.source,
        code="wrong_task",
    )


def _generated(model: Model, data: Request, arrived: float, context: Any) -> dict[str, Any]:
    limits = _limits(model.settings.timeout_s, arrived, context)
    identity = uuid.uuid4().hex
    with model.lock:
        begun = time.monotonic()
        try:
            answer = complete(
                model,
                data,
                limits,
                created=int(time.time()),
                identity=identity,
                queued_s=begun - arrived,
            )
        except BadRequest as error:
            model.log("refused", id=identity, source=data.source, seconds=_seconds(begun), code=error.code)
            raise
    model.log(
        "answered",
        id=answer["id"],
        source=data.source,
        seconds=_seconds(begun),
        finish_reason=answer["choices"][0]["finish_reason"],
        constrained=data.grammar is not None,
        **answer["timings"],
    )
    return answer


def _embedded(model: EmbeddingModel, data: Request, arrived: float, context: Any) -> dict[str, Any]:
    limits = _limits(model.timeout_s, arrived, context)
    told = {"id": uuid.uuid4().hex, "source": data.source, "texts": len(data.texts)}
    with model.lock:
        begun = time.monotonic()
        try:
            answer = embeddings(model, data, limits, queued_s=begun - arrived)
        except BadRequest as error:
            model.log("refused", **told, seconds=_seconds(begun), code=error.code)
            raise
    model.log("answered", **told, seconds=_seconds(begun), **answer["timings"])
    return answer


def output_fn(prediction: dict[str, Any] | BadRequest, accept: str | None) -> tuple[str, str]:  # noqa: ARG001 the contract's signature
    """Return the answer's body and its content type, which is JSON whatever was requested."""
    if isinstance(prediction, BadRequest):
        return str(prediction.message), JSON
    return json.dumps(prediction, ensure_ascii=False), JSON


def _limits(timeout_s: float, arrived: float, context: Any) -> Limits:
    """Return when an answer has to end: what the settings leave of its call's time, or the server's own word."""
    own = arrived + timeout_s - min(MARGIN_S, timeout_s / 4)
    told = getattr(context, "deadline", None)
    gone = getattr(context, "gone", None)
    return Limits(
        (lambda: min(own, told())) if callable(told) else (lambda: own), gone if callable(gone) else None
    )


def _seconds(begun: float) -> float:
    return round(time.monotonic() - begun, 3)


def _refused(error: BadRequest, context: Any) -> BadRequest:
    """Set the status in the context and return the error as data; raise it when there is no context."""
    if context is None:
        raise error
    context.set_response_status(code=error.status_code, phrase=error.phrase)
    return error
