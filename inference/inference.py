"""The four functions that a SageMaker container calls, over llama.cpp: OpenAI-style answers from a GGUF.

Owns what happens between the bytes of a request and the bytes of its answer, and the settings behind it.
Laid flat into the archive's `code/`, so it imports only the standard library and llama_cpp and keeps to
Python 3.10. Refuses to guess: a request or a setting that is wrong is told with everything that is wrong with
it. Refuses to stream and to generate twice at once: a `Llama` is not thread-safe.

    model_fn -> input_fn -> predict_fn -> output_fn

All but the last take the toolkit's context as an optional last argument. With it, a wrong request or a model that does
not load becomes an answer with its status set there, because sagemaker-inference appends a traceback to every
exception's message (`Transformer.handle_error`); without it, they raise `BadRequest` and `LoadError`.
"""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import io
import json
import os
import re
import sys
import threading
import time
import traceback
import uuid
from collections import deque
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.gguf")
_GGML_LOG_LEVEL_ERROR = 4


class LoadError(RuntimeError):
    """The model or its settings cannot be used; the message says all that is wrong and what to do."""


class BadRequest(ToolkitError):  # type: ignore[misc]
    """A request that is not answered: `message` is the body to answer with, as JSON, `reason` the sentence in it."""

    def __init__(self, status: int, reason: str, *, param: str | None = None, code: str) -> None:
        self.reason = reason
        kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        body = {"error": {"message": reason, "type": kind, "param": param, "code": code}}
        super().__init__(status, json.dumps(body), HTTPStatus(status).phrase)

    def __str__(self) -> str:
        return self.reason


# Settings ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Range:
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


_RANGES = {
    "max_tokens": _Range(1, 32_768),
    "temperature": _Range(0, 2, whole=False),
    "top_p": _Range(0, 1, whole=False),
    "n_ctx": _Range(64, 131_072),
    "n_batch": _Range(1, 8192),
    "n_threads": _Range(1, 64),
}
_SEED = _Range(0, 2**32 - 2)  # 2**32 - 1 is llama.cpp's "choose one"


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


def settings_from(document: Any, environ: Mapping[str, str]) -> Settings:
    """Return the settings: SEALIFT_* variables over the document over the defaults.

    Args:
        document: what config.json holds; an empty object when there is none.
        environ: the container's environment.

    Raises:
        LoadError: with every problem of both.
    """
    if not isinstance(document, dict):
        raise LoadError(f"config.json is {_shown(document)}; wanted a JSON object")
    names = [known.name for known in fields(Settings)]
    given = [(f"config.json: {name}", name, value) for name, value in document.items()]
    for name in names:
        variable = f"SEALIFT_{name.upper()}"
        text = environ.get(variable, "")
        if text:
            given.append((f"environment: {variable}", name, text if name == "model_name" else _number(text)))
    problems = []
    values: dict[str, Any] = {}
    for where, name, value in given:
        if name not in names and name != "model_type":
            problems.append(f"config.json: {_unknown(name, ['model_type', *names])}")
            continue
        values[name] = value
        wanted = _shortcoming(name, value)
        if wanted:
            problems.append(f"{where} is {_shown(value)}; wanted {wanted}")
    if problems:
        raise LoadError(_listed(problems))
    values.pop("model_type", None)
    return Settings(**values)


def _shortcoming(name: str, value: Any) -> str | None:
    """Return what a setting should be; None when it is that."""
    if name == "model_type":
        return None if value == "gguf" else "'gguf'"
    if name == "model_name":
        return None if isinstance(value, str) and value else "a text that is not empty"
    return None if _RANGES[name].accepts(value) else str(_RANGES[name])


