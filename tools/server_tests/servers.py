"""Our servers by the options of llama-server: what llama.cpp's own server tests start in its place.

    python -m tools.server_tests.servers SERVER [OPTION ...]

Owns which options have a counterpart, and becomes the server that they describe (`exec`, so that the one who started it
can end it). Refuses an option that has none, in one line on stderr and with status 2: the test then fails, and the list
of what does not apply says why.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

TOP: Final = Path(__file__).resolve().parents[2]
CACHE: Final = TOP / ".cache" / "server-tests"
MODELS: Final = CACHE / "models"
LLAMA_SERVER: Final = TOP / ".build" / "llama-server" / "llama-server"

FUNCTIONS: Final = "four-functions"
IMAGE: Final = "llama-cpp-image"
ADAPTER: Final = "adapter"
PROGRAMS: Final = {
    FUNCTIONS: (str(TOP / "inference" / "server.py"), "serve"),
    IMAGE: (
        str(TOP / "local_cloud" / "hosting" / "containers" / "llama_cpp_image.py"),
        str(LLAMA_SERVER),
    ),
    ADAPTER: (str(TOP / "inference" / "adapter"), "serve"),
}
"""The arguments of Python for each server."""

STORIES: Final = "stories"
SPLIT: Final = "split"
ENCODER: Final = "encoder"
RERANKER: Final = "reranker"
BY_REPOSITORY: Final = {
    "ggml-org/test-model-stories260K": STORIES,
    "ggml-org/stories15M_MOE": STORIES,
    "tinyllamas/split/stories15M-q8_0-00001-of-00003.gguf": SPLIT,
    "bert-bge-small/ggml-model-f16.gguf": ENCODER,
    "jina-reranker-v1-tiny-en/ggml-model-f16.gguf": RERANKER,
}
"""The models of theirs that one of `models` stands for, by their repository or by their file in it."""

_SWITCHES: Final = frozenset(
    {
        *(
            "cont-batching",
            "context-shift",
            "embedding",
            "jinja",
            "kv-unified",
            "metrics",
            "no-cache-idle-slots",
        ),
        *(
            "no-jinja",
            "no-mmproj",
            "no-models-autoload",
            "no-slots",
            "no-ui",
            "offline",
            "reranking",
            "slots",
        ),
        *("swa-full", "ui-mcp-proxy", "verbose", "backend_sampling"),
    }
)
"""Options of llama-server without a value."""
_LONG: Final = {"-ctk": "--cache-type-k", "-ctv": "--cache-type-v", "-fa": "--flash-attn"}
_WITHOUT_EFFECT: Final = frozenset(
    {
        *("host", "port", "seed", "hf-repo", "hf-file", "model", "offline", "ctx-size", "parallel", "alias"),
        *(
            "chat-template-file",
            "no-slots",
            "jinja",
            "no-jinja",
            "cont-batching",
            "batch-size",
            "ubatch-size",
        ),
        *("temp", "n-predict", "flash-attn", "kv-unified", "cache-ram", "verbose", "embedding", "threads"),
        *("slots", "metrics", "pooling", "reranking"),
    }
)
"""What `environment_of` reads, or what says how llama-server works and not what it answers."""


_PATHS: Final = frozenset({"chat-template-file", "lora", "media-path", "model-draft", "slot-save-path"})
"""Options whose value is a path, from the tests' folder on."""


class NotOffered(Exception):
    """The options ask for what the server does not have; the message says what."""


@dataclass(frozen=True)
class Options:
    """A command line of llama-server."""

    values: Mapping[str, str]
    """By the long name without its hyphens; "true" for one that takes no value."""
    repeated: Sequence[str] = field(default=())
    """Names that were given more than once."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Options:
        """Read a command line as `ServerProcess.start` writes it."""
        values: dict[str, str] = {}
        repeated = []
        rest = list(arguments)
        while rest:
            option = rest.pop(0)
            name = _LONG.get(option, option).removeprefix("--")
            if name in values:
                repeated.append(name)
            values[name] = "true" if name in _SWITCHES else rest.pop(0)
            if name in _PATHS:
                values[name] = str(Path(values[name]).absolute())
        return cls(values, tuple(repeated))

    def number(self, name: str, default: int) -> int:
        """Return an option's whole number."""
        return int(self.values.get(name, default))


