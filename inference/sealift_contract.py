"""What SageMaker asks of a container, as figures and names: paths, limits, times, and the variables that it sets.

Owns what the servers have in common, whichever answers, and their log. Refuses to serve. Standard library only, Python
3.10.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sealift_log import line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASKED_AT = frozenset(
    {
        "/invocations",
        *(
            f"{above}/v1/{path}"
            for above in ("", "/openai")
            for path in (
                *("chat/completions", "completions", "embeddings", "responses"),
                *("rerank", "reranking"),
            )
        ),
        *("/rerank", "/reranking"),
    }
)
"""SageMaker's path; OpenAI's, which of them SageMaker's OpenAI route calls is written nowhere; and a reranker's, as
llama-server, Jina and text-embeddings-inference have them."""

MAX_BODY = 25 * 1024 * 1024
"""Bytes of a request; an endpoint on instances takes no more either, and a serverless one 4 MB."""

MAX_DISCARD = 64 * 1024 * 1024
"""Bytes of a refused request that are still read, so that its client gets to read the refusal."""

TIMEOUT_S = 60
"""Seconds until a call is given up: SageMaker's limit for serverless endpoints."""

LEFT_S = 10.0
"""Seconds of them that a request must have left when its turn comes, or half of all; else it is refused."""

IDLE_S = 75.0
"""Seconds that a connection may be silent; longer than a client's own limit of 70."""

DRAIN_S = 25.0
"""Seconds for the answers under way after SIGTERM; SIGKILL follows after 30."""

HURRY_S = 20.0
"""Seconds after SIGTERM at which an answer under way has to end as it is, so that it is still delivered."""


class StartError(Exception):
    """The server cannot start; the message says why."""


class Log:
    """JSON lines on stdout, one whole line at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, event: str, **details: Any) -> None:
        """Write one line."""
        text = line(event, **details)
        with self._lock:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


@dataclass(frozen=True)
class Options:
    """What the environment says about the server itself.

    SM_MODEL_DIR, SEALIFT_BIND_HOST, SAGEMAKER_BIND_TO_PORT, SEALIFT_MAX_WAITING and SEALIFT_TIMEOUT_S;
    `inference.py` reads the rest, and the last one as well.
    """

    model_dir: Path
    host: str
    port: int
    """0 for any free one."""
    max_waiting: int
    timeout_s: int = TIMEOUT_S

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], arguments: Sequence[str] = (), *, max_waiting: int = 4
    ) -> Options:
        """Read the variables, with SageMaker's defaults; it starts an image with the argument "serve".

        Raises:
            StartError: when a number is none, or the arguments ask for something else.
        """
        if list(arguments) not in ([], ["serve"]):
            raise StartError(f"the arguments are {list(arguments)!r}; wanted 'serve', or none")
        return cls(
            model_dir=Path(environ.get("SM_MODEL_DIR") or "/opt/ml/model"),
            host=environ.get("SEALIFT_BIND_HOST") or "0.0.0.0",  # noqa: S104 a container is reached from outside
            port=whole_number(environ, "SAGEMAKER_BIND_TO_PORT", 8080, highest=65_535),
            max_waiting=whole_number(environ, "SEALIFT_MAX_WAITING", max_waiting, highest=1000),
            timeout_s=whole_number(environ, "SEALIFT_TIMEOUT_S", TIMEOUT_S, highest=3600, lowest=1),
        )

    @property
    def patience(self) -> float:
        """Seconds that a request may wait for its turn."""
        return max(self.timeout_s / 2, self.timeout_s - LEFT_S)


def whole_number(
    environ: Mapping[str, str], name: str, default: int, *, highest: int, lowest: int = 0
) -> int:
    """Return the whole number that a variable sets.

    Raises:
        StartError: it is none, or out of its range.
    """
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdecimal() or not lowest <= int(text) <= highest:
        raise StartError(f"{name} is {text!r}; wanted a whole number from {lowest} to {highest}")
    return int(text)


def error_body(status: int, message: str, code: str) -> dict[str, Any]:
    """Return an error in the form of `sealift_request.BadRequest`, for what is wrong before or behind a request."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
