"""How llama-server is started: its options and its environment, by the settings and what lies in the model's folder.

Owns the mapping from our settings to llama-server's options (common/arg.cpp of the pinned llama.cpp). Refuses to start
anything. A variable LLAMA_ARG_* of the container's environment sets whatever is not set here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sealift_models import Companions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapter.header import Header

    from sealift_settings import Settings

CHECKPOINTS = "LLAMA_ARG_CTX_CHECKPOINTS"
"""How many states a slot keeps of a model that forgets in part. llama-server's own default is 32, each of the size of
a whole state, and no fit counts them."""
NO_BACKTRACE = "GGML_NO_BACKTRACE"
"""Keeps an abort from starting a debugger, where there is one: it takes seconds, and its lines come last."""
LEAST_BATCH = 32
"""Tokens that are evaluated at a time at least, besides one for each slot: with less llama-server aborts, at its start
(GGML_ASSERT of the outputs), or under an answer for which a draft model guesses up to 16 tokens ahead."""
NOT_HANDED_ON = frozenset(
    {
        "LLAMA_API_KEY",
        *(
            f"LLAMA_ARG_{name}"
            for name in (
                *("API_KEY", "API_KEY_FILE", "API_PREFIX", "SSL_KEY_FILE", "SSL_CERT_FILE"),
                *("AGENT", "TOOLS", "MCP_SERVERS_CONFIG", "MCP_SERVERS_JSON", "UI_MCP_PROXY"),
                *(
                    "MODELS_DIR",
                    "MODELS_PRESET",
                    "MODEL_URL",
                    "HF_REPO",
                    "HF_FILE",
                    "DOCKER_REPO",
                    "MMPROJ_URL",
                ),
                *("HOST", "PORT", "EMBEDDINGS", "RERANKING", "NO_ENDPOINT_METRICS"),
            )
        ),
    }
)
"""What would keep the adapter from its own server, or have that do what no endpoint does."""


@dataclass(frozen=True)
class Command:
    """What is started."""

    program: Path
    model: Path
    settings: Settings
    header: Header
    threads: int
    companions: Companions = field(default_factory=Companions)

    @property
    def context(self) -> int:
        """Return the tokens of one request."""
        trained = self.header.trained_for
        return min(self.settings.n_ctx, trained) if trained > 0 else self.settings.n_ctx

    def arguments(self, socket: str) -> list[str]:
        """Return the program and its arguments, for a server that listens on a UNIX socket of this path."""
        settings, slots = self.settings, self.settings.n_parallel
        options = {
            "model": str(self.model),
            "host": socket,
            # Each slot has a cache of its own of this part; the last one bounds a request where llama.cpp rounds up.
            "ctx-size": str(self.context * slots),
            "parallel": str(slots),
            "kv-unified-per-slot": str(self.context),
            "batch-size": str(self.batch),
            "threads": str(self.threads),
            "threads-batch": str(self.threads),
            "cache-ram": str(settings.prefix_cache_mb),
            # Read unless asked otherwise, as the fit counts it.
            "load-mode": "mmap" if settings.use_mmap else "none",
            # Warnings and errors. Above, it tells how it goes on with each request.
            "log-verbosity": "2",
            "log-colors": "off",
        }
        if self.header.embeds or self.header.ranks:
            options["ubatch-size"] = str(self.batch)
        if self.header.embeds and self.header.pooling not in _POOLINGS:
            options["pooling"] = "mean"  # as the four functions take it then
        switches = ["jinja", "metrics", "no-webui", "no-warmup", "no-kv-unified"]
        if self.header.embeds:
            switches.append("embeddings")
        if self.header.ranks:
            switches.append("reranking")
        options |= self.companions.options()
        pairs = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(self.program), *pairs, *(f"--{switch}" for switch in switches)]

    @property
    def batch(self) -> int:
        """Return the tokens that are evaluated at a time: of a text to embed, all of them where that has to be."""
        asked = max(self.settings.n_batch, self.settings.n_parallel, LEAST_BATCH)
        if self.header.embeds or self.header.ranks:
            return self.context if self.header.whole else min(asked, self.context)
        return asked


_POOLINGS = (1, 2, 3)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return llama-server's environment, by the container's."""
    kept = {name: value for name, value in given.items() if name not in NOT_HANDED_ON}
    return {CHECKPOINTS: "1", NO_BACKTRACE: "1", **kept}


def find_program(environ: Mapping[str, str], own: Path) -> Path | None:
    """Return llama-server: the one that the environment names, of the image, or of the checkout; else None.

    Args:
        environ: the container's environment.
        own: the folder that holds the adapter and the modules that it shares with the four functions.
    """
    named = environ.get("SEALIFT_LLAMA_SERVER")
    places = (
        (Path(named),)
        if named
        else (own / "llama-server" / "llama-server", own.parent / ".build" / "llama-server" / "llama-server")
    )
    return next((path for path in places if path.is_file()), None)