def _number(text: str) -> float | str:
    """Return the number that a text is, or the text itself when it is none."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown field {_shown(name)}; wanted one of {', '.join(sorted(known))}{hint}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    listed = "; ".join(f"({n}) {problem}" for n, problem in enumerate(problems, 1))
    return f"{len(problems)} problems: {listed}"


# CPUs -------------------------------------------------------------------------------------------------------


def usable_cpus(allowed: int, root: Path) -> int:
    """Return how many CPUs this container really has: what it may run on, bounded by its cgroup's quota.

    With more threads than that llama.cpp is a hundred times slower: its threads wait for each other in loops.

    Args:
        allowed: the number of CPUs that the scheduler may use for this process.
        root: where /proc and /sys are.
    """
    quota = _cpu_quota(root)
    return max(1, min(allowed, int(quota))) if quota is not None else max(1, allowed)


def _cpu_quota(root: Path) -> float | None:
    """Return the least quota, in CPUs, of this process's cgroup and all above it; None when there is none."""
    quotas = []
    # Without /proc/self/cgroup, what is mounted at the top is all that can be known.
    for line in (_text(root / "proc/self/cgroup") or "0::/\n1:cpu:/").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            base, quota_of = root / "sys/fs/cgroup", _quota_v2
        elif "cpu" in controllers.split(","):
            base, quota_of = root / "sys/fs/cgroup/cpu", _quota_v1
        else:
            continue
        # Inside a container the path is often the host's, and only the top of it is there.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        quotas += [quota_of(base.joinpath(*parts[:depth])) for depth in range(len(parts) + 1)]
    return min((quota for quota in quotas if quota), default=None)


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    """Return quota over period; None for "max", -1 and whatever else is not a quota."""
    if not quota.isdecimal() or not period.isdecimal() or not int(period):
        return None
    return int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


# Loading ----------------------------------------------------------------------------------------------------


class Llama(Protocol):
    """What is used of llama_cpp.Llama."""

    n_tokens: int
    """Tokens that were evaluated and may be continued."""
    input_ids: Any
    """Those tokens first, as an array; what stands behind them is left over."""

    def n_ctx(self) -> int:
        """Return the context's length in tokens."""

    def token_bos(self) -> int:
        """Return the token that begins a text, or -1."""

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """Return the tokens of a text."""

    def create_completion(self, prompt: list[int], **options: Any) -> dict[str, Any]:
        """Return an OpenAI-style completion."""

    def reset(self) -> None:
        """Forget what was evaluated."""