def model_of(server: str, options: Options, folder: Path = MODELS) -> Path:
    """Return the folder of the model that stands for the one of the options; it is written if it is not there.

    A container of ours takes template and pooling from the model: so the model gets what the options say.

    Raises:
        NotOffered: when none does.
    """
    names = [options.values.get(name, "") for name in ("hf-file", "hf-repo", "model")]
    found = next((BY_REPOSITORY[name] for name in names if name in BY_REPOSITORY), None)
    if found is None:
        raise NotOffered(f"no model here stands for {' '.join(filter(None, names)) or 'a router'!r}")
    file, pooling = (
        (None, None)
        if server == IMAGE
        else (options.values.get("chat-template-file"), options.values.get("pooling"))
    )
    template = Path(file).read_text() if file else None
    mark = None if template is None else hashlib.sha256(template.encode()).hexdigest()[:16]
    own = folder / "-".join(filter(None, (found, pooling, mark)))
    if not own.is_dir():
        from tools.server_tests import models  # it takes half a second to import what writes GGUFs

        models.write(own, found, template=template, pooling=pooling)
    return own


def environment_of(server: str, options: Options, folder: Path) -> dict[str, str]:
    """Return the environment of a server that does what the options say.

    Args:
        server: FUNCTIONS, IMAGE or ADAPTER.
        options: those of llama-server.
        folder: that of the model.

    Raises:
        NotOffered: when an option has no counterpart.
    """
    values = options.values
    own = {"SM_MODEL_DIR": str(folder), "SAGEMAKER_BIND_TO_PORT": values["port"]}
    if values.get("host") != "127.0.0.1":
        raise NotOffered(f"a container listens on one address, not on {values.get('host')!r}")
    if server == IMAGE:
        first = min(path.name for path in folder.glob("*.gguf"))
        # As the pipeline says it of a model in shards, of which the image itself takes any.
        return own | {"SM_LLAMA_CPP_MODEL": f"/opt/ml/model/{first}"} | _of_the_image(options)
    strange = sorted(set(values).difference(_WITHOUT_EFFECT))
    if strange:
        raise NotOffered(f"no setting of a model's archive is --{', --'.join(strange)}")
    slots = options.number("parallel", 1)
    settings = {
        "n_ctx": options.number("ctx-size", 2048) // (1 if "kv-unified" in values else slots),
        "n_batch": options.number("batch-size", 512),
        "temperature": values["temp"],
        "max_tokens": options.number("n-predict", -1),
        "model_name": values.get("alias"),
        "n_parallel": slots if server == ADAPTER else None,
        "n_threads": 1,
    }
    if settings["max_tokens"] == -1:
        settings["max_tokens"] = settings["n_ctx"]
    given = {f"SEALIFT_{name.upper()}": str(value) for name, value in settings.items() if value is not None}
    return own | given | {"SEALIFT_BIND_HOST": "127.0.0.1", "SEALIFT_MAX_WAITING": "16"}


def _of_the_image(options: Options) -> dict[str, str]:
    if options.repeated:
        raise NotOffered(f"an environment has --{options.repeated[0]} only once")
    passed = {
        name: value
        for name, value in options.values.items()
        if name not in ("host", "port", "hf-repo", "hf-file", "model", "offline")
    }
    passed.setdefault("threads", "1")
    if any("_" in name for name in passed):
        raise NotOffered("a variable of the environment is an option without underscores")
    return {f"SM_LLAMA_CPP_{name.upper().replace('-', '_')}": value for name, value in passed.items()}


def main(arguments: Sequence[str]) -> NoReturn:
    """Become the server; end with status 2 when there is none like that."""
    server, *rest = arguments
    options = Options.parse(rest)
    try:
        environment = environment_of(server, options, model_of(server, options))
    except NotOffered as error:
        print(f"not offered by {server}: {error}", file=sys.stderr)
        sys.exit(2)
    folder = CACHE / "run" / options.values["port"]
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    command = [sys.executable, *PROGRAMS[server]]
    os.execve(sys.executable, command, {**os.environ, **environment})  # noqa: S606 no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
