"""What stands for AWS's llama.cpp image in the local cloud: llama-server's behavior over this machine's llama.cpp.

Owns what tells llama-server's chat requests from ours, as the one of llama-cpp-python 0.3.36's own sources answered
when it was asked: it takes `messages` only, passes over fields that it does not know, and has error bodies of its own.
Its options arrive as SM_LLAMA_CPP_X_Y. Runs as a program, and is the functions that `inference/server.py` serves.
Refuses to be llama-server: nginx, its user, slots and caches are not emulated. What `code/` holds is not looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import inference as package
from pipeline.sizing.images import CUSTOM, LLAMA_CPP

if TYPE_CHECKING:
    from collections.abc import Mapping

# Not this folder, whose modules have names that others may mean otherwise.
sys.path[0] = package.__path__[0]
# Flat modules, as in an archive. But for this one: what is imported above knows `inference` as the package around them.
inference: Any = import_module(f"{package.__name__}.inference")
sealift_fields: Any = import_module("sealift_fields")
sealift_request: Any = import_module("sealift_request")
server: Any = import_module("server")

OPTIONS = {
    theirs: ours
    for name, theirs in LLAMA_CPP.settings.items()
    if theirs is not None and (ours := CUSTOM.settings[name]) is not None
}
"""llama-server's options, and the settings of ours that do the same."""
FIELDS = frozenset(
    name
    for name, field in sealift_fields.BY_NAME.items()
    if sealift_fields.CHAT in field.forms and sealift_fields.HONORED == field.place == field.there
)
"""What of a request is heeded, beside its messages; what the real one does not know it passes over."""
_FIGURES = re.compile(r"the prompt has (\d+) tokens and the context holds (\d+)")


class RequestRefused(Exception):
    """A request that llama-server answers with an error: `message` is the body, as server.py wants it."""

    def __init__(self, status: int, message: str, kind: str, **details: int) -> None:
        self.status_code = status
        self.message = json.dumps({"error": {"code": status, "message": message, "type": kind, **details}})
        super().__init__(message)


def model_fn(model_dir: str) -> Any:
    """Load the model with the options of the environment."""
    environ = os.environ  # noqa: TID251 the container's composition root reads its own environment
    environ.update(settings_of(environ))
    return inference.model_fn(model_dir)


def settings_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return our settings of llama-server's options; its context is of all slots, and one is imitated.

    Args:
        environ: the container's environment, its options as they are given to the image.
    """
    settings = {ours: environ[theirs] for theirs, ours in OPTIONS.items() if theirs in environ}
    if {"SEALIFT_N_CTX", "SEALIFT_N_PARALLEL"} <= settings.keys():
        with contextlib.suppress(
            ValueError, ZeroDivisionError
        ):  # what is no number the model's loading refuses
            share = int(settings["SEALIFT_N_CTX"]) // int(settings["SEALIFT_N_PARALLEL"])
            settings["SEALIFT_N_CTX"] = str(share)
    return settings


def input_fn(body: bytes, content_type: str | None) -> Any:
    """Return the request in a body.

    Raises:
        RequestRefused: when it is not JSON, or asks with anything but messages.
    """
    del content_type  # llama-server does not look at it
    try:
        document = json.loads(body)
    except ValueError as error:
        raise RequestRefused(400, str(error), "invalid_request_error") from error
    if not isinstance(document, dict) or "messages" not in document:
        raise RequestRefused(400, "'messages' is required", "invalid_request_error")
    try:
        heeded = {name: value for name, value in document.items() if name == "messages" or name in FIELDS}
        return sealift_request.parse_request(heeded)
    except sealift_request.BadRequest as error:
        raise RequestRefused(400, str(error), "invalid_request_error") from error


def predict_fn(data: Any, model: Any) -> Any:
    """Return the answer.

    Raises:
        RequestRefused: when the request does not fit the context.
    """
    try:
        return inference.predict_fn(data, model)
    except sealift_request.BadRequest as error:
        figures = _FIGURES.search(str(error))
        if figures is None:
            raise RequestRefused(400, str(error), "invalid_request_error") from error
        tokens, context = int(figures[1]), int(figures[2])
        message = f"request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
        kind = "exceed_context_size_error"
        raise RequestRefused(400, message, kind, n_prompt_tokens=tokens, n_ctx=context) from error


def output_fn(prediction: Any, accept: str | None) -> Any:
    """Return the answer's body and its content type."""
    return inference.output_fn(prediction, accept)


if __name__ == "__main__":
    sys.stdout.write("llama-server is imitated; `make llama-server` builds the real one\n")
    sys.stdout.flush()
    sys.exit(server.main(sys.argv[1:], functions=Path(__file__).resolve()))