@dataclass(frozen=True)
class Model:
    """A loaded model; `lock` is held while it generates."""

    llama: Llama
    settings: Settings
    name: str
    chat_prompt: Callable[[list[dict[str, str]]], str] | None
    """Renders messages to a prompt; None when the GGUF has no chat template."""
    window: int = 0
    """Tokens that a sliding-window layer looks back; 0 when no layer slides."""
    oldest: Callable[[], int] = lambda: 0
    """Returns the first position that the cache of every layer still holds, or -1."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def context(self) -> int:
        """Tokens that prompt and answer share; llama.cpp rounds its figure up, the buffers do not follow."""
        return min(self.settings.n_ctx, self.llama.n_ctx())


def find_model(model_dir: Path) -> Path:
    """Return the one GGUF at the root of a folder, or the first shard of the one that is split.

    Raises:
        LoadError: when there is none, more than one, or a shard is missing.
    """
    names = sorted(
        path.name for path in model_dir.glob("*.gguf") if path.is_file() and not path.name.startswith(".")
    )
    if not names:
        nested = sorted(str(path.relative_to(model_dir)) for path in model_dir.glob("*/**/*.gguf"))
        seen = f"only {', '.join(nested[:5])} below it" if nested else "none"
        raise LoadError(
            f"no model in {str(model_dir)!r}: {seen}; wanted one .gguf file at its root; put it at the root "
            "of the archive"
        )
    shards = [match for match in map(_SHARD.fullmatch, names) if match]
    if len(names) == 1 and not shards:
        return model_dir / names[0]
    if len(shards) < len(names) or len({(shard["stem"], shard["total"]) for shard in shards}) > 1:
        raise LoadError(
            f"{len(names)} models in {str(model_dir)!r}: {', '.join(names[:5])}; wanted one .gguf file, or "
            "all shards of one model; leave one"
        )
    stem, total = shards[0]["stem"], shards[0]["total"]
    wanted = [f"{stem}-{number:05}-of-{total}.gguf" for number in range(1, int(total) + 1)]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise LoadError(
            f"{len(missing)} of {int(total)} shards are missing in {str(model_dir)!r}: "
            f"{', '.join(missing[:5])}; put all of them into the archive"
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


def _load(path: Path, settings: Settings, threads: int) -> Model:
    """Load a GGUF.

    Raises:
        LoadError: with what llama.cpp said about it.
    """
    try:
        import llama_cpp
        from llama_cpp import llama_chat_format
    except (ImportError, OSError, RuntimeError) as error:
        raise LoadError(
            f"llama_cpp cannot be imported: {error}; wanted llama-cpp-python in the archive's code/ folder "
            "or in the image"
        ) from error
    log = _NativeLog(llama_cpp)
    try:
        # Verbose, because its quiet mode closes the whole process's stdout and stderr while it loads.
        with contextlib.redirect_stderr(io.StringIO()), _without_amx(llama_cpp):
            llama = llama_cpp.Llama(
                str(path),
                n_ctx=settings.n_ctx,
                n_batch=settings.n_batch,
                n_threads=threads,
                n_threads_batch=threads,
                # Read, not mapped: llama.cpp repacks 4-bit weights into memory of its own, and mapped pages of the
                # same weights would come on top. Both lines hold what the deployment's memory was planned with.
                use_mmap=False,
                # A sliding layer keeps its window and one batch, not the whole context: see `_forget_if_slid`.
                swa_full=False,
                verbose=True,
            )
    except Exception as error:  # whatever the library raises, the reason is in llama.cpp's own lines
        said = "; ".join(log.errors) or str(error) or type(error).__name__
        raise LoadError(
            f"model file {path.name!r} cannot be loaded: {said}; wanted a whole GGUF that "
            f"llama-cpp-python {llama_cpp.__version__} knows and that memory holds"
        ) from error
    llama.verbose = False

    def text(token: int) -> str:
        vocabulary = llama_cpp.llama_model_get_vocab(llama.model)
        raw: bytes = llama_cpp.llama_vocab_get_text(vocabulary, token) if token != -1 else b""
        return raw.decode("utf-8", errors="replace")

    chat_prompt = None
    template = llama.metadata.get("tokenizer.chat_template")
    if template:
        formatter = llama_chat_format.Jinja2ChatFormatter(
            template=template, bos_token=text(llama.token_bos()), eos_token=text(llama.token_eos())
        )

        def chat_prompt(messages: list[dict[str, str]]) -> str:
            return str(formatter(messages=messages).prompt)

    def oldest() -> int:
        return int(llama_cpp.llama_memory_seq_pos_min(llama_cpp.llama_get_memory(llama.ctx), 0))

    name = settings.model_name or llama.metadata.get("general.name") or path.stem
    window = int(llama_cpp.llama_model_n_swa(llama.model))
    return Model(llama, settings, name, chat_prompt, window, oldest)


class _NativeLog:
    """Keeps llama.cpp's last error lines, and drops the rest of its log.

    The callback must outlive the model: llama.cpp calls it from then on.
    """

    _kept: ClassVar[list[Any]] = []

    def __init__(self, llama_cpp: Any) -> None:
        self.errors: deque[str] = deque(maxlen=8)
        callback = llama_cpp.llama_log_callback(self._write)
        self._kept.append(callback)
        llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))

    def _write(self, level: int, line: bytes, _user_data: Any) -> None:
        if level == _GGML_LOG_LEVEL_ERROR:
            self.errors.append(line.decode("utf-8", errors="replace").strip())


@contextlib.contextmanager
def _without_amx(llama_cpp: Any) -> Iterator[None]:
    """Keep weights out of llama.cpp's AMX buffers: its AMX kernels end the process with SIGSEGV on many CPUs.

    https://github.com/ggml-org/llama.cpp/issues/20824 (quantised weights only; a build without AMX is not
    touched). `Llama` has no argument for it, so the defaults that it starts from are changed while it loads.
    """
    native = llama_cpp.llama_cpp
    defaults = native.llama_model_default_params
    if b"AMX_INT8 = 1" not in native.llama_print_system_info():
        yield
        return

    def without_extra_buffers() -> Any:
        params = defaults()
        params.use_extra_bufts = False
        return params

    native.llama_model_default_params = without_extra_buffers
    try:
        yield
    finally:
        native.llama_model_default_params = defaults


# Requests ---------------------------------------------------------------------------------------------------

_ALIASES = {"max_completion_tokens": "max_tokens", "max_new_tokens": "max_tokens"}
_OPTIONS = ("max_tokens", "temperature", "top_p", "stop", "seed")
_SOURCES = ("prompt", "inputs", "messages")
# What OpenAI clients send that changes nothing here: accepted with these values (None: with any text).
_HARMLESS: dict[str, Any] = {"model": None, "user": None, "stream": False, "n": 1}
_ROLES = ("system", "user", "assistant")
_MESSAGE = ("role", "content", "name")
_MOST_STOPS = 16


@dataclass(frozen=True)
class Request:
    """A request that was found right; None stands for "as the settings say"."""

    source: str
    """The field that holds what to answer: prompt, inputs or messages."""
    prompt: str = ""
    messages: tuple[dict[str, str], ...] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


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
            raise BadRequest(400, _listed([text for _, _, text in self.found]), param=param, code=code)


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
            f"the content type is {_shown(content_type)}; wanted {JSON!r} in UTF-8",
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

    Raises:
        BadRequest: with every problem of it.
    """
    if not isinstance(document, dict):
        raise BadRequest(400, f"the body is {_shown(document)}; wanted a JSON object", code="invalid_json")
    problems = _Problems()
    given = _present(document)
    sources = [name for name in _SOURCES if name in given]
    if len(sources) != 1:
        seen = f"the body has {' and '.join(map(repr, sources))}" if sources else "the body asks nothing"
        problems.add(None, f"{seen}; wanted one of 'prompt', 'inputs' and 'messages'", "missing_field")
    options = {name: value for name, value in given.items() if name not in (*_SOURCES, "parameters")}
    nested = given.get("parameters")
    if nested is not None:
        options = _with_parameters(options, nested, sources, problems)
    values = _options(options, problems)
    for name in sources:
        if name == "messages":
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
        problems.add("parameters", f"'parameters' is {_shown(nested)}; wanted an object")
    else:
        nested = _present(nested)
        for name in sorted(set(nested) & set(options)):
            problems.add(name, f"{name!r} is there twice, inside and outside of 'parameters'; give it once")
        return {**options, **nested}
    return options


def _options(options: dict[str, Any], problems: _Problems) -> dict[str, Any]:
    """Return the options that `Request` has, by its names."""
    values: dict[str, Any] = {}
    for given, value in options.items():
        name = _ALIASES.get(given, given)
        if name in _HARMLESS:
            only = _HARMLESS[name]
            if not isinstance(value, str) if only is None else type(value) is not type(only) or value != only:
                wanted = "a text" if only is None else json.dumps(only)
                problems.add(given, f"{given!r} is {_shown(value)}; wanted {wanted}")
        elif name not in _OPTIONS:
            known = [*_SOURCES, *_OPTIONS, *_ALIASES, *_HARMLESS, "parameters"]
            problems.add(given, _unknown(given, known), "unknown_parameter")
        elif name in values:
            problems.add(given, f"{given!r} and another name of {name!r} are both there; give one")
        elif name == "stop":
            values[name] = _stops(value, problems)
        else:
            known_range = _SEED if name == "seed" else _RANGES[name]
            values[name] = value
            if not known_range.accepts(value):
                problems.add(given, f"{given!r} is {_shown(value)}; wanted {known_range}")
    return values


def _stops(value: Any, problems: _Problems) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    right = (
        isinstance(stops, list)
        and len(stops) <= _MOST_STOPS
        and all(isinstance(stop, str) and stop and _encodable(stop) for stop in stops)
    )
    if not right:
        wanted = f"a text or a list of up to {_MOST_STOPS} texts, none of them empty"
        problems.add("stop", f"'stop' is {_shown(value)}; wanted {wanted}")
        return ()
    return tuple(stops)


def _prompt(name: str, value: Any, problems: _Problems) -> str:
    if not isinstance(value, str) or not value:
        problems.add(name, f"{name!r} is {_shown(value)}; wanted a text that is not empty")
        return ""
    return _checked(name, value, problems)


def _messages(value: Any, problems: _Problems) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list) or not value:
        problems.add("messages", f"'messages' is {_shown(value)}; wanted a list of at least one message")
        return ()
    return tuple(_message(f"messages[{n}]", message, problems) for n, message in enumerate(value))


def _message(path: str, value: Any, problems: _Problems) -> dict[str, str]:
    if not isinstance(value, dict):
        problems.add(path, f"{path} is {_shown(value)}; wanted an object with 'role' and 'content'")
        return {}
    given = _present(value)
    for name in given:
        if name not in ("role", "content", "name"):
            problems.add(
                f"{path}.{name}",
                f"{path}: {_unknown(name, ['role', 'content', 'name'])}",
                "unknown_parameter",
            )
    role = given.get("role")
    if role not in _ROLES:
        problems.add(f"{path}.role", f"{path}.role is {_shown(role)}; wanted one of {', '.join(_ROLES)}")
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
        problems.add(path, f"{path} is {_shown(value)}; wanted a text or a list of parts of type 'text'")
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


# Answers ----------------------------------------------------------------------------------------------------


def complete(model: Model, request: Request, *, created: int, identity: str) -> dict[str, Any]:
    """Return the OpenAI-style answer to a request.

    Args:
        model: the model to ask, alone: the caller holds its lock.
        request: what to answer.
        created: the time, in seconds since 1970.
        identity: what makes the answer's id unique.

    Raises:
        BadRequest: when the prompt does not fit the context, or the chat template refuses the messages.
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
    _forget_if_slid(model, tokens)
    try:
        completion = model.llama.create_completion(
            tokens,
            max_tokens=min(_or(request.max_tokens, settings.max_tokens), room),
            temperature=float(_or(request.temperature, settings.temperature)),
            top_p=float(_or(request.top_p, settings.top_p)),
            stop=list(request.stop),
            # Without one llama-cpp-python continues a fixed series: the same answers in every container.
            seed=_or(request.seed, uuid.uuid4().int % _SEED.high),
        )
    except Exception:
        # What was evaluated so far and what is recorded of it may differ now.
        model.llama.reset()
        raise
    choice = completion["choices"][0]
    text, was_cut = cut(choice["text"], request.stop)
    finish_reason = "stop" if was_cut else choice["finish_reason"]
    usage = {
        name: completion["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    if request.messages is None:
        kind, prefix, said = "text_completion", "cmpl", {"text": text}
    else:
        kind, prefix = "chat.completion", "chatcmpl"
        said = {"message": {"role": "assistant", "content": text}}  # type: ignore[dict-item]
    return {
        "id": f"{prefix}-{identity}",
        "object": kind,
        "created": created,
        "model": model.name,
        "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": finish_reason}],
        "usage": usage,
    }


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the first of `stops` in it, and whether there was one.

    llama-cpp-python cuts at the first in the order of the list, which need not be the first in the text.
    """
    found = [text.index(stop) for stop in stops if stop in text]
    return (text[: min(found)], True) if found else (text, False)


def _tokens(model: Model, request: Request) -> list[int]:
    prompt = request.prompt if request.messages is None else _chat_prompt(model, request.messages)
    tokens = model.llama.tokenize(prompt.encode("utf-8"), add_bos=True, special=True)
    bos = model.llama.token_bos()
    # A prompt or a template that writes the token itself would have it twice.
    return tokens[1:] if tokens[:2] == [bos, bos] else tokens


def _chat_prompt(model: Model, messages: Sequence[dict[str, str]]) -> str:
    if model.chat_prompt is None:
        raise BadRequest(
            400,
            f"model {model.name!r} has no chat template, so it cannot take 'messages'; send a 'prompt'",
            param="messages",
            code="no_chat_template",
        )
    try:
        return model.chat_prompt(list(messages))
    except Exception as error:  # a template is the model's own program, and raises what it likes
        raise BadRequest(
            400,
            f"the model's chat template refuses these messages: {error}",
            param="messages",
            code="invalid_value",
        ) from error


def _forget_if_slid(model: Model, tokens: Sequence[int]) -> None:
    """Forget the last prompt when its cache cannot be continued with this one.

    llama-cpp-python keeps what two prompts have in common. A sliding layer has dropped the tokens that left its
    window, so where the prompts part, part of the window may be gone, and llama.cpp does not notice.
    """
    if not model.window:
        return
    evaluated = model.llama.input_ids[: model.llama.n_tokens]
    shared = next(
        (n for n, (before, now) in enumerate(zip(evaluated, tokens, strict=False)) if before != now),
        min(len(evaluated), len(tokens)),
    )
    # The last common token is evaluated again when nothing follows it.
    if model.oldest() > max(0, shared - 1 - model.window):
        model.llama.reset()


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


# The contract -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unloaded:
    """Stands for a model that could not be loaded."""

    reason: str


def model_fn(model_dir: str, context: Any = None) -> Model | Unloaded:
    """Load the model in a folder with the settings of `code/config.json` and the environment.

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


def _model(folder: Path) -> Model:
    config = read_config([folder / "code", Path(__file__).parent])
    # The toolkit hands over nothing but the folder, so the endpoint's Environment is read here.
    settings = settings_from(config, os.environ)  # noqa: TID251
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = min(settings.n_threads, usable_cpus(allowed, Path("/")))
    return _load(find_model(folder), settings, threads)


def input_fn(
    body: bytes | bytearray | str, content_type: str | None, context: Any = None
) -> Request | BadRequest:
    """Return the request in a body, or what is wrong with it.

    Raises:
        BadRequest: when it is wrong and no context takes the status.
    """
    try:
        return parse_body(body, content_type)
    except BadRequest as error:
        return _refused(error, context)


def predict_fn(
    data: Request | BadRequest, model: Model | Unloaded, context: Any = None
) -> dict[str, Any] | BadRequest:
    """Return the answer to a request, or what is wrong with it or with the model.

    Raises:
        BadRequest: when it is wrong and no context takes the status.
    """
    if isinstance(data, BadRequest):
        return data
    if isinstance(model, Unloaded):
        return _refused(BadRequest(500, model.reason, code="load_failed"), context)
    try:
        with model.lock:
            return complete(model, data, created=int(time.time()), identity=uuid.uuid4().hex)
    except BadRequest as error:
        return _refused(error, context)


def output_fn(prediction: dict[str, Any] | BadRequest, accept: str | None) -> tuple[str, str]:  # noqa: ARG001 the contract's signature
    """Return the answer's body and its content type, which is JSON whatever was asked for."""
    if isinstance(prediction, BadRequest):
        return str(prediction.message), JSON
    return json.dumps(prediction, ensure_ascii=False), JSON


def _refused(error: BadRequest, context: Any) -> BadRequest:
    """Set the status in the context and return the error as data; raise it when there is no context."""
    if context is None:
        raise error
    context.set_response_status(code=error.status_code, phrase=error.phrase)
    return error
